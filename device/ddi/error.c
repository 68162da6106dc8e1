/*
 * The one way to fill an azihsm_error. The struct belongs to the caller, who may not want one; a text that does not
 * fit is cut, because a shortened reason is better than none.
 */
#include <azihsm/error.h>

#include <stdarg.h>
#include <stdio.h>

#undef azihsm_error_set /* a macro under static analysis */

azihsm_rc azihsm_error_set(struct azihsm_error *err, azihsm_rc rc, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return rc;
    err->rc = rc;
    va_start(args, format);
    if (vsnprintf(err->text, sizeof(err->text), format, args) < 0)
        err->text[0] = '\0';
    va_end(args);
    return rc;
}

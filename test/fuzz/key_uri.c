/*
 * Fuzz target: azihsm: and pkcs11: URIs. A name that is accepted can be written as a URI, and that names it again.
 */
#include "../../provider/uri.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct uri uri, again;
    char why[200] = "", text[1024], *copy = malloc(len + 1);

    PROMISE(copy != NULL);
    memcpy(copy, data, len);
    copy[len] = '\0';
    if (!uri_parse(copy, &uri, why, sizeof(why)) && !uri_parse_pkcs11(copy, &uri, why, sizeof(why)))
        PROMISE(why[0] != '\0' && uri.target == NULL);
    else if (uri.kind == URI_NAME) {
        PROMISE(uri_of_name(uri.target, text, sizeof(text)));
        PROMISE(uri_parse(text, &again, why, sizeof(why)) && again.kind == URI_NAME);
        PROMISE(strcmp(uri.target, again.target) == 0);
        uri_clear(&again);
    } else
        PROMISE(uri.kind != URI_TAG || uri.tag != 0);
    uri_clear(&uri);
    free(copy);
    return 0;
}

void fuzz_seeds(void (*visit)(void *context, const uint8_t *data, size_t len), void *context)
{
    static const char *const seeds[] = {
        "azihsm:",
        "azihsm://my%20key?partition=p&pin-source=file:/etc/pin",
        "azihsm://./blob.bin;type=ec",
        "azihsm:?tag=0x12&device=auto",
        "azihsm:///etc/azihsm/keys/web.pem",
        "pkcs11:token=t;object=my%20key;type=private?pin-source=file:/etc/pin",
    };
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
        visit(context, (const uint8_t *)seeds[i], strlen(seeds[i]));
}

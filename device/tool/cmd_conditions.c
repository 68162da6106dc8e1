/*
 * azihsm conditions: makes the software device slow, reset or fail, for tests of what depends on it.
 */
#include "commands.h"
#include "control_client.h"

#include <string.h>

/* Opcode by its name in the specification or by number; 0 = unknown. */
static uint32_t conditions_op(const char *text)
{
    uint32_t op;
    uint64_t number;

    for (op = AZIHSM_OP_INVALID; op <= AZIHSM_OP_SET_SEALED_BK3; op++) {
        if (strcmp(azihsm_ddi_op_name(op), text) == 0)
            return op;
    }
    for (op = AZIHSM_OP_GET_EXTENSIONS; op <= AZIHSM_OP_RSA_GENERATE_KEY_PAIR; op++) {
        if (strcmp(azihsm_ddi_op_name(op), text) == 0)
            return op;
    }
    return *text >= '0' && *text <= '9' && tool_number("op", text, 1, UINT32_MAX, &number) ? (uint32_t)number : 0;
}

struct condition {
    const char *name;
    const char *text; /* as given, NULL = not given */
    bool is_op;
    uint64_t value;
};

static bool conditions_read(struct condition *conditions, size_t *given)
{
    for (; conditions->name != NULL; conditions++) {
        if (conditions->text == NULL)
            continue;
        ++*given;
        if (conditions->is_op) {
            conditions->value = conditions_op(conditions->text);
            if (conditions->value == 0) {
                tool_complain(0, "--%s: there is no command \"%s\"", conditions->name, conditions->text);
                return false;
            }
        } else if (!tool_number(conditions->name, conditions->text, 0, UINT64_MAX, &conditions->value)) {
            return false;
        }
    }
    return true;
}

int cmd_conditions(struct tool *tool, int argc, char **argv)
{
    struct condition conditions[] = {{.name = "delay-op", .is_op = true},
                                     {.name = "delay-ms"},
                                     {.name = "reset-after"},
                                     {.name = "fail-op", .is_op = true},
                                     {.name = "fail-status"},
                                     {.name = "fail-count"},
                                     {.name = NULL}};
    bool clear = false;
    const struct tool_option options[] = {{"delay-op", &conditions[0].text, NULL},
                                          {"delay-ms", &conditions[1].text, NULL},
                                          {"reset-after", &conditions[2].text, NULL},
                                          {"fail-op", &conditions[3].text, NULL},
                                          {"fail-status", &conditions[4].text, NULL},
                                          {"fail-count", &conditions[5].text, NULL},
                                          {"clear", NULL, &clear},
                                          {NULL, NULL, NULL}};
    struct control_answer answer = {0};
    struct cbor_writer request;
    uint8_t buf[512];
    size_t given = 0, i;
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);
    azihsm_rc rc;

    if (status != TOOL_OK || !conditions_read(conditions, &given))
        return TOOL_USAGE;
    control_request(tool, &request, buf, sizeof(buf), "conditions", given + 1);
    cbor_write_pair_bool(&request, "clear", clear);
    for (i = 0; conditions[i].name != NULL; i++) {
        if (conditions[i].text != NULL)
            cbor_write_pair_uint(&request, conditions[i].name, conditions[i].value);
    }
    rc = control_ask(tool, &request, &answer);
    status = rc == AZIHSM_OK ? control_print(tool, &answer, NULL) : tool_fail(tool, rc);
    control_end(&answer);
    return status;
}

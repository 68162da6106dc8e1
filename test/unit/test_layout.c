/*
 * The tables themselves. Structs of ddi.h declare their members in the order of the specification's ids, so rows must
 * climb in both: two members that were swapped in a table would otherwise read and write wrong in perfect agreement.
 */
#include "ddi/layout.h"

#include "messages.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check_row(const struct layout_row *row, const struct layout *layout)
{
    assert_true(row->offset < layout->size);
    assert_true((row->kind == FIELD_MAP) == (row->nested != NULL));
    assert_true((row->kind == FIELD_FIXED || row->kind == FIELD_BYTES) == (row->maximum > 0));
    assert_true(row->form == FORM_NONE || row->kind == FIELD_BYTES);
    if (row->presence != FIELD_REQUIRED)
        assert_true(row->presence < row->offset);
}

static void check_layout(const struct layout *layout)
{
    for (size_t i = 0; i < layout->count; i++) {
        const struct layout_row *row = &layout->rows[i];

        check_row(row, layout);
        if (i > 0) {
            assert_int_equal(row->id, row[-1].id + 1);
            assert_true(row->offset > row[-1].offset);
            if (row->presence != FIELD_REQUIRED)
                assert_true(row->presence > row[-1].offset);
        }
        if (row->nested != NULL)
            check_layout(row->nested);
    }
}

static void rows_stand_in_the_order_of_the_struct(void **state)
{
    (void)state;
    check_layout(&layout_req_hdr);
    check_layout(&layout_resp_hdr);
    check_layout(&layout_masked_metadata);
    for (size_t i = 0; i < messages_count; i++) {
        const struct operation *operation = operation_find(messages[i].op);

        assert_non_null(operation);
        if (operation->request != NULL)
            check_layout(operation->request);
        if (operation->response != NULL)
            check_layout(operation->response);
    }
}

/* 6.6 names all fields that have a wire form: of how many messages, and in which direction. */
static void forms_are_where_the_specification_has_them(void **state)
{
    static const struct {
        uint32_t op;
        unsigned request, response;
    } wanted[] = {
        {AZIHSM_OP_OPEN_KEY, 0, 1},
        {AZIHSM_OP_RSA_MOD_EXP, 1, 1},
        {AZIHSM_OP_RSA_UNWRAP, 1, 1},
        {AZIHSM_OP_GET_UNWRAPPING_KEY, 0, 1},
        {AZIHSM_OP_ECC_GENERATE_KEY_PAIR, 0, 1},
        {AZIHSM_OP_ECC_SIGN, 1, 1},
        {AZIHSM_OP_ECDH_KEY_EXCHANGE, 1, 0},
        {AZIHSM_OP_GET_ESTABLISH_CRED_ENCRYPTION_KEY, 0, 2},
        {AZIHSM_OP_ESTABLISH_CREDENTIAL, 3, 0},
        {AZIHSM_OP_GET_SESSION_ENCRYPTION_KEY, 0, 2},
        {AZIHSM_OP_OPEN_SESSION, 1, 0},
        {AZIHSM_OP_CHANGE_PIN, 1, 0},
        {AZIHSM_OP_UNMASK_KEY, 0, 1},
        {AZIHSM_OP_REOPEN_SESSION, 1, 0},
        {AZIHSM_OP_RSA_GENERATE_KEY_PAIR, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < messages_count; i++) {
        const struct operation *operation = operation_find(messages[i].op);
        const struct layout *layouts[] = {operation->request, operation->response};
        unsigned counts[2] = {0, 0}, request = 0, response = 0;

        for (size_t side = 0; side < 2; side++)
            for (size_t r = 0; layouts[side] != NULL && r < layouts[side]->count; r++) {
                const struct layout_row *row = &layouts[side]->rows[r];

                counts[side] += row->form != FORM_NONE;
                for (size_t n = 0; row->nested != NULL && n < row->nested->count; n++)
                    counts[side] += row->nested->rows[n].form != FORM_NONE;
            }
        for (size_t w = 0; w < sizeof(wanted) / sizeof(wanted[0]); w++)
            if (wanted[w].op == messages[i].op) {
                request = wanted[w].request;
                response = wanted[w].response;
            }
        assert_int_equal(counts[0], request);
        assert_int_equal(counts[1], response);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_stand_in_the_order_of_the_struct),
        cmocka_unit_test(forms_are_where_the_specification_has_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * azihsm: URIs: every form that is accepted, and what is said about those that are not.
 */
#include "../../provider/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_accepted(void **state)
{
    static const struct {
        const char *text;
        enum uri_kind kind;
        const char *target, *type, *device, *partition, *pin_source;
        unsigned tag;
    } cases[] = {
        {.text = "azihsm:", .kind = URI_LIST},
        {.text = "azihsm://", .kind = URI_LIST},
        {.text = "azihsm://web", .kind = URI_NAME, .target = "web"},
        {.text = "AZIHSM:web", .kind = URI_NAME, .target = "web"},
        {.text = "azihsm://my%20key%2a", .kind = URI_NAME, .target = "my key*"},
        {.text = "azihsm:/etc/keys/a.pem", .kind = URI_PATH, .target = "/etc/keys/a.pem"},
        {.text = "azihsm:///etc/keys/a.pem", .kind = URI_PATH, .target = "/etc/keys/a.pem"},
        {.text = "azihsm://./blob.bin;type=ec", .kind = URI_PATH, .target = "./blob.bin", .type = "ec"},
        {.text = "azihsm://.//abs/blob.bin;type=rsa", .kind = URI_PATH, .target = "/abs/blob.bin", .type = "rsa"},
        {.text = "azihsm://./a%3Bb?type=RSA-PSS", .kind = URI_PATH, .target = "./a;b", .type = "RSA-PSS"},
        {.text = "azihsm:?tag=0x12", .kind = URI_TAG, .tag = 0x12},
        {.text = "azihsm://?tag=65535&type=ec", .kind = URI_TAG, .tag = 65535, .type = "ec"},
        {.text = "azihsm://k?device=unix:/run/x&partition=p%31&pin-source=file:/etc/pin",
         .kind = URI_NAME,
         .target = "k",
         .device = "unix:/run/x",
         .partition = "p1",
         .pin_source = "file:/etc/pin"},
        {.text = "azihsm:web?", .kind = URI_NAME, .target = "web"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uri uri;
        char why[200] = "";
        if (!uri_parse(cases[i].text, &uri, why, sizeof(why)))
            fail_msg("%s: %s", cases[i].text, why);
        assert_int_equal(uri.kind, cases[i].kind);
        assert_int_equal(uri.tag, cases[i].tag);
        const char *const got[] = {uri.target, uri.type, uri.device, uri.partition, uri.pin_source};
        const char *const want[] = {cases[i].target, cases[i].type, cases[i].device, cases[i].partition,
                                    cases[i].pin_source};
        for (size_t j = 0; j < 5; j++) {
            assert_int_equal(got[j] == NULL, want[j] == NULL);
            if (want[j] != NULL)
                assert_string_equal(got[j], want[j]);
        }
        uri_clear(&uri);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"file:/x", "azihsm:"},
        {"azihsm", "azihsm:"},
        {"azihsm://web?colour=red", "'colour'"},
        {"azihsm://web;type", "'type'"},
        {"azihsm://web;type=dsa", "'type' must be"},
        {"azihsm://web?type=ec&type=ec", "twice"},
        {"azihsm://web?partition=", "'partition' is empty"},
        {"azihsm:?tag=0", "'tag' must be"},
        {"azihsm:?tag=65536", "'tag' must be"},
        {"azihsm:?tag=-1", "'tag' must be"},
        {"azihsm:?tag=12x", "'tag' must be"},
        {"azihsm:?tag=1&tag=2", "twice"},
        {"azihsm://web?tag=1", "'tag' names"},
        {"azihsm://web?pin-source=1234", "'pin-source' must be"},
        {"azihsm://we%zz", "escape"},
        {"azihsm://we%4", "escape"},
        {"azihsm://we%", "escape"},
        {"azihsm://we%00b", "escape"},
        {"azihsm://web?partition=a%0", "'partition'"},
        {"azihsm://..", "leading dot"},
        {"azihsm://a/b", "no slash"},
        {"azihsm://a%2Fb", "no slash"},
        {"azihsm://%2e%2e", "leading dot"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uri uri;
        char why[200] = "";
        if (uri_parse(cases[i].text, &uri, why, sizeof(why)))
            fail_msg("%s was accepted", cases[i].text);
        if (strstr(why, cases[i].why) == NULL)
            fail_msg("%s: '%s' does not say '%s'", cases[i].text, why, cases[i].why);
        assert_null(uri.target);
    }
}

static void test_of_name(void **state)
{
    static const char *const names[] = {"web", "my key", "50%", "a?b;c&d=e", "\xc3\xa9", "x:y@z"};
    char text[200], why[100];
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct uri uri;
        assert_true(uri_of_name(names[i], text, sizeof(text)));
        assert_true(uri_parse(text, &uri, why, sizeof(why)));
        assert_int_equal(uri.kind, URI_NAME);
        assert_string_equal(uri.target, names[i]);
        uri_clear(&uri);
    }
    assert_false(uri_of_name("a long name", text, 12));
}

static void test_pkcs11_accepted(void **state)
{
    static const struct {
        const char *text, *target, *partition, *pin_source;
    } cases[] = {
        {"pkcs11:object=web", "web", NULL, NULL},
        {"PKCS11:object=web;type=private", "web", NULL, NULL},
        {"pkcs11:token=tenant%201;object=my%20key;type=private", "my key", "tenant 1", NULL},
        {"pkcs11:type=private;object=a%3Bb%3Fc?pin-source=file:/etc/pin", "a;b?c", NULL, "file:/etc/pin"},
        {"pkcs11:object=web?", "web", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uri uri;
        char why[200] = "";
        if (!uri_parse_pkcs11(cases[i].text, &uri, why, sizeof(why)))
            fail_msg("%s: %s", cases[i].text, why);
        assert_int_equal(uri.kind, URI_NAME);
        assert_string_equal(uri.target, cases[i].target);
        assert_null(uri.type);
        assert_int_equal(uri.tag, 0);
        const char *const got[] = {uri.partition, uri.pin_source}, *const want[] = {cases[i].partition,
                                                                                    cases[i].pin_source};
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(got[j] == NULL, want[j] == NULL);
            if (want[j] != NULL)
                assert_string_equal(got[j], want[j]);
        }
        uri_clear(&uri);
    }
}

/* What PKCS #11 has and we have not is an error that names it; nothing is passed over. */
static void test_pkcs11_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"azihsm://web", "pkcs11:"},
        {"pkcs11", "pkcs11:"},
        {"pkcs11:", "object=NAME"},
        {"pkcs11:token=t;type=private", "object=NAME"},
        {"pkcs11:object=web;id=%01%02", "'id' is not"},
        {"pkcs11:object=web;serial=1", "'serial' is not"},
        {"pkcs11:object=web;slot-id=1", "'slot-id' is not"},
        {"pkcs11:object=web;manufacturer=x", "'manufacturer' is not"},
        {"pkcs11:object=web;x-mine=1", "'x-mine' is not"},
        {"pkcs11:object=web;Type=private", "'Type' is not"},
        {"pkcs11:object=web;type=cert", "'type' must be private"},
        {"pkcs11:object=web;type=private;type=private", "'type' is given twice"},
        {"pkcs11:object=web;object=mail", "'object' is given twice"},
        {"pkcs11:object=", "'object' is empty"},
        {"pkcs11:object", "'object' has no value"},
        {"pkcs11:object=a%2Fb", "'object' must be"},
        {"pkcs11:object=..", "'object' must be"},
        {"pkcs11:object=we%00b", "'object'"},
        {"pkcs11:object=web;token=", "'token' is empty"},
        {"pkcs11:object=web;pin-source=file:/p", "'pin-source' is not"},
        {"pkcs11:object=web?pin-source=1234", "'pin-source' must be"},
        {"pkcs11:object=web?pin-value=1234", "'pin-value' is not"},
        {"pkcs11:object=web?module-path=/lib/x.so", "'module-path' is not"},
        {"pkcs11:object=web?pin-source=file:/p&pin-source=file:/q", "'pin-source' is given twice"},
        {"pkcs11:object=web;;type=private", "''"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uri uri;
        char why[200] = "";
        if (uri_parse_pkcs11(cases[i].text, &uri, why, sizeof(why)))
            fail_msg("%s was accepted", cases[i].text);
        if (strstr(why, cases[i].why) == NULL)
            fail_msg("%s: '%s' does not say '%s'", cases[i].text, why, cases[i].why);
        assert_null(strstr(why, "1234"));
        assert_null(uri.target);
    }
}

/* An error shows the URI, but nothing of where somebody may have written a PIN. */
static void test_shown(void **state)
{
    static const struct {
        const char *text;
        int shown;
    } cases[] = {{"azihsm://web", 12},
                 {"azihsm://web?pin-value=1234", 12},
                 {"azihsm:/k;pin-source=1234", 9},
                 {"pkcs11:pin-value=1234", 7}};
    char longest[200];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(uri_shown(cases[i].text), cases[i].shown);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(uri_shown(longest), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),        cmocka_unit_test(test_refused),        cmocka_unit_test(test_of_name),
        cmocka_unit_test(test_pkcs11_accepted), cmocka_unit_test(test_pkcs11_refused), cmocka_unit_test(test_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Certificate chains: validated by the openssl command and by libcrypto, taken apart field by field, thumbprints
 * computed a second time, restored from storage.
 */
#include "engine_support.h"

#include "crypto/kdf.h"
#include "emulator/certificate.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

static const uint8_t partition_id[CERTIFICATE_PARTITION_ID_SIZE] = {0x0a, 0xbc, 0xde, 0xf0, 1, 2,  3,  4,
                                                                    5,    6,    7,    8,    9, 10, 11, 12};

static struct certificate_chain *new_chain(struct engine *engine, struct engine_key **identity)
{
    struct certificate_chain *chain;

    assert_int_equal(engine_generate_ecc(engine, AZIHSM_CURVE_P384, identity), AZIHSM_OK);
    assert_int_equal(certificate_chain_new(engine, *identity, partition_id, &chain), AZIHSM_OK);
    return chain;
}

static X509 *parsed(const struct certificate_chain *chain, size_t index)
{
    struct azihsm_bytes der = certificate_chain_get(chain, index);
    const unsigned char *p = der.data;
    X509 *certificate = X509_new_ex(libctx, NULL);

    assert_non_null(d2i_X509(&certificate, &p, (long)der.len));
    assert_ptr_equal(p, der.data + der.len);
    return certificate;
}

/* ---- path validation ---- */

static void write_pem(const char *directory, const char *name, const struct certificate_chain *chain, size_t from,
                      size_t to)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = from; i < to; i++) {
        X509 *certificate = parsed(chain, i);

        assert_int_equal(PEM_write_X509(file, certificate), 1);
        X509_free(certificate);
    }
    fclose(file);
}

/* The index-0 certificate as the only trust anchor, strict. */
static void verify_with_the_command(const struct certificate_chain *chain)
{
    static const char *const names[] = {"root.pem", "middle.pem", "leaf.pem"};
    char directory[] = "/tmp/azihsm-certificate-XXXXXX", command[1024], path[256];
    size_t count = certificate_chain_count(chain);

    assert_non_null(mkdtemp(directory));
    write_pem(directory, names[0], chain, 0, 1);
    write_pem(directory, names[1], chain, count > 1 ? 1 : 0, count > 1 ? count - 1 : 1);
    write_pem(directory, names[2], chain, count - 1, count);
    snprintf(command, sizeof(command),
             "openssl verify -no-CApath -no-CAstore -CAfile %s/root.pem -untrusted %s/middle.pem %s/leaf.pem "
             ">/dev/null",
             directory, directory, directory);
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

static void chains_validate(void **state)
{
    struct engine *const engines[] = {virtual_engine, physical_engine};

    (void)state;
    for (size_t e = 0; e < COUNT(engines); e++) {
        struct engine_key *identity;
        struct certificate_chain *chain = new_chain(engines[e], &identity);
        size_t count = certificate_chain_count(chain);

        assert_int_equal(count, e == 0 ? 1 : 4);
        verify_with_the_command(chain);
        for (size_t i = 0; i < count; i++) {
            X509 *subject = parsed(chain, i), *issuer = parsed(chain, i == 0 ? 0 : i - 1);

            assert_int_equal(X509_verify(subject, X509_get0_pubkey(issuer)), 1);
            assert_int_equal(X509_check_issued(issuer, subject), X509_V_OK);
            assert_int_equal(X509_check_ca(subject) == 1, i < count - 1 || e == 0);
            assert_true(certificate_chain_get(chain, i).len <= 800);
            X509_free(subject);
            X509_free(issuer);
        }
        assert_int_equal(certificate_chain_get(chain, count).len, 0);
        certificate_chain_free(chain);
        engine_key_free(identity);
    }
}

/* ---- fields ---- */

static void common_name(const X509_NAME *name, char *out, size_t cap)
{
    assert_int_equal(X509_NAME_entry_count(name), 1);
    assert_true(X509_NAME_get_text_by_NID((X509_NAME *)(uintptr_t)name, NID_commonName, out, (int)cap) > 0);
}

static void check_key_id(X509 *certificate, const struct engine_key *identity)
{
    uint8_t point[SPKI_POINT_MAX], expected[20];
    struct azihsm_bytes part = {point, 0};
    const ASN1_OCTET_STRING *key_id = X509_get0_subject_key_id(certificate);

    assert_int_equal(spki_point(engine_key_pkey(identity), point, &part.len), AZIHSM_OK);
    assert_int_equal(part.len, 97);
    assert_int_equal(kdf_digest(libctx, AZIHSM_HASH_SHA1, &part, 1, expected), AZIHSM_OK);
    assert_int_equal(ASN1_STRING_length(key_id), 20);
    assert_memory_equal(ASN1_STRING_get0_data(key_id), expected, 20);
}

static void check_critical(const X509 *certificate, int nid, bool critical)
{
    int at = X509_get_ext_by_NID(certificate, nid, -1);

    assert_true(at >= 0);
    assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(certificate, at)), critical);
}

static void the_virtual_leaf(void **state)
{
    struct engine_key *identity;
    struct certificate_chain *chain = new_chain(virtual_engine, &identity);
    X509 *leaf = parsed(chain, 0);

    (void)state;
    assert_int_equal(X509_get_version(leaf), 2);
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(leaf)), 1);
    assert_int_equal(X509_get_signature_nid(leaf), NID_ecdsa_with_SHA384);
    assert_string_equal((const char *)ASN1_STRING_get0_data(X509_get0_notBefore(leaf)), "250930021043Z");
    assert_string_equal((const char *)ASN1_STRING_get0_data(X509_get0_notAfter(leaf)), "360930021043Z");
    assert_int_equal(X509_get_key_usage(leaf), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(leaf), engine_key_pkey(identity)), 1);
    check_key_id(leaf, identity);
    check_critical(leaf, NID_basic_constraints, true);
    check_critical(leaf, NID_key_usage, true);
    check_critical(leaf, NID_subject_key_identifier, false);
    X509_free(leaf);
    certificate_chain_free(chain);
    engine_key_free(identity);
}

static void the_physical_leaf(void **state)
{
    struct engine_key *identity;
    struct certificate_chain *chain = new_chain(physical_engine, &identity);
    X509 *leaf = parsed(chain, 3), *alias = parsed(chain, 2);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
    char name[80], alias_name[80];

    (void)state;
    assert_int_equal(ASN1_STRING_length(serial), 20);
    assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER);
    assert_int_equal(ASN1_STRING_get0_data(serial)[0] & 0x81, 1);
    common_name(X509_get_subject_name(leaf), name, sizeof(name));
    assert_string_equal(name, "0ABCDEF00102030405060708090A0B0C");
    common_name(X509_get_issuer_name(leaf), name, sizeof(name));
    common_name(X509_get_subject_name(alias), alias_name, sizeof(alias_name));
    assert_string_equal(name, alias_name);
    assert_int_equal(strlen(alias_name), 64);
    assert_string_equal((const char *)ASN1_STRING_get0_data(X509_get0_notBefore(leaf)), "20230101000000Z");
    assert_string_equal((const char *)ASN1_STRING_get0_data(X509_get0_notAfter(leaf)), "99991231235959Z");
    assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_check_ca(leaf), 0);
    check_critical(leaf, NID_basic_constraints, true);
    check_critical(leaf, NID_key_usage, true);
    check_key_id(leaf, identity);
    assert_int_equal(ASN1_STRING_cmp(X509_get0_authority_key_id(leaf), X509_get0_subject_key_id(alias)), 0);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(leaf), engine_key_pkey(identity)), 1);
    X509_free(leaf);
    X509_free(alias);
    certificate_chain_free(chain);
    engine_key_free(identity);
}

/* ---- thumbprints ---- */

static void sha256(const void *data, size_t len, uint8_t *out)
{
    struct azihsm_bytes part = view(data, len);

    assert_int_equal(kdf_digest(libctx, AZIHSM_HASH_SHA256, &part, 1, out), AZIHSM_OK);
}

static void thumbprints(void **state)
{
    struct engine_key *identity;
    struct certificate_chain *chain = new_chain(virtual_engine, &identity);
    uint8_t single[4][32], last[96], expected[32];

    (void)state;
    sha256(certificate_chain_get(chain, 0).data, certificate_chain_get(chain, 0).len, expected);
    assert_memory_equal(certificate_chain_thumbprint(chain), expected, 32);
    certificate_chain_free(chain);
    engine_key_free(identity);

    chain = new_chain(physical_engine, &identity);
    for (size_t i = 0; i < 4; i++)
        sha256(certificate_chain_get(chain, i).data, certificate_chain_get(chain, i).len, single[i]);
    sha256(single, 64, last); /* the platform's certificates: all but alias and partition */
    memcpy(last + 32, single[2], 32);
    memcpy(last + 64, single[3], 32);
    sha256(last, sizeof(last), expected);
    assert_memory_equal(certificate_chain_thumbprint(chain), expected, 32);
    certificate_chain_free(chain);
    engine_key_free(identity);
}

static void chains_come_back_from_storage(void **state)
{
    struct engine_key *identity, *other;
    struct certificate_chain *chain = new_chain(physical_engine, &identity), *again;
    struct azihsm_bytes ders[CERTIFICATE_COUNT_MAX + 1];
    size_t count = certificate_chain_count(chain);

    (void)state;
    for (size_t i = 0; i < COUNT(ders); i++)
        ders[i] = certificate_chain_get(chain, i % count);
    assert_int_equal(certificate_chain_restore(physical_engine, identity, ders, count, &again), AZIHSM_OK);
    assert_int_equal(certificate_chain_count(again), count);
    assert_memory_equal(certificate_chain_thumbprint(again), certificate_chain_thumbprint(chain), 32);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(certificate_chain_get(again, i).len, ders[i].len);
        assert_memory_equal(certificate_chain_get(again, i).data, ders[i].data, ders[i].len);
    }
    certificate_chain_free(certificate_chain_up_ref(again));
    certificate_chain_free(again);
    assert_int_equal(engine_generate_ecc(physical_engine, AZIHSM_CURVE_P384, &other), AZIHSM_OK);
    assert_int_equal(certificate_chain_restore(physical_engine, other, ders, count, &again), AZIHSM_E_DECODE);
    assert_int_equal(certificate_chain_restore(physical_engine, identity, ders, count - 1, &again), AZIHSM_E_DECODE);
    assert_int_equal(certificate_chain_restore(physical_engine, identity, ders, 0, &again), AZIHSM_E_DECODE);
    assert_int_equal(certificate_chain_restore(physical_engine, identity, ders, COUNT(ders), &again), AZIHSM_E_DECODE);
    assert_null(again);
    engine_key_free(other);
    engine_key_free(identity);
    certificate_chain_free(chain);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_validate),
        cmocka_unit_test(the_virtual_leaf),
        cmocka_unit_test(the_physical_leaf),
        cmocka_unit_test(thumbprints),
        cmocka_unit_test(chains_come_back_from_storage),
    };

    return cmocka_run_group_tests(tests, setup_engines, teardown_engines);
}

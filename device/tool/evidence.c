/*
 * The evidence file and its certificate chain. The report itself is read in report_reader.c.
 */
#include "evidence.h"

#include "client/cbor_io.h"
#include "crypto/ecdsa.h"
#include "crypto/spki.h"
#include "report_reader.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <string.h>

enum { EVIDENCE_VERSION = 1 };

/* ---- the file ---- */

azihsm_rc evidence_encode(const struct evidence *evidence, uint8_t *out, size_t cap, size_t *len)
{
    struct cbor_writer writer;
    size_t i;

    cbor_write_init(&writer, out, cap);
    cbor_write_map(&writer, 4);
    cbor_write_pair_uint(&writer, "azihsm-evidence", EVIDENCE_VERSION);
    cbor_write_pair_bytes(&writer, "report", evidence->report.data, evidence->report.len);
    cbor_write_pair_bytes(&writer, "spki", evidence->spki.data, evidence->spki.len);
    cbor_write_text(&writer, "chain");
    cbor_write_array(&writer, evidence->chain_count);
    for (i = 0; i < evidence->chain_count; i++)
        cbor_write_bytes(&writer, evidence->chain[i].data, evidence->chain[i].len);
    *len = writer.len;
    return writer.failed ? AZIHSM_E_ENCODE : AZIHSM_OK;
}

static bool evidence_read_chain(struct cbor_reader *reader, uint64_t count, struct evidence *out)
{
    struct cbor_token token;

    if (count == 0 || count > EVIDENCE_CHAIN_MAX)
        return false;
    for (; count > 0; count--) {
        if (!cbor_read_expect(reader, CBOR_TOKEN_BYTES, &token))
            return false;
        out->chain[out->chain_count++] = token.string;
    }
    return true;
}

/* The four entries in the order in which they are written. */
static bool evidence_read(struct cbor_reader *reader, struct evidence *out)
{
    struct cbor_token map, key, version, report, spki, chain;

    return cbor_read_expect(reader, CBOR_TOKEN_MAP, &map) && map.value == 4 &&
           cbor_read_expect(reader, CBOR_TOKEN_TEXT, &key) && cbor_text_equals(key.string, "azihsm-evidence") &&
           cbor_read_expect(reader, CBOR_TOKEN_UINT, &version) && version.value == EVIDENCE_VERSION &&
           cbor_read_expect(reader, CBOR_TOKEN_TEXT, &key) && cbor_text_equals(key.string, "report") &&
           cbor_read_expect(reader, CBOR_TOKEN_BYTES, &report) && cbor_read_expect(reader, CBOR_TOKEN_TEXT, &key) &&
           cbor_text_equals(key.string, "spki") && cbor_read_expect(reader, CBOR_TOKEN_BYTES, &spki) &&
           cbor_read_expect(reader, CBOR_TOKEN_TEXT, &key) && cbor_text_equals(key.string, "chain") &&
           cbor_read_expect(reader, CBOR_TOKEN_ARRAY, &chain) &&
           (out->report = report.string, out->spki = spki.string, evidence_read_chain(reader, chain.value, out)) &&
           cbor_read_finished(reader);
}

azihsm_rc evidence_decode(struct azihsm_bytes file, struct evidence *out, struct azihsm_error *err)
{
    struct cbor_reader reader;

    *out = (struct evidence){.chain_count = 0};
    cbor_read_init(&reader, file.data, file.len);
    if (!evidence_read(&reader, out))
        return azihsm_error_set(err, AZIHSM_E_DECODE, "this is not evidence written by `azihsm attest`");
    return AZIHSM_OK;
}

/* ---- the chain ---- */

static X509 *evidence_certificate(OSSL_LIB_CTX *libctx, struct azihsm_bytes der)
{
    const unsigned char *cursor = der.data;
    X509 *certificate = X509_new_ex(libctx, NULL);

    if (certificate != NULL &&
        (d2i_X509(&certificate, &cursor, (long)der.len) == NULL || cursor != der.data + der.len)) {
        X509_free(certificate);
        certificate = NULL;
    }
    return certificate;
}

static bool evidence_root_trusted(OSSL_LIB_CTX *libctx, const struct evidence_anchor *anchor, struct azihsm_bytes root)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t len = 0;

    if (anchor->root_der.len > 0)
        return anchor->root_der.len == root.len && memcmp(anchor->root_der.data, root.data, root.len) == 0;
    return anchor->root_sha256 != NULL && EVP_Q_digest(libctx, "SHA256", NULL, root.data, root.len, digest, &len) &&
           memcmp(digest, anchor->root_sha256, len) == 0;
}

/* Standard path validation with the root as the only anchor. */
static const char *evidence_check_path(X509 *root, X509 *leaf, STACK_OF(X509) * between)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    const char *wrong = "out of memory";

    if (store != NULL && ctx != NULL && X509_STORE_add_cert(store, root) &&
        X509_STORE_CTX_init(ctx, store, leaf, between))
        wrong = X509_verify_cert(ctx) > 0 ? NULL : X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return wrong;
}

/* The leaf's public key, once the chain has proved it; NULL with err set. */
static EVP_PKEY *evidence_signer(OSSL_LIB_CTX *libctx, const struct evidence *evidence,
                                 const struct evidence_anchor *anchor, struct azihsm_error *err)
{
    STACK_OF(X509) *certificates = sk_X509_new_null();
    const char *wrong = NULL;
    EVP_PKEY *key = NULL;
    size_t i;

    if (!evidence_root_trusted(libctx, anchor, evidence->chain[0])) {
        azihsm_error_set(err, AZIHSM_E_MISMATCH, "the chain does not begin with the root that is trusted");
        goto end;
    }
    for (i = 0; i < evidence->chain_count; i++) {
        X509 *certificate = evidence_certificate(libctx, evidence->chain[i]);

        if (certificate == NULL || !sk_X509_push(certificates, certificate)) {
            X509_free(certificate);
            azihsm_error_set(err, AZIHSM_E_DECODE, "certificate %zu of the chain is malformed", i);
            goto end;
        }
    }
    wrong = evidence_check_path(sk_X509_value(certificates, 0),
                                sk_X509_value(certificates, sk_X509_num(certificates) - 1), certificates);
    if (wrong != NULL) {
        azihsm_error_set(err, AZIHSM_E_MISMATCH, "the certificate chain is not valid: %s", wrong);
        goto end;
    }
    key = X509_get_pubkey(sk_X509_value(certificates, sk_X509_num(certificates) - 1));
end:
    sk_X509_pop_free(certificates, X509_free);
    return key;
}

/* ---- all of it ---- */

static azihsm_rc evidence_check_report(OSSL_LIB_CTX *libctx, const struct evidence *evidence, EVP_PKEY *signer,
                                       struct evidence_claims *out, struct azihsm_error *err)
{
    uint8_t signed_bytes[AZIHSM_REPORT_MAX + 64];
    struct report_parts parts;
    size_t len = 0;

    if (!report_split(evidence->report, &parts) ||
        !report_signed_bytes(&parts, signed_bytes, sizeof(signed_bytes), &len))
        return azihsm_error_set(err, AZIHSM_E_DECODE, "the report is no COSE_Sign1 of the expected form");
    if (spki_curve(signer) != AZIHSM_CURVE_P384 ||
        ecdsa_verify_message(libctx, signer, AZIHSM_HASH_SHA384, (struct azihsm_bytes){signed_bytes, len},
                             parts.signature) != AZIHSM_OK)
        return azihsm_error_set(err, AZIHSM_E_MISMATCH, "the report's signature is not by the leaf certificate's key");
    if (!report_read_claims(parts.payload, out))
        return azihsm_error_set(err, AZIHSM_E_DECODE, "the report's payload is malformed");
    if (!report_key_is(libctx, out->cose_key, evidence->spki))
        return azihsm_error_set(err, AZIHSM_E_MISMATCH, "the report is about another public key than the evidence");
    return AZIHSM_OK;
}

azihsm_rc evidence_verify(const struct evidence *evidence, const struct evidence_anchor *anchor,
                          struct evidence_claims *out, struct azihsm_error *err)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    EVP_PKEY *signer = libctx != NULL ? evidence_signer(libctx, evidence, anchor, err) : NULL;
    azihsm_rc rc = AZIHSM_E_MISMATCH;

    if (signer != NULL)
        rc = evidence_check_report(libctx, evidence, signer, out, err);
    EVP_PKEY_free(signer);
    OSSL_LIB_CTX_free(libctx);
    return rc;
}

const char *evidence_flag_name(unsigned bit)
{
    static const char *const names[] = {"imported", "session", "generated", "encrypt", "decrypt",
                                        "sign",     "verify",  "wrap",      "unwrap",  "derive"};

    return bit < sizeof(names) / sizeof(names[0]) ? names[bit] : NULL;
}

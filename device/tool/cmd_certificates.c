/*
 * azihsm certificates: the chain as PEM, root first.
 */
#include "chain.h"
#include "commands.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static void certificates_name(struct output *out, const char *name, const X509_NAME *value)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len = 0;

    if (bio != NULL && X509_NAME_print_ex(bio, value, 0, XN_FLAG_RFC2253) >= 0)
        len = BIO_get_mem_data(bio, &text);
    output_text_len(out, name, (struct azihsm_bytes){(const uint8_t *)text, len > 0 ? (size_t)len : 0});
    BIO_free(bio);
}

static void certificates_print(struct tool *tool, const struct chain *chain)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t i, len = 0;

    output_begin(&tool->out, tool->json);
    output_list(&tool->out, "certificates");
    for (i = 0; i < chain->count; i++) {
        const unsigned char *cursor = chain->der[i].data;
        X509 *certificate = d2i_X509(NULL, &cursor, (long)chain->der[i].len);

        output_object(&tool->out, NULL);
        if (certificate != NULL) {
            certificates_name(&tool->out, "subject", X509_get_subject_name(certificate));
            certificates_name(&tool->out, "issuer", X509_get_issuer_name(certificate));
        }
        if (EVP_Q_digest(NULL, "SHA256", NULL, chain->der[i].data, chain->der[i].len, digest, &len))
            output_hex(&tool->out, "sha256", (struct azihsm_bytes){digest, len});
        if (tool->json)
            output_hex(&tool->out, "der", chain->der[i]);
        output_close(&tool->out);
        X509_free(certificate);
    }
    output_close(&tool->out);
    output_end(&tool->out);
}

static int certificates_write(const struct chain *chain, const char *path)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL;
    char *text = NULL;
    int status = TOOL_FAILED;
    size_t i;
    long len = 0;

    for (i = 0; ok && i < chain->count; i++)
        ok = PEM_write_bio(bio, PEM_STRING_X509, "", chain->der[i].data, (long)chain->der[i].len) > 0;
    if (ok)
        len = BIO_get_mem_data(bio, &text);
    if (len > 0)
        status = tool_write_file(path, (struct azihsm_bytes){(const uint8_t *)text, (size_t)len}, false);
    BIO_free(bio);
    return status;
}

int cmd_certificates(struct tool *tool, int argc, char **argv)
{
    const char *out = NULL;
    const struct tool_option options[] = {{"out", &out, NULL}, {NULL, NULL, NULL}};
    struct chain chain;
    int status = tool_parse(tool, argc, argv, options, NULL, 0, 0);
    azihsm_rc rc;

    if (status != TOOL_OK)
        return status;
    rc = chain_read(tool, &chain);
    if (rc != AZIHSM_OK)
        status = tool_fail(tool, rc);
    else if (out != NULL)
        status = certificates_write(&chain, out);
    else
        certificates_print(tool, &chain);
    chain_free(&chain);
    return status;
}

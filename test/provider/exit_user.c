/*
 * A plugin that uses libssl and a device key, for exit_host: a handshake in memory with all of OpenSSL behind it, then
 * everything is freed and the plugin unloaded (acceptance row C-10).
 */
#include <openssl/ssl.h>

#include <stdio.h>

int use_tls(const char *config);

static X509 *certificate(EVP_PKEY *key, OSSL_LIB_CTX *ctx)
{
    X509 *x = X509_new_ex(ctx, NULL);

    X509_set_version(x, 2);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_sign(x, key, EVP_sha256());
    return x;
}

static int handshake(SSL_CTX *server_ctx, SSL_CTX *client_ctx)
{
    SSL *server = SSL_new(server_ctx), *client = SSL_new(client_ctx);
    BIO *one = NULL, *two = NULL;
    int done = 0;

    BIO_new_bio_pair(&one, 0, &two, 0);
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, two, two);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int round = 0; round < 20 && !done; round++) {
        int c = SSL_do_handshake(client), s = SSL_do_handshake(server);

        done = c == 1 && s == 1;
    }
    SSL_free(client);
    SSL_free(server);
    return done;
}

__attribute__((visibility("default"))) int use_tls(const char *config)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    int done = 0;

    if (OSSL_LIB_CTX_load_config(ctx, config)) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(ctx, "provider=azihsm", "EC", "P-256");
        SSL_CTX *server = SSL_CTX_new_ex(ctx, NULL, TLS_server_method());
        SSL_CTX *client = SSL_CTX_new_ex(ctx, NULL, TLS_client_method());
        X509 *x = key == NULL ? NULL : certificate(key, ctx);

        done = x != NULL && SSL_CTX_use_certificate(server, x) == 1 && SSL_CTX_use_PrivateKey(server, key) == 1 &&
               handshake(server, client);
        X509_free(x);
        SSL_CTX_free(client);
        SSL_CTX_free(server);
        EVP_PKEY_free(key);
    }
    OSSL_LIB_CTX_free(ctx);
    return done;
}

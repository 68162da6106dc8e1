/*
 * TLS in memory: server keys in the device and in software, in every activation order, with the schemes real servers
 * use; a client key in the device; RSA key exchange. C-07 (either order of SSL_CTX and key), C-19.
 */
#include "support.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <unistd.h>

struct handshake {
    const char *kind;
    int version;
    const char *cipher;     /* TLS 1.2 list, NULL: default */
    const char *sigalgs;    /* of the client, NULL: default */
    const char *client_key; /* kind of a device key, NULL: no client certificate */
};

/* A kind ending in d has a key that decrypts: RSA key exchange, the certificate signed by somebody else. */
static const struct handshake handshakes[] = {
    {"P-256", TLS1_3_VERSION, NULL, NULL, NULL},
    {"P-384", TLS1_3_VERSION, NULL, NULL, NULL},
    {"P-521", TLS1_3_VERSION, NULL, NULL, NULL},
    {"RSA-2048", TLS1_3_VERSION, NULL, NULL, NULL},
    {"RSA-2048", TLS1_3_VERSION, NULL, "rsa_pss_rsae_sha512:RSA+SHA256", NULL},
    {"PSS-2048", TLS1_3_VERSION, NULL, "rsa_pss_pss_sha256", NULL},
    {"P-256", TLS1_2_VERSION, NULL, NULL, NULL},
    {"P-256", TLS1_2_VERSION, NULL, "ECDSA+SHA512:ECDSA+SHA256", NULL},
    {"RSA-2048", TLS1_2_VERSION, NULL, NULL, NULL},
    {"RSA-2048", TLS1_2_VERSION, NULL, "rsa_pss_rsae_sha384:RSA+SHA256", NULL},
    {"RSA-2048", TLS1_2_VERSION, NULL, "RSA+SHA256", NULL},
    {"RSA-2048d", TLS1_2_VERSION, "AES128-SHA:@SECLEVEL=0", NULL, NULL},
    {"RSA-2048d", TLS1_1_VERSION, "AES128-SHA:@SECLEVEL=0", NULL, NULL},
    {"RSA-2048", TLS1_1_VERSION, "ECDHE-RSA-AES128-SHA:@SECLEVEL=0", NULL, NULL},
    {"P-256", TLS1_3_VERSION, NULL, NULL, "P-256"},
    {"P-256", TLS1_3_VERSION, NULL, NULL, "RSA-2048"},
    {"RSA-2048", TLS1_2_VERSION, NULL, NULL, "RSA-2048"},
    {"RSA-2048", TLS1_2_VERSION, NULL, NULL, "P-384"},
};
enum { HANDSHAKES = sizeof(handshakes) / sizeof(handshakes[0]) };

static bool decrypts(const char *kind)
{
    return kind[strlen(kind) - 1] == 'd';
}

static X509 *certificate(EVP_PKEY *key, EVP_PKEY *signer, OSSL_LIB_CTX *ctx)
{
    X509 *x = X509_new_ex(ctx, NULL);
    X509_NAME *name = X509_get_subject_name(x);
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    good(X509_set_version(x, 2));
    ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    good(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0));
    good(X509_set_issuer_name(x, name));
    good(X509_set_pubkey(x, key));
    good(EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, signer, NULL));
    good(X509_sign_ctx(x, md));
    EVP_MD_CTX_free(md);
    return x;
}

static SSL_CTX *side(OSSL_LIB_CTX *ctx, bool server, const struct handshake *h)
{
    SSL_CTX *ssl = SSL_CTX_new_ex(ctx, NULL, server ? TLS_server_method() : TLS_client_method());

    assert_non_null(ssl);
    good(SSL_CTX_set_min_proto_version(ssl, h->version));
    good(SSL_CTX_set_max_proto_version(ssl, h->version));
    if (h->cipher != NULL)
        good(SSL_CTX_set_cipher_list(ssl, h->cipher));
    if (!server && h->sigalgs != NULL)
        good(SSL_CTX_set1_sigalgs_list(ssl, h->sigalgs));
    return ssl;
}

static void give_key(SSL_CTX *ssl, EVP_PKEY *key, X509 *x)
{
    good(SSL_CTX_use_certificate(ssl, x));
    good(SSL_CTX_use_PrivateKey(ssl, key));
    good(SSL_CTX_check_private_key(ssl));
}

static void trust(SSL_CTX *ssl, X509 *x)
{
    good(X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), x));
    good(X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN));
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

/* Moves the handshake on until neither side wants anything; both must be done then. */
static void shake(SSL *server, SSL *client)
{
    int done = 0, s = 0, c = 0;

    for (int round = 0; round < 20 && !done; round++) {
        c = SSL_do_handshake(client);
        s = SSL_do_handshake(server);
        done = c == 1 && s == 1;
    }
    if (!done)
        print_error("client error %d, server error %d\n", SSL_get_error(client, c), SSL_get_error(server, s));
    good(done);
}

static void connect_sides(SSL_CTX *server_ctx, SSL_CTX *client_ctx)
{
    SSL *server = SSL_new(server_ctx), *client = SSL_new(client_ctx);
    BIO *one, *two;
    char text[6] = "";

    good(BIO_new_bio_pair(&one, 0, &two, 0));
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, two, two);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    shake(server, client);
    good(SSL_write(client, "hello", 5));
    assert_int_equal(SSL_read(server, text, 5), 5);
    assert_string_equal(text, "hello");
    SSL_free(client);
    SSL_free(server);
}

/* SSL contexts are made before the keys here (C-07); test_tls_key_first does it the other way round. */
static void run(const char *name, OSSL_LIB_CTX *server_lib, OSSL_LIB_CTX *client_lib, const struct handshake *h,
                bool device)
{
    SSL_CTX *server = side(server_lib, true, h), *client = side(client_lib, false, h);
    EVP_PKEY *key = device ? device_key(server_lib, h->kind) : software_key(server_lib, h->kind);
    EVP_PKEY *signer = decrypts(h->kind) ? software_key(server_lib, "RSA-3072") : key;
    X509 *x = certificate(key, signer, server_lib);

    give_key(server, key, x);
    trust(client, x);
    if (h->client_key != NULL) {
        EVP_PKEY *client_key = device ? device_key(client_lib, h->client_key) : software_key(client_lib, h->client_key);
        X509 *client_x = certificate(client_key, client_key, client_lib);
        give_key(client, client_key, client_x);
        trust(server, client_x);
        X509_free(client_x);
    }
    print_message("%s: %s key in %s, protocol %04x, sigalgs %s, client key %s\n", name, h->kind,
                  device ? "device" : "software", (unsigned)h->version, h->sigalgs == NULL ? "default" : h->sigalgs,
                  h->client_key == NULL ? "none" : h->client_key);
    connect_sides(server, client);
    X509_free(x);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void test_device_server(void **state)
{
    (void)state;
    for (size_t o = 0; o < ORDERS; o++)
        for (size_t h = 0; h < HANDSHAKES; h++) {
            if (handshakes[h].client_key == NULL)
                run(orders[o], order(orders[o]), software(), &handshakes[h], true);
            run(orders[o], order(orders[o]), order(orders[o]), &handshakes[h], true);
        }
}

static void test_software_server(void **state)
{
    long before = device_requests(NULL);

    (void)state;
    for (size_t o = 0; o < ORDERS; o++)
        for (size_t h = 0; h < HANDSHAKES; h++)
            run(orders[o], order(orders[o]), order(orders[o]), &handshakes[h], false);
    assert_int_equal(device_requests(NULL), before);
}

/* Ciphers, MACs and KDFs of ours in every record, with key bytes: the same TLS, and no device. */
static void test_symmetric_preferred(void **state)
{
    OSSL_LIB_CTX *ctx = order("symmetric-preferred");
    long before = device_requests(NULL);

    (void)state;
    for (size_t h = 0; h < HANDSHAKES; h++) {
        run("symmetric-preferred", ctx, ctx, &handshakes[h], false);
        run("symmetric-preferred", ctx, software(), &handshakes[h], false);
    }
    assert_int_equal(device_requests(NULL), before);
}

static void test_key_first(void **state)
{
    OSSL_LIB_CTX *ctx = order("default-first");
    EVP_PKEY *key = make_key(ctx, "provider=azihsm", "P-256");
    X509 *x = certificate(key, key, ctx);
    SSL_CTX *server = side(ctx, true, &handshakes[0]), *client = side(software(), false, &handshakes[0]);

    (void)state;
    give_key(server, key, x);
    trust(client, x);
    EVP_PKEY_free(key);
    connect_sides(server, client);
    X509_free(x);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void test_one_request_each(void **state)
{
    OSSL_LIB_CTX *ctx = order("default-first");
    SSL_CTX *server = side(ctx, true, &handshakes[0]), *client = side(software(), false, &handshakes[0]);
    EVP_PKEY *key = device_key(ctx, "P-256");
    X509 *x = certificate(key, key, ctx);
    long before;

    (void)state;
    give_key(server, key, x);
    trust(client, x);
    before = device_requests(NULL);
    for (int i = 0; i < 10; i++)
        connect_sides(server, client);
    assert_int_equal(device_requests(NULL), before + 10); /* C-14 */
    X509_free(x);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static const char *const holdings[3] = {"azihsm_keys", "azihsm_sessions", "azihsm_connections"};

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* AZIHSM_TEST_HANDSHAKES=100000 for the row's own number. */
static int how_many(void)
{
    const char *wanted = getenv("AZIHSM_TEST_HANDSHAKES");

    return wanted != NULL && atoi(wanted) > 0 ? atoi(wanted) : TIMES(1000);
}

/* C-15: client certificates leave nothing in the device, nor does the device's own end; memory stays where it was. */
static void test_many_clients(void **state)
{
    const int many = how_many();
    static const struct handshake mutual = {"P-256", TLS1_3_VERSION, NULL, NULL, NULL};
    OSSL_LIB_CTX *ctx = order("default-first");
    SSL_CTX *server = side(ctx, true, &mutual),
            *client[2] = {side(software(), false, &mutual), side(ctx, false, &mutual)};
    EVP_PKEY *keys[3] = {device_key(ctx, "P-256"), software_key(software(), "RSA-2048"), device_key(ctx, "P-384")};
    X509 *x[3] = {certificate(keys[0], keys[0], ctx), certificate(keys[1], keys[1], software()),
                  certificate(keys[2], keys[2], ctx)};
    long held[3] = {0}, requests = 0, memory = 0;

    (void)state;
    give_key(server, keys[0], x[0]);
    for (int i = 0; i < 2; i++) {
        give_key(client[i], keys[1 + i], x[1 + i]);
        trust(client[i], x[0]);
        trust(server, x[1 + i]);
    }
    for (int i = 0; i < 2 * many; i++) {
        if (i == many) { /* the caches are warm */
            requests = device_requests(NULL);
            memory = resident_kib();
            for (size_t h = 0; h < 3; h++)
                held[h] = device_metric(holdings[h]);
        }
        connect_sides(server, client[i % 2]);
    }
    assert_int_equal(device_requests(NULL), requests + many + many / 2);
    for (size_t h = 0; h < 3; h++)
        assert_int_equal(device_metric(holdings[h]), held[h]);
    print_message("%d handshakes: memory grew by %ld KiB\n", many, resident_kib() - memory);
    /* Half a KiB each would be a leak; sanitizers keep what is freed. */
    assert_true(SANITIZED || resident_kib() - memory < many / 2);
    for (int i = 0; i < 3; i++)
        X509_free(x[i]);
    SSL_CTX_free(client[0]);
    SSL_CTX_free(client[1]);
    SSL_CTX_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_server),       cmocka_unit_test(test_software_server),
        cmocka_unit_test(test_symmetric_preferred), cmocka_unit_test(test_key_first),
        cmocka_unit_test(test_one_request_each),    cmocka_unit_test(test_many_clients),
    };

    return cmocka_run_group_tests(tests, NULL, support_end);
}

/*
 * Reading software keys with libcrypto's store, in a library context of our own: no configuration, no other provider.
 */
#include "software_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASSWORD_MAX = 256 };

struct software_password {
    const char *file;
    bool asked; /* the key is encrypted */
    int error;  /* errno of the password file */
};

static int software_ask(char *buf, int size)
{
    char *text = getpass("Password: ");
    size_t len = text != NULL ? strlen(text) : 0;

    if (text == NULL)
        return -1;
    if (len < (size_t)size)
        OPENSSL_strlcpy(buf, text, (size_t)size);
    OPENSSL_cleanse(text, len);
    return len < (size_t)size ? (int)len : -1;
}

/* pem_password_cb */
static int software_password(char *buf, int size, int writing, void *arg)
{
    struct software_password *password = arg;
    char line[PASSWORD_MAX];
    FILE *file;
    int len = -1;

    (void)writing;
    password->asked = true;
    if (password->file == NULL)
        return isatty(STDIN_FILENO) ? software_ask(buf, size) : -1;
    file = fopen(password->file, "re");
    if (file == NULL)
        password->error = errno;
    if (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        len = (int)strcspn(line, "\r\n");
        if (len <= size)
            memcpy(buf, line, (size_t)len);
        else
            len = -1;
    }
    if (file != NULL)
        fclose(file);
    OPENSSL_cleanse(line, sizeof(line));
    return len;
}

static EVP_PKEY *software_find(OSSL_STORE_CTX *store)
{
    EVP_PKEY *pkey = NULL;

    while (pkey == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info == NULL)
            break;
        if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            pkey = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    return pkey;
}

/* Why there is no key, as exactly as libcrypto lets us know. */
static int software_explain(const char *path, int denied, const struct software_password *password)
{
    if (denied != 0)
        return tool_complain(TOOL_FAILED, "%s: %s", path, strerror(denied));
    if (password->error != 0)
        return tool_complain(TOOL_FAILED, "%s: %s", password->file, strerror(password->error));
    if (password->asked && password->file == NULL && !isatty(STDIN_FILENO))
        return tool_complain(TOOL_FAILED, "%s is encrypted: --password-file is needed", path);
    if (password->asked)
        return tool_complain(TOOL_FAILED, "%s is encrypted, and the password is not the right one", path);
    return tool_complain(TOOL_FAILED, "%s holds no private key that can be read (PEM, DER or PKCS#12)", path);
}

/* A word on a key that others could read all the time: moving it into the device does not make it secret again. */
static void software_warn(const char *path)
{
    struct stat info;

    if (stat(path, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & S_IROTH) != 0)
        tool_complain(0, "warning: every user may read %s: the key in it may be known to others, and stays so", path);
}

int software_key_read(const char *path, const char *password_file, struct software_key *out)
{
    struct software_password password = {.file = password_file};
    UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(software_password, 0);
    OSSL_STORE_CTX *store = NULL;
    int denied = access(path, R_OK) == 0 ? 0 : errno;

    *out = (struct software_key){.libctx = OSSL_LIB_CTX_new()};
    if (out->libctx != NULL && ui != NULL && denied == 0)
        store = OSSL_STORE_open_ex(path, out->libctx, NULL, ui, &password, NULL, NULL, NULL);
    if (store != NULL) {
        OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
        out->pkey = software_find(store);
        OSSL_STORE_close(store);
    }
    UI_destroy_method(ui);
    if (out->pkey == NULL) {
        software_key_free(out);
        return software_explain(path, denied, &password);
    }
    software_warn(path);
    return TOOL_OK;
}

void software_key_free(struct software_key *key)
{
    EVP_PKEY_free(key->pkey);
    OSSL_LIB_CTX_free(key->libctx);
    *key = (struct software_key){0};
}

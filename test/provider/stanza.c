/*
 * The reader of stanza.h. One buffer holds a line; a value may be as long as the longest message of a vector.
 */
#include "stanza.h"

#include <dirent.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_SIZE = 1 << 18, PEM_MAX_SIZE = 1 << 14 };

static FILE *open_file(const char *name)
{
    const char *dir = getenv("AZIHSM_VECTORS");
    char path[1024];
    FILE *file;

    snprintf(path, sizeof(path), "%s/../shared/vectors/openssl/%s", PROJECT_ROOT, name);
    if ((file = fopen(path, "r")) != NULL || dir == NULL)
        return file;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return fopen(path, "r");
}

uint8_t *stanza_bytes(const char *text, size_t *len)
{
    long n = 0;
    uint8_t *out;

    if (text[0] == '"') {
        *len = strlen(text) - 2;
        return OPENSSL_memdup(text + 1, *len + 1);
    }
    if (text[0] == '\0') {
        *len = 0;
        return OPENSSL_zalloc(1);
    }
    out = OPENSSL_hexstr2buf(text, &n);
    *len = (size_t)n;
    return out;
}

static char *read_pem(FILE *file, int *number)
{
    char line[512], *pem = calloc(1, PEM_MAX_SIZE);
    size_t used = 0;

    while (pem != NULL && fgets(line, sizeof(line), file) != NULL) {
        ++*number;
        used += (size_t)snprintf(pem + used, PEM_MAX_SIZE - used, "%s", line);
        if (used >= PEM_MAX_SIZE || strncmp(line, "-----END", 8) == 0)
            break;
    }
    return pem;
}

/* Cuts `Name = value` in two, without the blanks round the sign; NULL when it is no such line. */
static char *split(char *line)
{
    char *value = strchr(line, '='), *end;

    if (line[0] == '#' || value == NULL)
        return NULL;
    for (end = value; end > line && (end[-1] == ' ' || end[-1] == '\t'); end--)
        ;
    *end = '\0';
    for (value++; *value == ' ' || *value == '\t'; value++)
        ;
    for (end = value + strlen(value); end > value && end[-1] == ' '; end--)
        end[-1] = '\0';
    return value;
}

bool stanza_read(const char *name, const struct stanza_reader *reader)
{
    FILE *file = open_file(name);
    char *line = malloc(LINE_MAX_SIZE), *value;
    int number = 0;

    if (file == NULL || line == NULL) {
        free(line);
        if (file != NULL)
            fclose(file);
        return false;
    }
    while (fgets(line, LINE_MAX_SIZE, file) != NULL) {
        ++number;
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0')
            reader->end(reader->arg);
        if ((value = split(line)) == NULL)
            continue;
        if (strcmp(line, "PrivateKey") == 0 || strcmp(line, "PublicKey") == 0) {
            reader->end(reader->arg);
            reader->key(reader->arg, value, line[1] == 'r', read_pem(file, &number));
        } else {
            reader->line(reader->arg, line, value, number);
        }
    }
    reader->end(reader->arg);
    fclose(file);
    free(line);
    return true;
}

size_t stanza_files(const char *kind, char **names, size_t max)
{
    const char *dir = getenv("AZIHSM_VECTORS");
    char path[1024];
    struct dirent *entry;
    size_t n = 0, len;
    DIR *files;

    snprintf(path, sizeof(path), "%s/%s", dir == NULL ? "" : dir, kind);
    if (dir == NULL || (files = opendir(path)) == NULL)
        return 0;
    while (n < max && (entry = readdir(files)) != NULL) {
        len = strlen(kind) + strlen(entry->d_name) + 2;
        if (entry->d_name[0] == '.' || (names[n] = malloc(len)) == NULL)
            continue;
        snprintf(names[n++], len, "%s/%s", kind, entry->d_name);
    }
    closedir(files);
    return n;
}

/*
 * A program without OpenSSL that loads a plugin which has it (exit_user), uses it, unloads it, and ends; some times
 * over. usage: exit_host PLUGIN CONFIG
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    for (int i = 0; argc == 3 && i < 3; i++) {
        void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        int (*use)(const char *) = NULL;

        if (plugin == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        *(void **)&use = dlsym(plugin, "use_tls");
        if (use == NULL || !use(argv[2])) {
            fprintf(stderr, "no handshake in round %d\n", i);
            return 1;
        }
        dlclose(plugin);
    }
    return argc == 3 ? 0 : 2;
}

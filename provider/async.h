/* How the device client waits inside an ASYNC_JOB: by pausing the job instead of blocking the thread. */
#ifndef AZIHSM_PROVIDER_ASYNC_H
#define AZIHSM_PROVIDER_ASYNC_H

#include <azihsm/client.h>

/* Hooks for azihsm_client_config: outside of a job they answer "cannot pause", and the client blocks. */
extern const struct azihsm_async_hooks async_hooks;

#endif

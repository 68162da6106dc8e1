/*
 * Sessions: getting the one this process has, or logging in.
 */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "recover.h"

/*
 * operation->era and operation->link, with a reference. One thread at a time logs in, the others wait for it; attempts
 * that can be cured by waiting (device down, partition not provisioned, no session free) are repeated with back-off.
 */
azihsm_rc session_get(struct operation *operation);

#endif

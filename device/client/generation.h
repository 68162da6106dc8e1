/*
 * Which life of this process we are in: a number that is another one in every forked child.
 *
 * What a parent holds (handles, sessions, key ids, mutexes) is void in its child. Everything of that sort remembers the
 * generation that made it and is left alone in any other.
 */
#ifndef CLIENT_GENERATION_H
#define CLIENT_GENERATION_H

#include <azihsm/rc.h>

/* Balanced by the registry: open before the first generation_current, close when nobody can call it any more. Not
 * thread-safe. */
azihsm_rc generation_open(void);
void generation_close(void);

/* Never 0. Numbers grow along a line of descent, so a child's is above all that its ancestors ever had. */
uint32_t generation_current(void);

#endif

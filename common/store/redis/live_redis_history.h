/* Whether a server that answers now is one on which an admin has written all revocations. Redis
 * gives every history of writes an id: a replica that took over, or a server that was started
 * again, has another one, and may lack the last revocations although policy stands there as it
 * should. An admin that has written them all names the histories of all masters under one key; a
 * server whose history is not named knows too little. For live_redis*.c; loop thread only. */
#pragma once

#include "base/buf.h"
#include "store/redis/redis.h"

/* In the slot of `current`: lost with it, or not at all. */
#define LIVE_HISTORIES "{doorman:policy:current}:histories"
enum { LIVE_HISTORY_LEN = 40, LIVE_HISTORIES_MAX = 256 /* masters */ * (LIVE_HISTORY_LEN + 1) };

enum live_history {
    LIVE_HISTORY_NONE = 0, /* no admin has named any */
    LIVE_HISTORY_KNOWN,    /* those of all masters are named, or masters do not say */
    LIVE_HISTORY_OTHER
};
struct live_history_walk { /* embedded by the asker, zeroed at first */
    struct dm_redis *redis;
    struct dm_loop *loop;
    struct dm_redis_ask ask;
    size_t node;
    bool collecting;
    unsigned again;       /* times it began anew, since a connection came meanwhile */
    unsigned connections; /* dm_redis_connections of which the answer holds */
    struct dm_buf ids; /* of all masters as met (collecting), or as named by the admin */
    void (*done)(struct live_history_walk *w, enum dm_code rc, enum live_history h);
};
static inline bool live_history_walking(const struct live_history_walk *w)
{
    return w->ask.pending;
}
/* Calls done once, unless cancelled; ids are the caller's to free (live_history_end). */
void live_history_ask(struct live_history_walk *w);
void live_history_collect(struct live_history_walk *w); /* h says nothing */
void live_history_end(struct live_history_walk *w);     /* cancels; fine when nothing is pending */

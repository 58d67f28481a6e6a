/* Keeps up to date whether a store answers, for readiness (R12): asks it about once a second on a
 * thread of its own, so that no probe ever waits. Started and stopped by one thread; watch_up by
 * any. */
#pragma once

#include "base/clock.h"
#include "base/error.h"
#include <pthread.h>
#include <stdbool.h>

struct watch {
    const char *name;                                     /* of the store, for the log */
    enum dm_code (*ask)(void *ctx, struct dm_error *err); /* blocks, within limits of its own */
    void *ctx;
    _Atomic bool up_;
    _Atomic int64_t asked_; /* monotonic; 0: no question is open */
    enum dm_code told_;     /* of the thread */
    pthread_t thread_;
    pthread_mutex_t lock_;
    pthread_cond_t cond_;
    bool running_, stop_;
};

bool watch_start(struct watch *w); /* name, ask, ctx are set; false: no thread */
void watch_stop(struct watch *w);  /* not started: fine */
/* The last answer was good, and the open question is not older than a probe may wait. */
bool watch_up(struct watch *w);

/* Timers on a loop: hashed wheel of 1 ms ticks, O(1) start and stop, embedded, no allocation. Fires
 * in the turn after its time, never early. Loop thread only. */
#pragma once

#include "io/loop.h"

struct dm_timer;
typedef void (*dm_timer_fn)(struct dm_timer *t);
struct dm_timer {
    struct dm_link link_;
    dm_time at_; /* 0: not running */
    dm_timer_fn fn;
};

void dm_timer_init(struct dm_timer *t, dm_timer_fn fn);
void dm_timer_start(struct dm_loop *l, struct dm_timer *t,
                    dm_time after);     /* restarts a running one */
void dm_timer_stop(struct dm_timer *t); /* twice is fine */
static inline bool dm_timer_running(const struct dm_timer *t)
{
    return t->at_ != 0;
}

/* The wheel behind io/timer.h, embedded in the loop: for loop.c and timer.c only. Hierarchical:
 * level k holds timers whose first differing base-64 digit from the current tick is digit k, so the
 * lowest non-empty level always holds the next one, and a level is never wrapped. Loop thread only.
 */
#pragma once

#include "io/timer.h"

enum {
    DM_WHEEL_BITS = 6,
    DM_WHEEL_SLOTS = 1 << DM_WHEEL_BITS,
    DM_WHEEL_LEVELS = 8 /* 48 bits of milliseconds: every int64 of nanoseconds fits into 44 */
};

struct dm_wheel {
    uint64_t tick;                  /* the last one that was run */
    uint64_t used[DM_WHEEL_LEVELS]; /* slots that may hold timers */
    struct dm_link slots[DM_WHEEL_LEVELS][DM_WHEEL_SLOTS];
};

void dm_wheel_init(struct dm_wheel *w, dm_time now);
void dm_wheel_run(struct dm_wheel *w, dm_time now); /* calls what is due */
dm_time dm_wheel_next(struct dm_wheel *w);          /* when to look again at the latest; DM_NEVER */
struct dm_wheel *dm_loop_wheel(struct dm_loop *l);

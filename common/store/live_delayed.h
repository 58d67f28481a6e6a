/* For tests: live state whose completions come late and in another order, as a busy store's do.
 * Wraps a handle; asks go through at once, every answer is held for a number of turns drawn from
 * the seed, or until released. The same contract as any backend. The loop's thread. */
#pragma once

#include "store/live.h"

/* max_turns 0: as soon as the order allows. Takes ownership of `inner`. */
struct dm_live *dm_live_delayed_new(struct dm_live *inner, struct dm_loop *loop, uint64_t seed,
                                    unsigned max_turns);
/* While held no answer is given at all; releasing gives them in an order of the seed's. */
void dm_live_delayed_hold(struct dm_live *delayed, bool held);
size_t dm_live_delayed_count(const struct dm_live *delayed); /* answers that wait to be given */

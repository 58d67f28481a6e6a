/* Publishing everything, for the admin: at its start, after a failure, after the store lost what
 * was published. Blocking, from the admin's own threads, under dm_live_publish_lock. */
#pragma once

#include "store/live.h"

/* Everything, under the lock: begin, put any number of times, end. Then what is published is what
 * was put, as one generation (one more for each 4,096 objects on demand that differ): only what
 * differs is written where the store has the rest, what was not put is deleted. floor: where the
 * store knows nothing, the generation is above it. forget: what was read on demand is dropped
 * everywhere. A failure ends it. The memory backend publishes in pieces and deletes nothing. */
enum dm_code dm_live_republish_begin(struct dm_live_admin *a, uint64_t floor,
                                     struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_republish_put(struct dm_live_admin *a, const struct dm_live_change *changes,
                                   size_t n, struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_republish_end(struct dm_live_admin *a, bool forget, uint64_t *ret_generation,
                                   struct dm_error *err) DM_MUST_USE;

/* Sliding windows of attempts per key (operations.md §8.19), for the memory backend: the times of
 * the last attempts, least recently used keys go first when the table is full. One thread. */
#pragma once

#include "store/live.h"

struct dm_live_hits;
struct dm_live_hits *dm_live_hits_new(void);
void dm_live_hits_free(struct dm_live_hits *h);
/* DM_OK (counted) or DM_LIMIT (not counted). */
enum dm_code dm_live_hits_add(struct dm_live_hits *h, dm_view key, int64_t limit, dm_time window,
                              dm_time now, struct dm_live_hit *ret) DM_MUST_USE;
void dm_live_hits_clear(struct dm_live_hits *h);

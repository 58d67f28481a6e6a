/* A user's limits as questions to the live store, and its answer as figures for the client
 * (gateway.md §10). Pure. */
#pragma once

#include "model/policy.h"
#include "store/live.h"

/* Fills at most DM_COUNTERS_MAX, in contract order (rate, throttle, bandwidth); gives how many. */
size_t gw_counters_of(const struct dm_policy_user *u, uint64_t content_length, dm_time max_wait,
                      struct dm_counter_ask *out);
/* This replica's part of every limit while the store is away: limit / peers, at least 1. */
void gw_counters_share(struct dm_counter_ask *counters, size_t n, unsigned peers);
/* How long an admitted call is held back: wait * (n - L) where the throttle is passed, else 0. */
dm_time gw_counters_delay(const struct dm_policy_user *u, const struct dm_counter_ask *counters,
                          size_t n, const struct dm_admit_answer *a);
/* What is left of the counter that refused, and the seconds until it helps to ask again (at least
 * 1). */
int64_t gw_counters_remaining(const struct dm_counter_ask *c, int64_t count);
int64_t gw_counters_retry_after(int64_t reset_wall, dm_time now_wall);

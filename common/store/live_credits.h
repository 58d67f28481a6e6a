/* Credits of the memory backend: balances, and reservations that come back by themselves. Accounts
 * are told by key; every call first gives back what is due. Bounded. One thread. */
#pragma once

#include "store/live.h"

struct dm_live_credits;
struct dm_live_credits *dm_live_credits_new(void);
void dm_live_credits_free(struct dm_live_credits *c);
/* DM_LIMIT: no more accounts. */
enum dm_code dm_live_credits_put(struct dm_live_credits *c, dm_view key, int64_t balance,
                                 bool unless_there, dm_time now) DM_MUST_USE;
/* DM_NOT_FOUND: no account. */
enum dm_code dm_live_credits_balance(struct dm_live_credits *c, dm_view key, dm_time now,
                                     int64_t *ret) DM_MUST_USE;
void dm_live_credits_remove(struct dm_live_credits *c, dm_view key);
/* An id that is reserved already takes nothing more. */
enum dm_reserve_verdict dm_live_credits_reserve(struct dm_live_credits *c, dm_view key, dm_view id,
                                                dm_time hold, dm_time now);
void dm_live_credits_settle(struct dm_live_credits *c, dm_view key, dm_view id, bool spent);

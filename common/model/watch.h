/* Counts odd things by who did them and says when one did too many of a kind (operations.md §8.5,
 * auth.suspicious): once per window and doer, so that an attack does not flood the trail. A small
 * fixed table: of very many doers at once the older ones are forgotten, never more than it holds.
 * One thread, or a lock of the owner's. */
#pragma once

#include "base/clock.h"
#include "base/view.h"

enum dm_watch_kind {
    DM_WATCH_BAD_SIGNATURE = 0, /* more than 10 in a minute, by address */
    DM_WATCH_FAILED_LOGIN,      /* 5 in 5 minutes, by account */
    DM_WATCH_FORWARDING,    /* a forwarding field of nobody trusted: one in a minute, by address */
    DM_WATCH_REVOKED_TOKEN, /* used: once in a minute, by account */
    DM_WATCH_KINDS_
};

struct dm_watch;
struct dm_watch *dm_watch_new(void);
void dm_watch_free(struct dm_watch *w);
/* Counts one; true when it is the one that makes it too many. `now` is monotonic. */
bool dm_watch_count(struct dm_watch *w, enum dm_watch_kind kind, dm_view who, dm_time now);

/* Users with their subscriptions, fetched on first use into a bounded cache of one worker, dropped
 * when a change names them (gateway.md §29.4). A million users do not cost a worker its memory.
 * Loop thread only. */
#pragma once

#include "base/metrics.h"
#include "io/loop.h"
#include "model/policy.h"
#include "store/live.h"

struct gw_principals;
struct gw_principals_wait; /* embedded by the asker; cancel before freeing it */

/* DM_OK: gw_principals_get now finds it. DM_NOT_FOUND: no such user. DM_UNAVAILABLE: cannot be
 * told. */
typedef void (*gw_principals_fn)(struct gw_principals_wait *w, enum dm_code code);
struct gw_principals_wait {
    struct dm_link link_;
    gw_principals_fn fn_;
    bool pending;
};

struct gw_principals *gw_principals_new(struct dm_loop *loop, struct dm_live *live,
                                        size_t max_entries, dm_time ttl);
void gw_principals_free(struct gw_principals *p); /* no waits may be pending (DM_REQUIRE) */
/* Borrowed until the next turn (take a reference to keep it); NULL: ask. */
struct dm_policy_user *gw_principals_get(struct gw_principals *p, dm_view username);
/* deadline: monotonic time by which the answer comes. Asks for one name share one fetch. */
void gw_principals_ask(struct gw_principals *p, dm_view username, dm_time deadline,
                       struct gw_principals_wait *w, gw_principals_fn fn);
void gw_principals_cancel(struct gw_principals *p,
                          struct gw_principals_wait *w); /* not pending: fine */
void gw_principals_clear(struct gw_principals *p);
/* Settings are hot: new bounds from now on. */
void gw_principals_limit(struct gw_principals *p, size_t max_entries, dm_time ttl);
/* Also at most so many bytes, about; until then only entries are bounded. The one used last is
 * kept whatever its size. */
void gw_principals_limit_bytes(struct gw_principals *p, size_t max_bytes);
size_t gw_principals_count(const struct gw_principals *p);
size_t gw_principals_bytes(const struct gw_principals *p);
/* A gauge that follows the count. */
void gw_principals_gauge(struct gw_principals *p, struct dm_metric *entries, size_t shard);

/* One admission under way, shared by the two ways to ask: one script on one server
 * (live_redis_admit.c), one per slot in a Cluster (live_redis_slots.c). Loop thread only. */
#pragma once

#include "store/redis/live_redis_priv.h"

struct live_slots; /* parts of an admission in a Cluster */

struct live_admission {
    struct live_redis_pending pending; /* first */
    struct dm_link link;               /* of the handle: running or free */
    struct live_redis_handle *handle;
    dm_admit_fn fn;
    dm_time deadline;
    struct dm_task task;     /* an answer that needs no Redis */
    struct dm_redis_ask ask; /* the one script */
    struct live_slots *slots;
    size_t n; /* counters asked for: none when the local verdict refuses */
    struct dm_counter_ask counters[DM_COUNTERS_MAX];
    int64_t unsent[DM_COUNTERS_MAX]; /* BANDWIDTH: bytes that wait here to be added */
    struct dm_admit_answer answer;
};

/* A value of at least this refuses: what dm_counter_ask says, as one number that a script compares.
 * Never below 0, never above what Lua holds exactly. */
int64_t live_counter_cap(const struct dm_counter_ask *c, int64_t unsent);
static inline dm_view live_counter_kind(const struct dm_counter_ask *c) /* of admit*.lua */
{
    return c->kind == DM_COUNTER_BANDWIDTH ? DM_LIT("bytes") : DM_LIT("calls");
}
/* The name in the window of that index. */
void live_counter_key(struct dm_live_key *k, dm_view subject, const struct dm_counter_ask *c,
                      int64_t index);
/* What TIME says, as a script passes it on; 0: it cannot be. */
dm_time live_wall_of(int64_t seconds, int64_t microseconds);
/* Values of counters that a script tells: no other can be one. */
#define LIVE_VALUE_MAX (((int64_t)1 << 53) - 1)
/* Unix seconds at which the window of that moment ends. */
static inline int64_t live_window_end(int64_t seconds, int64_t window)
{
    return (seconds / window + 1) * window;
}

/* Answers (unless cancelled) with r->answer; the record stays the caller's. */
void live_admission_answer(struct live_admission *r, enum dm_admit_verdict v);
void live_admission_give(struct live_admission *r); /* to the free list; nothing may be pending */

/* live_redis_slots.c. scripts: made once per handle. */
struct live_slot_scripts {
    struct dm_redis_script admit, take_back;
};
void live_slots_ask(struct live_admission *r, const struct dm_admit_ask *ask,
                    const struct live_slot_scripts *scripts);
bool live_slots_busy(const struct live_admission *r); /* some part has not been answered */
void live_slots_drop(struct live_admission *r);       /* all parts; nothing is taken back */

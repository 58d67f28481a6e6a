/* Live state: revocations, counters, policy objects, announcements. Always asynchronous: an ask is
 * answered later in the same or another turn of the asking loop, in every backend, memory included;
 * the answer goes to the wait the asker embedded, exactly once unless it was cancelled. Backends:
 * memory (owned by one loop), Redis; a test backend delays and reorders every completion. One
 * contract suite for all (tests/unit/store/live_contract.h). Loop thread only. Key names:
 * gateway.md §27.1 (store/live_keys.h). */
#pragma once

#include "base/error.h"
#include "io/loop.h"

struct dm_live; /* one handle per loop */

struct dm_live_wait { /* embedded by the asker; cancel before freeing it */
    struct dm_link link_;
    uint64_t ticket_;
    bool pending;
};
void dm_live_cancel(struct dm_live *l,
                    struct dm_live_wait *w); /* no answer will come; not pending: fine */

/* --- admission: one round trip (gateway.md §27.1, O17, O20) --- */
enum dm_counter_kind { DM_COUNTER_RATE = 0, DM_COUNTER_THROTTLE, DM_COUNTER_BANDWIDTH };
struct dm_counter_ask {
    enum dm_counter_kind kind;
    int64_t limit; /* RATE: calls; THROTTLE: L; BANDWIDTH: bytes */
    int64_t queue; /* THROTTLE: Q, the absolute cap */
    int64_t window_seconds;
    int64_t amount;      /* BANDWIDTH: Content-Length of this request */
    int64_t max_delayed; /* THROTTLE: n - L above this is refused (the wait would pass the cap) */
};
enum { DM_COUNTERS_MAX = 8 };
struct dm_admit_ask {
    dm_view subject, jti; /* both empty: no token, no revocation asked */
    bool count;           /* the local verdict allows: ask and spend the counters */
    const struct dm_counter_ask *counters; /* contract order; copied by the ask */
    size_t n_counters;
};
enum dm_admit_verdict {
    DM_ADMIT_YES = 0,
    DM_ADMIT_REVOKED,
    DM_ADMIT_OVER,
    DM_ADMIT_UNKNOWN /* store away or late */
};
struct dm_admit_answer {
    enum dm_admit_verdict verdict;
    size_t refused_by;                   /* index of the counter: OVER */
    int64_t count[DM_COUNTERS_MAX];      /* value after this call (YES) or in force (OVER) */
    int64_t reset_wall[DM_COUNTERS_MAX]; /* Unix seconds at which the window ends */
    dm_time now_wall;                    /* the store's clock that cut the windows */
};
typedef void (*dm_admit_fn)(struct dm_live_wait *w, const struct dm_admit_answer *a);
void dm_live_ask_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                       struct dm_live_wait *w, dm_admit_fn fn);
/* While the store is away (R4): what this process can tell by itself, at once. */
struct dm_live_outlook {
    bool revoked;       /* by the local mirror of revocations */
    dm_time mirror_age; /* since the mirror was known to be right; DM_NEVER: there is none */
    unsigned peers;     /* processes that share the limits, this one included; at least 1 */
};
void dm_live_look(struct dm_live *l, dm_view subject, dm_view jti, struct dm_live_outlook *ret);
/* Counts in this process alone, the counters as given (the caller scales them to its share).
 * DM_ADMIT_UNKNOWN: the backend keeps no counters of its own. Revocation is not asked. */
void dm_live_admit_alone(struct dm_live *l, const struct dm_admit_ask *ask,
                         struct dm_admit_answer *ret);
/* Bandwidth after the answer: fire and forget, batched by the backend. */
void dm_live_add_bandwidth(struct dm_live *l, dm_view subject, int64_t window_seconds,
                           int64_t bytes);

/* --- credits: reserve one before the call, settle after it (gateway.md §11, O1) --- */
struct dm_reserve_ask { /* copied by the ask */
    dm_view group, subject;
    dm_view id;   /* of this reservation: unique for ever, made by the gateway, never a client's */
    dm_time hold; /* not settled within this: the credit comes back by itself (a crash) */
};
enum dm_reserve_verdict {
    DM_RESERVE_UNKNOWN = 0, /* store away or late; perhaps taken */
    DM_RESERVE_YES,
    DM_RESERVE_NONE, /* no record, or nothing left */
    DM_RESERVE_AWAY  /* store known to be away: not asked, nothing was taken */
};
typedef void (*dm_reserve_fn)(struct dm_live_wait *w, enum dm_reserve_verdict v);
/* Takes one credit if there is one. Whoever is told UNKNOWN, or cancels, settles with spent false:
 * harmless where nothing was taken. */
void dm_live_ask_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                         struct dm_live_wait *w, dm_reserve_fn fn);
/* Ends the reservation: spent, or given back. Fire and forget; never overtakes the ask it ends.
 * Queued (DM_LIVE_OWED_MAX) and sent again while the store is away. A reservation that is not
 * there (settled before, come back, account deleted) changes nothing. */
void dm_live_settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent);
/* Half full it drops those that would give back, full all of them: holds end by themselves. */
enum { DM_LIVE_OWED_MAX = 8192 };

/* --- policy objects: what the admin publishes and the gateway reads --- */
enum { DM_LIVE_GET_MAX = 4 };
struct dm_live_object {
    enum dm_code code; /* DM_OK, DM_NOT_FOUND (deleted or never there), DM_UNAVAILABLE */
    dm_view bytes;     /* JSON projection; borrowed until the callback returns */
    uint64_t generation;
};
typedef void (*dm_objects_fn)(struct dm_live_wait *w, const struct dm_live_object *objects,
                              size_t n);
/* Up to DM_LIVE_GET_MAX objects in one round trip. */
void dm_live_ask_objects(struct dm_live *l, const dm_view (*kind_and_id)[2], size_t n,
                         dm_time deadline, struct dm_live_wait *w, dm_objects_fn fn);
struct dm_live_change { /* one object of one published generation; bytes NULL: deleted */
    dm_view kind, id, bytes;
};
/* Subscribers on this loop hear of every generation, in order, with what changed in it. */
struct dm_live_subscriber {
    struct dm_link link_;
    void (*on_change)(struct dm_live_subscriber *s, uint64_t generation,
                      const struct dm_live_change *c, size_t n);
    void (*on_revoked)(struct dm_live_subscriber *s, dm_view subject); /* NULL: not interested */
    /* Whatever was read on demand may be old (a gap in what was heard, DELETE /api/caches): comes
     * before the on_change of the same generation. NULL: not interested. */
    void (*on_forget)(struct dm_live_subscriber *s);
};
/* The first on_change after subscribing holds every object of the snapshot kinds (all but those of
 * dm_live_kind_on_demand, live_keys.h), also when there is none yet. */
void dm_live_subscribe(struct dm_live *l, struct dm_live_subscriber *s);
void dm_live_unsubscribe(struct dm_live_subscriber *s);

/* --- the admin's side: blocking, from its own threads (never a loop) --- */
struct dm_live_admin; /* thread-safe */
enum dm_code dm_live_publish(struct dm_live_admin *a, const struct dm_live_change *changes,
                             size_t n, uint64_t *ret_generation, struct dm_error *err) DM_MUST_USE;
/* Held from storing a record to publishing it, so that of two admins whoever stores last publishes
 * last: one holder at a time among all processes. Not recursive. DM_UNAVAILABLE: the store is away,
 * or another holder does not end. A backend of one process has nothing to do. */
enum dm_code dm_live_publish_lock(struct dm_live_admin *a, struct dm_error *err) DM_MUST_USE;
void dm_live_publish_unlock(struct dm_live_admin *a);
struct dm_live_published {
    uint64_t generation; /* the highest that is known to have been in force; 0: none */
    bool lost; /* the store lost what was published: single changes are refused until everything was
                  published anew */
};
void dm_live_published(struct dm_live_admin *a, struct dm_live_published *ret);
/* Everything anew: store/live_republish.h */
/* Called on a thread of the backend's whenever the store is reached again; at most one. NULL: no
 * more. A backend that cannot be away never calls. */
void dm_live_on_reach(struct dm_live_admin *a, void (*fn)(void *ctx), void *ctx);
/* expires_wall 0: no expiry (revoke-all). jti empty: the whole user. */
enum dm_code dm_live_revoke(struct dm_live_admin *a, dm_view subject, dm_view jti,
                            dm_time expires_wall, struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_unrevoke(struct dm_live_admin *a, dm_view subject,
                              struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_is_revoked(struct dm_live_admin *a, dm_view subject, dm_view jti, bool *ret,
                                struct dm_error *err) DM_MUST_USE;
/* One unit of a sliding window (ip_rate_limit:<ip>:<n>, operations.md §8.19): DM_LIMIT when it
 * would be more than `limit` in `window_seconds`; a refused hit does not count. ret is filled on
 * DM_OK and DM_LIMIT. */
struct dm_live_hit {
    int64_t count;       /* in the window, this one included when it counted */
    int64_t retry_after; /* seconds, at least 1, until one more would pass (DM_LIMIT), or until the
                            oldest ends */
};
enum dm_code dm_live_hit(struct dm_live_admin *a, dm_view name, dm_view id, int64_t limit,
                         int64_t window_seconds, struct dm_live_hit *ret,
                         struct dm_error *err) DM_MUST_USE;
/* Bytes counted in the window that runs now (bandwidth_usage:<user>:<window>:<start>). */
enum dm_code dm_live_bandwidth_used(struct dm_live_admin *a, dm_view subject,
                                    int64_t window_seconds, int64_t *ret,
                                    struct dm_error *err) DM_MUST_USE;
/* The running balance, without what is reserved. A new balance leaves reservations alone: one given
 * back later adds to it. unless_there: an account that is there keeps its balance (start of the
 * admin: the running balance is the truth). DM_INVALID: name too long; DM_LIMIT: too many. */
enum dm_code dm_live_credits_set(struct dm_live_admin *a, dm_view group, dm_view subject,
                                 int64_t balance, bool unless_there,
                                 struct dm_error *err) DM_MUST_USE;
/* DM_NOT_FOUND: no account. */
enum dm_code dm_live_credits_get(struct dm_live_admin *a, dm_view group, dm_view subject,
                                 int64_t *ret, struct dm_error *err) DM_MUST_USE;
/* The account and what is reserved of it; not there: fine. */
enum dm_code dm_live_credits_delete(struct dm_live_admin *a, dm_view group, dm_view subject,
                                    struct dm_error *err) DM_MUST_USE;
/* DELETE /api/caches: rate and throttle counters go, revocations, bandwidth and credits stay
 * (§23.3). */
enum dm_code dm_live_clear_counters(struct dm_live_admin *a, struct dm_error *err) DM_MUST_USE;
enum dm_code dm_live_ping(struct dm_live_admin *a, struct dm_error *err) DM_MUST_USE;

void dm_live_free(struct dm_live *l);
void dm_live_admin_free(struct dm_live_admin *a);

/* Memory backend: the state lives on `owner`'s thread; all others reach it by mailbox. */
struct dm_live_memory;
struct dm_live_memory *dm_live_memory_new(struct dm_loop *owner);
struct dm_live *dm_live_memory_handle(struct dm_live_memory *m, struct dm_loop *loop);
struct dm_live_admin *dm_live_memory_admin(struct dm_live_memory *m);
void dm_live_memory_free(struct dm_live_memory *m);

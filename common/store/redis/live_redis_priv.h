/* Insides of live state on Redis, for live_redis*.c only. One handle per loop with a client of its
 * own; one admin with a loop and a thread of its own. live_redis.c makes both and holds the table
 * of operations; live_redis_admit.c and live_redis_bandwidth.c count, live_redis_policy.c follows
 * what is published, live_redis_publish.c publishes, live_redis_admin.c does the admin's other
 * calls. Everything of a handle on its loop's thread. */
#pragma once

#include <pthread.h>

#include "crypto/random.h"
#include "io/mailbox.h"
#include "io/timer.h"
#include "store/live_backend.h"
#include "store/live_keys.h"
#include "store/live_outage.h"
#include "store/redis/live_redis.h"
#include "store/redis/live_redis_call.h"
#include "store/redis/live_redis_history.h"
#include "store/redis/live_redis_mark.h"
#include "store/redis/live_redis_revocation.h"

struct dm_resolver;
struct live_policy;      /* of the hub: what all its handles share (live_redis_policy.c) */
struct live_policy_side; /* of one handle (live_redis_policy.c) */
struct live_admissions;  /* of one handle (live_redis_admit.c) */
struct live_bandwidth;   /* of one handle (live_redis_bandwidth.c) */
struct live_credits;     /* of one handle (live_redis_credits.c) */
struct live_streams;     /* of one handle (live_redis_emit.c) */
struct dm_ed25519_verifier;

struct live_number { /* decimal text, for arguments of scripts */
    char bytes[24];
    uint8_t at;
};
dm_view live_number(struct live_number *n, int64_t value);

/* --- the data plane's side --- */

/* live_redis_breaker.c: one per handle, before its connection. Asks of admission, credits and
 * objects are answered at once while it is open. */
struct live_breaker {
    struct live_redis_handle *handle;
    bool open, connected_once;
    unsigned failures; /* in a row */
    dm_time patience;  /* of the last admission: a probe that takes longer is no answer either */
    dm_time pause;     /* between probes while open; doubled while it opens again soon */
    dm_time closed_at; /* monotonic; 0: never was open */
    dm_time probed_at;
    struct dm_redis_ask probe;
    struct live_history_walk walk; /* while in doubt */
    unsigned proved;               /* dm_redis_connections whose servers have all revocations */
    bool told_other;
    bool answers; /* open, but only since no admin has restored it yet: policy stands there whole */
    struct dm_timer timer;
    struct dm_redis_watcher watcher;
};
#define LIVE_CURRENT "doorman:policy:current" /* what dm_policy_key_current builds */
#define LIVE_STORE_EMPTIED "the store lost what it held"
#define LIVE_STORE_OTHER "another server answers, which may lack revocations"
void live_breaker_init(struct live_breaker *b, struct live_redis_handle *h); /* h->redis is set */
void live_breaker_done(struct live_breaker *b);
void live_breaker_report(struct live_breaker *b, enum dm_code rc); /* how an ask went */
/* Policy that stands there came in force in this loop, so it is the store that we know. */
void live_breaker_proved(struct live_breaker *b);
/* Servers answer on which, as far as is known, no admin has written all revocations yet: their word
 * is no verdict. Opens the breaker until it is known. */
bool live_breaker_doubts(struct live_breaker *b);
void live_breaker_patience(struct live_breaker *b, dm_time deadline); /* of an admission */
void live_breaker_open(struct live_breaker *b, const char *why);

struct live_watch; /* of the owner's handle (live_redis_watch.c) */
struct live_watch *live_watch_new(struct live_redis_handle *h);
void live_watch_free(struct live_watch *w);
void live_watch_trusted(struct live_watch *w); /* the breaker no longer doubts; NULL is fine */
/* The mark to be asked for with that key: m's, or none where nothing is marked. */
dm_view live_redis_mark(const struct live_redis_handle *h, dm_view key, struct live_mark *m);
void live_redis_lost(struct live_redis_handle *h); /* a mark was missing: told once a second */

struct dm_live_redis {
    struct dm_live_redis_config config;   /* views borrowed, as the config says */
    struct dm_metric *odd_replies;        /* NULL: nobody counts */
    struct dm_ed25519_verifier *verifier; /* of policy; NULL: unsigned policy is taken */
    _Atomic bool connected;               /* of the owner, for readiness */
    struct dm_live_outage *outage;        /* what decides while Redis is away */
    _Atomic unsigned open_breakers;       /* of the handles */
    _Atomic int64_t away_since;           /* monotonic: when the first opened */
    _Atomic bool seen_policy;             /* policy is in force: a Redis without any lost it */
    _Atomic bool vouched; /* an admin has named histories, and set marks: so they must be there */
    pthread_mutex_t lock;                 /* guards what follows */
    struct dm_link handles;
    bool owned; /* the first handle was made: its loop follows policy for all */
    struct live_policy *policy;
};

struct live_redis_handle {
    struct dm_live base;
    struct dm_live_redis *hub;
    struct dm_link link; /* hub->handles */
    struct dm_loop *loop;
    bool owner;                      /* this one follows policy and revocations */
    struct dm_redis_watcher watcher; /* the owner's */
    struct dm_resolver *resolver;
    struct dm_redis *redis;
    struct live_breaker breaker;
    struct live_watch *watch; /* the owner's; NULL */
    struct live_admissions *admissions;
    struct live_bandwidth *bandwidth;
    struct live_credits *credits;
    struct live_streams *streams;
    struct live_policy_side *policy;
    struct live_ear *ear; /* the owner's; NULL: nobody listens */
    /* Cluster only: the wall clock of the node that answered last, less this loop's monotonic one.
     * A guess (0: none yet): the scripts hold it against the time of the node they run on. */
    dm_time skew;
    dm_time told_odd, told_lost; /* monotonic: when a reply nobody expects, or a missing mark, was
                                    last logged */
};
static inline struct live_redis_handle *live_redis_handle_of(struct dm_live *l)
{
    return DM_CONTAINER_OF(l, struct live_redis_handle, base);
}

/* What stands behind a dm_live_wait, first member of the record of every kind of ask. Whoever
 * starts an ask ties it to the wait; whoever answers unties it before calling back. */
struct live_redis_pending {
    void (*cancel)(struct live_redis_pending *p); /* untied already; no answer may come any more */
    struct dm_live_wait *wait;                    /* NULL: cancelled or answered */
};
static inline void live_redis_tie(struct live_redis_pending *p, struct dm_live_wait *w)
{
    p->wait = w;
    w->pending = true;
    w->ticket_ = (uint64_t)(uintptr_t)p;
}
static inline struct dm_live_wait *live_redis_untie(struct live_redis_pending *p) /* or NULL */
{
    struct dm_live_wait *w = p->wait;
    p->wait = NULL;
    if (w != NULL)
        w->pending = false;
    return w;
}

/* A key of another type, a value that is no number, a reply of another shape: counted, logged once
 * a second at most. Never a verdict. `what` is a word of ours, `reply` may be NULL. */
void live_redis_odd(struct live_redis_handle *h, const char *what,
                    const struct dm_redis_reply *reply);
struct dm_metric *live_redis_odd_metric(struct dm_metrics *m); /* NULL gives NULL */

/* The time of the store as far as it is known here, and what a reply said of it. */
dm_time live_redis_guess_wall(const struct live_redis_handle *h);
void live_redis_learn_wall(struct live_redis_handle *h, dm_time wall);

/* live_redis_admit.c */
struct live_admissions *live_admissions_new(struct live_redis_handle *h);
void live_admissions_free(struct live_admissions *a); /* waits are untied, not answered */
void live_redis_ask_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                          struct dm_live_wait *w, dm_admit_fn fn);

/* live_redis_bandwidth.c */
struct live_bandwidth *live_bandwidth_new(struct live_redis_handle *h);
void live_bandwidth_free(struct live_bandwidth *b);
size_t live_bandwidth_flush(struct live_bandwidth *b); /* these three: dm_live_flush */
/* Bytes that wait here to be added to that window: an admission counts them as used. */
int64_t live_bandwidth_unsent(const struct live_bandwidth *b, dm_view subject, int64_t window);
void live_redis_add_bandwidth(struct dm_live *l, dm_view subject, int64_t window, int64_t bytes);

/* live_redis_credits.c */
struct live_credits *live_credits_new(struct live_redis_handle *h);
void live_credits_free(struct live_credits *c);
size_t live_credits_flush(struct live_credits *c);
void live_redis_ask_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                            struct dm_live_wait *w, dm_reserve_fn fn);
void live_redis_settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent);

/* live_redis_emit.c */
struct live_streams *live_streams_new(struct live_redis_handle *h);
void live_streams_free(struct live_streams *s);
size_t live_streams_flush(struct live_streams *s);
size_t live_redis_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record);
size_t live_redis_emit_pending(const struct dm_live *l, enum dm_stream s);
bool live_redis_emit_behind(const struct dm_live *l, enum dm_stream s);

/* live_redis_policy.c. hub_new runs with the first handle, before its side_new; side_free before
 * hub_free. side_new may already start to ask (h->redis, h->loop, h->owner are set). */
struct live_policy *live_policy_hub_new(struct dm_live_redis *hub);
void live_policy_hub_free(struct live_policy *p); /* NULL is fine */
struct live_policy_side *live_policy_side_new(struct live_redis_handle *h);
void live_policy_side_free(struct live_policy_side *s);
void live_redis_ask_objects(struct dm_live *l, const dm_view (*kind_and_id)[2], size_t n,
                            dm_time deadline, struct dm_live_wait *w, dm_objects_fn fn);
void live_redis_subscribe(struct dm_live *l, struct dm_live_subscriber *s);

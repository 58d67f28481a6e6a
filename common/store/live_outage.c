#include "store/live_outage.h"

#include <pthread.h>

#include "base/assert.h"

#include "base/poison.h"

struct dm_live_outage {
    const struct dm_clock *clock;
    pthread_rwlock_t mirror_lock;
    struct dm_live_state *mirror; /* only its revocations are used */
    bool whole;                   /* everything that was told found room */
    dm_time as_of;                /* monotonic: when the mirror was known to be right; 0: never */
    struct dm_live_state *fresh;  /* being read; the backend's thread only */
    bool fresh_whole;
    pthread_mutex_t counts_lock;
    struct dm_live_state *counts; /* made by the first outage */
    _Atomic unsigned peers;
};

struct dm_live_outage *dm_live_outage_new(const struct dm_clock *clock)
{
    struct dm_live_outage *o = DM_NEW(struct dm_live_outage);

    o->clock = clock;
    o->mirror = dm_live_state_new();
    o->whole = true;
    atomic_init(&o->peers, 1);
    DM_REQUIRE(pthread_rwlock_init(&o->mirror_lock, NULL) == 0);
    DM_REQUIRE(pthread_mutex_init(&o->counts_lock, NULL) == 0);
    return o;
}

void dm_live_outage_free(struct dm_live_outage *o)
{
    if (o == NULL)
        return;
    dm_live_state_free(o->mirror);
    dm_live_state_free(o->fresh);
    dm_live_state_free(o->counts);
    (void)pthread_rwlock_destroy(&o->mirror_lock);
    (void)pthread_mutex_destroy(&o->counts_lock);
    dm_mem_free(o);
}

/* --- the mirror --- */

/* A full table, or a name that does not fit, makes a mirror that may not decide. */
static bool keep(struct dm_live_outage *o, struct dm_live_state *s, dm_view subject, dm_view jti,
                 dm_time expires)
{
    return dm_live_state_revoke(s, subject, jti, expires, dm_clock_wall(o->clock)) == DM_OK;
}

void dm_live_outage_load_begin(struct dm_live_outage *o)
{
    dm_live_state_free(o->fresh);
    o->fresh = dm_live_state_new();
    o->fresh_whole = true;
}

void dm_live_outage_loaded(struct dm_live_outage *o, dm_view subject, dm_view jti, dm_time expires)
{
    DM_REQUIRE(o->fresh != NULL);
    if (!keep(o, o->fresh, subject, jti, expires))
        o->fresh_whole = false;
}

void dm_live_outage_load_end(struct dm_live_outage *o, bool complete)
{
    struct dm_live_state *old = o->fresh;

    DM_REQUIRE(o->fresh != NULL);
    if (complete) {
        (void)pthread_rwlock_wrlock(&o->mirror_lock);
        old = o->mirror;
        o->mirror = o->fresh;
        o->whole = o->fresh_whole;
        (void)pthread_rwlock_unlock(&o->mirror_lock);
    }
    o->fresh = NULL;
    dm_live_state_free(old);
    if (complete)
        dm_live_outage_date(o, dm_clock_mono(o->clock));
}

void dm_live_outage_revoked(struct dm_live_outage *o, dm_view subject, dm_view jti, dm_time expires)
{
    if (o->fresh != NULL)
        dm_live_outage_loaded(o, subject, jti, expires);
    (void)pthread_rwlock_wrlock(&o->mirror_lock);
    if (!keep(o, o->mirror, subject, jti, expires))
        o->whole = false;
    (void)pthread_rwlock_unlock(&o->mirror_lock);
}

void dm_live_outage_unrevoked(struct dm_live_outage *o, dm_view subject)
{
    const dm_time now = dm_clock_wall(o->clock);

    if (o->fresh != NULL)
        dm_live_state_unrevoke(o->fresh, subject, now);
    (void)pthread_rwlock_wrlock(&o->mirror_lock);
    dm_live_state_unrevoke(o->mirror, subject, now);
    (void)pthread_rwlock_unlock(&o->mirror_lock);
}

void dm_live_outage_date(struct dm_live_outage *o, dm_time as_of)
{
    (void)pthread_rwlock_wrlock(&o->mirror_lock);
    o->as_of = as_of;
    (void)pthread_rwlock_unlock(&o->mirror_lock);
}

void dm_live_outage_confirm(struct dm_live_outage *o)
{
    const dm_time now = dm_clock_mono(o->clock);

    (void)pthread_rwlock_wrlock(&o->mirror_lock);
    if (o->as_of != 0) /* before the first load there is nothing to confirm */
        o->as_of = now;
    (void)pthread_rwlock_unlock(&o->mirror_lock);
}

void dm_live_outage_look(struct dm_live_outage *o, dm_view subject, dm_view jti,
                         struct dm_live_outlook *ret)
{
    const dm_time now = dm_clock_mono(o->clock);

    (void)pthread_rwlock_rdlock(&o->mirror_lock);
    ret->revoked = subject.len > 0 &&
                   dm_live_state_is_revoked(o->mirror, subject, jti, dm_clock_wall(o->clock));
    ret->mirror_age = o->as_of == 0 || !o->whole ? DM_NEVER : now - o->as_of;
    (void)pthread_rwlock_unlock(&o->mirror_lock);
    ret->peers = atomic_load_explicit(&o->peers, memory_order_relaxed);
}

bool dm_live_outage_token_revoked(struct dm_live_outage *o, dm_view subject, dm_view jti)
{
    (void)pthread_rwlock_rdlock(&o->mirror_lock);
    const bool revoked =
        dm_live_state_token_revoked(o->mirror, subject, jti, dm_clock_wall(o->clock));
    (void)pthread_rwlock_unlock(&o->mirror_lock);
    return revoked;
}

/* --- the share --- */

void dm_live_outage_peers(struct dm_live_outage *o, unsigned n)
{
    atomic_store_explicit(&o->peers, n == 0 ? 1 : n, memory_order_relaxed);
}

static struct dm_live_state *counts(struct dm_live_outage *o)
{
    if (o->counts == NULL)
        o->counts = dm_live_state_new();
    return o->counts;
}

void dm_live_outage_admit(struct dm_live_outage *o, const struct dm_admit_ask *ask,
                          struct dm_admit_answer *ret)
{
    (void)pthread_mutex_lock(&o->counts_lock);
    dm_live_state_admit(counts(o), ask, dm_clock_wall(o->clock), ret);
    (void)pthread_mutex_unlock(&o->counts_lock);
}

void dm_live_outage_add_bandwidth(struct dm_live_outage *o, dm_view subject, int64_t window,
                                  int64_t bytes)
{
    (void)pthread_mutex_lock(&o->counts_lock);
    dm_live_state_add_bandwidth(counts(o), subject, window, bytes, dm_clock_wall(o->clock));
    (void)pthread_mutex_unlock(&o->counts_lock);
}

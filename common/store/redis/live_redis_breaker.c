/* The breaker in front of Redis (R4): while it is open no call waits for a store that does not
 * answer, and what the process knows by itself decides. One per handle; the process says once that
 * the store is away and once that it is back. */
#include "store/redis/live_redis_policy.h"

#include "base/log.h"

#include "base/poison.h"

enum { FAILURES = 5 }; /* in a row: at 50 ms each open within a quarter of a second */
static const dm_time PROBE_AGAIN = 100 * DM_MS;
/* A Redis that answers the probe and then nothing else (out of memory, slow) is asked less often,
 * so that calls seldom wait for it; still twice within the 2 s in which it counts as back. */
static const dm_time PROBE_SELDOM = 800 * DM_MS;
static const dm_time SOON = 2 * DM_SEC; /* opened again so soon: it was not really back */
static const dm_time PROBE_DEADLINE = 500 * DM_MS;
/* Closed, too: FLUSHALL ends no connection, and a sidecar may have no calls that would notice. */
static const dm_time LOOK_EVERY = DM_SEC;

static void tell(struct live_breaker *b, const char *why)
{
    struct dm_live_redis *hub = b->handle->hub;

    if (b->open && atomic_fetch_add(&hub->open_breakers, 1) == 0) {
        atomic_store(&hub->away_since, dm_loop_now(b->handle->loop));
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE,
               "live store away: deciding by mirror, limits by LIMIT_ON_STORE_DOWN",
               DM_FC("reason", why));
    } else if (!b->open && atomic_fetch_sub(&hub->open_breakers, 1) == 1) {
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "live store back",
               DM_FI("away_ms",
                     (dm_loop_now(b->handle->loop) - atomic_load(&hub->away_since)) / DM_MS));
    }
}

static void set(struct live_breaker *b, bool open, const char *why)
{
    dm_time now = dm_loop_now(b->handle->loop);

    if (b->open == open)
        return;
    b->open = open;
    b->answers = false;
    b->failures = 0;
    if (!open)
        b->closed_at = now;
    else if (b->closed_at == 0 || now - b->closed_at > SOON)
        b->pause = PROBE_AGAIN;
    else if (b->pause < PROBE_SELDOM)
        b->pause *= 2;
    tell(b, why);
}

/* Redis is back when it answers with the policy it is known to hold, or newer: one that was
 * emptied, set back, or replaced by a replica without the last writes knows neither all revocations
 * nor counts until the admin has written them again, and raised the generation. */
static bool knows_us(struct live_breaker *b, const struct dm_redis_reply *reply)
{
    const struct live_policy_side *side = b->handle->policy;
    struct dm_policy_value v;

    if (dm_redis_type(reply) != DM_REDIS_TEXT)
        return !atomic_load(&b->handle->hub->seen_policy);
    atomic_store(&b->handle->hub->seen_policy, true);
    return dm_policy_read(dm_redis_text(reply), &v) && v.form == DM_POLICY_CURRENT &&
           (side == NULL || v.generation >= side->generation);
}

static void probe(struct live_breaker *b);

static bool in_doubt(const struct live_breaker *b)
{
    return dm_redis_connections(b->handle->redis) != b->proved;
}

bool dm_live_redis_trusted(const struct dm_live *l)
{
    const struct live_redis_handle *h = DM_CONTAINER_OF(l, const struct live_redis_handle, base);

    return !h->breaker.open && h->breaker.proved != 0 && !in_doubt(&h->breaker);
}

static void probe_later(struct live_breaker *b)
{
    dm_timer_start(b->handle->loop, &b->timer, b->open ? b->pause : LOOK_EVERY);
}

/* One line per process and time: what it waits for now is the admin. */
static void tell_other(struct live_breaker *b)
{
    if (b->handle->owner && !b->told_other)
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "live store answers, no admin has restored it yet",
               DM_FC("reason", LIVE_STORE_OTHER));
    b->told_other = true;
}

static void on_walked(struct live_history_walk *w, enum dm_code rc, enum live_history h)
{
    struct live_breaker *b = DM_CONTAINER_OF(w, struct live_breaker, walk);
    struct dm_live_redis *hub = b->handle->hub;
    const bool vouched = atomic_load(&hub->vouched);

    if (rc == DM_OK && h != LIVE_HISTORY_NONE)
        atomic_store(&hub->vouched, true);
    if (rc != DM_OK) {
        b->answers = false;
        live_breaker_report(b, rc);
    } else if (h == LIVE_HISTORY_OTHER || (h == LIVE_HISTORY_NONE && vouched)) {
        live_breaker_open(b, LIVE_STORE_OTHER);
        b->answers = true;
        tell_other(b);
    } else {
        b->told_other = false;
        b->proved = w->connections;
        if (!in_doubt(b)) {
            set(b, false, "");
            live_watch_trusted(b->handle->watch);
        }
    }
    probe_later(b);
}

static void on_probe(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_breaker *b = DM_CONTAINER_OF(q, struct live_breaker, probe);
    dm_time took = dm_loop_now(b->handle->loop) - b->probed_at;

    if (rc == DM_OK && took > b->patience)
        rc = DM_TIMEOUT;
    if (rc != DM_OK || !knows_us(b, reply))
        b->answers = false;
    if (rc == DM_OK && !knows_us(b, reply))
        live_breaker_open(b, LIVE_STORE_EMPTIED);
    else if (rc == DM_OK && in_doubt(b)) {
        live_history_ask(&b->walk);
        return;
    } else if (rc == DM_OK)
        set(b, false, "");
    else
        live_breaker_report(b, rc);
    probe_later(b);
}

static void probe(struct live_breaker *b)
{
    const dm_view get[] = {DM_LIT("GET"), DM_LIT(LIVE_CURRENT)};

    dm_timer_stop(&b->timer);
    if (b->probe.pending || live_history_walking(&b->walk))
        return;
    b->probed_at = dm_loop_now(b->handle->loop);
    dm_redis_send(b->handle->redis, get[1], get, DM_COUNT_OF(get), b->probed_at + PROBE_DEADLINE,
                  &b->probe, on_probe);
}

static void on_timer(struct dm_timer *t)
{
    probe(DM_CONTAINER_OF(t, struct live_breaker, timer));
}

void live_breaker_open(struct live_breaker *b, const char *why)
{
    if (b->open)
        return;
    set(b, true, why);
    if (!b->probe.pending && !live_history_walking(&b->walk))
        dm_timer_start(b->handle->loop, &b->timer, b->pause);
}

bool live_breaker_doubts(struct live_breaker *b)
{
    if (!in_doubt(b))
        return false;
    if (b->proved != 0) /* else it is the first connection, and asked about already */
        live_breaker_open(b, LIVE_STORE_OTHER);
    return true;
}

/* At once, not by the next probe: users were forgotten with this generation and are asked for. */
void live_breaker_proved(struct live_breaker *b)
{
    if (b->open && in_doubt(b))
        probe(b);
    else if (b->open && dm_redis_connected(b->handle->redis))
        set(b, false, "");
}

void live_breaker_patience(struct live_breaker *b, dm_time deadline)
{
    dm_time left = deadline - dm_loop_now(b->handle->loop);

    b->patience = left < PROBE_DEADLINE ? left : PROBE_DEADLINE;
}

void live_breaker_report(struct live_breaker *b, enum dm_code rc)
{
    if (rc != DM_TIMEOUT && rc != DM_UNAVAILABLE) {
        b->failures = 0;
        return;
    }
    if (++b->failures >= FAILURES && !b->open)
        live_breaker_open(b, rc == DM_TIMEOUT ? "no answer in time" : "not available");
}

static void on_state(struct dm_redis_watcher *w, bool connected)
{
    struct live_breaker *b = DM_CONTAINER_OF(w, struct live_breaker, watcher);

    if (connected && !b->connected_once) {
        b->connected_once = true;
        probe(b); /* learns whether there is a policy to be remembered */
    } else if (connected) {
        probe(b); /* it was opened when the connection was lost */
    } else if (b->connected_once) {
        b->answers = false;
        live_breaker_open(b, "connection lost");
    }
}

void live_breaker_init(struct live_breaker *b, struct live_redis_handle *h)
{
    b->handle = h;
    b->patience = PROBE_DEADLINE;
    b->pause = PROBE_AGAIN;
    dm_timer_init(&b->timer, on_timer);
    b->walk.redis = h->redis;
    b->walk.loop = h->loop;
    b->walk.done = on_walked;
    b->watcher.on_state = on_state;
    dm_redis_watch(h->redis, &b->watcher);
}

void live_breaker_done(struct live_breaker *b)
{
    dm_redis_unwatch(&b->watcher);
    dm_redis_cancel(b->handle->redis, &b->probe);
    live_history_end(&b->walk);
    dm_timer_stop(&b->timer);
    if (b->open)
        (void)atomic_fetch_sub(&b->handle->hub->open_breakers, 1);
}

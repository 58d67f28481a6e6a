#include "store/redis/live_redis_priv.h"

#include <stdatomic.h>

#include "base/assert.h"
#include "base/log.h"
#include "crypto/ed25519.h"
#include "io/resolver.h"

#include "base/poison.h"

static const dm_time ODD_AGAIN = DM_SEC; /* one line a second says enough */

void live_redis_odd(struct live_redis_handle *h, const char *what,
                    const struct dm_redis_reply *reply)
{
    dm_time now = dm_loop_now(h->loop);
    if (h->hub->odd_replies != NULL)
        dm_metric_add(h->hub->odd_replies, 0, 1);
    if (h->told_odd != 0 && now - h->told_odd < ODD_AGAIN)
        return;
    h->told_odd = now;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "unusable reply of Redis", DM_FC("to", what),
           DM_F("reply", dm_redis_text(reply)));
}

void live_redis_lost(struct live_redis_handle *h)
{
    const dm_time now = dm_loop_now(h->loop);
    if (h->told_lost != 0 && now - h->told_lost < ODD_AGAIN)
        return;
    h->told_lost = now;
    DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "live store lost a part: deciding by mirror what lay there");
}

dm_view live_redis_mark(const struct live_redis_handle *h, dm_view key, struct live_mark *m)
{
    if (!dm_redis_is_cluster(h->redis) ||
        !atomic_load_explicit(&h->hub->vouched, memory_order_relaxed))
        return DM_VIEW_NONE;
    live_mark_of(m, key);
    return live_mark_view(m);
}

dm_view live_number(struct live_number *n, int64_t value)
{
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    n->at = sizeof n->bytes;
    do {
        n->bytes[--n->at] = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (value < 0)
        n->bytes[--n->at] = '-';
    return dm_view_make(n->bytes + n->at, sizeof n->bytes - n->at);
}

dm_time live_redis_guess_wall(const struct live_redis_handle *h)
{
    return h->skew == 0 ? dm_loop_wall(h->loop) : dm_loop_now(h->loop) + h->skew;
}

void live_redis_learn_wall(struct live_redis_handle *h, dm_time wall)
{
    h->skew = wall - dm_loop_now(h->loop);
}

struct dm_metric *live_redis_odd_metric(struct dm_metrics *m)
{
    if (m == NULL)
        return NULL;
    return dm_metric_get(m, DM_COUNTER, "doorman_redis_unusable_replies_total", "",
                         "replies of Redis that were no answer: wrong type, no number, other shape",
                         NULL, 0);
}

enum dm_code dm_live_redis_new(const struct dm_live_redis_config *c, struct dm_live_redis **ret,
                               struct dm_error *err)
{
    struct dm_ed25519_verifier *verifier = NULL;
    if (c->policy_verify_keys.len > 0) {
        enum dm_code rc = dm_ed25519_verifier_new(c->policy_verify_keys, &verifier, err);
        if (rc != DM_OK)
            return rc;
    }
    struct dm_live_redis *hub = DM_NEW(struct dm_live_redis);
    hub->config = *c;
    hub->verifier = verifier;
    hub->odd_replies = live_redis_odd_metric(c->metrics);
    DM_REQUIRE(pthread_mutex_init(&hub->lock, NULL) == 0);
    dm_list_init(&hub->handles);
    *ret = hub;
    return DM_OK;
}

void dm_live_redis_free(struct dm_live_redis *hub)
{
    if (hub == NULL)
        return;
    DM_REQUIRE(dm_list_empty(&hub->handles)); /* handles first */
    live_policy_hub_free(hub->policy);
    dm_ed25519_verifier_free(hub->verifier);
    dm_live_outage_free(hub->outage);
    (void)pthread_mutex_destroy(&hub->lock);
    dm_mem_free(hub);
}

bool dm_live_redis_connected(const struct dm_live_redis *hub)
{
    return atomic_load(&hub->connected);
}

unsigned dm_live_redis_deciding_alone(const struct dm_live_redis *hub)
{
    return atomic_load(&hub->open_breakers);
}

static void on_state(struct dm_redis_watcher *w, bool connected)
{
    struct live_redis_handle *h = DM_CONTAINER_OF(w, struct live_redis_handle, watcher);
    atomic_store(&h->hub->connected, connected);
}

static void cancel(struct dm_live *l, struct dm_live_wait *w)
{
    struct live_redis_pending *p = (struct live_redis_pending *)(uintptr_t)w->ticket_;
    (void)l;
    DM_ASSERT(live_redis_untie(p) == w);
    p->cancel(p);
}

static void handle_free(struct dm_live *l)
{
    struct live_redis_handle *h = live_redis_handle_of(l);
    struct dm_live_redis *hub = h->hub;
    live_policy_side_free(h->policy);
    live_streams_free(h->streams);
    live_credits_free(h->credits);
    live_bandwidth_free(h->bandwidth);
    live_admissions_free(h->admissions);
    live_ear_free(h->ear);
    live_watch_free(h->watch);
    live_breaker_done(&h->breaker);
    if (h->owner)
        dm_redis_unwatch(&h->watcher);
    dm_redis_free(h->redis);
    dm_resolver_free(h->resolver);
    (void)pthread_mutex_lock(&hub->lock);
    dm_list_remove(&h->link);
    (void)pthread_mutex_unlock(&hub->lock);
    dm_mem_free(h);
}

static size_t flush(struct dm_live *l)
{
    struct live_redis_handle *h = live_redis_handle_of(l);
    if (!dm_redis_connected(h->redis))
        return 0;
    return live_streams_flush(h->streams) + live_bandwidth_flush(h->bandwidth) +
           live_credits_flush(h->credits);
}

static const struct dm_live_ops redis_ops = {
    .cancel = cancel,
    .ask_admit = live_redis_ask_admit,
    .add_bandwidth = live_redis_add_bandwidth,
    .ask_reserve = live_redis_ask_reserve,
    .settle = live_redis_settle,
    .ask_objects = live_redis_ask_objects,
    .subscribe = live_redis_subscribe,
    .emit = live_redis_emit,
    .emit_pending = live_redis_emit_pending,
    .emit_behind = live_redis_emit_behind,
    .flush = flush,
    .free = handle_free,
};

static enum dm_code connect(struct live_redis_handle *h, struct dm_error *err)
{
    const struct dm_resolver_config names = {.loop = h->loop};
    enum dm_code rc = dm_resolver_new(&names, &h->resolver, err);
    if (rc != DM_OK)
        return rc;
    return dm_redis_new(h->loop, h->resolver, &h->hub->config.redis, &h->redis, err);
}

static void join_hub(struct live_redis_handle *h)
{
    struct dm_live_redis *hub = h->hub;
    (void)pthread_mutex_lock(&hub->lock);
    h->owner = !hub->owned;
    hub->owned = true;
    if (h->owner) {
        hub->outage = dm_live_outage_new(dm_loop_clock(h->loop));
        hub->policy = live_policy_hub_new(hub);
    }
    h->base.outage = hub->outage;
    dm_list_add_tail(&hub->handles, &h->link);
    (void)pthread_mutex_unlock(&hub->lock);
}

enum dm_code dm_live_redis_set_passwords(struct dm_live *l, const struct dm_redis_config *c,
                                         struct dm_error *err)
{
    return dm_redis_set_passwords(live_redis_handle_of(l)->redis, c, err);
}

struct dm_live *dm_live_redis_handle(struct dm_live_redis *hub, struct dm_loop *loop)
{
    struct live_redis_handle *h = DM_NEW(struct live_redis_handle);
    struct dm_error err = {0};
    h->base.ops = &redis_ops;
    h->hub = hub;
    h->loop = loop;
    dm_list_init(&h->link);
    if (connect(h, &err) != DM_OK) {
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "no client of Redis", DM_FC("error", err.text));
        dm_resolver_free(h->resolver);
        dm_mem_free(h);
        return NULL;
    }
    join_hub(h);
    if (h->owner) {
        h->watcher.on_state = on_state;
        dm_redis_watch(h->redis, &h->watcher);
    }
    live_breaker_init(&h->breaker, h);
    if (h->owner)
        h->watch = live_watch_new(h);
    if (h->owner)
        h->ear = live_ear_new(h->redis, &hub->config);
    h->admissions = live_admissions_new(h);
    h->bandwidth = live_bandwidth_new(h);
    h->credits = live_credits_new(h);
    h->streams = live_streams_new(h);
    h->policy = live_policy_side_new(h);
    return &h->base;
}

#include "store/redis/live_redis_admin.h"

#include <stdio.h>

#include "base/log.h"
#include "embedded/store_redis_scripts.h"
#include "io/resolver.h"
#include "store/redis/live_redis_publish.h"

#include "base/poison.h"

enum { BOX = 256 }; /* admin threads that may call at once: four times as many as there are */

/* No connection stands: the next attempt may be a good one, but handlers must not pile up. */
static const dm_time AWAY = DM_SEC;
static const dm_time ODD_AGAIN = DM_SEC; /* one line a second says enough */

/* --- calls --- */

static void run(struct dm_call *c)
{
    struct live_redis_call *k = DM_CONTAINER_OF(c, struct live_redis_call, call);
    dm_time patience = k->admin->timeout;
    if (!dm_redis_connected(k->admin->redis) && patience > AWAY)
        patience = AWAY;
    k->deadline = dm_loop_now(k->admin->loop) + patience;
    k->start(k);
}

enum dm_code live_redis_call(struct dm_live_admin *a, struct live_redis_call *c,
                             void (*start)(struct live_redis_call *c), const char *what,
                             struct dm_error *err)
{
    c->admin = live_redis_admin_of(a);
    c->start = start;
    c->call.run = run;
    if (dm_mailbox_call(c->admin->box, &c->call) != DM_OK)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                       "could not %s: too many calls wait", what);
    if (c->code == DM_TIMEOUT)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                       "could not %s: no answer of Redis in time", what);
    if (c->code == DM_PROTOCOL)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                       "could not %s: unusable answer of Redis", what);
    if (c->code == DM_UNAVAILABLE)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY, "could not %s: Redis away", what);
    return c->code;
}

void live_redis_call_end(struct live_redis_call *c, enum dm_code code)
{
    c->code = code;
    dm_call_done(&c->call);
}

void live_redis_admin_odd(struct live_redis_admin *a, const char *what,
                          const struct dm_redis_reply *reply)
{
    dm_time now = dm_loop_now(a->loop);
    if (a->odd_replies != NULL)
        dm_metric_add(a->odd_replies, 0, 1);
    if (a->told_odd != 0 && now - a->told_odd < ODD_AGAIN)
        return;
    a->told_odd = now;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "unusable reply of Redis", DM_FC("to", what),
           DM_F("reply", dm_redis_text(reply)));
}

/* --- ping --- */

struct ping_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
};

static void on_pong(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    (void)reply;
    live_redis_call_end(&DM_CONTAINER_OF(q, struct ping_call, ask)->call, rc);
}

static void start_ping(struct live_redis_call *c)
{
    const dm_view argv[] = {DM_LIT("PING")};
    dm_redis_send(c->admin->redis, DM_VIEW_NONE, argv, 1, c->deadline,
                  &DM_CONTAINER_OF(c, struct ping_call, call)->ask, on_pong);
}

static enum dm_code ping(struct dm_live_admin *a, struct dm_error *err)
{
    struct ping_call c = {.call = {.code = DM_OK}};
    return live_redis_call(a, &c.call, start_ping, "ping", err);
}

/* --- other passwords --- */

struct passwords_call {
    struct live_redis_call call;
    const struct dm_redis_config *config;
};

static void start_passwords(struct live_redis_call *c)
{
    const struct passwords_call *p = DM_CONTAINER_OF(c, struct passwords_call, call);
    live_redis_call_end(c, dm_redis_set_passwords(c->admin->redis, p->config, NULL));
}

enum dm_code dm_live_redis_admin_set_passwords(struct dm_live_admin *a,
                                               const struct dm_redis_config *c,
                                               struct dm_error *err)
{
    struct passwords_call p = {.call = {.code = DM_OK}, .config = c};
    return live_redis_call(a, &p.call, start_passwords, "take other passwords", err);
}

/* --- what it evicts --- */

struct eviction_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    struct dm_live_eviction *ret;
};

static void on_info(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct eviction_call *c = DM_CONTAINER_OF(q, struct eviction_call, ask);
    const dm_view name = DM_LIT("maxmemory_policy:"), text = dm_redis_text(reply);
    size_t at = rc == DM_OK ? dm_view_find(text, name) : text.len;
    dm_view value = at < text.len ? dm_view_sub(text, at + name.len, SIZE_MAX) : DM_VIEW_NONE;
    value = dm_view_sub(value, 0, dm_view_find_byte(value, '\r', 0));
    (void)snprintf(c->ret->policy, sizeof c->ret->policy, "%.*s", DM_FMT(value));
    c->ret->safe = value.len == 0 || dm_view_eq(value, DM_LIT("noeviction")) ||
                   dm_view_starts(value, DM_LIT("volatile-"));
    live_redis_call_end(&c->call, rc);
}

static void start_info(struct live_redis_call *c)
{
    const dm_view argv[] = {DM_LIT("INFO"), DM_LIT("memory")};
    dm_redis_send_node(c->admin->redis, 0, argv, DM_COUNT_OF(argv), c->deadline,
                       &DM_CONTAINER_OF(c, struct eviction_call, call)->ask, on_info);
}

enum dm_code dm_live_redis_eviction(struct dm_live_admin *a, struct dm_live_eviction *ret,
                                    struct dm_error *err)
{
    struct eviction_call c = {.ret = ret};
    return live_redis_call(a, &c.call, start_info, "ask what is evicted", err);
}

/* --- birth and death --- */

static const struct dm_live_admin_ops admin_ops;

static void init_scripts(struct live_redis_scripts *s)
{
    dm_redis_script_init(&s->revoke, DM_SCRIPT_REVOKE);
    dm_redis_script_init(&s->unrevoke, DM_SCRIPT_UNREVOKE);
    dm_redis_script_init(&s->hit, DM_SCRIPT_HIT);
    dm_redis_script_init(&s->credits_set, DM_SCRIPT_CREDIT DM_SCRIPT_CREDITS_SET);
    dm_redis_script_init(&s->credits_get, DM_SCRIPT_CREDIT DM_SCRIPT_CREDITS_GET);
    dm_redis_script_init(&s->take, DM_SCRIPT_TAKE);
    dm_redis_script_init(&s->done, DM_SCRIPT_DONE);
    dm_redis_script_init(&s->mark, DM_SCRIPT_MARK);
}

static void *run_loop(void *loop)
{
    dm_loop_run(loop);
    return NULL;
}

/* The thread has ended, or never began. */
static void dismantle(struct live_redis_admin *a)
{
    live_publisher_free(a->publisher);
    live_redis_trust_done(a);
    dm_mailbox_free(a->box);
    live_ear_free(a->ear);
    dm_redis_free(a->redis);
    dm_resolver_free(a->resolver);
    dm_loop_free(a->loop);
    dm_mem_free(a);
}

static void admin_free(struct dm_live_admin *base)
{
    struct live_redis_admin *a = live_redis_admin_of(base);
    dm_loop_stop(a->loop);
    (void)pthread_join(a->thread, NULL);
    dismantle(a);
}

static enum dm_code assemble(struct live_redis_admin *a, struct dm_error *err)
{
    a->loop = dm_loop_new(&dm_clock_system);
    a->box = dm_mailbox_new(a->loop, BOX);
    const struct dm_resolver_config names = {.loop = a->loop};
    enum dm_code rc = dm_resolver_new(&names, &a->resolver, err);
    if (rc == DM_OK)
        rc = dm_redis_new(a->loop, a->resolver, &a->config.redis, &a->redis, err);
    if (rc == DM_OK)
        rc = live_publisher_new(a, &a->publisher, err);
    if (rc == DM_OK)
        a->ear = live_ear_new(a->redis, &a->config);
    return rc;
}

enum dm_code dm_live_redis_admin(const struct dm_live_redis_config *c, dm_time timeout,
                                 struct dm_live_admin **ret, struct dm_error *err)
{
    struct live_redis_admin *a = DM_NEW(struct live_redis_admin);
    a->base.ops = &admin_ops;
    a->config = *c;
    a->timeout = timeout;
    a->odd_replies = live_redis_odd_metric(c->metrics);
    init_scripts(&a->scripts);
    dm_random_uuid(a->consumer);
    enum dm_code rc = assemble(a, err);
    if (rc == DM_OK && pthread_create(&a->thread, NULL, run_loop, a->loop) != 0)
        rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_NONE, "could not start the thread of Redis calls");
    if (rc != DM_OK) {
        dismantle(a);
        return rc;
    }
    *ret = &a->base;
    return DM_OK;
}

static const struct dm_live_admin_ops admin_ops = {
    .publish = live_redis_publish,
    .publish_lock = live_redis_publish_lock,
    .publish_unlock = live_redis_publish_unlock,
    .published = live_redis_published,
    .compare = live_redis_compare,
    .names = live_redis_names,
    .republish_begin = live_redis_republish_begin,
    .republish_put = live_redis_republish_put,
    .republish_end = live_redis_republish_end,
    .restore_begin = live_redis_restore_begin,
    .restore_revoked = live_redis_restore_revoked,
    .restore_end = live_redis_restore_end,
    .restoration_free = live_redis_restoration_free,
    .whole = live_redis_whole,
    .on_reach = live_redis_on_reach,
    .revoke = live_redis_revoke,
    .unrevoke = live_redis_unrevoke,
    .is_revoked = live_redis_is_revoked,
    .revocations = live_redis_revocations,
    .hit = live_redis_hit,
    .bandwidth_used = live_redis_bandwidth_used,
    .credits_set = live_redis_credits_set,
    .credits_get = live_redis_credits_get,
    .credits_delete = live_redis_credits_delete,
    .clear_counters = live_redis_clear_counters,
    .ping = ping,
    .take = live_redis_take,
    .done = live_redis_done,
    .free = admin_free,
};

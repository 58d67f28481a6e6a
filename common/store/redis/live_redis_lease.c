#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/random.h"
#include "store/redis/live_redis_admin.h"
#include "store/redis/live_redis_publish.h"

#include "base/poison.h"

/* How an admin's thread waits for Redis: rounds of commands, scripts, and the lease that makes one
 * admin at a time the one that publishes. */

enum {
    WINDOW = 256,     /* commands of a round under way at once */
    LEASE_MS = 5000,  /* longer than any round; a crashed admin holds others up for as long */
    RETRY_MS_MIN = 2, /* the lease is another's: asked again after this and a random part */
    RETRY_MS_MORE = 16
};
static const dm_time RENEW = DM_SEC;
static const dm_time AWAY = DM_SEC; /* not connected now: whoever wants to publish waits in a row */

/* --- rounds --- */

struct live_round {
    struct live_redis_call call;
    struct live_cmd *cmds;
    size_t n, next, pending;
    enum dm_code code;
};

static void send_next(struct live_round *r);

static void on_answer(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_cmd *c = DM_CONTAINER_OF(a, struct live_cmd, ask);
    struct live_round *r = c->round;
    r->pending--;
    if (rc == DM_PROTOCOL && c->ours) {
        live_redis_admin_odd(r->call.admin, "policy", reply);
        rc = DM_OK;
    }
    if (rc != DM_OK && r->code == DM_OK)
        r->code = rc;
    c->type = dm_redis_type(reply);
    if (rc == DM_OK && c->type == DM_REDIS_INT)
        c->number = dm_redis_int(reply);
    if (rc == DM_OK && c->type == DM_REDIS_TEXT) {
        dm_view text = dm_redis_text(reply);
        c->text = dm_mem_alloc(text.len + 1);
        c->len = text.len;
        if (text.len > 0)
            memcpy(c->text, text.ptr, text.len);
    }
    send_next(r);
    if (r->pending == 0)
        live_redis_call_end(&r->call, r->code);
}

static void send_next(struct live_round *r)
{
    if (r->code != DM_OK || r->next == r->n)
        return;
    struct live_cmd *c = &r->cmds[r->next++];
    c->round = r;
    r->pending++;
    dm_redis_send(r->call.admin->redis, c->key, c->argv, c->argc, r->call.deadline, &c->ask,
                  on_answer);
}

static void start_round(struct live_redis_call *call)
{
    struct live_round *r = DM_CONTAINER_OF(call, struct live_round, call);
    for (size_t i = 0; i < WINDOW; i++)
        send_next(r);
}

enum dm_code live_publisher_round(struct live_publisher *p, struct live_cmd *cmds, size_t n,
                                  const char *what, struct dm_error *err)
{
    struct live_round r = {.cmds = cmds, .n = n, .code = DM_OK};
    return n == 0 ? DM_OK : live_redis_call(&p->admin->base, &r.call, start_round, what, err);
}

void live_publisher_round_done(struct live_cmd *cmds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dm_mem_free(cmds[i].text);
}

/* --- scripts --- */

struct script_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    struct live_script *script;
};

static void on_script(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct script_call *c = DM_CONTAINER_OF(a, struct script_call, ask);
    struct live_script *s = c->script;
    dm_view text = dm_view_sub(dm_redis_text(reply), 0, sizeof s->word - 1);
    if (rc == DM_OK && text.len > 0)
        memcpy(s->word, text.ptr, text.len);
    s->number = rc == DM_OK ? dm_redis_int(reply) : 0;
    live_redis_call_end(&c->call, rc);
}

static void start_script(struct live_redis_call *call)
{
    struct script_call *c = DM_CONTAINER_OF(call, struct script_call, call);
    const struct live_script *s = c->script;
    dm_redis_eval(call->admin->redis, s->script, s->keys, s->n_keys, s->args, s->n_args,
                  call->deadline, &c->ask, on_script);
}

enum dm_code live_publisher_script(struct live_publisher *p, struct live_script *s,
                                   const char *what, struct dm_error *err)
{
    struct script_call c = {.script = s};
    return live_redis_call(&p->admin->base, &c.call, start_script, what, err);
}

/* --- the lease --- */

struct lease_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    struct dm_timer again;
    dm_view token;
};

static void ask_lease(struct lease_call *c);

static void on_lease(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct lease_call *c = DM_CONTAINER_OF(a, struct lease_call, ask);
    struct dm_loop *loop = c->call.admin->loop;
    if (rc != DM_OK || dm_redis_type(reply) != DM_REDIS_NIL) {
        live_redis_call_end(&c->call, rc);
        return;
    }
    dm_time wait = (dm_time)(RETRY_MS_MIN + dm_random_u64() % RETRY_MS_MORE) * DM_MS;
    if (dm_loop_now(loop) + wait >= c->call.deadline)
        live_redis_call_end(&c->call, DM_TIMEOUT); /* another admin is publishing, or died */
    else
        dm_timer_start(loop, &c->again, wait);
}

static void on_lease_again(struct dm_timer *t)
{
    ask_lease(DM_CONTAINER_OF(t, struct lease_call, again));
}

static void ask_lease(struct lease_call *c)
{
    char ms[16];
    int len = snprintf(ms, sizeof ms, "%d", (int)LEASE_MS);
    const dm_view argv[] = {DM_LIT("SET"), LIVE_LEASE_KEY, c->token,
                            DM_LIT("NX"),  DM_LIT("PX"),   dm_view_make(ms, (size_t)len)};
    /* One that does not answer is away, whoever holds the lease. */
    struct live_redis_admin *admin = c->call.admin;
    dm_time patience =
        dm_redis_connected(admin->redis) || admin->timeout < AWAY ? admin->timeout : AWAY;
    dm_time deadline = dm_loop_now(admin->loop) + patience;
    dm_redis_send(admin->redis, argv[1], argv, DM_COUNT_OF(argv), deadline, &c->ask, on_lease);
}

static void start_lease(struct live_redis_call *call)
{
    struct lease_call *c = DM_CONTAINER_OF(call, struct lease_call, call);
    dm_timer_init(&c->again, on_lease_again);
    /* A crashed holder's lease ends by itself: wait that long, whatever one call may take. */
    call->deadline = dm_loop_now(call->admin->loop) + 2 * (dm_time)LEASE_MS * DM_MS;
    ask_lease(c);
}

static void new_token(struct live_publisher *p)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[LIVE_LEASE_TOKEN / 2];
    dm_random_bytes(raw, sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        p->token[2 * i] = digits[raw[i] >> 4];
        p->token[2 * i + 1] = digits[raw[i] & 15];
    }
}

enum dm_code live_publisher_lease(struct live_publisher *p, struct dm_error *err)
{
    new_token(p);
    struct lease_call c = {.token = live_publisher_token(p)};
    enum dm_code rc =
        live_redis_call(&p->admin->base, &c.call, start_lease, "take the lease of policy", err);
    p->held = rc == DM_OK;
    p->renewed = dm_clock_mono(&dm_clock_system);
    return rc;
}

static enum dm_code lease_script(struct live_publisher *p, const char *ms, bool *ret_ours,
                                 struct dm_error *err)
{
    struct live_script s = {.script = &p->lease_script,
                            .keys = {LIVE_LEASE_KEY},
                            .n_keys = 1,
                            .args = {live_publisher_token(p), dm_view_of(ms)},
                            .n_args = 2};
    enum dm_code rc = live_publisher_script(p, &s, "keep the lease of policy", err);
    *ret_ours = rc == DM_OK && s.number == 1;
    return rc;
}

void live_publisher_release(struct live_publisher *p)
{
    bool ours;
    if (!p->held)
        return;
    p->held = false;
    (void)lease_script(p, "0", &ours, NULL); /* else it ends by itself */
}

enum dm_code live_publisher_renew(struct live_publisher *p, struct dm_error *err)
{
    char ms[16];
    bool ours;
    dm_time now = dm_clock_mono(&dm_clock_system);
    if (now - p->renewed < RENEW)
        return DM_OK;
    (void)snprintf(ms, sizeof ms, "%d", (int)LEASE_MS);
    enum dm_code rc = lease_script(p, ms, &ours, err);
    if (rc == DM_OK && !ours)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                       "could not publish: the lease of policy went to another admin");
    p->renewed = now;
    return rc;
}

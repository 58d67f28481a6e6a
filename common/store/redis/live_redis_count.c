#include "store/redis/live_redis_admin.h"

#include "base/poison.h"

/* --- attempts --- */

struct hit_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    struct dm_live_key key;
    dm_view args[2];
    struct dm_live_hit hit;
};

static void on_hit(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct hit_call *k = DM_CONTAINER_OF(q, struct hit_call, ask);
    if (rc == DM_OK && dm_redis_len(reply) != 3)
        rc = DM_PROTOCOL;
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "hit", reply);
    if (rc == DM_OK) {
        k->hit.count = dm_redis_int(dm_redis_at(reply, 1));
        k->hit.retry_after = dm_redis_int(dm_redis_at(reply, 2));
        rc = dm_redis_int(dm_redis_at(reply, 0)) == 0 ? DM_OK : DM_LIMIT;
    }
    live_redis_call_end(&k->call, rc);
}

static void start_hit(struct live_redis_call *c)
{
    struct hit_call *k = DM_CONTAINER_OF(c, struct hit_call, call);
    const dm_view key = dm_live_key_view(&k->key);
    dm_redis_eval(c->admin->redis, &c->admin->scripts.hit, &key, 1, k->args, 2, c->deadline,
                  &k->ask, on_hit);
}

enum dm_code live_redis_hit(struct dm_live_admin *a, dm_view name, dm_view id, int64_t limit,
                            int64_t window, struct dm_live_hit *ret, struct dm_error *err)
{
    struct hit_call k = {.hit = {0}};
    struct live_number numbers[2];
    if (name.len > DM_LIVE_KIND_MAX || id.len > DM_LIVE_ID_MAX)
        return DM_INVALID;
    dm_live_key_hit(&k.key, name, id);
    k.args[0] = live_number(&numbers[0], limit);
    k.args[1] = live_number(&numbers[1], window);
    enum dm_code rc = live_redis_call(a, &k.call, start_hit, "count an attempt", err);
    if (rc == DM_OK || rc == DM_LIMIT)
        *ret = k.hit;
    return rc;
}

/* --- bandwidth: the time, then the window that it names --- */

struct bandwidth_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    dm_view subject; /* the caller's bytes: it waits */
    int64_t window, bytes;
};

static void end_bandwidth(struct bandwidth_call *k, enum dm_code rc,
                          const struct dm_redis_reply *reply)
{
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "bandwidth", reply);
    live_redis_call_end(&k->call, rc);
}

static void on_used(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct bandwidth_call *k = DM_CONTAINER_OF(q, struct bandwidth_call, ask);
    if (rc == DM_OK && dm_redis_type(reply) != DM_REDIS_NIL &&
        !dm_parse_i64(dm_redis_text(reply), 0, INT64_MAX, &k->bytes))
        rc = DM_PROTOCOL;
    end_bandwidth(k, rc, reply);
}

static void on_time(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct bandwidth_call *k = DM_CONTAINER_OF(q, struct bandwidth_call, ask);
    int64_t seconds = dm_redis_int(dm_redis_at(reply, 0));
    struct dm_live_key key;
    if (rc == DM_OK && seconds <= 0)
        rc = DM_PROTOCOL;
    if (rc != DM_OK) {
        end_bandwidth(k, rc, reply);
        return;
    }
    dm_live_key_bandwidth(&key, k->subject, k->window, seconds / k->window * k->window);
    const dm_view argv[] = {DM_LIT("GET"), dm_live_key_view(&key)};
    dm_redis_send(k->call.admin->redis, argv[1], argv, 2, k->call.deadline, &k->ask, on_used);
}

static void start_bandwidth(struct live_redis_call *c)
{
    struct bandwidth_call *k = DM_CONTAINER_OF(c, struct bandwidth_call, call);
    const dm_view argv[] = {DM_LIT("TIME")};
    dm_redis_send(c->admin->redis, DM_VIEW_NONE, argv, 1, c->deadline, &k->ask, on_time);
}

enum dm_code live_redis_bandwidth_used(struct dm_live_admin *a, dm_view subject, int64_t window,
                                       int64_t *ret, struct dm_error *err)
{
    struct bandwidth_call k = {.subject = subject, .window = window};
    if (!dm_live_subject_fits(subject, DM_VIEW_NONE)) {
        *ret = 0; /* no user has such a name */
        return DM_OK;
    }
    enum dm_code rc = live_redis_call(a, &k.call, start_bandwidth, "read bandwidth", err);
    if (rc == DM_OK)
        *ret = k.bytes;
    return rc;
}

/* --- clearing: SCAN of every master, one page after the other, each page's counters unlinked
 * before the next --- */

#define SCAN_MATCH "[ribt]*:*" /* what the names below have in common; they are told apart here */
enum { CURSOR_MAX = 24 };
static const dm_time CLEAR_WITHIN =
    60 * DM_SEC; /* a million keys take two; no scan goes on for ever */

struct clear_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    dm_time until;
    size_t node;
    char cursor[CURSOR_MAX];
    size_t cursor_len;
    struct unlink {
        struct dm_redis_ask ask;
        struct clear_call *of;
    } * unlinks; /* of this page */
    size_t waiting;
    enum dm_code code;
};

static bool is_counter(dm_view key)
{
    static const dm_view names[] = {{"rate_limit:", 11},
                                    {"throttle_limit:", 15},
                                    {"ip_rate_limit:", 14},
                                    {"ratelimit:", 10},
                                    {"bucket:", 7}}; /* gateway.md §23.3 */
    for (size_t i = 0; i < DM_COUNT_OF(names); i++) {
        if (dm_view_starts(key, names[i]))
            return true;
    }
    return false;
}

static void ask_page(struct clear_call *k);

static void end_clear(struct clear_call *k, enum dm_code rc, const struct dm_redis_reply *reply)
{
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "clear counters", reply);
    live_redis_call_end(&k->call, rc);
}

static void end_page(struct clear_call *k)
{
    dm_mem_free(DM_TAKE(k->unlinks));
    if (k->code != DM_OK) {
        end_clear(k, k->code, NULL);
        return;
    }
    if (k->cursor_len == 1 && k->cursor[0] == '0' &&
        ++k->node >= dm_redis_nodes(k->call.admin->redis))
        end_clear(k, DM_OK, NULL);
    else
        ask_page(k);
}

static void on_unlinked(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct clear_call *k = DM_CONTAINER_OF(q, struct unlink, ask)->of;
    (void)reply;
    if (rc != DM_OK)
        k->code = rc;
    if (--k->waiting == 0)
        end_page(k);
}

static void unlink_keys(struct clear_call *k, const struct dm_redis_reply *keys)
{
    size_t n = dm_redis_len(keys);
    dm_time deadline = dm_loop_now(k->call.admin->loop) + k->call.admin->timeout;
    k->unlinks = dm_mem_array(n + 1, sizeof *k->unlinks);
    for (size_t i = 0; i < n; i++) {
        const dm_view argv[] = {DM_LIT("UNLINK"), dm_redis_text(dm_redis_at(keys, i))};
        if (!is_counter(argv[1]))
            continue;
        struct unlink *u = &k->unlinks[k->waiting++];
        u->of = k;
        dm_redis_send(k->call.admin->redis, argv[1], argv, 2, deadline, &u->ask, on_unlinked);
    }
    if (k->waiting == 0)
        end_page(k);
}

static void on_page(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct clear_call *k = DM_CONTAINER_OF(q, struct clear_call, ask);
    dm_view cursor = dm_redis_text(dm_redis_at(reply, 0));
    if (rc == DM_OK && (cursor.len == 0 || cursor.len > CURSOR_MAX))
        rc = DM_PROTOCOL;
    if (rc != DM_OK) {
        end_clear(k, rc, reply);
        return;
    }
    for (k->cursor_len = 0; k->cursor_len < cursor.len; k->cursor_len++)
        k->cursor[k->cursor_len] = cursor.ptr[k->cursor_len];
    unlink_keys(k, dm_redis_at(reply, 1));
}

static void ask_page(struct clear_call *k)
{
    struct live_redis_admin *a = k->call.admin;
    if (dm_loop_now(a->loop) > k->until) {
        end_clear(k, DM_TIMEOUT, NULL);
        return;
    }
    const dm_view argv[] = {DM_LIT("SCAN"),  dm_view_make(k->cursor, k->cursor_len),
                            DM_LIT("MATCH"), DM_LIT(SCAN_MATCH),
                            DM_LIT("COUNT"), DM_LIT("1000")};
    dm_redis_send_node(a->redis, k->node, argv, DM_COUNT_OF(argv),
                       dm_loop_now(a->loop) + a->timeout, &k->ask, on_page);
}

static void start_clear(struct live_redis_call *c)
{
    struct clear_call *k = DM_CONTAINER_OF(c, struct clear_call, call);
    k->cursor[0] = '0';
    k->cursor_len = 1;
    k->until = dm_loop_now(c->admin->loop) + CLEAR_WITHIN;
    if (dm_redis_nodes(c->admin->redis) == 0)
        live_redis_call_end(c, DM_UNAVAILABLE);
    else
        ask_page(k);
}

enum dm_code live_redis_clear_counters(struct dm_live_admin *a, struct dm_error *err)
{
    struct clear_call k = {.code = DM_OK};
    return live_redis_call(a, &k.call, start_clear, "clear counters", err);
}

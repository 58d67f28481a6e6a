#include "store/redis/live_redis_scan.h"

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

/* --- clearing --- */

static bool is_counter(dm_view key, dm_view *ret_command)
{
    static const dm_view names[] = {{"rate_limit:", 11},
                                    {"throttle_limit:", 15},
                                    {"ip_rate_limit:", 14},
                                    {"ratelimit:", 10},
                                    {"bucket:", 7}}; /* gateway.md §23.3 */
    for (size_t i = 0; i < DM_COUNT_OF(names); i++) {
        if (dm_view_starts(key, names[i])) {
            *ret_command = DM_LIT("UNLINK");
            return true;
        }
    }
    return false;
}

enum dm_code live_redis_clear_counters(struct dm_live_admin *a, struct dm_error *err)
{
    /* what the names above have in common */
    struct live_scan s = {.match = "[ribt]*:*", .command = is_counter};
    return live_redis_call(a, &s.call, live_scan_start, "clear counters", err);
}

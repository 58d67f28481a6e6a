#include "gateway/limit/counters.h"

static struct dm_counter_ask throttle(const struct dm_policy_user *u, dm_time max_wait)
{
    return (struct dm_counter_ask){
        .kind = DM_COUNTER_THROTTLE,
        .limit = u->throttle.limit,
        .queue = u->throttle.queue,
        .window_seconds = u->throttle.window_seconds,
        .max_delayed = u->throttle.wait > 0 ? max_wait / u->throttle.wait : INT64_MAX,
    };
}

size_t gw_counters_of(const struct dm_policy_user *u, uint64_t content_length, dm_time max_wait,
                      struct dm_counter_ask *out)
{
    size_t n = 0;

    if (u->rate.enabled)
        out[n++] = (struct dm_counter_ask){.kind = DM_COUNTER_RATE,
                                           .limit = u->rate.limit,
                                           .window_seconds = u->rate.window_seconds};
    if (u->throttle.enabled)
        out[n++] = throttle(u, max_wait);
    if (u->bandwidth.enabled)
        out[n++] = (struct dm_counter_ask){
            .kind = DM_COUNTER_BANDWIDTH,
            .limit = u->bandwidth.limit,
            .window_seconds = u->bandwidth.window_seconds,
            .amount = content_length > INT64_MAX ? INT64_MAX : (int64_t)content_length,
        };
    return n;
}

static int64_t part(int64_t limit, unsigned peers)
{
    const int64_t part = limit / peers;
    return part > 0 || limit <= 0 ? part : 1;
}

void gw_counters_share(struct dm_counter_ask *counters, size_t n, unsigned peers)
{
    for (size_t i = 0; i < n; i++) {
        counters[i].limit = part(counters[i].limit, peers);
        counters[i].queue = part(counters[i].queue, peers);
    }
}

dm_time gw_counters_delay(const struct dm_policy_user *u, const struct dm_counter_ask *counters,
                          size_t n, const struct dm_admit_answer *a)
{
    for (size_t i = 0; i < n; i++)
        if (counters[i].kind == DM_COUNTER_THROTTLE && a->count[i] > counters[i].limit)
            return u->throttle.wait * (a->count[i] - counters[i].limit); /* max_delayed caps it */
    return 0;
}

int64_t gw_counters_remaining(const struct dm_counter_ask *c, int64_t count)
{
    const int64_t most = c->kind == DM_COUNTER_THROTTLE ? c->queue : c->limit;
    return most > count ? most - count : 0;
}

int64_t gw_counters_retry_after(int64_t reset_wall, dm_time now_wall)
{
    const dm_time left = reset_wall * DM_SEC - now_wall;
    const int64_t seconds = (left + DM_SEC - 1) / DM_SEC;
    return seconds > 1 ? seconds : 1;
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/redis/live_redis_admit.h"

/* The scripts compare one number; store/live.h says three different things. */
static bool refuses(const struct dm_counter_ask *c, __int128 value)
{
    switch (c->kind) {
    case DM_COUNTER_RATE:
        return value >= c->limit;
    case DM_COUNTER_THROTTLE:
        return value + 1 > c->queue || value + 1 - c->limit > c->max_delayed;
    case DM_COUNTER_BANDWIDTH:
        return value >= c->limit || c->amount > c->limit - value;
    }
    fail_msg("no such kind");
    return false;
}

static void one_number_refuses_what_the_contract_refuses(void **state)
{
    static const int64_t edges[] = {0, 1, 2, 9, 10, 11, 100, LIVE_VALUE_MAX - 1, LIVE_VALUE_MAX};
    static const int64_t wide[] = {-5, 0, 1, 2, 10, 11, LIVE_VALUE_MAX, INT64_MAX - 1, INT64_MAX};
    enum { EDGES = DM_COUNT_OF(edges), WIDE = DM_COUNT_OF(wide) };
    (void)state;
    for (size_t at = 0; at < (size_t)3 * WIDE * WIDE * WIDE * EDGES; at++) {
        size_t left = at;
        struct dm_counter_ask c = {.kind = (enum dm_counter_kind)(left % 3), .window_seconds = 60};
        left /= 3;
        c.limit = wide[left % WIDE];
        left /= WIDE;
        c.queue = c.amount = wide[left % WIDE];
        left /= WIDE;
        c.max_delayed = wide[left % WIDE];
        int64_t value = edges[left / WIDE];
        if (c.kind == DM_COUNTER_BANDWIDTH && c.amount < 0)
            continue; /* no request has such a length */
        if ((value >= live_counter_cap(&c, 0)) != refuses(&c, value))
            fail_msg("kind %d limit %lld queue %lld delayed %lld value %lld", c.kind,
                     (long long)c.limit, (long long)c.queue, (long long)c.max_delayed,
                     (long long)value);
    }
}

static void bytes_that_wait_here_count_as_used(void **state)
{
    const struct dm_counter_ask c = {
        .kind = DM_COUNTER_BANDWIDTH, .limit = 100, .amount = 10, .window_seconds = 60};
    (void)state;
    assert_int_equal(live_counter_cap(&c, 0), 91);
    assert_int_equal(live_counter_cap(&c, 90), 1);
    assert_int_equal(live_counter_cap(&c, 91), 0);
    assert_int_equal(live_counter_cap(&c, LIVE_VALUE_MAX), 0);
}

static void time_that_cannot_be_is_none(void **state)
{
    (void)state;
    assert_int_equal(live_wall_of(1700000000, 5), 1700000000 * DM_SEC + 5 * DM_US);
    assert_int_equal(live_wall_of(0, 5), 0);
    assert_int_equal(live_wall_of(-1, 5), 0);
    assert_int_equal(live_wall_of(INT64_MAX, 5), 0);
    assert_int_equal(live_wall_of(1700000000, -1), 0);
    assert_int_equal(live_wall_of(1700000000, 1000000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_number_refuses_what_the_contract_refuses),
        cmocka_unit_test(bytes_that_wait_here_count_as_used),
        cmocka_unit_test(time_that_cannot_be_is_none),
    };
    return cmocka_run_group_tests_name("live_cap", tests, NULL, NULL);
}

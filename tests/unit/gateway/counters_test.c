/* A user's limits as questions to the store, and its answers as figures (gateway.md §10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/limit/counters.h"

static void limits_are_asked_in_contract_order(void **state)
{
    const struct dm_policy_user u = {
        .rate = {.enabled = true, .limit = 60, .window_seconds = 60},
        .throttle =
            {.enabled = true, .limit = 10, .queue = 20, .window_seconds = 1, .wait = 500 * DM_MS},
        .bandwidth = {.enabled = true, .limit = 1000, .window_seconds = 86400},
    };
    struct dm_counter_ask asks[DM_COUNTERS_MAX];

    (void)state;
    assert_int_equal(gw_counters_of(&u, 77, 30 * DM_SEC, asks), 3);
    assert_int_equal(asks[0].kind, DM_COUNTER_RATE);
    assert_int_equal(asks[0].limit, 60);
    assert_int_equal(asks[1].kind, DM_COUNTER_THROTTLE);
    assert_int_equal(asks[1].queue, 20);
    assert_int_equal(asks[1].max_delayed, 60); /* 30 s in steps of half a second */
    assert_int_equal(asks[2].kind, DM_COUNTER_BANDWIDTH);
    assert_int_equal(asks[2].amount, 77);
}

static void a_user_without_limits_is_asked_nothing(void **state)
{
    const struct dm_policy_user u = {.rate = {.limit = 60}};
    struct dm_counter_ask asks[DM_COUNTERS_MAX];

    (void)state;
    assert_int_equal(gw_counters_of(&u, 1, DM_SEC, asks), 0);
}

static void a_throttle_without_a_wait_never_passes_the_cap(void **state)
{
    const struct dm_policy_user u = {
        .throttle = {.enabled = true, .limit = 1, .queue = 5, .window_seconds = 1}};
    struct dm_counter_ask asks[DM_COUNTERS_MAX];

    (void)state;
    assert_int_equal(gw_counters_of(&u, 0, 0, asks), 1);
    assert_int_equal(asks[0].max_delayed, INT64_MAX);
}

static void the_delay_grows_call_by_call(void **state)
{
    const struct dm_policy_user u = {
        .throttle = {
            .enabled = true, .limit = 2, .queue = 9, .window_seconds = 1, .wait = 500 * DM_MS}};
    struct dm_counter_ask asks[DM_COUNTERS_MAX];
    const size_t n = gw_counters_of(&u, 0, 30 * DM_SEC, asks);
    static const dm_time delays[] = {0, 0, 500 * DM_MS, 1000 * DM_MS, 1500 * DM_MS};

    (void)state;
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        const struct dm_admit_answer a = {.count = {(int64_t)i + 1}};
        assert_int_equal(gw_counters_delay(&u, asks, n, &a), delays[i]);
    }
}

static void a_length_past_int64_does_not_turn_negative(void **state)
{
    const struct dm_policy_user u = {
        .bandwidth = {.enabled = true, .limit = 1, .window_seconds = 1}};
    struct dm_counter_ask asks[DM_COUNTERS_MAX];

    (void)state;
    gw_counters_of(&u, UINT64_MAX, 0, asks);
    assert_int_equal(asks[0].amount, INT64_MAX);
}

static void waiting_is_told_in_whole_seconds_and_at_least_one(void **state)
{
    (void)state;
    assert_int_equal(gw_counters_retry_after(100, 60 * DM_SEC), 40);
    assert_int_equal(gw_counters_retry_after(100, 60 * DM_SEC + 1), 40);
    assert_int_equal(gw_counters_retry_after(100, 99 * DM_SEC + DM_SEC / 2), 1);
    assert_int_equal(gw_counters_retry_after(100, 100 * DM_SEC), 1);
    assert_int_equal(gw_counters_retry_after(100, 105 * DM_SEC), 1);
}

static void what_remains_is_never_negative(void **state)
{
    const struct dm_counter_ask rate = {.kind = DM_COUNTER_RATE, .limit = 5};
    const struct dm_counter_ask throttle = {.kind = DM_COUNTER_THROTTLE, .limit = 1, .queue = 5};

    (void)state;
    assert_int_equal(gw_counters_remaining(&rate, 3), 2);
    assert_int_equal(gw_counters_remaining(&rate, 9), 0);
    assert_int_equal(gw_counters_remaining(&throttle, 3), 2); /* the queue is its cap */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_asked_in_contract_order),
        cmocka_unit_test(a_user_without_limits_is_asked_nothing),
        cmocka_unit_test(a_throttle_without_a_wait_never_passes_the_cap),
        cmocka_unit_test(the_delay_grows_call_by_call),
        cmocka_unit_test(a_length_past_int64_does_not_turn_negative),
        cmocka_unit_test(waiting_is_told_in_whole_seconds_and_at_least_one),
        cmocka_unit_test(what_remains_is_never_negative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

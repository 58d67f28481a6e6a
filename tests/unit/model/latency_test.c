#include "model/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_time_lies_in_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    assert_int_equal(dm_latency_bucket(-1), 0);
    assert_int_equal(dm_latency_bucket(500), 0);
    assert_int_equal(dm_latency_bucket(501), 1);
    assert_int_equal(dm_latency_bucket(60000000), DM_LATENCY_BUCKETS - 2);
    assert_int_equal(dm_latency_bucket(60000001), DM_LATENCY_BUCKETS - 1);
    assert_int_equal(dm_latency_bucket(INT64_MAX), DM_LATENCY_BUCKETS - 1);
    for (int64_t us = 0; us < 100000; us += 250)
        assert_true(dm_latency_bucket(us) <= dm_latency_bucket(us + 250));
}

static void quantiles_are_linear_within_a_bucket(void **state)
{
    int64_t counts[DM_LATENCY_BUCKETS] = {0};

    (void)state;
    assert_true(dm_latency_quantile(counts, 0.5) == 0);
    counts[2] = 10; /* 1 to 2 ms */
    assert_true(dm_latency_quantile(counts, 0.5) == 1.5);
    assert_true(dm_latency_quantile(counts, 1) == 2);
    counts[0] = 10; /* to 0.5 ms */
    assert_true(dm_latency_quantile(counts, 0.25) == 0.25);
    assert_true(dm_latency_quantile(counts, 0.75) == 1.5);
}

static void the_open_bucket_gives_its_lower_bound(void **state)
{
    int64_t counts[DM_LATENCY_BUCKETS] = {[DM_LATENCY_BUCKETS - 1] = 3};

    (void)state;
    assert_true(dm_latency_quantile(counts, 0.99) == 60000);
}

static void sums_near_the_end_of_numbers_do_not_overflow(void **state)
{
    int64_t counts[DM_LATENCY_BUCKETS];

    (void)state;
    for (int i = 0; i < DM_LATENCY_BUCKETS; i++)
        counts[i] = INT64_MAX;
    assert_true(dm_latency_quantile(counts, 0.5) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_lies_in_the_first_bucket_that_holds_it),
        cmocka_unit_test(quantiles_are_linear_within_a_bucket),
        cmocka_unit_test(the_open_bucket_gives_its_lower_bound),
        cmocka_unit_test(sums_near_the_end_of_numbers_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

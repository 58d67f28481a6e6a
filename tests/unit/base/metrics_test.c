#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"

static const double bounds[] = {0.005, 0.01, 2.5};

static char *written(struct dm_metrics *m)
{
    struct dm_buf out;
    dm_buf_init(&out, 1 << 20);
    dm_metrics_write(m, &out);
    assert_true(dm_buf_ok(&out));
    return dm_buf_take(&out, NULL);
}

static void assert_holds(struct dm_metrics *m, const char *text)
{
    char *page = written(m);
    if (strstr(page, text) == NULL)
        fail_msg("not found: %s in\n%s", text, page);
    dm_mem_free(page);
}

static void counters_sum_their_shards(void **state)
{
    (void)state;
    struct dm_metrics *m = dm_metrics_new(3);
    struct dm_metric *s =
        dm_metric_get(m, DM_COUNTER, "doorman_x_total", "code=\"200\"", "Things.", NULL, 0);
    dm_metric_add(s, 0, 1);
    dm_metric_add(s, 2, 41);
    assert_int_equal(dm_metric_value(s), 42);
    assert_ptr_equal(
        s, dm_metric_get(m, DM_COUNTER, "doorman_x_total", "code=\"200\"", "Things.", NULL, 0));
    (void)dm_metric_get(m, DM_COUNTER, "doorman_x_total", "code=\"500\"", "Things.", NULL, 0);
    assert_holds(m, "# HELP doorman_x_total Things.\n# TYPE doorman_x_total counter\n"
                    "doorman_x_total{code=\"200\"} 42\ndoorman_x_total{code=\"500\"} 0\n");
    dm_metrics_free(m);
}

static void gauges_are_set_and_moved(void **state)
{
    (void)state;
    struct dm_metrics *m = dm_metrics_new(2);
    struct dm_metric *s = dm_metric_get(m, DM_GAUGE, "doorman_y", "", "Y.", NULL, 0);
    assert_holds(m, "\ndoorman_y 0\n");
    dm_metric_add(s, 0, 5);
    dm_metric_add(s, 1, -2);
    assert_int_equal(dm_metric_value(s), 3);
    dm_metric_set(s, 0.5);
    assert_holds(m, "# TYPE doorman_y gauge\ndoorman_y 3.5\n");
    dm_metric_set(s, 1e18);
    assert_holds(m, "\ndoorman_y 1e+18\n");
    dm_metrics_free(m);
}

static void a_bucket_counts_all_that_is_not_above_its_bound(void **state)
{
    (void)state;
    struct dm_metrics *m = dm_metrics_new(2);
    struct dm_metric *s =
        dm_metric_get(m, DM_HISTOGRAM, "doorman_z_seconds", "op=\"get\"", "Z.", bounds, 3);
    dm_metric_observe(s, 0, 5 * DM_MS);     /* exactly the first bound */
    dm_metric_observe(s, 1, 5 * DM_MS + 1); /* just above */
    dm_metric_observe(s, 0, 3 * DM_SEC);
    dm_metric_observe(s, 0, -7); /* a clock that stepped back counts as nothing waited */
    assert_int_equal(dm_metric_value(s), 4);
    assert_holds(m, "# TYPE doorman_z_seconds histogram\n"
                    "doorman_z_seconds_bucket{op=\"get\",le=\"0.005\"} 2\n"
                    "doorman_z_seconds_bucket{op=\"get\",le=\"0.01\"} 3\n"
                    "doorman_z_seconds_bucket{op=\"get\",le=\"2.5\"} 3\n"
                    "doorman_z_seconds_bucket{op=\"get\",le=\"+Inf\"} 4\n"
                    "doorman_z_seconds_sum{op=\"get\"} 3.010000001\n"
                    "doorman_z_seconds_count{op=\"get\"} 4\n");
    dm_metrics_free(m);
}

static void a_histogram_without_labels_has_only_its_bound(void **state)
{
    (void)state;
    struct dm_metrics *m = dm_metrics_new(1);
    (void)dm_metric_get(m, DM_HISTOGRAM, "doorman_z_seconds", "", "Z.", bounds, 3);
    assert_holds(m, "doorman_z_seconds_bucket{le=\"0.005\"} 0\n");
    assert_holds(m, "doorman_z_seconds_sum 0.000000000\ndoorman_z_seconds_count 0\n");
    dm_metrics_free(m);
}

static void a_declared_name_is_shown_before_its_first_series(void **state)
{
    (void)state;
    struct dm_metrics *m = dm_metrics_new(1);
    dm_metrics_declare(m, DM_COUNTER, "agentidp_x_total", "One\nline \\ here.", NULL, 0);
    dm_metrics_declare(m, DM_GAUGE, "agentidp_y", "Y.", NULL, 0);
    assert_holds(m,
                 "# HELP agentidp_x_total One\\nline \\\\ here.\n# TYPE agentidp_x_total counter\n"
                 "# HELP agentidp_y Y.\n# TYPE agentidp_y gauge\n");
    dm_metrics_free(m);
}

static void label_values_are_escaped(void **state)
{
    (void)state;
    struct dm_buf labels;
    dm_buf_init(&labels, 256);
    dm_metric_label(&labels, "a", DM_LIT("x\"y\\z\n"));
    dm_metric_label(&labels, "b", DM_LIT("\xff"));
    assert_string_equal(dm_buf_cstr(&labels), "a=\"x\\\"y\\\\z\\n\",b=\"other\"");
    dm_buf_done(&labels);
}

static void too_many_label_sets_fold_into_one(void **state)
{
    (void)state;
    struct dm_metrics *m = dm_metrics_new(1);
    dm_metrics_limit(m, 3);
    struct dm_metric *first = dm_metric_get(m, DM_COUNTER, "x", "a=\"1\",b=\"1\"", "X.", NULL, 0);
    (void)dm_metric_get(m, DM_COUNTER, "x", "a=\"2\",b=\"1\"", "X.", NULL, 0);
    struct dm_metric *third =
        dm_metric_get(m, DM_COUNTER, "x", "a=\"3\\\"\",b=\"1\"", "X.", NULL, 0);
    struct dm_metric *fourth = dm_metric_get(m, DM_COUNTER, "x", "a=\"4\",b=\"1\"", "X.", NULL, 0);
    assert_ptr_equal(third, fourth);
    assert_ptr_equal(first, dm_metric_get(m, DM_COUNTER, "x", "a=\"1\",b=\"1\"", "X.", NULL, 0));
    dm_metric_add(third, 0, 7);
    assert_holds(m, "x{a=\"other\",b=\"other\"} 7\n");
    assert_non_null(
        dm_metric_get(m, DM_COUNTER, "y", "a=\"1\"", "Y.", NULL, 0)); /* a limit per name */
    dm_metrics_free(m);
}

enum { THREADS = 4, ROUNDS = 20000 };
struct job {
    struct dm_metric *counter, *histogram;
    size_t shard;
};

static void *count_up(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < ROUNDS; i++) {
        dm_metric_add(j->counter, j->shard, 1);
        dm_metric_observe(j->histogram, j->shard, i);
    }
    return NULL;
}

static void threads_lose_no_count_even_on_one_shard(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    struct dm_metrics *m = dm_metrics_new(2);
    struct dm_metric *c = dm_metric_get(m, DM_COUNTER, "c", "", "C.", NULL, 0);
    struct dm_metric *h = dm_metric_get(m, DM_HISTOGRAM, "h", "", "H.", bounds, 3);
    for (size_t i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){c, h, i % 2};
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &jobs[i]), 0);
    }
    char *page = written(m); /* reading meanwhile is allowed */
    dm_mem_free(page);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(dm_metric_value(c), THREADS * ROUNDS);
    assert_int_equal(dm_metric_value(h), THREADS * ROUNDS);
    dm_metrics_free(m);
}

static void counting_allocates_nothing(void **state)
{
    (void)state;
    struct dm_metrics *m = dm_metrics_new(1);
    struct dm_metric *c = dm_metric_get(m, DM_COUNTER, "c", "", "C.", NULL, 0);
    uint64_t before = dm_mem_count();
    dm_metric_add(c, 0, 1);
    assert_int_equal(dm_mem_count() - before, 0);
    dm_metrics_free(m);
    dm_metrics_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_sum_their_shards),
        cmocka_unit_test(gauges_are_set_and_moved),
        cmocka_unit_test(a_bucket_counts_all_that_is_not_above_its_bound),
        cmocka_unit_test(a_histogram_without_labels_has_only_its_bound),
        cmocka_unit_test(a_declared_name_is_shown_before_its_first_series),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(too_many_label_sets_fold_into_one),
        cmocka_unit_test(threads_lose_no_count_even_on_one_shard),
        cmocka_unit_test(counting_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

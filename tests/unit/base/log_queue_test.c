#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/log_queue.h"

static bool push(enum dm_log_level level, const char *message)
{
    struct dm_log_event e = {.level = level, .message = dm_view_of(message)};
    return dm_log_queue_push(&e);
}

/* How many of n lines of a level the queue takes, seen from the count of those it dropped. */
static size_t taken(enum dm_log_level level, size_t n)
{
    uint64_t before = dm_log_dropped();
    for (size_t i = 0; i < n; i++)
        assert_true(push(level, "x"));
    return n - (size_t)(dm_log_dropped() - before);
}

static size_t lines_of(const struct dm_log_batch *batch)
{
    size_t n = 0;
    enum dm_log_level level;
    bool raw;
    for (size_t at = 0; at < batch->len; n++)
        at += dm_log_record_read(batch->records + at, &level, &raw);
    return n;
}

static int setup(void **state)
{
    (void)state;
    dm_log_queue_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_log_queue_stop();
    dm_log_queue_close();
    return 0;
}

static void small_levels_give_way_first_and_errors_last(void **state)
{
    (void)state;
    struct dm_log_batch batch;
    assert_int_equal(taken(DM_LOG_INFO, 9000), 6144);
    assert_int_equal(taken(DM_LOG_DEBUG, 10), 0);
    assert_int_equal(taken(DM_LOG_WARNING, 9000), 2048);
    assert_int_equal(taken(DM_LOG_INFO, 10), 0);
    assert_int_equal(taken(DM_LOG_ERROR, 4000), 4000);
    assert_int_equal(taken(DM_LOG_AUDIT, 4000), 4000);
    dm_log_queue_swap(DM_NEVER, &batch);
    assert_int_equal(lines_of(&batch), 16192);
    assert_int_equal(taken(DM_LOG_INFO, 10), 10);
}

static void errors_and_audit_have_room_of_their_own_for_8192(void **state)
{
    (void)state;
    assert_int_equal(taken(DM_LOG_WARNING, 9000), 8192);
    assert_int_equal(taken(DM_LOG_CRITICAL, 9000), 8192);
}

static void bytes_are_bounded_as_lines_are(void **state)
{
    (void)state;
    static char big[DM_LOG_JSON_MAX];
    struct dm_log_field field = DM_FJ("j", dm_view_make(big, sizeof big));
    struct dm_log_event e = {.level = DM_LOG_INFO, .fields = &field, .n_fields = 1};
    uint64_t before = dm_log_dropped();
    for (int i = 0; i < 1000; i++)
        assert_true(dm_log_queue_push(&e));
    assert_in_range(1000 - (dm_log_dropped() - before), 300, 400); /* 3 MiB of 8 KiB lines */
    assert_int_equal(taken(DM_LOG_ERROR, 10), 10);
}

static void lines_come_out_in_order_and_once(void **state)
{
    (void)state;
    struct dm_log_batch batch;
    enum dm_log_level level;
    bool raw;
    assert_true(push(DM_LOG_INFO, "1"));
    assert_true(push(DM_LOG_ERROR, "2"));
    dm_log_queue_swap(DM_NEVER, &batch);
    assert_int_equal(lines_of(&batch), 2);
    size_t first = dm_log_record_read(batch.records, &level, &raw);
    assert_int_equal(level, DM_LOG_INFO);
    (void)dm_log_record_read(batch.records + first, &level, &raw);
    assert_int_equal(level, DM_LOG_ERROR);
    assert_false(batch.stopping);
    dm_log_queue_swap(DM_MS, &batch); /* patience ends a wait for nothing */
    assert_int_equal(batch.len, 0);
}

static void stop_lets_the_last_lines_out_and_takes_no_more(void **state)
{
    (void)state;
    struct dm_log_batch batch;
    assert_true(push(DM_LOG_INFO, "1"));
    dm_log_queue_stop();
    assert_false(push(DM_LOG_INFO, "2"));
    dm_log_queue_swap(DM_NEVER, &batch);
    assert_int_equal(lines_of(&batch), 1);
    assert_false(batch.stopping);
    dm_log_queue_swap(DM_NEVER, &batch);
    assert_true(batch.stopping && batch.len == 0);
}

static void a_closed_queue_takes_nothing(void **state)
{
    (void)state;
    assert_false(push(DM_LOG_ERROR, "x"));
    dm_log_queue_flush(DM_NEVER / 4); /* and nobody waits for it */
}

static void *write_until_stop(void *arg)
{
    size_t *lines = arg;
    struct dm_log_batch batch;
    do {
        dm_log_queue_swap(DM_NEVER, &batch);
        *lines += lines_of(&batch);
        dm_log_queue_flushed(batch.flush_asked);
    } while (!batch.stopping);
    return NULL;
}

static void *push_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++)
        (void)push(i % 100 == 0 ? DM_LOG_ERROR : DM_LOG_INFO, "x");
    return NULL;
}

static void many_threads_lose_nothing_uncounted(void **state)
{
    (void)state;
    pthread_t writer, threads[4];
    size_t lines = 0;
    uint64_t before = dm_log_dropped();
    dm_log_queue_open();
    assert_int_equal(pthread_create(&writer, NULL, write_until_stop, &lines), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, push_many, NULL), 0);
    dm_log_queue_flush(10 * DM_SEC);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    dm_log_queue_wake();
    dm_log_queue_flush(10 * DM_SEC);
    dm_log_queue_stop();
    pthread_join(writer, NULL);
    dm_log_queue_close();
    assert_int_equal(lines + (size_t)(dm_log_dropped() - before), 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_levels_give_way_first_and_errors_last, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(errors_and_audit_have_room_of_their_own_for_8192, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bytes_are_bounded_as_lines_are, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_come_out_in_order_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_lets_the_last_lines_out_and_takes_no_more, setup,
                                        teardown),
        cmocka_unit_test(a_closed_queue_takes_nothing),
        cmocka_unit_test(many_threads_lose_nothing_uncounted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "child.h"
#include "scratch.h"

static struct dm_clock_manual clock_;
static struct dm_log_config config;

/* Everything goes to files of a directory of its own; the console is one of them. */
static int setup(void **state)
{
    (void)state;
    scratch_make();
    dm_clock_manual_init(&clock_, 0, 1705314600 * DM_SEC);
    config = (struct dm_log_config){.level = DM_LOG_INFO,
                                    .json = true,
                                    .utc = true,
                                    .process = "gateway",
                                    .pod = "pod-1",
                                    .dir = scratch_path("."),
                                    .max_bytes = 0,
                                    .memory_lines = 1000,
                                    .clock = &clock_.clock};
    config.fd = open(scratch_path("console"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_log_stop();
    close(config.fd);
    scratch_remove();
    return 0;
}

static void assert_holds(const char *file, const char *text, size_t times)
{
    char *whole = scratch_read(file);
    assert_non_null(whole);
    if (count_of(whole, text) != times)
        fail_msg("%s holds \"%s\" %zu times, expected %zu:\n%s", file, text, count_of(whole, text),
                 times, whole);
    dm_mem_free(whole);
}

static void an_event_reaches_console_and_file(void **state)
{
    (void)state;
    dm_log_start(&config);
    DM_LOG(DM_LOG_INFO, DM_LIT("abc"), "policy loaded", DM_FI("apis", 10));
    dm_log_stop();
    static const char expected[] =
        "{\"timestamp\":\"2024-01-15T10:30:00Z\",\"level\":\"INFO\",\"request_id\":\"abc\","
        "\"message\":\"policy loaded\",\"apis\":10,\"ts_ms\":1705314600000,\"process\":\"gateway\","
        "\"pod\":\"pod-1\",\"version\":\"" DOORMAN_VERSION "\"}\n";
    assert_holds("console", expected, 1);
    assert_holds("doorman.log", expected, 1);
    assert_holds("doorman-trail.log", "\n", 0);
}

static void an_audit_record_goes_to_the_trail_and_not_to_the_log(void **state)
{
    (void)state;
    config.json = false;
    config.level = DM_LOG_CRITICAL; /* above every threshold all the same */
    dm_log_start(&config);
    DM_LOG(DM_LOG_AUDIT, DM_VIEW_NONE, "auth.login", DM_FC("username", "bob"));
    dm_log_stop();
    assert_holds("doorman-trail.log", "\"username\":\"bob\",\"log\":\"audit\"", 1);
    assert_holds("console", "\"username\":\"bob\",\"log\":\"audit\"", 1);
    assert_holds("doorman.log", "bob", 0);
}

static void a_ready_line_goes_to_the_console_alone(void **state)
{
    (void)state;
    dm_log_start(&config);
    dm_log_raw(DM_LOG_INFO, DM_LIT("1.2.3.4 - - \"GET /x?token=abc HTTP/1.1\" 200"));
    dm_log_raw(DM_LOG_DEBUG, DM_LIT("below the threshold"));
    dm_log_stop();
    assert_holds("console", "1.2.3.4 - - \"GET /x?token=[REDACTED] HTTP/1.1\" 200\n", 1);
    assert_holds("console", "threshold", 0);
    assert_holds("doorman.log", "1.2.3.4", 0);
}

static void append_line(void *ctx, dm_view line)
{
    struct dm_buf *all = ctx;
    dm_buf_add(all, line);
    dm_buf_add_byte(all, '\n');
}

/* The property of operations.md §8.6: no sink shows a secret, whichever way it came in. */
static void a_canary_appears_in_no_sink(void **state)
{
    (void)state;
    static const char *const ways[] = {
        "Authorization: Bearer canary",
        "X-API-Key: canary",
        "Cookie: a=1; session=canary",
        "GET /x?token=canary&b=1",
        "GET /x?access_token=canary",
        "{\"password\":\"canary\",\"user\":\"bob\"}",
        "user=bob&password=canary&x=1",
        "upstream said: {\"client_secret\": \"canary\"}",
        "could not connect to redis://user:canary@host:6379",
        "eyJhbGciOi.eyJzdWIi.canary",
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
        "x-csrf-token=canary",
    };
    struct dm_buf memory;
    dm_buf_init(&memory, 1 << 20);
    for (int json = 0; json < 2; json++) {
        config.json = json;
        dm_log_start(&config);
        for (size_t i = 0; i < DM_COUNT_OF(ways); i++) {
            DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, ways[i]);
            DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "as a field", DM_FC("path", ways[i]));
            DM_LOG(DM_LOG_AUDIT, DM_VIEW_NONE, "as audit", DM_FC("target", ways[i]));
            dm_log_raw(DM_LOG_INFO, dm_view_of(ways[i]));
        }
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "by name", DM_FC("password", "canary canary"),
               DM_FC("x_api_key", "canary canary"), DM_FC("set_cookie", "canary canary"));
        DM_LOG(
            DM_LOG_AUDIT, DM_VIEW_NONE, "details",
            DM_FJ("details", DM_LIT("{\"password\":\"canary\",\"n\":{\"secret\":[\"canary\"]}}")));
        dm_log_recent(1000, append_line, &memory);
        dm_log_stop();
    }
    static const char *const sinks[] = {"console", "doorman.log", "doorman-trail.log"};
    for (size_t i = 0; i < DM_COUNT_OF(sinks); i++) {
        assert_holds(sinks[i], "canary", 0);
        char *whole = scratch_read(sinks[i]);
        assert_true(count_of(whole, "[REDACTED]") >= 2 * DM_COUNT_OF(ways));
        dm_mem_free(whole);
    }
    assert_int_equal(count_of(dm_buf_cstr(&memory), "canary"), 0);
    assert_true(count_of(dm_buf_cstr(&memory), "\n") > 4 * DM_COUNT_OF(ways));
    dm_buf_done(&memory);
}

static void levels_below_the_threshold_are_not_logged(void **state)
{
    (void)state;
    dm_log_start(&config);
    assert_false(dm_log_enabled(DM_LOG_DEBUG));
    DM_LOG(DM_LOG_DEBUG, DM_VIEW_NONE, "first");
    config.level = DM_LOG_DEBUG;
    config.json = false;
    dm_log_reconfigure(&config);
    assert_true(dm_log_enabled(DM_LOG_DEBUG));
    DM_LOG(DM_LOG_DEBUG, DM_VIEW_NONE, "second");
    dm_log_stop();
    assert_holds("doorman.log", "first", 0);
    assert_holds("doorman.log", "2024-01-15 10:30:00 DEBUG [request_id=-] second\n", 1);
}

static void a_new_file_is_taken_over_by_reconfigure(void **state)
{
    (void)state;
    dm_log_start(&config);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "first");
    dm_log_flush();
    config.file = scratch_path("other.log");
    dm_log_reconfigure(&config);
    dm_log_flush();
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "second");
    dm_log_stop();
    assert_holds("doorman.log", "first", 1);
    assert_holds("other.log", "second", 1);
    assert_holds("doorman.log", "second", 0);
}

static void reopen_follows_an_external_rotation(void **state)
{
    (void)state;
    dm_log_start(&config);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "first");
    dm_log_flush();
    assert_int_equal(rename(scratch_path("doorman.log"), scratch_path("moved")), 0);
    dm_log_reopen();
    dm_log_flush();
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "second");
    dm_log_stop();
    assert_holds("moved", "first", 1);
    assert_holds("doorman.log", "second", 1);
}

static void a_directory_that_cannot_be_written_costs_one_warning(void **state)
{
    (void)state;
    config.dir = "/proc/no/such/place";
    dm_log_start(&config);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "still here");
    dm_log_stop();
    assert_holds("console", "still here", 1);
    assert_holds("console", "log file cannot be opened", 2); /* one each for log and trail */
}

enum { THREADS = 4, LINES = 1000 };

static void *log_many(void *arg)
{
    for (int i = 0; i < LINES; i++)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "line", DM_FC("thread", arg), DM_FI("n", i));
    return NULL;
}

static void stop_writes_what_all_threads_have_logged(void **state)
{
    (void)state;
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    uint64_t before = dm_log_dropped();
    dm_log_start(&config);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    dm_log_stop();
    assert_int_equal(dm_log_dropped() - before, 0);
    assert_holds("doorman.log", "\n", THREADS * LINES);
    assert_holds("console", "\"thread\":\"d\",\"n\":999,", 1);
}

static void logging_allocates_nothing(void **state)
{
    (void)state;
    dm_log_start(&config);
    for (int i = 0; i < 100; i++)
        DM_LOG(DM_LOG_INFO, DM_LIT("r"), "warm", DM_FC("path", "/x"), DM_FI("n", i));
    dm_log_flush();
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 100; i++)
        DM_LOG(DM_LOG_INFO, DM_LIT("r"), "line", DM_FC("path", "/x"), DM_FI("n", i));
    dm_log_flush(); /* the writer does not either */
    assert_int_equal(dm_mem_count() - before, 0);
}

static void log_without_a_writer(void)
{
    DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "too early", DM_FC("password", "canary"));
    DM_LOG(DM_LOG_AUDIT, DM_VIEW_NONE, "audit too");
    DM_LOG(DM_LOG_DEBUG, DM_VIEW_NONE, "hidden");
    dm_log_stop();
    dm_log_reopen();
    dm_log_flush();
    dm_log_recent(1, append_line, NULL);
}

static void without_a_writer_lines_go_to_stderr(void **state)
{
    (void)state;
    char text[1024];
    stderr_of(log_without_a_writer, text, sizeof text);
    assert_int_equal(count_of(text, "ERROR [request_id=-] too early password=[REDACTED]\n"), 1);
    assert_int_equal(count_of(text, "\"message\":\"audit too\""), 1);
    assert_int_equal(count_of(text, "\n"), 2);
}

static void the_log_can_be_started_again(void **state)
{
    (void)state;
    dm_log_start(&config);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "first");
    dm_log_stop();
    dm_log_start(&config);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "second");
    dm_log_stop();
    assert_holds("doorman.log", "\n", 2);
}

static void level_names_are_read_in_any_case(void **state)
{
    (void)state;
    enum dm_log_level level;
    for (int i = DM_LOG_TRACE; i <= DM_LOG_CRITICAL; i++) {
        assert_true(
            dm_log_level_parse(dm_view_of(dm_log_level_name((enum dm_log_level)i)), &level));
        assert_int_equal(level, i);
    }
    assert_true(dm_log_level_parse(DM_LIT("warn"), &level));
    assert_int_equal(level, DM_LOG_WARNING);
    assert_true(dm_log_level_parse(DM_LIT("Debug"), &level));
    assert_int_equal(level, DM_LOG_DEBUG);
    assert_false(dm_log_level_parse(DM_LIT("AUDIT"), &level)); /* no threshold may hide it */
    assert_false(dm_log_level_parse(DM_LIT(""), &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_event_reaches_console_and_file, setup, teardown),
        cmocka_unit_test_setup_teardown(an_audit_record_goes_to_the_trail_and_not_to_the_log, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_ready_line_goes_to_the_console_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_canary_appears_in_no_sink, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_below_the_threshold_are_not_logged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_file_is_taken_over_by_reconfigure, setup, teardown),
        cmocka_unit_test_setup_teardown(reopen_follows_an_external_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_written_costs_one_warning, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stop_writes_what_all_threads_have_logged, setup, teardown),
        cmocka_unit_test_setup_teardown(logging_allocates_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_can_be_started_again, setup, teardown),
        cmocka_unit_test(without_a_writer_lines_go_to_stderr),
        cmocka_unit_test(level_names_are_read_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* After the last byte: metrics, the access line in its forms, its warnings, and what a steady
 * request costs in memory. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"

static int64_t requests(struct rig *r, int status)
{
    return r->worker->metrics.by_status[status] == NULL
               ? 0
               : dm_metric_value(r->worker->metrics.by_status[status]);
}

static void every_request_is_counted_once(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_get_anonymous(r, ITEMS, ""), 401);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(requests(r, 200), 2);
    assert_int_equal(requests(r, 401), 1);
    assert_int_equal(dm_metric_value(r->worker->metrics.duration), 3);
    assert_int_equal(rig_count(r, GW_COUNT_TOKEN_CHECK), 2);
    assert_int_equal(rig_count(r, GW_COUNT_AUTH_MISSING), 1);
    assert_int_equal(dm_metric_value(r->worker->metrics.inflight), 0);
}

static void who_left_is_counted_as_499(void **state)
{
    struct rig *r = *state;
    const int fd = rig_begin(r, RIG_SILENT);

    close(fd);
    rig_until(r, gw_worker_inflight(r->worker) == 0);
    assert_int_equal(requests(r, 499), 1);
}

static void the_series_have_the_contracts_names(void **state)
{
    struct rig *r = *state;
    struct dm_buf text;
    static const char *const names[] = {
        "doorman_http_requests_total{code=\"200\"} 0",
        "doorman_http_requests_total{code=\"500\"} 0",
        "doorman_http_retries_total 0",
        "doorman_upstream_timeouts_total 0",
        "doorman_http_request_duration_seconds_bucket{le=\"0.005\"} 0",
        "doorman_auth_failures_total{reason=\"revoked\"} 0",
        "doorman_rate_limit_rejections_total{kind=\"throttle\"} 0",
        "doorman_ip_denied_total{scope=\"global\",reason=\"blacklisted\"} 0",
        "doorman_body_limit_rejections_total{scope=\"rest\"} 0",
        "doorman_token_checks_total 0",
        "doorman_limit_checks_total 0",
        "doorman_limit_store_down_total{mode=\"local\"} 0",
        "doorman_rate_limit_failopen_total 0",
        "doorman_inflight_requests 0"};

    dm_buf_init(&text, 1 << 20);
    dm_metrics_write(r->metrics, &text);
    for (size_t i = 0; i < DM_COUNT_OF(names); i++)
        if (!rig_has(dm_buf_view(&text), names[i]))
            fail_msg("no %s", names[i]);
    dm_buf_done(&text);
}

/* --- lines --- */

static char path[] = "/tmp/doorman-access-XXXXXX";
static int log_fd = -1;

static void start_log(struct rig *r, bool json)
{
    memcpy(path + sizeof path - 7, "XXXXXX", 7);
    log_fd = mkstemp(path);
    assert_true(log_fd >= 0);
    const struct dm_log_config c = {.level = DM_LOG_INFO,
                                    .json = json,
                                    .utc = true,
                                    .process = "gateway",
                                    .fd = log_fd,
                                    .clock = &r->clock.clock};
    dm_log_start(&c);
}

/* All lines so far. */
static const char *stop_log(void)
{
    static char text[64 * 1024];

    dm_log_stop();
    const ssize_t n = pread(log_fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    close(log_fd);
    unlink(path);
    return text;
}

RIG_SETUP(combined, "ACCESS_LOG=combined")
RIG_SETUP(as_json, "ACCESS_LOG=json")
RIG_SETUP(off, "ACCESS_LOG=off")

static void a_combined_line_has_no_query_and_cannot_be_forged(void **state)
{
    struct rig *r = *state;

    start_log(r, false);
    assert_int_equal(
        rig_get(r, ITEMS "?api_key=hidden", "User-Agent: a\"b\\c\xff\r\nX-Request-ID: id1\r\n"),
        200);
    const char *text = stop_log();
    assert_non_null(strstr(text, "127.0.0.1 - bob [14/Nov/2023:22:13:20 +0000] \"GET " ITEMS
                                 " HTTP/1.1\" 200 "));
    assert_non_null(strstr(text, " \"-\" \"a\\x22b\\x5cc\\xff\" id1 0ms"));
    assert_null(strstr(text, "hidden"));
}

static void a_json_line_carries_the_contracts_fields(void **state)
{
    struct rig *r = *state;
    char upstream[64], generation[64];

    start_log(r, true);
    assert_int_equal(rig_get(r, ITEMS "?secret=x", "X-Request-ID: id1\r\n"), 200);
    assert_int_equal(rig_get_anonymous(r, ITEMS, "X-Request-ID: id2\r\n"), 401);
    const char *text = stop_log();
    snprintf(upstream, sizeof upstream, "\"upstream\":\"127.0.0.1:%u\"", r->up[0].port);
    assert_non_null(strstr(text,
                           "\"level\":\"INFO\",\"request_id\":\"id1\",\"message\":\"GET " ITEMS
                           " - 200 - 0ms\""));
    assert_non_null(strstr(
        text, "\"username\":\"bob\",\"client_ip\":\"127.0.0.1\",\"effective_ip\":\"127.0.0.1\""));
    assert_non_null(strstr(text, upstream));
    assert_non_null(strstr(text,
                           "\"level\":\"WARNING\",\"request_id\":\"id2\",\"message\":\"GET " ITEMS
                           " - 401 - 0ms\""));
    assert_non_null(strstr(text, "\"error_code\":\"Unauthorized\""));
    snprintf(generation, sizeof generation, "\"policy_generation\":%" PRIu64,
             gw_snapshot_generation(r->cell));
    assert_non_null(strstr(text, generation));
    assert_null(strstr(text, "secret"));
}

static void no_line_where_it_is_off(void **state)
{
    struct rig *r = *state;

    start_log(r, true);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_string_equal(stop_log(), "");
}

static void a_slow_request_and_one_that_left_are_warned_of(void **state)
{
    struct rig *r = *state;

    start_log(r, true);
    const int fd = rig_begin(r, RIG_SILENT);
    rig_pass(r, 1500 * DM_MS);
    close(fd);
    rig_until(r, gw_worker_inflight(r->worker) == 0);
    const char *text = stop_log();
    assert_non_null(strstr(text, "\"message\":\"http.request.slow\""));
    assert_non_null(strstr(text, "\"message\":\"http.request.incomplete\""));
    assert_non_null(strstr(text, "\"response_time_ms\":1500"));
}

/* --- memory --- */

/* Under AddressSanitizer the carrier keeps no blocks, on purpose (io/slab.h): its request, its
 * buffer and, for an upload, the input it keeps are allocated anew. Everything else allocates
 * nothing there either. */
#ifdef __SANITIZE_ADDRESS__
enum { OF_A_REQUEST = 2, OF_AN_UPLOAD = 3 };
#else
enum { OF_A_REQUEST = 0, OF_AN_UPLOAD = 0 };
#endif

static void a_steady_request_allocates_nothing(void **state)
{
    struct rig *r = *state;
    char request[4096];

    rig_user(r, "bob",
             "\"rate_limit_enabled\":true,\"rate_limit_duration\":1000000,"
             "\"bandwidth_limit_enabled\":true,\"bandwidth_limit_bytes\":1000000000,");
    snprintf(request, sizeof request,
             "GET " ITEMS "/7?a=b HTTP/1.1\r\nHost: gw\r\nAccept: */*\r\nUser-Agent: "
             "u\r\nAuthorization: Bearer %s\r\n\r\n",
             rig_token(r, "bob", ""));
    for (int i = 0; i < 20; i++)
        assert_int_equal(rig_ask(r, request), 200);
    const uint64_t before = dm_mem_count();
    for (int i = 0; i < 50; i++)
        assert_int_equal(rig_ask(r, request), 200);
    assert_int_equal(dm_mem_count() - before, 50 * OF_A_REQUEST);
    r->up[0].seen_len = r->up[1].seen_len = 0;
}

static void a_steady_upload_allocates_nothing(void **state)
{
    struct rig *r = *state;
    static char request[40000];
    const int head = snprintf(request, sizeof request,
                              "POST " ITEMS " HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n"
                              "Content-Length: 30000\r\n\r\n",
                              rig_token(r, "bob", ""));

    memset(request + head, 'x', 30000);
    for (int i = 0; i < 70; i++) {
        static uint64_t before;
        if (i == 20)
            before = dm_mem_count();
        assert_int_equal(rig_ask(r, request), 200);
        r->up[0].seen_len = r->up[1].seen_len = 0;
        if (i == 69)
            assert_int_equal(dm_mem_count() - before, 50 * OF_AN_UPLOAD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(every_request_is_counted_once, rig_setup),
        RIG_TEST(who_left_is_counted_as_499, rig_setup),
        RIG_TEST(the_series_have_the_contracts_names, rig_setup),
        RIG_TEST(a_combined_line_has_no_query_and_cannot_be_forged, combined),
        RIG_TEST(a_json_line_carries_the_contracts_fields, as_json),
        RIG_TEST(no_line_where_it_is_off, off),
        RIG_TEST(a_slow_request_and_one_that_left_are_warned_of, rig_setup),
        RIG_TEST(a_steady_request_allocates_nothing, rig_setup),
        RIG_TEST(a_steady_upload_allocates_nothing, rig_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

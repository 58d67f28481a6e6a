/* Which server a call goes to, how its body goes up, and what is told when that fails (gateway.md
 * §12-§14). */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"
#define STATUS(line) "HTTP/1.1 " line "\r\nContent-Length: 0\r\n\r\n"
#define ALLOW(list) "\"api_allowed_headers\":[" list "],"

/* --- which server --- */

static void servers_take_turns(void **state) /* vector 13 */
{
    struct rig *r = *state;

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rig_get(r, ITEMS, ""), 200);
        assert_int_equal(r->up[0].n_requests, (i + 2) / 2);
        assert_int_equal(r->up[1].n_requests, (i + 1) / 2);
    }
}

static void turns_survive_a_new_policy_and_end_with_the_caches(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_api(r, "\"active\":true,");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(r->up[1].n_requests, 1);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    gw_worker_forget(r->worker);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(r->up[0].n_requests, 3);
}

static void a_client_key_routes(void **state) /* vector 14 */
{
    struct rig *r = *state;
    char json[256];

    snprintf(json, sizeof json,
             "{\"client_key\":\"k\",\"routing_servers\":[\"http://127.0.0.1:%u\"]}", r->up[2].port);
    rig_publish(r, "routing", "k", json);
    assert_int_equal(rig_get(r, ITEMS, "client-key: k\r\n"), 200);
    assert_int_equal(r->up[2].n_requests, 1);
    assert_int_equal(rig_get(r, ITEMS, "client-key: unknown\r\n"), 200);
    assert_int_equal(r->up[0].n_requests, 1);
}

static void an_endpoints_servers_beat_the_apis(void **state)
{
    struct rig *r = *state;
    char json[512];

    snprintf(json, sizeof json,
             "{\"endpoint_id\":\"e2\",\"api_id\":\"a1\",\"endpoint_method\":\"GET\",\"endpoint_"
             "uri\":\"/items/{id}\","
             "\"endpoint_servers\":[\"http://127.0.0.1:%u/base/\"]}",
             r->up[2].port);
    rig_publish(r, "endpoint", "e2", json);
    assert_int_equal(rig_get(r, ITEMS "/7?a=1&a=2", ""), 200);
    assert_true(rig_has(rig_seen(r, 2), "GET /base/items/7?a=1&a=2 HTTP/1.1\r\n")); /* vector 45 */
}

static void an_upstream_behind_tls_is_not_spoken_to_in_clear(void **state)
{
    struct rig *r = *state;
    char api[256];

    snprintf(api, sizeof api, "\"api_servers\":[\"https://127.0.0.1:%u\"],", r->up[0].port);
    rig_api(r, api);
    assert_int_equal(rig_get(r, ITEMS, ""), 502);
    assert_true(rig_answered(r, "X-Doorman-Reason: upstream; scheme\r\n"));
    assert_int_equal(r->up[0].n_requests, 0);
}

/* --- bodies up --- */

static void a_body_goes_up_byte_for_byte(void **state) /* vector 56 */
{
    struct rig *r = *state;

    assert_int_equal(rig_call(r, "POST", ITEMS, "Content-Type: application/json\r\n", "{not json"),
                     200);
    assert_true(rig_has(rig_seen(r, 0), "\r\nContent-Length: 9\r\n"));
    assert_true(rig_has(rig_seen(r, 0), "\r\n\r\n{not json"));
}

static void a_large_body_streams(void **state)
{
    struct rig *r = *state;
    static char body[60001], end[16];

    memset(body, 'x', sizeof body - 1);
    memcpy(body + sizeof body - 5, "end!", 4);
    assert_int_equal(rig_call(r, "POST", ITEMS, "", body), 200);
    memcpy(end, "xxxxend!", 9);
    assert_true(rig_has(rig_seen(r, 0), "\r\nContent-Length: 60000\r\n"));
    assert_true(rig_has(rig_seen(r, 0), end));
}

static void a_chunked_body_and_its_trailers_go_up(void **state)
{
    struct rig *r = *state;

    rig_api(r, ALLOW("\"x-sum\""));
    assert_int_equal(
        rig_call(r, "POST", ITEMS,
                 "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: "
                 "5\r\nX-Other: 6\r\n",
                 NULL),
        200);
    assert_true(rig_has(rig_seen(r, 0), "\r\nTransfer-Encoding: chunked\r\n"));
    assert_true(rig_has(rig_seen(r, 0), "X-Sum: 5\r\n"));
    assert_false(rig_has(rig_seen(r, 0), "X-Other"));
}

static void a_body_over_the_limit_touches_no_upstream(void **state) /* vector 15 */
{
    struct rig *r = *state;

    assert_int_equal(rig_call(r, "POST", ITEMS, "Content-Length: 1048577\r\n", NULL), 413);
    assert_non_null(strstr(r->body,
                           "\"error_code\":\"REQ001\",\"error_message\":\"Request entity too large "
                           "(max: 1048576 bytes)\""));
    assert_true(rig_answered(r, "Connection: close\r\n"));
    assert_int_equal(r->up[0].n_requests, 0);
    assert_int_equal(rig_count(r, GW_COUNT_BODY_REST), 1);
}

RIG_SETUP(setup_a_chunked_body_over, "MAX_BODY_SIZE_BYTES_REST=4")

static void a_chunked_body_over_the_limit_ends_the_call(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_call(r, "POST", ITEMS,
                              "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n",
                              NULL),
                     413);
    assert_int_equal(r->up[0].n_requests, 0); /* it never saw the end */
    rig_until(r, r->up[0].conns[0].fd < 0);   /* and its connection is gone */
    assert_int_equal(
        rig_call(r, "POST", ITEMS, "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n", NULL),
        200);
}

/* --- failure --- */

static void an_absent_upstream_is_502(void **state) /* vector 17 */
{
    struct rig *r = *state;

    rig_one_server(r, "");
    rig_close_upstream(r, 0);
    assert_int_equal(rig_get(r, ITEMS, ""), 502);
    assert_non_null(
        strstr(r->body, "\"error_code\":\"GTW006\",\"error_message\":\"Upstream unreachable\""));
    assert_true(rig_answered(r, "X-Doorman-Reason: upstream; unreachable\r\n"));
}

static void an_upstream_that_hangs_up_is_502(void **state)
{
    struct rig *r = *state;

    rig_script(r, 0, RIG_HANG_UP);
    assert_int_equal(rig_get(r, ITEMS, ""), 502);
}

static void an_upstream_that_speaks_no_http_is_502_at_once(void **state)
{
    struct rig *r = *state;

    rig_one_server(r, "\"api_allowed_retry_count\":3,");
    rig_script(r, 0, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert_int_equal(rig_get(r, ITEMS, ""), 502);
    assert_int_equal(r->up[0].n_requests, 1);
}

static void a_silent_upstream_is_504(void **state) /* vector 18 */
{
    struct rig *r = *state;
    const int fd = rig_begin(r, RIG_SILENT);

    assert_non_null(rig_waiting(r, GW_WAIT_UPSTREAM));
    rig_pass(r, 31 * DM_SEC);
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 504);
    assert_non_null(
        strstr(r->body, "\"error_code\":\"GTW010\",\"error_message\":\"Gateway timeout\""));
    close(fd);
    rig_settle(r);
}

static void an_apis_own_deadline_wins(void **state)
{
    struct rig *r = *state;

    rig_one_server(r, "\"api_read_timeout\":2,");
    const int fd = rig_begin(r, RIG_SILENT);
    rig_pass(r, 1900 * DM_MS);
    assert_non_null(rig_waiting(r, GW_WAIT_UPSTREAM));
    rig_pass(r, 200 * DM_MS);
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 504);
    close(fd);
    rig_settle(r);
}

RIG_SETUP(setup_the_budget_covers_al, "GATEWAY_TIMEOUT=10")

static void the_budget_covers_all_attempts(void **state)
{
    struct rig *r = *state;

    rig_one_server(r, "\"api_allowed_retry_count\":3,\"api_read_timeout\":6,");
    const int fd = rig_begin(r, RIG_SILENT);
    rig_pass(r, 6100 * DM_MS); /* first attempt timed out */
    rig_pass(r, 300 * DM_MS);  /* second began */
    assert_int_equal(r->up[0].n_requests, 2);
    rig_pass(r, 3700 * DM_MS); /* 10 s in all */
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 504);
    assert_int_equal(r->up[0].n_requests, 2);
    close(fd);
    rig_settle(r);
}

static void five_failures_open_the_circuit(void **state) /* vector 20 */
{
    struct rig *r = *state;

    rig_one_server(r, "");
    rig_script(r, 0, STATUS("500 Oops"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_get(r, ITEMS, ""), 500);
    assert_int_equal(rig_get(r, ITEMS, ""), 503);
    assert_non_null(
        strstr(r->body, "\"error_code\":\"GTW999\",\"error_message\":\"Upstream circuit open\""));
    assert_true(rig_answered(r, "Retry-After: 30\r\n"));
    assert_int_equal(r->up[0].n_requests, 5);
    rig_pass(r, 30 * DM_SEC);
    r->up[0].n_script = 0; /* well again */
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
}

static void a_probe_that_vanishes_frees_the_next_one(void **state)
{
    struct rig *r = *state;

    rig_one_server(r, "");
    rig_script(r, 0, STATUS("500 Oops"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_get(r, ITEMS, ""), 500);
    rig_pass(r, 30 * DM_SEC);
    r->up[0].n_script = r->up[0].answered = 0;
    const int fd = rig_begin(r, RIG_SILENT); /* the probe */
    assert_int_equal(rig_get(r, ITEMS, ""), 503);
    close(fd);
    rig_settle(r);
    r->up[0].n_script = 0;
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(servers_take_turns, rig_setup),
        RIG_TEST(turns_survive_a_new_policy_and_end_with_the_caches, rig_setup),
        RIG_TEST(a_client_key_routes, rig_setup),
        RIG_TEST(an_endpoints_servers_beat_the_apis, rig_setup),
        RIG_TEST(an_upstream_behind_tls_is_not_spoken_to_in_clear, rig_setup),
        RIG_TEST(a_body_goes_up_byte_for_byte, rig_setup),
        RIG_TEST(a_large_body_streams, rig_setup),
        RIG_TEST(a_chunked_body_and_its_trailers_go_up, rig_setup),
        RIG_TEST(a_body_over_the_limit_touches_no_upstream, rig_setup),
        RIG_TEST(a_chunked_body_over_the_limit_ends_the_call, setup_a_chunked_body_over),
        RIG_TEST(an_absent_upstream_is_502, rig_setup),
        RIG_TEST(an_upstream_that_hangs_up_is_502, rig_setup),
        RIG_TEST(an_upstream_that_speaks_no_http_is_502_at_once, rig_setup),
        RIG_TEST(a_silent_upstream_is_504, rig_setup),
        RIG_TEST(an_apis_own_deadline_wins, rig_setup),
        RIG_TEST(the_budget_covers_all_attempts, setup_the_budget_covers_al),
        RIG_TEST(five_failures_open_the_circuit, rig_setup),
        RIG_TEST(a_probe_that_vanishes_frees_the_next_one, rig_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

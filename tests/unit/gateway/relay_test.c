/* How the upstream's answer comes down: as it is, as it comes, and in an envelope where the API
 * asks (R1, §2.4). */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"
#define ALLOW(list) "\"api_allowed_headers\":[" list "],"

/* --- what comes back --- */

static void an_answer_passes_as_it_is(void **state) /* vectors 16, 46, 47, 26 */
{
    struct rig *r = *state;
    static const struct {
        const char *answer, *status_line, *body, *type;
        int status;
    } rows[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ngone", "",
         "gone", "Content-Type: text/plain\r\n", 404},
        {"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nboom", "",
         "boom", "Content-Type: text/plain\r\n", 500},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", "", "Content-Length: 0\r\n", 200},
        {"HTTP/1.1 204 No Content\r\n\r\n", "", "", "", 204},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
         "22\r\n\r\n[{\"id\":1,\"name\":\"x\"}]\n",
         "", "[{\"id\":1,\"name\":\"x\"}]\n", "Content-Type: application/json\r\n", 200},
        {"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", "", "",
         "Location: /elsewhere\r\n", 302},
    };

    rig_one_server(r, "");
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        r->up[0].n_script = r->up[0].answered = 0;
        rig_script(r, 0, rows[i].answer);
        assert_int_equal(rig_get(r, ITEMS, ""), rows[i].status);
        assert_string_equal(r->body, rows[i].body);
        assert_true(rig_answered(r, rows[i].type));
    }
}

static void head_reaches_the_upstream_as_head(void **state) /* vector 27 */
{
    struct rig *r = *state;

    rig_script(r, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    assert_int_equal(rig_call(r, "HEAD", ITEMS, "", NULL), 200);
    assert_true(rig_has(rig_seen(r, 0), "HEAD /items HTTP/1.1\r\n"));
    assert_true(rig_answered(r, "Content-Length: 5000\r\n"));
    assert_string_equal(r->body, "");
    assert_int_equal(rig_get(r, ITEMS, ""), 200); /* the connection is in order */
}

static void events_arrive_as_they_are_sent(void **state)
{
    struct rig *r = *state;
    const int fd = rig_begin(
        r,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");

    assert_true(rig_answered(r, "Content-Type: text/event-stream\r\n"));
    assert_null(strstr(r->answer, "data: 1"));
    rig_say(r, 0, "9\r\ndata: 1\n\n\r\n");
    rig_settle(r);
    rig_receive(r, fd);
    assert_non_null(strstr(r->answer, "data: 1\n\n"));
    rig_say(r, 0, "9\r\ndata: 2\n\n\r\n0\r\n\r\n");
    rig_settle(r);
    rig_receive(r, fd);
    assert_non_null(strstr(r->answer, "data: 2\n\n"));
    assert_true(rig_complete(r));
    close(fd);
    rig_settle(r);
}

static void trailers_come_down(void **state)
{
    struct rig *r = *state;

    rig_api(r, ALLOW("\"x-sum\""));
    rig_script(r, 0,
               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: "
               "2\r\nX-Other: 3\r\n\r\n");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_non_null(strstr(r->body, "0\r\nX-Sum: 2\r\n\r\n"));
    assert_null(strstr(r->body, "X-Other"));
}

static void early_hints_pass(void **state)
{
    struct rig *r = *state;

    rig_script(r, 0, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Custom: 1\r\n\r\n" RIG_OK);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_non_null(strstr(r->answer, "HTTP/1.1 103"));
    assert_non_null(strstr(r->answer, "Link: </a>\r\n"));
    assert_null(strstr(r->answer, "X-Custom"));
}

static void a_broken_answer_is_visibly_cut(void **state)
{
    struct rig *r = *state;
    const int fd =
        rig_begin(r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");

    assert_non_null(strstr(r->answer, "abc"));
    rig_hang_up(r, 0);
    rig_settle(r);
    assert_false(rig_receive(r, fd)); /* closed, and no last chunk before it */
    assert_false(rig_complete(r));
    close(fd);
    assert_int_equal(gw_worker_inflight(r->worker), 0);
}

static void a_slow_client_slows_the_upstream(void **state)
{
    struct rig *r = *state;
    static char chunk[65536 + 16];
    size_t sent = 0, got = 0;
    const int fd = rig_begin(r, "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n");

    memset(chunk, 'y', 65536);
    for (;;) { /* until nobody takes any more */
        const ssize_t n = send(r->up[0].conns[0].fd, chunk, 65536, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        rig_settle(r);
        if (n <= 0)
            break;
        assert_true(sent < 32 * 1024 * 1024); /* all of it went somewhere: nothing held it back */
    }
    while (got < 33554432) {
        static char sink[1 << 20];
        const ssize_t n = recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        if (sent < 33554432) {
            const size_t want = 33554432 - sent < 65536 ? 33554432 - sent : 65536;
            const ssize_t m = send(r->up[0].conns[0].fd, chunk, want, MSG_NOSIGNAL | MSG_DONTWAIT);
            sent += m > 0 ? (size_t)m : 0;
        }
        rig_turn(r);
        if (got + r->answer_len > 33554432 + r->answer_len - 1 || sent == 33554432)
            if (n <= 0 && gw_worker_inflight(r->worker) == 0)
                break;
    }
    assert_true(got + (r->answer_len - (size_t)(strstr(r->answer, "\r\n\r\n") + 4 - r->answer)) >=
                33554432);
    close(fd);
    rig_settle(r);
}

/* --- envelopes --- */

static void an_envelope_wraps_json_only(void **state) /* vector 42, §2.4 */
{
    struct rig *r = *state;
    static const struct {
        const char *answer, *body;
    } rows[] = {
        {"HTTP/1.1 201 Made\r\nContent-Type: application/json\r\nContent-Length: "
         "7\r\n\r\n{\"a\":1}",
         "{\"status_code\":201,\"response\":{\"a\":1}}"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/x+json; charset=utf-8\r\nTransfer-Encoding: "
         "chunked\r\n\r\n"
         "3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n",
         "{\"status_code\":200,\"response\":[1,2]}"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
         "20\r\n\r\n{\"access_token\":\"t\"} ",
         "{\"status_code\":200,\"response\":{\"access_token\":\"t\"},\"access_token\":\"t\"}"},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{x}",
         "{x}"},
        {"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi", "hi"},
    };

    rig_one_server(r, "\"api_strict_envelope\":true,");
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        r->up[0].n_script = r->up[0].answered = 0;
        rig_script(r, 0, rows[i].answer);
        rig_get(r, ITEMS, "");
        assert_string_equal(r->body, rows[i].body);
    }
    assert_int_equal(rig_get_anonymous(r, ITEMS, ""), 401);
    assert_string_equal(
        r->body,
        "{\"status_code\":401,\"error_code\":\"Unauthorized\",\"error_message\":\"Unauthorized\"}");
}

static void a_wrapped_answer_that_breaks_is_502(void **state)
{
    struct rig *r = *state;

    rig_one_server(r, "\"api_strict_envelope\":true,");
    const int fd = rig_begin(
        r, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[1");
    assert_int_equal(r->answer_len, 0);
    rig_hang_up(r, 0);
    rig_settle(r);
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 502);
    close(fd);
    rig_settle(r);
}

RIG_SETUP(setup_an_answer_too_large, "MAX_RESPONSE_SIZE=8")

static void an_answer_too_large_to_wrap_is_502(void **state)
{
    struct rig *r = *state;

    rig_one_server(r, "\"api_strict_envelope\":true,");
    rig_script(r, 0,
               "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
               "10\r\n\r\n[1,2,3,4,5");
    assert_int_equal(rig_get(r, ITEMS, ""), 502);
    assert_true(rig_answered(r, "X-Doorman-Reason: upstream; answer\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(an_answer_passes_as_it_is, rig_setup),
        RIG_TEST(head_reaches_the_upstream_as_head, rig_setup),
        RIG_TEST(events_arrive_as_they_are_sent, rig_setup),
        RIG_TEST(trailers_come_down, rig_setup),
        RIG_TEST(early_hints_pass, rig_setup),
        RIG_TEST(a_broken_answer_is_visibly_cut, rig_setup),
        RIG_TEST(a_slow_client_slows_the_upstream, rig_setup),
        RIG_TEST(an_envelope_wraps_json_only, rig_setup),
        RIG_TEST(a_wrapped_answer_that_breaks_is_502, rig_setup),
        RIG_TEST(an_answer_too_large_to_wrap_is_502, setup_an_answer_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Upstreams that do not keep the rules, and sockets that fail: http_receive.c, http_send.c. */
#include "upstream_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"

static void check_end(const char *answer, bool hang_up, enum dm_http_end end, bool got_head)
{
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1, answer);
    if (hang_up)
        up_hang_up(&fd);
    up_until_end(&h);
    if (h.info.end != end || h.info.got_head != got_head)
        fail_msg("\"%s\" ended as %d (%s), head %d", answer, h.info.end, h.info.why,
                 h.info.got_head);
    assert_int_equal(h.head, got_head ? 1 : 0);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections"), 0);
    if (fd >= 0) {
        assert_true(up_gone(&u, fd));
        (void)close(fd);
    }
    heard_done(&h);
    up_done(&u);
}

static void a_broken_answer_closes_the_connection(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "220 mail.example ESMTP\r\n",
    };
    for (size_t i = 0; i < DM_COUNT_OF(broken); i++)
        check_end(broken[i], false, DM_HTTP_BROKEN, false);
}

static void a_bad_chunk_breaks_an_answer_that_has_begun(void **state)
{
    (void)state;
    check_end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", false,
              DM_HTTP_BROKEN, true);
}

static void an_endless_head_is_cut_at_its_limit(void **state)
{
    (void)state;
    char answer[8192] = "HTTP/1.1 200 OK\r\nX: ";
    size_t len = strlen(answer);
    memset(answer + len, 'x', sizeof answer - 1 - len);
    answer[sizeof answer - 1] = '\0';
    check_end(answer, false, DM_HTTP_BROKEN, false);
}

static void an_early_close_is_no_complete_answer(void **state)
{
    (void)state;
    check_end("", true, DM_HTTP_UNREACHABLE, false);
    check_end("HTTP/1.1 200 OK\r\nContent-Le", true, DM_HTTP_UNREACHABLE, false);
    check_end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", true, DM_HTTP_UNREACHABLE, true);
    check_end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", true,
              DM_HTTP_UNREACHABLE, true);
}

static void a_close_ends_an_answer_without_length(void **state)
{
    (void)state;
    check_end("HTTP/1.1 200 OK\r\n\r\nall", true, DM_HTTP_COMPLETE, true);
    check_end("HTTP/1.0 200 OK\r\n\r\n", true, DM_HTTP_COMPLETE, true);
}

static void a_reset_does_not_end_an_answer_without_length(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1, "HTTP/1.1 200 OK\r\n\r\nhalf");
    up_until_body(&h, 4);
    up_reset(&fd);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    heard_done(&h);
    up_done(&u);
}

static void a_body_where_none_may_be_never_reaches_the_next_call(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", /* to HEAD */
    };
    for (size_t i = 0; i < DM_COUNT_OF(answers); i++) {
        struct up u;
        struct heard h;
        up_init(&u, NULL);
        heard_init(&h, &u);
        struct dm_http_ask ask = up_ask(&u, i == 2 ? "HEAD / HTTP/1.1\r\nHost: u\r\n" : UP_GET);
        ask.head_method = i == 2;
        up_start(&h, &ask);
        int fd = up_serve(&u, -1, answers[i]);
        up_until_end(&h);
        assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
        assert_true(h.bodyless);
        assert_int_equal(dm_buf_view(&h.body).len, 0);
        assert_true(up_gone(&u, fd));
        heard_done(&h);
        (void)close(fd);
        up_done(&u);
    }
}

static void a_head_answer_keeps_its_length_and_its_connection(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, "HEAD / HTTP/1.1\r\nHost: u\r\n");
    ask.head_method = true;
    up_start(&h, &ask);
    int fd = up_serve(&u, -1, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    up_until_end(&h);
    assert_int_equal(h.length, 1234);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void interim_answers_are_reported_but_100(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_serve(
        &u, -1, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" UP_OK);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_string_equal(h.informed, "103 Link=x;");
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void trailers_are_there_at_the_end(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_serve(
        &u, -1,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n");
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_int_equal(h.length, DM_LENGTH_UNKNOWN);
    assert_string_equal(h.trailers, "X-Sum=7;");
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

/* --- injected failures --- */

static void a_write_that_fails_is_unreachable(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    dm_fault_set(DM_FAULT_IO_WRITE, 1);
    up_get(&h, UP_GET);
    up_until_end(&h);
    dm_fault_set(DM_FAULT_IO_WRITE, 0);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    assert_false(h.info.sent_any);
    heard_done(&h);
    up_done(&u);
}

static void a_write_that_fails_on_a_kept_connection_gets_a_fresh_one(void **state)
{
    (void)state;
    struct up u;
    struct heard a, b;
    up_init(&u, NULL);
    heard_init(&a, &u);
    heard_init(&b, &u);
    up_get(&a, UP_GET);
    int fd = up_serve(&u, -1, UP_OK);
    up_until_end(&a);
    dm_fault_set(DM_FAULT_IO_WRITE, 1);
    struct dm_http_ask ask =
        up_ask(&u, "POST / HTTP/1.1\r\nHost: u\r\n"); /* not safe, but nothing left us */
    ask.body = DM_LIT("body");
    ask.body_length = 4;
    up_start(&b, &ask);
    int again = up_accept(&u);
    (void)up_read_until(&u, again, "body");
    up_say(again, UP_OK);
    up_until_end(&b);
    assert_int_equal(b.info.end, DM_HTTP_COMPLETE);
    heard_done(&a);
    heard_done(&b);
    (void)close(fd);
    (void)close(again);
    up_done(&u);
}

static void a_read_that_fails_is_unreachable(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "\r\n\r\n");
    dm_fault_set(DM_FAULT_IO_READ, 1);
    up_say(fd, UP_OK);
    up_until_end(&h);
    dm_fault_set(DM_FAULT_IO_READ, 0);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    assert_true(up_gone(&u, fd));
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void short_writes_only_take_longer(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, "POST / HTTP/1.1\r\nHost: u\r\n");
    ask.body = DM_LIT("body");
    ask.body_length = 4;
    dm_fault_set(DM_FAULT_IO_SHORT, 1);
    up_start(&h, &ask);
    int fd = up_accept(&u);
    assert_string_equal(up_read_until(&u, fd, "body"),
                        "POST / HTTP/1.1\r\nHost: u\r\nContent-Length: 4\r\n\r\nbody");
    up_say(fd, UP_OK);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void an_answer_in_single_bytes_is_the_same(void **state)
{
    (void)state;
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "\r\n\r\n");
    for (size_t i = 0; i < sizeof answer - 1; i++) {
        assert_int_equal(write(fd, answer + i, 1), 1);
        up_turn(&u);
    }
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_true(dm_view_eq(dm_buf_view(&h.body), DM_LIT("abcde")));
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_answer_closes_the_connection),
        cmocka_unit_test(a_bad_chunk_breaks_an_answer_that_has_begun),
        cmocka_unit_test(an_endless_head_is_cut_at_its_limit),
        cmocka_unit_test(an_early_close_is_no_complete_answer),
        cmocka_unit_test(a_close_ends_an_answer_without_length),
        cmocka_unit_test(a_reset_does_not_end_an_answer_without_length),
        cmocka_unit_test(a_body_where_none_may_be_never_reaches_the_next_call),
        cmocka_unit_test(a_head_answer_keeps_its_length_and_its_connection),
        cmocka_unit_test(interim_answers_are_reported_but_100),
        cmocka_unit_test(trailers_are_there_at_the_end),
        cmocka_unit_test(a_write_that_fails_is_unreachable),
        cmocka_unit_test(a_write_that_fails_on_a_kept_connection_gets_a_fresh_one),
        cmocka_unit_test(a_read_that_fails_is_unreachable),
        cmocka_unit_test(short_writes_only_take_longer),
        cmocka_unit_test(an_answer_in_single_bytes_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

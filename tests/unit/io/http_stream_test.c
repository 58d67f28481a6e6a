/* Bodies that stream, either way: http_send.c, http_receive.c. */
#include "upstream_support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"

#define POST "POST / HTTP/1.1\r\nHost: u\r\n"

/* Far more than the kernel's buffers of a loopback connection hold. */
enum { BIG = 32 << 20 };

static char *big_bytes(void)
{
    char *bytes = dm_mem_alloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    return bytes;
}

static void start_push(struct up *u, struct heard *h, int64_t length, dm_view bytes, bool end)
{
    heard_init(h, u);
    struct dm_http_ask ask = up_ask(u, POST);
    ask.body_length = length;
    h->to_push = bytes;
    h->push_end = end;
    up_start(h, &ask);
}

static void a_streamed_body_leaves_with_the_head_in_one_piece(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char buf[512];
    up_init(&u, &(struct up_options){.unix_socket = true});
    start_push(&u, &h, 5, DM_LIT("hello"), true);
    int fd = up_accept(&u);
    up_settle(&u);
    ssize_t n = read(fd, buf, sizeof buf - 1);
    assert_true(n > 0);
    buf[n] = '\0';
    assert_string_equal(buf, POST "Content-Length: 5\r\n\r\nhello");
    up_say(fd, UP_OK);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void a_body_of_unknown_length_goes_in_chunks(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    start_push(&u, &h, DM_LENGTH_UNKNOWN, DM_LIT("hello"), false);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    h.to_push = DM_LIT("0123456789abcdef");
    up_push_more(&h);
    (void)up_read_until(&u, fd, "10\r\n0123456789abcdef\r\n");
    dm_http_push_end(h.call, NULL);
    assert_string_equal(up_read_until(&u, fd, "\r\n\r\n"), "0\r\n\r\n");
    up_say(fd, UP_OK);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void request_trailers_follow_the_last_chunk_but_no_framing(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    struct dm_field_line lines[] = {
        {.name = DM_LIT("X-Sum"), .value = DM_LIT("7")},
        {.name = DM_LIT("Content-Length"), .value = DM_LIT("9"), .id = DM_HDR_CONTENT_LENGTH},
    };
    struct dm_fields trailers = {.items = lines, .count = 2};
    up_init(&u, NULL);
    start_push(&u, &h, DM_LENGTH_UNKNOWN, DM_LIT("x"), true);
    h.push_trailers = &trailers;
    int fd = up_accept(&u);
    assert_non_null(strstr(up_read_until(&u, fd, "7\r\n\r\n"), "1\r\nx\r\n0\r\nX-Sum: 7\r\n\r\n"));
    up_say(fd, UP_OK);
    up_until_end(&h);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void an_empty_streamed_body_still_ends(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    start_push(&u, &h, DM_LENGTH_UNKNOWN, DM_VIEW_NONE, true);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "chunked\r\n\r\n0\r\n\r\n");
    up_say(fd, UP_OK);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void a_method_that_could_carry_a_body_says_when_it_has_none(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, POST);
    int fd = up_accept(&u);
    assert_string_equal(up_read_until(&u, fd, "\r\n\r\n"), POST "Content-Length: 0\r\n\r\n");
    up_say(fd, UP_OK);
    up_until_end(&h);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void a_large_upload_waits_for_the_upstream(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char *bytes = big_bytes();
    up_init(&u, NULL);
    start_push(&u, &h, BIG, dm_view_make(bytes, BIG), true);
    int fd = up_accept(&u);
    up_settle(&u);
    assert_true(h.to_push.len > BIG / 2); /* nobody reads: most of it stays with the asker */
    size_t left = h.to_push.len;
    up_settle(&u);
    assert_int_equal(h.to_push.len, left);
    size_t head = sizeof POST "Content-Length: 33554432\r\n\r\n" - 1;
    (void)up_read_count(&u, fd, head + BIG);
    assert_int_equal(h.to_push.len, 0);
    up_say(fd, UP_OK);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    heard_done(&h);
    dm_mem_free(bytes);
    (void)close(fd);
    up_done(&u);
}

static void a_large_body_at_hand_is_sent_from_where_it_lies(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char *bytes = big_bytes();
    up_init(&u, NULL);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, POST);
    ask.body = dm_view_make(bytes, BIG);
    ask.body_length = BIG;
    up_start(&h, &ask);
    int fd = up_accept(&u);
    (void)up_read_count(&u, fd, sizeof POST "Content-Length: 33554432\r\n\r\n" - 1 + BIG);
    up_say(fd, UP_OK);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_int_equal(h.rooms, 0);
    heard_done(&h);
    dm_mem_free(bytes);
    (void)close(fd);
    up_done(&u);
}

static void a_refusal_stops_the_upload_and_is_delivered(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char *bytes = big_bytes();
    up_init(&u, NULL);
    start_push(&u, &h, BIG, dm_view_make(bytes, BIG), true);
    int fd = up_accept(&u);
    up_settle(&u);
    up_say(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_int_equal(h.status, 413);
    assert_true(h.to_push.len > 0);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections"), 0); /* never reused */
    heard_done(&h);
    dm_mem_free(bytes);
    (void)close(fd);
    up_done(&u);
}

static void a_refusal_before_a_reset_is_delivered(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char *bytes = big_bytes();
    up_init(&u, NULL);
    start_push(&u, &h, BIG, dm_view_make(bytes, BIG), true);
    int fd = up_accept(&u);
    up_settle(&u);
    up_say(fd, "HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno");
    up_hang_up(&fd); /* unread bytes: the kernel sends a RST behind the answer */
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_int_equal(h.status, 400);
    heard_done(&h);
    dm_mem_free(bytes);
    up_done(&u);
}

static void a_write_that_fails_behind_the_head_leaves_the_answer(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    start_push(&u, &h, DM_LENGTH_UNKNOWN, DM_LIT("one"), false);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "one\r\n");
    up_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    up_until_body(&h, 2);
    dm_fault_set(DM_FAULT_IO_WRITE, 1);
    h.to_push = DM_LIT("two");
    up_push_more(&h);
    up_settle(&u);
    dm_fault_set(DM_FAULT_IO_WRITE, 0);
    assert_int_equal(h.ends, 0);
    dm_clock_manual_step(&u.clock, 29 * DM_SEC); /* from here on the read deadline runs */
    up_settle(&u);
    up_say(fd, "lf");
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections"), 0);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void both_sides_may_talk_at_once(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    start_push(&u, &h, DM_LENGTH_UNKNOWN, DM_LIT("one"), false);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "one\r\n");
    up_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n");
    up_until_body(&h, 3);
    h.to_push = DM_LIT("two");
    h.push_end = true;
    up_push_more(&h);
    (void)up_read_until(&u, fd, "two\r\n0\r\n\r\n");
    up_say(fd, "3\r\nTWO\r\n0\r\n\r\n");
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_true(dm_view_eq(dm_buf_view(&h.body), DM_LIT("ONETWO")));
    assert_int_equal(up_metric(&u, "doorman_upstream_connections"), 0);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void events_arrive_as_they_are_sent(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    up_until_head(&h);
    for (size_t i = 1; i <= 5; i++) {
        up_say(fd, "data: x\n\n");
        up_until_body(&h, i * 9);
        assert_int_equal(dm_buf_view(&h.body).len, i * 9);
    }
    up_hang_up(&fd);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    heard_done(&h);
    up_done(&u);
}

/* Writes until the socket takes no more, with turns of the loop in between; gives how much. */
static size_t write_until_full(struct up *u, int fd, const char *bytes, size_t from, size_t len)
{
    size_t at = from;
    for (int idle = 0; at < len && idle < 20;) {
        ssize_t n = write(fd, bytes + at, len - at);
        assert_true(n > 0 || errno == EAGAIN);
        idle = n > 0 ? 0 : idle + 1;
        at += n > 0 ? (size_t)n : 0;
        (void)dm_loop_turn(u->loop, DM_MS);
    }
    return at;
}

static void a_taker_that_pauses_stops_the_upstream(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char *bytes = big_bytes();
    up_init(&u, NULL);
    heard_init(&h, &u);
    h.takes = 1000;
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1, "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n");
    size_t sent = write_until_full(&u, fd, bytes, 0, BIG);
    assert_true(sent < BIG);
    assert_int_equal(dm_buf_view(&h.body).len, 1000);
    while (sent < BIG) {
        h.takes = 300001;
        dm_http_resume(h.call);
        sent = write_until_full(&u, fd, bytes, sent, BIG);
    }
    h.takes = SIZE_MAX;
    dm_http_resume(h.call);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_true(dm_view_eq(dm_buf_view(&h.body), dm_view_make(bytes, BIG)));
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    heard_done(&h);
    dm_mem_free(bytes);
    (void)close(fd);
    up_done(&u);
}

static void pausing_inside_chunks_loses_nothing(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    h.takes = 0;
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1,
                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "3\r\nabc\r\n4\r\ndefg\r\n1\r\nh\r\n0\r\nX: y\r\n\r\n");
    up_until_head(&h);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(h.ends, 0);
        h.takes = 1;
        dm_http_resume(h.call);
        up_settle(&u);
        assert_int_equal(dm_buf_view(&h.body).len, i + 1);
    }
    up_until_end(&h);
    assert_true(dm_view_eq(dm_buf_view(&h.body), DM_LIT("abcdefgh")));
    assert_string_equal(h.trailers, "X=y;");
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void a_close_while_the_taker_pauses_comes_after_the_bytes(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    h.takes = 1;
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1, "HTTP/1.1 200 OK\r\n\r\nabc");
    up_until_body(&h, 1);
    up_hang_up(&fd);
    up_settle(&u);
    assert_int_equal(h.ends, 0);
    h.takes = SIZE_MAX;
    dm_http_resume(h.call);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    assert_true(dm_view_eq(dm_buf_view(&h.body), DM_LIT("abc")));
    heard_done(&h);
    up_done(&u);
}

static void streams_in_the_steady_state_allocate_nothing(void **state)
{
    (void)state;
    struct up u;
    int fd = -1;
    uint64_t before = 0;
    up_init(&u, NULL);
    for (int i = 0; i < 4; i++) {
        struct heard h;
        if (i == 2)
            before = dm_mem_count();
        start_push(&u, &h, 4, DM_LIT("body"), true);
        fd = fd < 0 ? up_accept(&u) : fd;
        (void)up_read_until(&u, fd, "body");
        up_say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
        up_until_end(&h);
        assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
        heard_done(&h);
    }
    assert_int_equal(dm_mem_count(), before);
    (void)close(fd);
    up_done(&u);
}

static void a_body_pushed_to_a_dead_kept_connection_is_not_sent_twice(void **state)
{
    (void)state;
    struct up u;
    struct heard a, b;
    up_init(&u, NULL);
    heard_init(&a, &u);
    up_get(&a, UP_GET);
    int fd = up_serve(&u, -1, UP_OK);
    up_until_end(&a);
    heard_init(&b, &u);
    struct dm_http_ask ask = up_ask(&u, "PUT / HTTP/1.1\r\nHost: u\r\n");
    ask.body_length = 4;
    ask.safe_to_resend = true;
    b.to_push = DM_LIT("body");
    b.push_end = true;
    up_start(&b, &ask);
    (void)up_read_until(&u, fd, "body");
    up_hang_up(&fd);
    up_until_end(&b);
    assert_int_equal(b.info.end, DM_HTTP_UNREACHABLE);
    assert_true(up_no_connection(&u));
    heard_done(&a);
    heard_done(&b);
    up_done(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_streamed_body_leaves_with_the_head_in_one_piece),
        cmocka_unit_test(a_body_of_unknown_length_goes_in_chunks),
        cmocka_unit_test(request_trailers_follow_the_last_chunk_but_no_framing),
        cmocka_unit_test(an_empty_streamed_body_still_ends),
        cmocka_unit_test(a_method_that_could_carry_a_body_says_when_it_has_none),
        cmocka_unit_test(a_large_upload_waits_for_the_upstream),
        cmocka_unit_test(a_large_body_at_hand_is_sent_from_where_it_lies),
        cmocka_unit_test(a_refusal_stops_the_upload_and_is_delivered),
        cmocka_unit_test(a_refusal_before_a_reset_is_delivered),
        cmocka_unit_test(a_write_that_fails_behind_the_head_leaves_the_answer),
        cmocka_unit_test(both_sides_may_talk_at_once),
        cmocka_unit_test(events_arrive_as_they_are_sent),
        cmocka_unit_test(a_taker_that_pauses_stops_the_upstream),
        cmocka_unit_test(pausing_inside_chunks_loses_nothing),
        cmocka_unit_test(a_close_while_the_taker_pauses_comes_after_the_bytes),
        cmocka_unit_test(streams_in_the_steady_state_allocate_nothing),
        cmocka_unit_test(a_body_pushed_to_a_dead_kept_connection_is_not_sent_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

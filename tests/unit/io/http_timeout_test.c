/* Deadlines and cancelling, in every state of a call. */
#include "upstream_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define POST "POST / HTTP/1.1\r\nHost: u\r\n"
enum { BIG = 32 << 20 };

/* Nothing ends `before`; the call ends as `end` `after` more. */
static void expect_timeout(struct heard *h, dm_time before, dm_time after, enum dm_http_end end)
{
    dm_clock_manual_step(&h->up->clock, before);
    up_settle(h->up);
    assert_int_equal(h->ends, 0);
    dm_clock_manual_step(&h->up->clock, after);
    up_settle(h->up);
    assert_int_equal(h->ends, 1);
    assert_int_equal(h->info.end, end);
    assert_int_equal(up_metric(h->up, "doorman_upstream_timeouts_total"), 1);
}

/* A listener whose backlog is full: the kernel answers no further SYN. */
static int stuff_backlog(struct up *u, int fds[8])
{
    assert_int_equal(listen(u->listener, 0), 0);
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    assert_int_equal(getsockname(u->listener, (struct sockaddr *)&a, &len), 0);
    for (int i = 0; i < 8; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fds[i], (struct sockaddr *)&a, len);
    }
    return 8;
}

static void close_all(const int *fds, int n)
{
    for (int i = 0; i < n; i++)
        (void)close(fds[i]);
}

static void connecting_has_a_deadline(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    int fds[8];
    up_init(&u, NULL);
    int n = stuff_backlog(&u, fds);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    expect_timeout(&h, 4900 * DM_MS, 200 * DM_MS, DM_HTTP_CONNECT_TIMEOUT);
    assert_false(h.info.sent_any);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections"), 0);
    heard_done(&h);
    close_all(fds, n);
    up_done(&u);
}

static void waiting_for_the_pool_has_a_deadline(void **state)
{
    (void)state;
    struct up u;
    struct heard first, h;
    up_init(&u, &(struct up_options){.max_connections = 1});
    heard_init(&first, &u);
    heard_init(&h, &u);
    up_get(&first, UP_GET);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "\r\n\r\n");
    up_get(&h, UP_GET);
    expect_timeout(&h, 9900 * DM_MS, 200 * DM_MS, DM_HTTP_POOL_TIMEOUT);
    assert_false(h.info.sent_any);
    up_say(fd, UP_OK);
    up_until_end(&first);
    assert_int_equal(first.info.end, DM_HTTP_COMPLETE);
    heard_done(&first);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void an_answer_that_does_not_begin_has_a_deadline(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "\r\n\r\n");
    expect_timeout(&h, 29900 * DM_MS, 200 * DM_MS, DM_HTTP_READ_TIMEOUT);
    assert_true(h.info.sent_any && !h.info.got_head);
    assert_true(up_gone(&u, fd));
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void the_read_deadline_is_between_bytes(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    up_until_head(&h);
    for (size_t i = 1; i <= 4; i++) { /* 80 s in all, never 30 s of silence */
        dm_clock_manual_step(&u.clock, 20 * DM_SEC);
        up_settle(&u);
        up_say(fd, "x");
        up_until_body(&h, i);
    }
    expect_timeout(&h, 29900 * DM_MS, 200 * DM_MS, DM_HTTP_READ_TIMEOUT);
    assert_true(h.info.got_head);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void an_upstream_that_does_not_read_has_a_deadline(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char *bytes = dm_mem_alloc(BIG);
    up_init(&u, NULL);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, POST);
    ask.body = dm_view_make(bytes, BIG);
    ask.body_length = BIG;
    up_start(&h, &ask);
    int fd = up_accept(&u);
    up_settle(&u);
    dm_clock_manual_step(&u.clock, 15 * DM_SEC);
    (void)up_read_count(&u, fd, 8 << 20); /* it reads a little: the deadline begins anew */
    up_settle(&u);
    expect_timeout(&h, 19800 * DM_MS, 400 * DM_MS, DM_HTTP_WRITE_TIMEOUT);
    heard_done(&h);
    dm_mem_free(bytes);
    (void)close(fd);
    up_done(&u);
}

static void a_slow_asker_is_not_the_upstreams_fault(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, POST);
    ask.body_length = 4;
    h.to_push = DM_LIT("bo");
    up_start(&h, &ask);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "bo");
    dm_clock_manual_step(&u.clock, 3600 * DM_SEC);
    up_settle(&u);
    assert_int_equal(h.ends, 0);
    h.to_push = DM_LIT("dy");
    h.push_end = true;
    up_push_more(&h);
    (void)up_read_until(&u, fd, "dy");
    expect_timeout(&h, 29900 * DM_MS, 200 * DM_MS, DM_HTTP_READ_TIMEOUT);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void a_slow_taker_is_not_the_upstreams_fault(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    h.takes = 0;
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1, UP_OK);
    up_until_head(&h);
    dm_clock_manual_step(&u.clock, 3600 * DM_SEC);
    up_settle(&u);
    assert_int_equal(h.ends, 0);
    h.takes = SIZE_MAX;
    dm_http_resume(h.call);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void the_whole_call_has_a_deadline_where_one_is_set(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, UP_GET);
    ask.timeouts.total = 10 * DM_SEC;
    up_start(&h, &ask);
    int fd = up_serve(&u, -1, "HTTP/1.1 200 OK\r\n\r\n");
    up_until_head(&h);
    dm_clock_manual_step(&u.clock, 5 * DM_SEC);
    up_say(fd, "x");
    up_until_body(&h, 1);
    expect_timeout(&h, 4900 * DM_MS, 200 * DM_MS, DM_HTTP_TOTAL_TIMEOUT);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void a_late_answer_finds_nobody(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "\r\n\r\n");
    dm_clock_manual_step(&u.clock, 31 * DM_SEC);
    up_until_end(&h);
    (void)send(fd, UP_OK, sizeof UP_OK - 1, MSG_NOSIGNAL);
    up_settle(&u);
    assert_int_equal(h.ends, 1);
    assert_int_equal(h.head, 0);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

/* --- cancelling --- */

static void cancel(struct heard *h)
{
    int before = h->head + h->ends + h->rooms + h->informs;
    dm_http_cancel(h->call);
    h->call = NULL;
    up_settle(h->up);
    assert_int_equal(h->head + h->ends + h->rooms + h->informs, before);
    assert_int_equal(up_metric(h->up, "doorman_upstream_connections"), 0);
}

static void cancel_right_after_asking(void **state)
{
    (void)state;
    for (int streams = 0; streams < 2; streams++) {
        struct up u;
        struct heard h;
        up_init(&u, &(struct up_options){.unix_socket = streams == 1});
        heard_init(&h, &u);
        struct dm_http_ask ask = up_ask(&u, POST);
        ask.body_length = streams == 1 ? 4 : 0;
        up_start(&h, &ask);
        cancel(&h);
        heard_done(&h);
        up_done(&u);
    }
}

static void cancel_while_connecting(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    int fds[8];
    up_init(&u, NULL);
    int n = stuff_backlog(&u, fds);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    up_settle(&u);
    cancel(&h);
    heard_done(&h);
    close_all(fds, n);
    up_done(&u);
}

static void cancel_a_failure_that_was_not_told_yet(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, &(struct up_options){.unix_socket = true});
    (void)close(u.listener);
    u.listener = -1;
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    cancel(&h);
    heard_done(&h);
    up_done(&u);
}

static void cancel_while_waiting_for_the_pool(void **state)
{
    (void)state;
    struct up u;
    struct heard first, h;
    up_init(&u, &(struct up_options){.max_connections = 1});
    heard_init(&first, &u);
    heard_init(&h, &u);
    up_get(&first, UP_GET);
    up_get(&h, UP_GET);
    dm_http_cancel(h.call);
    int fd = up_serve(&u, -1, UP_OK);
    up_until_end(&first);
    up_settle(&u);
    assert_int_equal(h.ends, 0);
    heard_done(&first);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void cancel_while_sending(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char *bytes = dm_mem_alloc(BIG);
    up_init(&u, NULL);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, POST);
    ask.body_length = BIG;
    h.to_push = dm_view_make(bytes, BIG);
    up_start(&h, &ask);
    int fd = up_accept(&u);
    up_settle(&u);
    assert_true(h.to_push.len > 0 && h.to_push.len < BIG);
    cancel(&h);
    heard_done(&h);
    dm_mem_free(bytes);
    (void)close(fd);
    up_done(&u);
}

static void cancel_while_waiting_for_the_answer_reaches_the_upstream(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "\r\n\r\n");
    cancel(&h);
    assert_true(up_gone(&u, fd));
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void cancel_while_paused(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    h.takes = 1;
    up_get(&h, UP_GET);
    int fd = up_serve(&u, -1, UP_OK);
    up_until_body(&h, 1);
    dm_http_resume(h.call); /* and before it takes effect: */
    cancel(&h);
    assert_true(up_gone(&u, fd));
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void cancel_inside_each_callback(void **state)
{
    (void)state;
    for (int at = 1; at <= 4; at++) {
        struct up u;
        struct heard h;
        up_init(&u, NULL);
        heard_init(&h, &u);
        h.cancel_at = at;
        struct dm_http_ask ask = up_ask(&u, POST);
        ask.body_length = at == 4 ? 4 : 0;
        up_start(&h, &ask);
        int fd = up_accept(&u);
        if (at != 4) {
            (void)up_read_until(&u, fd, "\r\n\r\n");
            up_say(fd, "HTTP/1.1 103 Hints\r\n\r\n" UP_OK "surplus");
        }
        assert_true(up_gone(&u, fd));
        up_settle(&u);
        assert_int_equal(h.ends, 0);
        assert_int_equal(h.head, at == 1 || at == 2 ? 1 : 0);
        assert_int_equal(up_metric(&u, "doorman_upstream_connections"), 0);
        heard_done(&h);
        (void)close(fd);
        up_done(&u);
    }
}

static void no_descriptor_is_left_behind(void **state)
{
    (void)state;
    size_t before = up_open_fds();
    cancel_right_after_asking(NULL);
    cancel_inside_each_callback(NULL);
    connecting_has_a_deadline(NULL);
    assert_int_equal(up_open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connecting_has_a_deadline),
        cmocka_unit_test(waiting_for_the_pool_has_a_deadline),
        cmocka_unit_test(an_answer_that_does_not_begin_has_a_deadline),
        cmocka_unit_test(the_read_deadline_is_between_bytes),
        cmocka_unit_test(an_upstream_that_does_not_read_has_a_deadline),
        cmocka_unit_test(a_slow_asker_is_not_the_upstreams_fault),
        cmocka_unit_test(a_slow_taker_is_not_the_upstreams_fault),
        cmocka_unit_test(the_whole_call_has_a_deadline_where_one_is_set),
        cmocka_unit_test(a_late_answer_finds_nobody),
        cmocka_unit_test(cancel_right_after_asking),
        cmocka_unit_test(cancel_while_connecting),
        cmocka_unit_test(cancel_a_failure_that_was_not_told_yet),
        cmocka_unit_test(cancel_while_waiting_for_the_pool),
        cmocka_unit_test(cancel_while_sending),
        cmocka_unit_test(cancel_while_waiting_for_the_answer_reaches_the_upstream),
        cmocka_unit_test(cancel_while_paused),
        cmocka_unit_test(cancel_inside_each_callback),
        cmocka_unit_test(no_descriptor_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

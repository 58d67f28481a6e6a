/* Calls and the pool: http_client.c, http_pool.c, http_dial.c. */
#include "upstream_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void check_ok(const struct heard *h)
{
    assert_int_equal(h->ends, 1);
    assert_int_equal(h->info.end, DM_HTTP_COMPLETE);
    assert_int_equal(h->status, 200);
    assert_true(dm_view_eq(dm_buf_view(&h->body), DM_LIT("ok")));
}

/* One GET that is answered with UP_OK; gives the upstream's descriptor. */
static int get_ok(struct up *u, int fd)
{
    struct heard h;
    heard_init(&h, u);
    up_get(&h, UP_GET);
    fd = up_serve(u, fd, UP_OK);
    up_until_end(&h);
    check_ok(&h);
    heard_done(&h);
    return fd;
}

static void a_call_over_tcp_and_unix_sockets(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct up u;
        struct heard h;
        up_init(&u, &(struct up_options){.unix_socket = i == 1});
        heard_init(&h, &u);
        up_get(&h, UP_GET "X: y\r\n");
        int fd = up_accept(&u);
        assert_string_equal(up_read_until(&u, fd, "\r\n\r\n"), UP_GET "X: y\r\n\r\n");
        up_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n\r\nok");
        up_until_end(&h);
        check_ok(&h);
        assert_string_equal(h.fields, "Content-Length=2;A=b;");
        assert_int_equal(h.length, 2);
        assert_true(h.info.sent_any && h.info.got_head && !h.info.reused);
        heard_done(&h);
        (void)close(fd);
        up_done(&u);
    }
}

static void the_next_call_uses_the_kept_connection(void **state)
{
    (void)state;
    struct up u;
    up_init(&u, NULL);
    int fd = get_ok(&u, -1);
    fd = get_ok(&u, fd);
    struct heard h;
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    (void)up_serve(&u, fd, UP_OK);
    up_until_end(&h);
    assert_true(h.info.reused);
    assert_int_equal(h.info.connect_took, 0);
    assert_true(up_no_connection(&u));
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_opened_total"), 1);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_reused_total"), 2);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections"), 1);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void the_request_on_a_kept_connection_is_sent_inside_ask(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char buf[256];
    up_init(&u, NULL);
    int fd = get_ok(&u, -1);
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    ssize_t n = read(fd, buf, sizeof buf); /* no turn in between */
    assert_int_equal(n, sizeof UP_GET "\r\n" - 1);
    dm_http_cancel(h.call);
    assert_true(up_gone(&u, fd));
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void the_steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct up u;
    up_init(&u, NULL);
    int fd = get_ok(&u, -1);
    fd = get_ok(&u, fd);
    struct heard h[8];
    for (int i = 0; i < 8; i++) {
        heard_init(&h[i], &u);
        dm_buf_add(&h[i].body, DM_LIT("x"));
        dm_buf_clear(&h[i].body);
    }
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 8; i++) {
        up_get(&h[i], UP_GET);
        (void)up_serve(&u, fd, UP_OK);
        up_until_end(&h[i]);
    }
    assert_int_equal(dm_mem_count(), before);
    for (int i = 0; i < 8; i++) {
        check_ok(&h[i]);
        heard_done(&h[i]);
    }
    (void)close(fd);
    up_done(&u);
}

static void the_last_used_connection_is_taken_first(void **state)
{
    (void)state;
    struct up u;
    struct heard a, b, c;
    up_init(&u, NULL);
    heard_init(&a, &u);
    heard_init(&b, &u);
    heard_init(&c, &u);
    up_get(&a, UP_GET);
    int fd_a = up_accept(&u);
    up_get(&b, UP_GET);
    int fd_b = up_accept(&u);
    (void)up_serve(&u, fd_b, UP_OK);
    up_until_end(&b);
    (void)up_serve(&u, fd_a, UP_OK);
    up_until_end(&a);
    up_get(&c, UP_GET);
    (void)up_serve(&u, fd_a, UP_OK);
    up_until_end(&c);
    check_ok(&c);
    heard_done(&a);
    heard_done(&b);
    heard_done(&c);
    (void)close(fd_a);
    (void)close(fd_b);
    up_done(&u);
}

static void an_idle_connection_expires(void **state)
{
    (void)state;
    struct up u;
    up_init(&u, NULL);
    int fd = get_ok(&u, -1);
    dm_clock_manual_step(&u.clock, 29 * DM_SEC);
    up_settle(&u);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    dm_clock_manual_step(&u.clock, 2 * DM_SEC);
    assert_true(up_gone(&u, fd));
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 0);
    assert_int_equal(up_metric(&u, "doorman_upstream_connections"), 0);
    (void)close(fd);
    up_done(&u);
}

static void an_idle_connection_that_speaks_or_ends_is_closed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct up u;
        up_init(&u, NULL);
        int fd = get_ok(&u, -1);
        if (i == 0)
            up_say(fd, "HTTP/1.1 408 Request Timeout\r\n\r\n");
        else
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_true(up_gone(&u, fd));
        (void)close(fd);
        fd = get_ok(&u, -1); /* and the next call opens its own */
        (void)close(fd);
        up_done(&u);
    }
}

static void at_most_so_many_connections_are_kept(void **state)
{
    (void)state;
    struct up u;
    struct heard h[3];
    int fd[3];
    up_init(&u, &(struct up_options){.max_keepalive = 2});
    for (int i = 0; i < 3; i++) {
        heard_init(&h[i], &u);
        up_get(&h[i], UP_GET);
        fd[i] = up_accept(&u);
    }
    for (int i = 0; i < 3; i++) {
        (void)up_serve(&u, fd[i], UP_OK);
        up_until_end(&h[i]);
    }
    /* One too many: it may serve the next turn's calls, but rests no longer than the grace. */
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 3);
    dm_clock_manual_step(&u.clock, 200 * DM_MS);
    assert_true(up_gone(&u, fd[0])); /* the oldest */
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 2);
    dm_http_client_limit(u.client, 8, 1, 30 * DM_SEC);
    assert_true(up_gone(&u, fd[1]));
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    for (int i = 0; i < 3; i++) {
        heard_done(&h[i]);
        (void)close(fd[i]);
    }
    up_done(&u);
}

static void calls_over_the_limit_wait_their_turn(void **state)
{
    (void)state;
    struct up u;
    struct heard h[3];
    up_init(&u, &(struct up_options){.max_connections = 1});
    for (int i = 0; i < 3; i++) {
        heard_init(&h[i], &u);
        up_get(&h[i], UP_GET);
    }
    int fd = up_accept(&u);
    for (int i = 0; i < 3; i++) {
        assert_true(up_no_connection(&u));
        (void)up_serve(&u, fd, UP_OK);
        up_until_end(&h[i]);
        check_ok(&h[i]);
        for (int later = i + 1; later < 3; later++)
            assert_int_equal(h[later].ends, 0);
    }
    for (int i = 0; i < 3; i++)
        heard_done(&h[i]);
    (void)close(fd);
    up_done(&u);
}

static void who_waits_is_served_before_who_comes_later(void **state)
{
    (void)state;
    struct up u;
    struct heard first, waiting, later;
    up_init(&u, &(struct up_options){.max_connections = 1});
    heard_init(&first, &u);
    heard_init(&waiting, &u);
    heard_init(&later, &u);
    up_get(&first, UP_GET);
    up_get(&waiting, UP_GET);
    int fd = up_serve(&u, -1, UP_OK);
    up_until_end(&first);
    up_get(&later, UP_GET);
    (void)up_serve(&u, fd, UP_OK);
    up_until_end(&waiting);
    assert_int_equal(later.ends, 0);
    (void)up_serve(&u, fd, UP_OK);
    up_until_end(&later);
    heard_done(&first);
    heard_done(&waiting);
    heard_done(&later);
    (void)close(fd);
    up_done(&u);
}

static void an_idle_connection_elsewhere_makes_room(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, &(struct up_options){.max_connections = 1});
    int fd = get_ok(&u, -1);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, UP_GET);
    ask.server.key = DM_LIT("another name");
    up_start(&h, &ask);
    assert_true(up_gone(&u, fd));
    (void)close(fd);
    fd = up_serve(&u, -1, UP_OK);
    up_until_end(&h);
    check_ok(&h);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void a_connection_is_not_reused_when(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
    };
    for (size_t i = 0; i < DM_COUNT_OF(answers); i++) {
        struct up u;
        struct heard h;
        up_init(&u, NULL);
        heard_init(&h, &u);
        up_get(&h, UP_GET);
        int fd = up_serve(&u, -1, answers[i]);
        up_until_end(&h);
        check_ok(&h);
        assert_true(up_gone(&u, fd));
        heard_done(&h);
        (void)close(fd);
        up_done(&u);
    }
}

static void a_call_that_wants_its_own_connection_gets_it(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    int kept = get_ok(&u, -1);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, UP_GET);
    ask.no_reuse = true;
    up_start(&h, &ask);
    int fd = up_serve(&u, -1, UP_OK);
    up_until_end(&h);
    check_ok(&h);
    assert_true(up_gone(&u, fd));
    assert_int_equal(up_metric(&u, "doorman_upstream_connections_idle"), 1);
    heard_done(&h);
    (void)close(fd);
    (void)close(kept);
    up_done(&u);
}

static void a_stale_connection_is_replaced_where_that_is_safe(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    int fd = get_ok(&u, -1);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, "PUT / HTTP/1.1\r\nHost: u\r\n");
    ask.safe_to_resend = true;
    ask.body = DM_LIT("whole");
    ask.body_length = 5;
    up_start(&h, &ask);
    (void)up_read_until(&u, fd, "whole");
    up_hang_up(&fd);
    fd = up_accept(&u);
    assert_string_equal(up_read_until(&u, fd, "whole"),
                        "PUT / HTTP/1.1\r\nHost: u\r\nContent-Length: 5\r\n\r\nwhole");
    up_say(fd, UP_OK);
    up_until_end(&h);
    check_ok(&h);
    assert_false(h.info.reused);
    heard_done(&h);
    (void)close(fd);
    up_done(&u);
}

static void a_stale_connection_is_replaced_once(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    int fd = get_ok(&u, -1);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, UP_GET);
    ask.safe_to_resend = true;
    up_start(&h, &ask);
    for (int i = 0; i < 2; i++) {
        (void)up_read_until(&u, fd, "\r\n\r\n");
        up_hang_up(&fd);
        if (i == 0)
            fd = up_accept(&u);
    }
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    assert_true(h.info.sent_any);
    assert_true(up_no_connection(&u));
    heard_done(&h);
    up_done(&u);
}

static void a_request_that_is_not_safe_is_sent_once(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    int fd = get_ok(&u, -1);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, "POST / HTTP/1.1\r\nHost: u\r\n");
    ask.body = DM_LIT("pay");
    ask.body_length = 3;
    up_start(&h, &ask);
    (void)up_read_until(&u, fd, "pay");
    up_hang_up(&fd);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    assert_true(h.info.sent_any && !h.info.got_head && h.info.reused);
    assert_true(up_no_connection(&u));
    heard_done(&h);
    up_done(&u);
}

static void a_fresh_connection_that_dies_is_not_replaced(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    up_init(&u, NULL);
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, UP_GET);
    ask.safe_to_resend = true;
    up_start(&h, &ask);
    int fd = up_accept(&u);
    (void)up_read_until(&u, fd, "\r\n\r\n");
    up_reset(&fd);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    assert_true(up_no_connection(&u));
    heard_done(&h);
    up_done(&u);
}

static void nobody_listens(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct up u;
        struct heard h;
        up_init(&u, &(struct up_options){.unix_socket = i == 1});
        (void)close(u.listener);
        u.listener = -1;
        heard_init(&h, &u);
        up_get(&h, UP_GET);
        up_until_end(&h);
        assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
        assert_true(!h.info.sent_any && !h.info.got_head);
        assert_string_equal(h.info.why, "connecting failed");
        heard_done(&h);
        up_done(&u);
    }
}

static void a_socket_path_that_is_too_long_is_unreachable(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    char path[200];
    memset(path, 'x', sizeof path);
    up_init(&u, &(struct up_options){.unix_socket = true});
    heard_init(&h, &u);
    struct dm_http_ask ask = up_ask(&u, UP_GET);
    ask.server.unix_path = dm_view_make(path, sizeof path);
    up_start(&h, &ask);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    heard_done(&h);
    up_done(&u);
}

static bool refuse(void *ctx, const struct dm_address *a)
{
    (*(int *)ctx)++;
    return !dm_address_loopback(a);
}

static void a_refused_address_is_never_dialled(void **state)
{
    (void)state;
    struct up u;
    struct heard h;
    int asked = 0;
    up_init(&u, &(struct up_options){.allow_address = refuse, .allow_ctx = &asked});
    heard_init(&h, &u);
    up_get(&h, UP_GET);
    up_until_end(&h);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    assert_string_equal(h.info.why, "the address is not allowed");
    assert_int_equal(asked, 1);
    assert_true(up_no_connection(&u));
    heard_done(&h);
    up_done(&u);
}

static void a_client_can_be_freed_while_calls_run(void **state)
{
    (void)state;
    struct up u;
    struct heard h[3];
    up_init(&u, &(struct up_options){.max_connections = 2});
    for (int i = 0; i < 3; i++) { /* running, connecting, waiting */
        heard_init(&h[i], &u);
        up_get(&h[i], UP_GET);
        if (i == 0)
            up_turn(&u);
    }
    up_done(&u);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(h[i].ends, 0);
        heard_done(&h[i]);
    }
}

static void a_client_without_connections_is_refused(void **state)
{
    (void)state;
    struct dm_http_client *client = NULL;
    struct dm_error err;
    struct dm_http_client_config c = {.max_head = 1};
    assert_int_equal(dm_http_client_new(&c, &client, &err), DM_INVALID);
    assert_null(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_over_tcp_and_unix_sockets),
        cmocka_unit_test(the_next_call_uses_the_kept_connection),
        cmocka_unit_test(the_request_on_a_kept_connection_is_sent_inside_ask),
        cmocka_unit_test(the_steady_state_allocates_nothing),
        cmocka_unit_test(the_last_used_connection_is_taken_first),
        cmocka_unit_test(an_idle_connection_expires),
        cmocka_unit_test(an_idle_connection_that_speaks_or_ends_is_closed),
        cmocka_unit_test(at_most_so_many_connections_are_kept),
        cmocka_unit_test(calls_over_the_limit_wait_their_turn),
        cmocka_unit_test(who_waits_is_served_before_who_comes_later),
        cmocka_unit_test(an_idle_connection_elsewhere_makes_room),
        cmocka_unit_test(a_connection_is_not_reused_when),
        cmocka_unit_test(a_call_that_wants_its_own_connection_gets_it),
        cmocka_unit_test(a_stale_connection_is_replaced_where_that_is_safe),
        cmocka_unit_test(a_stale_connection_is_replaced_once),
        cmocka_unit_test(a_request_that_is_not_safe_is_sent_once),
        cmocka_unit_test(a_fresh_connection_that_dies_is_not_replaced),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(a_socket_path_that_is_too_long_is_unreachable),
        cmocka_unit_test(a_refused_address_is_never_dialled),
        cmocka_unit_test(a_client_can_be_freed_while_calls_run),
        cmocka_unit_test(a_client_without_connections_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

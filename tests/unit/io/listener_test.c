/* The port itself: opening, accepting, the connection cap, draining, the end. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "front_support.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

enum { CAP = 4 };

static int setup(void **state)
{
    *state = dm_mem_alloc(sizeof(struct front));
    front_init(*state, NULL, CAP);
    return 0;
}

static int teardown(void **state)
{
    front_done(*state);
    dm_mem_free(*state);
    return 0;
}

static const struct dm_settings *settings_of(void *app)
{
    return ((struct front *)app)->settings;
}

static struct dm_address heard_from;

static void on_head(void *app, struct dm_exchange *x)
{
    (void)app;
    heard_from = x->peer;
    dm_exchange_reply(x, &(struct dm_answer){.status = 200}, DM_LIT("ok"));
}

static void ignore(struct dm_exchange *x)
{
    (void)x;
}

static void ignore_gone(struct dm_exchange *x, enum dm_gone why)
{
    (void)x;
    (void)why;
}

static const struct dm_exchange_handler handler = {.on_head = on_head,
                                                   .on_body = ignore,
                                                   .on_room = ignore,
                                                   .on_gone = ignore_gone,
                                                   .on_done = ignore};

static struct dm_listener_config config_of(struct front *f)
{
    return (struct dm_listener_config){.loop = f->loop,
                                       .arenas = f->arenas,
                                       .limits = f->limits,
                                       .settings = settings_of,
                                       .handler = &handler,
                                       .app = f};
}

static int dial(const struct sockaddr *addr, socklen_t len)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, addr, len), 0);
    return fd;
}

static bool answers(struct front *f, int fd)
{
    char text[4096];
    if (send(fd, GET, strlen(GET), MSG_NOSIGNAL) < 0)
        return false;
    for (int i = 0; i < 200;
         i++) { /* the kernel may take a moment: each turn waits a little for it */
        (void)dm_loop_turn(f->loop, 10 * DM_MS);
        ssize_t n = recv(fd, text, sizeof text, MSG_DONTWAIT);
        if (n >= 0)
            return n > 0;
    }
    return false;
}

static void a_tcp_port_accepts_and_tells_the_peer(void **state)
{
    struct front *f = *state;
    struct dm_listener_config c = config_of(f);
    struct dm_listener *l;
    c.host = "127.0.0.1";
    assert_int_equal(dm_listener_open(&c, &l, NULL), DM_OK);
    assert_true(dm_listener_port(l) > 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(dm_listener_port(l))};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = dial((struct sockaddr *)&addr, sizeof addr);
    assert_true(answers(f, fd));
    struct dm_address loopback;
    assert_true(dm_address_parse(DM_LIT("127.0.0.1"), &loopback));
    assert_true(dm_address_eq(&heard_from, &loopback));
    assert_true(answers(f, fd));
    close(fd);
    dm_listener_free(l);
}

static void two_listeners_share_a_port_when_asked(void **state)
{
    struct front *f = *state;
    struct dm_listener_config c = config_of(f);
    struct dm_listener *first, *second;
    struct dm_error err;
    c.host = "::1";
    c.reuse_port = true;
    if (dm_listener_open(&c, &first, &err) != DM_OK) { /* no IPv6 here: the same over IPv4 */
        c.host = "127.0.0.1";
        assert_int_equal(dm_listener_open(&c, &first, &err), DM_OK);
    }
    c.port = dm_listener_port(first);
    assert_int_equal(dm_listener_open(&c, &second, &err), DM_OK);
    dm_listener_free(first);
    dm_listener_free(second);
}

static void a_port_in_use_is_named(void **state)
{
    struct front *f = *state;
    struct dm_listener_config c = config_of(f);
    struct dm_listener *l, *second;
    struct dm_error err;
    char expected[128];
    c.host = "127.0.0.1";
    assert_int_equal(dm_listener_open(&c, &l, NULL), DM_OK);
    c.port = dm_listener_port(l);
    assert_int_equal(dm_listener_open(&c, &second, &err), DM_UNAVAILABLE);
    snprintf(expected, sizeof expected, "could not listen on 127.0.0.1 port %u: the port is in use",
             c.port);
    assert_string_equal(err.text, expected);
    dm_listener_free(l);
}

static void what_is_no_address_is_refused(void **state)
{
    struct front *f = *state;
    struct dm_listener_config c = config_of(f);
    struct dm_listener *l;
    struct dm_error err;
    c.host = "localhost";
    assert_int_equal(dm_listener_open(&c, &l, &err), DM_INVALID);
    assert_string_equal(err.text, "could not listen on \"localhost\": not an address");
    c.unix_path =
        "/tmp/a-path-that-is-far-too-long-for-the-address-of-a-unix-socket-which-holds-one-hundred-"
        "and-eight-bytes-in-all";
    assert_int_equal(dm_listener_open(&c, &l, &err), DM_INVALID);
    c.unix_path = "/nonexistent-directory/socket";
    assert_int_equal(dm_listener_open(&c, &l, &err), DM_UNAVAILABLE);
}

static void a_unix_socket_accepts_and_is_removed_at_the_end(void **state)
{
    struct front *f = *state;
    struct dm_listener_config c = config_of(f);
    struct dm_listener *l;
    char dir[] = "/tmp/doorman-listener-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/s", dir);
    c.unix_path = addr.sun_path;
    assert_int_equal(dm_listener_open(&c, &l, NULL), DM_OK);
    int fd = dial((struct sockaddr *)&addr, sizeof addr);
    assert_true(answers(f, fd));
    assert_true(heard_from.unix_socket);
    close(fd);
    dm_listener_free(l);
    assert_int_equal(access(addr.sun_path, F_OK), -1);
    assert_int_equal(rmdir(dir), 0);
}

static void at_the_cap_the_longest_idle_connection_makes_room(void **state)
{
    struct front *f = *state;
    int fds[CAP + 1];
    bool closed;
    for (int i = 0; i < CAP; i++) {
        fds[i] = front_connect(f);
        front_send(f, fds[i], GET);
        front_read(f, fds[i], NULL);
    }
    front_send(f, fds[0], GET); /* now the second is the longest idle one */
    front_read(f, fds[0], NULL);
    fds[CAP] = front_connect(f);
    front_send(f, fds[CAP], GET);
    front_read(f, fds[CAP], &closed);
    assert_false(closed);
    for (int i = 0; i < CAP; i++) {
        front_read(f, fds[i], &closed);
        assert_int_equal(closed, i == 1);
    }
    assert_int_equal(dm_listener_connections(f->listener), CAP);
    struct dm_metric *open =
        dm_metric_get(f->metrics, DM_GAUGE, "doorman_client_connections", "", "", NULL, 0);
    assert_int_equal(dm_metric_value(open), CAP);
    assert_int_equal(front_metric(f, "doorman_client_connections_total", "result=\"evicted\""), 1);
    for (int i = 0; i <= CAP; i++)
        close(fds[i]);
}

static void at_the_cap_without_an_idle_one_the_new_one_is_closed(void **state)
{
    struct front *f = *state;
    int fds[CAP];
    bool closed;
    f->mode = FRONT_HOLD;
    for (int i = 0; i < CAP; i++) {
        fds[i] = front_connect(f);
        front_send(f, fds[i], GET);
    }
    int more = front_connect(f);
    front_read(f, more, &closed);
    assert_true(closed);
    close(more);
    assert_int_equal(front_metric(f, "doorman_client_connections_total", "result=\"refused_full\""),
                     1);
    close(fds[0]); /* one goes: there is room again */
    front_settle(f);
    more = front_connect(f);
    front_send(f, more, GET);
    assert_int_equal(f->n_asked, CAP + 1);
    close(more);
    for (int i = 1; i < CAP; i++)
        close(fds[i]);
}

static void draining_closes_idle_connections_and_ends_running_ones_after_their_answer(void **state)
{
    struct front *f = *state;
    bool closed;
    int idle = front_connect(f), busy = front_connect(f), late = front_connect(f);
    front_send(f, idle, GET);
    front_read(f, idle, NULL);
    front_send(f, late, GET);
    front_read(f, late, NULL);
    f->mode = FRONT_HOLD;
    front_send(f, busy, GET);
    assert_int_equal(send(late, GET, strlen(GET), 0),
                     strlen(GET)); /* on its way when the drain begins */
    assert_false(dm_exchange_draining(f->asked[2].x));
    dm_listener_drain(f->listener);
    dm_listener_drain(f->listener);
    front_settle(f);
    front_read(f, idle, &closed);
    assert_true(closed);
    assert_int_equal(f->n_asked, 4);
    assert_int_equal(dm_listener_inflight(f->listener), 2);
    for (int i = 2; i < 4; i++) {
        assert_true(dm_exchange_draining(f->asked[i].x));
        dm_exchange_reply(f->asked[i].x, &(struct dm_answer){.status = 200}, DM_LIT("last"));
    }
    assert_non_null(strstr(front_read(f, busy, &closed), "Connection: close\r\n"));
    assert_true(closed);
    assert_non_null(strstr(front_read(f, late, &closed), "Connection: close\r\n"));
    assert_true(closed);
    front_settle(f);
    assert_int_equal(dm_listener_connections(f->listener), 0);
    close(idle);
    close(busy);
    close(late);
}

static void a_connection_without_a_request_does_not_hold_the_drain_up(void **state)
{
    struct front *f = *state;
    int silent = front_connect(f), quick = front_connect(f);
    dm_listener_drain(f->listener);
    front_settle(f);
    assert_int_equal(dm_listener_connections(f->listener), 2);
    front_send(f, quick, GET); /* sent when it knew nothing of a drain */
    assert_non_null(strstr(front_read(f, quick, NULL), "Connection: close\r\n"));
    front_pass(f, 1100 * DM_MS);
    front_pass(f, 3 * DM_SEC); /* its 408 has been there to read */
    assert_int_equal(dm_listener_connections(f->listener), 0);
    close(silent);
    close(quick);
}

static void an_answer_begun_before_the_drain_closes_behind_it(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    int fd = front_connect(f);
    front_send(f, fd, GET);
    struct dm_exchange *x = f->asked[0].x;
    dm_exchange_answer(x, &(struct dm_answer){.status = 200, .length = DM_LENGTH_UNKNOWN});
    front_settle(f);
    dm_listener_drain(f->listener);
    (void)dm_exchange_push(x, DM_LIT("end"));
    dm_exchange_finish(x);
    bool closed;
    assert_non_null(strstr(front_read(f, fd, &closed), "0\r\n\r\n"));
    assert_true(closed);
    close(fd);
}

static void who_is_leaving_serves_on_and_closes_behind_each_answer(void **state)
{
    static const char whole[] = "HTTP/1.1 200 ";
    static _Atomic bool leaving;
    struct front *f = *state;
    struct dm_listener_config c = config_of(f);
    struct dm_listener *l;
    bool closed;

    c.host = "127.0.0.1";
    c.leaving = &leaving;
    assert_int_equal(dm_listener_open(&c, &l, NULL), DM_OK);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(dm_listener_port(l))};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = dial((struct sockaddr *)&addr, sizeof addr);
    assert_true(answers(f, fd));
    atomic_store(&leaving, true);
    front_send(f, fd, GET);
    const char *answer = front_read(f, fd, &closed);
    assert_memory_equal(answer, whole, sizeof whole - 1);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_true(closed);
    close(fd);
    fd = dial((struct sockaddr *)&addr, sizeof addr);
    assert_true(answers(f, fd)); /* whoever comes is served */
    close(fd);
    dm_listener_free(l);
}

static void who_is_in_the_backlog_when_the_drain_begins_is_served(void **state)
{
    struct front *f = *state;
    struct dm_listener_config c = config_of(f);
    struct dm_listener *l;
    c.host = "127.0.0.1";
    assert_int_equal(dm_listener_open(&c, &l, NULL), DM_OK);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(dm_listener_port(l))};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = dial((struct sockaddr *)&addr, sizeof addr);
    dm_listener_drain(l);
    assert_true(answers(f, fd));
    close(fd);
    dm_listener_free(l);
}

static void the_end_cuts_what_is_left_and_says_so(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    int fd = front_connect(f), partial = front_connect(f);
    front_send(f, fd, GET GET);
    front_send(f, partial, "GET / HT");
    dm_listener_free(f->listener);
    f->listener = NULL;
    assert_int_equal(f->asked[0].gones, 1);
    assert_int_equal(f->asked[0].why, DM_GONE_DRAIN);
    assert_int_equal(f->n_asked, 1);
    close(fd);
    close(partial);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_tcp_port_accepts_and_tells_the_peer),
        T(two_listeners_share_a_port_when_asked),
        T(a_port_in_use_is_named),
        T(what_is_no_address_is_refused),
        T(a_unix_socket_accepts_and_is_removed_at_the_end),
        T(at_the_cap_the_longest_idle_connection_makes_room),
        T(at_the_cap_without_an_idle_one_the_new_one_is_closed),
        T(draining_closes_idle_connections_and_ends_running_ones_after_their_answer),
        T(a_connection_without_a_request_does_not_hold_the_drain_up),
        T(an_answer_begun_before_the_drain_closes_behind_it),
        T(who_is_leaving_serves_on_and_closes_behind_each_answer),
        T(who_is_in_the_backlog_when_the_drain_begins_is_served),
        T(the_end_cuts_what_is_left_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Calls over TLS, as far as they go without a certificate: http_dial.c. What a real server says is
 * in tests/integration/test_kube_events.py. */
#include "upstream_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/tls.h"

#define SECRET "GET /s3cret HTTP/1.1\r\nHost: u\r\n"
enum { HELLO = 5, HANDSHAKE = 0x16 }; /* RFC 8446 §5.1: a record's head, its first byte */

struct fixture {
    struct up u;
    struct heard h;
    struct dm_tls *tls;
    int fd;
};

static void begin(struct fixture *f, const struct up_options *o, dm_view host)
{
    *f = (struct fixture){.fd = -1};
    up_init(&f->u, o);
    heard_init(&f->h, &f->u);
    assert_int_equal(dm_tls_client_new(&(struct dm_tls_config){0}, &f->tls, NULL), DM_OK);
    struct dm_http_ask ask = up_ask(&f->u, SECRET);
    ask.server.tls = f->tls;
    ask.server.host = host;
    up_start(&f->h, &ask);
}

/* The first bytes that come are a handshake's. */
static void expect_hello(struct fixture *f)
{
    unsigned char head[HELLO];
    f->fd = up_accept(&f->u);
    for (int i = 0; i < 100 && recv(f->fd, head, sizeof head, MSG_PEEK) != HELLO; i++)
        up_turn(&f->u);
    assert_int_equal(recv(f->fd, head, sizeof head, 0), HELLO);
    assert_int_equal(head[0], HANDSHAKE);
}

static void end(struct fixture *f)
{
    if (f->fd >= 0)
        (void)close(f->fd);
    heard_done(&f->h);
    dm_tls_free(f->tls);
    up_done(&f->u);
}

static void expect_unreachable(struct fixture *f, const char *why)
{
    up_until_end(&f->h);
    assert_int_equal(f->h.info.end, DM_HTTP_UNREACHABLE);
    assert_non_null(strstr(f->h.why, why));
    assert_false(f->h.info.sent_any);
    assert_int_equal(up_metric(&f->u, "doorman_upstream_connections"), 0);
}

static void nothing_is_sent_to_a_server_without_tls(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, DM_LIT("127.0.0.1"));
    expect_hello(&f);
    up_say(f.fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    expect_unreachable(&f, "wrong version number");
    end(&f);
}

static void a_server_that_leaves_during_the_handshake_is_unreachable(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, DM_LIT("127.0.0.1"));
    expect_hello(&f);
    up_hang_up(&f.fd);
    expect_unreachable(&f, "");
    assert_true(f.h.why[0] != '\0');
    end(&f);
}

static void the_handshake_is_part_of_connecting_and_of_its_deadline(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, DM_LIT("127.0.0.1"));
    expect_hello(&f);
    dm_clock_manual_step(&f.u.clock, 4900 * DM_MS);
    up_settle(&f.u);
    assert_int_equal(f.h.ends, 0);
    dm_clock_manual_step(&f.u.clock, 200 * DM_MS);
    up_settle(&f.u);
    assert_int_equal(f.h.ends, 1);
    assert_int_equal(f.h.info.end, DM_HTTP_CONNECT_TIMEOUT);
    assert_true(up_gone(&f.u, f.fd));
    end(&f);
}

static void a_call_can_be_cancelled_during_the_handshake(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL, DM_LIT("127.0.0.1"));
    expect_hello(&f);
    dm_http_cancel(f.h.call);
    assert_true(up_gone(&f.u, f.fd));
    assert_int_equal(f.h.ends, 0);
    end(&f);
}

static void a_host_without_a_name_cannot_be_checked_and_is_not_spoken_to(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, &(struct up_options){.unix_socket = true}, DM_VIEW_NONE);
    expect_unreachable(&f, "no certificate can bear the host's name");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_to_a_server_without_tls),
        cmocka_unit_test(a_server_that_leaves_during_the_handshake_is_unreachable),
        cmocka_unit_test(the_handshake_is_part_of_connecting_and_of_its_deadline),
        cmocka_unit_test(a_call_can_be_cancelled_during_the_handshake),
        cmocka_unit_test(a_host_without_a_name_cannot_be_checked_and_is_not_spoken_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "io/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "upstream_support.h"

enum { TYPE_A = 1, TYPE_AAAA = 28, PATIENCE = 2000, DNS_HEAD = 12 };

/* A name server of the test's own, on the same thread. */
struct dns {
    struct dm_clock_manual clock;
    struct dm_loop *loop;
    struct dm_resolver *resolver;
    int fd;
    char at[32];
    unsigned queries; /* for A: one per look-up */
    unsigned ttl;
    int rcode;
    unsigned n4, n6; /* addresses of each family: 127.0.0.1.., ::1.. */
};

static void dns_open(struct dns *d)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    *d = (struct dns){.ttl = 60, .n4 = 1};
    d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(d->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(d->fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(d->at, sizeof d->at, "127.0.0.1:%u", (unsigned)ntohs(a.sin_port));
}

static void dns_init(struct dns *d)
{
    dns_open(d);
    dm_clock_manual_init(&d->clock, 1000 * DM_SEC, 0);
    d->loop = dm_loop_new(&d->clock.clock);
    struct dm_resolver_config c = {.loop = d->loop, .servers = d->at};
    assert_int_equal(dm_resolver_new(&c, &d->resolver, NULL), DM_OK);
}

static void dns_done(struct dns *d)
{
    dm_resolver_free(d->resolver);
    dm_loop_free(d->loop);
    (void)close(d->fd);
}

static size_t add_address(unsigned char *out, int type, unsigned ttl, unsigned nth)
{
    const unsigned char head[] = {0xc0,
                                  DNS_HEAD,
                                  0,
                                  (unsigned char)type,
                                  0,
                                  1,
                                  (unsigned char)(ttl >> 24),
                                  (unsigned char)(ttl >> 16),
                                  (unsigned char)(ttl >> 8),
                                  (unsigned char)ttl};
    size_t len = type == TYPE_A ? 4 : 16;
    memcpy(out, head, sizeof head);
    out[10] = 0;
    out[11] = (unsigned char)len;
    memset(out + 12, 0, len);
    if (type == TYPE_A)
        out[12] = 127;
    out[12 + len - 1] = (unsigned char)(nth + 1);
    return 12 + len;
}

/* Answers what has arrived. */
static void dns_serve(struct dns *d)
{
    unsigned char q[512];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t got;
    while ((got = recvfrom(d->fd, q, 256, 0, (struct sockaddr *)&from, &from_len)) > 0) {
        size_t end = DNS_HEAD;
        while (q[end] != 0)
            end += q[end] + 1u;
        int type = q[end + 2];
        end += 5;
        unsigned n = d->rcode != 0 ? 0 : type == TYPE_A ? d->n4 : type == TYPE_AAAA ? d->n6 : 0;
        d->queries += type == TYPE_A ? 1 : 0;
        q[2] = 0x81;
        q[3] = (unsigned char)(0x80 | d->rcode);
        q[7] = (unsigned char)n;
        memset(q + 8, 0, 4);
        for (unsigned i = 0; i < n; i++)
            end += add_address(q + end, type, d->ttl, i);
        assert_int_equal(sendto(d->fd, q, end, 0, (struct sockaddr *)&from, from_len),
                         (ssize_t)end);
    }
}

struct wait {
    struct dm_resolve q;
    int calls;
    enum dm_code rc;
    struct dm_addresses a;
};

static void on_resolved(struct dm_resolve *q, enum dm_code rc, const struct dm_addresses *a)
{
    struct wait *w = DM_CONTAINER_OF(q, struct wait, q);
    w->calls++;
    w->rc = rc;
    w->a = *a;
}

static enum dm_code ask(struct dns *d, const char *host, struct wait *w)
{
    *w = (struct wait){.calls = 0};
    dm_resolve_init(&w->q);
    return dm_resolver_ask(d->resolver, dm_view_of(host), &w->q, on_resolved, &w->a);
}

/* Asks and waits; gives the verdict. */
static enum dm_code resolve(struct dns *d, const char *host, struct wait *w)
{
    enum dm_code rc = ask(d, host, w);
    for (int i = 0; rc == DM_AGAIN && i < PATIENCE; i++) {
        dns_serve(d);
        (void)dm_loop_turn(d->loop, 2 * DM_MS);
        if (w->calls > 0)
            return w->rc;
    }
    return rc;
}

static const char *texts(const struct dm_addresses *a)
{
    static char out[1024];
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < a->count; i++) {
        char text[DM_ADDRESS_TEXT];
        size_t len = dm_address_write(&a->items[i], text);
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%.*s", i == 0 ? "" : " ", (int)len,
                               text);
    }
    return out;
}

static void literals_answer_at_once(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    dns_init(&d);
    assert_int_equal(ask(&d, "192.0.2.7", &w), DM_OK);
    assert_string_equal(texts(&w.a), "192.0.2.7");
    assert_int_equal(ask(&d, "2001:db8::1", &w), DM_OK);
    assert_string_equal(texts(&w.a), "2001:db8::1");
    assert_int_equal(ask(&d, "[::1]", &w), DM_OK);
    assert_string_equal(texts(&w.a), "::1");
    dns_done(&d);
}

static void what_is_no_host_name_is_refused(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    char longest[300];
    dns_init(&d);
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *const bad[] = {"", "a b", "a\nb", "a/b", "a:80", "\xc3\xa9", longest};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        assert_int_equal(ask(&d, bad[i], &w), DM_INVALID);
    assert_int_equal(dm_resolver_ask(d.resolver, DM_LIT("a\0b"), &w.q, on_resolved, &w.a),
                     DM_INVALID);
    dns_done(&d);
}

static void the_hosts_file_comes_before_dns(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    dns_init(&d);
    assert_int_equal(resolve(&d, "localhost", &w), DM_OK);
    assert_true(dm_address_loopback(&w.a.items[0]));
    assert_int_equal(d.queries, 0);
    dns_done(&d);
}

static void both_families_come_ipv4_first_and_take_turns(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    dns_init(&d);
    d.n4 = 3;
    d.n6 = 2;
    assert_int_equal(resolve(&d, "api.example.test", &w), DM_OK);
    assert_string_equal(texts(&w.a), "127.0.0.1 127.0.0.2 127.0.0.3 ::1 ::2");
    assert_int_equal(ask(&d, "API.example.test", &w), DM_OK); /* names know no case */
    assert_string_equal(texts(&w.a), "127.0.0.2 127.0.0.3 127.0.0.1 ::2 ::1");
    assert_int_equal(ask(&d, "api.example.test", &w), DM_OK);
    assert_string_equal(texts(&w.a), "127.0.0.3 127.0.0.1 127.0.0.2 ::1 ::2");
    assert_int_equal(d.queries, 1);
    dns_done(&d);
}

static void an_answer_is_kept_for_its_ttl_within_bounds(void **state)
{
    (void)state;
    static const struct {
        unsigned ttl, kept;
    } cases[] = {{60, 60}, {0, 1}, {86400, 300}};
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct dns d;
        struct wait w;
        dns_init(&d);
        d.ttl = cases[i].ttl;
        assert_int_equal(resolve(&d, "api.example.test", &w), DM_OK);
        dm_clock_manual_step(&d.clock, cases[i].kept * DM_SEC - DM_MS);
        (void)dm_loop_turn(d.loop, 0);
        assert_int_equal(ask(&d, "api.example.test", &w), DM_OK);
        dm_clock_manual_step(&d.clock, 2 * DM_MS);
        (void)dm_loop_turn(d.loop, 0);
        assert_int_equal(resolve(&d, "api.example.test", &w), DM_OK);
        assert_int_equal(d.queries, 2);
        dns_done(&d);
    }
}

static void a_name_that_does_not_exist_is_remembered_for_a_second(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    dns_init(&d);
    d.rcode = 3;
    assert_int_equal(resolve(&d, "nowhere.example.test", &w), DM_NOT_FOUND);
    unsigned queries = d.queries;
    assert_int_equal(ask(&d, "nowhere.example.test", &w), DM_NOT_FOUND);
    dm_clock_manual_step(&d.clock, 1001 * DM_MS);
    (void)dm_loop_turn(d.loop, 0);
    d.rcode = 0;
    assert_int_equal(resolve(&d, "nowhere.example.test", &w), DM_OK);
    assert_int_equal(d.queries, queries + 1);
    dns_done(&d);
}

static void a_name_without_addresses_is_not_found(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    dns_init(&d);
    d.n4 = 0;
    assert_int_equal(resolve(&d, "empty.example.test.", &w), DM_NOT_FOUND);
    dns_done(&d);
}

static void a_server_that_fails_is_no_missing_name(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    dns_init(&d);
    d.rcode = 2;
    assert_int_equal(resolve(&d, "api.example.test", &w), DM_UNAVAILABLE);
    dns_done(&d);
}

static void however_many_wait_one_query_is_sent(void **state)
{
    (void)state;
    struct dns d;
    struct wait w[3];
    dns_init(&d);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(&d, "api.example.test", &w[i]), DM_AGAIN);
    dm_resolve_cancel(&w[1].q);
    dm_resolve_cancel(&w[1].q);
    struct wait last;
    assert_int_equal(resolve(&d, "api.example.test", &last), DM_OK);
    assert_int_equal(d.queries, 1);
    assert_int_equal(w[0].calls, 1);
    assert_int_equal(w[1].calls, 0);
    assert_int_equal(w[2].calls, 1);
    dns_done(&d);
}

static void a_resolver_can_go_while_a_query_is_out(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    size_t before = up_open_fds();
    dns_init(&d);
    assert_int_equal(ask(&d, "api.example.test", &w), DM_AGAIN);
    dm_resolve_cancel(&w.q);
    dns_done(&d);
    assert_int_equal(w.calls, 0);
    assert_int_equal(up_open_fds(), before);
}

static void the_cache_is_bounded(void **state)
{
    (void)state;
    struct dns d;
    struct wait w;
    dns_init(&d);
    for (int i = 0; i < 1100; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "h%d.example.test", i);
        assert_int_equal(resolve(&d, name, &w), DM_OK);
    }
    unsigned queries = d.queries;
    assert_int_equal(ask(&d, "h1099.example.test", &w), DM_OK);
    assert_int_equal(resolve(&d, "h0.example.test", &w), DM_OK); /* the oldest had to go */
    assert_int_equal(d.queries, queries + 1);
    dns_done(&d);
}

static void a_bad_list_of_servers_is_an_error(void **state)
{
    (void)state;
    struct dm_loop *loop = dm_loop_new(&dm_clock_system);
    struct dm_resolver *r = NULL;
    struct dm_error err;
    struct dm_resolver_config c = {.loop = loop, .servers = "not an address"};
    assert_int_equal(dm_resolver_new(&c, &r, &err), DM_UNAVAILABLE);
    assert_null(r);
    dm_loop_free(loop);
}

/* --- with the client --- */

static void until(struct up *u, struct dns *d, const int *flag)
{
    for (int i = 0; i < PATIENCE && *flag == 0; i++) {
        dns_serve(d);
        up_turn(u);
    }
    assert_int_equal(*flag, 1);
}

static void a_call_by_name_dials_the_addresses_in_turn(void **state)
{
    (void)state;
    struct dns d;
    struct up u;
    struct heard h;
    dns_open(&d);
    d.n4 = 2; /* nobody listens on the second */
    up_init(&u, &(struct up_options){.dns_servers = d.at});
    struct dm_http_ask ask_it = up_ask(&u, UP_GET);
    ask_it.server.host = DM_LIT("api.example.test");
    for (int i = 0; i < 2; i++) {
        heard_init(&h, &u);
        up_start(&h, &ask_it);
        int fd = -1;
        for (int turn = 0; turn < PATIENCE && fd < 0; turn++) {
            dns_serve(&d);
            up_turn(&u);
            fd = accept4(u.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        }
        assert_true(fd >= 0);
        (void)up_read_until(&u, fd, "\r\n\r\n");
        up_say(fd, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
        until(&u, &d, &h.ends);
        assert_int_equal(h.info.end, DM_HTTP_COMPLETE);
        heard_done(&h);
        (void)close(fd);
    }
    up_done(&u);
    (void)close(d.fd);
}

static void a_call_to_a_missing_name_is_unreachable(void **state)
{
    (void)state;
    struct dns d;
    struct up u;
    struct heard h;
    dns_open(&d);
    d.rcode = 3;
    up_init(&u, &(struct up_options){.dns_servers = d.at});
    heard_init(&h, &u);
    struct dm_http_ask ask_it = up_ask(&u, UP_GET);
    ask_it.server.host = DM_LIT("nowhere.example.test");
    up_start(&h, &ask_it);
    until(&u, &d, &h.ends);
    assert_int_equal(h.info.end, DM_HTTP_UNREACHABLE);
    assert_string_equal(h.info.why, "no such name");
    heard_done(&h);
    up_done(&u);
    (void)close(d.fd);
}

static void a_call_can_time_out_or_be_cancelled_while_its_name_is_asked_for(void **state)
{
    (void)state;
    struct dns d;
    struct up u;
    struct heard h[2];
    dns_open(&d); /* says nothing */
    up_init(&u, &(struct up_options){.dns_servers = d.at});
    struct dm_http_ask ask_it = up_ask(&u, UP_GET);
    ask_it.server.host = DM_LIT("api.example.test");
    for (int i = 0; i < 2; i++) {
        heard_init(&h[i], &u);
        up_start(&h[i], &ask_it);
    }
    dm_http_cancel(h[0].call);
    dm_clock_manual_step(&u.clock, 5001 * DM_MS);
    up_settle(&u);
    assert_int_equal(h[0].ends, 0);
    assert_int_equal(h[1].ends, 1);
    assert_int_equal(h[1].info.end, DM_HTTP_CONNECT_TIMEOUT);
    for (int i = 0; i < 2; i++)
        heard_done(&h[i]);
    up_done(&u);
    (void)close(d.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_answer_at_once),
        cmocka_unit_test(what_is_no_host_name_is_refused),
        cmocka_unit_test(the_hosts_file_comes_before_dns),
        cmocka_unit_test(both_families_come_ipv4_first_and_take_turns),
        cmocka_unit_test(an_answer_is_kept_for_its_ttl_within_bounds),
        cmocka_unit_test(a_name_that_does_not_exist_is_remembered_for_a_second),
        cmocka_unit_test(a_name_without_addresses_is_not_found),
        cmocka_unit_test(a_server_that_fails_is_no_missing_name),
        cmocka_unit_test(however_many_wait_one_query_is_sent),
        cmocka_unit_test(a_resolver_can_go_while_a_query_is_out),
        cmocka_unit_test(the_cache_is_bounded),
        cmocka_unit_test(a_bad_list_of_servers_is_an_error),
        cmocka_unit_test(a_call_by_name_dials_the_addresses_in_turn),
        cmocka_unit_test(a_call_to_a_missing_name_is_unreachable),
        cmocka_unit_test(a_call_can_time_out_or_be_cancelled_while_its_name_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

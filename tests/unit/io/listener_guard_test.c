/* Every rule of the guard over a real connection: refused with its status, the connection closed,
 * nothing of it seen by the server, never a second request out of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "front_support.h"
#include "io/http_guard.h"

#define LINE "GET / HTTP/1.1\r\n"
#define H "Host: a\r\n"
#define SMUGGLED "GET /smuggled HTTP/1.1\r\n" H "\r\n"

struct rule {
    const char *name;
    const char *bytes;
    int status;
    const char *reason;
    size_t len; /* 0: strlen */
};

#define NUL_CASE LINE H "A: b\0c\r\n\r\n"

static const struct rule rules[] = {
    {"two equal lengths", LINE H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400,
     "syntax", 0},
    {"two lengths", LINE H "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "syntax", 0},
    {"a list of lengths", LINE H "Content-Length: 5, 5\r\n\r\nhello", 400, "syntax", 0},
    {"a signed length", LINE H "Content-Length: +5\r\n\r\nhello", 400, "syntax", 0},
    {"a negative length", LINE H "Content-Length: -5\r\n\r\nhello", 400, "syntax", 0},
    {"a hexadecimal length", LINE H "Content-Length: 0x5\r\n\r\nhello", 400, "syntax", 0},
    {"an empty length", LINE H "Content-Length: \r\n\r\n", 400, "syntax", 0},
    {"an endless length", LINE H "Content-Length: 99999999999999999999999\r\n\r\n", 400, "syntax",
     0},
    {"a length over 63 bits", LINE H "Content-Length: 9223372036854775808\r\n\r\n", 400, "length",
     0},
    {"length and chunked",
     "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     400, "syntax", 0},
    {"chunked and length",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
     400, "syntax", 0},
    {"gzip, chunked", LINE H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400,
     "transfer_encoding", 0},
    {"chunked, gzip", LINE H "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "", 0},
    {"chunked, chunked", LINE H "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "", 0},
    {"chunked twice",
     LINE H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "",
     0},
    {"xchunked", LINE H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "", 0},
    {"chunked;q=1", LINE H "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400, "", 0},
    {"identity", LINE H "Transfer-Encoding: identity\r\n\r\n", 400, "", 0},
    {"an empty transfer encoding", LINE H "Transfer-Encoding:\r\n\r\n", 400, "", 0},
    {"a quoted chunked", LINE H "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400, "", 0},
    {"chunked with a vertical tab",
     LINE H "Transfer-Encoding: \x0b"
            "chunked\r\n\r\n0\r\n\r\n",
     400, "", 0},
    {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     400, "transfer_encoding", 0},
    {"a blank before the colon", LINE "Host : a\r\n\r\n", 400, "syntax", 0},
    {"a tab before the colon", LINE H "Content-Length\t: 5\r\n\r\nhello", 400, "syntax", 0},
    {"a blank before the name", LINE H " A: b\r\n\r\n", 400, "syntax", 0},
    {"a fold", LINE H "A: b\r\n c\r\n\r\n", 400, "syntax", 0},
    {"a folded transfer encoding", LINE H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400,
     "syntax", 0},
    {"no colon", LINE H "A\r\n\r\n", 400, "syntax", 0},
    {"no name", LINE H ": a\r\n\r\n", 400, "syntax", 0},
    {"a name that is no token", LINE H "A(b): c\r\n\r\n", 400, "syntax", 0},
    {"bare LF ends", "GET / HTTP/1.1\nHost: a\n\n", 400, "syntax", 0},
    {"a bare LF between fields", LINE "Host: a\nA: b\r\n\r\n", 400, "syntax", 0},
    {"a bare CR in a value", LINE H "A: b\rc\r\n\r\n", 400, "syntax", 0},
    {"a bare CR as an end", LINE "Host: a\rA: b\r\n\r\n", 400, "syntax", 0},
    {"a bare LF before the line", "\n" LINE H "\r\n", 400, "lines", 0},
    {"a CR before the line", "\r" LINE H "\r\n", 400, "", 0},
    {"NUL in a value", NUL_CASE, 400, "syntax", sizeof(NUL_CASE) - 1},
    {"a control byte in a value",
     LINE H "A: b\x01"
            "c\r\n\r\n",
     400, "syntax", 0},
    {"DEL in a value", LINE H "A: b\x7f\r\n\r\n", 400, "syntax", 0},
    {"no Host", LINE "A: b\r\n\r\n", 400, "host", 0},
    {"two Hosts", LINE H H "\r\n", 400, "host", 0},
    {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" H H "\r\n", 400, "host", 0},
    {"an empty Host", LINE "Host:\r\n\r\n", 400, "host", 0},
    {"a Host with a path", LINE "Host: a/b\r\n\r\n", 400, "host", 0},
    {"a Host with user info", LINE "Host: u@a\r\n\r\n", 400, "host", 0},
    {"a Host with a blank", LINE "Host: a b\r\n\r\n", 400, "host", 0},
    {"a list of Hosts", LINE "Host: a, b\r\n\r\n", 400, "host", 0},
    {"absolute form against Host", "GET http://b/ HTTP/1.1\r\n" H "\r\n", 400, "host", 0},
    {"absolute form with user info", "GET http://u@a/ HTTP/1.1\r\n" H "\r\n", 400, "host", 0},
    {"absolute form without authority", "GET http:/// HTTP/1.1\r\n" H "\r\n", 400, "", 0},
    {"another scheme", "GET ftp://a/ HTTP/1.1\r\n" H "\r\n", 400, "target", 0},
    {"an asterisk for GET", "GET * HTTP/1.1\r\n" H "\r\n", 400, "target", 0},
    {"a relative target", "GET a HTTP/1.1\r\n" H "\r\n", 400, "syntax", 0},
    {"a fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", 400, "target", 0},
    {"a blank in the target", "GET /a b HTTP/1.1\r\n" H "\r\n", 400, "", 0},
    {"a tab in the target", "GET /a\tb HTTP/1.1\r\n" H "\r\n", 400, "", 0},
    {"a byte over ASCII in the target", "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400, "", 0},
    {"DEL in the target", "GET /\x7f HTTP/1.1\r\n" H "\r\n", 400, "", 0},
    {"%00 in the target", "GET /a%00b HTTP/1.1\r\n" H "\r\n", 400, "target", 0},
    {"%00 in the query", "GET /a?b=%00 HTTP/1.1\r\n" H "\r\n", 400, "target", 0},
    {"half an escape", "GET /a%2 HTTP/1.1\r\n" H "\r\n", 400, "target", 0},
    {"an escape of no hex", "GET /a%g0 HTTP/1.1\r\n" H "\r\n", 400, "target", 0},
    {"a percent at the end", "GET /a% HTTP/1.1\r\n" H "\r\n", 400, "target", 0},
    {"two blanks behind the method", "GET  / HTTP/1.1\r\n" H "\r\n", 400, "request_line", 0},
    {"two blanks behind the target", "GET /  HTTP/1.1\r\n" H "\r\n", 400, "request_line", 0},
    {"a blank behind the version", "GET / HTTP/1.1 \r\n" H "\r\n", 400, "syntax", 0},
    {"HTTP/0.9", "GET /\r\n" H "\r\n", 400, "request_line", 0},
    {"HTTP/0.9 by name", "GET / HTTP/0.9\r\n" H "\r\n", 400, "request_line", 0},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", 400, "syntax", 0},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n" H "\r\n", 400, "request_line", 0},
    {"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "syntax", 0},
    {"another protocol", "DESCRIBE / RTSP/1.0\r\n" H "\r\n", 400, "", 0},
    {"an unknown method", "FROB / HTTP/1.1\r\n" H "\r\n", 400, "syntax", 0},
    {"a method in lower case", "get / HTTP/1.1\r\n" H "\r\n", 400, "syntax", 0},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 405, "method", 0},
    {"TRACE", "TRACE / HTTP/1.1\r\n" H "\r\n", 405, "method", 0},
    {"an expectation nobody knows", LINE H "Expect: miracles\r\n\r\n", 417, "expect", 0},
    {"two expectations", LINE H "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", 400,
     "repeated_field", 0},
    {"two credentials", LINE H "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400,
     "repeated_field", 0},
    {"two content types", LINE H "Content-Type: a/b\r\ncontent-type: c/d\r\n\r\n", 400,
     "repeated_field", 0},
    {"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "syntax", 11},
};

static int setup(void **state)
{
    *state = dm_mem_alloc(sizeof(struct front));
    front_init(*state, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    front_done(*state);
    dm_mem_free(*state);
    return 0;
}

static void check_refused(struct front *f, const struct rule *r, int fd)
{
    bool closed;
    const char *answer = front_read(f, fd, &closed);
    char status[32], reason[64];
    snprintf(status, sizeof status, "HTTP/1.1 %d ", r->status);
    snprintf(reason, sizeof reason, "X-Doorman-Reason: guard; %s", r->reason);
    if (strncmp(answer, status, strlen(status)) != 0 || front_count(answer, "HTTP/1.1 ") != 1)
        fail_msg("%s: answered \"%s\"", r->name, answer);
    if (strstr(answer, reason) == NULL)
        fail_msg("%s: answered \"%s\"", r->name, answer);
    if (!closed || f->n_asked > 0)
        fail_msg("%s: closed %d, asked %zu", r->name, closed, f->n_asked);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    const char *id = strstr(answer, "\r\nX-Request-ID: ");
    assert_non_null(id);
    assert_int_equal(strcspn(id + strlen("\r\nX-Request-ID: "), "\r"), 36);
    assert_true((r->status == 405) == (strstr(answer, "\r\nAllow: GET, ") != NULL));
    assert_non_null(strstr(answer, "X-Frame-Options: DENY\r\n"));
    assert_non_null(strstr(answer, "\"error_message\":\""));
    close(fd);
}

static void whatever_is_ambiguous_is_refused_and_ends_the_connection(void **state)
{
    struct front *f = *state;
    for (size_t i = 0; i < DM_COUNT_OF(rules); i++) {
        int fd = front_connect(f);
        size_t len = rules[i].len > 0 ? rules[i].len : strlen(rules[i].bytes);
        char both[1024];
        memcpy(both, rules[i].bytes, len);
        memcpy(both + len, SMUGGLED, sizeof SMUGGLED);
        front_send_bytes(f, fd, both, len + strlen(SMUGGLED));
        check_refused(f, &rules[i], fd);
    }
}

static void it_is_refused_whatever_its_pieces(void **state)
{
    struct front *f = *state;
    for (size_t i = 0; i < DM_COUNT_OF(rules); i++) {
        int fd = front_connect(f);
        size_t len = rules[i].len > 0 ? rules[i].len : strlen(rules[i].bytes);
        for (size_t at = 0; at < len; at++)
            if (send(fd, rules[i].bytes + at, 1, MSG_NOSIGNAL) == 1)
                (void)dm_loop_turn(f->loop, 0);
        struct rule by_status = rules[i];
        by_status.reason = ""; /* which of two faults is seen first may depend on the cut */
        check_refused(f, &by_status, fd);
    }
}

static void what_looks_odd_but_is_clear_is_served(void **state)
{
    static const char *const fine[] = {
        "OPTIONS * HTTP/1.1\r\n" H "\r\n",
        "GET http://a/x HTTP/1.1\r\n" H "\r\n",
        "GET HTTP://A:80?q HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET https://a HTTP/1.1\r\nhost:a\r\n\r\n",
        "GET http://a/x HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nExpect: whatever\r\n\r\n",
        "GET /%2e%2E/%2f;p=1//b?x=%20&y[]='1' HTTP/1.1\r\n" H
        "\r\n", /* paths are judged at routing */
        LINE "Host:\t a \t\r\nA:\r\nB: \xff\xfe\tc\r\n\r\n",
        LINE "Host: [::1]:8080\r\n\r\n",
        "DELETE / HTTP/1.1\r\n" H "Content-Length: 00\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\n" H "\r\n",
    };
    struct front *f = *state;
    for (size_t i = 0; i < DM_COUNT_OF(fine); i++) {
        int fd = front_connect(f);
        size_t before = f->n_asked;
        front_send(f, fd, fine[i]);
        if (f->n_asked != before + 1)
            fail_msg("%s: refused with %s", fine[i], front_read(f, fd, NULL));
        close(fd);
    }
}

static void limits_of_the_head_are_exact(void **state)
{
    static const char *const env[] = {"MAX_HEADER_BYTES=4096", "MAX_HEADER_COUNT=16",
                                      "MAX_URI_BYTES=256", NULL};
    struct front *f = *state;
    front_done(f);
    front_init(f, env, 0);
    char rq[200000];
    static const struct {
        int target, fields, bytes, status; /* bytes 0: as it comes */
    } cases[] = {
        {256, 16, 0, 200}, {257, 1, 0, 414},    {100000, 1, 0, 414},
        {1, 17, 0, 431},   {1, 1000, 0, 431},   {1, 2, 4096, 200},
        {1, 2, 4097, 431}, {1, 2, 150000, 431}, {257, 16, 150000, 414},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases) * 2; i++) {
        int n = snprintf(rq, sizeof rq, "GET /%0*d HTTP/1.1\r\nHost: a\r\n",
                         cases[i / 2].target - 1, 0);
        if (cases[i / 2].target == 1)
            n = snprintf(rq, sizeof rq, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int k = 0; k < cases[i / 2].fields - 1 - (cases[i / 2].bytes > 0); k++)
            n += snprintf(rq + n, sizeof rq - (size_t)n, "F%d: v\r\n", k);
        if (cases[i / 2].bytes > 0)
            n += snprintf(rq + n, sizeof rq - (size_t)n, "L: %0*d\r\n", cases[i / 2].bytes - n - 7,
                          0);
        n += snprintf(rq + n, sizeof rq - (size_t)n, "\r\n");
        int fd = front_connect(f);
        size_t step = i % 2 == 0 ? (size_t)n : 1000; /* in one piece, and in many */
        for (size_t at = 0; at < (size_t)n; at += step) {
            size_t len = step < (size_t)n - at ? step : (size_t)n - at;
            (void)send(fd, rq + at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
            front_settle(f);
        }
        char status[32];
        snprintf(status, sizeof status, "HTTP/1.1 %d ", cases[i / 2].status);
        const char *answer = front_read(f, fd, NULL);
        if (strncmp(answer, status, strlen(status)) != 0)
            fail_msg("case %zu: %.100s", i, answer);
        close(fd);
    }
}

static void refusals_are_counted_by_reason(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd, LINE H H "\r\n");
    close(fd);
    assert_int_equal(front_metric(f, "doorman_guard_refusals_total", "reason=\"host\""), 1);
    assert_int_equal(front_metric(f, "doorman_guard_refusals_total", "reason=\"syntax\""), 0);
}

static void the_client_may_finish_sending_before_it_reads_the_refusal(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd, "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
    char block[10000];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 100; i++)
        front_send_bytes(f, fd, block, sizeof block); /* is taken and thrown away */
    bool closed;
    assert_non_null(strstr(front_read(f, fd, &closed), "400 Bad Request"));
    assert_true(closed);
    assert_int_equal(dm_listener_connections(f->listener), 1);
    front_pass(f, 3 * DM_SEC); /* but not for ever */
    assert_int_equal(dm_listener_connections(f->listener), 0);
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(whatever_is_ambiguous_is_refused_and_ends_the_connection),
        T(it_is_refused_whatever_its_pieces),
        T(what_looks_odd_but_is_clear_is_served),
        T(limits_of_the_head_are_exact),
        T(refusals_are_counted_by_reason),
        T(the_client_may_finish_sending_before_it_reads_the_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

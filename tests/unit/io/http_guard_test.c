/* The guard alone, behind a parser that lets everything through: what llhttp refuses today it may
 * not refuse tomorrow, and then the guard must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/http_guard.h"

enum { FIELDS_MAX = 64 };

struct parsed {
    struct dm_request_head head;
    struct dm_field_line lines[FIELDS_MAX];
};

/* Cuts at the first blanks of the first line, and at the first colon of every other, ended by CRLF.
 */
static void cut(struct parsed *p, dm_view raw)
{
    memset(p, 0, sizeof *p);
    p->head.fields = (struct dm_fields){.items = p->lines, .size = FIELDS_MAX};
    size_t at = 0;
    while (at < raw.len && (raw.ptr[at] == '\r' || raw.ptr[at] == '\n'))
        at++;
    size_t blank = dm_view_find_byte(raw, ' ', at);
    p->head.method = dm_view_sub(raw, at, blank - at);
    size_t end = dm_view_find_byte(raw, '\n', blank), target = blank;
    while (target < raw.len && raw.ptr[target] == ' ')
        target++;
    size_t behind = dm_view_find_byte(raw, ' ', target);
    p->head.target = dm_view_sub(raw, target, (behind < end ? behind : end - 1) - target);
    for (at = end + 1; at < raw.len; at = end + 1) {
        end = dm_view_find_byte(raw, '\n', at);
        dm_view line = dm_view_sub(raw, at, end - at);
        while (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        size_t colon = dm_view_find_byte(line, ':', 0);
        if (colon == line.len)
            continue;
        dm_view value = dm_view_sub(line, colon + 1, line.len);
        while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t')) {
            value.ptr++;
            value.len--;
        }
        p->lines[p->head.fields.count++] =
            (struct dm_field_line){.name = dm_view_sub(line, 0, colon), .value = value};
    }
}

static const struct dm_guard_limits limits = {
    .max_head = 4096, .max_target = 256, .max_fields = 32};

static enum dm_guard judge_bytes(struct parsed *p, const char *raw, size_t len)
{
    cut(p, dm_view_make(raw, len));
    return dm_http_guard(&p->head, dm_view_make(raw, len), &limits);
}

static enum dm_guard judge(struct parsed *p, const char *raw)
{
    return judge_bytes(p, raw, strlen(raw));
}

#define GET "GET / HTTP/1.1\r\n"
#define H "Host: a\r\n"

static void a_plain_request_passes(void **state)
{
    (void)state;
    struct parsed p;
    assert_int_equal(judge(&p, GET "HOST: a.example:8080  \t\r\nA: \r\n\r\n"), DM_GUARD_OK);
    assert_true(dm_view_eq(p.head.host, DM_LIT("a.example:8080")));
    assert_int_equal(p.head.minor, 1);
    assert_int_equal(p.lines[0].id, DM_HDR_HOST);
    assert_false(p.head.has_length || p.head.chunked || p.head.upgrade || p.head.expect_continue);
    assert_int_equal(judge(&p, "GET / HTTP/1.0\r\n\r\n"), DM_GUARD_OK);
    assert_int_equal(p.head.minor, 0);
    assert_int_equal(p.head.host.len, 0);
    assert_int_equal(
        judge(&p, "POST / HTTP/1.1\r\n" H "Content-Length: 12\r\nExpect: 100-CONTINUE\r\n\r\n"),
        DM_GUARD_OK);
    assert_true(p.head.has_length && p.head.expect_continue);
    assert_int_equal(p.head.length, 12);
    assert_int_equal(judge(&p, "POST / HTTP/1.1\r\n" H "transfer-encoding: CHUNKED\r\n\r\n"),
                     DM_GUARD_OK);
    assert_true(p.head.chunked && !p.head.has_length);
}

static void framing_is_refused_even_if_the_parser_took_it(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        enum dm_guard expected;
    } cases[] = {
        {"Content-Length: 5\r\nContent-Length: 5\r\n", DM_GUARD_LENGTH},
        {"Content-Length: 5\r\ncontent-length: 6\r\n", DM_GUARD_LENGTH},
        {"Content-Length: 5, 5\r\n", DM_GUARD_LENGTH},
        {"Content-Length: +5\r\n", DM_GUARD_LENGTH},
        {"Content-Length: -0\r\n", DM_GUARD_LENGTH},
        {"Content-Length: 5a\r\n", DM_GUARD_LENGTH},
        {"Content-Length: 0x5\r\n", DM_GUARD_LENGTH},
        {"Content-Length: 5 5\r\n", DM_GUARD_LENGTH},
        {"Content-Length:\r\n", DM_GUARD_LENGTH},
        {"Content-Length: 9223372036854775807\r\n", DM_GUARD_OK},
        {"Content-Length: 9223372036854775808\r\n", DM_GUARD_LENGTH},
        {"Content-Length: 18446744073709551616\r\n", DM_GUARD_LENGTH},
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", DM_GUARD_TRANSFER_ENCODING},
        {"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", DM_GUARD_TRANSFER_ENCODING},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
         DM_GUARD_TRANSFER_ENCODING},
        {"Transfer-Encoding: gzip, chunked\r\n", DM_GUARD_TRANSFER_ENCODING},
        {"Transfer-Encoding: chunked, identity\r\n", DM_GUARD_TRANSFER_ENCODING},
        {"Transfer-Encoding: chunked,\r\n", DM_GUARD_TRANSFER_ENCODING},
        {"Transfer-Encoding: identity\r\n", DM_GUARD_TRANSFER_ENCODING},
        {"Transfer-Encoding:\r\n", DM_GUARD_TRANSFER_ENCODING},
        {"Transfer_Encoding: chunked\r\nContent_Length: 7\r\n",
         DM_GUARD_OK}, /* no framing: dropped */
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct parsed p;
        char raw[512];
        snprintf(raw, sizeof raw, "POST / HTTP/1.1\r\n" H "%s\r\n", cases[i].fields);
        enum dm_guard g = judge(&p, raw);
        if (g != cases[i].expected)
            fail_msg("%s: %s", cases[i].fields, dm_guard_reason(g));
        assert_false(g == DM_GUARD_OK && p.head.chunked);
    }
}

static void every_line_is_one_field(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        size_t len;
    } cases[] = {
#define CASE(text) {text, sizeof(text) - 1}
        CASE("GET / HTTP/1.1\nHost: a\r\n\r\n"),
        CASE(GET "Host: a\n\r\n"),
        CASE(GET H "\n"),
        CASE(GET H "\r"),
        CASE(GET "Host: a\r\r\n\r\n"),
        CASE(GET H "A: b\rC: d\r\n\r\n"),
        CASE(GET H "A: b\nC: d\r\n\r\n"),
        CASE(GET H "A: b\r\n c\r\n\r\n"), /* a fold: a line without a field */
        CASE(GET H "A: 0123456789abcdef0123456789\r\n 0123456789abcdef\r\n\r\n"),
        CASE(GET H "nothing here\r\n\r\n"),
        CASE(GET H "A: b\0c\r\n\r\n"),
        CASE(GET H "A: 0123456789abcdef\0"
                   "0123456789abcdef\r\n\r\n"),
        CASE(GET H "A: b\x0b\r\n\r\n"),
        CASE(GET H "A: 0123456789abcdef0123456789abcdef\x1f\r\n\r\n"),
        CASE(GET H "A: b\x7f\r\n\r\n"),
        CASE(GET H "A: 0123456789\x7f"
                   "abcdef0123456789abcdef\r\n\r\n"),
        CASE("\n" GET H "\r\n"),
        CASE("\r" GET H "\r\n"),
        CASE("\r\n\r\n\r\n" GET H "\r\n"), /* more empty lines than anybody sends */
        CASE(GET H "\r\n\r\n"),
#undef CASE
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct parsed p;
        enum dm_guard g = judge_bytes(&p, cases[i].raw, cases[i].len);
        if (g != DM_GUARD_LINES)
            fail_msg("case %zu: %s", i, dm_guard_reason(g));
    }
    struct parsed p;
    assert_int_equal(judge(&p, "\r\n\r\n" GET H "\r\n"), DM_GUARD_OK);
    assert_int_equal(judge(&p, GET H "A: \t\xff\x80 b\r\n\r\n"), DM_GUARD_OK);
}

/* The scan takes sixteen bytes at a time: a fault must be found at every place of a head of every
 * length. */
static void a_fault_is_found_wherever_it_lies(void **state)
{
    (void)state;
    static const char bad[] = {'\0', '\r', '\n', '\x01', '\x7f', '\x1f'};
    char raw[200];
    for (int pad = 0; pad < 40; pad++) {
        int len = snprintf(raw, sizeof raw, GET H "A: %0*d\r\nB: c\r\n\r\n", pad + 1, 0);
        struct parsed p;
        assert_int_equal(judge_bytes(&p, raw, (size_t)len), DM_GUARD_OK);
        int start = (int)strlen(GET H "A: ");
        for (int at = start; at <= start + pad; at++)
            for (size_t b = 0; b < sizeof bad; b++) {
                char spoilt[sizeof raw];
                memcpy(spoilt, raw, (size_t)len);
                spoilt[at] = bad[b];
                assert_int_equal(judge_bytes(&p, spoilt, (size_t)len), DM_GUARD_LINES);
                assert_int_equal(dm_http_value_ok(dm_view_make(spoilt + start, (size_t)pad + 1)),
                                 false);
            }
    }
}

static void line_ends_are_counted_past_one_byte(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    struct dm_field_line *lines = dm_mem_array(MANY, sizeof *lines);
    static char raw[MANY * 16 + 64];
    size_t len = (size_t)snprintf(raw, sizeof raw, GET H);
    struct dm_request_head head = {.fields = {lines, 0, MANY}};
    head.method = dm_view_make(raw, 3);
    head.target = dm_view_make(raw + 4, 1);
    lines[head.fields.count++] = (struct dm_field_line){{raw + 16, 4}, {raw + 22, 1}, 0};
    while (head.fields.count < MANY) {
        len += (size_t)snprintf(raw + len, sizeof raw - (size_t)len, "A:b\r\n");
        lines[head.fields.count++] =
            (struct dm_field_line){{raw + len - 5, 1}, {raw + len - 3, 1}, 0};
    }
    len += (size_t)snprintf(raw + len, sizeof raw - (size_t)len, "\r\n");
    struct dm_guard_limits wide = {.max_head = 100000, .max_target = 100, .max_fields = MANY};
    assert_int_equal(dm_http_guard(&head, dm_view_make(raw, len), &wide), DM_GUARD_OK);
    head.fields.count = MANY - 256; /* as many lines too much as a byte can hide */
    assert_int_equal(dm_http_guard(&head, dm_view_make(raw, len), &wide), DM_GUARD_LINES);
    dm_mem_free(lines);
}

static void the_request_line_has_one_form(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "GET  / HTTP/1.1\r\n" H "\r\n",
        "GET /  HTTP/1.1\r\n" H "\r\n",
        "GET / HTTP/1.1 \r\n" H "\r\n",
        "GET / HTTP/1.2\r\n" H "\r\n",
        "GET / HTTP/2.0\r\n" H "\r\n",
        "GET / HTTP/0.9\r\n" H "\r\n",
        "GET / HTTP/1.11\r\n" H "\r\n",
        "GET / http/1.1\r\n" H "\r\n",
        "GET / RTSP/1.0\r\n" H "\r\n",
        "GET / HTTP/1.\r\n" H "\r\n",
        "GET /\r\n" H "\r\n",
        "GET / X\r\n\r\n",
        "METHODSWITHMORETHANTHIRTYTWOBYTES / HTTP/1.1\r\n" H "\r\n",
    };
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        struct parsed p;
        enum dm_guard g = judge(&p, bad[i]);
        if (g != DM_GUARD_REQUEST_LINE)
            fail_msg("%s: %s", bad[i], dm_guard_reason(g));
    }
}

static void targets_and_hosts_agree(void **state)
{
    (void)state;
    static const struct {
        const char *line, *host;
        enum dm_guard expected;
    } cases[] = {
        {"GET http://a/b HTTP/1.1", H, DM_GUARD_OK},
        {"GET HTTPS://A?c HTTP/1.1", H, DM_GUARD_OK},
        {"GET http://a HTTP/1.0", "", DM_GUARD_OK},
        {"GET http://a:80/ HTTP/1.1", H, DM_GUARD_HOST},
        {"GET http://b/ HTTP/1.1", H, DM_GUARD_HOST},
        {"GET http://a@b/ HTTP/1.1", "Host: b\r\n", DM_GUARD_HOST},
        {"GET http:///x HTTP/1.0", "", DM_GUARD_HOST},
        {"GET http:/a HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET gopher://a/ HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET a HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET * HTTP/1.1", H, DM_GUARD_TARGET},
        {"OPTIONS * HTTP/1.1", H, DM_GUARD_OK},
        {"OPTIONS ** HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET /a%20b?%41 HTTP/1.1", H, DM_GUARD_OK},
        {"GET /a%0 HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET /a% HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET /%G1 HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET /%1g HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET /%00 HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET /%0a HTTP/1.1", H, DM_GUARD_OK}, /* judged at routing, segment by segment */
        {"GET /# HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET /\x80 HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET /\tx HTTP/1.1", H, DM_GUARD_TARGET},
        {"GET / HTTP/1.1", "", DM_GUARD_HOST},
        {"GET / HTTP/1.1", "Host:\r\n", DM_GUARD_HOST},
        {"GET / HTTP/1.1", "Host: a b\r\n", DM_GUARD_HOST},
        {"GET / HTTP/1.1", "Host: a:99999\r\n", DM_GUARD_HOST},
        {"GET / HTTP/1.1", "Host: a\r\nhost: a\r\n", DM_GUARD_HOST},
        {"GET / HTTP/1.0", "Host: a/\r\n", DM_GUARD_HOST},
        {"CONNECT a:443 HTTP/1.1", H, DM_GUARD_METHOD},
        {"TRACE / HTTP/1.1", H, DM_GUARD_METHOD},
        {"GET / HTTP/1.1", H "Expect: 200-ok\r\n", DM_GUARD_EXPECT},
        {"GET / HTTP/1.0", H "Expect: 200-ok\r\n", DM_GUARD_OK},
        {"GET / HTTP/1.1", H "Authorization: a\r\nauthorization: a\r\n", DM_GUARD_REPEATED},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct parsed p;
        char raw[512];
        snprintf(raw, sizeof raw, "%s\r\n%s\r\n", cases[i].line, cases[i].host);
        enum dm_guard g = judge(&p, raw);
        if (g != cases[i].expected)
            fail_msg("%s %s: %s", cases[i].line, cases[i].host, dm_guard_reason(g));
    }
}

static void what_only_we_may_say_is_taken_out_in_place(void **state)
{
    (void)state;
    struct parsed p;
    assert_int_equal(
        judge(&p, GET
              "X-Doorman-Scheme: https\r\n" H "X-DOORMAN-INTERNAL-any: 1\r\nA: 1\r\n"
              "x_doorman_user: 2\r\nx_request_id: 3\r\nX-Api_Key: 4\r\nproxy_authorization: 5\r\n"
              "a_b: 6\r\nHOST_: 7\r\nX-Doorman-User: 8\r\n"
              "x_very_long_name_of_more_than_forty_bytes_in_all: 9\r\n\r\n"),
        DM_GUARD_OK);
    static const char *const left[] = {"Host",
                                       "A",
                                       "a_b",
                                       "HOST_",
                                       "X-Doorman-User",
                                       "x_very_long_name_of_more_than_forty_bytes_in_all"};
    assert_int_equal(p.head.fields.count, DM_COUNT_OF(left));
    for (size_t i = 0; i < DM_COUNT_OF(left); i++)
        assert_true(dm_view_eq(p.lines[i].name, dm_view_of(left[i])));
}

static void upgrades_are_websockets_asked_for_twice(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool upgrade;
    } cases[] = {
        {"Connection: upgrade\r\nUpgrade: websocket\r\n", true},
        {"Connection: Keep-Alive,UPGRADE\r\nUpgrade: h2c, WebSocket\r\n", true},
        {"Upgrade: websocket\r\n", false},
        {"Connection: upgrade\r\nUpgrade: h2c\r\n", false},
        {"Connection: upgraded\r\nUpgrade: websocket\r\n", false},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct parsed p;
        char raw[512];
        snprintf(raw, sizeof raw, GET H "%s\r\n", cases[i].fields);
        assert_int_equal(judge(&p, raw), DM_GUARD_OK);
        assert_int_equal(p.head.upgrade, cases[i].upgrade);
    }
}

static void limits_come_before_everything_else(void **state)
{
    (void)state;
    struct parsed p;
    char raw[8192];
    snprintf(raw, sizeof raw, "GET /%0*d HTTP/1.1\r\n\r\n", 256, 0);
    assert_int_equal(judge(&p, raw), DM_GUARD_TARGET_TOO_LONG);
    snprintf(raw, sizeof raw, GET "A: %0*d\r\n\r\n", 4096, 0);
    assert_int_equal(judge(&p, raw), DM_GUARD_HEAD_TOO_LARGE);
    int len = snprintf(raw, sizeof raw, GET);
    for (int i = 0; i < 33; i++)
        len += snprintf(raw + len, sizeof raw - (size_t)len,
                        "X-Doorman-Peer: a\r\n"); /* dropped ones count as well */
    snprintf(raw + len, sizeof raw - (size_t)len, "\r\n");
    assert_int_equal(judge(&p, raw), DM_GUARD_TOO_MANY_FIELDS);
}

static void late_fields_are_harmless_ones(void **state)
{
    (void)state;
    struct dm_field_line lines[] = {
        {.name = DM_LIT("X-Sum"), .value = DM_LIT(" 1\t")},
        {.name = DM_LIT("content-length"), .value = DM_LIT("5")},
        {.name = DM_LIT("Host"), .value = DM_LIT("evil")},
        {.name = DM_LIT("Authorization"), .value = DM_LIT("evil")},
        {.name = DM_LIT("If-Anything"), .value = DM_LIT("evil")},
        {.name = DM_LIT("X-Doorman-Internal-X"), .value = DM_LIT("evil")},
        {.name = DM_LIT("x_forwarded_for"), .value = DM_LIT("evil")},
        {.name = DM_LIT("grpc-status"), .value = DM_LIT("0")},
    };
    struct dm_fields t = {lines, DM_COUNT_OF(lines), DM_COUNT_OF(lines)};
    assert_int_equal(dm_http_guard_trailers(&t), DM_GUARD_OK);
    assert_int_equal(t.count, 2);
    assert_true(dm_view_eq(lines[0].value, DM_LIT("1")));
    assert_true(dm_view_eq(lines[1].name, DM_LIT("grpc-status")));
    lines[0].value = DM_LIT("a\rb");
    assert_int_equal(dm_http_guard_trailers(&t), DM_GUARD_TRAILERS);
}

static void connections_stay_by_version_and_word(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        bool stays;
    } cases[] = {
        {GET H "\r\n", true},
        {GET H "Connection: close\r\n\r\n", false},
        {GET H "Connection: a\r\nConnection: b, CLOSE ,c\r\n\r\n", false},
        {GET H "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct parsed p;
        assert_int_equal(judge(&p, cases[i].raw), DM_GUARD_OK);
        assert_int_equal(dm_http_keeps_alive(&p.head), cases[i].stays);
    }
}

static void every_verdict_has_an_error_and_a_word(void **state)
{
    (void)state;
    for (int g = 1; g < DM_GUARD_COUNT_; g++) {
        assert_int_not_equal(dm_guard_err((enum dm_guard)g), ERR_NONE);
        assert_true(strlen(dm_guard_reason((enum dm_guard)g)) > 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_request_passes),
        cmocka_unit_test(framing_is_refused_even_if_the_parser_took_it),
        cmocka_unit_test(every_line_is_one_field),
        cmocka_unit_test(a_fault_is_found_wherever_it_lies),
        cmocka_unit_test(line_ends_are_counted_past_one_byte),
        cmocka_unit_test(the_request_line_has_one_form),
        cmocka_unit_test(targets_and_hosts_agree),
        cmocka_unit_test(what_only_we_may_say_is_taken_out_in_place),
        cmocka_unit_test(upgrades_are_websockets_asked_for_twice),
        cmocka_unit_test(limits_come_before_everything_else),
        cmocka_unit_test(late_fields_are_harmless_ones),
        cmocka_unit_test(connections_stay_by_version_and_word),
        cmocka_unit_test(every_verdict_has_an_error_and_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

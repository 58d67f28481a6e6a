#include "io/http_response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What became of one answer, as a text: "<status> <fields> | <body> | end". */
struct heard {
    struct dm_buf text;
    enum dm_answer_event last;
    dm_view rest;
};

static void hear_fields(struct dm_buf *out, const struct dm_fields *f)
{
    for (size_t i = 0; i < f->count; i++)
        dm_buf_addf(out, " %.*s=%.*s", DM_FMT(f->items[i].name), DM_FMT(f->items[i].value));
}

static void hear_head(struct dm_buf *out, const struct dm_http_answer_head *h, const char *kind)
{
    dm_buf_addf(out, "%s%d", kind, h->status);
    hear_fields(out, h->fields);
    dm_buf_add(out, DM_LIT("|"));
}

static void feed(struct dm_http_response *r, struct heard *h, dm_view bytes)
{
    dm_view body;
    do {
        h->last = dm_http_response_next(r, &bytes, &body);
        if (h->last == DM_ANSWER_INFORM)
            hear_head(&h->text, dm_http_response_head(r), "i");
        else if (h->last == DM_ANSWER_HEAD)
            hear_head(&h->text, dm_http_response_head(r), "");
        else if (h->last == DM_ANSWER_BODY)
            dm_buf_add(&h->text, body);
    } while (h->last == DM_ANSWER_INFORM || h->last == DM_ANSWER_HEAD || h->last == DM_ANSWER_BODY);
    h->rest = bytes;
}

/* Feeds `bytes` in pieces of `step` and gives what was heard; the first line of each test. */
static const char *hear(dm_view bytes, size_t step, bool head_method, size_t max_head)
{
    static char out[65536];
    struct heard h = {.last = DM_ANSWER_MORE};
    struct dm_http_response *r = dm_http_response_new(max_head);
    dm_http_response_begin(r, head_method);
    dm_buf_init(&h.text, sizeof out - 1);
    for (size_t at = 0; at < bytes.len && h.last == DM_ANSWER_MORE; at += step) {
        feed(r, &h, dm_view_sub(bytes, at, step));
        h.rest.len += bytes.len - at - dm_view_sub(bytes, at, step).len;
    }
    if (h.last == DM_ANSWER_MORE)
        dm_buf_add(&h.text, dm_http_response_end(r) ? DM_LIT("|closed") : DM_LIT("|cut"));
    else if (h.last == DM_ANSWER_BAD)
        dm_buf_add(&h.text, DM_LIT("|bad"));
    else
        dm_buf_addf(&h.text, "|done+%zu%s", h.rest.len,
                    dm_http_response_keep_alive(r) ? "" : " last");
    if (h.last == DM_ANSWER_DONE)
        hear_fields(&h.text, dm_http_response_trailers(r));
    memcpy(out, dm_buf_cstr(&h.text), dm_buf_view(&h.text).len + 1);
    dm_buf_done(&h.text);
    dm_http_response_free(r);
    return out;
}

enum { MAX_HEAD = 1024 };

static void expect_as(const char *answer, size_t len, bool head_method, const char *heard)
{
    for (size_t step = 1; step <= len; step = step < 8 ? step + 1 : step * 2)
        assert_string_equal(hear(dm_view_make(answer, len), step, head_method, MAX_HEAD), heard);
    assert_string_equal(hear(dm_view_make(answer, len), len, head_method, MAX_HEAD), heard);
}
#define EXPECT(answer, heard) expect_as(answer, sizeof(answer) - 1, false, heard)

static void expect_bad(const char *answer, size_t len)
{
    for (size_t step = 1; step <= len; step++) {
        const char *heard = hear(dm_view_make(answer, len), step, false, MAX_HEAD);
        const char *end = strrchr(heard, '|');
        if (end == NULL || strcmp(end, "|bad") != 0)
            fail_msg("\"%s\" by %zu gave \"%s\"", answer, step, heard);
    }
}
#define BAD(answer) expect_bad(answer, sizeof(answer) - 1)
#define OK_LINE "HTTP/1.1 200 OK\r\n"

static void a_known_length_ends_the_answer(void **state)
{
    (void)state;
    EXPECT(OK_LINE "Content-Length: 5\r\nX-A:  b c \t\r\n\r\nhello",
           "200 Content-Length=5 X-A=b c|hello|done+0");
    EXPECT(OK_LINE "Content-Length: 0\r\n\r\n", "200 Content-Length=0||done+0");
    EXPECT(OK_LINE "Content-Length: 5\r\n\r\nhel", "200 Content-Length=5|hel|cut");
    EXPECT("HTTP/1.1 404\r\nContent-Length: 1\r\n\r\nx", "404 Content-Length=1|x|done+0");
    EXPECT(OK_LINE "Empty:\r\nContent-Length: 2\r\n\r\nok",
           "200 Empty= Content-Length=2|ok|done+0");
}

static void chunks_are_joined_and_trailers_kept(void **state)
{
    (void)state;
    EXPECT(OK_LINE "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",
           "200 Transfer-Encoding=chunked|hello!|done+0");
    EXPECT(OK_LINE "Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-B: 2 \r\n\r\n",
           "200 Transfer-Encoding=CHUNKED|ok|done+0 X-Sum=1 X-B=2");
    EXPECT(OK_LINE "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
           "200 Transfer-Encoding=chunked|hel|cut");
    EXPECT(OK_LINE "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
           "200 Transfer-Encoding=chunked|ok|cut");
}

static void a_length_in_a_trailer_breaks_nothing_but_two_do(void **state)
{
    (void)state;
#define LAST OK_LINE "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    EXPECT(LAST "Content-Length: 5\r\nX-B: 2\r\n\r\nrest",
           "200 Transfer-Encoding=chunked|ok|done+4 Content-Length=5 X-B=2");
    BAD(LAST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n");
    BAD(LAST "Content-Length: x\r\n\r\n");
#undef LAST
}

static void without_a_length_the_end_of_the_connection_is_the_end(void **state)
{
    (void)state;
    EXPECT(OK_LINE "\r\nall of it", "200|all of it|closed");
    EXPECT("HTTP/1.0 200 OK\r\n\r\nold", "200|old|closed");
    EXPECT(OK_LINE "\r\n", "200||closed");
}

static void answers_without_a_body_end_with_their_head(void **state)
{
    (void)state;
    EXPECT("HTTP/1.1 204 No Content\r\n\r\n", "204||done+0");
    EXPECT("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
           "304 Content-Length=100||done+0");
    const char head[] = OK_LINE "Content-Length: 100\r\n\r\n";
    expect_as(head, sizeof head - 1, true, "200 Content-Length=100||done+0");
    const char chunked[] = OK_LINE "Transfer-Encoding: chunked\r\n\r\n";
    expect_as(chunked, sizeof chunked - 1, true, "200 Transfer-Encoding=chunked||done+0");
}

static void bytes_behind_an_answer_are_left_over(void **state)
{
    (void)state;
    const char early[] = "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_string_equal(hear(dm_view_make(early, sizeof early - 1), sizeof early, false, MAX_HEAD),
                        "204||done+19");
    const char body[] = OK_LINE "Content-Length: 3\r\n\r\nbody";
    assert_string_equal(hear(dm_view_make(body, sizeof body - 1), sizeof body, true, MAX_HEAD),
                        "200 Content-Length=3||done+4");
    const char chunks[] = OK_LINE "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nxy";
    assert_string_equal(
        hear(dm_view_make(chunks, sizeof chunks - 1), sizeof chunks, false, MAX_HEAD),
        "200 Transfer-Encoding=chunked||done+2");
}

static void the_peer_says_whether_it_goes_on(void **state)
{
    (void)state;
    EXPECT(OK_LINE "Connection: x, Close\r\nContent-Length: 0\r\n\r\n",
           "200 Connection=x, Close Content-Length=0||done+0 last");
    EXPECT("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "200 Content-Length=1|x|done+0 last");
    EXPECT("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
           "200 Connection=keep-alive Content-Length=1|x|done+0");
}

static void interim_answers_are_passed_over_or_reported(void **state)
{
    (void)state;
    EXPECT("HTTP/1.1 100 Continue\r\n\r\n" OK_LINE "Content-Length: 0\r\n\r\n",
           "200 Content-Length=0||done+0");
    EXPECT("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 P\r\n\r\n" OK_LINE
           "Content-Length: 1\r\n\r\nx",
           "i103 Link=a|i102|200 Content-Length=1|x|done+0");
    BAD("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    BAD("HTTP/1.1 103 H\r\nContent-Length: 1\r\n\r\nx");
    BAD("HTTP/1.1 103 H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

static void endless_interim_answers_are_refused(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 65536);
    for (int i = 0; i <= DM_ANSWER_INTERIM_MAX; i++)
        dm_buf_add(&b, DM_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
    dm_buf_add(&b, DM_LIT(OK_LINE "Content-Length: 0\r\n\r\n"));
    assert_string_equal(hear(dm_buf_view(&b), 7, false, MAX_HEAD), "|bad");
    dm_buf_done(&b);
}

static void two_lengths_are_refused(void **state)
{
    (void)state;
    BAD(OK_LINE "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx");
    BAD(OK_LINE "Content-Length: 2\r\nContent-Length: 2\r\n\r\nxx");
    BAD(OK_LINE "Content-Length: 2, 2\r\n\r\nxx");
    BAD(OK_LINE "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    BAD(OK_LINE "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n");
    BAD("HTTP/1.1 304 N\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n");
    BAD("HTTP/1.1 204 N\r\nContent-Length: 2\r\n\r\n");
    BAD("HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void a_length_that_is_no_number_is_refused(void **state)
{
    (void)state;
    BAD(OK_LINE "Content-Length: -1\r\n\r\n");
    BAD(OK_LINE "Content-Length: +1\r\n\r\nx");
    BAD(OK_LINE "Content-Length: 0x1\r\n\r\nx");
    BAD(OK_LINE "Content-Length: 1 1\r\n\r\nx");
    BAD(OK_LINE "Content-Length:\r\n\r\n");
    BAD(OK_LINE "Content-Length: 9223372036854775808\r\n\r\nx");
    BAD(OK_LINE "Content-Length: 18446744073709551617\r\n\r\nx");
}

static void an_encoding_that_is_not_exactly_chunked_is_refused(void **state)
{
    (void)state;
    BAD(OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    BAD(OK_LINE "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n");
    BAD(OK_LINE "Transfer-Encoding: identity\r\n\r\nx");
    BAD(OK_LINE "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n");
    BAD(OK_LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    BAD(OK_LINE "Transfer-Encoding:\r\n\r\n0\r\n\r\n");
    BAD(OK_LINE "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n");
    BAD("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

static void malformed_chunks_are_refused(void **state)
{
    (void)state;
#define CHUNKED OK_LINE "Transfer-Encoding: chunked\r\n\r\n"
    BAD(CHUNKED "x\r\n");
    BAD(CHUNKED "-1\r\nx\r\n0\r\n\r\n");
    BAD(CHUNKED "1\nx\r\n0\r\n\r\n");
    BAD(CHUNKED "1\r\nxy\r\n0\r\n\r\n");
    BAD(CHUNKED "1\r\nx\n0\r\n\r\n");
    BAD(CHUNKED "1 \r\nx\r\n0\r\n\r\n");
    BAD(CHUNKED "FFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n");
    BAD(CHUNKED "0\r\nbad trailer\r\n\r\n");
    BAD(CHUNKED "0\r\nX: a\nY: b\r\n\r\n");
}

static void obsolete_folds_are_refused(void **state)
{
    (void)state;
    BAD(OK_LINE "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n");
    BAD(OK_LINE "X-A:\r\n\tc\r\nContent-Length: 0\r\n\r\n");
    BAD(OK_LINE " X-A: b\r\nContent-Length: 0\r\n\r\n");
}

static void bare_line_feeds_and_carriage_returns_are_refused(void **state)
{
    (void)state;
    BAD("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n");
    BAD(OK_LINE "Content-Length: 0\n\r\n");
    BAD(OK_LINE "Content-Length: 0\r\n\n");
    BAD(OK_LINE "X-A: b\rc\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.1 200 OK\rX: y\r\n\r\n");
    BAD("\r\n" OK_LINE "Content-Length: 0\r\n\r\n");
}

static void control_bytes_are_refused(void **state)
{
    (void)state;
    BAD(OK_LINE "X-A: b\0c\r\nContent-Length: 0\r\n\r\n");
    BAD(OK_LINE "X\0A: b\r\nContent-Length: 0\r\n\r\n");
    BAD(OK_LINE "X-A: b\x01\r\nContent-Length: 0\r\n\r\n");
    BAD(OK_LINE "X A: b\r\nContent-Length: 0\r\n\r\n");
    BAD(OK_LINE ": b\r\nContent-Length: 0\r\n\r\n");
    BAD(OK_LINE "no colon\r\nContent-Length: 0\r\n\r\n");
}

static void a_bad_status_line_is_refused(void **state)
{
    (void)state;
    BAD("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n");
    BAD("SSH-2.0-OpenSSH_9.2\r\n");
    BAD("GET / HTTP/1.1\r\n\r\n");
    BAD("\x16\x03\x01\x02");
    BAD("hello");
}

static void an_endless_head_is_refused(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 65536);
    dm_buf_add(&b, DM_LIT(OK_LINE "X: "));
    while (dm_buf_view(&b).len < MAX_HEAD + 1)
        dm_buf_add_byte(&b, 'x');
    assert_string_equal(hear(dm_buf_view(&b), 64, false, MAX_HEAD), "|bad");
    assert_string_equal(hear(dm_buf_view(&b), 1, false, MAX_HEAD), "|bad");
    /* complete, but over the limit in one piece */
    dm_buf_add(&b, DM_LIT("\r\n\r\n"));
    assert_string_equal(hear(dm_buf_view(&b), 65536, false, MAX_HEAD), "|bad");
    dm_buf_done(&b);
}

static void too_many_fields_are_refused(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 65536);
    dm_buf_add(&b, DM_LIT(OK_LINE));
    for (int i = 0; i <= DM_ANSWER_FIELDS_MAX; i++)
        dm_buf_add(&b, DM_LIT("A: b\r\n"));
    dm_buf_add(&b, DM_LIT("\r\n"));
    assert_string_equal(hear(dm_buf_view(&b), 100, false, 65536), "|bad");
    dm_buf_done(&b);
}

static void endless_chunk_framing_is_refused(void **state)
{
    (void)state;
    static const char *const endless[] = {"000000000000", "1;extension=", "0\r\nTrailer: 1\r\n"};
    for (size_t i = 0; i < DM_COUNT_OF(endless); i++) {
        struct dm_buf b;
        dm_buf_init(&b, 65536);
        dm_buf_add(&b, DM_LIT(CHUNKED));
        dm_buf_add(&b, dm_view_of(endless[i]));
        dm_view more = i == 2 ? DM_LIT("X: y\r\n") : i == 1 ? DM_LIT("x") : DM_LIT("0");
        while (dm_buf_view(&b).len < 2 * MAX_HEAD)
            dm_buf_add(&b, more);
        for (size_t step = 1; step < 4096; step *= 3) {
            const char *heard = hear(dm_buf_view(&b), step, false, MAX_HEAD);
            assert_non_null(strstr(heard, "|bad"));
        }
        dm_buf_done(&b);
    }
}

static void many_small_chunks_are_no_endless_framing(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 65536);
    dm_buf_add(&b, DM_LIT(CHUNKED));
    for (int i = 0; i < 2000; i++)
        dm_buf_add(&b, DM_LIT("1\r\nx\r\n"));
    dm_buf_add(&b, DM_LIT("0\r\n\r\n"));
    for (size_t step = 1; step < 65536; step *= 5) {
        const char *heard = hear(dm_buf_view(&b), step, false, MAX_HEAD);
        assert_non_null(strstr(heard, "x|done+0"));
    }
    dm_buf_done(&b);
}

static void the_next_answer_allocates_nothing(void **state)
{
    (void)state;
    static const char answer[] = OK_LINE "Content-Length: 2\r\nServer: x\r\nDate: y\r\n\r\nok";
    struct dm_http_response *r = dm_http_response_new(32768);
    uint64_t before = 0;
    for (int i = 0; i < 4; i++) {
        dm_http_response_begin(r, false);
        dm_view bytes = dm_view_make(answer, sizeof answer - 1), body;
        enum dm_answer_event event;
        while ((event = dm_http_response_next(r, &bytes, &body)) != DM_ANSWER_DONE)
            assert_true(event == DM_ANSWER_HEAD || event == DM_ANSWER_BODY);
        if (i == 0)
            before = dm_mem_count();
    }
    assert_int_equal(dm_mem_count(), before);
    dm_http_response_free(r);
}

static void a_large_head_leaves_no_trace_in_the_next_one(void **state)
{
    (void)state;
    struct dm_http_response *r = dm_http_response_new(32768);
    struct dm_buf b;
    dm_buf_init(&b, 65536);
    dm_buf_add(&b, DM_LIT(OK_LINE "Content-Length: 0\r\nX: "));
    while (dm_buf_view(&b).len < 20000)
        dm_buf_add_byte(&b, 'x');
    dm_buf_add(&b, DM_LIT("\r\n\r\n"));
    struct heard h = {0};
    dm_buf_init(&h.text, 65536);
    feed(r, &h, dm_buf_view(&b));
    assert_int_equal(h.last, DM_ANSWER_DONE);
    dm_http_response_begin(r, false);
    dm_buf_clear(&h.text);
    feed(r, &h, DM_LIT("HTTP/1.1 204 N\r\nA: b\r\n\r\n"));
    assert_string_equal(dm_buf_cstr(&h.text), "204 A=b|");
    dm_buf_done(&h.text);
    dm_buf_done(&b);
    dm_http_response_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_length_ends_the_answer),
        cmocka_unit_test(chunks_are_joined_and_trailers_kept),
        cmocka_unit_test(a_length_in_a_trailer_breaks_nothing_but_two_do),
        cmocka_unit_test(without_a_length_the_end_of_the_connection_is_the_end),
        cmocka_unit_test(answers_without_a_body_end_with_their_head),
        cmocka_unit_test(bytes_behind_an_answer_are_left_over),
        cmocka_unit_test(the_peer_says_whether_it_goes_on),
        cmocka_unit_test(interim_answers_are_passed_over_or_reported),
        cmocka_unit_test(endless_interim_answers_are_refused),
        cmocka_unit_test(two_lengths_are_refused),
        cmocka_unit_test(a_length_that_is_no_number_is_refused),
        cmocka_unit_test(an_encoding_that_is_not_exactly_chunked_is_refused),
        cmocka_unit_test(malformed_chunks_are_refused),
        cmocka_unit_test(obsolete_folds_are_refused),
        cmocka_unit_test(bare_line_feeds_and_carriage_returns_are_refused),
        cmocka_unit_test(control_bytes_are_refused),
        cmocka_unit_test(a_bad_status_line_is_refused),
        cmocka_unit_test(an_endless_head_is_refused),
        cmocka_unit_test(too_many_fields_are_refused),
        cmocka_unit_test(endless_chunk_framing_is_refused),
        cmocka_unit_test(many_small_chunks_are_no_endless_framing),
        cmocka_unit_test(the_next_answer_allocates_nothing),
        cmocka_unit_test(a_large_head_leaves_no_trace_in_the_next_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

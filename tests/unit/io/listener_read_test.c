/* The reading side of a connection: heads whole and in pieces, bodies pulled, pipelining, clients
 * that leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/mem.h"
#include "front_support.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

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

static void one_request_gets_one_answer(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd, GET("/a?b=c"));
    bool closed;
    assert_string_equal(front_plain(front_read(f, fd, &closed)),
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_false(closed);
    assert_int_equal(f->n_asked, 1);
    assert_string_equal(f->asked[0].method, "GET");
    assert_string_equal(f->asked[0].target, "/a?b=c");
    assert_string_equal(f->asked[0].host, "a");
    assert_int_equal(f->asked[0].dones, 1);
    close(fd);
}

static void a_kept_connection_carries_many_requests(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    for (int i = 0; i < 20; i++) {
        front_send(f, fd, GET("/"));
        assert_int_equal(front_count(front_read(f, fd, NULL), "200 OK"), 1);
    }
    assert_int_equal(f->n_asked, 20);
    close(fd);
}

static void a_head_may_come_byte_by_byte(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    const char *rq = "POST /slow/head HTTP/1.1\r\nHost: example.org\r\nX-Request-ID: abc\r\nA: \r\n"
                     "Content-Length: 5\r\n\r\nhello";
    f->mode = FRONT_ECHO;
    for (size_t i = 0; i < strlen(rq); i++)
        front_send_bytes(f, fd, rq + i, 1);
    assert_int_equal(f->n_asked, 1);
    assert_string_equal(f->asked[0].target, "/slow/head");
    assert_string_equal(f->asked[0].request_id, "abc");
    assert_string_equal(f->asked[0].host, "example.org");
    assert_non_null(strstr(front_read(f, fd, NULL), "\r\n\r\nhello"));
    close(fd);
}

static void empty_lines_before_a_request_are_skipped(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd, "\r\n" GET("/"));
    front_send(f, fd, "\r\n\r\n" GET("/"));
    assert_int_equal(f->n_asked, 2);
    front_send(f, fd, "\r\n\r\n\r\n\r\n" GET("/"));
    assert_int_equal(f->n_asked, 2);
    assert_int_equal(front_count(front_read(f, fd, NULL), "400 Bad Request"), 1);
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    f->mode = FRONT_HOLD;
    front_send(f, fd, GET("/1") GET("/2") GET("/3"));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f->n_asked, i + 1); /* the next one waits for this answer */
        struct dm_exchange *x = f->asked[i].x;
        dm_exchange_reply(x, &(struct dm_answer){.status = 200}, x->head.target);
        front_settle(f);
    }
    const char *answers = front_plain(front_read(f, fd, NULL));
    assert_non_null(strstr(answers, "\r\n\r\n/1HTTP/1.1 200 OK"));
    assert_non_null(strstr(answers, "\r\n\r\n/2HTTP/1.1 200 OK"));
    assert_non_null(strstr(answers, "\r\n\r\n/3"));
    close(fd);
}

static void pipelined_requests_answered_at_once_do_not_recurse(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    enum { EACH = sizeof GET("/x") - 1 };
    char many[60 * EACH];
    for (int i = 0; i < 60; i++)
        memcpy(many + i * EACH, GET("/x"), EACH);
    front_send_bytes(f, fd, many, sizeof many);
    assert_int_equal(front_count(front_read(f, fd, NULL), "200 OK"), 60);
    assert_int_equal(f->n_asked, 60);
    close(fd);
}

static void a_client_that_takes_no_answers_gets_no_further_requests_served(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    f->mode = FRONT_HOLD;
    front_send(f, fd, GET("/1") GET("/2"));
    size_t size = 2 * 1024 * 1024;
    char *big = dm_mem_alloc(size);
    dm_exchange_reply(f->asked[0].x, &(struct dm_answer){.status = 200}, dm_view_make(big, size));
    front_settle(f);
    assert_int_equal(f->n_asked, 1); /* two megabytes do not fit into the socket */
    front_read(f, fd, NULL);
    assert_int_equal(f->n_asked, 2);
    assert_int_equal(f->asked[0].dones, 1);
    dm_mem_free(big);
    close(fd);
}

static void a_body_with_length_is_pulled(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    f->mode = FRONT_ECHO;
    front_send(f, fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    assert_int_equal(f->asked[0].dones, 0);
    front_send(f, fd, "56789" GET("/next"));
    assert_int_equal(f->asked[0].dones, 1);
    assert_int_equal(f->n_asked, 2);
    const char *answers = front_read(f, fd, NULL);
    assert_non_null(strstr(answers, "\r\n\r\n0123456789HTTP/1.1 200 OK"));
    close(fd);
}

static void a_chunked_body_is_pulled_whatever_its_pieces(void **state)
{
    struct front *f = *state;
    const char *rq =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
        "3\r\nabc\r\n00A\r\n0123456789\r\n1\r\n!\r\n0\r\nX-Sum: 7 \r\nContent-Type: evil\r\n"
        "X_Doorman_User: evil\r\n\r\n" GET("/next");
    f->mode = FRONT_ECHO;
    for (size_t cut = 1; cut < strlen(rq); cut += 3) {
        int fd = front_connect(f);
        f->n_asked = 0;
        front_send_bytes(f, fd, rq, cut);
        front_send(f, fd, rq + cut);
        assert_int_equal(f->n_asked, 2);
        assert_string_equal(f->asked[1].target, "/next");
        const char *answers = front_plain(front_read(f, fd, NULL));
        assert_non_null(
            strstr(answers, "X-Sum: 7\r\nContent-Length: 14\r\n\r\nabc0123456789!HTTP"));
        assert_null(strstr(answers, "evil"));
        dm_buf_done(&f->asked[0].body);
        dm_buf_done(&f->asked[1].body);
        close(fd);
        front_settle(f);
    }
    f->n_asked = 0;
}

static void chunks_out_of_order_end_the_exchange(void **state)
{
    static const char *const bodies[] = {
        "3;name=value\r\nabc\r\n0\r\n\r\n", /* extension */
        "3\nabc\r\n0\r\n\r\n",              /* bare LF */
        "3\r\nabcd\r\n0\r\n\r\n",           /* longer than said */
        "0x3\r\nabc\r\n0\r\n\r\n",
        "10000000000000000\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
    };
    struct front *f = *state;
    f->mode = FRONT_ECHO;
    for (size_t i = 0; i < DM_COUNT_OF(bodies); i++) {
        int fd = front_connect(f);
        front_send(f, fd, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        front_send(f, fd, bodies[i]);
        struct asked *a = &f->asked[f->n_asked - 1];
        assert_int_equal(a->gones, 1);
        assert_int_equal(a->why, DM_GONE_PROTOCOL);
        const char *answer = front_read(f, fd, NULL);
        assert_int_equal(front_count(answer, "HTTP/1.1 400 Bad Request\r\n"), 1);
        assert_int_equal(front_count(answer, "HTTP/1.1 "), 1);
        assert_non_null(strstr(answer, "Connection: close\r\n"));
        close(fd);
    }
    assert_int_equal(f->n_asked, DM_COUNT_OF(bodies));
}

static void too_many_or_too_large_trailers_are_refused(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_ECHO;
    char rq[16384];
    for (int large = 0; large < 2; large++) {
        int fd = front_connect(f);
        int len = snprintf(rq, sizeof rq,
                           "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
        for (int i = 0; i < (large ? 1 : 200); i++)
            len += snprintf(rq + len, sizeof rq - (size_t)len, "T%d: %0*d\r\n", i, large ? 5000 : 1,
                            i);
        front_send(f, fd, rq);
        assert_non_null(strstr(front_read(f, fd, NULL), "HTTP/1.1 431 "));
        assert_int_equal(f->asked[large].why, DM_GONE_PROTOCOL);
        close(fd);
    }
}

static void a_body_past_its_limit_is_told_at_once(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_ECHO;
    f->body_limit = 10;
    static const struct {
        const char *rq;
        const char *status;
    } cases[] = {
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", "200 OK"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n",
         "413 Content"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
         "200 OK"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
         "chunked\r\n\r\n5\r\n01234\r\n6\r\n567890",
         "413 Content"},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        int fd = front_connect(f);
        front_send(f, fd, cases[i].rq);
        bool closed;
        const char *answer = front_read(f, fd, &closed);
        assert_non_null(strstr(answer, cases[i].status));
        assert_null(strstr(answer, "100 Continue"));
        bool refused = cases[i].status[0] == '4';
        assert_int_equal(closed, refused);
        if (refused) {
            assert_non_null(
                strstr(answer, "{\"error_code\":\"REQ001\",\"error_message\":\"Request entity too "
                               "large (max: 10 bytes)\"}"));
            assert_non_null(strstr(answer, "Connection: close\r\n"));
        }
        close(fd);
    }
}

static void continue_is_sent_at_the_first_pull_only(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    f->mode = FRONT_HOLD;
    front_send(f, fd,
               "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n");
    assert_string_equal(front_read(f, fd, NULL), "");
    dm_view bytes;
    assert_int_equal(dm_exchange_pull(f->asked[0].x, &bytes), DM_AGAIN);
    assert_int_equal(dm_exchange_pull(f->asked[0].x, &bytes), DM_AGAIN);
    front_settle(f);
    assert_string_equal(front_read(f, fd, NULL), "HTTP/1.1 100 Continue\r\n\r\n");
    front_send(f, fd, "body");
    assert_int_equal(f->asked[0].bodies, 1);
    assert_int_equal(dm_exchange_pull(f->asked[0].x, &bytes), DM_OK);
    assert_memory_equal(bytes.ptr, "body", 4);
    dm_exchange_consume(f->asked[0].x, 4);
    assert_int_equal(dm_exchange_pull(f->asked[0].x, &bytes), DM_EOF);
    dm_exchange_reply(f->asked[0].x, &(struct dm_answer){.status = 201}, DM_VIEW_NONE);
    bool closed;
    assert_non_null(strstr(front_read(f, fd, &closed), "201 Created"));
    assert_false(closed);
    close(fd);
}

static void a_refusal_before_the_pull_sends_no_continue_and_closes(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd,
               "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    bool closed;
    const char *answer = front_read(f, fd, &closed);
    assert_int_equal(front_count(answer, "HTTP/1.1 "), 1);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_true(closed);
    close(fd);
}

static void a_small_unread_body_is_skipped_and_a_large_one_ends_the_connection(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16384\r\n\r\nxx");
    bool closed;
    assert_null(strstr(front_read(f, fd, &closed), "Connection: close"));
    assert_false(closed);
    char rest[16382];
    memset(rest, 'G', sizeof rest);
    front_send_bytes(f, fd, rest, sizeof rest);
    front_send(f, fd, GET("/after"));
    assert_int_equal(f->n_asked, 2);
    assert_string_equal(f->asked[1].target, "/after");
    front_read(f, fd, NULL);
    front_send(f, fd,
               "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16385\r\n\r\n" GET("/smuggled"));
    assert_non_null(strstr(front_read(f, fd, &closed), "Connection: close\r\n"));
    assert_true(closed);
    assert_int_equal(f->n_asked, 3); /* what follows is body, never a request */
    close(fd);
}

static void an_unread_chunked_body_ends_the_connection(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd,
               "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" GET("/smuggled"));
    bool closed;
    assert_non_null(strstr(front_read(f, fd, &closed), "Connection: close\r\n"));
    assert_true(closed);
    assert_int_equal(f->n_asked, 1);
    close(fd);
}

static void nothing_is_read_while_nobody_pulls(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    f->mode = FRONT_HOLD;
    f->body_limit = 10000000;
    front_send(f, fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    char block[65536];
    memset(block, 'x', sizeof block);
    size_t sent = 0;
    for (int i = 0; i < 200; i++) {
        ssize_t n = send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        front_settle(f);
    }
    assert_true(sent < 2000000); /* the socket's own buffers, no more */
    dm_view bytes;
    size_t got = 0;
    for (int i = 0; i < 1000 && got < sent; i++) {
        if (dm_exchange_pull(f->asked[0].x, &bytes) == DM_OK) {
            assert_true(bytes.len <= 65536);
            got += bytes.len;
            dm_exchange_consume(f->asked[0].x, bytes.len);
        }
        front_settle(f);
    }
    assert_int_equal(got, sent);
    assert_int_equal(f->asked[0].x->bytes_in,
                     got +
                         strlen("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n"));
    close(fd);
    front_settle(f);
    assert_int_equal(f->asked[0].gones, 1);
}

static void a_half_consumed_span_survives_the_turn(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    f->mode = FRONT_HOLD;
    front_send(f, fd,
               "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
               "8\r\nabcdefgh\r\n2\r\nij\r\n0\r\n\r\n");
    static const char *const expected[] = {"abc", "def", "gh", "ij"};
    struct dm_exchange *x = f->asked[0].x;
    dm_view bytes;
    for (size_t i = 0; i < DM_COUNT_OF(expected); i++) {
        size_t len = strlen(expected[i]);
        assert_int_equal(dm_exchange_pull(x, &bytes), DM_OK);
        assert_true(bytes.len >= len);
        assert_memory_equal(bytes.ptr, expected[i], len);
        dm_exchange_consume(x, len);
        front_settle(f);
    }
    assert_int_equal(dm_exchange_pull(x, &bytes), DM_EOF);
    dm_exchange_reply(x, &(struct dm_answer){.status = 200}, DM_VIEW_NONE);
    front_settle(f);
    close(fd);
}

static void a_client_that_leaves_while_it_waits_is_noticed(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    for (int how = 0; how < 2; how++) {
        int fd = front_connect(f);
        front_send(f, fd, GET("/wait"));
        assert_int_equal(dm_listener_inflight(f->listener), 1);
        if (how == 0)
            shutdown(fd, SHUT_WR);
        else
            close(fd);
        front_settle(f);
        assert_int_equal(f->asked[how].gones, 1);
        assert_int_equal(f->asked[how].why, DM_GONE_PEER);
        assert_int_equal(dm_listener_inflight(f->listener), 0);
        assert_int_equal(dm_listener_connections(f->listener), 0);
        if (how == 0)
            close(fd);
    }
}

static void a_client_that_leaves_inside_its_body_is_noticed(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_PULL;
    int fd = front_connect(f);
    front_send(f, fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123");
    close(fd);
    front_settle(f);
    assert_int_equal(f->asked[0].gones, 1);
    assert_int_equal(f->asked[0].why, DM_GONE_PEER);
}

static void who_announced_the_end_may_shut_its_side_and_is_answered(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    };
    for (size_t i = 0; i < DM_COUNT_OF(requests); i++) {
        int fd = front_connect(f);
        front_send(f, fd, requests[i]);
        shutdown(fd, SHUT_WR);
        front_settle(f);
        assert_int_equal(f->asked[i].gones, 0);
        dm_exchange_reply(f->asked[i].x, &(struct dm_answer){.status = 200}, DM_LIT("late"));
        bool closed;
        assert_non_null(strstr(front_read(f, fd, &closed), "\r\n\r\nlate"));
        assert_true(closed);
        close(fd);
    }
}

static void a_request_and_the_end_together_are_served_when_the_answer_is_at_hand(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    assert_int_equal(send(fd, GET("/a"), strlen(GET("/a")), 0), strlen(GET("/a")));
    shutdown(fd, SHUT_WR);
    front_settle(f);
    bool closed;
    assert_non_null(strstr(front_read(f, fd, &closed), "\r\n\r\nok"));
    assert_true(closed);
    assert_int_equal(f->asked[0].dones, 1);
    close(fd);
}

static void http_1_0_closes_unless_it_asks_to_stay(void **state)
{
    struct front *f = *state;
    bool closed;
    int fd = front_connect(f);
    front_send(f, fd, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_non_null(strstr(front_read(f, fd, &closed), "Connection: keep-alive\r\n"));
    assert_false(closed);
    front_send(f, fd, "GET / HTTP/1.0\r\n\r\n");
    assert_non_null(strstr(front_read(f, fd, &closed), "Connection: close\r\n"));
    assert_true(closed);
    close(fd);
}

static void fields_no_client_may_send_do_not_arrive(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    f->mode = FRONT_HOLD;
    front_send(
        f, fd,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Doorman-Peer: 1.2.3.4\r\nx-doorman-internal-what: x\r\n"
        "X_Doorman_Peer: 1\r\nX_Doorman_User: root\r\ncontent_length: 5\r\nX_Own: stays\r\n"
        "X-Forwarded-For: 9.9.9.9\r\n\r\n");
    const struct dm_fields *fields = &f->asked[0].x->head.fields;
    assert_int_equal(fields->count, 3);
    assert_true(dm_view_eq(dm_fields_get_name(fields, DM_LIT("x_own")), DM_LIT("stays")));
    assert_true(dm_view_eq(dm_fields_get(fields, DM_HDR_X_FORWARDED_FOR), DM_LIT("9.9.9.9")));
    dm_exchange_abort(f->asked[0].x);
    f->asked[0].x = NULL;
    close(fd);
}

static void request_ids_are_taken_or_made(void **state)
{
    struct front *f = *state;
    char long_ok[129], long_bad[130], rq[512];
    memset(long_ok, 'a', 128);
    long_ok[128] = '\0';
    memset(long_bad, 'a', 129);
    long_bad[129] = '\0';
    const struct {
        const char *name, *value;
        bool taken;
    } cases[] = {
        {"X-Request-ID", "A.b_c:d-9", true}, {"Request-ID", "other", true},
        {"X-Request-ID", long_ok, true},     {"X-Request-ID", long_bad, false},
        {"X-Request-ID", "a b", false},      {"X-Request-ID", "<script>", false},
        {"X-Request-ID", "", false},         {"request_id", "nobody", false},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        int fd = front_connect(f);
        snprintf(rq, sizeof rq, "GET / HTTP/1.1\r\nHost: a\r\n%s: %s\r\n\r\n", cases[i].name,
                 cases[i].value);
        front_send(f, fd, rq);
        const char *id = f->asked[i].request_id, *answer = front_read(f, fd, NULL);
        assert_int_equal(strcmp(id, cases[i].value) == 0, cases[i].taken);
        if (!cases[i].taken)
            assert_int_equal(strlen(id), 36);
        char line[512];
        snprintf(line, sizeof line, "\r\nX-Request-ID: %s\r\nrequest_id: %s\r\n", id, id);
        assert_non_null(strstr(answer, line));
        close(fd);
    }
}

static void an_upgrade_is_told_to_the_server(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(
        f, fd,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_int_equal(f->n_asked, 2);
    assert_true(f->asked[0].upgrade);
    assert_false(f->asked[1].upgrade); /* an offer, and we decline */
    close(fd);
}

static void read_faults_end_the_connection(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_PULL;
    int fd = front_connect(f);
    front_send(f, fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123");
    dm_fault_set(DM_FAULT_IO_READ, 1);
    front_send(f, fd, "4");
    dm_fault_set(DM_FAULT_IO_READ, 0);
    assert_int_equal(f->asked[0].gones, 1);
    assert_int_equal(dm_listener_connections(f->listener), 0);
    close(fd);
}

static void no_memory_for_a_head_is_a_refusal(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    dm_fault_set(DM_FAULT_ALLOC, 1);
    front_send(f, fd, GET("/"));
    dm_fault_set(DM_FAULT_ALLOC, 0);
    assert_int_equal(f->n_asked, 0);
    assert_non_null(strstr(front_read(f, fd, NULL), "HTTP/1.1 413 "));
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one_request_gets_one_answer),
        T(a_kept_connection_carries_many_requests),
        T(a_head_may_come_byte_by_byte),
        T(empty_lines_before_a_request_are_skipped),
        T(pipelined_requests_are_answered_in_order),
        T(pipelined_requests_answered_at_once_do_not_recurse),
        T(a_client_that_takes_no_answers_gets_no_further_requests_served),
        T(a_body_with_length_is_pulled),
        T(a_chunked_body_is_pulled_whatever_its_pieces),
        T(chunks_out_of_order_end_the_exchange),
        T(too_many_or_too_large_trailers_are_refused),
        T(a_body_past_its_limit_is_told_at_once),
        T(continue_is_sent_at_the_first_pull_only),
        T(a_refusal_before_the_pull_sends_no_continue_and_closes),
        T(a_small_unread_body_is_skipped_and_a_large_one_ends_the_connection),
        T(an_unread_chunked_body_ends_the_connection),
        T(nothing_is_read_while_nobody_pulls),
        T(a_half_consumed_span_survives_the_turn),
        T(a_client_that_leaves_while_it_waits_is_noticed),
        T(a_client_that_leaves_inside_its_body_is_noticed),
        T(who_announced_the_end_may_shut_its_side_and_is_answered),
        T(a_request_and_the_end_together_are_served_when_the_answer_is_at_hand),
        T(http_1_0_closes_unless_it_asks_to_stay),
        T(fields_no_client_may_send_do_not_arrive),
        T(request_ids_are_taken_or_made),
        T(an_upgrade_is_told_to_the_server),
        T(read_faults_end_the_connection),
        T(no_memory_for_a_head_is_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

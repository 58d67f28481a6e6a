/* Deadlines of a connection: head, body, whole body, idle, an answer nobody takes. Time is moved by
 * hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "front_support.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(length) "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"

static const char *const env[] = {
    "CLIENT_HEADER_TIMEOUT_SECONDS=10", "CLIENT_BODY_TIMEOUT_SECONDS=60",
    "CLIENT_BODY_DEADLINE_SECONDS=300", "CLIENT_IDLE_TIMEOUT_SECONDS=75", NULL};

static int setup(void **state)
{
    *state = dm_mem_alloc(sizeof(struct front));
    front_init(*state, env, 0);
    return 0;
}

static int teardown(void **state)
{
    front_done(*state);
    dm_mem_free(*state);
    return 0;
}

static void expect_408(struct front *f, int fd)
{
    bool closed;
    const char *answer = front_read(f, fd, &closed);
    assert_memory_equal(answer, "HTTP/1.1 408 Request Timeout\r\n", 30);
    assert_non_null(strstr(answer, "\"error_code\":\"GTW011\""));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_true(closed);
}

static void a_silent_new_connection_is_cut_after_the_header_timeout(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_pass(f, 9999 * DM_MS);
    assert_string_equal(front_read(f, fd, NULL), "");
    front_pass(f, 2 * DM_MS);
    expect_408(f, fd);
    assert_int_equal(front_metric(f, "doorman_client_timeouts_total", "kind=\"head\""), 1);
    close(fd);
}

static void the_first_heads_time_runs_since_accept(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_pass(f, 6 * DM_SEC);
    front_send(f, fd, "GET / HT");
    front_pass(f, 5 * DM_SEC);
    expect_408(f, fd);
    close(fd);
}

static void a_later_heads_time_runs_since_its_first_byte(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd, GET);
    front_read(f, fd, NULL);
    front_pass(f, 60 * DM_SEC);
    const char *slow = GET;
    for (int i = 0; i < 9; i++) {
        front_send_bytes(f, fd, slow + i, 1);
        front_pass(f, DM_SEC);
    }
    assert_string_equal(front_read(f, fd, NULL), "");
    front_send_bytes(f, fd, slow + 9, 1);
    front_pass(f, 1100 * DM_MS);
    expect_408(f, fd); /* however steadily it drips */
    assert_int_equal(f->n_asked, 1);
    close(fd);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    bool closed;
    for (int i = 0; i < 5; i++) { /* each request starts the time anew */
        front_send(f, fd, GET);
        front_read(f, fd, NULL);
        front_pass(f, 74 * DM_SEC);
    }
    front_read(f, fd, &closed);
    assert_false(closed);
    front_pass(f, 2 * DM_SEC);
    assert_string_equal(front_read(f, fd, &closed), "");
    assert_true(closed);
    assert_int_equal(front_metric(f, "doorman_client_timeouts_total", "kind=\"idle\""), 1);
    close(fd);
}

static void a_request_being_served_has_no_deadline_of_the_listener(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    int fd = front_connect(f);
    front_send(f, fd, GET);
    front_pass(f, 3600 * DM_SEC);
    assert_int_equal(f->asked[0].gones, 0);
    dm_exchange_reply(f->asked[0].x, &(struct dm_answer){.status = 200}, DM_LIT("late"));
    assert_non_null(strstr(front_read(f, fd, NULL), "late"));
    close(fd);
}

static void a_stalled_body_is_cut_with_408(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_PULL;
    int fd = front_connect(f);
    front_send(f, fd, POST("100"));
    for (int i = 0; i < 3; i++) {
        front_pass(f, 59 * DM_SEC);
        front_send(f, fd, "x");
    }
    assert_int_equal(f->asked[0].gones, 0);
    front_pass(f, 61 * DM_SEC);
    assert_int_equal(f->asked[0].gones, 1);
    assert_int_equal(f->asked[0].why, DM_GONE_DEADLINE);
    expect_408(f, fd);
    assert_int_equal(front_metric(f, "doorman_client_timeouts_total", "kind=\"body\""), 1);
    close(fd);
}

static void a_dripping_body_is_cut_at_its_deadline(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_PULL;
    int fd = front_connect(f);
    front_send(f, fd, POST("1000"));
    for (int i = 0; i < 29; i++) {
        front_pass(f, 10 * DM_SEC);
        front_send(f, fd, "x");
        assert_int_equal(f->asked[0].gones, 0);
    }
    front_pass(f, 11 * DM_SEC);
    assert_int_equal(f->asked[0].gones, 1);
    expect_408(f, fd);
    close(fd);
}

static void time_in_which_nobody_reads_does_not_count(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    int fd = front_connect(f);
    front_send(f, fd, POST("4"));
    front_pass(f, 1000 * DM_SEC);
    assert_int_equal(f->asked[0].gones, 0);
    dm_view bytes;
    assert_int_equal(dm_exchange_pull(f->asked[0].x, &bytes), DM_AGAIN);
    front_settle(f);
    front_pass(f, 59 * DM_SEC);
    front_send(f, fd, "ab");
    front_pass(f, 1000 * DM_SEC); /* on_body was told, nobody came for it */
    assert_int_equal(f->asked[0].gones, 0);
    assert_int_equal(dm_exchange_pull(f->asked[0].x, &bytes), DM_OK);
    dm_exchange_consume(f->asked[0].x, 2);
    assert_int_equal(dm_exchange_pull(f->asked[0].x, &bytes), DM_AGAIN);
    front_settle(f);
    front_pass(f, 61 * DM_SEC);
    assert_int_equal(f->asked[0].gones, 1);
    close(fd);
}

static void a_stalled_body_behind_an_answer_is_cut_without_a_second_one(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    int fd = front_connect(f);
    front_send(f, fd, POST("4"));
    dm_exchange_answer(f->asked[0].x,
                       &(struct dm_answer){.status = 200, .length = DM_LENGTH_UNKNOWN});
    dm_view bytes;
    assert_int_equal(dm_exchange_pull(f->asked[0].x, &bytes), DM_AGAIN);
    front_settle(f);
    front_pass(f, 61 * DM_SEC);
    assert_int_equal(f->asked[0].why, DM_GONE_DEADLINE);
    bool closed;
    assert_int_equal(front_count(front_read(f, fd, &closed), "HTTP/1.1 "), 1);
    assert_true(closed);
    close(fd);
}

static void the_rest_of_a_body_nobody_wanted_has_its_time_too(void **state)
{
    struct front *f = *state;
    int fd = front_connect(f);
    front_send(f, fd, POST("10") "12345");
    front_pass(f, 59 * DM_SEC);
    front_send(f, fd, "6"); /* one time for all of it */
    front_pass(f, 2 * DM_SEC);
    bool closed;
    front_read(f, fd, &closed);
    assert_true(closed);
    close(fd);
}

static void a_client_that_takes_nothing_of_its_answer_is_cut(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    int fd = front_connect(f);
    front_send(f, fd, GET);
    size_t size = 8 * 1024 * 1024;
    char *big = dm_mem_alloc(size);
    dm_exchange_reply(f->asked[0].x, &(struct dm_answer){.status = 200}, dm_view_make(big, size));
    dm_mem_free(big);
    front_settle(f);
    for (int i = 0; i < 3; i++) { /* as long as it takes some, it is only slow */
        front_pass(f, 50 * DM_SEC);
        char some[200000];
        assert_true(recv(fd, some, sizeof some, MSG_DONTWAIT) > 0);
        front_settle(f);
    }
    assert_int_equal(f->asked[0].gones, 0);
    front_pass(f, 61 * DM_SEC);
    assert_int_equal(f->asked[0].gones, 1);
    assert_int_equal(f->asked[0].why, DM_GONE_DEADLINE);
    assert_int_equal(front_metric(f, "doorman_client_timeouts_total", "kind=\"write\""), 1);
    assert_int_equal(dm_listener_connections(f->listener), 0);
    close(fd);
}

static void a_finished_answer_nobody_takes_is_cut_too(void **state)
{
    struct front *f = *state;
    f->mode = FRONT_HOLD;
    int fd = front_connect(f);
    int small = 4096;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    front_send(f, fd, GET);
    struct dm_exchange *x = f->asked[0].x;
    char block[65536] = "";
    dm_exchange_answer(x, &(struct dm_answer){.status = 200, .length = DM_LENGTH_UNKNOWN});
    while (dm_exchange_push(x, dm_view_make(block, sizeof block)) == sizeof block)
        ;
    dm_exchange_finish(x);
    front_settle(f);
    assert_int_equal(f->asked[0].dones, 1); /* buffered by the carrier */
    assert_int_equal(dm_listener_connections(f->listener), 1);
    front_pass(f, 61 * DM_SEC);
    assert_int_equal(dm_listener_connections(f->listener), 0);
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_silent_new_connection_is_cut_after_the_header_timeout),
        T(the_first_heads_time_runs_since_accept),
        T(a_later_heads_time_runs_since_its_first_byte),
        T(an_idle_connection_is_closed_without_a_word),
        T(a_request_being_served_has_no_deadline_of_the_listener),
        T(a_stalled_body_is_cut_with_408),
        T(a_dripping_body_is_cut_at_its_deadline),
        T(time_in_which_nobody_reads_does_not_count),
        T(a_stalled_body_behind_an_answer_is_cut_without_a_second_one),
        T(the_rest_of_a_body_nobody_wanted_has_its_time_too),
        T(a_client_that_takes_nothing_of_its_answer_is_cut),
        T(a_finished_answer_nobody_takes_is_cut_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

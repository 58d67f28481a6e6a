#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/mem.h"
#include "io/stream.h"

static struct dm_loop *loop;
static struct dm_stream stream;
static int other, events;

static void on_event(struct dm_io *io, uint32_t e)
{
    dm_stream_note(DM_CONTAINER_OF(io, struct dm_stream, io), e);
    events++;
}

static void settle(void)
{
    for (int i = 0; i < 3; i++)
        (void)dm_loop_turn(loop, 0);
}

static int setup(void **state)
{
    (void)state;
    int fds[2];
    loop = dm_loop_new(&dm_clock_system);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    dm_stream_open(&stream, loop, fds[0], on_event);
    other = fds[1];
    settle();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_stream_close(&stream);
    dm_stream_close(&stream);
    if (other >= 0)
        close(other);
    dm_loop_free(loop);
    return 0;
}

static enum dm_code read_some(char *buf, size_t size, size_t *ret_len)
{
    memset(buf, 0, size);
    return dm_stream_read(&stream, buf, size - 1, ret_len);
}

static void a_short_read_says_again_without_asking_the_kernel(void **state)
{
    (void)state;
    char buf[16];
    size_t len;
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_AGAIN);
    assert_int_equal(write(other, "abc", 3), 3);
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_AGAIN); /* no event came yet */
    settle();
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_OK);
    assert_string_equal(buf, "abc");
    assert_false(stream.readable_);
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_AGAIN);
}

static void a_full_read_reads_on(void **state)
{
    (void)state;
    char buf[4];
    size_t len;
    assert_int_equal(write(other, "abcdef", 6), 6);
    settle();
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_OK);
    assert_string_equal(buf, "abc");
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_OK);
    assert_string_equal(buf, "def");
    assert_int_equal(read_some(buf, sizeof buf, &len),
                     DM_AGAIN); /* exactly full: asked, and nothing */
}

static void an_end_announced_together_with_the_last_bytes_is_not_missed(void **state)
{
    (void)state;
    char buf[16];
    size_t len;
    assert_int_equal(write(other, "abc", 3), 3);
    shutdown(other, SHUT_WR);
    settle();
    assert_true(stream.fin_);
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_OK);
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_EOF);
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_EOF);
}

static void an_end_after_the_last_bytes_is_an_event(void **state)
{
    (void)state;
    char buf[16];
    size_t len;
    assert_int_equal(write(other, "abc", 3), 3);
    settle();
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_OK);
    close(other);
    other = -1;
    settle();
    assert_true(stream.broken_);
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_EOF);
}

static void a_write_takes_what_fits_and_waits_for_room(void **state)
{
    (void)state;
    static char big[4 * 1024 * 1024], sink[1024 * 1024];
    struct iovec iov[2] = {{big, 10}, {big, sizeof big - 10}};
    size_t sent, total = 0;
    memset(big, 'x', sizeof big);
    assert_int_equal(dm_stream_write(&stream, iov, 2, &sent), DM_AGAIN);
    assert_true(sent > 10 && sent < sizeof big);
    size_t first = sent;
    assert_int_equal(dm_stream_write(&stream, iov, 2, &sent),
                     DM_AGAIN); /* without asking the kernel */
    assert_int_equal(sent, 0);
    for (ssize_t n; (n = read(other, sink, sizeof sink)) > 0;)
        total += (size_t)n;
    assert_int_equal(total, first);
    settle();
    assert_true(stream.writable_);
    assert_int_equal(dm_stream_write(&stream, iov, 1, &sent), DM_OK);
    assert_int_equal(sent, 10);
}

static void writing_to_nobody_is_unavailable_and_no_signal(void **state)
{
    (void)state;
    struct iovec iov = {(char *)"x", 1};
    size_t sent;
    close(other);
    other = -1;
    assert_int_equal(dm_stream_write(&stream, &iov, 1, &sent), DM_UNAVAILABLE);
}

static void a_closed_stream_is_unavailable(void **state)
{
    (void)state;
    char buf[4];
    size_t len;
    struct iovec iov = {(char *)"x", 1};
    dm_stream_reset(&stream);
    assert_false(dm_stream_is_open(&stream));
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_UNAVAILABLE);
    assert_int_equal(dm_stream_write(&stream, &iov, 1, &len), DM_UNAVAILABLE);
    assert_int_equal(dm_stream_connected(&stream), DM_UNAVAILABLE);
    dm_stream_shutdown(&stream);
    dm_stream_reset(&stream);
    assert_int_equal(read(other, buf, 1), 0);
}

static void shutting_down_ends_one_way_only(void **state)
{
    (void)state;
    char buf[4];
    size_t len;
    dm_stream_shutdown(&stream);
    assert_int_equal(read(other, buf, 1), 0);
    assert_int_equal(write(other, "x", 1), 1);
    settle();
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_OK);
}

static void faults_are_injected_where_the_kernel_would_fail(void **state)
{
    (void)state;
    char buf[4];
    size_t len;
    struct iovec iov[2] = {{(char *)"", 0}, {(char *)"abc", 3}};
    assert_int_equal(write(other, "x", 1), 1);
    settle();
    dm_fault_set(DM_FAULT_IO_READ, 1);
    assert_int_equal(read_some(buf, sizeof buf, &len), DM_UNAVAILABLE);
    dm_fault_set(DM_FAULT_IO_WRITE, 1);
    assert_int_equal(dm_stream_write(&stream, iov, 2, &len), DM_UNAVAILABLE);
    dm_fault_set(DM_FAULT_IO_SHORT, 1);
    assert_int_equal(dm_stream_write(&stream, iov, 2, &len), DM_AGAIN);
    assert_int_equal(len, 1);
    assert_int_equal(read(other, buf, sizeof buf), 1);
    assert_int_equal(buf[0], 'a');
}

static enum dm_code wait_connected(struct dm_stream *s)
{
    enum dm_code rc;
    while ((rc = dm_stream_connected(s)) == DM_AGAIN)
        (void)dm_loop_turn(loop, 100 * DM_MS);
    return rc;
}

static void connecting_tells_success_and_refusal(void **state)
{
    (void)state;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    struct dm_stream s;
    assert_int_equal(dm_stream_connect(&s, loop, (struct sockaddr *)&addr, len, on_event), DM_OK);
    assert_int_equal(wait_connected(&s), DM_OK);
    dm_stream_close(&s);
    close(listener);
    enum dm_code rc = dm_stream_connect(&s, loop, (struct sockaddr *)&addr, len, on_event);
    if (rc == DM_OK)
        rc = wait_connected(&s);
    assert_int_equal(rc, DM_UNAVAILABLE);
    dm_stream_close(&s);
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    assert_int_equal(dm_stream_connect(&s, loop, (struct sockaddr *)&un, sizeof un, on_event),
                     DM_UNAVAILABLE);
    assert_false(dm_stream_is_open(&s));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_short_read_says_again_without_asking_the_kernel),
        T(a_full_read_reads_on),
        T(an_end_announced_together_with_the_last_bytes_is_not_missed),
        T(an_end_after_the_last_bytes_is_an_event),
        T(a_write_takes_what_fits_and_waits_for_room),
        T(writing_to_nobody_is_unavailable_and_no_signal),
        T(a_closed_stream_is_unavailable),
        T(shutting_down_ends_one_way_only),
        T(faults_are_injected_where_the_kernel_would_fail),
        T(connecting_tells_success_and_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

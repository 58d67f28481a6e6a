#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log_sink.h"
#include "scratch.h"

static struct dm_log_console console;
static int ends[2]; /* reader, writer */

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    dm_log_console_init(&console);
    return pipe(ends);
}

static int teardown(void **state)
{
    (void)state;
    dm_log_console_done(&console);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static size_t read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((n = read(fd, out + len, size - len)) > 0)
        len += (size_t)n;
    return len;
}

static void many_lines_leave_together(void **state)
{
    (void)state;
    char text[64] = "";
    dm_log_console_open(&console, ends[1]);
    dm_log_console_add(&console, DM_LOG_INFO, DM_LIT("one"));
    dm_log_console_add(&console, DM_LOG_INFO, DM_LIT("two"));
    assert_int_equal(read_all(ends[0], text, sizeof text), 0);
    assert_true(dm_log_console_waits(&console));
    dm_log_console_flush(&console, 0);
    assert_false(dm_log_console_waits(&console));
    assert_int_equal(read_all(ends[0], text, sizeof text), 8);
    assert_string_equal(text, "one\ntwo\n");
}

/* A pipe whose reader has stopped: nothing here may block, what waits is bounded, errors get a
 * share of their own, and when the reader comes back it gets whole lines in order. */
static void a_reader_that_stopped_holds_up_nobody(void **state)
{
    (void)state;
    static char got[8 << 20];
    char line[100];
    uint64_t before = dm_log_dropped();
    memset(line, 'x', sizeof line);
    dm_log_console_open(&console, ends[1]);
    for (int i = 0; i < 30000; i++)
        dm_log_console_add(&console, DM_LOG_INFO, dm_view_make(line, sizeof line));
    uint64_t info_dropped = dm_log_dropped() - before;
    assert_in_range(info_dropped, 15000, 29000);
    for (int i = 0; i < 1000; i++)
        dm_log_console_add(&console, DM_LOG_ERROR, DM_LIT("error"));
    assert_int_equal(dm_log_dropped() - before, info_dropped);

    size_t len = 0;
    while (dm_log_console_waits(&console)) {
        len += read_all(ends[0], got + len, sizeof got - len);
        dm_log_console_flush(&console, 0);
    }
    len += read_all(ends[0], got + len, sizeof got - len);
    got[len] = '\0';
    assert_int_equal(count_of(got, "error\n"), 1000);
    assert_int_equal(count_of(got, "\n"), 31000 - info_dropped);
    assert_int_equal(len, (30000 - info_dropped) * 101 + 6000);
}

static void a_reader_that_left_costs_lines_that_are_counted(void **state)
{
    (void)state;
    uint64_t before = dm_log_dropped();
    dm_log_console_open(&console, ends[1]);
    close(ends[0]);
    ends[0] = -1;
    dm_log_console_add(&console, DM_LOG_INFO, DM_LIT("one"));
    dm_log_console_flush(&console, 0);
    assert_int_equal(dm_log_dropped() - before, 1);
    assert_false(dm_log_console_waits(&console));
}

static void files_and_sockets_are_consoles_too(void **state)
{
    (void)state;
    char text[64] = "";
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    dm_log_console_open(&console, pair[0]);
    dm_log_console_add(&console, DM_LOG_INFO, DM_LIT("to a socket"));
    dm_log_console_flush(&console, 0);
    assert_int_equal(read_all(pair[1], text, sizeof text), 12);
    close(pair[0]);
    close(pair[1]);

    scratch_make();
    int fd = open(scratch_path("out"), O_WRONLY | O_CREAT, 0600);
    dm_log_console_open(&console, fd);
    dm_log_console_add(&console, DM_LOG_INFO, DM_LIT("to a file"));
    dm_log_console_flush(&console, 0);
    char *file = scratch_read("out");
    assert_string_equal(file, "to a file\n");
    dm_mem_free(file);
    close(fd);
    scratch_remove();
}

static void without_a_console_nothing_waits(void **state)
{
    (void)state;
    dm_log_console_open(&console, -1);
    dm_log_console_add(&console, DM_LOG_ERROR, DM_LIT("one"));
    assert_false(dm_log_console_waits(&console));
    dm_log_console_flush(&console, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_lines_leave_together, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_stopped_holds_up_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_left_costs_lines_that_are_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(files_and_sockets_are_consoles_too, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_console_nothing_waits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

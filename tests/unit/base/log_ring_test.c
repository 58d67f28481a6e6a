#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log_sink.h"

struct seen {
    int n, first, last;
    size_t bytes;
};

static void look(void *ctx, dm_view line)
{
    struct seen *s = ctx;
    uint64_t number;
    assert_true(
        dm_parse_u64(dm_view_sub(line, 0, dm_view_find_byte(line, ' ', 0)), 1 << 20, &number));
    if (s->n > 0)
        assert_int_equal(number, s->last + 1); /* oldest first, none missing */
    else
        s->first = (int)number;
    s->last = (int)number;
    s->bytes += line.len;
    s->n++;
}

static struct seen recent(size_t max)
{
    struct seen s = {0};
    dm_log_ring_recent(max, look, &s);
    return s;
}

static void add(int number, size_t padding)
{
    static char text[70000];
    int len = snprintf(text, sizeof text, "%d ", number);
    memset(text + len, 'x', padding);
    dm_log_ring_add(dm_view_make(text, (size_t)len + padding));
}

static int setup(void **state)
{
    (void)state;
    dm_log_ring_open(100);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_log_ring_open(0);
    return 0;
}

static void the_last_lines_are_kept(void **state)
{
    (void)state;
    for (int i = 0; i < 250; i++)
        add(i, 10);
    struct seen s = recent(1000);
    assert_int_equal(s.n, 100);
    assert_int_equal(s.first, 150);
    assert_int_equal(s.last, 249);
    s = recent(3);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.first, 247);
    assert_int_equal(recent(0).n, 0);
}

static void long_lines_make_it_hold_fewer(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++)
        add(i, 5000);
    struct seen s = recent(1000);
    assert_in_range(s.n, 8, 10); /* 100 lines of 512 bytes are its room */
    assert_int_equal(s.last, 199);
}

static void lines_of_any_length_leave_the_others_whole(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < 5000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        add(i, (size_t)(random >> 33) % (i % 10 == 0 ? 20000 : 300));
        struct seen s = recent(1000);
        assert_int_equal(s.last, i);
        assert_true(s.bytes <= 100 * 512);
    }
}

static void a_line_longer_than_the_ring_is_not_kept(void **state)
{
    (void)state;
    add(1, 10);
    add(2, 60000);
    assert_int_equal(recent(10).last, 1);
}

static void a_closed_ring_is_empty(void **state)
{
    (void)state;
    dm_log_ring_open(0);
    add(1, 10);
    assert_int_equal(recent(10).n, 0);
}

static void the_same_size_again_keeps_the_lines(void **state)
{
    (void)state;
    add(1, 10);
    dm_log_ring_open(100);
    assert_int_equal(recent(10).n, 1);
    dm_log_ring_open(200);
    assert_int_equal(recent(10).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_lines_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(long_lines_make_it_hold_fewer, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_of_any_length_leave_the_others_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_longer_than_the_ring_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_ring_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_size_again_keeps_the_lines, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

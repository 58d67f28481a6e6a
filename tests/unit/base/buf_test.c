#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"

#include "base/mem.h"

static void appends_are_joined_in_order(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 1000);
    dm_buf_add(&b, DM_LIT("x="));
    dm_buf_add_u64(&b, UINT64_MAX);
    dm_buf_add_byte(&b, ' ');
    dm_buf_add_i64(&b, INT64_MIN);
    dm_buf_addf(&b, " %s-%d", "y", 7);
    dm_buf_add(&b, DM_VIEW_NONE);
    assert_string_equal(dm_buf_cstr(&b), "x=18446744073709551615 -9223372036854775808 y-7");
    assert_true(dm_buf_ok(&b));
    dm_buf_done(&b);
}

static void the_cap_is_reached_and_never_passed(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 300);
    for (int i = 0; i < 300; i++)
        dm_buf_add_byte(&b, 'a');
    assert_true(dm_buf_ok(&b));
    dm_buf_add_byte(&b, 'b');
    assert_false(dm_buf_ok(&b));
    assert_int_equal(dm_buf_view(&b).len, 300);
    assert_null(dm_buf_cstr(&b));
    dm_buf_done(&b);
}

static void after_a_failure_nothing_is_appended_any_more(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 4);
    dm_buf_add(&b, DM_LIT("abc"));
    dm_buf_add(&b, DM_LIT("de"));
    dm_buf_add(&b, DM_LIT("f")); /* would fit, and leave a hole in the text */
    assert_true(dm_view_eq(dm_buf_view(&b), DM_LIT("abc")));
    assert_false(dm_buf_ok(&b));
    dm_buf_clear(&b);
    dm_buf_add(&b, DM_LIT("fghi"));
    assert_true(dm_buf_ok(&b));
    assert_true(dm_view_eq(dm_buf_view(&b), DM_LIT("fghi")));
    dm_buf_done(&b);
}

static void a_format_longer_than_the_cap_fails(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 5);
    dm_buf_addf(&b, "%s", "12345");
    assert_true(dm_buf_ok(&b));
    dm_buf_addf(&b, "%d", 6);
    assert_false(dm_buf_ok(&b));
    assert_true(dm_view_eq(dm_buf_view(&b), DM_LIT("12345")));
    dm_buf_done(&b);
}

static void huge_lengths_do_not_overflow(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, SIZE_MAX);
    dm_buf_add_byte(&b, 'a');
    assert_null(dm_buf_reserve(&b, SIZE_MAX));
    assert_false(dm_buf_ok(&b));
    dm_buf_done(&b);
}

static void reserved_room_counts_once_committed(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 1 << 20);
    char *at = dm_buf_reserve(&b, 1000);
    assert_non_null(at);
    memset(at, 'z', 1000);
    assert_int_equal(dm_buf_view(&b).len, 0);
    dm_buf_commit(&b, 999);
    assert_int_equal(dm_buf_view(&b).len, 999);
    dm_buf_done(&b);
}

static void dropping_takes_from_the_front(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 10);
    dm_buf_add(&b, DM_LIT("hello"));
    dm_buf_drop(&b, 2);
    assert_true(dm_view_eq(dm_buf_view(&b), DM_LIT("llo")));
    dm_buf_drop(&b, 0);
    dm_buf_drop(&b, 3);
    assert_int_equal(dm_buf_view(&b).len, 0);
    dm_buf_done(&b);
}

static void a_text_with_a_zero_byte_is_no_c_string(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 10);
    assert_string_equal(dm_buf_cstr(&b), "");
    dm_buf_add(&b, DM_LIT("a\0b"));
    assert_null(dm_buf_cstr(&b));
    dm_buf_done(&b);
}

static void taking_moves_the_bytes_out(void **state)
{
    (void)state;
    struct dm_buf b;
    size_t len = 99;
    dm_buf_init(&b, 10);
    dm_buf_add(&b, DM_LIT("abc"));
    char *taken = dm_buf_take(&b, &len);
    assert_string_equal(taken, "abc");
    assert_int_equal(len, 3);
    dm_mem_free(taken);
    taken = dm_buf_take(&b, NULL); /* it is as after init again */
    assert_string_equal(taken, "");
    dm_mem_free(taken);
    dm_buf_add(&b, DM_LIT("12345678901"));
    assert_null(dm_buf_take(&b, &len));
    assert_int_equal(len, 3);
}

static void done_is_fine_for_null_and_twice(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 10);
    dm_buf_add(&b, DM_LIT("abc"));
    dm_buf_done(&b);
    dm_buf_done(&b);
    dm_buf_done(NULL);
    assert_int_equal(dm_buf_view(&b).len, 0);
}

static void clearing_keeps_the_memory(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 10000);
    dm_buf_addf(&b, "%01000d", 1);
    uint64_t before = dm_mem_count();
    dm_buf_clear(&b);
    dm_buf_addf(&b, "%01000d", 2);
    assert_int_equal(dm_mem_count() - before, 0);
    dm_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_are_joined_in_order),
        cmocka_unit_test(the_cap_is_reached_and_never_passed),
        cmocka_unit_test(after_a_failure_nothing_is_appended_any_more),
        cmocka_unit_test(a_format_longer_than_the_cap_fails),
        cmocka_unit_test(huge_lengths_do_not_overflow),
        cmocka_unit_test(reserved_room_counts_once_committed),
        cmocka_unit_test(dropping_takes_from_the_front),
        cmocka_unit_test(a_text_with_a_zero_byte_is_no_c_string),
        cmocka_unit_test(taking_moves_the_bytes_out),
        cmocka_unit_test(done_is_fine_for_null_and_twice),
        cmocka_unit_test(clearing_keeps_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

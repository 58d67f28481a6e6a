#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/view.h"

static void a_view_of_null_is_empty(void **state)
{
    (void)state;
    assert_int_equal(dm_view_of(NULL).len, 0);
    assert_null(dm_view_of(NULL).ptr);
    assert_int_equal(dm_view_of("abc").len, 3);
}

static void equality_compares_bytes_and_length(void **state)
{
    (void)state;
    assert_true(dm_view_eq(DM_LIT("ab\0c"), DM_LIT("ab\0c")));
    assert_false(dm_view_eq(DM_LIT("ab\0c"), DM_LIT("ab\0d")));
    assert_false(dm_view_eq(DM_LIT("ab"), DM_LIT("abc")));
    assert_true(dm_view_eq(DM_VIEW_NONE, DM_LIT("")));
}

static void case_is_ignored_for_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(dm_view_eq_nocase(DM_LIT("Content-TYPE"), DM_LIT("content-type")));
    assert_false(dm_view_eq_nocase(DM_LIT("@["), DM_LIT("`{")));
    assert_false(dm_view_eq_nocase(DM_LIT("\xC4"), DM_LIT("\xE4")));
    assert_false(dm_view_eq_nocase(DM_LIT("a"), DM_LIT("ab")));
}

static void prefix_and_suffix_are_found(void **state)
{
    (void)state;
    assert_true(dm_view_starts(DM_LIT("/api/x"), DM_LIT("/api")));
    assert_true(dm_view_starts(DM_LIT(""), DM_VIEW_NONE));
    assert_false(dm_view_starts(DM_LIT("/ap"), DM_LIT("/api")));
    assert_true(dm_view_ends(DM_LIT("/v1/*"), DM_LIT("/*")));
    assert_false(dm_view_ends(DM_LIT("*"), DM_LIT("/*")));
    assert_true(dm_view_ends(DM_VIEW_NONE, DM_LIT("")));
}

static void order_is_bytewise_then_by_length(void **state)
{
    (void)state;
    assert_true(dm_view_cmp(DM_LIT("a"), DM_LIT("b")) < 0);
    assert_true(dm_view_cmp(DM_LIT("ab"), DM_LIT("a")) > 0);
    assert_true(dm_view_cmp(DM_LIT("\xff"), DM_LIT("a")) > 0);
    assert_int_equal(dm_view_cmp(DM_VIEW_NONE, DM_LIT("")), 0);
}

static void search_gives_the_length_when_nothing_is_found(void **state)
{
    (void)state;
    assert_int_equal(dm_view_find_byte(DM_LIT("a,b,c"), ',', 0), 1);
    assert_int_equal(dm_view_find_byte(DM_LIT("a,b,c"), ',', 2), 3);
    assert_int_equal(dm_view_find_byte(DM_LIT("a,b,c"), 'x', 0), 5);
    assert_int_equal(dm_view_find_byte(DM_LIT("a,b,c"), 'a', 99), 5);
    assert_int_equal(dm_view_find_byte(DM_VIEW_NONE, 'a', 0), 0);
    assert_int_equal(dm_view_find(DM_LIT("hello"), DM_LIT("ll")), 2);
    assert_int_equal(dm_view_find(DM_LIT("hello"), DM_LIT("lol")), 5);
    assert_int_equal(dm_view_find(DM_LIT("he"), DM_LIT("hello")), 2);
    assert_int_equal(dm_view_find(DM_LIT("he"), DM_LIT("")), 0);
}

static void a_part_is_clamped_to_its_view(void **state)
{
    (void)state;
    assert_true(dm_view_eq(dm_view_sub(DM_LIT("hello"), 1, 3), DM_LIT("ell")));
    assert_true(dm_view_eq(dm_view_sub(DM_LIT("hello"), 3, 99), DM_LIT("lo")));
    assert_true(dm_view_eq(dm_view_sub(DM_LIT("hello"), 9, 1), DM_LIT("")));
    assert_true(dm_view_eq(dm_view_sub(DM_LIT("hello"), 1, SIZE_MAX), DM_LIT("ello")));
    assert_null(dm_view_sub(DM_VIEW_NONE, 1, 1).ptr);
}

static void trim_takes_blanks_and_tabs_only(void **state)
{
    (void)state;
    assert_true(dm_view_eq(dm_view_trim(DM_LIT(" \t a b\t ")), DM_LIT("a b")));
    assert_true(dm_view_eq(dm_view_trim(DM_LIT("\r\na")), DM_LIT("\r\na")));
    assert_true(dm_view_eq(dm_view_trim(DM_LIT(" \t")), DM_LIT("")));
}

static void split_gives_every_piece_also_empty_ones(void **state)
{
    (void)state;
    dm_view rest = DM_LIT("a,,b,"), piece;
    const char *const expected[] = {"a", "", "b", ""};
    for (size_t i = 0; i < 4; i++) {
        assert_true(dm_view_split(&rest, ',', &piece));
        assert_true(dm_view_eq(piece, dm_view_of(expected[i])));
    }
    assert_false(dm_view_split(&rest, ',', &piece));

    rest = DM_LIT("");
    assert_true(dm_view_split(&rest, ',', &piece));
    assert_int_equal(piece.len, 0);
    assert_false(dm_view_split(&rest, ',', &piece));
    rest = DM_VIEW_NONE;
    assert_false(dm_view_split(&rest, ',', &piece));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_of_null_is_empty),
        cmocka_unit_test(equality_compares_bytes_and_length),
        cmocka_unit_test(case_is_ignored_for_ascii_letters_only),
        cmocka_unit_test(prefix_and_suffix_are_found),
        cmocka_unit_test(order_is_bytewise_then_by_length),
        cmocka_unit_test(search_gives_the_length_when_nothing_is_found),
        cmocka_unit_test(a_part_is_clamped_to_its_view),
        cmocka_unit_test(trim_takes_blanks_and_tabs_only),
        cmocka_unit_test(split_gives_every_piece_also_empty_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

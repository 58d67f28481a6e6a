#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/view.h"

static void well_formed_text_is_valid(void **state)
{
    (void)state;
    assert_true(dm_utf8_valid(DM_LIT("")));
    assert_true(dm_utf8_valid(DM_LIT("a\0b")));
    assert_true(dm_utf8_valid(DM_LIT("\xC2\x80 \xDF\xBF")));
    assert_true(dm_utf8_valid(DM_LIT("\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xEF\xBF\xBF")));
    assert_true(dm_utf8_valid(DM_LIT("\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF")));
}

static void overlong_surrogate_and_cut_sequences_are_refused(void **state)
{
    (void)state;
    static const dm_view bad[] = {
        {"\x80", 1},
        {"\xC0\x80", 2},
        {"\xC1\xBF", 2},
        {"\xE0\x9F\xBF", 3},
        {"\xED\xA0\x80", 3},
        {"\xF0\x8F\xBF\xBF", 4},
        {"\xF4\x90\x80\x80", 4},
        {"\xF5\x80\x80\x80", 4},
        {"\xC2", 1},
        {"\xE2\x82", 2},
        {"\xF0\x9F\x98", 3},
        {"\xC2\x41", 2},
        {"\xE2\x82\x41", 3},
        {"\xFF", 1},
        {"\xE2\x28\xA1", 3},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(dm_utf8_valid(bad[i]));
}

static void every_code_point_of_two_bytes_is_judged_right(void **state)
{
    (void)state;
    for (unsigned first = 0x80; first < 0x100; first++) {
        for (unsigned second = 0; second < 0x100; second++) {
            char text[2] = {(char)first, (char)second};
            bool good = first >= 0xC2 && first <= 0xDF && second >= 0x80 && second <= 0xBF;
            assert_int_equal(dm_utf8_step(dm_view_make(text, 2), 0), good ? 2 : 0);
        }
    }
}

static void points_are_counted_not_bytes(void **state)
{
    (void)state;
    assert_int_equal(dm_utf8_count(DM_LIT("")), 0);
    assert_int_equal(dm_utf8_count(DM_LIT("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80")), 4);
}

static void a_cut_never_splits_a_point(void **state)
{
    (void)state;
    dm_view text = DM_LIT("a\xC3\xA4\xE2\x82\xAC"
                          "b");
    assert_true(dm_view_eq(dm_utf8_cut(text, 0), DM_LIT("")));
    assert_true(dm_view_eq(dm_utf8_cut(text, 2), DM_LIT("a\xC3\xA4")));
    assert_true(dm_view_eq(dm_utf8_cut(text, 3), DM_LIT("a\xC3\xA4\xE2\x82\xAC")));
    assert_true(dm_view_eq(dm_utf8_cut(text, 4), text));
    assert_true(dm_view_eq(dm_utf8_cut(text, 99), text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_text_is_valid),
        cmocka_unit_test(overlong_surrogate_and_cut_sequences_are_refused),
        cmocka_unit_test(every_code_point_of_two_bytes_is_judged_right),
        cmocka_unit_test(points_are_counted_not_bytes),
        cmocka_unit_test(a_cut_never_splits_a_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

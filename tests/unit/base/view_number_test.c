#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/view.h"

static void whole_numbers_are_read(void **state)
{
    (void)state;
    uint64_t n = 1;
    assert_true(dm_parse_u64(DM_LIT("0"), 10, &n));
    assert_int_equal(n, 0);
    assert_true(dm_parse_u64(DM_LIT("18446744073709551615"), UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
    assert_true(dm_parse_u64(DM_LIT("007"), 10, &n));
    assert_int_equal(n, 7);
}

static void what_is_no_whole_number_is_refused_and_writes_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1a",
                                      "0x1",
                                      "1.0",
                                      "18446744073709551616",
                                      "99999999999999999999999",
                                      "11"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t n = 77;
        assert_false(dm_parse_u64(dm_view_of(bad[i]), i == 10 ? 10 : UINT64_MAX, &n));
        assert_int_equal(n, 77);
    }
    uint64_t n;
    assert_false(dm_parse_u64(DM_LIT("1\0"), 9, &n));
    assert_false(dm_parse_u64(DM_VIEW_NONE, 9, &n));
}

static void signed_numbers_reach_both_ends(void **state)
{
    (void)state;
    int64_t n;
    assert_true(dm_parse_i64(DM_LIT("-9223372036854775808"), INT64_MIN, INT64_MAX, &n));
    assert_true(n == INT64_MIN);
    assert_true(dm_parse_i64(DM_LIT("9223372036854775807"), INT64_MIN, INT64_MAX, &n));
    assert_true(n == INT64_MAX);
    assert_false(dm_parse_i64(DM_LIT("9223372036854775808"), INT64_MIN, INT64_MAX, &n));
    assert_false(dm_parse_i64(DM_LIT("-9223372036854775809"), INT64_MIN, INT64_MAX, &n));
    assert_true(dm_parse_i64(DM_LIT("-0"), 0, 5, &n));
    assert_int_equal(n, 0);
}

static void signed_numbers_keep_their_range(void **state)
{
    (void)state;
    int64_t n = 77;
    assert_false(dm_parse_i64(DM_LIT("-2"), -1, 5, &n));
    assert_false(dm_parse_i64(DM_LIT("6"), -1, 5, &n));
    assert_false(dm_parse_i64(DM_LIT("--1"), -5, 5, &n));
    assert_false(dm_parse_i64(DM_LIT("-"), -5, 5, &n));
    assert_false(dm_parse_i64(DM_LIT("+1"), -5, 5, &n));
    assert_int_equal(n, 77);
}

static void hex_digits_of_both_cases_are_read(void **state)
{
    (void)state;
    uint64_t n;
    assert_true(dm_parse_hex_u64(DM_LIT("fFffFFFFffffffff"), UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
    assert_true(dm_parse_hex_u64(DM_LIT("1aB"), 0x1ab, &n));
    assert_int_equal(n, 0x1ab);
    assert_false(dm_parse_hex_u64(DM_LIT("1ac"), 0x1ab, &n));
    assert_false(dm_parse_hex_u64(DM_LIT("10000000000000000"), UINT64_MAX, &n));
    assert_false(dm_parse_hex_u64(DM_LIT("0x1"), UINT64_MAX, &n));
    assert_false(dm_parse_hex_u64(DM_LIT("g"), UINT64_MAX, &n));
    assert_false(dm_parse_hex_u64(DM_LIT(""), UINT64_MAX, &n));
}

static void decimals_are_read_exactly(void **state)
{
    (void)state;
    double d;
    assert_true(dm_parse_f64(DM_LIT("-0.25"), &d) && d == -0.25);
    assert_true(dm_parse_f64(DM_LIT("1e3"), &d) && d == 1000.0);
    assert_true(dm_parse_f64(DM_LIT("2.5E-1"), &d) && d == 0.25);
    assert_true(dm_parse_f64(DM_LIT("9007199254740993"), &d) && d == 9007199254740992.0);
    assert_true(dm_parse_f64(DM_LIT("1e-400"), &d) && d == 0.0);
}

static void what_is_no_plain_decimal_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "-",     "+1", ".5", "1.",  "1e",    "1e+",   "inf",
                                      "nan", "0x1p3", " 1", "1 ", "1,5", "1e999", "-1e999"};
    char long_text[600];
    double d = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(dm_parse_f64(dm_view_of(bad[i]), &d));
    for (size_t i = 0; i < sizeof long_text; i++)
        long_text[i] = '1';
    assert_false(dm_parse_f64(dm_view_make(long_text, sizeof long_text), &d));
    assert_true(d == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_read),
        cmocka_unit_test(what_is_no_whole_number_is_refused_and_writes_nothing),
        cmocka_unit_test(signed_numbers_reach_both_ends),
        cmocka_unit_test(signed_numbers_keep_their_range),
        cmocka_unit_test(hex_digits_of_both_cases_are_read),
        cmocka_unit_test(decimals_are_read_exactly),
        cmocka_unit_test(what_is_no_plain_decimal_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

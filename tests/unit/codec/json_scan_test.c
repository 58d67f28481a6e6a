#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json_scan.h"

struct sample {
    dm_view text;
    const char *why; /* words of the fault */
};

static void check_refused(dm_view text, enum dm_code code, const char *why)
{
    struct dm_error err = {0};
    char *owner;
    dm_view v = exact(text, &owner);
    enum dm_code got = dm_json_check(v, NULL, &err);
    if (got != code || strstr(err.text, why) == NULL)
        print_error("\"%.*s\": %s, \"%s\"\n", DM_FMT(text), dm_code_name(got), err.text);
    assert_int_equal(got, code);
    assert_non_null(strstr(err.text, why));
    free(owner);
}

static void check_accepted(dm_view text)
{
    struct dm_error err = {0};
    char *owner;
    dm_view v = exact(text, &owner);
    if (dm_json_check(v, NULL, &err) != DM_OK)
        fail_msg("\"%.*s\": %s", DM_FMT(text), err.text);
    free(owner);
}

#define TEXT(s)                                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static void what_the_grammar_allows_is_accepted(void **state)
{
    (void)state;
    static const dm_view good[] = {TEXT("null"),
                                   TEXT("true"),
                                   TEXT(" false\r\n"),
                                   TEXT("0"),
                                   TEXT("-0"),
                                   TEXT("-1"),
                                   TEXT("10"),
                                   TEXT("0.0"),
                                   TEXT("1e5"),
                                   TEXT("1E+5"),
                                   TEXT("-1.25e-3"),
                                   TEXT("1e-400"),
                                   TEXT("1e308"),
                                   TEXT("\"\""),
                                   TEXT("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\""),
                                   TEXT("\"\\ud83d\\ude00\""),
                                   TEXT("\"\x7f\xc3\xa9\xf0\x9f\x98\x80\""),
                                   TEXT("[]"),
                                   TEXT("{}"),
                                   TEXT("[1,[2,[]],{}]"),
                                   TEXT("{\"a\":1,\"b\":{\"a\":2}}"),
                                   TEXT("{\"\":0,\" \":1}"),
                                   TEXT(" [ 1 , 2 ] "),
                                   TEXT("{\"a\" : [ { \"b\" : null } ] }"),
                                   TEXT("[{\"a\":1},{\"a\":1}]")};
    for (size_t i = 0; i < DM_COUNT_OF(good); i++)
        check_accepted(good[i]);
}

static void malformed_text_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct sample bad[] = {{TEXT(""), "ends early"},
                                        {TEXT("  "), "ends early"},
                                        {TEXT("nul"), "unknown word"},
                                        {TEXT("nulL"), "unknown word"},
                                        {TEXT("True"), "unexpected byte"},
                                        {TEXT("NaN"), "unexpected byte"},
                                        {TEXT("Infinity"), "unexpected byte"},
                                        {TEXT("nullx"), "bytes behind"},
                                        {TEXT("1 2"), "bytes behind"},
                                        {TEXT("{}}"), "bytes behind"},
                                        {TEXT("[1]\0"), "bytes behind"},
                                        {TEXT("\0"), "unexpected byte"},
                                        {TEXT("// c\n1"), "unexpected byte"},
                                        {TEXT("1 /* c */"), "bytes behind"},
                                        {TEXT("\xef\xbb\xbf{}"), "unexpected byte"},
                                        {TEXT("'a'"), "unexpected byte"},
                                        {TEXT("[1,]"), "unexpected byte"},
                                        {TEXT("[,1]"), "unexpected byte"},
                                        {TEXT("[1 2]"), "comma or closing"},
                                        {TEXT("[1"), "ends early"},
                                        {TEXT("[1,"), "ends early"},
                                        {TEXT("["), "ends early"},
                                        {TEXT("[1}"), "wrong closing"},
                                        {TEXT("{\"a\":1]"), "wrong closing"},
                                        {TEXT("]"), "unexpected byte"},
                                        {TEXT("{"), "name expected"},
                                        {TEXT("{1:2}"), "name expected"},
                                        {TEXT("{a:1}"), "name expected"},
                                        {TEXT("{\"a\":1,}"), "name expected"},
                                        {TEXT("{\"a\"}"), "colon expected"},
                                        {TEXT("{\"a\" 1}"), "colon expected"},
                                        {TEXT("{\"a\""), "colon expected"},
                                        {TEXT("{\"a\":}"), "unexpected byte"},
                                        {TEXT("{\"a\":"), "ends early"},
                                        {TEXT("{,}"), "name expected"}};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        check_refused(bad[i].text, DM_INVALID, bad[i].why);
}

static void numbers_outside_the_grammar_or_the_range_are_refused(void **state)
{
    (void)state;
    static const struct sample bad[] = {
        {TEXT("01"), "malformed number"}, {TEXT("-01"), "malformed number"},
        {TEXT("00"), "malformed number"}, {TEXT("-"), "malformed number"},
        {TEXT("1."), "malformed number"}, {TEXT(".1"), "unexpected byte"},
        {TEXT("+1"), "unexpected byte"},  {TEXT("1.e5"), "malformed number"},
        {TEXT("1e"), "malformed number"}, {TEXT("1e+"), "malformed number"},
        {TEXT("-a"), "malformed number"}, {TEXT("1e999"), "out of range"},
        {TEXT("-1e999"), "out of range"}, {TEXT("1.8e308"), "out of range"},
        {TEXT("0x10"), "bytes behind"},   {TEXT("1_000"), "bytes behind"},
        {TEXT("- 1"), "malformed"}};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        check_refused(bad[i].text, DM_INVALID, bad[i].why);
}

static void a_number_without_exponent_may_overflow_too(void **state)
{
    (void)state;
    char text[DM_JSON_NUMBER_MAX + 1];
    memset(text, '9', sizeof(text));
    check_accepted(dm_view_make(text, 308));
    check_refused(dm_view_make(text, 310), DM_INVALID, "out of range");
    check_refused(dm_view_make(text, sizeof(text)), DM_LIMIT, "number too long");
}

static void strings_hold_text_and_nothing_else(void **state)
{
    (void)state;
    static const struct sample bad[] = {{TEXT("\""), "without end"},
                                        {TEXT("\"a"), "without end"},
                                        {TEXT("\"\\\""), "without end"},
                                        {TEXT("\"\n\""), "control byte"},
                                        {TEXT("\"\t\""), "control byte"},
                                        {TEXT("\"\0\""), "control byte"},
                                        {TEXT("\"\x1f\""), "control byte"},
                                        {TEXT("\"\\x\""), "unknown escape"},
                                        {TEXT("\"\\"), "unknown escape"},
                                        {TEXT("\"\\\0\""), "unknown escape"},
                                        {TEXT("\"\\u12\""), "unknown escape"},
                                        {TEXT("\"\\u12g4\""), "unknown escape"},
                                        {TEXT("\"\\U0041\""), "unknown escape"},
                                        {TEXT("\"\\u0000\""), "zero byte"},
                                        {TEXT("\"\\ud800\""), "lone surrogate"},
                                        {TEXT("\"\\udc00\""), "lone surrogate"},
                                        {TEXT("\"\\ud800\\ud800\""), "lone surrogate"},
                                        {TEXT("\"\\ud800x\""), "lone surrogate"},
                                        {TEXT("\"\\ud800\\n\""), "lone surrogate"},
                                        {TEXT("\"\\udc00\\ud800\""), "lone surrogate"},
                                        {TEXT("\"\\ud800\\u"), "lone surrogate"},
                                        {TEXT("\"\xff\""), "not UTF-8"},
                                        {TEXT("\"\xc0\xaf\""), "not UTF-8"},
                                        {TEXT("\"\xed\xa0\x80\""), "not UTF-8"},
                                        {TEXT("\"\xf4\x90\x80\x80\""), "not UTF-8"},
                                        {TEXT("\"\xc3"), "not UTF-8"},
                                        {TEXT("{\"\\ud800\":1}"), "lone surrogate"},
                                        {TEXT("{\"\\u0000\":1}"), "zero byte"}};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        check_refused(bad[i].text, DM_INVALID, bad[i].why);
}

static void duplicate_names_are_refused_at_every_depth_however_escaped(void **state)
{
    (void)state;
    static const dm_view bad[] = {TEXT("{\"a\":1,\"a\":2}"),
                                  TEXT("{\"a\":1,\"\\u0061\":2}"),
                                  TEXT("{\"\\u00e9\":1,\"\xc3\xa9\":2}"),
                                  TEXT("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"),
                                  TEXT("{\"\":1,\"\":2}"),
                                  TEXT("[{\"x\":{\"a\":1,\"b\":[{\"a\":1}],\"a\":2}}]"),
                                  TEXT("{\"a\\/\":1,\"b\":0,\"a/\":2}"),
                                  TEXT("{\"a\":{\"c\":1},\"b\":{\"c\":1},\"a\":0}")};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        check_refused(bad[i], DM_INVALID, "duplicate member name");
    check_accepted((dm_view)TEXT("{\"a\":{\"a\":{\"a\":1}},\"A\":1,\"\\n\":1,\"n\":1}"));
}

/* {"k0":0,…,"k<n-1>":0 and one more member named `extra`. */
static void add_object(struct dm_buf *b, unsigned n, const char *extra)
{
    dm_buf_add_byte(b, '{');
    for (unsigned i = 0; i < n; i++)
        dm_buf_addf(b, "\"k%u\":0,", i);
    dm_buf_addf(b, "\"%s\":1}", extra);
}

static void duplicates_are_found_among_many_members(void **state)
{
    (void)state;
    static const unsigned sizes[] = {15, 16, 17, 30, 31, 32, 33, 47, 48, 49, 5000};
    for (size_t i = 0; i < DM_COUNT_OF(sizes); i++) {
        struct dm_buf b;
        dm_buf_init(&b, 1 << 20);
        add_object(&b, sizes[i], "x");
        check_accepted(dm_buf_view(&b));
        dm_buf_clear(&b);
        add_object(&b, sizes[i], "k0");
        check_refused(dm_buf_view(&b), DM_INVALID, "duplicate");
        dm_buf_clear(&b);
        add_object(&b, sizes[i], "\\u006b7");
        check_refused(dm_buf_view(&b), DM_INVALID, "duplicate");
        dm_buf_done(&b);
    }
}

static void names_of_any_length_differ_by_any_byte(void **state)
{
    (void)state;
    enum { LONGEST = 40 };
    char name[LONGEST + 1], other[LONGEST + 1], text[2 * LONGEST + 16];
    for (size_t len = 0; len <= LONGEST; len++) {
        memset(name, 'n', len);
        name[len] = '\0';
        (void)snprintf(text, sizeof(text), "{\"%s\":1,\"%s\":2}", name, name);
        check_refused(dm_view_of(text), DM_INVALID, "duplicate");
        (void)snprintf(text, sizeof(text), "{\"%s\":1,\"%sn\":2}", name, name);
        check_accepted(dm_view_of(text));
        for (size_t i = 0; i < len; i++) {
            memcpy(other, name, sizeof(other));
            other[i] = 'o';
            (void)snprintf(text, sizeof(text), "{\"%s\":1,\"%s\":2}", name, other);
            check_accepted(dm_view_of(text));
        }
    }
}

static void special_bytes_are_seen_at_any_place_of_a_string(void **state)
{
    (void)state;
    enum { LONGEST = 24 };
    char text[LONGEST + 2];
    for (size_t len = 1; len <= LONGEST; len++) {
        dm_view whole = dm_view_make(text, len + 2);
        for (size_t at = 1; at <= len; at++) {
            memset(text, '!', sizeof(text)); /* one above the quote */
            text[0] = text[len + 1] = '"';
            text[at] = ' ';
            check_accepted(whole);
            text[at] = '\x1f';
            check_refused(whole, DM_INVALID, "control byte");
            text[at] = '\0';
            check_refused(whole, DM_INVALID, "control byte");
            text[at] = '"';
            check_refused(whole, DM_INVALID, "bytes behind the value");
            text[at] = '\\';
            check_refused(whole, DM_INVALID, at < len ? "unknown escape" : "string without end");
        }
    }
}

static void long_escaped_names_are_compared_whole(void **state)
{
    (void)state;
    struct dm_buf b;
    char name[700];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    dm_buf_init(&b, 1 << 16);
    for (int twin = 0; twin < 2; twin++) {
        dm_buf_clear(&b);
        dm_buf_addf(&b, "{\"%s\\u0061\":1,\"%s%s\":2}", name, name, twin ? "a" : "\\u0062");
        if (twin)
            check_refused(dm_buf_view(&b), DM_INVALID, "duplicate");
        else
            check_accepted(dm_buf_view(&b));
        dm_buf_clear(&b);
        dm_buf_addf(&b, "{\"%s\\u0061\":1,", name);
        for (int i = 0; i < 30; i++)
            dm_buf_addf(&b, "\"%d\":0,", i);
        dm_buf_addf(&b, "\"%s%s\":2}", name, twin ? "a" : "\\u0062");
        if (twin)
            check_refused(dm_buf_view(&b), DM_INVALID, "duplicate");
        else
            check_accepted(dm_buf_view(&b));
    }
    dm_buf_done(&b);
}

static void depth_size_and_count_have_limits(void **state)
{
    (void)state;
    const struct dm_json_limits three = {.max_bytes = 20, .max_depth = 3, .max_values = 5};
    assert_int_equal(dm_json_check(DM_LIT("[[[1]]]"), &three, NULL), DM_OK);
    assert_int_equal(dm_json_check(DM_LIT("[[[[]]]]"), &three, NULL), DM_LIMIT);
    assert_int_equal(dm_json_check(DM_LIT("{\"a\":[{\"b\":[]}]}"), &three, NULL), DM_LIMIT);
    assert_int_equal(dm_json_check(DM_LIT("[1,2,3,4]"), &three, NULL), DM_OK);
    assert_int_equal(dm_json_check(DM_LIT("[1,2,3,4,5]"), &three, NULL), DM_LIMIT);
    assert_int_equal(dm_json_check(DM_LIT("\"123456789012345678\""), &three, NULL), DM_OK);
    assert_int_equal(dm_json_check(DM_LIT("\"1234567890123456789\""), &three, NULL), DM_LIMIT);
}

static void depth_stays_bounded_whatever_the_limits_say(void **state)
{
    (void)state;
    const struct dm_json_limits huge = {
        .max_bytes = 1 << 20, .max_depth = 100000, .max_values = 1 << 20};
    char text[2 * (DM_JSON_DEPTH_MAX + 1)];
    memset(text, '[', sizeof(text) / 2);
    memset(text + sizeof(text) / 2, ']', sizeof(text) / 2);
    assert_int_equal(dm_json_check(dm_view_make(text, sizeof(text)), &huge, NULL), DM_LIMIT);
    assert_int_equal(dm_json_check(dm_view_make(text + 1, sizeof(text) - 2), &huge, NULL), DM_OK);
}

static void a_fault_stays_a_fault(void **state)
{
    (void)state;
    struct dm_json_scan s;
    dm_view raw;
    dm_json_scan_init(&s, DM_LIT("[x,1]"), NULL);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_ARRAY);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_FAULT);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_FAULT);
    assert_int_equal(dm_json_scan_offset(&s), 1);
    dm_json_scan_done(&s);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_FAULT);
    dm_json_scan_done(&s);
}

static void skip_passes_over_a_whole_value(void **state)
{
    (void)state;
    struct dm_json_scan s;
    dm_view raw;
    dm_json_scan_init(&s, DM_LIT("{\"a\":{\"b\":[1,{\"c\":2}]},\"d\":true}"), NULL);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_OBJECT);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_NAME);
    assert_true(dm_json_scan_name_is(&s, raw, DM_LIT("a")));
    enum dm_json_token token = dm_json_scan_next(&s, &raw);
    assert_int_equal(dm_json_scan_skip(&s, token), DM_JSON_TOKEN_OBJECT_END);
    assert_int_equal(dm_json_scan_depth(&s), 1);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_NAME);
    assert_view(raw, DM_LIT("d"));
    assert_int_equal(dm_json_scan_skip(&s, dm_json_scan_next(&s, &raw)), DM_JSON_TOKEN_TRUE);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_OBJECT_END);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_END);
    assert_int_equal(dm_json_scan_next(&s, &raw), DM_JSON_TOKEN_END);
    dm_json_scan_done(&s);
}

static void small_texts_are_checked_without_heap(void **state)
{
    (void)state;
    uint64_t before = dm_mem_count();
    assert_int_equal(
        dm_json_check(DM_LIT("{\"sub\":\"a\",\"acc\\u0065sses\":{\"x\":true},\"l\":[1,2]}"), NULL,
                      NULL),
        DM_OK);
    assert_int_equal(dm_mem_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_grammar_allows_is_accepted),
        cmocka_unit_test(malformed_text_is_refused_with_its_reason),
        cmocka_unit_test(numbers_outside_the_grammar_or_the_range_are_refused),
        cmocka_unit_test(a_number_without_exponent_may_overflow_too),
        cmocka_unit_test(strings_hold_text_and_nothing_else),
        cmocka_unit_test(duplicate_names_are_refused_at_every_depth_however_escaped),
        cmocka_unit_test(duplicates_are_found_among_many_members),
        cmocka_unit_test(names_of_any_length_differ_by_any_byte),
        cmocka_unit_test(special_bytes_are_seen_at_any_place_of_a_string),
        cmocka_unit_test(long_escaped_names_are_compared_whole),
        cmocka_unit_test(depth_size_and_count_have_limits),
        cmocka_unit_test(depth_stays_bounded_whatever_the_limits_say),
        cmocka_unit_test(a_fault_stays_a_fault),
        cmocka_unit_test(skip_passes_over_a_whole_value),
        cmocka_unit_test(small_texts_are_checked_without_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

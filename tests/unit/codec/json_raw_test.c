#include "support.h"

#include "codec/json.h"

static void a_member_is_found_with_its_raw_text(void **state)
{
    (void)state;
    dm_view text =
        DM_LIT(" { \"a\" : 1 , \"b\":{\"a\":[2,\"}\"]} ,\"c\" :\t\"x\\n\" , \"d\": null } ");
    dm_view raw;
    assert_true(dm_json_raw_member(text, DM_LIT("a"), &raw));
    assert_view(raw, DM_LIT("1"));
    assert_true(dm_json_raw_member(text, DM_LIT("b"), &raw));
    assert_view(raw, DM_LIT("{\"a\":[2,\"}\"]}"));
    assert_true(dm_json_raw_member(text, DM_LIT("c"), &raw));
    assert_view(raw, DM_LIT("\"x\\n\""));
    assert_true(dm_json_raw_member(text, DM_LIT("d"), &raw));
    assert_view(raw, DM_LIT("null"));
    assert_false(dm_json_raw_member(text, DM_LIT("e"), &raw));
}

static void an_escaped_name_is_found_by_its_meaning(void **state)
{
    (void)state;
    dm_view raw;
    assert_true(dm_json_raw_member(DM_LIT("{\"\\u0073u\\u0062\":5}"), DM_LIT("sub"), &raw));
    assert_view(raw, DM_LIT("5"));
    assert_false(dm_json_raw_member(DM_LIT("{\"\\u0073\":5}"), DM_LIT("\\u0073"), &raw));
}

static void nothing_is_found_in_text_that_is_not_wholly_correct(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"a\":1,\"a\":2}",
                                      "{\"a\":1",
                                      "{\"a\":1}x",
                                      "[\"a\",1]",
                                      "\"a\"",
                                      "",
                                      "{\"a\":1,}",
                                      "{\"a\":1,\"b\":\"\xff\"}",
                                      "{\"a\":01}",
                                      "{\"a\":1,\"b\":{\"c\":1,\"c\":2}}",
                                      "{\"x\":{\"a\":1}}"};
    dm_view raw;
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        assert_false(dm_json_raw_member(dm_view_of(bad[i]), DM_LIT("a"), &raw));
}

static void finding_a_member_allocates_nothing(void **state)
{
    (void)state;
    dm_view raw;
    uint64_t before = dm_mem_count();
    assert_true(dm_json_raw_member(DM_LIT("{\"a\":1,\"sub\":\"x\"}"), DM_LIT("sub"), &raw));
    assert_int_equal(dm_mem_count(), before);
}

static void a_raw_string_is_decoded(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 64);
    assert_true(dm_json_raw_string(DM_LIT("\"a\\u00e9\\\\\\ud83d\\ude00\\/\""), &b));
    assert_view(dm_buf_view(&b), DM_LIT("a\xc3\xa9\\\xf0\x9f\x98\x80/"));
    dm_buf_clear(&b);
    assert_true(dm_json_raw_string(DM_LIT("\"\""), &b));
    assert_int_equal(dm_buf_view(&b).len, 0);
    static const char *const bad[] = {"a",       "\"a", "1",           "\"a\"b",
                                      "[\"a\"]", "",    "\"\\u0000\"", "null"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        assert_false(dm_json_raw_string(dm_view_of(bad[i]), &b));
    dm_buf_done(&b);
    dm_buf_init(&b, 2);
    assert_false(dm_json_raw_string(DM_LIT("\"abc\""), &b));
    dm_buf_done(&b);
}

static void a_raw_integer_is_read(void **state)
{
    (void)state;
    int64_t n;
    assert_true(dm_json_raw_i64(DM_LIT("-9223372036854775808"), &n));
    assert_true(n == INT64_MIN);
    static const char *const bad[] = {"1.0", "1e3", "\"1\"", "01", "9223372036854775808",
                                      "",    "1 2", "[1]"};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++)
        assert_false(dm_json_raw_i64(dm_view_of(bad[i]), &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_found_with_its_raw_text),
        cmocka_unit_test(an_escaped_name_is_found_by_its_meaning),
        cmocka_unit_test(nothing_is_found_in_text_that_is_not_wholly_correct),
        cmocka_unit_test(finding_a_member_allocates_nothing),
        cmocka_unit_test(a_raw_string_is_decoded),
        cmocka_unit_test(a_raw_integer_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

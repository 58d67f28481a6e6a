#include "support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codec/json.h"

static struct dm_json *parse(const char *text)
{
    struct dm_json *j = NULL;
    struct dm_error err = {0};
    if (dm_json_parse(dm_view_of(text), NULL, &j, &err) != DM_OK)
        fail_msg("%s: %s", text, err.text);
    return j;
}

static void assert_writes(const struct dm_json *j, const char *want)
{
    struct dm_buf b;
    dm_buf_init(&b, 1 << 20);
    dm_json_write(j, &b);
    assert_true(dm_buf_ok(&b));
    assert_view(dm_buf_view(&b), dm_view_of(want));
    dm_buf_done(&b);
}

/* Parsed and written, the text is `want`; parsed again, the value is the same. */
static void assert_round_trip(const char *text, const char *want)
{
    struct dm_json *j = parse(text);
    assert_writes(j, want);
    struct dm_json *again = parse(want);
    assert_true(dm_json_equal(j, again));
    assert_int_equal(dm_json_kind(j), dm_json_kind(again));
    dm_json_free(j);
    dm_json_free(again);
}

static void a_tree_has_the_values_of_its_text(void **state)
{
    (void)state;
    struct dm_json *j =
        parse(" {\"a\": [1, 2.5, \"x\\u00e9\\n\"], \"b\": {\"c\": true}, \"d\": null} ");
    assert_int_equal(dm_json_kind(j), DM_JSON_OBJECT);
    assert_int_equal(dm_json_len(j), 3);
    const struct dm_json *a = dm_json_get(j, DM_LIT("a"));
    assert_int_equal(dm_json_kind(a), DM_JSON_ARRAY);
    assert_int_equal(dm_json_len(a), 3);
    assert_int_equal(dm_json_i64(dm_json_at(a, 0), -1), 1);
    assert_true(dm_json_f64(dm_json_at(a, 1), 0) == 2.5);
    assert_view(dm_json_str(dm_json_at(a, 2)), DM_LIT("x\xc3\xa9\n"));
    assert_null(dm_json_at(a, 3));
    assert_true(dm_json_bool(dm_json_get(dm_json_get(j, DM_LIT("b")), DM_LIT("c")), false));
    assert_true(dm_json_is(dm_json_get(j, DM_LIT("d")), DM_JSON_NULL));
    assert_null(dm_json_get(j, DM_LIT("e")));
    assert_null(dm_json_get(j, DM_LIT("")));
    dm_json_free(j);
}

static void members_keep_their_order(void **state)
{
    (void)state;
    struct dm_json *j = parse("{\"z\":1,\"a\":2,\"m\":3}");
    const struct dm_json *m = dm_json_first(j);
    assert_view(dm_json_name(m), DM_LIT("z"));
    m = dm_json_next(m);
    assert_view(dm_json_name(m), DM_LIT("a"));
    m = dm_json_next(m);
    assert_view(dm_json_name(m), DM_LIT("m"));
    assert_null(dm_json_next(m));
    dm_json_free(j);
}

static void readers_give_the_fallback_on_another_kind(void **state)
{
    (void)state;
    struct dm_json *j = parse("{\"s\":\"1\",\"n\":1.5,\"b\":true,\"o\":{}}");
    assert_int_equal(dm_json_i64(dm_json_get(j, DM_LIT("s")), 7), 7);
    assert_int_equal(dm_json_i64(dm_json_get(j, DM_LIT("n")), 7), 7);
    assert_int_equal(dm_json_i64(dm_json_get(j, DM_LIT("b")), 7), 7);
    assert_int_equal(dm_json_i64(NULL, 7), 7);
    assert_true(dm_json_f64(dm_json_get(j, DM_LIT("s")), 0.5) == 0.5);
    assert_true(dm_json_bool(dm_json_get(j, DM_LIT("s")), true));
    assert_false(dm_json_bool(dm_json_get(j, DM_LIT("s")), false));
    assert_null(dm_json_str(dm_json_get(j, DM_LIT("n"))).ptr);
    assert_null(dm_json_get(dm_json_get(j, DM_LIT("s")), DM_LIT("x")));
    assert_null(dm_json_at(j, 0));
    assert_int_equal(dm_json_len(dm_json_get(j, DM_LIT("s"))), 0);
    assert_null(dm_json_first(NULL));
    assert_null(dm_json_next(NULL));
    assert_int_equal(dm_json_name(NULL).len, 0);
    assert_int_equal(dm_json_kind(NULL), DM_JSON_NULL);
    dm_json_free(j);
}

static void integers_of_64_bits_are_exact(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "-1",
                                        "9007199254740991",
                                        "9007199254740992",
                                        "9007199254740993",
                                        "-9007199254740993",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "1234567890123456789"};
    for (size_t i = 0; i < DM_COUNT_OF(texts); i++) {
        int64_t want;
        assert_true(dm_parse_i64(dm_view_of(texts[i]), INT64_MIN, INT64_MAX, &want));
        struct dm_json *j = parse(texts[i]);
        assert_int_equal(dm_json_kind(j), DM_JSON_INT);
        assert_true(dm_json_i64(j, 1) == want);
        struct dm_json *made = dm_json_new_i64(want);
        assert_true(dm_json_equal(j, made));
        assert_writes(made, texts[i]);
        dm_json_free(made);
        dm_json_free(j);
        assert_round_trip(texts[i], texts[i]);
    }
}

static void integers_beyond_64_bits_keep_their_digits(void **state)
{
    (void)state;
    struct dm_json *j = parse("9223372036854775808");
    assert_int_equal(dm_json_kind(j), DM_JSON_DOUBLE);
    assert_int_equal(dm_json_i64(j, -5), -5);
    assert_true(dm_json_f64(j, 0) == 0x1p63);
    struct dm_json *k = parse("9223372036854775809"); /* the same double, another integer */
    assert_false(dm_json_equal(j, k));
    dm_json_free(k);
    dm_json_free(j);
    j = parse("-9223372036854775809");
    assert_int_equal(dm_json_i64(j, -5), -5); /* never rounded into the range */
    dm_json_free(j);
    assert_round_trip("[123456789012345678901234567890]", "[123456789012345678901234567890]");
}

static void doubles_read_back_as_the_same_double(void **state)
{
    (void)state;
    static const double values[] = {
        0.1,    -0.1,        1.0 / 3,       1e21,       1e300, -1e-300, DBL_MAX, DBL_MIN,
        5e-324, DBL_EPSILON, 123456789.125, 0x1p53 + 2, 4.35,  2.675,   1e15,    1e16};
    for (size_t i = 0; i < DM_COUNT_OF(values); i++) {
        struct dm_json *j = dm_json_new_f64(values[i]);
        struct dm_buf b;
        dm_buf_init(&b, 100);
        dm_json_write(j, &b);
        struct dm_json *again = parse(dm_buf_cstr(&b));
        assert_int_equal(dm_json_kind(again), DM_JSON_DOUBLE);
        assert_true(dm_json_f64(again, 0) == values[i]);
        assert_true(dm_json_equal(j, again));
        dm_buf_done(&b);
        dm_json_free(again);
        dm_json_free(j);
    }
}

static void doubles_have_their_shortest_text(void **state)
{
    (void)state;
    assert_round_trip("0.1", "0.1");
    assert_round_trip("1.0", "1.0");
    assert_round_trip("-0.0", "-0.0");
    assert_round_trip("1e3", "1000.0");
    assert_round_trip("1e21", "1e+21");
    assert_round_trip("0.30000000000000004", "0.30000000000000004");
    assert_round_trip("2.50", "2.5");
    assert_round_trip("1e-7", "1e-07");
    assert_round_trip("-0", "0");
}

static void a_whole_double_counts_as_an_integer_for_readers(void **state)
{
    (void)state;
    struct dm_json *j = parse("[1.0, 1e3, 1.5, 1e19, -0.0]");
    assert_int_equal(dm_json_kind(dm_json_at(j, 0)), DM_JSON_DOUBLE);
    assert_int_equal(dm_json_i64(dm_json_at(j, 0), -1), 1);
    assert_int_equal(dm_json_i64(dm_json_at(j, 1), -1), 1000);
    assert_int_equal(dm_json_i64(dm_json_at(j, 2), -1), -1);
    assert_int_equal(dm_json_i64(dm_json_at(j, 3), -1), -1);
    assert_int_equal(dm_json_i64(dm_json_at(j, 4), -1), 0);
    dm_json_free(j);
}

static void equality_ignores_order_of_members_and_forms_of_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {{"{\"a\":1,\"b\":[2]}", "{\"b\":[2],\"a\":1}", true},
                {"[1,2]", "[2,1]", false},
                {"[1,2]", "[1,2,3]", false},
                {"[1,2,3]", "[1,2]", false},
                {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
                {"{\"a\":1,\"c\":2}", "{\"a\":1,\"b\":2}", false},
                {"1", "1.0", true},
                {"1", "1e0", true},
                {"1", "true", false},
                {"0", "null", false},
                {"\"1\"", "1", false},
                {"true", "false", false},
                {"null", "null", true},
                {"9007199254740993", "9007199254740992.0", false},
                {"1.5", "15e-1", true},
                {"[]", "{}", false},
                {"\"a\"", "\"\\u0061\"", true}};
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        struct dm_json *a = parse(rows[i].a), *b = parse(rows[i].b);
        if (dm_json_equal(a, b) != rows[i].equal || dm_json_equal(b, a) != rows[i].equal)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        dm_json_free(a);
        dm_json_free(b);
    }
}

static void large_objects_are_compared_through_a_table(void **state)
{
    (void)state;
    struct dm_json *a = dm_json_new_object(), *b = dm_json_new_object();
    char name[16];
    for (int i = 0; i < 100; i++) {
        dm_json_set_i64(a, dm_view_make(name, (size_t)snprintf(name, sizeof(name), "k%d", i)), i);
        dm_json_set_i64(b, dm_view_make(name, (size_t)snprintf(name, sizeof(name), "k%d", 99 - i)),
                        99 - i);
    }
    assert_true(dm_json_equal(a, b));
    dm_json_set_i64(b, DM_LIT("k50"), 51);
    assert_false(dm_json_equal(a, b));
    dm_json_free(a);
    dm_json_free(b);
}

static void trees_are_built_replaced_and_removed(void **state)
{
    (void)state;
    struct dm_json *j = dm_json_new_object(), *list = dm_json_new_array();
    dm_json_set_str(j, DM_LIT("name"), DM_LIT("x\"y"));
    dm_json_set_i64(j, DM_LIT("n"), INT64_MAX);
    dm_json_set_bool(j, DM_LIT("on"), true);
    dm_json_push(list, dm_json_new_null());
    dm_json_push(list, dm_json_new_bool(false));
    dm_json_push(list, dm_json_new_f64(3));
    dm_json_set(j, DM_LIT("list"), list);
    dm_json_set_i64(j, DM_LIT("on"), 1);
    assert_writes(
        j, "{\"name\":\"x\\\"y\",\"n\":9223372036854775807,\"on\":1,\"list\":[null,false,3.0]}");
    assert_true(dm_json_remove(j, DM_LIT("name")));
    assert_false(dm_json_remove(j, DM_LIT("name")));
    assert_true(dm_json_remove(j, DM_LIT("list")));
    assert_writes(j, "{\"n\":9223372036854775807,\"on\":1}");
    dm_json_freep(&j);
    assert_null(j);
    dm_json_free(NULL);
}

static void a_clone_is_independent_and_belongs_to_nobody(void **state)
{
    (void)state;
    struct dm_json *j = parse("{\"a\":{\"b\":[9007199254740993,\"t\",1.0]}}");
    struct dm_json *copy = dm_json_clone(dm_json_get(j, DM_LIT("a")));
    struct dm_json *other = dm_json_new_object();
    dm_json_set(other, DM_LIT("c"), copy);
    dm_json_free(j);
    assert_writes(other, "{\"c\":{\"b\":[9007199254740993,\"t\",1.0]}}");
    dm_json_free(other);
    struct dm_json *null = dm_json_clone(NULL);
    assert_writes(null, "null");
    dm_json_free(null);
}

static void refused_text_gives_no_tree(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"a\":1,\"b\":[1,{\"c\":2}",
                                      "{\"a\":",
                                      "[1,2",
                                      "{\"a\":1,\"a\":2}",
                                      "",
                                      "[{\"x\":\"y\"},]",
                                      "\"a\\u0000\""};
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        struct dm_json *j = (struct dm_json *)8; /* must stay as it is */
        struct dm_error err = {0};
        assert_int_equal(dm_json_parse(dm_view_of(bad[i]), NULL, &j, &err), DM_INVALID);
        assert_ptr_equal(j, (struct dm_json *)8);
        assert_int_equal(err.err, ERR_INVALID_JSON);
    }
}

static void the_deepest_allowed_tree_is_written_and_freed(void **state)
{
    (void)state;
    const struct dm_json_limits deep = {.max_bytes = 1000, .max_depth = 256, .max_values = 1000};
    char text[2 * 256 + 1] = {0};
    memset(text, '[', 256);
    memset(text + 256, ']', 256);
    struct dm_json *j = NULL;
    assert_int_equal(dm_json_parse(dm_view_of(text), &deep, &j, NULL), DM_OK);
    assert_writes(j, text);
    assert_true(dm_json_equal(j, j));
    dm_json_free(j);
}

static void strings_are_escaped_where_they_must_be(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 1000);
    dm_json_write_str(DM_LIT("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9"), &b);
    assert_view(dm_buf_view(&b),
                DM_LIT("\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\""));
    dm_buf_clear(&b);
    dm_json_write_str(DM_VIEW_NONE, &b);
    assert_view(dm_buf_view(&b), DM_LIT("\"\""));
    dm_buf_done(&b);
}

static void bytes_that_are_no_utf8_become_replacement_characters(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 1000);
    dm_json_write_str(DM_LIT("a\xff\xc3\xa9\xc3z\xed\xa0\x80\xf0\x9f\x98\x80\xf0\x9f"), &b);
    assert_view(dm_buf_view(&b),
                DM_LIT("\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                       "\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\""));
    dm_buf_clear(&b);
    dm_json_write_str(dm_view_make("a\0b", 3), &b);
    assert_view(dm_buf_view(&b), DM_LIT("\"a\\u0000b\""));
    dm_buf_done(&b);
}

static void texts_from_the_wire_are_made_clean(void **state)
{
    (void)state;
    struct dm_json *j = dm_json_new_object();
    dm_json_set_str(j, dm_view_make("n\0\xff", 3),
                    DM_LIT("a\xc3\xa9\xff\xf0\x9f"
                           "b"));
    dm_json_set_str(j, DM_LIT("empty"), DM_VIEW_NONE);
    assert_writes(j,
                  "{\"n\xef\xbf\xbd\xef\xbf\xbd\":\"a\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                  "b\",\"empty\":\"\"}");
    dm_json_free(j);
}

static void a_wiped_tree_holds_no_text(void **state)
{
    (void)state;
    struct dm_json *j =
        parse("{\"a\":\"secret\",\"b\":[{\"c\":\"secret\"},9007199254740993],\"d\":\"x\"}");
    const struct dm_json *c = dm_json_get(dm_json_at(dm_json_get(j, DM_LIT("b")), 0), DM_LIT("c"));
    const char *inside = dm_json_str(c).ptr;
    dm_json_wipe(j);
    dm_json_wipe(NULL);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(inside[i], 0);
    assert_int_equal(dm_json_str(dm_json_get(j, DM_LIT("a"))).len, 0);
    assert_int_equal(dm_json_str(dm_json_get(j, DM_LIT("d"))).len, 0);
    dm_json_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_the_values_of_its_text),
        cmocka_unit_test(members_keep_their_order),
        cmocka_unit_test(readers_give_the_fallback_on_another_kind),
        cmocka_unit_test(integers_of_64_bits_are_exact),
        cmocka_unit_test(integers_beyond_64_bits_keep_their_digits),
        cmocka_unit_test(doubles_read_back_as_the_same_double),
        cmocka_unit_test(doubles_have_their_shortest_text),
        cmocka_unit_test(a_whole_double_counts_as_an_integer_for_readers),
        cmocka_unit_test(equality_ignores_order_of_members_and_forms_of_numbers),
        cmocka_unit_test(large_objects_are_compared_through_a_table),
        cmocka_unit_test(trees_are_built_replaced_and_removed),
        cmocka_unit_test(a_clone_is_independent_and_belongs_to_nobody),
        cmocka_unit_test(refused_text_gives_no_tree),
        cmocka_unit_test(the_deepest_allowed_tree_is_written_and_freed),
        cmocka_unit_test(strings_are_escaped_where_they_must_be),
        cmocka_unit_test(bytes_that_are_no_utf8_become_replacement_characters),
        cmocka_unit_test(texts_from_the_wire_are_made_clean),
        cmocka_unit_test(a_wiped_tree_holds_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

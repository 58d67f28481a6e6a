#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "store/mongo/mongo_internal.h"

static const struct dm_documents_unique uniques[] = {{"users", {"email"}}};
static const struct dm_documents_expiry expiries[] = {{"leases", "until"}};
static const struct dm_documents_schema schema = {
    .uniques = uniques, .n_uniques = 1, .expiries = expiries, .n_expiries = 1};
static struct dm_mongo mongo = {.schema = &schema};

static struct dm_json *parse(const char *text)
{
    struct dm_json *j = NULL;
    struct dm_error err = {0};
    if (dm_json_parse(dm_view_of(text), NULL, &j, &err) != DM_OK)
        fail_msg("%s: %s", text, err.text);
    return j;
}

/* What is stored for `text`, as relaxed extended JSON. */
static void assert_encoded(const char *collection, const char *text, const char *wanted)
{
    bson_t b = BSON_INITIALIZER;
    DM_DEFER(dm_json_freep) struct dm_json *doc = parse(text);
    assert_int_equal(dm_mongo_encode(&mongo, collection, doc, NULL, 7, &b, NULL), DM_OK);
    char *got = bson_as_relaxed_extended_json(&b, NULL);
    assert_string_equal(got, wanted);
    bson_free(got);
    bson_destroy(&b);
}

static void assert_decoded(const char *extended, const char *wanted)
{
    bson_t b;
    bson_error_t e;
    struct dm_json *doc = NULL;
    if (!bson_init_from_json(&b, extended, -1, &e))
        fail_msg("%s", e.message);
    assert_int_equal(dm_mongo_decode(&b, &doc, NULL), DM_OK);
    struct dm_buf out;
    dm_buf_init(&out, 1 << 20);
    dm_json_write(doc, &out);
    assert_string_equal(dm_buf_cstr(&out), wanted);
    dm_buf_done(&out);
    dm_json_free(doc);
    bson_destroy(&b);
}

static void assert_comes_back(const char *text)
{
    bson_t b = BSON_INITIALIZER;
    struct dm_json *again = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *doc = parse(text);
    assert_int_equal(dm_mongo_encode(&mongo, "c", doc, NULL, 1, &b, NULL), DM_OK);
    assert_int_equal(dm_mongo_decode(&b, &again, NULL), DM_OK);
    assert_true(dm_json_equal(doc, again));
    dm_json_free(again);
    bson_destroy(&b);
}

static void names_are_made_harmless(void **state)
{
    (void)state;
    assert_encoded("c", "{\"$set\":1,\"a.b\":2,\"c$\":3,\"100%\":4,\"%24\":5,\"\":6}",
                   "{ \"%24set\" : 1, \"a%2Eb\" : 2, \"c$\" : 3, \"100%\" : 4, \"%2524\" : 5, "
                   "\"\" : 6, \"_dm_version\" : 7 }");
}

static void lists_in_lists_are_wrapped(void **state)
{
    (void)state;
    assert_encoded("c", "{\"l\":[[1]]}",
                   "{ \"l\" : [ { \"_dm_list\" : [ 1 ] } ], \"_dm_version\" : 7 }");
}

static void null_of_a_key_is_left_out(void **state)
{
    (void)state;
    assert_encoded("users", "{\"email\":null,\"role\":null}",
                   "{ \"role\" : null, \"_dm_version\" : 7 }");
    assert_encoded("c", "{\"email\":null}", "{ \"email\" : null, \"_dm_version\" : 7 }");
}

static void expiry_becomes_a_date(void **state)
{
    (void)state;
    assert_encoded("leases", "{\"until\":1}",
                   "{ \"until\" : 1, \"_dm_version\" : 7, \"_dm_expires\" : "
                   "{ \"$date\" : \"1970-01-01T00:00:01Z\" } }");
    assert_encoded("leases", "{\"until\":0}", "{ \"until\" : 0, \"_dm_version\" : 7 }");
    assert_encoded("leases", "{\"until\":\"5\"}", "{ \"until\" : \"5\", \"_dm_version\" : 7 }");
}

static void documents_come_back(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"a\":[],\"b\":{},\"c\":[{},[],[[[]]]],\"d\":[[1,[2,{\"x\":[[3]]}]],4]}",
        "{\"i\":-9223372036854775808,\"j\":9223372036854775807,\"f\":0.1,\"g\":1e300}",
        "{\"t\":true,\"f\":false,\"n\":null,\"s\":\"\\u00e9\\n\\\"\",\"e\":\"\"}",
        "{\"%\":1,\"%2\":2,\"%25\":3,\"%2525\":4,\"$\":5,\"..\":6,\"%2E\":{\"$a.b\":7}}",
    };
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(texts); i++)
        assert_comes_back(texts[i]);
}

static void depth_is_bounded_both_ways(void **state)
{
    enum { DEPTH = 64, TOO_DEEP = 100 };
    struct dm_buf text;
    struct dm_json *doc = NULL;
    (void)state;
    dm_buf_init(&text, 1 << 20);
    for (int i = 0; i < DEPTH - 1; i++)
        dm_buf_add(&text, DM_LIT("{\"a\":"));
    dm_buf_add(&text, DM_LIT("{}"));
    for (int i = 0; i < DEPTH - 1; i++)
        dm_buf_add_byte(&text, '}');
    assert_comes_back(dm_buf_cstr(&text));
    dm_buf_done(&text);
    bson_t *b = bson_new();
    for (int i = 0; i < TOO_DEEP; i++) {
        bson_t *outer = bson_new();
        BSON_APPEND_DOCUMENT(outer, "a", b);
        bson_destroy(b);
        b = outer;
    }
    assert_int_equal(dm_mongo_decode(b, &doc, NULL), DM_PROTOCOL);
    bson_destroy(b);
}

static void types_of_other_programs_are_read(void **state)
{
    (void)state;
    assert_decoded("{\"_id\":{\"$oid\":\"5f1d7f3a8b0c9d0001a2b3c4\"},\"_dm_version\":1,\"a\":1}",
                   "{\"a\":1}");
    assert_decoded("{\"_id\":\"own\"}", "{\"_id\":\"own\"}");
    assert_decoded("{\"l\":[[1,[]],2]}", "{\"l\":[[1,[]],2]}");
    assert_decoded("{\"d\":{\"$date\":{\"$numberLong\":\"-1\"}}}",
                   "{\"d\":\"1969-12-31T23:59:59.999Z\"}");
    assert_decoded("{\"d\":{\"$date\":{\"$numberLong\":\"9223372036854775807\"}}}",
                   "{\"d\":9223372036854775807}");
    assert_decoded("{\"n\":{\"$numberDouble\":\"NaN\"},\"i\":{\"$numberDouble\":\"-Infinity\"}}",
                   "{\"n\":null,\"i\":null}");
    assert_decoded("{\"d\":{\"$numberDecimal\":\"1.25\"}}", "{\"d\":1.25}");
    assert_decoded("{\"t\":{\"$timestamp\":{\"t\":1,\"i\":2}},\"m\":{\"$minKey\":1}}",
                   "{\"t\":\"1970-01-01T00:00:01.000Z\",\"m\":null}");
    assert_decoded("{\"z\":{\"$binary\":{\"base64\":\"YQBi\",\"subType\":\"00\"}}}",
                   "{\"z\":\"YQBi\"}"); /* a zero byte is no text */
    assert_decoded("{\"r\":{\"$regularExpression\":{\"pattern\":\"x\",\"options\":\"\"}}}",
                   "{\"r\":\"x\"}");
}

static void assert_filter(const struct dm_filter *f, size_t n, bool possible, const char *wanted)
{
    bson_t b;
    assert_int_equal(dm_mongo_filter(f, n, &b), possible);
    char *got = bson_as_relaxed_extended_json(&b, NULL);
    if (possible)
        assert_string_equal(got, wanted);
    bson_free(got);
    bson_destroy(&b);
}

static void filters_put_values_behind_operators(void **state)
{
    const struct dm_filter two[] = {
        DM_WHERE("a", DM_LIT("$ne")),
        {.field = "a", .op = DM_FILTER_NE, .kind = DM_JSON_INT, .num = 3},
    };
    const struct dm_filter has = {
        .field = "l", .op = DM_FILTER_HAS, .kind = DM_JSON_STRING, .str = DM_LIT("x")};
    const struct dm_filter bad = DM_WHERE("a", DM_LIT("\xff"));
    const struct dm_filter not_bad = {
        .field = "a", .op = DM_FILTER_NE, .kind = DM_JSON_STRING, .str = DM_LIT("\xff")};
    (void)state;
    assert_filter(NULL, 0, true, "{ }");
    assert_filter(two, 2, true,
                  "{ \"$and\" : [ { \"a\" : { \"$eq\" : \"$ne\" } }, "
                  "{ \"a\" : { \"$ne\" : 3 } } ] }");
    assert_filter(&has, 1, true,
                  "{ \"$and\" : [ { \"l\" : { \"$elemMatch\" : { \"$eq\" : \"x\" } } } ] }");
    assert_filter(&bad, 1, false, NULL);
    assert_filter(&not_bad, 1, true, "{ }");
    const struct dm_filter nul = DM_WHERE("a", DM_LIT("x\0y"));
    assert_filter(&nul, 1, false, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_made_harmless),
        cmocka_unit_test(lists_in_lists_are_wrapped),
        cmocka_unit_test(null_of_a_key_is_left_out),
        cmocka_unit_test(expiry_becomes_a_date),
        cmocka_unit_test(documents_come_back),
        cmocka_unit_test(depth_is_bounded_both_ways),
        cmocka_unit_test(types_of_other_programs_are_read),
        cmocka_unit_test(filters_put_values_behind_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "documents_contract.h"

#include <stdio.h>

const struct dm_documents_unique documents_uniques[DOCUMENTS_UNIQUES] = {
    {"users", {"username"}},
    {"users", {"email"}},
    {"apis", {"api_name", "api_version"}},
    {"endpoints", {"a", "b", "c", "d"}},
};

static const struct documents_factory *documents_factory;

static int contract_open(void **state)
{
    *state = documents_factory->open();
    return *state == NULL;
}

static int contract_close(void **state)
{
    documents_factory->close(*state);
    return 0;
}

struct dm_json *documents_json(const char *text)
{
    struct dm_json *j = NULL;
    struct dm_error err = {0};
    if (dm_json_parse(dm_view_of(text), NULL, &j, &err) != DM_OK)
        fail_msg("%s: %s", text, err.text);
    return j;
}

enum dm_code documents_insert(struct dm_documents *d, const char *collection, const char *text)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = documents_json(text);
    return dm_documents_insert(d, collection, doc, NULL);
}

void documents_assert_json(const struct dm_json *j, const char *text)
{
    DM_DEFER(dm_json_freep) struct dm_json *wanted = documents_json(text);
    if (dm_json_equal(j, wanted))
        return;
    struct dm_buf out;
    dm_buf_init(&out, 1 << 20);
    dm_json_write(j, &out);
    fail_msg("%s is not %s", dm_buf_cstr(&out), text);
}

static void assert_list(struct dm_documents *d, const char *collection, const struct dm_query *q,
                        const char *text)
{
    DM_DEFER(dm_json_freep) struct dm_json *list = NULL;
    assert_int_equal(dm_documents_list(d, collection, q, &list, NULL), DM_OK);
    documents_assert_json(list, text);
}

static void stored_document_is_found_by_key(void **state)
{
    struct dm_documents *d = *state;
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    uint64_t version = 0;
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    assert_int_equal(
        documents_insert(d, "users",
                         "{\"username\":\"ann\",\"email\":\"a@x\",\"n\":1.5,\"l\":[null,true]}"),
        DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"bob\",\"email\":\"b@x\"}"),
                     DM_OK);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, &version, NULL), DM_OK);
    documents_assert_json(doc,
                          "{\"username\":\"ann\",\"email\":\"a@x\",\"n\":1.5,\"l\":[null,true]}");
    assert_true(version > 0);
}

static void absent_document_and_collection_are_not_found(void **state)
{
    struct dm_documents *d = *state;
    struct dm_json *doc = NULL;
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    uint64_t n = 9;
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, NULL, NULL), DM_NOT_FOUND);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"bob\",\"email\":\"b@x\"}"),
                     DM_OK);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, NULL, NULL), DM_NOT_FOUND);
    assert_null(doc);
    assert_int_equal(dm_documents_count(d, "nothing", NULL, 0, &n, NULL), DM_OK);
    assert_int_equal(n, 0);
    assert_list(d, "nothing", &(struct dm_query){0}, "[]");
}

static void unique_key_refuses_a_second_document(void **state)
{
    struct dm_documents *d = *state;
    uint64_t n = 0;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"email\":\"a@x\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"email\":\"b@x\"}"),
                     DM_EXISTS);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"bob\",\"email\":\"a@x\"}"),
                     DM_EXISTS);
    assert_int_equal(dm_documents_count(d, "users", NULL, 0, &n, NULL), DM_OK);
    assert_int_equal(n, 1);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"bob\",\"email\":\"b@x\"}"),
                     DM_OK); /* nothing left over */
}

static void unique_key_of_two_fields_needs_both_equal(void **state)
{
    struct dm_documents *d = *state;
    assert_int_equal(documents_insert(d, "apis", "{\"api_name\":\"a\",\"api_version\":\"v1\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(d, "apis", "{\"api_name\":\"a\",\"api_version\":\"v2\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(d, "apis", "{\"api_name\":\"b\",\"api_version\":\"v1\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(d, "apis", "{\"api_version\":\"v2\",\"api_name\":\"a\"}"),
                     DM_EXISTS);
}

static void unique_key_of_four_fields_needs_all_equal(void **state)
{
    struct dm_documents *d = *state;
    const struct dm_filter all[] = {DM_WHERE("a", DM_LIT("1")), DM_WHERE("b", DM_LIT("2")),
                                    DM_WHERE("c", DM_LIT("3")), DM_WHERE("d", DM_LIT("5"))};
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    assert_int_equal(
        documents_insert(d, "endpoints", "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\",\"d\":\"4\"}"),
        DM_OK);
    assert_int_equal(
        documents_insert(d, "endpoints", "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\",\"d\":\"5\"}"),
        DM_OK);
    assert_int_equal(
        documents_insert(d, "endpoints", "{\"d\":\"4\",\"c\":\"3\",\"b\":\"2\",\"a\":\"1\"}"),
        DM_EXISTS);
    assert_int_equal(dm_documents_find(d, "endpoints", all, 4, &doc, NULL, NULL), DM_OK);
    documents_assert_json(doc, "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\",\"d\":\"5\"}");
}

static void document_without_the_field_is_not_held_to_the_key(void **state)
{
    struct dm_documents *d = *state;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\"}"), DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"bob\",\"email\":null}"), DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"cid\"}"), DM_OK);
}

static void escaped_strings_are_equal_by_their_characters(void **state)
{
    struct dm_documents *d = *state;
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    const struct dm_filter who = DM_WHERE("username", DM_LIT("a\"\\\n\xc3\xa9/"));
    assert_int_equal(
        documents_insert(d, "users",
                         "{\"username\":\"a\\u0022\\\\\\n\\u00e9\\/\",\"email\":\"1\"}"),
        DM_OK);
    assert_int_equal(
        documents_insert(d, "users",
                         "{\"username\":\"\\u0061\\\"\\\\\\u000a\xc3\xa9/\",\"email\":\"2\"}"),
        DM_EXISTS);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, NULL, NULL), DM_OK);
}

static void a_name_inside_a_value_is_no_match(void **state)
{
    struct dm_documents *d = *state;
    struct dm_json *doc = NULL;
    const struct dm_filter who = DM_WHERE("role", DM_LIT("x"));
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"o\":{\"role\":\"x\"}}"),
                     DM_OK);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, NULL, NULL), DM_NOT_FOUND);
}

static void filters_select_by_equality_inequality_and_membership(void **state)
{
    struct dm_documents *d = *state;
    const struct dm_filter filters[] = {
        DM_WHERE("kind", DM_LIT("x")),
        {.field = "kind", .op = DM_FILTER_NE, .kind = DM_JSON_STRING, .str = DM_LIT("x")},
        {.field = "tags", .op = DM_FILTER_HAS, .kind = DM_JSON_STRING, .str = DM_LIT("red")},
        {.field = "n", .kind = DM_JSON_INT, .num = 1},
        {.field = "on", .kind = DM_JSON_BOOL, .num = 1},
        {.field = "on", .kind = DM_JSON_BOOL, .num = 0},
        DM_WHERE("kind", DM_LIT("\xff")),
    };
    static const char *const wanted[] = {
        "[{\"i\":\"1\",\"kind\":\"x\",\"tags\":[\"red\",\"blue\"],\"n\":1,\"on\":true}]",
        "[{\"i\":\"2\",\"kind\":\"y\",\"tags\":[\"bluered\",[\"red\"]],\"n\":11,\"on\":false},"
        "{\"i\":\"3\",\"tags\":\"red\",\"n\":\"1\",\"on\":\"true\"}]",
        "[{\"i\":\"1\",\"kind\":\"x\",\"tags\":[\"red\",\"blue\"],\"n\":1,\"on\":true}]",
        "[{\"i\":\"1\",\"kind\":\"x\",\"tags\":[\"red\",\"blue\"],\"n\":1,\"on\":true}]",
        "[{\"i\":\"1\",\"kind\":\"x\",\"tags\":[\"red\",\"blue\"],\"n\":1,\"on\":true}]",
        "[{\"i\":\"2\",\"kind\":\"y\",\"tags\":[\"bluered\",[\"red\"]],\"n\":11,\"on\":false}]",
        "[]",
    };
    assert_int_equal(
        documents_insert(
            d, "c", "{\"i\":\"1\",\"kind\":\"x\",\"tags\":[\"red\",\"blue\"],\"n\":1,\"on\":true}"),
        DM_OK);
    assert_int_equal(
        documents_insert(
            d, "c",
            "{\"i\":\"2\",\"kind\":\"y\",\"tags\":[\"bluered\",[\"red\"]],\"n\":11,\"on\":false}"),
        DM_OK);
    assert_int_equal(
        documents_insert(d, "c", "{\"i\":\"3\",\"tags\":\"red\",\"n\":\"1\",\"on\":\"true\"}"),
        DM_OK);
    for (size_t i = 0; i < DM_COUNT_OF(filters); i++)
        assert_list(d, "c", &(struct dm_query){.filters = &filters[i], .n_filters = 1}, wanted[i]);
    assert_list(d, "c", &(struct dm_query){.filters = filters, .n_filters = 2}, "[]");
}

static void list_keeps_the_order_of_insertion_also_after_replace(void **state)
{
    struct dm_documents *d = *state;
    DM_DEFER(dm_json_freep)
    struct dm_json *doc = NULL, *next = documents_json("{\"username\":\"c\",\"v\":2}");
    const struct dm_filter who = DM_WHERE("username", DM_LIT("c"));
    uint64_t version;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"c\",\"v\":1}"), DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"a\"}"), DM_OK);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, &version, NULL), DM_OK);
    assert_int_equal(dm_documents_replace(d, "users", &who, 1, version, next, NULL), DM_OK);
    assert_list(d, "users", &(struct dm_query){0},
                "[{\"username\":\"c\",\"v\":2},{\"username\":\"a\"}]");
}

static void list_sorts_bytewise_and_pages(void **state)
{
    struct dm_documents *d = *state;
    static const char *const names[] = {"b", "a\\\"", "B", "a!", "ab"};
    for (size_t i = 0; i < DM_COUNT_OF(names); i++) {
        struct dm_buf text;
        dm_buf_init(&text, 100);
        dm_buf_addf(&text, "{\"username\":\"%s\"}", names[i]);
        assert_int_equal(documents_insert(d, "users", dm_buf_cstr(&text)), DM_OK);
        dm_buf_done(&text);
    }
    assert_list(d, "users", &(struct dm_query){.sort = "username"},
                "[{\"username\":\"B\"},{\"username\":\"a!\"},{\"username\":\"a\\\"\"},{"
                "\"username\":\"ab\"},"
                "{\"username\":\"b\"}]");
    assert_list(d, "users", &(struct dm_query){.sort = "username", .skip = 1, .limit = 2},
                "[{\"username\":\"a!\"},{\"username\":\"a\\\"\"}]");
    assert_list(d, "users", &(struct dm_query){.skip = 3, .limit = 9},
                "[{\"username\":\"a!\"},{\"username\":\"ab\"}]");
    assert_list(d, "users", &(struct dm_query){.skip = 5}, "[]");
    assert_list(d, "users", &(struct dm_query){.limit = 1}, "[{\"username\":\"b\"}]");
}

struct met {
    struct dm_documents *d;
    int count, numbers, stop_after;
};

static enum dm_code meet(void *ctx, const struct dm_json *doc, struct dm_error *err)
{
    struct met *m = ctx;
    uint64_t count;
    m->numbers += (int)dm_json_i64(dm_json_get(doc, DM_LIT("n")), 0);
    if (m->count % 500 == 0) /* the store may be asked while a walk is under way */
        assert_int_equal(dm_documents_count(m->d, "walked", NULL, 0, &count, NULL), DM_OK);
    return ++m->count == m->stop_after ? DM_FAIL(err, DM_LIMIT, ERR_NONE, "enough") : DM_OK;
}

static void walk_meets_every_document_once(void **state)
{
    enum { MANY = 1203, SUM = MANY * (MANY - 1) / 2 }; /* more than two answers of a server */
    struct dm_documents *d = *state;
    struct met all = {.d = d}, some = {.d = d, .stop_after = 700}, none = {.d = d};
    for (int i = 0; i < MANY; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "{\"i\":\"%d\",\"n\":%d}", i, i);
        assert_int_equal(documents_insert(d, "walked", text), DM_OK);
    }
    assert_int_equal(dm_documents_each(d, "walked", meet, &all, NULL), DM_OK);
    assert_int_equal(all.count, MANY);
    assert_int_equal(all.numbers, SUM);
    assert_int_equal(dm_documents_each(d, "walked", meet, &some, NULL), DM_LIMIT);
    assert_int_equal(some.count, 700);
    assert_int_equal(dm_documents_each(d, "nothing", meet, &none, NULL), DM_OK);
    assert_int_equal(none.count, 0);
}

static void replace_refuses_an_outdated_version(void **state)
{
    struct dm_documents *d = *state;
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL, *again = NULL;
    DM_DEFER(dm_json_freep)
    struct dm_json *x = documents_json("{\"username\":\"ann\",\"v\":\"x\"}");
    DM_DEFER(dm_json_freep)
    struct dm_json *y = documents_json("{\"username\":\"ann\",\"v\":\"y\"}");
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann")),
                           other = DM_WHERE("username", DM_LIT("o"));
    uint64_t version = 0, newer = 0;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\"}"), DM_OK);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, &version, NULL), DM_OK);
    assert_int_equal(dm_documents_replace(d, "users", &other, 1, version, x, NULL), DM_NOT_FOUND);
    assert_int_equal(dm_documents_replace(d, "users", &who, 1, version, x, NULL), DM_OK);
    assert_int_equal(dm_documents_replace(d, "users", &who, 1, version, y, NULL), DM_CONFLICT);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &again, &newer, NULL), DM_OK);
    documents_assert_json(again, "{\"username\":\"ann\",\"v\":\"x\"}");
    assert_int_not_equal(version, newer);
}

static void document_made_anew_has_another_version(void **state)
{
    struct dm_documents *d = *state;
    DM_DEFER(dm_json_freep)
    struct dm_json *doc = NULL, *x = documents_json("{\"username\":\"ann\",\"v\":\"x\"}");
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    uint64_t version = 0, deleted = 0;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\"}"), DM_OK);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, &version, NULL), DM_OK);
    assert_int_equal(dm_documents_delete(d, "users", &who, 1, &deleted, NULL), DM_OK);
    assert_int_equal(deleted, 1);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\"}"), DM_OK);
    assert_int_equal(dm_documents_replace(d, "users", &who, 1, version, x, NULL), DM_CONFLICT);
}

static void replace_moves_unique_keys_and_refuses_taken_ones(void **state)
{
    struct dm_documents *d = *state;
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    DM_DEFER(dm_json_freep)
    struct dm_json *taken = documents_json("{\"username\":\"bob\",\"email\":\"a@x\"}");
    DM_DEFER(dm_json_freep)
    struct dm_json *moved = documents_json("{\"username\":\"cid\",\"email\":\"a@x\"}");
    const struct dm_filter ann = DM_WHERE("username", DM_LIT("ann"));
    uint64_t version = 0;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"email\":\"a@x\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"bob\",\"email\":\"b@x\"}"),
                     DM_OK);
    assert_int_equal(dm_documents_find(d, "users", &ann, 1, &doc, &version, NULL), DM_OK);
    assert_int_equal(dm_documents_replace(d, "users", &ann, 1, version, taken, NULL), DM_EXISTS);
    assert_int_equal(dm_documents_replace(d, "users", &ann, 1, version, moved, NULL), DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"email\":\"c@x\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"cid\",\"email\":\"d@x\"}"),
                     DM_EXISTS);
}

static void delete_takes_every_match_and_frees_the_keys(void **state)
{
    struct dm_documents *d = *state;
    const struct dm_filter blue = {
        .field = "t", .op = DM_FILTER_HAS, .kind = DM_JSON_STRING, .str = DM_LIT("b")};
    uint64_t n = 0;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"1\",\"t\":[\"b\"]}"), DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"2\",\"t\":[]}"), DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"3\",\"t\":[\"a\",\"b\"]}"),
                     DM_OK);
    assert_int_equal(dm_documents_delete(d, "users", &blue, 1, &n, NULL), DM_OK);
    assert_int_equal(n, 2);
    assert_int_equal(dm_documents_delete(d, "users", &blue, 1, &n, NULL), DM_OK);
    assert_int_equal(n, 0);
    assert_list(d, "users", &(struct dm_query){0}, "[{\"username\":\"2\",\"t\":[]}]");
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"1\"}"), DM_OK);
}

static void count_counts_matches(void **state)
{
    struct dm_documents *d = *state;
    const struct dm_filter x = DM_WHERE("k", DM_LIT("x"));
    uint64_t n = 0;
    assert_int_equal(documents_insert(d, "c", "{\"k\":\"x\"}"), DM_OK);
    assert_int_equal(documents_insert(d, "c", "{\"k\":\"y\"}"), DM_OK);
    assert_int_equal(documents_insert(d, "c", "{\"k\":\"x\"}"), DM_OK);
    assert_int_equal(dm_documents_count(d, "c", &x, 1, &n, NULL), DM_OK);
    assert_int_equal(n, 2);
}

static void many_documents_keep_their_keys(void **state)
{
    struct dm_documents *d = *state;
    enum { MANY = 150 }; /* of a table in memory: it grows and shrinks several times */
    char name[16];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            char text[64];
            (void)snprintf(text, sizeof text, "{\"username\":\"u%d\",\"email\":\"e%d\"}", i, i);
            assert_int_equal(documents_insert(d, "users", text), DM_OK);
            assert_int_equal(documents_insert(d, "users", text), DM_EXISTS);
        }
        for (int i = round; i < MANY;
             i += 1 + (round == 0)) { /* every second, then all of the rest */
            uint64_t n = 0;
            (void)snprintf(name, sizeof name, "u%d", i);
            const struct dm_filter who = DM_WHERE("username", dm_view_of(name));
            assert_int_equal(dm_documents_delete(d, "users", &who, 1, &n, NULL), DM_OK);
            assert_int_equal(n, 1);
        }
        if (round == 1)
            break;
        for (int i = 0; i < MANY; i++) {
            struct dm_json *doc = NULL;
            (void)snprintf(name, sizeof name, "u%d", i);
            const struct dm_filter who = DM_WHERE("username", dm_view_of(name));
            assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, NULL, NULL),
                             i % 2 ? DM_OK : DM_NOT_FOUND);
            dm_json_free(doc);
        }
        uint64_t n = 0;
        const struct dm_filter all = {
            .field = "username", .op = DM_FILTER_NE, .kind = DM_JSON_STRING, .str = DM_LIT("")};
        assert_int_equal(dm_documents_delete(d, "users", &all, 1, &n, NULL), DM_OK);
        assert_int_equal(n, MANY / 2);
    }
}

static enum dm_code add_one(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    struct dm_documents *d = ctx;
    (void)err;
    if (d != NULL) { /* somebody else is quicker, once */
        const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
        DM_DEFER(dm_json_freep) struct dm_json *other = NULL;
        uint64_t version;
        assert_int_equal(dm_documents_find(d, "users", &who, 1, &other, &version, NULL), DM_OK);
        if (dm_json_i64(dm_json_get(other, DM_LIT("n")), 0) == 0) {
            dm_json_set_i64(other, DM_LIT("n"), 10);
            assert_int_equal(dm_documents_replace(d, "users", &who, 1, version, other, NULL),
                             DM_OK);
        }
    }
    dm_json_set_i64(doc, DM_LIT("n"), dm_json_i64(dm_json_get(doc, DM_LIT("n")), 0) + 1);
    return DM_OK;
}

static void update_starts_again_when_somebody_was_quicker(void **state)
{
    struct dm_documents *d = *state;
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann")),
                           none = DM_WHERE("username", DM_LIT("x"));
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"n\":0}"), DM_OK);
    assert_int_equal(dm_documents_update(d, "users", &none, 1, add_one, NULL, NULL, NULL),
                     DM_NOT_FOUND);
    assert_int_equal(dm_documents_update(d, "users", &who, 1, add_one, d, &doc, NULL), DM_OK);
    documents_assert_json(doc, "{\"username\":\"ann\",\"n\":11}");
}

static enum dm_code refuse_change(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    (void)ctx;
    dm_json_set_i64(doc, DM_LIT("n"), 99);
    return DM_FAIL(err, DM_DENIED, ERR_NONE, "no");
}

static void refused_update_changes_nothing(void **state)
{
    struct dm_documents *d = *state;
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"n\":0}"), DM_OK);
    assert_int_equal(dm_documents_update(d, "users", &who, 1, refuse_change, NULL, NULL, NULL),
                     DM_DENIED);
    assert_list(d, "users", &(struct dm_query){0}, "[{\"username\":\"ann\",\"n\":0}]");
}

int documents_contract_run(const char *name, const struct documents_factory *factory)
{
#define CONTRACT(test) cmocka_unit_test_setup_teardown(test, contract_open, contract_close)
    const struct CMUnitTest tests[] = {
        CONTRACT(stored_document_is_found_by_key),
        CONTRACT(absent_document_and_collection_are_not_found),
        CONTRACT(unique_key_refuses_a_second_document),
        CONTRACT(unique_key_of_two_fields_needs_both_equal),
        CONTRACT(unique_key_of_four_fields_needs_all_equal),
        CONTRACT(document_without_the_field_is_not_held_to_the_key),
        CONTRACT(escaped_strings_are_equal_by_their_characters),
        CONTRACT(a_name_inside_a_value_is_no_match),
        CONTRACT(filters_select_by_equality_inequality_and_membership),
        CONTRACT(list_keeps_the_order_of_insertion_also_after_replace),
        CONTRACT(list_sorts_bytewise_and_pages),
        CONTRACT(walk_meets_every_document_once),
        CONTRACT(replace_refuses_an_outdated_version),
        CONTRACT(document_made_anew_has_another_version),
        CONTRACT(replace_moves_unique_keys_and_refuses_taken_ones),
        CONTRACT(delete_takes_every_match_and_frees_the_keys),
        CONTRACT(count_counts_matches),
        CONTRACT(many_documents_keep_their_keys),
        CONTRACT(update_starts_again_when_somebody_was_quicker),
        CONTRACT(refused_update_changes_nothing),
    };
#undef CONTRACT
    documents_factory = factory;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

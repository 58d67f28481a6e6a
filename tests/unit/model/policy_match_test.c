#include "policy_kit.h"

struct fixture {
    struct dm_policy_builder *builder;
    struct dm_policy *policy;
    const struct dm_policy_api *api;
};

static int open_fixture(void **state)
{
    struct fixture *f = DM_NEW(struct fixture);
    f->builder = dm_policy_builder_new();
    kit_put_api(f->builder, "");
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    dm_policy_unref(f->policy);
    dm_policy_builder_free(f->builder);
    dm_mem_free(f);
    return 0;
}

static void build(struct fixture *f)
{
    dm_policy_unref(f->policy);
    f->policy = dm_policy_builder_build(f->builder, 1, 0);
    f->api = dm_policy_api(f->policy, DM_LIT("a"), DM_LIT("v1"));
    assert_non_null(f->api);
}

struct match {
    const char *method, *path, *id;
};

static void assert_matches(const struct fixture *f, const struct match *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *id = kit_match(f->api, m[i].method, m[i].path, NULL);
        if (!dm_view_eq(dm_view_of(id), dm_view_of(m[i].id)))
            fail_msg("%s %s: %s instead of %s", m[i].method, m[i].path, id, m[i].id);
    }
}

static void literal_beats_mixed_beats_template_beats_wildcard(void **state)
{
    struct fixture *f = *state;
    kit_put_endpoint(f->builder, "any", "GET", "/items/*", NULL);
    kit_put_endpoint(f->builder, "template", "GET", "/items/{id}", NULL);
    kit_put_endpoint(f->builder, "mixed", "GET", "/items/{id}.json", NULL);
    kit_put_endpoint(f->builder, "longer", "GET", "/items/x-{id}.json", NULL);
    kit_put_endpoint(f->builder, "literal", "GET", "/items/x-1.json", NULL);
    kit_put_endpoint(f->builder, "list", "GET", "/items", NULL);
    build(f);
    const struct match wanted[] = {
        {"GET", "/items", "list"},
        {"GET", "/items/x-1.json", "literal"},
        {"GET", "/items/x-2.json", "longer"},
        {"GET", "/items/2.json", "mixed"},
        {"GET", "/items/.json", "template"},
        {"GET", "/items/2", "template"},
        {"GET", "/items/2/3", "any"},
        {"GET", "/items/x-1.json/3", "any"},
        {"GET", "/item", "-"},
        {"GET", "/", "-"},
        {"GET", "/Items", "-"},
    };
    assert_matches(f, wanted, DM_COUNT_OF(wanted));
}

static void a_dead_end_goes_back_to_the_next_best(void **state)
{
    struct fixture *f = *state;
    kit_put_endpoint(f->builder, "literal", "GET", "/a/b/c", NULL);
    kit_put_endpoint(f->builder, "template", "GET", "/a/{x}/d", NULL);
    kit_put_endpoint(f->builder, "deep", "GET", "/{p}/b/{q}/e", NULL);
    kit_put_endpoint(f->builder, "any", "GET", "/*", NULL);
    build(f);
    const struct match wanted[] = {
        {"GET", "/a/b/c", "literal"}, {"GET", "/a/b/d", "template"}, {"GET", "/a/b/c/e", "deep"},
        {"GET", "/a/b/e", "any"},     {"GET", "/", "any"},           {"GET", "/a/b/c/e/f", "any"},
    };
    assert_matches(f, wanted, DM_COUNT_OF(wanted));
}

static void exact_method_beats_get_for_head_beats_any_method(void **state)
{
    struct fixture *f = *state;
    kit_put_endpoint(f->builder, "get", "get", "/a", NULL);
    kit_put_endpoint(f->builder, "star", "*", "/a", NULL);
    kit_put_endpoint(f->builder, "post", "POST", "/{x}", NULL);
    kit_put_endpoint(f->builder, "head", "HEAD", "/h", NULL);
    kit_put_endpoint(f->builder, "get-h", "GET", "/h", NULL);
    kit_put_endpoint(f->builder, "patch", "PATCH", "/p", NULL);
    build(f);
    const struct match wanted[] = {
        {"GET", "/a", "get"},    {"HEAD", "/a", "get"},
        {"POST", "/a", "star"}, /* the path first */
        {"POST", "/b", "post"},  {"HEAD", "/h", "head"},
        {"GET", "/h", "get-h"},  {"GET", "/p", "-"},
        {"HEAD", "/p", "-"},     {"PATCH", "/p", "patch"},
        {"PURGE", "/a", "star"},
    };
    assert_matches(f, wanted, DM_COUNT_OF(wanted));
}

static void path_of_another_method_is_told(void **state)
{
    struct fixture *f = *state;
    bool exists = false;
    kit_put_endpoint(f->builder, "get", "GET", "/a/{x}", NULL);
    build(f);
    assert_string_equal(kit_match(f->api, "POST", "/a/b", &exists), "-");
    assert_true(exists);
    assert_string_equal(kit_match(f->api, "POST", "/a", &exists), "-");
    assert_false(exists);
    assert_string_equal(kit_match(f->api, "GET", "/a/b", &exists), "get");
    assert_true(exists);
}

static void template_text_is_literal_and_parameters_take_a_character(void **state)
{
    struct fixture *f = *state;
    kit_put_endpoint(f->builder, "dots", "GET", "/a.b(c)*", NULL);
    kit_put_endpoint(f->builder, "two", "GET", "/{from}-{to}", NULL);
    kit_put_endpoint(f->builder, "three", "GET", "/v{a}.{b}.{c}x", NULL);
    kit_put_endpoint(f->builder, "brace", "GET", "/{open", NULL);
    kit_put_endpoint(f->builder, "empty", "GET", "/{}", NULL);
    kit_put_endpoint(f->builder, "side", "GET", "/s/{a}{b}", NULL);
    kit_put_endpoint(f->builder, "star", "GET", "/m/*/x", NULL);
    build(f);
    const struct match wanted[] = {
        {"GET", "/a.b(c)*", "dots"},  {"GET", "/aXb(c)", "-"},       {"GET", "/1-2", "two"},
        {"GET", "/-", "-"},           {"GET", "/1-", "-"},           {"GET", "/--2", "two"},
        {"GET", "/v1.2.3x", "three"}, {"GET", "/v1..2.3x", "three"}, {"GET", "/v1.2.x", "-"},
        {"GET", "/v.1.2x", "-"},      {"GET", "/{open", "brace"},    {"GET", "/{}", "empty"},
        {"GET", "/s/ab", "side"},     {"GET", "/s/a", "-"},          {"GET", "/m/*/x", "star"},
        {"GET", "/m/y/x", "-"},
    };
    assert_matches(f, wanted, DM_COUNT_OF(wanted));
}

static void client_uri_is_what_clients_call(void **state)
{
    struct fixture *f = *state;
    kit_put_endpoint(f->builder, "e", "GET", "/internal/{id}", "/public/{id}");
    build(f);
    const struct match wanted[] = {{"GET", "/public/1", "e"}, {"GET", "/internal/1", "-"}};
    assert_matches(f, wanted, DM_COUNT_OF(wanted));
}

static void equal_templates_are_told_apart_whatever_the_order_of_publishing(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 2; round++) {
        kit_put_endpoint(f->builder, round == 0 ? "1" : "2", "GET", round == 0 ? "/{b}" : "/{a}",
                         NULL);
        kit_put_endpoint(f->builder, round == 0 ? "2" : "1", "GET", round == 0 ? "/{a}" : "/{b}",
                         NULL);
        build(f);
        assert_string_equal(kit_match(f->api, "GET", "/x", NULL), "2"); /* "/{a}" */
        kit_put(f->builder, "endpoint", "1", NULL);
        kit_put(f->builder, "endpoint", "2", NULL);
    }
}

/* "a/a/a/…" against templates that fit in every way but the last: a search that tried each
 * combination would not end. */
static void many_overlapping_templates_stay_cheap(void **state)
{
    struct fixture *f = *state;
    enum { DEPTH = 12 };
    for (unsigned mask = 0; mask < 1u << DEPTH; mask++) {
        char uri[8 * DEPTH + 8], id[16];
        size_t at = 0;
        for (int i = 0; i < DEPTH; i++)
            at += (size_t)snprintf(uri + at, sizeof uri - at, mask >> i & 1 ? "/{x}" : "/a");
        (void)snprintf(uri + at, sizeof uri - at, "/end");
        (void)snprintf(id, sizeof id, "%u", mask);
        kit_put_endpoint(f->builder, id, "GET", uri, NULL);
    }
    build(f);
    for (int i = 0; i < 50; i++)
        assert_string_equal(kit_match(f->api, "GET", "/a/a/a/a/a/a/a/a/a/a/a/a/no", NULL), "-");
    assert_string_equal(kit_match(f->api, "GET", "/a/a/a/a/a/a/a/a/a/a/a/a/end", NULL), "0");
    assert_string_equal(kit_match(f->api, "GET", "/b/a/a/a/a/a/a/a/a/a/a/a/end", NULL), "1");
}

static void rewrite_takes_parameters_by_name_then_by_position(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *uri, *client, *path, *upstream;
    } cases[] = {
        {"/a/{x}", NULL, "/a/b c", "/a/b%20c"},
        {"/", NULL, "/", "/"},
        {"/*", NULL, "/p/q%", "/p/q%25"},
        {"/*", NULL, "/", "/"},
        {"/i/{id}", "/p/{id}", "/p/7", "/i/7"},
        {"/i/{b}/{a}", "/p/{a}/{b}", "/p/1/2", "/i/2/1"},
        {"/i/{y}/{z}", "/p/{a}/{b}", "/p/1/2", "/i/1/2"},
        {"/f/{id}.json", "/g-{id}", "/g-x/", "/f/x.json"},
        {"/f/{b}", "/{a}.{b}", "/1.2.3", "/f/2.3"},
        {"/in/*", "/out/*", "/out/a/b", "/in/a/b"},
        {"/in/*", "/out/*", "/out", "/in"},
        {"/*", "/out/*", "/out", "/"},
        {"/in/{v}/*", "/{v}/out/*", "/v 1/out/a/b", "/in/v%201/a/b"},
        {"/fixed", "/out/*", "/out/a/b", "/fixed"},
        {"/me/{id}", "/me", "/me", "/me/%7Bid%7D"},
        {"/i/{a}{b}", "/p/{a}{b}", "/p/\xc3\xa9x", "/i/%C3%A9x"},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        dm_view segments[DM_URI_SEGMENTS_MAX];
        size_t n = kit_segments(cases[i].path, segments);
        struct dm_buf out;
        dm_buf_init(&out, 1000);
        kit_put_endpoint(f->builder, "e", "GET", cases[i].uri, cases[i].client);
        build(f);
        const struct dm_policy_endpoint *e =
            dm_policy_match(f->api, DM_LIT("GET"), segments, n, NULL);
        assert_non_null(e);
        dm_policy_upstream_path(e, segments, n, &out);
        assert_string_equal(dm_buf_cstr(&out), cases[i].upstream);
        dm_buf_done(&out);
    }
}

static void faulty_endpoints_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const faulty[] = {
        "{\"endpoint_id\":\"e\",\"endpoint_method\":\"GET\",\"endpoint_uri\":\"/a\"}",
        "{\"api_id\":\"api\",\"endpoint_uri\":\"/a\"}",
        "{\"api_id\":\"api\",\"endpoint_method\":\"GET\"}",
        "{\"api_id\":\"api\",\"endpoint_method\":\"GET\",\"endpoint_uri\":\"\"}",
        "[]",
    };
    struct dm_buf deep;
    dm_buf_init(&deep, 4096);
    dm_buf_addf(&deep, "{\"api_id\":\"api\",\"endpoint_method\":\"GET\",\"endpoint_uri\":\"");
    for (int i = 0; i <= DM_URI_SEGMENTS_MAX; i++)
        dm_buf_addf(&deep, "/a");
    dm_buf_addf(&deep, "\"}");
    kit_put_endpoint(f->builder, "e", "GET", "/old", NULL);
    for (size_t i = 0; i < DM_COUNT_OF(faulty); i++)
        assert_int_equal(kit_try(f->builder, "endpoint", "e", faulty[i]), DM_INVALID);
    assert_int_equal(kit_try(f->builder, "endpoint", "e", dm_buf_cstr(&deep)), DM_INVALID);
    dm_buf_done(&deep);
    build(f);
    assert_string_equal(kit_match(f->api, "GET", "/old", NULL), "e");
}

static void path_deeper_than_any_endpoint_finds_the_wildcard_only(void **state)
{
    struct fixture *f = *state;
    char path[2 * DM_URI_SEGMENTS_MAX + 1] = "";
    for (int i = 0; i < DM_URI_SEGMENTS_MAX; i++) {
        path[2 * i] = '/';
        path[2 * i + 1] = 'x';
    }
    kit_put_endpoint(f->builder, "w", "GET", "/x/*", NULL);
    kit_put_endpoint(f->builder, "deepest", "POST", path, NULL);
    build(f);
    assert_string_equal(kit_match(f->api, "GET", path, NULL), "w");
    assert_string_equal(kit_match(f->api, "POST", path, NULL), "deepest");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(literal_beats_mixed_beats_template_beats_wildcard),
        TEST(a_dead_end_goes_back_to_the_next_best),
        TEST(exact_method_beats_get_for_head_beats_any_method),
        TEST(path_of_another_method_is_told),
        TEST(template_text_is_literal_and_parameters_take_a_character),
        TEST(client_uri_is_what_clients_call),
        TEST(equal_templates_are_told_apart_whatever_the_order_of_publishing),
        TEST(many_overlapping_templates_stay_cheap),
        TEST(rewrite_takes_parameters_by_name_then_by_position),
        TEST(faulty_endpoints_are_refused),
        TEST(path_deeper_than_any_endpoint_finds_the_wildcard_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

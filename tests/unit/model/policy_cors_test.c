#include "policy_kit.h"

/* gateway.md §7.1, row by row. */

static struct dm_policy *with_cors(const char *members)
{
    struct dm_policy_builder *b = dm_policy_builder_new();
    kit_put_api(b, members);
    struct dm_policy *p = dm_policy_builder_build(b, 1, 0);
    dm_policy_builder_free(b);
    return p;
}

static const struct dm_policy_cors *cors_of(const struct dm_policy *p)
{
    return &dm_policy_api(p, DM_LIT("a"), DM_LIT("v1"))->cors;
}

static void assert_text(dm_view got, const char *wanted)
{
    if (!dm_view_eq(got, dm_view_of(wanted)))
        fail_msg("\"%.*s\" is not \"%s\"", DM_FMT(got), wanted);
}

static void absent_lists_allow_everything(void **state)
{
    (void)state;
    static const char *const absent[] = {
        "", ",\"api_cors_allow_origins\":null,\"api_cors_allow_methods\":null,\"api_cors_allow_"
            "headers\":null,"
            "\"api_cors_allow_credentials\":null,\"api_cors_expose_headers\":null"};
    for (size_t i = 0; i < DM_COUNT_OF(absent); i++) {
        struct dm_policy *p = with_cors(absent[i]);
        const struct dm_policy_cors *c = cors_of(p);
        assert_true(dm_policy_cors_origin(c, DM_LIT("https://anything.example")));
        assert_true(dm_policy_cors_method(c, DM_LIT("PATCH")));
        assert_false(dm_policy_cors_method(c, DM_LIT("TRACE")));
        assert_true(dm_policy_cors_headers(c, DM_LIT("x-a, x-b")));
        assert_text(c->methods_text, "GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS");
        assert_text(c->headers_text, "*");
        assert_text(c->expose_text, "");
        assert_false(c->credentials);
        dm_policy_unref(p);
    }
}

static void empty_lists_allow_nobody(void **state)
{
    (void)state;
    struct dm_policy *p = with_cors(",\"api_cors_allow_origins\":[],\"api_cors_allow_methods\":[],"
                                    "\"api_cors_allow_headers\":[],\"api_cors_expose_headers\":[]");
    const struct dm_policy_cors *c = cors_of(p);
    assert_false(dm_policy_cors_origin(c, DM_LIT("https://anything.example")));
    assert_true(dm_policy_cors_method(c, DM_LIT("OPTIONS")));
    assert_false(dm_policy_cors_method(c, DM_LIT("GET")));
    assert_false(dm_policy_cors_headers(c, DM_LIT("x-a")));
    assert_true(dm_policy_cors_headers(c, DM_LIT(""))); /* none requested */
    assert_text(c->methods_text, "OPTIONS");
    assert_text(c->headers_text, "");
    assert_text(c->expose_text, "");
    dm_policy_unref(p);
}

static void origins_match_exactly_or_as_subdomain(void **state)
{
    (void)state;
    struct dm_policy *p =
        with_cors(",\"api_cors_allow_origins\":[\"https://one.example\",\"https://*.two.example\","
                  "\"http://*.three.example:8080\"]");
    static const struct {
        const char *origin;
        bool allowed;
    } cases[] = {
        {"https://one.example", true},
        {"https://one.example.evil", false},
        {"https://one.example:8443", false},
        {"http://one.example", false},
        {"https://a.two.example", true},
        {"https://a.b.two.example", true},
        {"https://two.example", false},
        {"https://.two.example", false},
        {"https://a..two.example", false},
        {"https://eviltwo.example", false},
        {"http://a.two.example", false},
        {"https://a.two.example:8443", false},
        {"https://a.two.example.evil", false},
        {"https://evil/.two.example", false},
        {"https://user@a.two.example", false},
        {"http://a.three.example:8080", true},
        {"http://a.three.example", false},
        {"null", false},
        {"", false},
        {"https://", false},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        if (dm_policy_cors_origin(cors_of(p), dm_view_of(cases[i].origin)) != cases[i].allowed)
            fail_msg("%s", cases[i].origin);
    }
    dm_policy_unref(p);
}

static void star_among_origins_allows_any_but_needs_one(void **state)
{
    (void)state;
    struct dm_policy *p = with_cors(",\"api_cors_allow_origins\":[\"https://one.example\",\"*\"],"
                                    "\"api_cors_allow_credentials\":true");
    assert_true(cors_of(p)->any_origin && cors_of(p)->credentials);
    assert_true(dm_policy_cors_origin(cors_of(p), DM_LIT("http://x")));
    assert_false(dm_policy_cors_origin(cors_of(p), DM_LIT("")));
    dm_policy_unref(p);
}

static void methods_are_upper_cased_and_options_added(void **state)
{
    (void)state;
    struct dm_policy *p = with_cors(",\"api_cors_allow_methods\":[\"get\",\"Post\"]");
    assert_text(cors_of(p)->methods_text, "GET, POST, OPTIONS");
    assert_true(dm_policy_cors_method(cors_of(p), DM_LIT("GET")));
    assert_true(dm_policy_cors_method(cors_of(p), DM_LIT("OPTIONS")));
    assert_true(dm_policy_cors_method(cors_of(p), DM_LIT("")));     /* none requested */
    assert_false(dm_policy_cors_method(cors_of(p), DM_LIT("get"))); /* methods are case-sensitive */
    assert_false(dm_policy_cors_method(cors_of(p), DM_LIT("PUT")));
    dm_policy_unref(p);
    p = with_cors(",\"api_cors_allow_methods\":[\"OPTIONS\",\"PUT\"]");
    assert_text(cors_of(p)->methods_text, "OPTIONS, PUT");
    dm_policy_unref(p);
}

static void headers_are_compared_without_case(void **state)
{
    (void)state;
    struct dm_policy *p = with_cors(",\"api_cors_allow_headers\":[\"X-One\",\"content-type\"],"
                                    "\"api_cors_expose_headers\":[\"X-Two\",\"X-Three\"]");
    const struct dm_policy_cors *c = cors_of(p);
    assert_text(c->headers_text, "X-One, content-type");
    assert_text(c->expose_text, "X-Two, X-Three");
    assert_true(dm_policy_cors_headers(c, DM_LIT("x-one")));
    assert_true(dm_policy_cors_headers(c, DM_LIT(" X-ONE ,Content-Type,, ")));
    assert_false(dm_policy_cors_headers(c, DM_LIT("x-one, x-two")));
    assert_false(dm_policy_cors_headers(c, DM_LIT("x-one x-one")));
    dm_policy_unref(p);
    p = with_cors(",\"api_cors_allow_headers\":[\"X-One\",\"*\"]");
    assert_true(dm_policy_cors_headers(cors_of(p), DM_LIT("anything")));
    dm_policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_lists_allow_everything),
        cmocka_unit_test(empty_lists_allow_nobody),
        cmocka_unit_test(origins_match_exactly_or_as_subdomain),
        cmocka_unit_test(star_among_origins_allows_any_but_needs_one),
        cmocka_unit_test(methods_are_upper_cased_and_options_added),
        cmocka_unit_test(headers_are_compared_without_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

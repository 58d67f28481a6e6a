#include "policy_kit.h"

static struct dm_policy *policy_of(const char *members)
{
    struct dm_policy_builder *b = dm_policy_builder_new();
    kit_put_api(b, members);
    struct dm_policy *p = dm_policy_builder_build(b, 1, 0);
    dm_policy_builder_free(b);
    return p;
}

static const struct dm_policy_api *api_of(const struct dm_policy *p)
{
    return dm_policy_api(p, DM_LIT("a"), DM_LIT("v1"));
}

static void assert_text(dm_view got, const char *wanted)
{
    if (!dm_view_eq(got, dm_view_of(wanted)))
        fail_msg("\"%.*s\" is not \"%s\"", DM_FMT(got), wanted);
}

static void bare_api_has_the_defaults_of_the_model(void **state)
{
    (void)state;
    struct dm_policy *p = policy_of("");
    const struct dm_policy_api *a = api_of(p);
    assert_text(a->api_id, "api");
    assert_text(a->name, "a");
    assert_text(a->version, "v1");
    assert_text(a->nv, "a/v1");
    assert_text(a->path, "/a/v1");
    assert_true(a->active && a->auth_required);
    assert_false(a->is_public || a->credits_enabled || a->retry_non_idempotent ||
                 a->strict_envelope || a->is_crud || a->headers_all || a->ip_whitelist_mode);
    assert_int_equal(a->headers.count + a->roles.count + a->groups.count + a->pool.n_servers, 0);
    assert_null(a->ip_whitelist);
    assert_null(a->ip_blacklist);
    assert_int_equal(a->trust_xff, -1);
    assert_int_equal(a->limit_on_store_down, -1);
    assert_int_equal(a->retries, 0);
    assert_int_equal(a->connect_timeout + a->read_timeout + a->write_timeout + a->pool_timeout, 0);
    assert_null(a->request_transform);
    assert_null(a->response_transform);
    assert_int_equal(a->n_endpoints, 0);
    assert_null(dm_policy_match(a, DM_LIT("GET"), NULL, 0, NULL));
    dm_policy_unref(p);
}

static void every_field_is_read(void **state)
{
    (void)state;
    struct dm_policy *p = policy_of(
        ",\"active\":false,\"api_public\":true,\"api_auth_required\":false,\"api_credits_enabled\":"
        "true,"
        "\"api_retry_non_idempotent\":true,\"api_strict_envelope\":true,\"api_is_crud\":true,"
        "\"api_allowed_headers\":[\"X-B\",\"x-a\",\"*\"],\"api_allowed_roles\":[\"b\",\"a\"],"
        "\"api_allowed_groups\":[\"ALL\"],\"api_ip_mode\":\" WhiteList "
        "\",\"api_ip_whitelist\":[\"10.0.0.0/8\","
        "\" ::1 \"],\"api_ip_blacklist\":[\"1.2.3.4\"],\"api_trust_x_forwarded_for\":false,"
        "\"api_allowed_retry_count\":3,\"api_limit_on_store_down\":\"deny\",\"api_connect_"
        "timeout\":0.5,"
        "\"api_read_timeout\":600,\"api_write_timeout\":601,\"api_pool_timeout\":-1,"
        "\"api_authorization_field_swap\":\"X-Auth\",\"api_credit_group\":\"g\","
        "\"api_request_transform\":{\"x\":1},\"api_response_transform\":{}");
    const struct dm_policy_api *a = api_of(p);
    assert_false(a->active || a->auth_required);
    assert_true(a->is_public && a->credits_enabled && a->retry_non_idempotent &&
                a->strict_envelope && a->is_crud);
    assert_true(a->headers_all && dm_strs_has(&a->headers, DM_LIT("x-b")));
    assert_true(dm_strs_has(&a->roles, DM_LIT("a")) && dm_strs_has(&a->groups, DM_LIT("ALL")));
    assert_true(a->ip_whitelist_mode);
    assert_int_equal(dm_address_set_count(a->ip_whitelist), 2);
    assert_int_equal(dm_address_set_count(a->ip_blacklist), 1);
    assert_int_equal(a->trust_xff, 0);
    assert_int_equal(a->retries, 3);
    assert_int_equal(a->limit_on_store_down, DM_LIMIT_ON_STORE_DOWN_DENY);
    assert_int_equal(a->connect_timeout, DM_SEC / 2);
    assert_int_equal(a->read_timeout, 600 * DM_SEC);
    assert_int_equal(a->write_timeout + a->pool_timeout, 0); /* out of range: the setting */
    assert_text(a->auth_swap, "X-Auth");
    assert_text(a->credit_group, "g");
    assert_int_equal(dm_json_i64(dm_json_get(a->request_transform, DM_LIT("x")), 0), 1);
    assert_null(a->response_transform);
    dm_policy_unref(p);
}

static void words_for_a_lost_store_are_a_closed_set(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        int value;
    } cases[] = {{",\"api_limit_on_store_down\":\"allow\"", DM_LIMIT_ON_STORE_DOWN_ALLOW},
                 {",\"api_limit_on_store_down\":\"local\"", DM_LIMIT_ON_STORE_DOWN_LOCAL},
                 {",\"api_limit_on_store_down\":\"Deny\"", -1},
                 {",\"api_limit_on_store_down\":null", -1},
                 {",\"api_limit_on_store_down\":7", -1}};
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct dm_policy *p = policy_of(cases[i].members);
        assert_int_equal(api_of(p)->limit_on_store_down, cases[i].value);
        dm_policy_unref(p);
    }
}

static void servers_are_parsed_and_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key, *host;
    } wanted[] = {
        {"http://h.example", "h.example:80", "h.example"},
        {"http://h.example:80/base/", "h.example:80", "h.example"},
        {"http://h.example:8080", "h.example:8080", "h.example:8080"},
        {"https://h.example", "tls:h.example:443", "h.example"},
        {"https://h.example:8443", "tls:h.example:8443", "h.example:8443"},
        {"grpc://h.example:50051", "h.example:50051", "h.example:50051"},
        {"grpcs://h.example", "tls:h.example:443", "h.example"},
        {"127.0.0.1:9000", "127.0.0.1:9000", "127.0.0.1:9000"},
        {"h.example:80", "h.example:80", "h.example"},
        {"http://[::1]:9000/x", "[::1]:9000", "[::1]:9000"},
        {"unix:/run/app.sock", "/run/app.sock", "localhost"},
        {"unix:/run/app.sock:/base", "/run/app.sock", "localhost"},
    };
    struct dm_buf members;
    dm_buf_init(&members, 4096);
    dm_buf_addf(&members, ",\"api_servers\":[\"nonsense\",\"ftp://h\",7");
    for (size_t i = 0; i < DM_COUNT_OF(wanted); i++)
        dm_buf_addf(&members, ",\"%s\"", wanted[i].text);
    dm_buf_addf(&members, ",\"http://user@h\"]");
    struct dm_policy *p = policy_of(dm_buf_cstr(&members));
    dm_buf_done(&members);
    const struct dm_policy_pool *pool = &api_of(p)->pool;
    assert_int_equal(pool->n_servers, DM_COUNT_OF(wanted)); /* what cannot be read is skipped */
    for (size_t i = 0; i < DM_COUNT_OF(wanted); i++) {
        assert_text(pool->servers[i].text, wanted[i].text);
        assert_text(pool->servers[i].key, wanted[i].key);
        assert_text(pool->servers[i].host_header, wanted[i].host);
    }
    assert_text(pool->servers[1].url.path, "/base");
    dm_policy_unref(p);
    p = policy_of(",\"api_servers\":[\"nonsense\"]");
    assert_int_equal(api_of(p)->pool.n_servers, 0);
    dm_policy_unref(p);
}

static void long_lists_and_texts_are_kept_whole(void **state)
{
    (void)state;
    struct dm_buf members;
    dm_buf_init(&members, 1 << 20);
    dm_buf_addf(&members, ",\"api_allowed_groups\":[\"g0\"");
    for (int i = 1; i < 2000; i++)
        dm_buf_addf(&members, ",\"group-%d\"", i);
    dm_buf_addf(&members, "],\"api_authorization_field_swap\":\"");
    for (int i = 0; i < 5000; i++)
        dm_buf_add_byte(&members, 'x');
    dm_buf_addf(&members, "\"");
    struct dm_buf text;
    dm_buf_init(&text, 1 << 20);
    dm_buf_addf(&text, "{\"api_id\":\"api\",\"api_name\":\"a\",\"api_version\":\"v1\"");
    dm_buf_add(&text, dm_buf_view(&members));
    dm_buf_addf(&text, "}");
    struct dm_policy_builder *b = dm_policy_builder_new();
    kit_put(b, "api", "api", dm_buf_cstr(&text));
    struct dm_policy *p = dm_policy_builder_build(b, 1, 0);
    assert_int_equal(api_of(p)->groups.count, 2000);
    for (int i = 1; i < 2000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "group-%d", i);
        assert_true(dm_strs_has(&api_of(p)->groups, dm_view_of(name)));
    }
    assert_int_equal(api_of(p)->auth_swap.len, 5000);
    dm_policy_unref(p);
    dm_policy_builder_free(b);
    dm_buf_done(&members);
    dm_buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bare_api_has_the_defaults_of_the_model),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(words_for_a_lost_store_are_a_closed_set),
        cmocka_unit_test(servers_are_parsed_and_named),
        cmocka_unit_test(long_lists_and_texts_are_kept_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

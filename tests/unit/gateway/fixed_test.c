/* Paths of our own: /api/status, redirects, and a gateway that has no policy yet (gateway.md §1.1,
 * §23). */
#include <stdio.h>

#include "io/front.h"
#include "rig.h"

static void status_needs_a_token_and_the_permission(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get_anonymous(r, "/api/status", ""), 401);
    assert_non_null(strstr(r->body, "GTW401"));
    assert_int_equal(rig_get(r, "/api/status", ""), 403);
    assert_non_null(strstr(r->body, "\"error_code\":\"GTW013\",\"error_message\":\"Forbidden\""));
    rig_publish(r, "role", "user", "{\"role_name\":\"user\",\"manage_gateway\":true}");
    assert_int_equal(rig_get(r, "/api/status", ""), 200);
    assert_non_null(
        strstr(r->body, "{\"status\":\"ok\",\"uptime_seconds\":0,\"memory_usage_mb\":"));
    assert_non_null(
        strstr(r->body, "\"mode\":\"memory\",\"mongodb\":\"memory\",\"redis\":\"memory\""));
    assert_non_null(strstr(r->body, "\"active_connections\":1,\"uptime\":\"0m 0s\"}"));
    rig_revoke(r, "bob", "");
    assert_int_equal(rig_get(r, "/api/status", ""), 401);
}

static void uptime_is_told_in_its_largest_units(void **state)
{
    struct rig *r = *state;

    rig_publish(r, "role", "user", "{\"role_name\":\"user\",\"manage_gateway\":true}");
    rig_pass(r, (3600 + 120 + 3) * DM_SEC);
    assert_int_equal(rig_get(r, "/api/status", ""), 200);
    assert_non_null(strstr(r->body, "\"uptime\":\"1h 2m\""));
}

static void status_spends_no_limit(void **state)
{
    struct rig *r = *state;

    rig_publish(r, "role", "user", "{\"role_name\":\"user\",\"manage_gateway\":true}");
    rig_user(r, "bob", "\"rate_limit_enabled\":true,\"rate_limit_duration\":1,");
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_get(r, "/api/status", ""), 200);
}

static void another_method_is_405(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_call(r, "OPTIONS", "/api/status", "", NULL), 405);
    assert_true(rig_answered(r, "Allow: GET\r\n"));
    assert_non_null(strstr(r->body, "{\"detail\":\"Method Not Allowed\",\"error_code\":\"GTW405\","
                                    "\"error_message\":\"Method Not Allowed\"}"));
}

static void a_slash_too_many_or_too_few_is_redirected(void **state)
{
    struct rig *r = *state;
    static const char *const rows[][2] = {{"/api/health/", "/api/health"},
                                          {"/api/status/?a=1", "/api/status?a=1"},
                                          {"/api/rest", "/api/rest/"},
                                          {"/api/graphql", "/api/graphql/"}};

    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        char line[128];
        assert_int_equal(rig_get(r, rows[i][0], ""), 307);
        snprintf(line, sizeof line, "Location: http://gw.test%s\r\n", rows[i][1]);
        assert_true(rig_answered(r, line));
        assert_string_equal(r->body, "");
    }
}

static void ownership_of_paths(void **state)
{
    static const struct {
        const char *path;
        bool ours;
    } rows[] = {
        {"/api/rest/demo/v1/items", true},
        {"/grpc-web/a/b/c", true},

        {"/api/status", true},
        {"/api", true},
        {"/api/nope", true},
        {"/api/v1/agents", false},
        {"/api/v1", false},
        {"/api/v10", true},
        {"/api/caches", false},
        {"/apis", false},
        {"/platform/api", false},
        {"/", false},
    };

    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++)
        if (dm_path_is_data_plane(dm_view_of(rows[i].path)) != rows[i].ours)
            fail_msg("%s", rows[i].path);
}

static void without_a_policy_nothing_is_decided(void **state)
{
    struct rig *r = test_calloc(1, sizeof *r);

    (void)state;
    rig_init_cold(r);
    assert_int_equal(rig_get(r, "/api/rest/demo/v1/items", ""), 503);
    assert_non_null(strstr(r->body, "STORE001"));
    assert_true(rig_answered(r, "X-Doorman-Reason: policy\r\n"));
    rig_done(r);
    test_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(status_needs_a_token_and_the_permission, rig_setup),
        RIG_TEST(uptime_is_told_in_its_largest_units, rig_setup),
        RIG_TEST(status_spends_no_limit, rig_setup),
        RIG_TEST(another_method_is_405, rig_setup),
        RIG_TEST(a_slash_too_many_or_too_few_is_redirected, rig_setup),
        cmocka_unit_test(ownership_of_paths),
        cmocka_unit_test(without_a_policy_nothing_is_decided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

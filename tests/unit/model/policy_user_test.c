#include "policy_kit.h"

static struct dm_policy_user *build(const char *members)
{
    char text[512];
    struct dm_policy_user *u = NULL;
    (void)snprintf(text, sizeof text, "{\"username\":\"ann\"%s}", members);
    struct dm_json *j = kit_json(text);
    assert_int_equal(dm_policy_user_build(j, NULL, NULL, &u, NULL), DM_OK);
    dm_json_free(j);
    return u;
}

static void bare_user_is_active_and_unlimited(void **state)
{
    (void)state;
    struct dm_policy_user *u = build("");
    assert_true(dm_view_eq(u->username, DM_LIT("ann")));
    assert_true(u->active);
    assert_int_equal(u->groups.count + u->apis.count + u->role.len, 0);
    assert_false(u->rate.enabled || u->throttle.enabled || u->bandwidth.enabled);
    dm_policy_user_unref(u);
    u = build(",\"active\":false,\"rate_limit_enabled\":null,\"rate_limit_duration\":null,"
              "\"groups\":null");
    assert_false(u->active);
    assert_false(u->rate.enabled);
    dm_policy_user_unref(u);
}

static void lists_are_sorted_and_found(void **state)
{
    (void)state;
    struct dm_policy_user *u = NULL;
    struct dm_json *user =
        kit_json("{\"username\":\"ann\",\"role\":\"ops\",\"groups\":[\"b\",\"ALL\",\"a\"]}");
    struct dm_json *subscriptions =
        kit_json("{\"username\":\"ann\",\"apis\":[\"z/v1\",\"a/v2\",\"a/v1\"]}");
    assert_int_equal(dm_policy_user_build(user, subscriptions, NULL, &u, NULL), DM_OK);
    dm_json_free(user);
    dm_json_free(subscriptions);
    assert_true(dm_view_eq(u->role, DM_LIT("ops")));
    assert_true(dm_strs_has(&u->groups, DM_LIT("ALL")) && dm_strs_has(&u->groups, DM_LIT("a")));
    assert_true(dm_strs_has(&u->apis, DM_LIT("z/v1")) && dm_strs_has(&u->apis, DM_LIT("a/v1")));
    assert_false(dm_strs_has(&u->apis, DM_LIT("a/v3")));
    assert_false(dm_strs_has(&u->apis, DM_LIT("")));
    assert_true(dm_policy_user_ref(u) == u);
    dm_policy_user_unref(u);
    dm_policy_user_unref(u);
}

static void user_without_a_name_is_refused(void **state)
{
    (void)state;
    static const char *const faulty[] = {"{}", "[]", "{\"username\":7}", "{\"username\":\"\"}"};
    for (size_t i = 0; i < DM_COUNT_OF(faulty); i++) {
        struct dm_policy_user *u = NULL;
        struct dm_json *j = kit_json(faulty[i]);
        assert_int_equal(dm_policy_user_build(j, NULL, NULL, &u, NULL), DM_INVALID);
        assert_null(u);
        dm_json_free(j);
    }
}

static void rate_limit_follows_its_table(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        bool enabled;
        int64_t limit, window;
    } cases[] = {
        {",\"rate_limit_enabled\":true", true, 60, 60},
        {",\"rate_limit_duration\":5", true, 5, 60},
        {",\"rate_limit_enabled\":false,\"rate_limit_duration\":5", false, 5,
         60}, /* explicit false wins */
        {",\"rate_limit_enabled\":true,\"rate_limit_duration\":0", true, 60, 60},
        {",\"rate_limit_duration\":-3", false, 60, 60},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":\"second\"", true, 1, 1},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":\"hours\"", true, 1, 3600},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":\"day\"", true, 1, 86400},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":\"weeks\"", true, 1, 604800},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":\"month\"", true, 1, 2592000},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":\"year\"", true, 1, 31536000},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":\"fortnight\"", true, 1, 60},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":\"s\"", true, 1, 60},
        {",\"rate_limit_duration\":1,\"rate_limit_duration_type\":null", true, 1, 60},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct dm_policy_user *u = build(cases[i].members);
        if (u->rate.enabled != cases[i].enabled || u->rate.limit != cases[i].limit ||
            u->rate.window_seconds != cases[i].window)
            fail_msg("%s", cases[i].members);
        dm_policy_user_unref(u);
    }
}

static void throttle_follows_its_table(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        bool enabled;
        int64_t limit, queue, window;
        dm_time wait;
    } cases[] = {
        {",\"throttle_enabled\":true", true, 10, 10, 1, DM_SEC / 2},
        {",\"throttle_duration\":3", true, 3, 10, 1, DM_SEC / 2},
        {",\"throttle_queue_limit\":4", true, 10, 4, 1, DM_SEC / 2},
        {",\"throttle_enabled\":false,\"throttle_queue_limit\":4", false, 10, 4, 1, DM_SEC / 2},
        {",\"throttle_duration\":1,\"throttle_duration_type\":\"minutes\"", true, 1, 10, 60,
         DM_SEC / 2},
        {",\"throttle_duration\":1,\"throttle_wait_duration\":2", true, 1, 10, 1, 2 * DM_SEC},
        {",\"throttle_duration\":1,\"throttle_wait_duration\":0,\"throttle_wait_duration_type\":"
         "\"minute\"",
         true, 1, 10, 1, 30 * DM_SEC},
        {",\"throttle_duration\":1,\"throttle_wait_duration\":2,\"throttle_wait_duration_type\":"
         "\"hour\"",
         true, 1, 10, 1, 7200 * DM_SEC},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct dm_policy_user *u = build(cases[i].members);
        if (u->throttle.enabled != cases[i].enabled || u->throttle.limit != cases[i].limit ||
            u->throttle.queue != cases[i].queue || u->throttle.window_seconds != cases[i].window ||
            u->throttle.wait != cases[i].wait)
            fail_msg("%s", cases[i].members);
        dm_policy_user_unref(u);
    }
}

static void endless_wait_does_not_overflow(void **state)
{
    (void)state;
    struct dm_policy_user *u =
        build(",\"throttle_duration\":1,\"throttle_wait_duration\":9223372036854775807,"
              "\"throttle_wait_duration_type\":\"year\"");
    assert_true(u->throttle.wait > 31536000 * DM_SEC);
    dm_policy_user_unref(u);
}

static void bandwidth_follows_its_table(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        bool enabled;
        int64_t limit, window;
    } cases[] = {
        {",\"bandwidth_limit_bytes\":100", true, 100, 86400},
        {",\"bandwidth_limit_bytes\":100,\"bandwidth_limit_enabled\":null", true, 100, 86400},
        {",\"bandwidth_limit_bytes\":100,\"bandwidth_limit_enabled\":false", false, 100, 86400},
        {",\"bandwidth_limit_bytes\":0,\"bandwidth_limit_enabled\":true", false, 0, 86400},
        {",\"bandwidth_limit_bytes\":100,\"bandwidth_limit_window\":\"second\"", true, 100, 1},
        {",\"bandwidth_limit_bytes\":100,\"bandwidth_limit_window\":\"month\"", true, 100, 2592000},
        {",\"bandwidth_limit_bytes\":100,\"bandwidth_limit_window\":\"year\"", true, 100, 86400},
        {",\"bandwidth_limit_bytes\":100,\"bandwidth_limit_window\":\"x\"", true, 100, 86400},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct dm_policy_user *u = build(cases[i].members);
        if (u->bandwidth.enabled != cases[i].enabled || u->bandwidth.limit != cases[i].limit ||
            u->bandwidth.window_seconds != cases[i].window)
            fail_msg("%s", cases[i].members);
        dm_policy_user_unref(u);
    }
}

static void own_keys_are_found_by_group(void **state)
{
    (void)state;
    struct dm_policy_user *u = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *credits = NULL;
    assert_int_equal(dm_json_parse(DM_LIT("{\"username\":\"ann\"}"), &dm_json_default, &user, NULL),
                     DM_OK);
    assert_int_equal(
        dm_json_parse(DM_LIT("{\"username\":\"ann\",\"keys\":{\"g\":\"enc:1\",\"h\":\"\","
                             "\"i\":7,\"j\":null,\"k\":\"2\"}}"),
                      &dm_json_default, &credits, NULL),
        DM_OK);
    assert_int_equal(dm_policy_user_build(user, NULL, credits, &u, NULL), DM_OK);
    assert_int_equal(u->n_keys, 2);
    assert_true(dm_view_eq(dm_policy_user_key(u, DM_LIT("g")), DM_LIT("enc:1")));
    assert_true(dm_view_eq(dm_policy_user_key(u, DM_LIT("k")), DM_LIT("2")));
    assert_null(dm_policy_user_key(u, DM_LIT("h")).ptr);
    assert_null(dm_policy_user_key(u, DM_LIT("none")).ptr);
    dm_policy_user_unref(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bare_user_is_active_and_unlimited),
        cmocka_unit_test(lists_are_sorted_and_found),
        cmocka_unit_test(user_without_a_name_is_refused),
        cmocka_unit_test(rate_limit_follows_its_table),
        cmocka_unit_test(throttle_follows_its_table),
        cmocka_unit_test(endless_wait_does_not_overflow),
        cmocka_unit_test(bandwidth_follows_its_table),
        cmocka_unit_test(own_keys_are_found_by_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

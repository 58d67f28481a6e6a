#include <malloc.h>

#include "policy_kit.h"

static struct dm_policy_builder *builder;

static int open_builder(void **state)
{
    (void)state;
    builder = dm_policy_builder_new();
    return 0;
}

static int close_builder(void **state)
{
    (void)state;
    dm_policy_builder_free(builder);
    return 0;
}

static void put_numbered(int api)
{
    char id[32], json[256];
    (void)snprintf(id, sizeof id, "api-%d", api);
    (void)snprintf(json, sizeof json,
                   "{\"api_id\":\"%s\",\"api_name\":\"n%d\",\"api_version\":\"v1\","
                   "\"api_servers\":[\"http://127.0.0.1:9000\"],\"api_allowed_groups\":[\"ALL\"]}",
                   id, api);
    kit_put(builder, "api", id, json);
}

static void put_endpoint_of(int api, int number, const char *uri)
{
    char id[64], json[256];
    (void)snprintf(id, sizeof id, "7b2f0000-0000-4000-8000-%06d%06d", api, number);
    (void)snprintf(json, sizeof json,
                   "{\"api_id\":\"api-%d\",\"endpoint_id\":\"%s\",\"endpoint_method\":\"GET\","
                   "\"endpoint_uri\":\"%s\",\"client_uri\":null,\"endpoint_servers\":null}",
                   api, id, uri);
    kit_put(builder, "endpoint", id, json);
}

static const struct dm_policy_api *api_of(const struct dm_policy *p, int api)
{
    char name[32];
    (void)snprintf(name, sizeof name, "n%d", api);
    return dm_policy_api(p, dm_view_of(name), DM_LIT("v1"));
}

static void empty_snapshot_knows_nothing(void **state)
{
    (void)state;
    struct dm_policy *p = dm_policy_builder_build(builder, 7, 9);
    assert_int_equal(p->generation, 7);
    assert_int_equal(p->loaded_wall, 9);
    assert_int_equal(dm_policy_api_count(p), 0);
    assert_null(dm_policy_api(p, DM_LIT("a"), DM_LIT("v1")));
    assert_null(dm_policy_api_latest(p, DM_LIT("a")));
    assert_null(dm_policy_role(p, DM_LIT("user")));
    assert_null(dm_policy_routing(p, DM_LIT("k")));
    assert_null(p->security.whitelist);
    dm_policy_unref(p);
}

static void snapshot_shares_what_did_not_change(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        put_numbered(i);
        put_endpoint_of(i, 0, "/a");
    }
    struct dm_policy *first = dm_policy_builder_build(builder, 1, 0);
    put_endpoint_of(1, 0, "/b");
    struct dm_policy *second = dm_policy_builder_build(builder, 2, 0);
    put_numbered(2);
    struct dm_policy *third = dm_policy_builder_build(builder, 3, 0);
    assert_ptr_equal(api_of(first, 0), api_of(second, 0));
    assert_ptr_equal(api_of(first, 2), api_of(second, 2));
    assert_ptr_not_equal(api_of(first, 1), api_of(second, 1));
    assert_ptr_equal(api_of(first, 1)->name.ptr,
                     api_of(second, 1)->name.ptr); /* its record as well */
    assert_ptr_equal(api_of(second, 1), api_of(third, 1));
    assert_ptr_not_equal(api_of(second, 2), api_of(third, 2));
    assert_ptr_equal(api_of(second, 2)->endpoints, api_of(third, 2)->endpoints);
    assert_string_equal(kit_match(api_of(first, 1), "GET", "/a", NULL),
                        "7b2f0000-0000-4000-8000-000001000000");
    assert_string_equal(kit_match(api_of(second, 1), "GET", "/a", NULL), "-");
    assert_string_equal(kit_match(api_of(second, 1), "GET", "/b", NULL),
                        "7b2f0000-0000-4000-8000-000001000000");
    dm_policy_unref(first);
    dm_policy_unref(second);
    assert_string_equal(kit_match(api_of(third, 1), "GET", "/b", NULL),
                        "7b2f0000-0000-4000-8000-000001000000");
    dm_policy_unref(third);
}

static void snapshot_outlives_its_builder(void **state)
{
    (void)state;
    put_numbered(1);
    put_endpoint_of(1, 0, "/a");
    struct dm_policy *p = dm_policy_builder_build(builder, 1, 0);
    dm_policy_builder_free(builder);
    builder = NULL;
    assert_string_equal(kit_match(api_of(p, 1), "GET", "/a", NULL),
                        "7b2f0000-0000-4000-8000-000001000000");
    dm_policy_unref(p);
}

static void endpoint_waits_for_its_api(void **state)
{
    (void)state;
    put_endpoint_of(1, 0, "/a");
    struct dm_policy *before = dm_policy_builder_build(builder, 1, 0);
    assert_int_equal(dm_policy_api_count(before), 0);
    put_numbered(1);
    struct dm_policy *with = dm_policy_builder_build(builder, 2, 0);
    assert_int_equal(api_of(with, 1)->n_endpoints, 1);
    kit_put(builder, "api", "api-1", NULL);
    struct dm_policy *without = dm_policy_builder_build(builder, 3, 0);
    assert_null(api_of(without, 1));
    put_numbered(1);
    struct dm_policy *again = dm_policy_builder_build(builder, 4, 0);
    assert_int_equal(api_of(again, 1)->n_endpoints, 1);
    dm_policy_unref(before);
    dm_policy_unref(with);
    dm_policy_unref(without);
    dm_policy_unref(again);
}

static void endpoint_can_move_to_another_api(void **state)
{
    (void)state;
    put_numbered(1);
    put_numbered(2);
    kit_put(builder, "endpoint", "e",
            "{\"api_id\":\"api-1\",\"endpoint_method\":\"GET\",\"endpoint_uri\":\"/a\"}");
    dm_policy_unref(dm_policy_builder_build(builder, 1, 0));
    kit_put(builder, "endpoint", "e",
            "{\"api_id\":\"api-2\",\"endpoint_method\":\"GET\",\"endpoint_uri\":\"/a\"}");
    struct dm_policy *p = dm_policy_builder_build(builder, 2, 0);
    assert_int_equal(api_of(p, 1)->n_endpoints, 0);
    assert_int_equal(api_of(p, 2)->n_endpoints, 1);
    kit_put(builder, "endpoint", "e", NULL);
    kit_put(builder, "endpoint", "e", NULL); /* gone already */
    dm_policy_unref(p);
    p = dm_policy_builder_build(builder, 3, 0);
    assert_int_equal(api_of(p, 2)->n_endpoints, 0);
    dm_policy_unref(p);
}

static void last_put_of_one_batch_counts(void **state)
{
    (void)state;
    put_numbered(1);
    put_endpoint_of(1, 0, "/a");
    put_endpoint_of(1, 0, "/b");
    put_endpoint_of(1, 1, "/c");
    kit_put(builder, "endpoint", "7b2f0000-0000-4000-8000-000001000001", NULL);
    kit_put(builder, "endpoint", "7b2f0000-0000-4000-8000-000001000000", NULL);
    put_endpoint_of(1, 0, "/d");
    struct dm_policy *p = dm_policy_builder_build(builder, 1, 0);
    assert_int_equal(api_of(p, 1)->n_endpoints, 1);
    assert_string_equal(kit_match(api_of(p, 1), "GET", "/d", NULL),
                        "7b2f0000-0000-4000-8000-000001000000");
    dm_policy_unref(p);
}

static void faulty_projection_changes_nothing(void **state)
{
    (void)state;
    put_numbered(1);
    dm_policy_unref(dm_policy_builder_build(builder, 1, 0));
    static const char *const faulty[] = {
        "[]",
        "{\"api_id\":\"api-1\",\"api_version\":\"v1\"}",
        "{\"api_id\":\"api-1\",\"api_name\":\"n1\"}",
        "{\"api_id\":\"other\",\"api_name\":\"n1\",\"api_version\":\"v1\"}",
        "{\"api_id\":\"api-1\",\"api_name\":\"n1\",\"api_version\":\"v1\",\"api_ip_whitelist\":["
        "\"10.0.0.0/99\"]}",
        "{\"api_id\":\"api-1\",\"api_name\":\"n1\",\"api_version\":\"v1\",\"api_ip_blacklist\":[7]"
        "}",
    };
    for (size_t i = 0; i < DM_COUNT_OF(faulty); i++)
        assert_int_equal(kit_try(builder, "api", "api-1", faulty[i]), DM_INVALID);
    assert_int_equal(kit_try(builder, "security_settings", "s", "{\"ip_blacklist\":[\"x\"]}"),
                     DM_INVALID);
    struct dm_policy *p = dm_policy_builder_build(builder, 2, 0);
    assert_non_null(api_of(p, 1));
    assert_null(api_of(p, 1)->ip_whitelist);
    dm_policy_unref(p);
}

static void slots_stay_with_their_objects(void **state)
{
    (void)state;
    const char *routing = "{\"client_key\":\"k\",\"routing_servers\":[\"http://h:1\"]}";
    const char *served =
        "{\"api_id\":\"api-1\",\"endpoint_method\":\"GET\",\"endpoint_uri\":\"/a\","
        "\"endpoint_servers\":[\"http://h:2\"]}";
    put_numbered(1);
    put_numbered(2);
    kit_put(builder, "routing", "k", routing);
    kit_put(builder, "endpoint", "e", served);
    struct dm_policy *p = dm_policy_builder_build(builder, 1, 0);
    uint32_t one = api_of(p, 1)->slot, two = api_of(p, 2)->slot;
    uint32_t route = dm_policy_routing(p, DM_LIT("k"))->pool.slot,
             own = api_of(p, 1)->endpoints[0].pool.slot;
    assert_int_equal(api_of(p, 1)->pool.slot, one);
    assert_true(one != two && one != route && one != own && two != route && two != own &&
                route != own);
    assert_true(one != 0 && two != 0 && route != 0 && own != 0);
    assert_true(dm_policy_slots(p) > one && dm_policy_slots(p) > two && dm_policy_slots(p) > route);
    dm_policy_unref(p);
    kit_put(builder, "api", "api-2", NULL);
    put_numbered(3);
    put_numbered(1);
    kit_put(builder, "routing", "k", routing);
    kit_put(builder, "endpoint", "e", served);
    p = dm_policy_builder_build(builder, 2, 0);
    assert_int_equal(api_of(p, 1)->slot, one);
    assert_int_equal(dm_policy_routing(p, DM_LIT("k"))->pool.slot, route);
    assert_int_equal(api_of(p, 1)->endpoints[0].pool.slot, own);
    assert_true(api_of(p, 3)->slot != two); /* a number rests before it is used again */
    assert_true(api_of(p, 3)->slot < dm_policy_slots(p));
    dm_policy_unref(p);
}

static void slots_come_back_at_last(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        put_numbered(1);
        kit_put(builder, "api", "api-1", NULL);
        dm_policy_unref(dm_policy_builder_build(builder, (uint64_t)i, 0));
    }
    struct dm_policy *p = dm_policy_builder_build(builder, 1, 0);
    assert_true(dm_policy_slots(p) < 1100);
    dm_policy_unref(p);
}

static void roles_routings_and_settings_are_found_and_removed(void **state)
{
    (void)state;
    kit_put(builder, "role", "ops", "{\"role_name\":\"ops\",\"manage_gateway\":true}");
    kit_put(builder, "role", "boss", "{\"role_name\":\"boss\",\"platform_admin\":true}");
    kit_put(builder, "role", "Admin", "{\"role_name\":\"Admin\"}");
    kit_put(builder, "routing", "k",
            "{\"client_key\":\"k\",\"routing_servers\":[\"h:1\",\"bad\",\"unix:/run/x\"]}");
    kit_put(builder, "security_settings", "security_settings",
            "{\"ip_whitelist\":[\"10.0.0.0/8\"],\"ip_blacklist\":[],\"trust_x_forwarded_for\":true,"
            "\"xff_trusted_proxies\":[\"::1\"],\"allow_localhost_bypass\":true}");
    kit_put(builder, "group", "g", "{\"group_name\":\"g\"}"); /* of no concern here */
    struct dm_policy *p = dm_policy_builder_build(builder, 1, 0);
    assert_true(dm_policy_role(p, DM_LIT("ops"))->manage_gateway);
    assert_false(dm_policy_role(p, DM_LIT("ops"))->platform_admin);
    assert_true(dm_policy_role(p, DM_LIT("boss"))->platform_admin);
    assert_true(dm_policy_role(p, DM_LIT("Admin"))->platform_admin);
    assert_true(dm_policy_role(p, DM_LIT("PLATFORM ADMIN"))->platform_admin);
    assert_false(dm_policy_role(p, DM_LIT("PLATFORM ADMIN"))->manage_gateway);
    assert_null(dm_policy_role(p, DM_LIT("user")));
    const struct dm_policy_routing *r = dm_policy_routing(p, DM_LIT("k"));
    assert_int_equal(r->pool.n_servers, 2);
    assert_int_equal(dm_address_set_count(p->security.whitelist), 1);
    assert_null(p->security.blacklist);
    assert_int_equal(dm_address_set_count(p->security.proxies), 1);
    assert_true(p->security.trust_xff && p->security.localhost_bypass);
    kit_put(builder, "role", "ops", NULL);
    kit_put(builder, "role", "nobody", NULL);
    kit_put(builder, "routing", "k", NULL);
    kit_put(builder, "security_settings", "security_settings", NULL);
    struct dm_policy *next = dm_policy_builder_build(builder, 2, 0);
    assert_null(dm_policy_role(next, DM_LIT("ops")));
    assert_null(dm_policy_routing(next, DM_LIT("k")));
    assert_null(next->security.whitelist);
    assert_false(next->security.trust_xff);
    assert_true(dm_policy_role(p, DM_LIT("ops"))->manage_gateway); /* the old one stays whole */
    dm_policy_unref(p);
    dm_policy_unref(next);
}

static void put_version(const char *id, const char *version)
{
    char json[128];
    (void)snprintf(json, sizeof json,
                   "{\"api_id\":\"%s\",\"api_name\":\"a\",\"api_version\":\"%s\"}", id, version);
    kit_put(builder, "api", id, json);
}

static void latest_version_counts_numbers_as_numbers(void **state)
{
    (void)state;
    static const char *const rising[] = {"beta", "v1", "v2", "v2.9", "v2.10", "v10"};
    for (size_t i = 0; i < DM_COUNT_OF(rising); i++) {
        size_t at = (i * 5) % DM_COUNT_OF(rising); /* in no order */
        put_version(rising[at], rising[at]);
    }
    for (size_t i = DM_COUNT_OF(rising); i > 0; i--) {
        struct dm_policy *p = dm_policy_builder_build(builder, 1, 0);
        assert_true(
            dm_view_eq(dm_policy_api_latest(p, DM_LIT("a"))->version, dm_view_of(rising[i - 1])));
        dm_policy_unref(p);
        kit_put(builder, "api", rising[i - 1], NULL);
    }
}

static void of_two_apis_with_one_name_the_later_is_found(void **state)
{
    (void)state;
    put_version("old", "v1");
    put_version("new", "v1");
    struct dm_policy *p = dm_policy_builder_build(builder, 1, 0);
    assert_true(dm_view_eq(dm_policy_api(p, DM_LIT("a"), DM_LIT("v1"))->api_id, DM_LIT("new")));
    assert_true(dm_view_eq(dm_policy_api_latest(p, DM_LIT("a"))->api_id, DM_LIT("new")));
    dm_policy_unref(p);
    kit_put(builder, "api", "old", NULL);
    p = dm_policy_builder_build(builder, 2, 0);
    assert_true(dm_view_eq(dm_policy_api(p, DM_LIT("a"), DM_LIT("v1"))->api_id, DM_LIT("new")));
    dm_policy_unref(p);
}

static void thousand_apis_with_ten_endpoints_fit_in_three_megabytes(void **state)
{
    (void)state;
    enum { APIS = 1000, ENDPOINTS = 10 };
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < APIS; i++) {
        char id[64], json[512];
        (void)snprintf(id, sizeof id, "6a1f0000-0000-4000-8000-%012d", i);
        (void)snprintf(
            json, sizeof json,
            "{\"api_id\":\"%s\",\"api_name\":\"api%04d\",\"api_version\":\"v1\",\"active\":true,"
            "\"api_servers\":[\"http://127.0.0.1:9000\"],\"api_allowed_groups\":[\"ALL\"],"
            "\"api_allowed_roles\":[\"admin\"],\"api_allowed_headers\":[\"x-one\",\"x-two\"]}",
            id, i);
        kit_put(builder, "api", id, json);
        for (int k = 0; k < ENDPOINTS; k++) {
            char endpoint[64];
            (void)snprintf(endpoint, sizeof endpoint, "7b2f0000-0000-4000-8000-%08d%04d", i, k);
            (void)snprintf(json, sizeof json,
                           "{\"api_id\":\"%s\",\"endpoint_id\":\"%s\",\"endpoint_method\":\"GET\","
                           "\"endpoint_uri\":\"/res%d/{id}\"}",
                           id, endpoint, k);
            kit_put(builder, "endpoint", endpoint, json);
        }
    }
    struct dm_policy *p = dm_policy_builder_build(builder, 1, 0);
    size_t used = mallinfo2().uordblks - before;
    print_message("1,000 APIs x 10 endpoints: %zu bytes\n", used);
    assert_int_equal(dm_policy_api_count(p), APIS);
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* their own bookkeeping is not ours */
    assert_true(used > 0 && used < 3 * 1024 * 1024);
#endif
    uint64_t allocations = dm_mem_count();
    put_endpoint_of(1, 1, "/x");
    struct dm_policy *next = dm_policy_builder_build(builder, 2, 0);
    assert_true(dm_mem_count() - allocations < 100); /* what changed, not everything */
    dm_policy_unref(p);
    dm_policy_unref(next);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, open_builder, close_builder)
    const struct CMUnitTest tests[] = {
        TEST(empty_snapshot_knows_nothing),
        TEST(snapshot_shares_what_did_not_change),
        TEST(snapshot_outlives_its_builder),
        TEST(endpoint_waits_for_its_api),
        TEST(endpoint_can_move_to_another_api),
        TEST(last_put_of_one_batch_counts),
        TEST(faulty_projection_changes_nothing),
        TEST(slots_stay_with_their_objects),
        TEST(slots_come_back_at_last),
        TEST(roles_routings_and_settings_are_found_and_removed),
        TEST(latest_version_counts_numbers_as_numbers),
        TEST(of_two_apis_with_one_name_the_later_is_found),
        TEST(thousand_apis_with_ten_endpoints_fit_in_three_megabytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "kit.h"

struct found {
    struct kit_call k;
    const struct adm_route *route;
    dm_view params[ADM_PARAMS_MAX];
    size_t n_params;
    dm_view allow;
};

static void find(struct found *f, const char *method, const char *path)
{
    kit_call_init(&f->k, NULL, NULL);
    f->n_params = 0;
    f->route = adm_route_find(dm_view_of(method), dm_view_of(path), &f->k.arena, f->params,
                              &f->n_params, &f->allow);
}

static void assert_finds(const char *method, const char *path, const char *pattern)
{
    struct found f;

    find(&f, method, path);
    if (f.route == NULL)
        fail_msg("%s %s: nothing found", method, path);
    assert_string_equal(f.route->method, method);
    assert_string_equal(f.route->path, pattern);
    kit_call_done(&f.k);
}

static void assert_unknown(const char *method, const char *path)
{
    struct found f;

    find(&f, method, path);
    assert_null(f.route);
    assert_int_equal(f.allow.len, 0);
    kit_call_done(&f.k);
}

static void literal_paths_win_over_parameters(void **state)
{
    (void)state;
    assert_finds("GET", "/platform/user/me", "/platform/user/me");
    assert_finds("GET", "/platform/user/all", "/platform/user/all");
    assert_finds("GET", "/platform/user/bob", "/platform/user/{username}");
    assert_finds("GET", "/platform/role/all", "/platform/role/all");
    assert_finds("GET", "/platform/routing/all", "/platform/routing/all");
}

static void parameters_come_decoded_and_in_order(void **state)
{
    struct found f;

    (void)state;
    find(&f, "PUT", "/platform/api/my%20api/v1%2E2");
    assert_non_null(f.route);
    assert_int_equal(f.n_params, 2);
    assert_view(f.params[0], "my api");
    assert_view(f.params[1], "v1.2");
    kit_call_done(&f.k);
}

static void an_encoded_slash_separates(void **state) /* platform-access.md §1.8 */
{
    struct found f;

    (void)state;
    find(&f, "GET", "/platform/api/a%2Fb");
    assert_non_null(f.route);
    assert_string_equal(f.route->path, "/platform/api/{api_name}/{api_version}");
    assert_view(f.params[0], "a");
    assert_view(f.params[1], "b");
    kit_call_done(&f.k);
    assert_unknown("DELETE", "/platform/role/a%2Fb");
}

static void a_name_is_not_decoded_twice(void **state)
{
    struct found f;

    (void)state;
    find(&f, "GET", "/platform/role/a%252Fb");
    assert_non_null(f.route);
    assert_view(f.params[0], "a%2Fb");
    kit_call_done(&f.k);
}

static void the_rest_of_a_path_is_one_parameter(void **state)
{
    struct found f;

    (void)state;
    find(&f, "GET", "/platform/endpoint/GET/orders/v1/items/%7Bid%7D/notes");
    assert_non_null(f.route);
    assert_int_equal(f.n_params, 4);
    assert_view(f.params[0], "GET");
    assert_view(f.params[1], "orders");
    assert_view(f.params[2], "v1");
    assert_view(f.params[3], "items/{id}/notes");
    kit_call_done(&f.k);
}

static void the_rest_of_a_path_may_be_empty(void **state) /* the endpoint "/" */
{
    struct found f;

    (void)state;
    find(&f, "DELETE", "/platform/endpoint/GET/orders/v1/");
    assert_non_null(f.route);
    assert_int_equal(f.n_params, 4);
    assert_int_equal(f.params[3].len, 0);
    kit_call_done(&f.k);
    assert_unknown("DELETE", "/platform/endpoint/GET/orders/v1");
}

static void one_surplus_slash_is_served_and_no_more(void **state) /* O8 */
{
    (void)state;
    assert_finds("GET", "/platform/user/", "/platform/user");
    assert_finds("GET", "/platform/user/bob/", "/platform/user/{username}");
    assert_unknown("GET", "/platform/user//");
    assert_unknown("GET", "//platform/user");
    assert_unknown("GET", "/platform//user");
}

static void an_empty_parameter_matches_nothing(void **state)
{
    (void)state;
    assert_unknown("GET", "/platform/api//v1");
    assert_unknown("GET", "/platform/user/email//");
}

static void a_known_path_with_another_method_lists_those_it_has(void **state)
{
    struct found f;

    (void)state;
    find(&f, "PATCH", "/platform/user/bob");
    assert_null(f.route);
    assert_view(f.allow, "GET, PUT, DELETE");
    kit_call_done(&f.k);
    find(&f, "DELETE", "/platform/user"); /* each once, also where two rows share them */
    assert_null(f.route);
    assert_view(f.allow, "POST, GET");
    kit_call_done(&f.k);
    find(&f, "get", "/platform/user"); /* methods are case-sensitive (RFC 9110 §9.1) */
    assert_null(f.route);
    assert_view(f.allow, "POST, GET");
    kit_call_done(&f.k);
}

static void paths_that_are_none_find_nothing(void **state)
{
    char deep[1024] = "/platform/endpoint/GET/a/v1";

    (void)state;
    assert_unknown("GET", "");
    assert_unknown("GET", "/");
    assert_unknown("GET", "platform/user");
    assert_unknown("GET", "/platform");
    assert_unknown("GET", "/platform/user/%zz");
    assert_unknown("GET", "/platform/user/%4");
    assert_unknown("GET", "/platform/usermore");
    assert_unknown("GET", "/Platform/user");
    for (int i = 0; i < 64; i++) /* with what stands before it, over the cap on segments */
        strncat(deep, "/x", sizeof deep - strlen(deep) - 1);
    assert_unknown("GET", deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literal_paths_win_over_parameters),
        cmocka_unit_test(parameters_come_decoded_and_in_order),
        cmocka_unit_test(an_encoded_slash_separates),
        cmocka_unit_test(a_name_is_not_decoded_twice),
        cmocka_unit_test(the_rest_of_a_path_is_one_parameter),
        cmocka_unit_test(the_rest_of_a_path_may_be_empty),
        cmocka_unit_test(one_surplus_slash_is_served_and_no_more),
        cmocka_unit_test(an_empty_parameter_matches_nothing),
        cmocka_unit_test(a_known_path_with_another_method_lists_those_it_has),
        cmocka_unit_test(paths_that_are_none_find_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Properties of every row of routes.def: a new row is judged without a line here. */
#include "kit.h"

/* What asks by POST and changes nothing. */
static const char *const reads_by_post[] = {"/platform/tools/cors/check"};

static bool only_reads(const struct adm_route *r)
{
    if (strcmp(r->method, "GET") == 0)
        return true;
    for (size_t i = 0; i < DM_COUNT_OF(reads_by_post); i++) {
        if (strcmp(r->path, reads_by_post[i]) == 0)
            return true;
    }
    return false;
}

#define EACH_ROUTE(r)                                                                              \
    size_t n_routes_;                                                                              \
    const struct adm_route *first_ = adm_routes(&n_routes_);                                       \
    assert_true(n_routes_ > 0);                                                                    \
    for (const struct adm_route *r = first_; r < first_ + n_routes_; r++)

#define CHECK(r, condition)                                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s %s: not so: %s", (r)->method, (r)->path, #condition);                     \
    } while (0)

static void what_changes_something_is_audited(void **state)
{
    (void)state;
    EACH_ROUTE(r)
    {
        CHECK(r, (r->audit == NULL) == only_reads(r));
        CHECK(r, r->audit == NULL || strchr(r->audit, '.') != NULL);
    }
}

static void what_needs_a_permission_says_so_with_a_code(void **state)
{
    (void)state;
    EACH_ROUTE(r)
    {
        const bool needs = r->permission != ADM_PERM_NONE;
        const bool detail = needs && (r->flags & ADM_BARE) != 0; /* {"detail": ...} */

        CHECK(r, needs == (r->denied_code[0] != '\0') || detail);
        CHECK(r, needs == (r->denied_message[0] != '\0'));
        CHECK(r, !needs || r->unauth != ADM_PUBLIC);
        CHECK(r, needs || (r->flags & ADM_OWN_CHECK) == 0);
    }
}

static void a_typed_body_has_a_record(void **state)
{
    (void)state;
    EACH_ROUTE(r)
    {
        const bool typed = r->body == ADM_BODY_CREATE || r->body == ADM_BODY_UPDATE ||
                           r->body == ADM_BODY_OPTIONAL;
        CHECK(r, typed == (r->record != NULL));
        CHECK(r, strcmp(r->method, "GET") != 0 || r->body == ADM_BODY_NONE);
    }
}

static void anonymous_changes_are_rate_limited(void **state)
{
    (void)state;
    EACH_ROUTE(r)
    CHECK(r, r->unauth != ADM_PUBLIC || only_reads(r) || r->rate != ADM_RATE_NONE);
}

static void flags_stand_where_they_mean_something(void **state)
{
    (void)state;
    EACH_ROUTE(r)
    {
        CHECK(r, r->handler != NULL);
        CHECK(r, r->summary[0] != '\0');
        CHECK(r, (r->flags & ADM_ETAG) == 0 || strcmp(r->method, "GET") == 0);
        CHECK(r, (r->flags & ADM_CSRF_EXEMPT) == 0 || strcmp(r->method, "GET") != 0);
        CHECK(r, (r->flags & ADM_REFRESH) == 0 ||
                     strcmp(r->path + strlen(r->path) - 8, "/refresh") == 0);
    }
}

/* The path of a row with something in every brace. */
static dm_view sample_path(const struct adm_route *r, struct dm_buf *out)
{
    dm_buf_clear(out);
    for (const char *p = r->path; *p != '\0'; p++) {
        if (*p != '{') {
            dm_buf_add_byte(out, *p);
            continue;
        }
        dm_buf_add(out, DM_LIT("zz"));
        p = strchr(p, '}');
    }
    return dm_buf_view(out);
}

static void every_row_is_reached_by_its_own_path(void **state)
{
    struct kit_call k;
    struct dm_buf path;

    (void)state;
    kit_call_init(&k, NULL, NULL);
    dm_buf_init(&path, 1024);
    EACH_ROUTE(r)
    {
        dm_view params[ADM_PARAMS_MAX], allow;
        size_t n_params = 0, braces = 0;

        for (const char *p = r->path; *p != '\0'; p++)
            braces += *p == '{';
        CHECK(r, braces <= ADM_PARAMS_MAX);
        const struct adm_route *found = adm_route_find(dm_view_of(r->method), sample_path(r, &path),
                                                       &k.arena, params, &n_params, &allow);
        CHECK(r, found == r);
        CHECK(r, n_params == braces);
    }
    dm_buf_done(&path);
    kit_call_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changes_something_is_audited),
        cmocka_unit_test(what_needs_a_permission_says_so_with_a_code),
        cmocka_unit_test(a_typed_body_has_a_record),
        cmocka_unit_test(anonymous_changes_are_rate_limited),
        cmocka_unit_test(flags_stand_where_they_mean_something),
        cmocka_unit_test(every_row_is_reached_by_its_own_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

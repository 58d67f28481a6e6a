/* /platform/role (platform-access.md §8.3). */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/router.h"
#include "admin/services/lookup.h"
#include "admin/services/records.h"

static struct dm_json *shown(const struct adm_call *c, const struct dm_json *role)
{
    struct dm_json *o = dm_json_clone(role);

    if (!c->caller.is_admin)
        dm_json_remove(o, DM_LIT("platform_admin"));
    return o;
}

/* A permission set true that the caller lacks: nobody widens a role beyond its own (403). */
static bool widens(struct adm_call *c)
{
    if (c->caller.is_admin || (adm_permissions_of(c->body) & ~c->caller.permissions) == 0)
        return false;
    adm_fail(c, 403, c->route->denied_code, c->route->denied_message);
    return true;
}

void adm_role_create(struct adm_call *c)
{
    dm_view name = dm_json_str(dm_json_get(c->body, DM_LIT("role_name")));
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, name, NULL);
    if (adm_role_is_admin(name, NULL) && !c->caller.is_admin) {
        adm_fail(c, 403, "ROLE013", "Only admin may create the admin role");
        return;
    }
    if (widens(c))
        return;
    rc = adm_record_insert(c, &dm_record_role, c->body, &err);
    if (rc == DM_EXISTS)
        adm_fail(c, 400, "ROLE001", "Role already exists");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 201, "Role created successfully");
}

void adm_role_list(struct adm_call *c)
{
    /* Admin roles are left out of the query by name; one with platform_admin is left out below, so
     * a page may be shorter for it, as §4 allows. */
    const struct dm_filter hidden[] = {
        {.field = "role_name", .op = DM_FILTER_NE, .kind = DM_JSON_STRING, .str = DM_LIT("admin")},
        {.field = "role_name",
         .op = DM_FILTER_NE,
         .kind = DM_JSON_STRING,
         .str = DM_LIT("platform admin")}};
    DM_DEFER(dm_json_freep) struct dm_json *roles = NULL;
    struct dm_query query = {.sort = "role_name"};
    struct dm_json *items;
    struct adm_page page;
    struct dm_error err;
    uint64_t total;

    if (!adm_page_of(c, &page))
        return;
    query.skip = (size_t)((page.page - 1) * page.size);
    query.limit = (size_t)page.size + 1;
    if (!c->caller.is_admin) {
        query.filters = hidden;
        query.n_filters = DM_COUNT_OF(hidden);
    }
    if (dm_documents_list(adm_documents(c->app), "roles", &query, &roles, &err) != DM_OK ||
        dm_documents_count(adm_documents(c->app), "roles", query.filters, query.n_filters, &total,
                           &err) != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    items = dm_json_new_array();
    for (struct dm_json *r = dm_json_first(roles); r != NULL; r = dm_json_next(r)) {
        if (c->caller.is_admin ||
            !adm_role_is_admin(dm_json_str(dm_json_get(r, DM_LIT("role_name"))), r))
            dm_json_push(items, shown(c, r));
    }
    adm_ok_page(c, "roles", items, &page, total);
}

void adm_role_get(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *role = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_role(c->app, c->params[0], &role, &err);

    if (rc != DM_OK && rc != DM_NOT_FOUND)
        adm_fail_store(c, &err);
    else if (adm_role_is_admin(c->params[0], role) && !c->caller.is_admin)
        adm_fail(c, 404, "", "Role not found");
    else if (rc == DM_NOT_FOUND)
        adm_fail(c, 404, "ROLE004", "Role does not exist");
    else
        adm_ok(c, 200, shown(c, role));
}

/* The role `admin` keeps all its permissions: nobody can lock everybody out. */
static bool strips_admin(const struct adm_call *c)
{
    if (!dm_view_eq(c->params[0], DM_LIT("admin")))
        return false;
    for (int p = ADM_PERM_NONE + 1; p < ADM_PERM_COUNT_; p++) {
        if (!dm_json_bool(dm_json_get(c->body, dm_view_of(adm_permission_name(p))), true))
            return true;
    }
    return false;
}

void adm_role_update(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("role_name", c->params[0]);
    dm_view renamed = dm_json_str(dm_json_get(c->body, DM_LIT("role_name")));
    DM_DEFER(dm_json_freep) struct dm_json *role = NULL;
    struct dm_json *stored = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_role(c->app, c->params[0], &role, &err);

    adm_audit(c, c->params[0], NULL);
    if (rc != DM_OK && rc != DM_NOT_FOUND) {
        adm_fail_store(c, &err);
    } else if ((adm_role_is_admin(c->params[0], role) && !c->caller.is_admin) || strips_admin(c)) {
        adm_fail(c, 403, "ROLE014", "Only admin may modify the admin role");
    } else if (renamed.len > 0 && !dm_view_eq(renamed, c->params[0])) {
        adm_fail(c, 400, "ROLE005", "Role name cannot be changed");
    } else if (rc == DM_NOT_FOUND) {
        adm_fail(c, 400, "ROLE004", "Role does not exist");
    } else if (dm_json_len(c->body) == 0) {
        adm_fail(c, 400, "ROLE007", "No data to update");
    } else if (!widens(c)) {
        rc = adm_record_patch(c, &dm_record_role, &key, 1, c->body, &stored, &err);
        if (rc == DM_NOT_FOUND) /* deleted meanwhile */
            adm_fail(c, 400, "ROLE004", "Role does not exist");
        else if (rc != DM_OK)
            adm_fail_store(c, &err);
        else
            adm_ok(c, 200, shown(c, stored));
    }
    dm_json_free(stored);
}

void adm_role_delete(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("role_name", c->params[0]);
    struct dm_error err;
    bool admin = false;
    size_t n;

    adm_audit(c, c->params[0], NULL);
    if (adm_role_name_is_admin(c->app, c->params[0], &admin, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    if ((admin && !c->caller.is_admin) || dm_view_eq(c->params[0], DM_LIT("admin")))
        adm_fail(c, 403, "ROLE016", "Only admin may delete the admin role");
    else if (adm_record_delete(c, &dm_record_role, &key, 1, &n, &err) != DM_OK)
        adm_fail_store(c, &err);
    else if (n == 0)
        adm_fail(c, 400, "ROLE004", "Role does not exist");
    else
        adm_ok_message(c, 200, "Role deleted successfully");
}

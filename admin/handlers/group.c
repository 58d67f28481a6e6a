/* /platform/group (platform-access.md §8.4). */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/services/lookup.h"
#include "admin/services/records.h"

void adm_group_create(struct adm_call *c)
{
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, dm_json_str(dm_json_get(c->body, DM_LIT("group_name"))), NULL);
    rc = adm_record_insert(c, &dm_record_group, c->body, &err);
    if (rc == DM_EXISTS)
        adm_fail(c, 400, "GRP001", "Group already exists");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 201, "Group created successfully");
}

void adm_group_list(struct adm_call *c)
{
    adm_list_page(c, "groups", "groups", "group_name");
}

void adm_group_get(struct adm_call *c)
{
    struct dm_json *group = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_group(c->app, c->params[0], &group, &err);

    if (rc == DM_NOT_FOUND)
        adm_fail(c, 404, "GRP003", "Group does not exist");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok(c, 200, group);
}

void adm_group_update(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("group_name", c->params[0]);
    dm_view renamed = dm_json_str(dm_json_get(c->body, DM_LIT("group_name")));
    DM_DEFER(dm_json_freep) struct dm_json *group = NULL;
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, c->params[0], NULL);
    if (renamed.len > 0 && !dm_view_eq(renamed, c->params[0])) {
        adm_fail(c, 400, "GRP004", "Group name cannot be updated");
        return;
    }
    rc = adm_find_group(c->app, c->params[0], &group, &err);
    if (rc == DM_OK && dm_json_len(c->body) == 0) {
        adm_fail(c, 400, "GRP006", "No data to update");
        return;
    }
    if (rc == DM_OK)
        rc = adm_record_patch(c, &dm_record_group, &key, 1, c->body, NULL, &err);
    if (rc == DM_NOT_FOUND)
        adm_fail(c, 400, "GRP003", "Group does not exist");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 200, "Group updated successfully");
}

void adm_group_delete(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("group_name", c->params[0]);
    struct dm_error err;
    size_t n;

    adm_audit(c, c->params[0], NULL);
    if (dm_view_eq(c->params[0], DM_LIT("ALL")) || dm_view_eq(c->params[0], DM_LIT("admin")))
        adm_fail(c, 400, "GRP007", "Unable to delete group");
    else if (adm_record_delete(c, &dm_record_group, &key, 1, &n, &err) != DM_OK)
        adm_fail_store(c, &err);
    else if (n == 0)
        adm_fail(c, 400, "GRP003", "Group does not exist");
    else
        adm_ok_message(c, 200, "Group deleted successfully");
}

#include "admin/services/lookup.h"

static enum dm_code find_by(struct adm_app *app, const char *collection, const char *field,
                            dm_view value, struct dm_json **ret, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE(field, value);
    uint64_t version;

    return dm_documents_find(adm_documents(app), collection, &key, 1, ret, &version, err);
}

enum dm_code adm_find_user(struct adm_app *app, dm_view username, struct dm_json **ret,
                           struct dm_error *err)
{
    return find_by(app, "users", "username", username, ret, err);
}

enum dm_code adm_find_user_by_email(struct adm_app *app, dm_view email, struct dm_json **ret,
                                    struct dm_error *err)
{
    return find_by(app, "users", "email", email, ret, err);
}

enum dm_code adm_find_role(struct adm_app *app, dm_view role_name, struct dm_json **ret,
                           struct dm_error *err)
{
    return find_by(app, "roles", "role_name", role_name, ret, err);
}

enum dm_code adm_find_group(struct adm_app *app, dm_view group_name, struct dm_json **ret,
                            struct dm_error *err)
{
    return find_by(app, "groups", "group_name", group_name, ret, err);
}

enum dm_code adm_find_api(struct adm_app *app, dm_view name, dm_view version, struct dm_json **ret,
                          struct dm_error *err)
{
    const struct dm_filter key[] = {DM_WHERE("api_name", name), DM_WHERE("api_version", version)};
    uint64_t v;

    return dm_documents_find(adm_documents(app), "apis", key, DM_COUNT_OF(key), ret, &v, err);
}

enum dm_code adm_role_name_is_admin(struct adm_app *app, dm_view role_name, bool *ret,
                                    struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *role = NULL;
    enum dm_code rc = adm_find_role(app, role_name, &role, err);

    if (rc != DM_OK && rc != DM_NOT_FOUND)
        return rc;
    *ret = adm_role_is_admin(role_name, role);
    return DM_OK;
}

enum dm_code adm_user_is_admin(struct adm_app *app, dm_view username, bool *ret,
                               struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    enum dm_code rc = adm_find_user(app, username, &user, err);

    if (rc == DM_NOT_FOUND) {
        *ret = false;
        return DM_OK;
    }
    if (rc != DM_OK)
        return rc;
    return adm_role_name_is_admin(app, dm_json_str(dm_json_get(user, DM_LIT("role"))), ret, err);
}

bool adm_lists_meet(const struct dm_json *a, const struct dm_json *b)
{
    for (struct dm_json *x = dm_json_first(a); x != NULL; x = dm_json_next(x)) {
        for (struct dm_json *y = dm_json_first(b); y != NULL; y = dm_json_next(y)) {
            if (dm_view_eq(dm_json_str(x), dm_json_str(y)))
                return true;
        }
    }
    return false;
}

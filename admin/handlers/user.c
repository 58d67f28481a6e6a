/* /platform/user (platform-access.md §8.2). */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/router.h"
#include "admin/services/lookup.h"
#include "admin/services/passwords.h"
#include "admin/services/records.h"
#include "admin/services/users.h"

enum { ATTRIBUTES_MAX = 10 };

static void not_visible(struct adm_call *c) /* what a non-admin is told of an admin user */
{
    adm_fail(c, 404, "", "User not found");
}

/* Stored document without its hash; the window's end where a bandwidth limit is on. */
static struct dm_json *shown(struct adm_call *c, const struct dm_json *user, bool with_usage)
{
    struct dm_json *o = dm_json_clone(user);

    dm_json_remove(o, DM_LIT("password"));
    if (with_usage)
        adm_user_add_bandwidth(c, o);
    return o;
}

/* The found user's admin-ness; false (result set) when the stores do not answer. */
static bool admin_of(struct adm_call *c, const struct dm_json *user, bool *ret)
{
    struct dm_error err;

    if (adm_role_name_is_admin(c->app, dm_json_str(dm_json_get(user, DM_LIT("role"))), ret, &err) ==
        DM_OK)
        return true;
    adm_fail_store(c, &err);
    return false;
}

/* Finds params[0]; NULL with the result set (404 USR002, 503) otherwise. */
static struct dm_json *find_target(struct adm_call *c)
{
    struct dm_json *user = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_user(c->app, c->params[0], &user, &err);

    if (rc == DM_NOT_FOUND)
        adm_fail(c, 404, "USR002", "User not found");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    return user;
}

static void deny(struct adm_call *c)
{
    adm_fail(c, 403, c->route->denied_code, c->route->denied_message);
}

static bool self_or_manager(struct adm_call *c, dm_view username)
{
    return adm_self(c, username) || adm_may(c, ADM_PERM_MANAGE_USERS);
}

static bool attributes_fit(struct adm_call *c)
{
    if (dm_json_len(dm_json_get(c->body, DM_LIT("custom_attributes"))) <= ATTRIBUTES_MAX)
        return true;
    adm_fail(c, 400, "USR016",
             "Maximum 10 custom attributes allowed. Please replace an existing one.");
    return false;
}

/* Nobody hands out a role that can do more than its own (USR013, USR015 on create). */
static bool may_assign(struct adm_call *c, dm_view role_name, const char *code, const char *text)
{
    DM_DEFER(dm_json_freep) struct dm_json *role = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_role(c->app, role_name, &role, &err);

    if (rc != DM_OK && rc != DM_NOT_FOUND) {
        adm_fail_store(c, &err);
        return false;
    }
    if (!c->caller.is_admin && (adm_role_is_admin(role_name, role) ||
                                (adm_permissions_of(role) & ~c->caller.permissions) != 0)) {
        adm_fail(c, 403, code, text);
        return false;
    }
    return true;
}

void adm_user_create(struct adm_call *c)
{
    dm_view role = dm_json_str(dm_json_get(c->body, DM_LIT("role")));

    adm_audit(c, dm_json_str(dm_json_get(c->body, DM_LIT("username"))), NULL);
    if (!may_assign(c, role, "USR015", "Only admin may create users with the admin role") ||
        !attributes_fit(c))
        return;
    adm_user_insert(c, c->body);
}

void adm_user_me(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    struct dm_error err;

    if (adm_find_user(c->app, c->caller.username, &user, &err) != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok(c, 200, shown(c, user, true));
}

void adm_user_list(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *users = NULL;
    struct dm_json *items;
    struct adm_page page;
    struct dm_error err;
    uint64_t total;

    if (!adm_page_of(c, &page))
        return;
    if (adm_users_visible(c, &page, &users, &total, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    items = dm_json_new_array();
    for (struct dm_json *u = dm_json_first(users); u != NULL; u = dm_json_next(u))
        dm_json_push(items, shown(c, u, false));
    adm_ok_page(c, "users", items, &page, total);
}

void adm_user_get(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    bool admin = false;

    if (dm_view_eq(c->params[0], DM_LIT("admin")) && !c->caller.is_admin) {
        not_visible(c);
        return;
    }
    if (!self_or_manager(c, c->params[0])) {
        deny(c);
        return;
    }
    user = find_target(c);
    if (user == NULL || !admin_of(c, user, &admin))
        return;
    if (admin && !c->caller.is_admin)
        not_visible(c);
    else
        adm_ok(c, 200, shown(c, user, true));
}

void adm_user_get_by_email(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    struct dm_error err;
    bool admin = false, self;
    enum dm_code rc = adm_find_user_by_email(c->app, c->params[0], &user, &err);

    if (rc != DM_OK && rc != DM_NOT_FOUND) {
        adm_fail_store(c, &err);
        return;
    }
    /* Permission first: who may not see users learns nothing about which addresses exist. */
    self = rc == DM_OK && adm_self(c, dm_json_str(dm_json_get(user, DM_LIT("username"))));
    if (!self && !adm_may(c, ADM_PERM_MANAGE_USERS)) {
        deny(c);
        return;
    }
    if (rc == DM_NOT_FOUND) {
        adm_fail(c, 404, "USR002", "User not found");
        return;
    }
    if (!admin_of(c, user, &admin))
        return;
    if (admin && !c->caller.is_admin)
        not_visible(c);
    else
        adm_ok(c, 200, shown(c, user, false));
}

/* Of the super admin only the traffic limits may be changed (USR020). */
static bool only_limits(const struct dm_json *body)
{
    static const char *const allowed[] = {
        "bandwidth_limit_bytes",    "bandwidth_limit_window", "rate_limit_duration",
        "rate_limit_duration_type", "rate_limit_enabled",     "throttle_duration",
        "throttle_duration_type",   "throttle_wait_duration", "throttle_wait_duration_type",
        "throttle_queue_limit",     "throttle_enabled"};

    for (struct dm_json *m = dm_json_first(body); m != NULL; m = dm_json_next(m)) {
        bool found = false;
        for (size_t i = 0; i < DM_COUNT_OF(allowed); i++)
            found = found || dm_view_eq(dm_json_name(m), dm_view_of(allowed[i]));
        if (!found)
            return false;
    }
    return true;
}

/* A user without manage_users may not touch what bounds it: the names found, sorted, or none. */
static bool restricted_fields(struct adm_call *c)
{
    static const char *const restricted[] = {/* sorted: the answer lists them in this order */
                                             "active",
                                             "bandwidth_limit_bytes",
                                             "bandwidth_limit_enabled",
                                             "bandwidth_limit_window",
                                             "force_password_reset",
                                             "groups",
                                             "rate_limit_duration",
                                             "rate_limit_duration_type",
                                             "rate_limit_enabled",
                                             "role",
                                             "throttle_duration",
                                             "throttle_duration_type",
                                             "throttle_enabled",
                                             "throttle_queue_limit",
                                             "throttle_wait_duration",
                                             "throttle_wait_duration_type",
                                             "ui_access",
                                             "username"};
    dm_view names = DM_VIEW_NONE;

    for (size_t i = 0; i < DM_COUNT_OF(restricted); i++) {
        if (dm_json_get(c->body, dm_view_of(restricted[i])) == NULL)
            continue;
        names = names.len == 0 ? dm_view_of(restricted[i])
                               : adm_text(c, "%.*s, %s", DM_FMT(names), restricted[i]);
    }
    if (names.len == 0)
        return false;
    adm_failf(c, 403, "USR023",
              "Cannot modify restricted fields without manage_users permission: %.*s",
              DM_FMT(names));
    return true;
}

static bool update_allowed(struct adm_call *c, dm_view username)
{
    if (dm_view_eq(username, DM_LIT("admin")) && !only_limits(c->body)) {
        adm_fail(c, 403, "USR020", "Super admin user cannot be modified");
        return false;
    }
    if (!self_or_manager(c, username)) {
        deny(c);
        return false;
    }
    return adm_may(c, ADM_PERM_MANAGE_USERS) || !restricted_fields(c);
}

/* Rules that need the stored user: admin users, role changes, renaming, password. */
static bool change_allowed(struct adm_call *c, const struct dm_json *user)
{
    dm_view role = dm_json_str(dm_json_get(c->body, DM_LIT("role")));
    dm_view name = dm_json_str(dm_json_get(c->body, DM_LIT("username")));
    dm_view password = dm_json_str(dm_json_get(c->body, DM_LIT("password")));
    bool admin = false;

    if (!admin_of(c, user, &admin))
        return false;
    if (admin && !c->caller.is_admin) {
        adm_fail(c, 403, "USR012", "Only admin may modify admin users");
        return false;
    }
    if (role.len > 0 &&
        !may_assign(c, role, "USR013", "Only admin may change admin role assignments"))
        return false;
    if (name.len > 0 && !dm_view_eq(name, c->params[0])) {
        adm_fail(c, 400, "USR004", "Unable to update user");
        return false;
    }
    if (password.ptr != NULL && !adm_password_strong(password)) {
        adm_fail_weak_password(c);
        return false;
    }
    return attributes_fit(c);
}

void adm_user_update(struct adm_call *c)
{
    const struct dm_filter key = DM_WHERE("username", c->params[0]);
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, c->params[0], NULL);
    if (!update_allowed(c, c->params[0]))
        return;
    user = find_target(c);
    if (user == NULL || !change_allowed(c, user))
        return;
    if (!adm_password_replace(c, c->body)) /* the hash takes the place of the clear text */
        return;
    rc = adm_record_patch(c, &dm_record_user, &key, 1, c->body, NULL, &err);
    if (rc == DM_EXISTS)
        adm_fail(c, 400, "USR001", "Email already exists");
    else if (rc == DM_NOT_FOUND)
        adm_fail(c, 404, "USR002", "User not found");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 200, "User updated successfully");
}

void adm_user_password(struct adm_call *c)
{
    dm_view username = c->params[0];
    dm_view password = dm_json_str(dm_json_get(c->body, DM_LIT("new_password")));
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    struct dm_error err;
    bool admin = false;

    adm_audit(c, username, NULL);
    if (dm_view_eq(username, DM_LIT("admin"))) {
        adm_fail(c, 403, "USR022", "Super admin password cannot be changed via UI");
        return;
    }
    if (!self_or_manager(c, username)) {
        deny(c);
        return;
    }
    if (!adm_password_strong(password)) {
        adm_fail_weak_password(c);
        return;
    }
    user = find_target(c);
    if (user == NULL || !admin_of(c, user, &admin))
        return;
    if (admin && !c->caller.is_admin)
        adm_fail(c, 403, "USR012", "Only admin may modify admin users");
    else if (adm_password_store(c, username, password, &err) != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 200, "User updated successfully");
}

void adm_user_delete(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    struct dm_error err;
    bool admin = false;

    adm_audit(c, c->params[0], NULL);
    if (dm_view_eq(c->params[0], DM_LIT("admin"))) {
        adm_fail(c, 403, "USR021", "Super admin user cannot be deleted");
        return;
    }
    if (!self_or_manager(c, c->params[0])) {
        deny(c);
        return;
    }
    user = find_target(c);
    if (user == NULL || !admin_of(c, user, &admin))
        return;
    if (admin && !c->caller.is_admin)
        adm_fail(c, 403, "USR014", "Only admin may delete admin users");
    else if (adm_user_remove(c, c->params[0], &err) != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 200, "User deleted successfully");
}

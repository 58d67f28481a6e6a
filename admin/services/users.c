#include "admin/services/users.h"

#include "admin/app.h"
#include "admin/services/credits.h"
#include "admin/services/records.h"

/* Roles that make their holders admin users: by name, or by platform_admin. */
static enum dm_code admin_roles(struct adm_call *c, struct dm_json **ret, struct dm_error *err)
{
    struct dm_json *roles = NULL;
    const struct dm_query all = {0};
    enum dm_code rc = dm_documents_list(adm_documents(c->app), "roles", &all, &roles, err);

    if (rc != DM_OK)
        return rc;
    *ret = dm_json_new_array();
    for (struct dm_json *r = dm_json_first(roles); r != NULL; r = dm_json_next(r)) {
        dm_view name = dm_json_str(dm_json_get(r, DM_LIT("role_name")));
        if (adm_role_is_admin(name, r))
            dm_json_push(*ret, dm_json_new_str(name));
    }
    dm_json_free(roles);
    return DM_OK;
}

enum { ADMIN_ROLES_MAX = 16 }; /* filters of one query; a platform has one or two such roles */

enum dm_code adm_users_visible(struct adm_call *c, const struct adm_page *page,
                               struct dm_json **ret, uint64_t *ret_total, struct dm_error *err)
{
    struct dm_filter filters[ADMIN_ROLES_MAX + 1];
    struct dm_query query = {.filters = filters,
                             .sort = "username",
                             .skip = (size_t)((page->page - 1) * page->size),
                             .limit = (size_t)page->size + 1};
    DM_DEFER(dm_json_freep) struct dm_json *hidden = NULL;
    enum dm_code rc;

    if (!adm_may(c, ADM_PERM_MANAGE_USERS)) {
        filters[query.n_filters++] = DM_WHERE("username", c->caller.username);
    } else if (!c->caller.is_admin) {
        rc = admin_roles(c, &hidden, err);
        if (rc != DM_OK)
            return rc;
        for (struct dm_json *r = dm_json_first(hidden);
             r != NULL && query.n_filters < ADMIN_ROLES_MAX; r = dm_json_next(r)) {
            filters[query.n_filters] = DM_WHERE("role", dm_json_str(r));
            filters[query.n_filters++].op = DM_FILTER_NE;
        }
        filters[query.n_filters] = DM_WHERE("username", DM_LIT("admin"));
        filters[query.n_filters++].op = DM_FILTER_NE;
    }
    rc = dm_documents_list(adm_documents(c->app), "users", &query, ret, err);
    return rc == DM_OK ? dm_documents_count(adm_documents(c->app), "users", filters,
                                            query.n_filters, ret_total, err)
                       : rc;
}

enum dm_code adm_user_remove(struct adm_call *c, dm_view username, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", username);
    size_t n;
    /* Subscriptions and credits first: a crash in between leaves a user without them, never a later
     * user of that name with somebody else's. */
    enum dm_code rc = adm_record_delete(c, &dm_record_subscription, &key, 1, &n, err);

    if (rc == DM_OK)
        rc = adm_credits_remove(c->app, username, err);
    return rc == DM_OK ? adm_record_delete(c, &dm_record_user, &key, 1, &n, err) : rc;
}

static int64_t window_seconds(dm_view word)
{
    static const struct {
        const char *word;
        int64_t seconds;
    } windows[] = {{"second", 1},  {"minute", 60},   {"hour", 3600},
                   {"day", 86400}, {"week", 604800}, {"month", 2592000}};

    for (size_t i = 0; i < DM_COUNT_OF(windows); i++) {
        if (dm_view_eq(word, dm_view_of(windows[i].word)))
            return windows[i].seconds;
    }
    return 86400; /* unknown: day (platform-access.md §10) */
}

void adm_user_add_bandwidth(struct adm_call *c, struct dm_json *user)
{
    int64_t now = dm_clock_wall(adm_clock(c->app)) / DM_SEC, used = 0, window;
    struct dm_error err;

    if (!dm_json_bool(dm_json_get(user, DM_LIT("bandwidth_limit_enabled")), true) ||
        dm_json_i64(dm_json_get(user, DM_LIT("bandwidth_limit_bytes")), 0) <= 0)
        return;
    window = window_seconds(dm_json_str(dm_json_get(user, DM_LIT("bandwidth_limit_window"))));
    if (dm_live_bandwidth_used(adm_live(c->app), dm_json_str(dm_json_get(user, DM_LIT("username"))),
                               window, &used, &err) != DM_OK)
        return; /* the record is still worth showing; the figure is left out rather than guessed */
    dm_json_set_i64(user, DM_LIT("bandwidth_usage_bytes"), used);
    dm_json_set_i64(user, DM_LIT("bandwidth_resets_at"), (now / window + 1) * window);
}

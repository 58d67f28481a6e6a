/* /platform/subscription (platform-access.md §8.5). */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/router.h"
#include "admin/services/lookup.h"
#include "admin/services/subscriptions.h"

static dm_view body_text(const struct adm_call *c, const char *name)
{
    return dm_json_str(dm_json_get(c->body, dm_view_of(name)));
}

static bool self_or_manager(struct adm_call *c, dm_view username)
{
    if (adm_self(c, username) || adm_may(c, ADM_PERM_MANAGE_SUBSCRIPTIONS))
        return true;
    adm_fail(c, 403, c->route->denied_code, c->route->denied_message);
    return false;
}

/* Common start of both: the audit target, the permission, the API's key text. */
static bool begin(struct adm_call *c, dm_view *ret_username, dm_view *ret_nv)
{
    *ret_username = body_text(c, "username");
    *ret_nv = adm_text(c, "%.*s/%.*s", DM_FMT(body_text(c, "api_name")),
                       DM_FMT(body_text(c, "api_version")));
    adm_audit(c, adm_text(c, "%.*s:%.*s", DM_FMT(*ret_username), DM_FMT(*ret_nv)), NULL);
    return self_or_manager(c, *ret_username);
}

/* User and API exist (404), and, to subscribe, they share a group (401): all under one code. */
static bool target_good(struct adm_call *c, dm_view username, const char *code, bool check_group)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *api = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_user(c->app, username, &user, &err);

    if (rc == DM_NOT_FOUND) {
        adm_fail(c, 404, code, "User not found");
        return false;
    }
    if (rc == DM_OK)
        rc =
            adm_find_api(c->app, body_text(c, "api_name"), body_text(c, "api_version"), &api, &err);
    if (rc == DM_NOT_FOUND) {
        adm_fail(c, 404, code, "API not found");
        return false;
    }
    if (rc != DM_OK) {
        adm_fail_store(c, &err);
        return false;
    }
    if (check_group && !adm_lists_meet(dm_json_get(user, DM_LIT("groups")),
                                       dm_json_get(api, DM_LIT("api_allowed_groups")))) {
        adm_fail(c, 401, code, "You do not have the correct group for this");
        return false;
    }
    return true;
}

static void answer_text(struct adm_call *c, const char *text)
{
    struct dm_json *o = dm_json_new_object(); /* a response object: strict mode wraps it (§8.5) */

    dm_json_set_str(o, DM_LIT("message"), dm_view_of(text));
    adm_ok(c, 200, o);
}

void adm_subscription_subscribe(struct adm_call *c)
{
    dm_view username, nv;
    struct dm_error err;
    enum dm_code rc;

    if (!begin(c, &username, &nv) || !target_good(c, username, "GEN001", true))
        return;
    rc = adm_subscribe(c, username, nv, &err);
    if (rc == DM_EXISTS)
        adm_fail(c, 400, "SUB004", "User is already subscribed to the API");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        answer_text(c, "Successfully subscribed to the API");
}

void adm_subscription_unsubscribe(struct adm_call *c)
{
    dm_view username, nv;
    struct dm_error err;
    enum dm_code rc;

    if (!begin(c, &username, &nv) || !target_good(c, username, "GEN002", false))
        return;
    rc = adm_unsubscribe(c, username, nv, &err);
    if (rc == DM_NOT_FOUND)
        adm_fail(c, 400, "SUB006", "User is not subscribed to the API");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        answer_text(c, "Successfully unsubscribed from the API");
}

static void answer_list(struct adm_call *c, dm_view username)
{
    struct dm_json *apis = NULL, *o, *inner;
    struct dm_error err;

    if (adm_subscriptions_of(c, username, &apis, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    o = dm_json_new_object();
    inner = dm_json_new_object();
    dm_json_set(inner, DM_LIT("apis"), dm_json_clone(apis));
    dm_json_set(o, DM_LIT("apis"), apis);
    dm_json_set(o, DM_LIT("subscriptions"), inner);
    adm_ok(c, 200, o);
}

void adm_subscription_mine(struct adm_call *c)
{
    answer_list(c, c->caller.username);
}

void adm_subscription_list(struct adm_call *c)
{
    if (self_or_manager(c, c->params[0]))
        answer_list(c, c->params[0]);
}

static struct dm_json *brief(const struct dm_json *api)
{
    static const char *const members[] = {"api_name", "api_version", "api_description"};
    struct dm_json *o = dm_json_new_object();

    for (size_t i = 0; i < DM_COUNT_OF(members); i++) {
        const struct dm_json *m = dm_json_get(api, dm_view_of(members[i]));
        dm_json_set(o, dm_view_of(members[i]), m != NULL ? dm_json_clone(m) : dm_json_new_null());
    }
    return o;
}

/* With the permission every API; on one's own only those that share a group with the caller. */
void adm_subscription_available(struct adm_call *c)
{
    bool all = adm_may(c, ADM_PERM_MANAGE_SUBSCRIPTIONS);
    DM_DEFER(dm_json_freep) struct dm_json *apis = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    const struct dm_query query = {.sort = "api_name"};
    struct dm_json *list, *o;
    struct dm_error err;

    if (!self_or_manager(c, c->params[0]))
        return;
    if (dm_documents_list(adm_documents(c->app), "apis", &query, &apis, &err) != DM_OK ||
        adm_find_user(c->app, c->caller.username, &user, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    list = dm_json_new_array();
    for (struct dm_json *api = dm_json_first(apis); api != NULL; api = dm_json_next(api)) {
        if (all || adm_lists_meet(dm_json_get(user, DM_LIT("groups")),
                                  dm_json_get(api, DM_LIT("api_allowed_groups"))))
            dm_json_push(list, brief(api));
    }
    o = dm_json_new_object();
    dm_json_set(o, DM_LIT("apis"), list);
    adm_ok(c, 200, o);
}

/* /platform/api (platform-apis.md §1). */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/services/apis.h"
#include "admin/services/lookup.h"
#include "admin/services/records.h"
#include "base/log.h"
#include "crypto/random.h"

static void no_such_api(struct adm_call *c)
{
    adm_fail(c, 400, "API003", "API does not exist for the requested name and version");
}

static bool flag(const struct dm_json *doc, const char *name)
{
    return dm_json_bool(dm_json_get(doc, dm_view_of(name)), false);
}

/* Public APIs know no caller, so nobody could be charged (API013). */
static bool charges_nobody(struct adm_call *c, const struct dm_json *result)
{
    if (!flag(result, "api_public") || !flag(result, "api_credits_enabled"))
        return false;
    adm_fail(c, 400, "API013", "Public API cannot have credits enabled");
    return true;
}

static bool lists_good(struct adm_call *c)
{
    dm_view bad;

    if (adm_api_lists_good(c->body, &bad))
        return true;
    adm_failf(c, 400, "SEC012", "Invalid IP address or CIDR: %.*s", DM_FMT(bad));
    return false;
}

static struct dm_json *shown(const struct dm_json *api)
{
    struct dm_json *o = dm_json_clone(api);

    adm_api_mask(o);
    return o;
}

static void set_identity(struct adm_call *c, struct dm_json *doc)
{
    char id[DM_UUID_LEN + 1];

    dm_random_uuid(id);
    dm_json_set_str(doc, DM_LIT("api_id"), dm_view_of(id));
    dm_json_set_str(doc, DM_LIT("api_path"),
                    adm_text(c, "/%.*s/%.*s",
                             DM_FMT(dm_json_str(dm_json_get(doc, DM_LIT("api_name")))),
                             DM_FMT(dm_json_str(dm_json_get(doc, DM_LIT("api_version"))))));
}

void adm_api_create(struct adm_call *c)
{
    dm_view name = dm_json_str(dm_json_get(c->body, DM_LIT("api_name")));
    dm_view version = dm_json_str(dm_json_get(c->body, DM_LIT("api_version")));
    struct dm_json *o;
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, adm_text(c, "%.*s/%.*s", DM_FMT(name), DM_FMT(version)), NULL);
    if (charges_nobody(c, c->body) || !lists_good(c))
        return;
    set_identity(c, c->body);
    adm_api_warn(c, c->body);
    rc = adm_record_insert(c, &dm_record_api, c->body, &err);
    if (rc == DM_EXISTS) {
        adm_ok_message(c, 200,
                       "API already exists"); /* not an error, and nothing was changed (§1.3) */
    } else if (rc != DM_OK) {
        adm_fail_store(c, &err);
    } else {
        o = dm_json_new_object();
        dm_json_set(o, DM_LIT("api"), shown(c->body));
        adm_ok(c, 201, o);
    }
}

void adm_api_list(struct adm_call *c)
{
    adm_list_page(c, "apis", "apis", "api_name");
    for (struct dm_json *api = dm_json_first(dm_json_get(c->result.response, DM_LIT("apis")));
         api != NULL; api = dm_json_next(api))
        adm_api_mask(api);
}

void adm_api_get(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *api = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_api(c->app, c->params[0], c->params[1], &api, &err);

    if (rc == DM_NOT_FOUND)
        no_such_api(c);
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok(c, 200, shown(api));
}

static bool differs(dm_view sent, dm_view stored)
{
    return sent.ptr != NULL && !dm_view_eq(sent, stored);
}

/* api_path is the server's and not in the typed body, but a differing one is refused all the same:
 * the dispatcher has parsed these bytes before, so they parse again. */
static bool renames(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *raw = NULL;
    dm_view path = adm_text(c, "/%.*s/%.*s", DM_FMT(c->params[0]), DM_FMT(c->params[1]));

    if (dm_json_parse(c->rq->body, &dm_json_default, &raw, NULL) != DM_OK)
        return false;
    return differs(dm_json_str(dm_json_get(c->body, DM_LIT("api_name"))), c->params[0]) ||
           differs(dm_json_str(dm_json_get(c->body, DM_LIT("api_version"))), c->params[1]) ||
           differs(dm_json_str(dm_json_get(raw, DM_LIT("api_path"))), path);
}

/* The stored document and the body over it: what would be in force. */
static bool update_good(struct adm_call *c, const struct dm_json *api)
{
    DM_DEFER(dm_json_freep) struct dm_json *result = dm_json_clone(api);

    dm_record_merge(result, c->body);
    if (charges_nobody(c, result))
        return false;
    adm_api_drop_unchanged_nulls(c->body, api);
    if (dm_json_len(c->body) == 0) {
        adm_fail(c, 400, "API006", "No data to update");
        return false;
    }
    if (!lists_good(c))
        return false;
    adm_api_warn(c, result);
    return true;
}

void adm_api_update(struct adm_call *c)
{
    const struct dm_filter key[] = {DM_WHERE("api_name", c->params[0]),
                                    DM_WHERE("api_version", c->params[1])};
    DM_DEFER(dm_json_freep) struct dm_json *api = NULL;
    struct dm_error err;
    enum dm_code rc;

    adm_audit(c, adm_text(c, "%.*s/%.*s", DM_FMT(c->params[0]), DM_FMT(c->params[1])), NULL);
    if (renames(c)) {
        adm_fail(c, 400, "API005", "API name and version cannot be updated");
        return;
    }
    rc = adm_find_api(c->app, c->params[0], c->params[1], &api, &err);
    if (rc == DM_OK) {
        if (!update_good(c, api))
            return;
        rc = adm_record_patch(c, &dm_record_api, key, DM_COUNT_OF(key), c->body, NULL, &err);
    }
    if (rc == DM_NOT_FOUND)
        no_such_api(c);
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 200, "API updated successfully");
}

void adm_api_delete(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *api = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_api(c->app, c->params[0], c->params[1], &api, &err);

    adm_audit(c, adm_text(c, "%.*s/%.*s", DM_FMT(c->params[0]), DM_FMT(c->params[1])), NULL);
    if (rc == DM_OK)
        rc = adm_api_remove(c, api, &err);
    if (rc == DM_NOT_FOUND)
        no_such_api(c);
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 200, "API deleted successfully");
}

#include "admin/services/apis.h"

#include "admin/app.h"
#include "admin/services/records.h"
#include "admin/services/subscriptions.h"
#include "base/log.h"

static bool list_good(const struct dm_json *list, dm_view *ret_bad)
{
    struct dm_error err;

    for (struct dm_json *e = dm_json_first(list); e != NULL; e = dm_json_next(e)) {
        struct dm_address_set *one = NULL;
        dm_view text = dm_json_str(e);

        if (dm_address_set_new(&text, 1, &one, &err) != DM_OK) {
            *ret_bad = text;
            return false;
        }
        dm_address_set_free(one);
    }
    return true;
}

bool adm_api_lists_good(const struct dm_json *doc, dm_view *ret_bad)
{
    return list_good(dm_json_get(doc, DM_LIT("api_ip_whitelist")), ret_bad) &&
           list_good(dm_json_get(doc, DM_LIT("api_ip_blacklist")), ret_bad);
}

void adm_api_mask(struct dm_json *api)
{
    struct dm_json *security = dm_json_get(api, DM_LIT("api_ws_security"));

    if (dm_json_get(security, DM_LIT("password")) != NULL)
        dm_json_set_str(security, DM_LIT("password"), DM_LIT("********"));
}

void adm_api_warn(struct adm_call *c, const struct dm_json *api)
{
    const struct dm_json *origins = dm_json_get(api, DM_LIT("api_cors_allow_origins"));
    bool any = !dm_json_is(origins, DM_JSON_ARRAY);

    for (struct dm_json *o = dm_json_first(origins); o != NULL; o = dm_json_next(o))
        any = any || dm_view_eq(dm_json_str(o), DM_LIT("*"));
    if (any && dm_json_bool(dm_json_get(api, DM_LIT("api_cors_allow_credentials")), false))
        DM_LOG(DM_LOG_WARNING, c->rq->request_id, "api allows credentials from any origin",
               DM_F("api", dm_json_str(dm_json_get(api, DM_LIT("api_path")))));
}

void adm_api_drop_unchanged_nulls(struct dm_json *patch, const struct dm_json *stored)
{
    struct dm_json *next;

    for (struct dm_json *m = dm_json_first(patch); m != NULL; m = next) {
        next = dm_json_next(m);
        if (dm_json_is(m, DM_JSON_NULL) &&
            dm_json_is(dm_json_get(stored, dm_json_name(m)), DM_JSON_NULL))
            dm_json_remove(patch, dm_json_name(m));
    }
}

enum dm_code adm_api_remove(struct adm_call *c, const struct dm_json *api, struct dm_error *err)
{
    dm_view name = dm_json_str(dm_json_get(api, DM_LIT("api_name")));
    dm_view version = dm_json_str(dm_json_get(api, DM_LIT("api_version")));
    dm_view nv = adm_text(c, "%.*s/%.*s", DM_FMT(name), DM_FMT(version));
    const struct dm_filter key =
        DM_WHERE("api_id", dm_json_str(dm_json_get(api, DM_LIT("api_id"))));
    size_t n = 0;
    enum dm_code rc = adm_record_delete(c, &dm_record_api, &key, 1, &n, err);

    if (rc == DM_OK && n == 0)
        return DM_FAIL(err, DM_NOT_FOUND, ERR_NONE, "API \"%.*s\" is gone already", DM_FMT(nv));
    if (rc == DM_OK)
        rc = adm_record_delete(c, &dm_record_endpoint, &key, 1, &n, err);
    return rc == DM_OK ? adm_unsubscribe_all(c, nv, err) : rc;
}

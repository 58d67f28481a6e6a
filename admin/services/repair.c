#include "admin/services/repair.h"

#include "admin/services/lookup.h"
#include "admin/services/publish.h"
#include "base/log.h"
#include "base/map.h"

enum { NAME_CAP = 4096 }; /* name/version; the API's own check allows 25 and 8 characters */

struct repair {
    struct adm_app *app;
    struct dm_map *ids, *names; /* api_id, and name/version, of the APIs there are; values unused */
    struct dm_json *doubtful;   /* copies of what names an API that is not among them */
    int64_t endpoints, subscriptions;
};

static dm_view text_of(const struct dm_json *doc, const char *field)
{
    return dm_json_str(dm_json_get(doc, dm_view_of(field)));
}

/* Looks at every document; what it found doubtful is looked at again, and repaired, afterwards,
 * each under the lock: servers differ in what a walk meets of what is changed under it, and a walk
 * may take longer than a lease lasts. */
static enum dm_code walk(struct repair *r, const char *collection, dm_documents_each_fn look,
                         struct dm_error *err)
{
    dm_json_free(r->doubtful);
    r->doubtful = dm_json_new_array();
    return dm_documents_each(adm_documents(r->app), collection, look, r, err);
}

static enum dm_code note_api(void *ctx, const struct dm_json *api, struct dm_error *err)
{
    struct repair *r = ctx;
    struct dm_buf nv;

    (void)err;
    dm_buf_init(&nv, NAME_CAP);
    dm_buf_add(&nv, text_of(api, "api_name"));
    dm_buf_add_byte(&nv, '/');
    dm_buf_add(&nv, text_of(api, "api_version"));
    dm_map_put(r->ids, text_of(api, "api_id"), r);
    dm_map_put(r->names, dm_buf_view(&nv), r);
    dm_buf_done(&nv);
    return DM_OK;
}

/* The list of APIs may be older than the document that names one: asked again. */
static enum dm_code api_gone(struct repair *r, const struct dm_filter *key, size_t n, bool *ret,
                             struct dm_error *err)
{
    uint64_t count = 0;
    enum dm_code rc = dm_documents_count(adm_documents(r->app), "apis", key, n, &count, err);

    *ret = rc == DM_OK && count == 0;
    return rc;
}

static enum dm_code remove_endpoint(struct repair *r, const struct dm_json *endpoint,
                                    struct dm_error *err)
{
    dm_view id = text_of(endpoint, "endpoint_id");
    const struct dm_filter key = DM_WHERE("endpoint_id", id);
    const struct adm_change change = {.type = &dm_record_endpoint, .id = id};
    uint64_t deleted = 0;
    enum dm_code rc =
        dm_documents_delete(adm_documents(r->app), "endpoints", &key, 1, &deleted, err);

    r->endpoints += (int64_t)deleted;
    return rc == DM_OK ? adm_publish(r->app, &change, 1, err) : rc;
}

/* By api_id, since an API made anew under the old name has another; documents without one (of the
 * Python Doorman) are left to their owner. */
static enum dm_code look_at_endpoint(void *ctx, const struct dm_json *e, struct dm_error *err)
{
    struct repair *r = ctx;
    dm_view api_id = text_of(e, "api_id");

    (void)err;
    if (api_id.len > 0 && text_of(e, "endpoint_id").len > 0 && dm_map_get(r->ids, api_id) == NULL)
        dm_json_push(r->doubtful, dm_json_clone(e));
    return DM_OK;
}

static enum dm_code repair_endpoints(struct repair *r, struct dm_error *err)
{
    enum dm_code rc = walk(r, "endpoints", look_at_endpoint, err);

    for (struct dm_json *e = dm_json_first(r->doubtful); rc == DM_OK && e != NULL;
         e = dm_json_next(e)) {
        const struct dm_filter key = DM_WHERE("api_id", text_of(e, "api_id"));
        bool gone = false;
        rc = adm_app_publish_lock(r->app, err);
        if (rc != DM_OK)
            break;
        rc = api_gone(r, &key, 1, &gone, err);
        if (gone)
            rc = remove_endpoint(r, e, err);
        adm_app_publish_end(r->app, rc);
    }
    return rc;
}

static enum dm_code drop_entry(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    const dm_view *nv = ctx;
    const struct dm_json *old = dm_json_get(doc, DM_LIT("apis"));
    struct dm_json *list = dm_json_new_array();

    (void)err;
    for (struct dm_json *item = dm_json_first(old); item != NULL; item = dm_json_next(item)) {
        if (!dm_view_eq(dm_json_str(item), *nv))
            dm_json_push(list, dm_json_clone(item));
    }
    dm_json_set(doc, DM_LIT("apis"), list);
    return DM_OK;
}

static enum dm_code unsubscribe(struct repair *r, dm_view username, dm_view nv,
                                struct dm_error *err)
{
    const struct dm_filter user = DM_WHERE("username", username);
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    enum dm_code rc = dm_documents_update(adm_documents(r->app), "subscriptions", &user, 1,
                                          drop_entry, &nv, &doc, err);
    struct adm_change change = {.type = &dm_record_subscription, .id = username, .doc = doc};

    if (rc == DM_NOT_FOUND) /* the user went meanwhile */
        return DM_OK;
    r->subscriptions += rc == DM_OK;
    return rc == DM_OK ? adm_publish(r->app, &change, 1, err) : rc;
}

static enum dm_code repair_entry(struct repair *r, dm_view username, dm_view nv,
                                 struct dm_error *err)
{
    size_t slash = dm_view_find_byte(nv, '/', 0);
    const struct dm_filter key[] = {
        DM_WHERE("api_name", dm_view_sub(nv, 0, slash)),
        DM_WHERE("api_version", dm_view_sub(nv, slash + 1, nv.len)),
    };
    bool gone = false;
    enum dm_code rc;

    if (nv.len == 0 || slash == nv.len || dm_map_get(r->names, nv) != NULL)
        return DM_OK;
    rc = adm_app_publish_lock(r->app, err);
    if (rc != DM_OK)
        return rc;
    rc = api_gone(r, key, DM_COUNT_OF(key), &gone, err);
    if (gone)
        rc = unsubscribe(r, username, nv, err);
    adm_app_publish_end(r->app, rc);
    return rc;
}

static enum dm_code look_at_subscription(void *ctx, const struct dm_json *d, struct dm_error *err)
{
    struct repair *r = ctx;
    bool doubtful = false;

    (void)err;
    for (struct dm_json *i = dm_json_first(dm_json_get(d, DM_LIT("apis"))); i != NULL;
         i = dm_json_next(i))
        doubtful = doubtful || dm_map_get(r->names, dm_json_str(i)) == NULL;
    if (doubtful)
        dm_json_push(r->doubtful, dm_json_clone(d));
    return DM_OK;
}

static enum dm_code repair_subscriptions(struct repair *r, struct dm_error *err)
{
    enum dm_code rc = walk(r, "subscriptions", look_at_subscription, err);

    for (struct dm_json *d = dm_json_first(r->doubtful); rc == DM_OK && d != NULL;
         d = dm_json_next(d)) {
        const struct dm_json *list = dm_json_get(d, DM_LIT("apis"));
        for (struct dm_json *i = dm_json_first(list); rc == DM_OK && i != NULL; i = dm_json_next(i))
            rc = repair_entry(r, text_of(d, "username"), dm_json_str(i), err);
    }
    return rc;
}

enum dm_code adm_repair(struct adm_app *app, struct dm_error *err)
{
    struct repair r = {.app = app, .ids = dm_map_new(NULL), .names = dm_map_new(NULL)};
    enum dm_code rc = walk(&r, "apis", note_api, err);

    if (rc == DM_OK)
        rc = repair_endpoints(&r, err);
    if (rc == DM_OK)
        rc = repair_subscriptions(&r, err);
    if (r.endpoints + r.subscriptions > 0)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "admin.repaired", DM_FI("endpoints", r.endpoints),
               DM_FI("subscriptions", r.subscriptions));
    dm_json_free(r.doubtful);
    dm_map_free(r.ids);
    dm_map_free(r.names);
    return rc;
}

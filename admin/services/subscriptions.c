#include "admin/services/subscriptions.h"

#include "admin/app.h"
#include "admin/services/records.h"

struct list_change {
    dm_view nv;
    bool add;
};

static bool holds(const struct dm_json *list, dm_view text)
{
    for (struct dm_json *item = dm_json_first(list); item != NULL; item = dm_json_next(item)) {
        if (dm_view_eq(dm_json_str(item), text))
            return true;
    }
    return false;
}

/* DM_EXISTS / DM_NOT_FOUND end the update without a write: there was nothing to change. */
static enum dm_code change_list(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    const struct list_change *change = ctx;
    const struct dm_json *old = dm_json_get(doc, DM_LIT("apis"));
    struct dm_json *list;

    if (holds(old, change->nv) == change->add)
        return DM_FAIL(err, change->add ? DM_EXISTS : DM_NOT_FOUND, ERR_NONE,
                       "the list already says so");
    list = dm_json_new_array();
    for (struct dm_json *item = dm_json_first(old); item != NULL; item = dm_json_next(item)) {
        if (!dm_view_eq(dm_json_str(item), change->nv))
            dm_json_push(list, dm_json_clone(item));
    }
    if (change->add)
        dm_json_push(list, dm_json_new_str(change->nv));
    dm_json_set(doc, DM_LIT("apis"), list);
    return DM_OK;
}

static struct dm_json *first_subscription(dm_view username, dm_view nv)
{
    struct dm_json *doc = dm_json_new_object(), *list = dm_json_new_array();

    dm_json_push(list, dm_json_new_str(nv));
    dm_json_set_str(doc, DM_LIT("username"), username);
    dm_json_set(doc, DM_LIT("apis"), list);
    return doc;
}

enum dm_code adm_subscribe(struct adm_call *c, dm_view username, dm_view nv, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", username);
    struct list_change change = {nv, true};
    enum dm_code rc =
        adm_record_change(c, &dm_record_subscription, &key, 1, change_list, &change, NULL, err);
    struct dm_json *doc;

    if (rc != DM_NOT_FOUND)
        return rc;
    doc = first_subscription(username, nv);
    rc = adm_record_insert(c, &dm_record_subscription, doc, err);
    dm_json_free(doc);
    if (rc == DM_EXISTS) /* somebody made the record meanwhile: now there is a list to change */
        rc =
            adm_record_change(c, &dm_record_subscription, &key, 1, change_list, &change, NULL, err);
    return rc;
}

enum dm_code adm_unsubscribe(struct adm_call *c, dm_view username, dm_view nv, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", username);
    struct list_change change = {nv, false};

    return adm_record_change(c, &dm_record_subscription, &key, 1, change_list, &change, NULL, err);
}

enum dm_code adm_subscriptions_of(struct adm_call *c, dm_view username, struct dm_json **ret_apis,
                                  struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", username);
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    const struct dm_json *list;
    uint64_t version;
    enum dm_code rc =
        dm_documents_find(adm_documents(c->app), "subscriptions", &key, 1, &doc, &version, err);

    if (rc != DM_OK && rc != DM_NOT_FOUND)
        return rc;
    list = dm_json_get(doc, DM_LIT("apis"));
    *ret_apis = dm_json_is(list, DM_JSON_ARRAY) ? dm_json_clone(list) : dm_json_new_array();
    return DM_OK;
}

enum dm_code adm_unsubscribe_all(struct adm_call *c, dm_view nv, struct dm_error *err)
{
    const struct dm_filter holders[] = {
        {.field = "apis", .op = DM_FILTER_HAS, .kind = DM_JSON_STRING, .str = nv}};
    const struct dm_query query = {.filters = holders, .n_filters = 1};
    DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
    enum dm_code rc = dm_documents_list(adm_documents(c->app), "subscriptions", &query, &docs, err);

    for (struct dm_json *d = dm_json_first(docs); rc == DM_OK && d != NULL; d = dm_json_next(d)) {
        rc = adm_unsubscribe(c, dm_json_str(dm_json_get(d, DM_LIT("username"))), nv, err);
        if (rc == DM_NOT_FOUND) /* gone meanwhile: what we wanted */
            rc = DM_OK;
    }
    return rc;
}

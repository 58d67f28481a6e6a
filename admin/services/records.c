#include "admin/services/records.h"

#include "admin/app.h"
#include "admin/services/publish.h"

static enum dm_code publish_doc(struct adm_call *c, const struct dm_record_type *t,
                                const struct dm_json *doc, struct dm_error *err)
{
    const struct adm_change change = {.type = t, .id = adm_publish_id(t, doc), .doc = doc};

    return adm_publish_wants(t) ? adm_publish(c->app, &change, 1, err) : DM_OK;
}

enum dm_code adm_record_insert(struct adm_call *c, const struct dm_record_type *t,
                               const struct dm_json *doc, struct dm_error *err)
{
    enum dm_code rc = adm_publish_possible(c->app, err);

    if (rc != DM_OK)
        return rc;
    rc = adm_app_publish_lock(c->app, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_documents_insert(adm_documents(c->app), t->collection, doc, err);
    if (rc == DM_OK)
        rc = publish_doc(c, t, doc, err);
    adm_app_publish_end(c->app, rc);
    return rc;
}

enum dm_code adm_record_change(struct adm_call *c, const struct dm_record_type *t,
                               const struct dm_filter *key, size_t n_key,
                               dm_documents_change_fn change, void *ctx, struct dm_json **ret_doc,
                               struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    enum dm_code rc = adm_publish_possible(c->app, err);

    if (rc != DM_OK)
        return rc;
    rc = adm_app_publish_lock(c->app, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_documents_update(adm_documents(c->app), t->collection, key, n_key, change, ctx, &doc,
                             err);
    if (rc == DM_OK)
        rc = publish_doc(c, t, doc, err);
    adm_app_publish_end(c->app, rc);
    if (rc == DM_OK && ret_doc != NULL)
        *ret_doc = DM_TAKE(doc);
    return rc;
}

static enum dm_code lay_over(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    (void)err;
    dm_record_merge(doc, ctx);
    return DM_OK;
}

enum dm_code adm_record_patch(struct adm_call *c, const struct dm_record_type *t,
                              const struct dm_filter *key, size_t n_key,
                              const struct dm_json *patch, struct dm_json **ret_doc,
                              struct dm_error *err)
{
    return adm_record_change(c, t, key, n_key, lay_over, (void *)(uintptr_t)patch, ret_doc, err);
}

static enum dm_code publish_deletions(struct adm_call *c, const struct dm_record_type *t,
                                      const struct dm_json *docs, struct dm_error *err)
{
    size_t n = 0;
    struct adm_change *changes = dm_mem_array(dm_json_len(docs) + 1, sizeof(*changes));
    enum dm_code rc;

    for (struct dm_json *doc = dm_json_first(docs); doc != NULL; doc = dm_json_next(doc))
        changes[n++] = (struct adm_change){.type = t, .id = adm_publish_id(t, doc)};
    rc = adm_publish(c->app, changes, n, err);
    dm_mem_free(changes);
    return rc;
}

enum dm_code adm_record_delete(struct adm_call *c, const struct dm_record_type *t,
                               const struct dm_filter *key, size_t n_key, size_t *ret_n,
                               struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
    const struct dm_query query = {.filters = key, .n_filters = n_key};
    uint64_t deleted = 0;
    enum dm_code rc = adm_publish_possible(c->app, err);

    *ret_n = 0;
    if (rc != DM_OK)
        return rc;
    rc = adm_app_publish_lock(c->app, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_documents_list(adm_documents(c->app), t->collection, &query, &docs, err);
    if (rc == DM_OK)
        rc = dm_documents_delete(adm_documents(c->app), t->collection, key, n_key, &deleted, err);
    if (rc == DM_OK && adm_publish_wants(t) && dm_json_len(docs) > 0)
        rc = publish_deletions(c, t, docs, err);
    adm_app_publish_end(c->app, rc);
    *ret_n = (size_t)deleted;
    return rc;
}

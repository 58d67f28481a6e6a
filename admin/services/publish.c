#include "admin/services/publish.h"

#include "admin/services/credits.h"

enum {
    PROJECTION_CAP = 1024 * 1024
}; /* a projection larger than the largest body cannot come about */

/* What is published, in the order in which a cold start needs it; users and subscriptions are read
 * on demand by the data plane but published the same way. */
static const struct {
    const struct dm_record_type *type;
    const char *id_field;
    struct dm_json *(*project)(const struct dm_json *doc); /* NULL: the fields its table says */
} published[] = {
    {&dm_record_security_settings, NULL, NULL},
    {&dm_record_role, "role_name", NULL},
    {&dm_record_credit_def, "api_credit_group", NULL},
    {&dm_record_api, "api_id", NULL},
    {&dm_record_endpoint, "endpoint_id", NULL},
    {&dm_record_routing, "client_key", NULL},
    {&dm_record_user, "username", NULL},
    {&dm_record_subscription, "username", NULL},
    {&dm_record_user_credits, "username", adm_credits_project},
};

bool adm_publish_wants(const struct dm_record_type *type)
{
    for (size_t i = 0; i < DM_COUNT_OF(published); i++) {
        if (published[i].type == type)
            return true;
    }
    return false;
}

dm_view adm_publish_id(const struct dm_record_type *type, const struct dm_json *doc)
{
    for (size_t i = 0; i < DM_COUNT_OF(published); i++) {
        if (published[i].type == type && published[i].id_field != NULL)
            return dm_json_str(dm_json_get(doc, dm_view_of(published[i].id_field)));
    }
    return dm_view_of(type->noun);
}

static void project(const struct adm_change *change, struct dm_buf *out)
{
    DM_DEFER(dm_json_freep) struct dm_json *projection = NULL;

    for (size_t i = 0; i < DM_COUNT_OF(published); i++) {
        if (published[i].type == change->type && published[i].project != NULL)
            projection = published[i].project(change->doc);
    }
    if (projection == NULL)
        projection = dm_record_project(change->type, change->doc);
    dm_json_write(projection, out);
}

static enum dm_code publish_piece(struct adm_app *app, const struct adm_change *changes, size_t n,
                                  uint64_t *ret_generation, struct dm_error *err)
{
    struct dm_live_change live[ADM_PUBLISH_MAX];
    struct dm_buf texts[ADM_PUBLISH_MAX];
    enum dm_code rc;

    for (size_t i = 0; i < n; i++) {
        dm_buf_init(&texts[i], PROJECTION_CAP);
        if (changes[i].doc != NULL)
            project(&changes[i], &texts[i]);
        live[i] = (struct dm_live_change){.kind = dm_view_of(changes[i].type->noun),
                                          .id = changes[i].id,
                                          .bytes = changes[i].doc != NULL ? dm_buf_view(&texts[i])
                                                                          : DM_VIEW_NONE};
    }
    rc = dm_live_publish(adm_live(app), live, n, ret_generation, err);
    for (size_t i = 0; i < n; i++)
        dm_buf_done(&texts[i]);
    return rc;
}

enum dm_code adm_publish(struct adm_app *app, const struct adm_change *changes, size_t n,
                         struct dm_error *err)
{
    const struct adm_app_config *config = adm_config(app);
    uint64_t generation = 0;

    for (size_t at = 0; at < n; at += ADM_PUBLISH_MAX) {
        size_t piece = n - at < ADM_PUBLISH_MAX ? n - at : ADM_PUBLISH_MAX;
        enum dm_code rc = publish_piece(app, changes + at, piece, &generation, err);
        if (rc != DM_OK)
            return rc;
    }
    if (generation != 0 && config->wait_applied != NULL)
        config->wait_applied(config->ctx, generation);
    return DM_OK;
}

static enum dm_code publish_type(struct adm_app *app, const struct dm_record_type *type,
                                 struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
    const struct dm_query all = {0};
    struct adm_change *changes;
    size_t n = 0;
    enum dm_code rc = dm_documents_list(adm_documents(app), type->collection, &all, &docs, err);

    if (rc != DM_OK || dm_json_len(docs) == 0)
        return rc;
    changes = dm_mem_array(dm_json_len(docs), sizeof(*changes));
    for (struct dm_json *doc = dm_json_first(docs); doc != NULL; doc = dm_json_next(doc))
        changes[n++] =
            (struct adm_change){.type = type, .id = adm_publish_id(type, doc), .doc = doc};
    rc = adm_publish(app, changes, n, err);
    dm_mem_free(changes);
    return rc;
}

enum dm_code adm_publish_all(struct adm_app *app, struct dm_error *err)
{
    for (size_t i = 0; i < DM_COUNT_OF(published); i++) {
        adm_app_publish_lock(app);
        enum dm_code rc = publish_type(app, published[i].type, err);
        adm_app_publish_unlock(app);
        if (rc != DM_OK)
            return rc;
    }
    return adm_credits_restore(app, err);
}

enum dm_code adm_publish_possible(struct adm_app *app, struct dm_error *err)
{
    return dm_live_ping(adm_live(app), err);
}

#include "admin/services/publish.h"

#include "admin/services/credits.h"
#include "admin/services/publish_piece.h"

enum { PROJECTION_CAP = 1024 * 1024 /* one larger than the largest body cannot come about */ };

/* In the order in which a cold start needs them. */
static const struct adm_published published_types[] = {
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

const struct adm_published *adm_published_types(size_t *ret_n)
{
    *ret_n = DM_COUNT_OF(published_types);
    return published_types;
}

bool adm_publish_wants(const struct dm_record_type *type)
{
    for (size_t i = 0; i < DM_COUNT_OF(published_types); i++) {
        if (published_types[i].type == type)
            return true;
    }
    return false;
}

dm_view adm_publish_id(const struct dm_record_type *type, const struct dm_json *doc)
{
    for (size_t i = 0; i < DM_COUNT_OF(published_types); i++) {
        if (published_types[i].type == type && published_types[i].id_field != NULL)
            return dm_json_str(dm_json_get(doc, dm_view_of(published_types[i].id_field)));
    }
    return dm_view_of(type->noun);
}

static void project(const struct adm_change *change, struct dm_buf *out)
{
    DM_DEFER(dm_json_freep) struct dm_json *projection = NULL;

    for (size_t i = 0; i < DM_COUNT_OF(published_types); i++) {
        if (published_types[i].type == change->type && published_types[i].project != NULL)
            projection = published_types[i].project(change->doc);
    }
    if (projection == NULL)
        projection = dm_record_project(change->type, change->doc);
    dm_json_write(projection, out);
}

void adm_piece_add(struct adm_piece *p, const struct adm_change *change)
{
    struct dm_buf *text = &p->texts[p->n];

    dm_buf_init(text, PROJECTION_CAP);
    if (change->doc != NULL)
        project(change, text);
    p->ids[p->n] = dm_mem_text(change->id);
    p->live[p->n] =
        (struct dm_live_change){.kind = dm_view_of(change->type->noun),
                                .id = dm_view_make(p->ids[p->n], change->id.len),
                                .bytes = change->doc != NULL ? dm_buf_view(text) : DM_VIEW_NONE};
    p->n++;
}

void adm_piece_done(struct adm_piece *p)
{
    for (size_t i = 0; i < p->n; i++) {
        dm_buf_done(&p->texts[i]);
        dm_mem_free(DM_TAKE(p->ids[i]));
    }
    p->n = 0;
}

static enum dm_code publish_piece(struct adm_app *app, const struct adm_change *changes, size_t n,
                                  uint64_t *ret_generation, struct dm_error *err)
{
    struct dm_live_published published;
    struct adm_piece piece = {.n = 0};
    enum dm_code rc;

    dm_live_published(adm_live(app), &published);
    rc = adm_app_reserve(app, published.generation + 1, err);
    if (rc != DM_OK)
        return rc;
    for (size_t i = 0; i < n; i++)
        adm_piece_add(&piece, &changes[i]);
    rc = dm_live_publish(adm_live(app), piece.live, n, ret_generation, err);
    adm_piece_done(&piece);
    return rc;
}

void adm_publish_wait(struct adm_app *app, uint64_t generation)
{
    const struct adm_app_config *config = adm_config(app);

    if (generation != 0 && config->wait_applied != NULL)
        config->wait_applied(config->ctx, generation);
}

enum dm_code adm_publish(struct adm_app *app, const struct adm_change *changes, size_t n,
                         struct dm_error *err)
{
    uint64_t generation = 0;

    for (size_t at = 0; at < n; at += ADM_PUBLISH_MAX) {
        size_t piece = n - at < ADM_PUBLISH_MAX ? n - at : ADM_PUBLISH_MAX;
        enum dm_code rc = publish_piece(app, changes + at, piece, &generation, err);
        if (rc != DM_OK) {
            adm_app_unpublished(app);
            return rc;
        }
    }
    adm_publish_wait(app, generation);
    return DM_OK;
}

enum dm_code adm_publish_possible(struct adm_app *app, struct dm_error *err)
{
    return dm_live_ping(adm_live(app), err);
}

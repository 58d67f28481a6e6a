#include "admin/services/publish.h"

#include "admin/services/credits.h"
#include "base/log.h"
#include "store/live_keys.h"
#include "store/live_republish.h"

enum {
    PIECE = 256, /* of publishing everything: what one round of the live store takes */
    PROJECTION_CAP = 1024 * 1024, /* one larger than the largest body cannot come about */
    GENERATIONS_MAX = 1000 /* that publishing everything makes: one for each 4,096 objects on demand
                              that differ, of 3,000,000 at most, and one for the rest */
};

/* What is published, in the order in which a cold start needs it; users and subscriptions are read
 * on demand by the data plane but published the same way. */
static const struct {
    const struct dm_record_type *type;
    const char *id_field;
    struct dm_json *(*project)(const struct dm_json *doc); /* NULL: the fields its table says */
} published_types[] = {
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

/* Up to PIECE projections of changes, which need not outlive their documents; done with
 * piece_done. */
struct piece {
    struct dm_live_change live[PIECE];
    struct dm_buf texts[PIECE];
    char *ids[PIECE];
    size_t n;
};

static void piece_add(struct piece *p, const struct adm_change *change)
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

static void piece_done(struct piece *p)
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
    struct piece piece = {.n = 0};
    enum dm_code rc;

    dm_live_published(adm_live(app), &published);
    rc = adm_app_reserve(app, published.generation + 1, err);
    if (rc != DM_OK)
        return rc;
    for (size_t i = 0; i < n; i++)
        piece_add(&piece, &changes[i]);
    rc = dm_live_publish(adm_live(app), piece.live, n, ret_generation, err);
    piece_done(&piece);
    return rc;
}

static void wait_applied(struct adm_app *app, uint64_t generation)
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
    wait_applied(app, generation);
    return DM_OK;
}

/* A walk through one collection, sent piece by piece. */
struct walk {
    struct adm_app *app;
    const struct dm_record_type *type;
    struct piece piece;
};

static enum dm_code put_piece(struct walk *w, struct dm_error *err)
{
    enum dm_code rc = dm_live_republish_put(adm_live(w->app), w->piece.live, w->piece.n, err);

    piece_done(&w->piece);
    return rc;
}

/* Other programs may have stored what has no name here, or further documents beside the security
 * settings; one of those must neither end the start nor stand in the place of another. */
static bool has_a_name(const struct dm_record_type *type, const struct dm_json *doc, dm_view id)
{
    if (type == &dm_record_security_settings)
        return dm_view_eq(dm_json_str(dm_json_get(doc, DM_LIT("type"))), id);
    return id.len > 0 && id.len <= DM_LIVE_ID_MAX;
}

static enum dm_code put_doc(void *ctx, const struct dm_json *doc, struct dm_error *err)
{
    struct walk *w = ctx;
    const struct adm_change change = {w->type, adm_publish_id(w->type, doc), doc};

    if (!has_a_name(w->type, doc, change.id)) {
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.document_without_name",
               DM_FC("collection", w->type->collection), DM_F("name", change.id));
        return DM_OK;
    }
    piece_add(&w->piece, &change);
    return w->piece.n == PIECE ? put_piece(w, err) : DM_OK;
}

static enum dm_code put_type(struct adm_app *app, const struct dm_record_type *type,
                             struct dm_error *err)
{
    struct walk w = {.app = app, .type = type};
    enum dm_code rc = dm_documents_each(adm_documents(app), type->collection, put_doc, &w, err);

    if (rc == DM_OK && w.piece.n > 0)
        rc = put_piece(&w, err);
    piece_done(&w.piece);
    return rc;
}

static enum dm_code put_everything(struct adm_app *app, bool forget, uint64_t *ret_generation,
                                   struct dm_error *err)
{
    struct dm_live_published published;
    uint64_t floor = 0;
    enum dm_code rc = adm_app_reserved(app, &floor, err);

    dm_live_published(adm_live(app), &published);
    if (rc == DM_OK) /* where the store knows nothing the generation is above what was reserved */
        rc = adm_app_reserve(
            app,
            published.lost || published.generation == 0 ? floor + 1
                                                        : published.generation + GENERATIONS_MAX,
            err);
    if (rc == DM_OK)
        rc = dm_live_republish_begin(adm_live(app), floor, err);
    for (size_t i = 0; rc == DM_OK && i < DM_COUNT_OF(published_types); i++)
        rc = put_type(app, published_types[i].type, err);
    return rc == DM_OK ? dm_live_republish_end(adm_live(app), forget, ret_generation, err) : rc;
}

enum dm_code adm_publish_all(struct adm_app *app, bool forget, struct dm_error *err)
{
    uint64_t generation = 0;
    enum dm_code rc = adm_credits_restore(app, err);

    /* Accounts first: data planes take a store for whole again once policy stands there, and an
     * account that is not there would be a refusal. */
    if (rc == DM_OK)
        rc = adm_app_restore_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = put_everything(app, forget, &generation, err);
    adm_app_publish_unlock(app);
    if (rc == DM_OK)
        wait_applied(app, generation);
    return rc;
}

enum dm_code adm_publish_possible(struct adm_app *app, struct dm_error *err)
{
    return dm_live_ping(adm_live(app), err);
}

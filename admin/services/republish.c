#include "admin/services/credits.h"
#include "admin/services/publish_piece.h"
#include "base/log.h"
#include "store/live_keys.h"
#include "store/live_names.h"
#include "store/live_republish.h"

/* Publishing everything, compared with the documents. What data planes read on demand may be a
 * hundred thousand users: it is compared first and without the lock, so that a starting admin, or
 * one that lost sight of Redis for a moment, keeps nobody from writing. Then the snapshot, as one
 * generation under the lock. A store that lost what it held gets all of it that way. */

static bool on_demand(const struct dm_record_type *type)
{
    return dm_live_kind_on_demand(dm_view_of(type->noun));
}

/* --- a walk through one collection, piece by piece --- */

struct walk {
    struct adm_app *app;
    const struct adm_published *what;
    enum dm_code (*give)(struct walk *w,
                         struct dm_error *err); /* the piece, before it is emptied */
    struct dm_live_names *seen;                 /* of mending */
    struct adm_piece piece;
};

static enum dm_code give_piece(struct walk *w, struct dm_error *err)
{
    enum dm_code rc = w->piece.n == 0 ? DM_OK : w->give(w, err);

    adm_piece_done(&w->piece);
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

static enum dm_code take_doc(void *ctx, const struct dm_json *doc, struct dm_error *err)
{
    struct walk *w = ctx;
    const struct dm_record_type *type = w->what->type;
    const struct adm_change change = {type, adm_publish_id(type, doc), doc};

    if (!has_a_name(type, doc, change.id)) {
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.document_without_name",
               DM_FC("collection", type->collection), DM_F("name", change.id));
        return DM_OK;
    }
    adm_piece_add(&w->piece, &change);
    return w->piece.n == ADM_PIECE ? give_piece(w, err) : DM_OK;
}

static enum dm_code walk(struct walk *w, struct dm_error *err)
{
    enum dm_code rc =
        dm_documents_each(adm_documents(w->app), w->what->type->collection, take_doc, w, err);

    if (rc == DM_OK)
        rc = give_piece(w, err);
    adm_piece_done(&w->piece);
    return rc;
}

/* --- objects on demand --- */

static bool has_lost(struct adm_app *app)
{
    struct dm_live_published published;

    dm_live_published(adm_live(app), &published);
    return published.lost || published.generation == 0;
}

static enum dm_code publish_stored(struct adm_app *app, const struct adm_published *what,
                                   const dm_view *ids, size_t n, struct dm_error *err)
{
    struct adm_change changes[ADM_PIECE];
    struct dm_json *docs[ADM_PIECE] = {NULL};
    enum dm_code rc = DM_OK;

    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        const struct dm_filter key = {
            .field = what->id_field, .kind = DM_JSON_STRING, .str = ids[i]};
        rc = dm_documents_find(adm_documents(app), what->type->collection, &key, 1, &docs[i], NULL,
                               err);
        if (rc == DM_NOT_FOUND)
            rc = DM_OK;
        changes[i] = (struct adm_change){what->type, ids[i], docs[i]};
    }
    if (rc == DM_OK)
        rc = adm_publish(app, changes, n, err);
    for (size_t i = 0; i < n; i++)
        dm_json_free(docs[i]);
    return rc;
}

/* What the documents say now, under the lock: a piece was read without it. */
static enum dm_code mend(struct adm_app *app, const struct adm_published *what, const dm_view *ids,
                         size_t n, struct dm_error *err)
{
    enum dm_code rc = n == 0 ? DM_OK : adm_app_restore_lock(app, err);

    if (rc != DM_OK || n == 0)
        return rc;
    if (!has_lost(app)) /* else all are published anew behind this */
        rc = publish_stored(app, what, ids, n, err);
    adm_app_publish_unlock(app);
    return rc;
}

static enum dm_code mend_what_differs(struct adm_app *app, const struct adm_published *what,
                                      const struct dm_live_change *live, size_t n,
                                      struct dm_error *err)
{
    bool differs[ADM_PIECE];
    dm_view ids[ADM_PIECE];
    size_t n_ids = 0;
    enum dm_code rc = dm_live_compare(adm_live(app), live, n, differs, err);

    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        if (differs[i])
            ids[n_ids++] = live[i].id;
    }
    return rc == DM_OK ? mend(app, what, ids, n_ids, err) : rc;
}

static enum dm_code mend_piece(struct walk *w, struct dm_error *err)
{
    for (size_t i = 0; i < w->piece.n; i++)
        dm_live_names_add(w->seen, w->piece.live[i].kind, w->piece.live[i].id);
    return mend_what_differs(w->app, w->what, w->piece.live, w->piece.n, err);
}

struct gone {
    struct adm_app *app;
    struct dm_live_names seen;
};

/* Names of several kinds, in no order: kind by kind. */
static enum dm_code mend_gone(void *ctx, const struct dm_live_change *names, size_t n,
                              struct dm_error *err)
{
    struct gone *g = ctx;
    struct dm_live_change gone[ADM_PIECE];
    size_t n_types;
    const struct adm_published *types = adm_published_types(&n_types);
    enum dm_code rc = DM_OK;

    for (size_t t = 0; rc == DM_OK && t < n_types; t++) {
        const dm_view noun = dm_view_of(types[t].type->noun);
        size_t n_gone = 0;
        for (size_t i = 0; i < n; i++) {
            if (dm_view_eq(names[i].kind, noun) && !dm_live_names_has(&g->seen, noun, names[i].id))
                gone[n_gone++] = names[i];
        }
        if (n_gone > 0)
            rc = mend_what_differs(g->app, &types[t], gone, n_gone, err);
    }
    return rc;
}

static enum dm_code mend_on_demand(struct adm_app *app, struct dm_error *err)
{
    struct gone g = {.app = app};
    size_t n;
    const struct adm_published *types = adm_published_types(&n);
    enum dm_code rc = DM_OK;

    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        struct walk w = {.app = app, .what = &types[i], .give = mend_piece, .seen = &g.seen};
        if (on_demand(types[i].type))
            rc = walk(&w, err);
    }
    if (rc == DM_OK)
        rc = dm_live_names(adm_live(app), mend_gone, &g, err);
    dm_live_names_done(&g.seen);
    return rc;
}

/* --- everything else, and everything --- */

static enum dm_code put_piece(struct walk *w, struct dm_error *err)
{
    return dm_live_republish_put(adm_live(w->app), w->piece.live, w->piece.n, err);
}

static enum dm_code put_everything(struct adm_app *app, bool forget, uint64_t *ret_generation,
                                   struct dm_error *err)
{
    struct dm_live_published published;
    uint64_t floor = 0;
    size_t n;
    const struct adm_published *types = adm_published_types(&n);
    bool whole = true;
    enum dm_code rc = adm_app_reserved(app, &floor, err);

    dm_live_published(adm_live(app), &published);
    /* Above both, whatever begin finds: a store that lost all meanwhile, or documents that were set
     * back behind what is published. */
    if (rc == DM_OK)
        rc = adm_app_reserve(app, (floor > published.generation ? floor : published.generation) + 1,
                             err);
    if (rc == DM_OK)
        rc = dm_live_republish_begin(adm_live(app), floor, &whole, err);
    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        struct walk w = {.app = app, .what = &types[i], .give = put_piece};
        if (whole || !on_demand(types[i].type))
            rc = walk(&w, err);
    }
    return rc == DM_OK ? dm_live_republish_end(adm_live(app), forget, ret_generation, err) : rc;
}

static enum dm_code look(struct adm_app *app, bool *ret_lost, struct dm_error *err)
{
    enum dm_code rc = adm_app_restore_lock(app, err);

    *ret_lost = true;
    if (rc != DM_OK)
        return rc;
    *ret_lost = has_lost(app);
    adm_app_publish_unlock(app);
    return DM_OK;
}

enum dm_code adm_publish_all(struct adm_app *app, bool forget, struct dm_error *err)
{
    uint64_t generation = 0;
    bool lost;
    enum dm_code rc = adm_credits_restore(app, err);

    /* Accounts first: data planes take a store for whole again once policy stands there, and an
     * account that is not there would be a refusal. */
    if (rc == DM_OK)
        rc = look(app, &lost, err);
    if (rc == DM_OK && !lost)
        rc = mend_on_demand(app, err);
    if (rc == DM_OK)
        rc = adm_app_restore_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = put_everything(app, forget, &generation, err);
    adm_app_publish_unlock(app);
    if (rc == DM_OK)
        adm_publish_wait(app, generation);
    return rc;
}

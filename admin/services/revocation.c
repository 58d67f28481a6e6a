#include "admin/services/revocation.h"

#include "admin/services/publish.h"
#include "base/log.h"
#include "base/map.h"
#include "store/live_revocations.h"

enum {
    ID_CAP = 1024,
    SECONDS_MIN = 1,
    PIECE = 64 /* restored under one lock: far less than a lease lasts */
};

struct dm_json *adm_revocation_doc(dm_view username, dm_view jti, int64_t expires)
{
    struct dm_json *o = dm_json_new_object();
    struct dm_buf id;

    dm_buf_init(&id, ID_CAP);
    dm_buf_add(&id, username);
    dm_buf_add_byte(&id, ':');
    dm_buf_add(&id, jti);
    dm_json_set_str(o, DM_LIT("id"), dm_buf_view(&id));
    dm_json_set_str(o, DM_LIT("username"), username);
    dm_json_set_str(o, DM_LIT("jti"), jti);
    dm_json_set_i64(o, DM_LIT("expires"), expires);
    dm_buf_done(&id);
    return o;
}

static enum dm_code revoke(struct adm_app *app, dm_view username, dm_view jti, int64_t expires,
                           struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = adm_revocation_doc(username, jti, expires);
    enum dm_code rc = adm_publish_possible(app, err);

    if (rc != DM_OK)
        return rc;
    rc = adm_app_restore_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_documents_insert(adm_documents(app), "revocations", doc, err);
    if (rc == DM_OK || rc == DM_EXISTS)
        rc = dm_live_revoke(adm_live(app), username, jti, expires * DM_SEC, err);
    adm_app_publish_end(app, rc);
    return rc;
}

enum dm_code adm_revoke_user(struct adm_app *app, dm_view username, struct dm_error *err)
{
    return revoke(app, username, DM_VIEW_NONE, 0, err);
}

enum dm_code adm_revoke_token(struct adm_app *app, dm_view username, dm_view jti, int64_t exp,
                              struct dm_error *err)
{
    int64_t soonest = dm_clock_wall(adm_clock(app)) / DM_SEC + SECONDS_MIN;

    return revoke(app, username, jti, exp < soonest ? soonest : exp, err);
}

enum dm_code adm_unrevoke_user(struct adm_app *app, dm_view username, struct dm_error *err)
{
    const struct dm_filter key[] = {DM_WHERE("username", username), DM_WHERE("jti", DM_LIT(""))};
    uint64_t deleted;
    enum dm_code rc = adm_publish_possible(app, err);

    if (rc != DM_OK)
        return rc;
    rc = adm_app_restore_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_documents_delete(adm_documents(app), "revocations", key, DM_COUNT_OF(key), &deleted,
                             err);
    if (rc == DM_OK)
        rc = dm_live_unrevoke(adm_live(app), username, err);
    adm_app_publish_end(app, rc);
    return rc;
}

static enum dm_code restore_one(struct adm_app *app, const struct dm_json *doc,
                                struct dm_error *err)
{
    dm_view id = dm_json_str(dm_json_get(doc, DM_LIT("id")));
    int64_t expires = dm_json_i64(dm_json_get(doc, DM_LIT("expires")), 0);
    const struct dm_filter key = DM_WHERE("id", id);
    uint64_t deleted;

    if (expires != 0 && expires <= dm_clock_wall(adm_clock(app)) / DM_SEC)
        return dm_documents_delete(adm_documents(app), "revocations", &key, 1, &deleted, err);
    const dm_time ends = expires > INT64_MAX / DM_SEC ? 0 : expires * DM_SEC;
    enum dm_code rc =
        dm_live_revoke(adm_live(app), dm_json_str(dm_json_get(doc, DM_LIT("username"))),
                       dm_json_str(dm_json_get(doc, DM_LIT("jti"))), ends, err);
    if (rc != DM_INVALID)
        return rc;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "revocation.unreadable", DM_F("id", id));
    return DM_OK; /* names no token that could be: others wrote it */
}

/* --- revocations that another program left in the live store ---
 * The Python Doorman kept them in Redis only; without a durable copy one would end with the store,
 * and the mirrors of the sidecars would not have it. */

enum { ADOPTED_MAX = 1000 * 1000 }; /* more than any store of people's tokens holds */

struct adoption {
    dm_time now;
    struct dm_map *known; /* ids of documents; values unused */
    struct dm_json *found;
};

static enum dm_code note_revoked(void *ctx, dm_view subject, dm_view jti, int64_t ends_ms)
{
    struct adoption *a = ctx;
    const bool ends = ends_ms > 0 && ends_ms < (INT64_MAX - a->now) / DM_MS;
    const int64_t expires = ends ? (a->now + ends_ms * DM_MS) / DM_SEC + 1 : 0;
    struct dm_json *doc = adm_revocation_doc(subject, jti, expires);

    if (dm_map_get(a->known, dm_json_str(dm_json_get(doc, DM_LIT("id")))) != NULL) {
        dm_json_free(doc);
        return DM_OK;
    }
    dm_map_put(a->known, dm_json_str(dm_json_get(doc, DM_LIT("id"))), a->known);
    dm_json_push(a->found, doc);
    return dm_map_count(a->known) > ADOPTED_MAX ? DM_LIMIT : DM_OK;
}

static enum dm_code list_revocations(struct adm_app *app, struct dm_json **ret,
                                     struct dm_error *err)
{
    const struct dm_query all = {0};

    return dm_documents_list(adm_documents(app), "revocations", &all, ret, err);
}

static enum dm_code store_found(struct adm_app *app, const struct dm_json *found,
                                struct dm_error *err)
{
    int64_t n = 0;
    enum dm_code rc = DM_OK;

    for (struct dm_json *d = dm_json_first(found); rc == DM_OK && d != NULL;
         d = dm_json_next(d), n++) {
        rc = dm_documents_insert(adm_documents(app), "revocations", d, err);
        if (rc == DM_EXISTS)
            rc = DM_OK;
    }
    if (rc == DM_OK && n > 0)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "revocations.adopted", DM_FI("count", n));
    return rc;
}

/* Under the lock: one that is taken back meanwhile must not come back. */
static enum dm_code adopt(struct adm_app *app, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
    struct adoption a = {.now = dm_clock_wall(adm_clock(app))};
    enum dm_code rc = adm_app_restore_lock(app, err);

    if (rc != DM_OK)
        return rc;
    a.known = dm_map_new(NULL);
    a.found = dm_json_new_array();
    rc = list_revocations(app, &docs, err);
    for (struct dm_json *d = dm_json_first(docs); d != NULL; d = dm_json_next(d))
        dm_map_put(a.known, dm_json_str(dm_json_get(d, DM_LIT("id"))), app);
    if (rc == DM_OK)
        rc = dm_live_revocations(adm_live(app), note_revoked, &a, err);
    if (rc == DM_OK)
        rc = store_found(app, a.found, err);
    adm_app_publish_unlock(app);
    dm_json_free(a.found);
    dm_map_free(a.known);
    return rc;
}

/* Under the lock, as they are now: one that was taken back meanwhile must not come back. */
static enum dm_code restore_piece(struct adm_app *app, const struct dm_json **next,
                                  struct dm_error *err)
{
    enum dm_code rc = adm_app_restore_lock(app, err);

    if (rc != DM_OK)
        return rc;
    for (size_t n = 0; rc == DM_OK && n < PIECE && *next != NULL; n++) {
        const struct dm_filter key = DM_WHERE("id", dm_json_str(dm_json_get(*next, DM_LIT("id"))));
        DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
        rc = dm_documents_find(adm_documents(app), "revocations", &key, 1, &doc, NULL, err);
        if (rc == DM_OK)
            rc = restore_one(app, doc, err);
        if (rc == DM_NOT_FOUND)
            rc = DM_OK;
        *next = dm_json_next(*next);
    }
    adm_app_publish_unlock(app);
    return rc;
}

enum dm_code adm_revocations_restore(struct adm_app *app, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
    enum dm_code rc = adopt(app, err);

    if (rc == DM_OK)
        rc = list_revocations(app, &docs, err);
    const struct dm_json *next = dm_json_first(docs);
    while (rc == DM_OK && next != NULL)
        rc = restore_piece(app, &next, err);
    return rc;
}

#include "admin/services/revocation.h"

#include "admin/services/publish.h"

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
    adm_app_publish_unlock(app);
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
    adm_app_publish_unlock(app);
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
    return dm_live_revoke(adm_live(app), dm_json_str(dm_json_get(doc, DM_LIT("username"))),
                          dm_json_str(dm_json_get(doc, DM_LIT("jti"))), expires * DM_SEC, err);
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
    const struct dm_query all = {0};
    enum dm_code rc = dm_documents_list(adm_documents(app), "revocations", &all, &docs, err);
    const struct dm_json *next = dm_json_first(docs);

    while (rc == DM_OK && next != NULL)
        rc = restore_piece(app, &next, err);
    return rc;
}

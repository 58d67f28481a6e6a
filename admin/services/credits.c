#include "admin/services/credits.h"

#include "admin/services/publish.h"
#include "crypto/random.h"

enum {
    PIECE = 500,        /* documents in memory at once when all are gone through */
    KEY_BYTES = 32,     /* of a key made by us: 43 characters */
    SEALED_MAX = 16384, /* a key of 4,096 characters, sealed */
    BALANCE_TRIES = 4   /* of inserting a document that another admin inserts at the same time */
};
#define BALANCE_MAX 9007199254740991 /* 2^53 - 1: what a document may hold */

static const char COLLECTION[] = "user_credits";

static struct dm_json *entries_of(const struct dm_json *doc)
{
    struct dm_json *entries = dm_json_get(doc, DM_LIT("users_credits"));

    return dm_json_is(entries, DM_JSON_OBJECT) ? entries : NULL; /* others may have written it */
}

/* From e on, the first that is one: an entry that is no object holds no balance. */
static struct dm_json *entry_from(struct dm_json *e)
{
    while (e != NULL && !dm_json_is(e, DM_JSON_OBJECT))
        e = dm_json_next(e);
    return e;
}

static dm_view key_of(const struct dm_json *entry)
{
    return dm_json_str(dm_json_get(entry, DM_LIT("user_api_key")));
}

struct dm_json *adm_credits_project(const struct dm_json *doc)
{
    struct dm_json *out = dm_json_new_object(), *keys = dm_json_new_object();

    dm_json_set_str(out, DM_LIT("username"), dm_json_str(dm_json_get(doc, DM_LIT("username"))));
    for (struct dm_json *e = entry_from(dm_json_first(entries_of(doc))); e != NULL;
         e = entry_from(dm_json_next(e)))
        if (key_of(e).len > 0)
            dm_json_set_str(keys, dm_json_name(e), key_of(e));
    dm_json_set(out, DM_LIT("keys"), keys);
    return out;
}

static void seal_into(struct adm_app *app, struct dm_json *entry, dm_view plain)
{
    struct dm_sealing *sealing = adm_sealing(app);
    struct dm_buf sealed;

    dm_buf_init(&sealed, SEALED_MAX);
    dm_seal(sealing, plain, dm_clock_wall(adm_clock(app)), &sealed);
    dm_sealing_unref(sealing);
    dm_json_set_str(entry, DM_LIT("user_api_key"), dm_buf_view(&sealed));
    dm_buf_done(&sealed);
}

/* --- writing: the lock of publishing is held --- */

typedef enum dm_code (*edit_fn)(void *ctx, struct dm_json *doc, struct dm_error *err);

static struct dm_json *new_doc(dm_view username)
{
    struct dm_json *doc = dm_json_new_object();

    dm_json_set_str(doc, DM_LIT("username"), username);
    dm_json_set(doc, DM_LIT("users_credits"), dm_json_new_object());
    return doc;
}

/* Edits the user's document, or a new one. */
static enum dm_code upsert(struct adm_app *app, dm_view username, edit_fn edit, void *ctx,
                           struct dm_json **ret, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", username);
    enum dm_code rc = DM_EXISTS;

    for (int i = 0; rc == DM_EXISTS && i < BALANCE_TRIES; i++) {
        rc = dm_documents_update(adm_documents(app), COLLECTION, &key, 1, edit, ctx, ret, err);
        if (rc != DM_NOT_FOUND)
            return rc;
        DM_DEFER(dm_json_freep) struct dm_json *doc = new_doc(username);
        rc = edit(ctx, doc, err);
        if (rc == DM_OK)
            rc = dm_documents_insert(adm_documents(app), COLLECTION, doc, err);
        if (rc == DM_OK)
            *ret = DM_TAKE(doc);
    }
    return rc;
}

static enum dm_code publish(struct adm_app *app, dm_view username, const struct dm_json *doc,
                            struct dm_error *err)
{
    const struct adm_change change = {.type = &dm_record_user_credits, .id = username, .doc = doc};

    return adm_publish(app, &change, 1, err);
}

static enum dm_code set_balances(struct adm_app *app, const struct dm_json *doc, bool unless_there,
                                 struct dm_error *err)
{
    const dm_view username = dm_json_str(dm_json_get(doc, DM_LIT("username")));
    enum dm_code rc = DM_OK;

    for (struct dm_json *e = entry_from(dm_json_first(entries_of(doc))); rc == DM_OK && e != NULL;
         e = entry_from(dm_json_next(e))) {
        const int64_t n = dm_json_i64(dm_json_get(e, DM_LIT("available_credits")), 0);
        rc = dm_live_credits_set(adm_live(app), dm_json_name(e), username, n > 0 ? n : 0,
                                 unless_there, err);
        if (rc == DM_INVALID) /* stored by somebody else, under a name that no call can have */
            rc = DM_OK;
    }
    return rc;
}

struct saving {
    struct adm_app *app;
    dm_view username;
    const struct dm_json *entries;
};

/* Accounts that go, go first: what a crash leaves is an entry whose balance the next start sets. */
static enum dm_code drop_accounts(struct adm_app *app, dm_view username, const struct dm_json *doc,
                                  const struct dm_json *but, struct dm_error *err)
{
    enum dm_code rc = DM_OK;

    for (struct dm_json *e = entry_from(dm_json_first(entries_of(doc))); rc == DM_OK && e != NULL;
         e = entry_from(dm_json_next(e)))
        if (dm_json_get(but, dm_json_name(e)) == NULL)
            rc = dm_live_credits_delete(adm_live(app), dm_json_name(e), username, err);
    return rc;
}

static enum dm_code replace_entries(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    const struct saving *s = ctx;
    enum dm_code rc = drop_accounts(s->app, s->username, doc, s->entries, err);

    if (rc != DM_OK)
        return rc;
    struct dm_json *fresh = dm_json_clone(s->entries);
    for (struct dm_json *e = dm_json_first(fresh); e != NULL; e = dm_json_next(e)) {
        const struct dm_json *old = dm_json_get(entries_of(doc), dm_json_name(e));
        if (key_of(e).len == 0)
            dm_json_set(e, DM_LIT("user_api_key"), dm_json_new_null());
        else if (!dm_view_eq(key_of(e), DM_LIT(ADM_CREDITS_MASK)))
            seal_into(s->app, e, key_of(e));
        else if (key_of(old).len > 0)
            dm_json_set_str(e, DM_LIT("user_api_key"), key_of(old));
        else
            dm_json_set(e, DM_LIT("user_api_key"), dm_json_new_null());
    }
    dm_json_set(doc, DM_LIT("users_credits"), fresh);
    return DM_OK;
}

enum dm_code adm_credits_save(struct adm_app *app, dm_view username, const struct dm_json *entries,
                              struct dm_error *err)
{
    struct saving s = {app, username, entries};
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    enum dm_code rc = adm_publish_possible(app, err);

    if (rc != DM_OK)
        return rc;
    rc = adm_app_publish_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = upsert(app, username, replace_entries, &s, &doc, err);
    if (rc == DM_OK)
        rc = set_balances(app, doc, false, err);
    if (rc == DM_OK)
        rc = publish(app, username, doc, err);
    adm_app_publish_end(app, rc);
    return rc;
}

struct rotation {
    struct adm_app *app;
    dm_view group, key;
};

static enum dm_code set_key(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    const struct rotation *r = ctx;
    struct dm_json *entry;

    (void)err;
    if (!dm_json_is(entries_of(doc), DM_JSON_OBJECT))
        dm_json_set(doc, DM_LIT("users_credits"), dm_json_new_object());
    entry = dm_json_get(entries_of(doc), r->group);
    if (!dm_json_is(entry, DM_JSON_OBJECT)) {
        entry = dm_json_new_object();
        dm_json_set_str(entry, DM_LIT("tier_name"), DM_LIT("default"));
        dm_json_set_i64(entry, DM_LIT("available_credits"), 0);
        dm_json_set(entry, DM_LIT("reset_date"), dm_json_new_null());
        dm_json_set(entries_of(doc), r->group, entry);
    }
    seal_into(r->app, entry, r->key);
    return DM_OK;
}

enum dm_code adm_credits_rotate(struct adm_app *app, dm_view username, dm_view group,
                                struct dm_buf *ret_key, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    enum dm_code rc = adm_publish_possible(app, err);

    if (rc != DM_OK)
        return rc;
    dm_random_token(KEY_BYTES, ret_key);
    struct rotation r = {app, group, dm_buf_view(ret_key)};
    rc = adm_app_publish_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = upsert(app, username, set_key, &r, &doc, err);
    if (rc == DM_OK)
        rc = set_balances(app, doc, true, err); /* of a new entry; others run already */
    if (rc == DM_OK)
        rc = publish(app, username, doc, err);
    adm_app_publish_end(app, rc);
    return rc;
}

enum dm_code adm_credits_remove(struct adm_app *app, dm_view username, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", username);
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    uint64_t version, n;
    enum dm_code rc = adm_publish_possible(app, err);

    if (rc != DM_OK)
        return rc;
    rc = adm_app_publish_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_documents_find(adm_documents(app), COLLECTION, &key, 1, &doc, &version, err);
    if (rc == DM_OK)
        rc = drop_accounts(app, username, doc, NULL, err);
    if (rc == DM_OK)
        rc = dm_documents_delete(adm_documents(app), COLLECTION, &key, 1, &n, err);
    if (rc == DM_OK)
        rc = publish(app, username, NULL, err);
    adm_app_publish_end(app, rc);
    return rc == DM_NOT_FOUND ? DM_OK : rc;
}

/* --- the running balance --- */

/* Lays the balances of this moment over a document; *ret_moved: one differs;
 * *ret_lost: one is not there. */
static enum dm_code lay_balances(struct adm_app *app, struct dm_json *doc, bool *ret_moved,
                                 bool *ret_lost, struct dm_error *err)
{
    const dm_view username = dm_json_str(dm_json_get(doc, DM_LIT("username")));

    *ret_moved = *ret_lost = false;
    for (struct dm_json *e = entry_from(dm_json_first(entries_of(doc))); e != NULL;
         e = entry_from(dm_json_next(e))) {
        int64_t n;
        enum dm_code rc = dm_live_credits_get(adm_live(app), dm_json_name(e), username, &n, err);
        if (rc == DM_NOT_FOUND) { /* a store that lost it: the document is all there is */
            *ret_lost = true;
            continue;
        }
        if (rc != DM_OK)
            return rc;
        if (n > BALANCE_MAX)
            n = BALANCE_MAX;
        if (dm_json_i64(dm_json_get(e, DM_LIT("available_credits")), -1) == n)
            continue;
        dm_json_set_i64(e, DM_LIT("available_credits"), n);
        *ret_moved = true;
    }
    return DM_OK;
}

/* Nothing is published: the data plane keeps no balance. Whoever changed the document meanwhile has
 * set its balances too. */
enum dm_code adm_credits_find(struct adm_app *app, dm_view username, struct dm_json **ret,
                              struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", username);
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    uint64_t version;
    bool moved = false, lost = false;

    enum dm_code rc = adm_app_restore_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_documents_find(adm_documents(app), COLLECTION, &key, 1, &doc, &version, err);
    if (rc == DM_OK)
        rc = lay_balances(app, doc, &moved, &lost, err);
    if (rc == DM_OK && lost)
        rc = set_balances(app, doc, true, err);
    if (rc == DM_OK && moved) {
        rc = dm_documents_replace(adm_documents(app), COLLECTION, &key, 1, version, doc, err);
        if (rc == DM_CONFLICT)
            rc = DM_OK;
    }
    adm_app_publish_unlock(app);
    if (rc == DM_OK)
        *ret = DM_TAKE(doc);
    return rc;
}

/* Every document in order of user names; fn false ends it. */
typedef enum dm_code (*each_fn)(void *ctx, struct adm_app *app, const struct dm_json *doc,
                                struct dm_error *err);

static enum dm_code each_doc(struct adm_app *app, each_fn fn, void *ctx, struct dm_error *err)
{
    size_t n = PIECE;

    for (size_t at = 0; n == PIECE; at += PIECE) {
        DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
        const struct dm_query query = {.sort = "username", .skip = at, .limit = PIECE};
        enum dm_code rc = dm_documents_list(adm_documents(app), COLLECTION, &query, &docs, err);
        if (rc != DM_OK)
            return rc;
        n = dm_json_len(docs);
        for (struct dm_json *doc = dm_json_first(docs); doc != NULL; doc = dm_json_next(doc)) {
            rc = fn(ctx, app, doc, err);
            if (rc != DM_OK)
                return rc;
        }
    }
    return DM_OK;
}

static enum dm_code restore_one(void *ctx, const struct dm_json *doc, struct dm_error *err)
{
    return set_balances(ctx, doc, true, err);
}

/* Under the lock: a user deleted meanwhile must not get an account back. */
enum dm_code adm_credits_restore(struct adm_app *app, struct dm_error *err)
{
    enum dm_code rc = adm_app_restore_lock(app, err);
    if (rc != DM_OK)
        return rc;
    rc = dm_documents_each(adm_documents(app), COLLECTION, restore_one, app, err);
    adm_app_publish_unlock(app);
    return rc;
}

static enum dm_code reconcile_one(void *ctx, struct adm_app *app, const struct dm_json *doc,
                                  struct dm_error *err)
{
    struct dm_json *now = NULL;
    enum dm_code rc =
        adm_credits_find(app, dm_json_str(dm_json_get(doc, DM_LIT("username"))), &now, err);

    (void)ctx;
    dm_json_free(now);
    return rc == DM_NOT_FOUND ? DM_OK : rc; /* deleted meanwhile */
}

enum dm_code adm_credits_reconcile(struct adm_app *app, struct dm_error *err)
{
    return each_doc(app, reconcile_one, NULL, err);
}

/* --- reading --- */

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

static bool holds(dm_view text, dm_view part)
{
    for (size_t at = 0; at + part.len <= text.len; at++) {
        size_t n = 0;
        while (n < part.len &&
               lower((unsigned char)text.ptr[at + n]) == lower((unsigned char)part.ptr[n]))
            n++;
        if (n == part.len)
            return true;
    }
    return false;
}

struct search {
    dm_view part;
    uint64_t seen, skip, keep;
    struct dm_json *found;
};

static bool matches(const struct dm_json *doc, dm_view part)
{
    if (part.len == 0 || holds(dm_json_str(dm_json_get(doc, DM_LIT("username"))), part))
        return true;
    for (struct dm_json *e = entry_from(dm_json_first(entries_of(doc))); e != NULL;
         e = entry_from(dm_json_next(e)))
        if (holds(dm_json_name(e), part))
            return true;
    return false;
}

static enum dm_code search_one(void *ctx, struct adm_app *app, const struct dm_json *doc,
                               struct dm_error *err)
{
    struct search *s = ctx;
    struct dm_json *now = NULL;

    if (!matches(doc, s->part))
        return DM_OK;
    const uint64_t n = s->seen++;
    if (n < s->skip || n >= s->skip + s->keep)
        return DM_OK;
    enum dm_code rc =
        adm_credits_find(app, dm_json_str(dm_json_get(doc, DM_LIT("username"))), &now, err);
    if (rc == DM_OK)
        dm_json_push(s->found, now);
    return rc == DM_NOT_FOUND ? DM_OK : rc;
}

enum dm_code adm_credits_page(struct adm_app *app, dm_view search, const struct adm_page *page,
                              struct dm_json **ret, uint64_t *ret_total, struct dm_error *err)
{
    struct search s = {.part = search,
                       .skip = (uint64_t)((page->page - 1) * page->size),
                       .keep = (uint64_t)page->size + 1,
                       .found = dm_json_new_array()};
    enum dm_code rc = each_doc(app, search_one, &s, err);

    if (rc == DM_OK) {
        *ret = s.found;
        *ret_total = s.seen;
    } else {
        dm_json_free(s.found);
    }
    return rc;
}

void adm_credits_show(struct adm_app *app, struct dm_json *doc, bool own)
{
    struct dm_sealing *sealing = adm_sealing(app);

    for (struct dm_json *e = entry_from(dm_json_first(entries_of(doc))); e != NULL;
         e = entry_from(dm_json_next(e))) {
        struct dm_buf plain;
        if (key_of(e).len == 0)
            continue;
        dm_buf_init(&plain, SEALED_MAX);
        /* One that cannot be opened is there, and is nobody's to read. */
        if (own && dm_unseal(sealing, key_of(e), &plain) == DM_OK)
            dm_json_set_str(e, DM_LIT("user_api_key"), dm_buf_view(&plain));
        else
            dm_json_set_str(e, DM_LIT("user_api_key"), DM_LIT(ADM_CREDITS_MASK));
        dm_buf_done(&plain);
    }
    dm_sealing_unref(sealing);
}

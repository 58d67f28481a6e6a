#include "admin/services/trail.h"

#include "base/log.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define AUDIT_LOG "audit_log"

enum {
    POSITION_LEN = 16, /* digits: the order of texts is that of numbers */
    /* Others may take a place again and again; then the store is as good as away. */
    TRIES = 64,
    KEPT_IN_MEMORY = 1000 /* records of memory mode, 0.4 MB; the log has them all */
};
static const char GENESIS[] = "0000000000000000000000000000000000000000000000000000000000000000";

struct adm_trail {
    _Atomic unsigned failures; /* times the store was away */
    pthread_mutex_t lock;      /* one writer of this process at a time; guards what follows */
    bool known;                /* what follows is the end of the chain, as far as we know */
    int64_t seq;
    char hash[ADM_TRAIL_HASH + 1];
};

struct adm_trail *adm_trail_new(void)
{
    struct adm_trail *t = DM_NEW(struct adm_trail);

    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void adm_trail_free(struct adm_trail *t)
{
    if (t == NULL)
        return;
    pthread_mutex_destroy(&t->lock);
    dm_mem_free(t);
}

struct position {
    char text[24];
};

static dm_view position_of(int64_t seq, struct position *p)
{
    const int len = snprintf(p->text, sizeof p->text, "%0*lld", POSITION_LEN, (long long)seq);

    return dm_view_make(p->text, (size_t)len);
}

static enum dm_code find(struct adm_app *app, int64_t seq, struct dm_json **ret,
                         struct dm_error *err)
{
    struct position p;
    const struct dm_filter key = DM_WHERE("position", position_of(seq, &p));

    return dm_documents_find(adm_documents(app), AUDIT_LOG, &key, 1, ret, NULL, err);
}

static int64_t seq_of(const struct dm_json *record)
{
    return dm_json_i64(dm_json_get(record, DM_LIT("seq")), 0);
}

static void copy_hash(const struct dm_json *record, char out[ADM_TRAIL_HASH + 1])
{
    const dm_view hash = dm_json_str(dm_json_get(record, DM_LIT("hash")));

    snprintf(out, ADM_TRAIL_HASH + 1, "%.*s", DM_FMT(hash));
}

/* The n-th record in order; *ret NULL: there are not so many. */
static enum dm_code nth(struct adm_app *app, uint64_t n, struct dm_json **ret, struct dm_error *err)
{
    const struct dm_query q = {.sort = "position", .skip = (size_t)n, .limit = 1};
    DM_DEFER(dm_json_freep) struct dm_json *list = NULL;
    enum dm_code rc = dm_documents_list(adm_documents(app), AUDIT_LOG, &q, &list, err);

    *ret = rc == DM_OK && dm_json_len(list) > 0 ? dm_json_clone(dm_json_at(list, 0)) : NULL;
    return rc;
}

static void note(struct adm_trail *t, const struct dm_json *record)
{
    t->seq = seq_of(record);
    copy_hash(record, t->hash);
}

/* From nothing: the last record there is. */
static enum dm_code learn(struct adm_app *app, struct adm_trail *t, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *last = NULL;
    uint64_t n = 0;
    enum dm_code rc = dm_documents_count(adm_documents(app), AUDIT_LOG, NULL, 0, &n, err);

    if (rc == DM_OK && n > 0)
        rc = nth(app, n - 1, &last, err);
    if (rc != DM_OK)
        return rc;
    t->seq = 0;
    snprintf(t->hash, sizeof t->hash, "%s", GENESIS);
    if (last != NULL && seq_of(last) > 0) /* what others keep there has no place, and comes first */
        note(t, last);
    t->known = true;
    return DM_OK;
}

/* Past what others appended meanwhile. */
static enum dm_code catch_up(struct adm_app *app, struct adm_trail *t, struct dm_error *err)
{
    for (;;) {
        DM_DEFER(dm_json_freep) struct dm_json *record = NULL;
        const enum dm_code rc = find(app, t->seq + 1, &record, err);

        if (rc == DM_NOT_FOUND)
            return DM_OK;
        if (rc != DM_OK)
            return rc;
        note(t, record);
    }
}

static void place(const struct adm_trail *t, struct dm_json *o)
{
    char hash[ADM_TRAIL_HASH + 1];
    struct position p;

    dm_json_set_i64(o, DM_LIT("seq"), t->seq + 1);
    dm_json_set_str(o, DM_LIT("position"), position_of(t->seq + 1, &p));
    dm_json_set_str(o, DM_LIT("prev_hash"), dm_view_of(t->hash));
    adm_trail_hash(o, hash);
    dm_json_set_str(o, DM_LIT("hash"), dm_view_of(hash));
}

static enum dm_code is_there(struct adm_app *app, dm_view event_id, struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("event_id", event_id);
    DM_DEFER(dm_json_freep) struct dm_json *record = NULL;

    if (event_id.len == 0)
        return DM_NOT_FOUND;
    return dm_documents_find(adm_documents(app), AUDIT_LOG, &key, 1, &record, NULL, err);
}

/* Memory mode keeps the newest. A restored dump may hold more: they go two by two. */
static void trim(struct adm_app *app, int64_t seq)
{
    struct position p;
    struct dm_error err;
    uint64_t deleted;

    for (int64_t old = seq - KEPT_IN_MEMORY; old > 0 && old > seq - KEPT_IN_MEMORY - 2; old--) {
        const struct dm_filter key = DM_WHERE("position", position_of(old, &p));
        if (dm_documents_delete(adm_documents(app), AUDIT_LOG, &key, 1, &deleted, &err) != DM_OK)
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "audit.trim.failed", DM_FC("reason", err.text));
    }
}

static enum dm_code append(struct adm_app *app, struct adm_trail *t, struct dm_json *o,
                           dm_view event_id, struct dm_error *err)
{
    enum dm_code rc = t->known ? DM_OK : learn(app, t, err);

    for (int i = 0; i < TRIES && rc == DM_OK; i++) {
        place(t, o);
        rc = dm_documents_insert(adm_documents(app), AUDIT_LOG, o, err);
        if (rc != DM_EXISTS) {
            if (rc == DM_OK)
                note(t, o);
            return rc;
        }
        rc = is_there(app, event_id, err);
        if (rc != DM_NOT_FOUND)
            return rc;
        rc = catch_up(app, t, err);
    }
    return rc != DM_OK ? rc
                       : DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY,
                                 "could not append to the audit trail: no place found");
}

enum dm_code adm_trail_append_as(struct adm_app *app, struct adm_trail *t,
                                 const struct dm_json *record, dm_view event_id,
                                 struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *o = adm_trail_record(record, event_id);
    const unsigned failures = atomic_load(&t->failures);
    enum dm_code rc;

    pthread_mutex_lock(&t->lock);
    if (atomic_load(&t->failures) != failures) { /* else each who waits would wait for the store */
        rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY,
                     "could not append to the audit trail: the store is away");
    } else {
        rc = append(app, t, o, event_id, err);
        if (rc == DM_UNAVAILABLE)
            atomic_fetch_add(&t->failures, 1);
    }
    if (rc == DM_OK && adm_config(app)->memory_mode)
        trim(app, t->seq);
    pthread_mutex_unlock(&t->lock);
    return rc;
}

enum dm_code adm_trail_append(struct adm_app *app, const struct dm_json *record, dm_view event_id,
                              struct dm_error *err)
{
    return adm_trail_append_as(app, adm_app_trail(app), record, event_id, err);
}

/* --- verification --- */

/* Memory mode: the oldest there is vouches for those that went. Else the chain begins with 1. */
static enum dm_code find_first(struct adm_app *app, struct adm_trail_walk *w, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *first = NULL;
    enum dm_code rc = DM_OK;

    w->next = 1;
    snprintf(w->hash, sizeof w->hash, "%s", GENESIS);
    if (!adm_config(app)->memory_mode)
        return DM_OK;
    rc = nth(app, 0, &first, err);
    if (rc != DM_OK || first == NULL)
        return rc;
    w->next = seq_of(first);
    snprintf(w->hash, sizeof w->hash, "%.*s",
             DM_FMT(dm_json_str(dm_json_get(first, DM_LIT("prev_hash")))));
    return DM_OK;
}

static enum dm_code begin(struct adm_app *app, struct adm_trail_walk *w, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *last = NULL;
    uint64_t n = 0;
    enum dm_code rc = dm_documents_count(adm_documents(app), AUDIT_LOG, NULL, 0, &n, err);

    if (rc == DM_OK && n > 0)
        rc = nth(app, n - 1, &last, err);
    if (rc != DM_OK)
        return rc;
    *w = (struct adm_trail_walk){.begun = true, .end = seq_of(last)};
    w->ended = w->end <= 0;
    return w->ended ? DM_OK : find_first(app, w, err);
}

static bool follows(const struct dm_json *record, const struct adm_trail_walk *w)
{
    char hash[ADM_TRAIL_HASH + 1];

    adm_trail_hash(record, hash);
    return dm_view_eq(dm_json_str(dm_json_get(record, DM_LIT("prev_hash"))), dm_view_of(w->hash)) &&
           dm_view_eq(dm_json_str(dm_json_get(record, DM_LIT("hash"))), dm_view_of(hash)) &&
           seq_of(record) == w->next;
}

/* It went while we walked: memory mode trims from the front. */
static enum dm_code gone(struct adm_app *app, struct adm_trail_walk *w, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *first = NULL;
    enum dm_code rc = nth(app, 0, &first, err);

    if (rc != DM_OK)
        return rc;
    if (adm_config(app)->memory_mode && (first == NULL || seq_of(first) > w->next)) {
        w->begun = false;
        return DM_OK;
    }
    w->broken = w->ended = true;
    w->broken_at = w->next;
    return DM_OK;
}

enum dm_code adm_trail_verify(struct adm_app *app, struct adm_trail_walk *w, size_t most,
                              struct dm_error *err)
{
    enum dm_code rc = w->begun ? DM_OK : begin(app, w, err);

    for (; most > 0 && rc == DM_OK && w->begun && !w->ended; most--) {
        DM_DEFER(dm_json_freep) struct dm_json *record = NULL;

        rc = find(app, w->next, &record, err);
        if (rc == DM_NOT_FOUND) {
            rc = gone(app, w, err);
            continue;
        }
        if (rc != DM_OK)
            break;
        if (!follows(record, w)) {
            w->broken = w->ended = true;
            w->broken_at = w->next;
            break;
        }
        copy_hash(record, w->hash);
        w->checked++;
        w->ended = w->next++ == w->end;
    }
    return rc;
}

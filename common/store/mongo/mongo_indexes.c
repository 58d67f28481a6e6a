#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

enum {
    NAME_CAP = 512,
    NAMESPACE_NOT_FOUND = 26,
    /* the answers of servers that do not know an option of an index */
    BAD_VALUE = 2,
    FAILED_TO_PARSE = 9,
    CANNOT_CREATE_INDEX = 67,
    INVALID_OPTIONS = 72,
    BAD_INDEX_OPTION = 197,
    NOT_IMPLEMENTED = 238
};

enum flavour { PLAIN = 0, UNIQUE, UNIQUE_PARTIAL, EXPIRING };

struct wanted {
    const char *collection;
    const char *const *fields; /* NULL-ended */
    enum flavour flavour;
};

static bool option_unknown(const bson_error_t *e)
{
    static const uint32_t codes[] = {BAD_VALUE,       FAILED_TO_PARSE,  CANNOT_CREATE_INDEX,
                                     INVALID_OPTIONS, BAD_INDEX_OPTION, NOT_IMPLEMENTED};
    for (size_t i = 0; i < DM_COUNT_OF(codes); i++) {
        if (e->domain == MONGOC_ERROR_SERVER && e->code == codes[i])
            return true;
    }
    return false;
}

/* The driver's own form, as the Python Doorman's indexes have it: api_name_1_api_version_1. */
static void name_of(const struct wanted *w, struct dm_buf *out)
{
    dm_buf_init(out, NAME_CAP);
    for (size_t i = 0; w->fields[i] != NULL; i++)
        dm_buf_addf(out, i == 0 ? "%s_1" : "_%s_1", w->fields[i]);
}

static void append_keys(const struct wanted *w, const char *name, bson_t *out)
{
    bson_t keys;
    BSON_APPEND_DOCUMENT_BEGIN(out, name, &keys);
    for (size_t i = 0; w->fields[i] != NULL; i++)
        BSON_APPEND_INT32(&keys, w->fields[i], 1);
    bson_append_document_end(out, &keys);
}

/* Documents without the field, or with one that is no text, are not held to the key
 * (documents.h). $gte "" is met by texts only, and the planner sees that an equality implies it,
 * which it does not for $type. */
static void append_partial(const struct wanted *w, bson_t *out)
{
    bson_t filter, range;
    BSON_APPEND_DOCUMENT_BEGIN(out, "partialFilterExpression", &filter);
    for (size_t i = 0; w->fields[i] != NULL; i++) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, w->fields[i], &range);
        BSON_APPEND_UTF8(&range, "$gte", "");
        bson_append_document_end(&filter, &range);
    }
    bson_append_document_end(out, &filter);
}

static bool create(const struct dm_mongo *m, mongoc_client_t *client, const struct wanted *w,
                   bson_error_t *e)
{
    bson_t command = BSON_INITIALIZER, list, index;
    struct dm_buf name;
    name_of(w, &name);
    BSON_APPEND_UTF8(&command, "createIndexes", w->collection);
    BSON_APPEND_ARRAY_BEGIN(&command, "indexes", &list);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &index);
    append_keys(w, "key", &index);
    BSON_APPEND_UTF8(&index, "name", dm_buf_cstr(&name));
    if (w->flavour == UNIQUE || w->flavour == UNIQUE_PARTIAL)
        BSON_APPEND_BOOL(&index, "unique", true);
    if (w->flavour == UNIQUE_PARTIAL)
        append_partial(w, &index);
    if (w->flavour == EXPIRING)
        BSON_APPEND_INT32(&index, "expireAfterSeconds", 0);
    bson_append_document_end(&list, &index);
    bson_append_array_end(&command, &list);
    bool ok = mongoc_client_command_simple(client, m->database, &command, NULL, NULL, e);
    bson_destroy(&command);
    dm_buf_done(&name);
    return ok;
}

static bool same_keys(const struct wanted *w, const bson_t *index)
{
    bson_iter_t it, keys;
    size_t i = 0;
    if (!bson_iter_init_find(&it, index, "key") || !BSON_ITER_HOLDS_DOCUMENT(&it) ||
        !bson_iter_recurse(&it, &keys))
        return false;
    for (; bson_iter_next(&keys); i++) {
        if (w->fields[i] == NULL || strcmp(w->fields[i], bson_iter_key(&keys)) != 0)
            return false;
    }
    return w->fields[i] == NULL;
}

static bool flag(const bson_t *index, const char *name)
{
    bson_iter_t it;
    return bson_iter_init_find(&it, index, name) && bson_iter_as_bool(&it);
}

/* An index on the same fields, in *ret_name; *ret_good: it does what is wanted. A plain unique
 * index of the Python Doorman is good: it refuses more, never less. */
static enum dm_code look(const struct dm_mongo *m, mongoc_client_t *client, const struct wanted *w,
                         bool *ret_good, struct dm_buf *ret_name, struct dm_error *err)
{
    const bson_t *index;
    bson_error_t e = {0};
    bson_iter_t it;
    bool away;
    enum dm_code rc = DM_OK;
    mongoc_collection_t *c = mongoc_client_get_collection(client, m->database, w->collection);
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(c, NULL);
    bool unique = w->flavour == UNIQUE || w->flavour == UNIQUE_PARTIAL;
    *ret_good = false;
    while (!*ret_good && mongoc_cursor_next(cursor, &index)) {
        if (!same_keys(w, index) || !bson_iter_init_find(&it, index, "name") ||
            !BSON_ITER_HOLDS_UTF8(&it))
            continue;
        dm_buf_clear(ret_name);
        dm_buf_add(ret_name, dm_view_of(bson_iter_utf8(&it, NULL)));
        *ret_good = !unique || flag(index, "unique");
    }
    if (mongoc_cursor_error(cursor, &e) && e.code != NAMESPACE_NOT_FOUND)
        rc = dm_mongo_error(&e, "list indexes of", w->collection, &away, err);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(c);
    return rc;
}

static enum dm_code drop(const struct dm_mongo *m, mongoc_client_t *client, const struct wanted *w,
                         const char *name, struct dm_error *err)
{
    bson_error_t e = {0};
    bool away;
    mongoc_collection_t *c = mongoc_client_get_collection(client, m->database, w->collection);
    bool ok = mongoc_collection_drop_index(c, name, &e);
    mongoc_collection_destroy(c);
    return ok ? DM_OK : dm_mongo_error(&e, "drop an index of", w->collection, &away, err);
}

static enum dm_code refused(const struct wanted *w, const bson_error_t *e, struct dm_error *err)
{
    bool away;
    struct dm_buf name;
    enum dm_code rc = dm_mongo_error(e, "create an index of", w->collection, &away, err);
    if (rc != DM_EXISTS)
        return rc;
    name_of(w, &name);
    rc = DM_FAIL(err, DM_INVALID, ERR_NONE,
                 "could not create unique index \"%s\" of \"%s\": documents with equal values are "
                 "stored; remove all but one of each and start again",
                 dm_buf_cstr(&name), w->collection);
    dm_buf_done(&name);
    return rc;
}

static enum dm_code ensure(const struct dm_mongo *m, mongoc_client_t *client, struct wanted w,
                           uint64_t *made, struct dm_error *err)
{
    bson_error_t e = {0};
    struct dm_buf old;
    bool good;
    dm_buf_init(&old, NAME_CAP);
    enum dm_code rc = look(m, client, &w, &good, &old, err);
    if (rc == DM_OK && !good && dm_buf_view(&old).len > 0) /* the same fields, but not unique */
        rc = drop(m, client, &w, dm_buf_cstr(&old), err);
    dm_buf_done(&old);
    if (rc != DM_OK || good)
        return rc;
    bool created = create(m, client, &w, &e);
    if (!created && w.flavour == UNIQUE_PARTIAL && option_unknown(&e)) {
        w.flavour = UNIQUE;
        created = create(m, client, &w, &e);
    }
    *made += created;
    if (created)
        return DM_OK;
    if (w.flavour == EXPIRING && option_unknown(&e)) {
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "documents.no_ttl", DM_FC("collection", w.collection));
        return DM_OK; /* the sweeper does it alone */
    }
    return refused(&w, &e, err);
}

enum dm_code dm_mongo_indexes_ensure(const struct dm_mongo *m, mongoc_client_t *client,
                                     dm_mongo_keep_fn keep, void *ctx, uint64_t *ret_made,
                                     struct dm_error *err)
{
    static const char *const expires[] = {DM_MONGO_EXPIRES, NULL};
    const struct dm_documents_schema *s = m->schema;
    size_t n = s->n_uniques + s->n_indexes + s->n_expiries;
    enum dm_code rc = DM_OK;
    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        struct wanted w = {.collection = NULL};
        if (i < s->n_uniques)
            w = (struct wanted){s->uniques[i].collection, s->uniques[i].fields, UNIQUE_PARTIAL};
        else if (i < s->n_uniques + s->n_indexes)
            w = (struct wanted){s->indexes[i - s->n_uniques].collection,
                                s->indexes[i - s->n_uniques].fields, PLAIN};
        else
            w = (struct wanted){s->expiries[i - s->n_uniques - s->n_indexes].collection, expires,
                                EXPIRING};
        rc = keep(ctx, err);
        if (rc == DM_OK)
            rc = ensure(m, client, w, ret_made, err);
    }
    return rc;
}

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/index.h"
#include "base/list.h"
#include "base/map.h"
#include "store/documents_backend.h"
#include "store/documents_nulls.h"
#include "store/documents_text.h"
#include "store/packed.h"

#include "base/poison.h"

enum {
    DOCUMENT_CAP = 16 * 1024 * 1024, /* the limit of MongoDB too */
    COLLECTION_CAP = 1000 * 1000,    /* memory mode is for a laptop: more is a mistake, not a use */
    UNIQUES_MAX = 8,                 /* of one collection */
    SCRATCH_KEEP = 64 * 1024 /* a larger document was an exception: its room is given back */
};

/* Immutable, counted: a list leaves the lock with references and parses outside it. */
struct doc {
    struct dm_link link; /* order of insertion; guarded by the lock, as all but the text */
    _Atomic unsigned refs;
    uint32_t len;
    uint64_t version;
    const struct dm_json *nulls; /* names, owned by the store; NULL: none */
    char packed[];               /* the text without them */
};

struct collection {
    struct dm_link docs;
    struct dm_buf *scratch; /* the store's */
    size_t count, n_uniques;
    const struct dm_documents_unique *uniques[UNIQUES_MAX];
    struct dm_index keys[UNIQUES_MAX];
};

struct memory {
    struct dm_documents base;
    pthread_mutex_t lock;
    struct dm_map *collections;
    struct dm_buf scratch; /* text of the document being looked at; guarded by the lock */
    uint64_t versions; /* of the whole store, so a key deleted and made anew does not repeat one */
    size_t n_uniques;
    struct dm_documents_unique *uniques;
    struct dm_nulls *nulls;
};

static struct memory *memory_of(struct dm_documents *d)
{
    return DM_CONTAINER_OF(d, struct memory, base);
}

static dm_view packed_of(const struct doc *doc)
{
    return dm_view_make(doc->packed, doc->len);
}

/* Until the next call; under the lock. */
static dm_view text_of(const struct collection *c, const struct doc *doc)
{
    if (dm_buf_view(c->scratch).len > SCRATCH_KEEP) {
        dm_buf_done(c->scratch);
        dm_buf_init(c->scratch, DOCUMENT_CAP);
    }
    dm_buf_clear(c->scratch);
    dm_unpack(packed_of(doc), c->scratch);
    return dm_buf_view(c->scratch);
}

static void doc_unref(struct doc *doc)
{
    if (atomic_fetch_sub_explicit(&doc->refs, 1, memory_order_acq_rel) == 1)
        dm_mem_free(doc);
}

static struct doc *doc_ref(struct doc *doc)
{
    atomic_fetch_add_explicit(&doc->refs, 1, memory_order_relaxed);
    return doc;
}

static struct doc *doc_new(dm_view text, const struct dm_json *nulls)
{
    struct dm_buf packed;
    dm_buf_init(&packed, (size_t)2 * DOCUMENT_CAP); /* no text gets longer by more */
    dm_pack(text, &packed);
    DM_ASSERT(dm_buf_ok(&packed));
    dm_view v = dm_buf_view(&packed);
    struct doc *doc = dm_mem_alloc(offsetof(struct doc, packed) + v.len);
    dm_list_init(&doc->link);
    atomic_init(&doc->refs, 1);
    doc->len = (uint32_t)v.len;
    doc->nulls = nulls;
    memcpy(doc->packed, v.ptr, v.len);
    dm_buf_done(&packed);
    return doc;
}

/* A document on its way in, with its text for the keys. */
struct fresh {
    struct doc *doc; /* NULL: taken over, or none */
    struct dm_buf text;
};

/* Checked here, so that reading it again cannot fail. */
static enum dm_code fresh_build(struct fresh *f, struct memory *m, const struct dm_json *json,
                                struct dm_error *err)
{
    f->doc = NULL;
    dm_buf_init(&f->text, DOCUMENT_CAP);
    const struct dm_json *nulls = dm_nulls_split(m->nulls, json, &f->text);
    if (!dm_buf_ok(&f->text))
        return DM_FAIL(err, DM_LIMIT, ERR_NONE, "could not store document: larger than %d bytes",
                       DOCUMENT_CAP);
    enum dm_code rc = dm_json_check(dm_buf_view(&f->text), NULL, err);
    if (rc == DM_OK)
        f->doc = doc_new(dm_buf_view(&f->text), nulls);
    return rc;
}

static void fresh_done(struct fresh *f)
{
    if (f->doc != NULL)
        doc_unref(f->doc);
    dm_buf_done(&f->text);
}

static enum dm_code doc_parse(const struct doc *doc, struct dm_json **ret, struct dm_error *err)
{
    struct dm_buf text;
    dm_buf_init(&text, DOCUMENT_CAP);
    dm_unpack(packed_of(doc), &text);
    enum dm_code rc = dm_json_parse(dm_buf_view(&text), NULL, ret, err);
    DM_ASSERT(rc == DM_OK);
    dm_nulls_join(doc->nulls, *ret);
    dm_buf_done(&text);
    return rc;
}

static void collection_free(void *value)
{
    struct collection *c = value;
    for (struct dm_link *l; (l = dm_list_pop(&c->docs)) != NULL;)
        doc_unref(DM_CONTAINER_OF(l, struct doc, link));
    for (size_t i = 0; i < c->n_uniques; i++)
        dm_index_done(&c->keys[i]);
    dm_mem_free(c);
}

static struct collection *collection_make(struct memory *m, dm_view name)
{
    struct collection *c = dm_map_get(m->collections, name);
    if (c != NULL)
        return c;
    c = DM_NEW(struct collection);
    dm_list_init(&c->docs);
    c->scratch = &m->scratch;
    for (size_t i = 0; i < m->n_uniques; i++) {
        if (!dm_view_eq(name, dm_view_of(m->uniques[i].collection)))
            continue;
        DM_REQUIRE(c->n_uniques < UNIQUES_MAX);
        c->uniques[c->n_uniques++] = &m->uniques[i];
    }
    dm_map_put(m->collections, name, c);
    return c;
}

struct wanted {
    const struct collection *collection;
    const struct dm_documents_unique *unique;
    const struct dm_text_key *key;
};

static bool has_key(const void *item, const void *key)
{
    const struct wanted *w = key;
    struct dm_text_key own;
    return dm_text_key_of(text_of(w->collection, item), w->unique, &own) &&
           dm_text_key_eq(&own, w->key);
}

static struct doc *by_key(const struct collection *c, size_t unique, const struct dm_text_key *key)
{
    const struct wanted w = {c, c->uniques[unique], key};
    return dm_index_find(&c->keys[unique], dm_text_key_hash(key), has_key, &w);
}

/* `but` is the document about to be replaced: its own keys are free for its successor. */
static enum dm_code keys_free(const struct collection *c, dm_view text, const struct doc *but,
                              struct dm_error *err)
{
    for (size_t i = 0; i < c->n_uniques; i++) {
        struct dm_text_key key;
        if (!dm_text_key_of(text, c->uniques[i], &key))
            continue;
        const struct doc *other = by_key(c, i, &key);
        if (other != NULL && other != but)
            return DM_FAIL(err, DM_EXISTS, ERR_NONE, "could not store in \"%s\": \"%s\" is taken",
                           c->uniques[i]->collection, c->uniques[i]->fields[0]);
    }
    return DM_OK;
}

static void index_doc(struct collection *c, struct doc *doc, dm_view text, bool add)
{
    for (size_t i = 0; i < c->n_uniques; i++) {
        struct dm_text_key key;
        if (!dm_text_key_of(text, c->uniques[i], &key))
            continue;
        if (add)
            dm_index_put(&c->keys[i], dm_text_key_hash(&key), doc);
        else
            DM_ASSERT(dm_index_remove(&c->keys[i], dm_text_key_hash(&key), doc));
    }
}

static struct doc *next_match(const struct collection *c, const struct dm_text_query *q,
                              struct dm_link *from)
{
    for (struct dm_link *l = from; l != &c->docs; l = l->next) {
        struct doc *doc = DM_CONTAINER_OF(l, struct doc, link);
        if (q->n == 0 ||
            (dm_text_may_match(q, packed_of(doc)) && dm_text_matches(q, text_of(c, doc))))
            return doc;
    }
    return NULL;
}

/* *ret_only: a unique key was asked for, so nothing else can match. */
static struct doc *first_match(const struct collection *c, const struct dm_text_query *q,
                               bool *ret_only)
{
    *ret_only = true;
    if (c == NULL)
        return NULL;
    for (size_t i = 0; i < c->n_uniques; i++) {
        struct dm_text_key key;
        if (!dm_text_key_asked(q, c->uniques[i], &key))
            continue;
        struct doc *doc = by_key(c, i, &key);
        return doc != NULL && dm_text_matches(q, text_of(c, doc)) ? doc : NULL;
    }
    *ret_only = false;
    return next_match(c, q, c->docs.next);
}

static enum dm_code memory_find(struct dm_documents *d, const char *collection,
                                const struct dm_filter *filters, size_t n_filters,
                                struct dm_json **ret_doc, uint64_t *ret_version,
                                struct dm_error *err)
{
    struct memory *m = memory_of(d);
    struct dm_text_query q;
    bool only;
    dm_text_query_init(&q, filters, n_filters);
    (void)pthread_mutex_lock(&m->lock);
    struct doc *doc = first_match(dm_map_get(m->collections, dm_view_of(collection)), &q, &only);
    if (doc != NULL) {
        doc_ref(doc);
        *ret_version = doc->version;
    }
    (void)pthread_mutex_unlock(&m->lock);
    dm_text_query_done(&q);
    if (doc == NULL)
        return DM_FAIL(err, DM_NOT_FOUND, ERR_NONE, "no match in \"%s\"", collection);
    enum dm_code rc = doc_parse(doc, ret_doc, err);
    doc_unref(doc);
    return rc;
}

/* Matches, referenced, in order of insertion. */
struct found {
    struct doc **docs;
    size_t n, size;
};

static void collect(const struct collection *c, const struct dm_text_query *q, size_t enough,
                    struct found *f)
{
    struct doc *doc = c == NULL ? NULL : next_match(c, q, c->docs.next);
    for (; doc != NULL && f->n < enough; doc = next_match(c, q, doc->link.next)) {
        if (f->n == f->size) {
            f->size = f->size == 0 ? 16 : f->size * 2;
            f->docs = dm_mem_grow(f->docs, f->size, sizeof(struct doc *));
        }
        f->docs[f->n++] = doc_ref(doc);
    }
}

struct sort_item {
    struct doc *doc;
    size_t place; /* keeps documents of one key in order of insertion */
    char *key;    /* owned; NULL: the field is absent or no string, first as in MongoDB */
    size_t key_len;
};

static int sort_cmp(const void *a, const void *b)
{
    const struct sort_item *x = a, *y = b;
    if ((x->key == NULL) != (y->key == NULL))
        return x->key == NULL ? -1 : 1;
    int order = x->key == NULL ? 0
                               : dm_view_cmp(dm_view_make(x->key, x->key_len),
                                             dm_view_make(y->key, y->key_len));
    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

static void sort_found(struct found *f, dm_view field)
{
    struct sort_item *items = dm_mem_array(f->n, sizeof *items);
    struct dm_buf text;
    dm_buf_init(&text, DOCUMENT_CAP);
    for (size_t i = 0; i < f->n; i++) {
        struct dm_buf key;
        dm_view raw;
        dm_buf_init(&key, DOCUMENT_CAP);
        items[i] = (struct sort_item){.doc = f->docs[i], .place = i};
        dm_buf_clear(&text);
        dm_unpack(packed_of(f->docs[i]), &text);
        if (dm_json_raw_member(dm_buf_view(&text), field, &raw) && dm_json_raw_string(raw, &key))
            items[i].key = dm_buf_take(&key, &items[i].key_len);
        dm_buf_done(&key);
    }
    dm_buf_done(&text);
    qsort(items, f->n, sizeof *items, sort_cmp);
    for (size_t i = 0; i < f->n; i++) {
        f->docs[i] = items[i].doc;
        dm_mem_free(items[i].key);
    }
    dm_mem_free(items);
}

static size_t enough_for(const struct dm_query *q)
{
    if (q->sort != NULL || q->limit == 0 || q->skip > COLLECTION_CAP || q->limit > COLLECTION_CAP)
        return COLLECTION_CAP;
    return q->skip + q->limit;
}

static enum dm_code memory_list(struct dm_documents *d, const char *collection,
                                const struct dm_query *query, struct dm_json **ret_array,
                                struct dm_error *err)
{
    struct memory *m = memory_of(d);
    struct dm_text_query q;
    struct found f = {0};
    dm_text_query_init(&q, query->filters, query->n_filters);
    (void)pthread_mutex_lock(&m->lock);
    collect(dm_map_get(m->collections, dm_view_of(collection)), &q, enough_for(query), &f);
    (void)pthread_mutex_unlock(&m->lock);
    dm_text_query_done(&q);
    if (query->sort != NULL && f.n > 1)
        sort_found(&f, dm_view_of(query->sort));
    struct dm_json *array = dm_json_new_array();
    enum dm_code rc = DM_OK;
    for (size_t i = 0; i < f.n; i++) {
        struct dm_json *doc = NULL;
        if (i >= query->skip && (query->limit == 0 || i - query->skip < query->limit)) {
            rc = doc_parse(f.docs[i], &doc, err);
            dm_json_push(array, doc);
        }
        doc_unref(f.docs[i]);
    }
    dm_mem_free(f.docs);
    *ret_array = array;
    return rc;
}

static enum dm_code memory_each(struct dm_documents *d, const char *collection,
                                dm_documents_each_fn fn, void *ctx, struct dm_error *err)
{
    struct memory *m = memory_of(d);
    struct dm_text_query q;
    struct found f = {0};
    enum dm_code rc = DM_OK;
    dm_text_query_init(&q, NULL, 0);
    (void)pthread_mutex_lock(&m->lock);
    collect(dm_map_get(m->collections, dm_view_of(collection)), &q, COLLECTION_CAP, &f);
    (void)pthread_mutex_unlock(&m->lock);
    dm_text_query_done(&q);
    for (size_t i = 0; i < f.n; i++) {
        DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
        if (rc == DM_OK)
            rc = doc_parse(f.docs[i], &doc, err);
        if (rc == DM_OK)
            rc = fn(ctx, doc, err);
        doc_unref(f.docs[i]);
    }
    dm_mem_free(f.docs);
    return rc;
}

static enum dm_code memory_count(struct dm_documents *d, const char *collection,
                                 const struct dm_filter *filters, size_t n_filters, uint64_t *ret,
                                 struct dm_error *err)
{
    struct memory *m = memory_of(d);
    struct dm_text_query q;
    uint64_t count = 0;
    (void)err;
    dm_text_query_init(&q, filters, n_filters);
    (void)pthread_mutex_lock(&m->lock);
    const struct collection *c = dm_map_get(m->collections, dm_view_of(collection));
    if (c != NULL) {
        for (struct doc *doc = next_match(c, &q, c->docs.next); doc != NULL;
             doc = next_match(c, &q, doc->link.next))
            count++;
    }
    (void)pthread_mutex_unlock(&m->lock);
    dm_text_query_done(&q);
    *ret = count;
    return DM_OK;
}

/* Takes the document on success. */
static enum dm_code add_locked(struct memory *m, dm_view collection, struct fresh *f,
                               struct dm_error *err)
{
    dm_view text = dm_buf_view(&f->text);
    struct collection *c = collection_make(m, collection);
    if (c->count >= COLLECTION_CAP)
        return DM_FAIL(err, DM_LIMIT, ERR_NONE, "could not store in \"%.*s\": over %d documents",
                       DM_FMT(collection), COLLECTION_CAP);
    enum dm_code rc = keys_free(c, text, NULL, err);
    if (rc != DM_OK)
        return rc;
    struct doc *doc = DM_TAKE(f->doc);
    doc->version = ++m->versions;
    dm_list_add_tail(&c->docs, &doc->link);
    c->count++;
    index_doc(c, doc, text, true);
    return DM_OK;
}

static enum dm_code memory_insert(struct dm_documents *d, const char *collection,
                                  const struct dm_json *json, struct dm_error *err)
{
    struct memory *m = memory_of(d);
    struct fresh f;
    enum dm_code rc = fresh_build(&f, m, json, err);
    if (rc == DM_OK) {
        (void)pthread_mutex_lock(&m->lock);
        rc = add_locked(m, dm_view_of(collection), &f, err);
        (void)pthread_mutex_unlock(&m->lock);
    }
    fresh_done(&f);
    return rc;
}

static enum dm_code replace_locked(struct memory *m, struct collection *c,
                                   const struct dm_text_query *q, uint64_t version, struct fresh *f,
                                   struct dm_error *err)
{
    dm_view text = dm_buf_view(&f->text);
    bool only;
    struct doc *old = first_match(c, q, &only);
    if (old == NULL)
        return DM_FAIL(err, DM_NOT_FOUND, ERR_NONE, "could not replace: no match");
    if (old->version != version)
        return DM_FAIL(err, DM_CONFLICT, ERR_NONE, "could not replace: changed meanwhile");
    enum dm_code rc = keys_free(c, text, old, err);
    if (rc != DM_OK)
        return rc;
    index_doc(c, old, text_of(c, old), false);
    struct doc *doc = f->doc;
    f->doc = old; /* goes with it */
    doc->version = ++m->versions;
    dm_list_add_head(&old->link, &doc->link); /* takes its place */
    dm_list_remove(&old->link);
    index_doc(c, doc, text, true);
    return DM_OK;
}

static enum dm_code memory_replace(struct dm_documents *d, const char *collection,
                                   const struct dm_filter *key, size_t n_key, uint64_t version,
                                   const struct dm_json *json, struct dm_error *err)
{
    struct memory *m = memory_of(d);
    struct fresh f;
    struct dm_text_query q;
    enum dm_code rc = fresh_build(&f, m, json, err);
    if (rc == DM_OK) {
        dm_text_query_init(&q, key, n_key);
        (void)pthread_mutex_lock(&m->lock);
        rc = replace_locked(m, dm_map_get(m->collections, dm_view_of(collection)), &q, version, &f,
                            err);
        (void)pthread_mutex_unlock(&m->lock);
        dm_text_query_done(&q);
    }
    fresh_done(&f);
    return rc;
}

static enum dm_code memory_remove(struct dm_documents *d, const char *collection,
                                  const struct dm_filter *filters, size_t n_filters,
                                  uint64_t *ret_deleted, struct dm_error *err)
{
    struct memory *m = memory_of(d);
    struct dm_text_query q;
    (void)err;
    dm_text_query_init(&q, filters, n_filters);
    (void)pthread_mutex_lock(&m->lock);
    struct collection *c = dm_map_get(m->collections, dm_view_of(collection));
    bool only;
    for (struct doc *doc = first_match(c, &q, &only); doc != NULL; (*ret_deleted)++) {
        struct dm_link *next = doc->link.next;
        index_doc(c, doc, text_of(c, doc), false);
        dm_list_remove(&doc->link);
        c->count--;
        doc_unref(doc);
        doc = only ? NULL : next_match(c, &q, next);
    }
    (void)pthread_mutex_unlock(&m->lock);
    dm_text_query_done(&q);
    return DM_OK;
}

static enum dm_code memory_ping(struct dm_documents *d, struct dm_error *err)
{
    (void)d;
    (void)err;
    return DM_OK;
}

static void memory_free(struct dm_documents *d)
{
    struct memory *m = memory_of(d);
    dm_map_free(m->collections);
    dm_nulls_free(m->nulls);
    dm_buf_done(&m->scratch);
    (void)pthread_mutex_destroy(&m->lock);
    dm_mem_free(m->uniques);
    dm_mem_free(m);
}

static const struct dm_documents_ops memory_ops = {
    .find = memory_find,
    .list = memory_list,
    .each = memory_each,
    .count = memory_count,
    .insert = memory_insert,
    .replace = memory_replace,
    .remove = memory_remove,
    .ping = memory_ping,
    .free = memory_free,
};

struct dm_documents *dm_documents_memory_new(const struct dm_documents_unique *uniques, size_t n)
{
    struct memory *m = DM_NEW(struct memory);
    m->base.ops = &memory_ops;
    DM_REQUIRE(pthread_mutex_init(&m->lock, NULL) == 0);
    m->collections = dm_map_new(collection_free);
    m->nulls = dm_nulls_new();
    dm_buf_init(&m->scratch, DOCUMENT_CAP);
    m->uniques = dm_mem_array(n, sizeof *m->uniques);
    m->n_uniques = n;
    for (size_t i = 0; i < n; i++) {
        DM_REQUIRE(uniques[i].fields[0] != NULL && uniques[i].fields[DM_DOCUMENTS_KEY_MAX] == NULL);
        m->uniques[i] = uniques[i];
    }
    return &m->base;
}

static bool export_one(void *ctx, dm_view name, void *value)
{
    struct dm_json *data = ctx;
    struct collection *c = value;
    struct dm_json *array = dm_json_new_array();
    DM_LIST_EACH_SAFE(&c->docs, l, tmp)
    {
        struct dm_json *doc = NULL;
        if (doc_parse(DM_CONTAINER_OF(l, struct doc, link), &doc, NULL) == DM_OK)
            dm_json_push(array, doc);
    }
    dm_json_set(data, name, array);
    return true;
}

struct dm_json *dm_documents_memory_export(struct dm_documents *d)
{
    DM_REQUIRE(d->ops->free == memory_free);
    struct memory *m = memory_of(d);
    struct dm_json *data = dm_json_new_object();
    (void)pthread_mutex_lock(&m->lock); /* one moment of all collections, hence parsed inside */
    dm_map_each(m->collections, export_one, data);
    (void)pthread_mutex_unlock(&m->lock);
    return data;
}

static enum dm_code import_one(struct memory *m, dm_view collection, const struct dm_json *json,
                               struct dm_error *err)
{
    struct fresh f;
    (void)collection_make(m, collection);
    if (json == NULL)
        return DM_OK;
    if (!dm_json_is(json, DM_JSON_OBJECT))
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "could not import \"%.*s\": an entry is no object", DM_FMT(collection));
    enum dm_code rc = fresh_build(&f, m, json, err);
    if (rc == DM_OK)
        rc = add_locked(m, collection, &f, err);
    fresh_done(&f);
    return rc == DM_OK ? DM_OK : DM_INVALID;
}

enum dm_code dm_documents_memory_import(struct dm_documents *d, dm_documents_source_fn next,
                                        void *ctx, struct dm_error *err)
{
    DM_REQUIRE(d->ops->free == memory_free);
    struct memory *m = memory_of(d);
    enum dm_code rc = DM_OK;
    dm_view collection;
    struct dm_json *json;
    (void)pthread_mutex_lock(&m->lock);
    bool was_empty = dm_map_count(m->collections) == 0;
    if (!was_empty)
        rc = DM_FAIL(err, DM_INVALID, ERR_NONE,
                     "could not import documents: the store is not empty");
    while (rc == DM_OK && next(ctx, &collection, &json)) {
        rc = import_one(m, collection, json, err);
        dm_json_free(json);
    }
    if (rc != DM_OK && was_empty) { /* all or nothing */
        dm_map_free(m->collections);
        m->collections = dm_map_new(collection_free);
    }
    (void)pthread_mutex_unlock(&m->lock);
    return rc;
}

#include "store/policy_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "store/packed.h"

#include "base/poison.h"

struct name {
    dm_view kind, id;
};

static _Atomic uint64_t born; /* of the process; only ever compared */

static dm_view kind_of(const struct dm_policy_record *r)
{
    return dm_view_make(r->text_, r->kind_len_);
}

static dm_view id_of(const struct dm_policy_record *r)
{
    return dm_view_make(r->text_ + r->kind_len_, r->id_len_);
}

static dm_view kept_of(const struct dm_policy_record *r)
{
    return dm_view_make(r->text_ + r->kind_len_ + r->id_len_, r->kept_);
}

static void copy(char *to, dm_view v)
{
    if (v.len > 0)
        memcpy(to, v.ptr, v.len);
}

static struct dm_policy_record *record(const struct dm_policy_entry *e, dm_view kept)
{
    size_t names = e->kind.len + e->id.len;
    struct dm_policy_record *r =
        dm_mem_alloc(offsetof(struct dm_policy_record, text_) + names + kept.len);
    atomic_init(&r->refs_, 1);
    r->born_ = atomic_fetch_add_explicit(&born, 1, memory_order_relaxed);
    r->kind_len_ = (uint16_t)e->kind.len;
    r->id_len_ = (uint16_t)e->id.len;
    r->deleted = e->deleted;
    r->version = e->version;
    r->kept_ = (uint32_t)kept.len;
    memcpy(r->sha256, e->sha256, DM_SHA256_LEN);
    copy(r->text_, e->kind);
    copy(r->text_ + e->kind.len, e->id);
    copy(r->text_ + names, kept);
    return r;
}

struct dm_policy_record *dm_policy_record_new(const struct dm_policy_entry *e, dm_view payload)
{
    struct dm_policy_record *r;
    struct dm_buf packed;
    DM_REQUIRE(payload.len <= DM_POLICY_OBJECT_MAX);
    dm_buf_init(&packed, payload.len); /* no longer than it is */
    dm_pack(payload, &packed);
    bool shorter = dm_buf_ok(&packed) && payload.len > 0;
    r = record(e, shorter ? dm_buf_view(&packed) : payload);
    r->packed_ = shorter;
    r->len = (uint32_t)payload.len;
    dm_buf_done(&packed);
    return r;
}

struct dm_policy_record *dm_policy_record_ref(struct dm_policy_record *r)
{
    atomic_fetch_add_explicit(&r->refs_, 1, memory_order_relaxed);
    return r;
}

void dm_policy_record_unref(struct dm_policy_record *r)
{
    if (r != NULL && atomic_fetch_sub_explicit(&r->refs_, 1, memory_order_acq_rel) == 1)
        dm_mem_free(r);
}

struct dm_policy_entry dm_policy_record_entry(const struct dm_policy_record *r)
{
    struct dm_policy_entry e = {
        .kind = kind_of(r), .id = id_of(r), .version = r->version, .deleted = r->deleted};
    memcpy(e.sha256, r->sha256, DM_SHA256_LEN);
    return e;
}

dm_view dm_policy_record_payload(const struct dm_policy_record *r, struct dm_buf *room)
{
    size_t at = dm_buf_view(room).len;
    if (r->packed_)
        dm_unpack(kept_of(r), room);
    else
        dm_buf_add(room, kept_of(r));
    dm_view whole = dm_view_sub(dm_buf_view(room), at, SIZE_MAX);
    DM_ASSERT(dm_buf_ok(room) && whole.len == r->len);
    return whole;
}

bool dm_policy_record_same(const struct dm_policy_record *a, const struct dm_policy_record *b)
{
    return a->version == b->version && a->deleted == b->deleted &&
           memcmp(a->sha256, b->sha256, DM_SHA256_LEN) == 0;
}

/* --- table --- */

static uint64_t name_hash(dm_view kind, dm_view id)
{
    return dm_view_hash(id, dm_view_hash(kind, 0));
}

static bool is_named(const void *item, const void *key)
{
    const struct name *wanted = key;
    return dm_view_eq(id_of(item), wanted->id) && dm_view_eq(kind_of(item), wanted->kind);
}

struct dm_policy_record *dm_policy_table_get(const struct dm_policy_table *t, dm_view kind,
                                             dm_view id)
{
    const struct name key = {kind, id};
    return dm_index_find(&t->index_, name_hash(kind, id), is_named, &key);
}

void dm_policy_table_remove(struct dm_policy_table *t, dm_view kind, dm_view id)
{
    struct dm_policy_record *old = dm_policy_table_get(t, kind, id);
    if (old == NULL)
        return;
    DM_ASSERT(dm_index_remove(&t->index_, name_hash(kind, id), old));
    dm_policy_record_unref(old);
}

void dm_policy_table_put(struct dm_policy_table *t, struct dm_policy_record *r)
{
    dm_policy_table_remove(t, kind_of(r), id_of(r));
    dm_index_put(&t->index_, name_hash(kind_of(r), id_of(r)), r);
}

size_t dm_policy_table_count(const struct dm_policy_table *t)
{
    return dm_index_count(&t->index_);
}

static int by_birth(const void *a, const void *b)
{
    const struct dm_policy_record *const *x = a, *const *y = b;
    return (*x)->born_ < (*y)->born_ ? -1 : (*x)->born_ > (*y)->born_;
}

struct dm_policy_record **dm_policy_table_all(const struct dm_policy_table *t)
{
    struct dm_policy_record **all =
        dm_mem_array(dm_index_count(&t->index_) + 1, sizeof(struct dm_policy_record *));
    size_t n = 0;
    for (size_t i = 0; i < dm_index_places(&t->index_); i++) {
        struct dm_policy_record *r = dm_index_at(&t->index_, i);
        if (r != NULL)
            all[n++] = r;
    }
    if (n > 0)
        qsort(all, n, sizeof(struct dm_policy_record *), by_birth);
    return all;
}

bool dm_policy_table_merge(struct dm_policy_table *t, dm_view list)
{
    struct dm_policy_entry e;
    size_t n = 0;
    while (dm_policy_entry_next(&list, &e)) {
        if (++n > DM_POLICY_ENTRIES_MAX)
            return false;
        dm_policy_table_put(t, dm_policy_record_new(&e, DM_VIEW_NONE));
    }
    return list.len == 0;
}

void dm_policy_table_done(struct dm_policy_table *t)
{
    for (size_t i = 0; i < dm_index_places(&t->index_); i++)
        dm_policy_record_unref(dm_index_at(&t->index_, i));
    dm_index_done(&t->index_);
    *t = (struct dm_policy_table){0};
}

#include "model/policy_storage.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    PIECE = 240, /* what an object of unusual size takes next */
    ALIGN = 8    /* nothing here is stricter than a pointer */
};

struct policy_piece {
    struct policy_piece *next;
    char bytes[];
};

struct dm_policy_storage *policy_storage_new(void)
{
    struct dm_policy_storage *s = DM_NEW(struct dm_policy_storage);
    atomic_init(&s->refs, 1);
    s->run = s->first;
    s->size = POLICY_INLINE;
    return s;
}

struct dm_policy_storage *policy_storage_ref(struct dm_policy_storage *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

struct policy_owned *policy_owned(struct dm_policy_storage *s)
{
    if (s->owned == NULL)
        s->owned = DM_NEW(struct policy_owned);
    return s->owned;
}

static void free_owned(struct policy_owned *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < POLICY_SETS; i++)
        dm_address_set_free(o->sets[i]);
    for (size_t i = 0; i < POLICY_TREES; i++)
        dm_json_free(o->trees[i]);
    dm_mem_free(o);
}

void policy_storage_unref(struct dm_policy_storage *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    free_owned(s->owned);
    while (s->pieces != NULL) {
        struct policy_piece *p = s->pieces;
        s->pieces = p->next;
        dm_mem_free(p);
    }
    dm_mem_free(s);
}

static char *new_piece(struct dm_policy_storage *s, size_t size)
{
    struct policy_piece *p = dm_mem_alloc(sizeof *p + size);
    p->next = s->pieces;
    s->pieces = p;
    return p->bytes;
}

static void *take(struct dm_policy_storage *s, size_t size, size_t align)
{
    size_t at = (s->at + align - 1) / align * align;
    if (at > s->size || size > s->size - at) {
        if (size > PIECE / 2)
            return new_piece(s, size);
        s->run = new_piece(s, PIECE);
        s->size = PIECE;
        at = 0;
    }
    s->at = (uint16_t)(at + size);
    return s->run + at;
}

void *policy_take(struct dm_policy_storage *s, size_t size)
{
    return take(s, size, ALIGN);
}

dm_view policy_text(struct dm_policy_storage *s, dm_view v)
{
    if (v.len == 0)
        return DM_VIEW_NONE;
    char *p = take(s, v.len, 1);
    memcpy(p, v.ptr, v.len);
    return dm_view_make(p, v.len);
}

dm_view policy_member(struct dm_policy_storage *s, const struct dm_json *doc, const char *name)
{
    return policy_text(s, dm_json_str(dm_json_get(doc, dm_view_of(name))));
}

struct dm_strs policy_strs(struct dm_policy_storage *s, const struct dm_json *list)
{
    struct dm_strs strs = {NULL, 0};
    if (!dm_json_is(list, DM_JSON_ARRAY) || dm_json_len(list) == 0)
        return strs;
    strs.items = policy_take(s, dm_json_len(list) * sizeof *strs.items);
    for (const struct dm_json *item = dm_json_first(list); item != NULL;
         item = dm_json_next(item)) {
        if (dm_json_is(item, DM_JSON_STRING))
            strs.items[strs.count++] = policy_text(s, dm_json_str(item));
    }
    return strs;
}

/* The texts are ours and not yet shared. */
void policy_lower(dm_view text)
{
    char *p = (char *)(uintptr_t)text.ptr;
    for (size_t i = 0; i < text.len; i++)
        p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] | 0x20) : p[i];
}

void policy_upper(dm_view text)
{
    char *p = (char *)(uintptr_t)text.ptr;
    for (size_t i = 0; i < text.len; i++)
        p[i] = p[i] >= 'a' && p[i] <= 'z' ? (char)(p[i] & ~0x20) : p[i];
}

static int compare(const void *a, const void *b)
{
    return dm_view_cmp(*(const dm_view *)a, *(const dm_view *)b);
}

struct dm_strs policy_sorted(struct dm_policy_storage *s, const struct dm_json *list, bool lower)
{
    struct dm_strs strs = policy_strs(s, list);
    for (size_t i = 0; lower && i < strs.count; i++)
        policy_lower(strs.items[i]);
    if (strs.count > 1)
        qsort(strs.items, strs.count, sizeof *strs.items, compare);
    return strs;
}

bool dm_strs_has(const struct dm_strs *sorted, dm_view v)
{
    return sorted->count > 0 &&
           bsearch(&v, sorted->items, sorted->count, sizeof v, compare) != NULL;
}

dm_view policy_joined(struct dm_policy_storage *s, const struct dm_strs *list)
{
    size_t len = 0;
    for (size_t i = 0; i < list->count; i++)
        len += list->items[i].len + 2;
    if (len == 0)
        return DM_VIEW_NONE;
    char *text = take(s, len, 1), *at = text;
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) {
            memcpy(at, ", ", 2);
            at += 2;
        }
        if (list->items[i].len > 0)
            memcpy(at, list->items[i].ptr, list->items[i].len);
        at += list->items[i].len;
    }
    return dm_view_make(text, (size_t)(at - text));
}

enum dm_code policy_addresses(struct dm_policy_storage *s, size_t which, const struct dm_json *list,
                              struct dm_address_set **ret, struct dm_error *err)
{
    size_t n = 0;
    DM_REQUIRE(which < POLICY_SETS);
    *ret = NULL;
    if (!dm_json_is(list, DM_JSON_ARRAY) || dm_json_len(list) == 0)
        return DM_OK;
    dm_view *entries = dm_mem_array(dm_json_len(list), sizeof *entries);
    /* An entry that is no string is kept as an empty one: left out, it would open
     * what a list closes. */
    for (const struct dm_json *item = dm_json_first(list); item != NULL; item = dm_json_next(item))
        entries[n++] = dm_view_trim(dm_json_str(item));
    enum dm_code rc = dm_address_set_new(entries, n, ret, err);
    dm_mem_free(entries);
    if (rc == DM_OK)
        policy_owned(s)->sets[which] = *ret;
    return rc;
}

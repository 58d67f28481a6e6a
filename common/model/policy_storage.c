#include "model/policy_storage.h"

#include <stdlib.h>
#include <string.h>
#include "base/assert.h"

enum {
    CHUNK = 1024,              /* an API with ten endpoints takes about five */
    OBJECT_MAX = 16 << 20      /* one object: far above what the largest body can describe */
};

struct dm_policy_storage *policy_storage_new(void)
{
    struct dm_policy_storage *s = DM_NEW(struct dm_policy_storage);

    s->pool_ = dm_arena_pool_new(CHUNK, 0);
    dm_arena_init(&s->arena, s->pool_, OBJECT_MAX);
    return s;
}

void policy_storage_free(struct dm_policy_storage *s)
{
    if (s == NULL)
        return;
    dm_arena_reset(&s->arena);
    dm_arena_pool_free(s->pool_);
    dm_mem_free(s);
}

void *policy_take(struct dm_policy_storage *s, size_t size)
{
    void *p = dm_arena_zalloc(&s->arena, size);

    DM_REQUIRE(p != NULL); /* the admin refuses bodies long before OBJECT_MAX */
    return p;
}

dm_view policy_text(struct dm_policy_storage *s, dm_view v)
{
    char *p;

    if (v.ptr == NULL)
        return DM_VIEW_NONE;
    p = policy_take(s, v.len + 1);
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

    if (dm_json_len(list) == 0)
        return strs;
    strs.items = policy_take(s, dm_json_len(list) * sizeof(*strs.items));
    for (struct dm_json *item = dm_json_first(list); item != NULL; item = dm_json_next(item)) {
        if (dm_json_is(item, DM_JSON_STRING))
            strs.items[strs.count++] = policy_text(s, dm_json_str(item));
    }
    return strs;
}

static int compare(const void *a, const void *b)
{
    return dm_view_cmp(*(const dm_view *)a, *(const dm_view *)b);
}

struct dm_strs policy_sorted(struct dm_policy_storage *s, const struct dm_json *list, bool lower)
{
    struct dm_strs strs = policy_strs(s, list);

    for (size_t i = 0; lower && i < strs.count; i++) {
        char *p = (char *)(uintptr_t)strs.items[i].ptr; /* our own copy */
        for (size_t k = 0; k < strs.items[i].len; k++)
            p[k] = p[k] >= 'A' && p[k] <= 'Z' ? (char)(p[k] | 0x20) : p[k];
    }
    if (strs.count > 1)
        qsort(strs.items, strs.count, sizeof(*strs.items), compare);
    return strs;
}

bool dm_strs_has(const struct dm_strs *sorted, dm_view v)
{
    return sorted->count > 0 && bsearch(&v, sorted->items, sorted->count, sizeof(v), compare) != NULL;
}

dm_view policy_joined(struct dm_policy_storage *s, const struct dm_strs *list)
{
    size_t len = 0;
    char *text, *at;

    for (size_t i = 0; i < list->count; i++)
        len += list->items[i].len + 2;
    if (len == 0)
        return DM_VIEW_NONE;
    text = at = policy_take(s, len);
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) {
            memcpy(at, ", ", 2);
            at += 2;
        }
        memcpy(at, list->items[i].ptr, list->items[i].len);
        at += list->items[i].len;
    }
    return dm_view_make(text, (size_t)(at - text));
}

#include "model/policy_owner.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

struct policy_pending {
    struct policy_pending *next;
    struct dm_policy_storage *storage;
    uint32_t order; /* of two with one id the later counts */
    bool removed;
    struct dm_policy_endpoint endpoint; /* removed: its id alone */
};

struct policy_owner *policy_owner_new(dm_view api_id)
{
    struct policy_owner *o = dm_mem_alloc(sizeof *o + api_id.len);
    dm_list_init(&o->link);
    dm_list_init(&o->dirty);
    DM_REQUIRE(api_id.len <= UINT16_MAX);
    o->id_len = (uint16_t)api_id.len;
    memcpy(o->id, api_id.ptr, api_id.len);
    return o;
}

static void drop_pending(struct policy_owner *o)
{
    while (o->pending != NULL) {
        struct policy_pending *p = o->pending;
        o->pending = p->next;
        policy_pool_unref(&p->endpoint.pool);
        policy_storage_unref(p->storage);
        dm_mem_free(p);
    }
    o->n_pending = 0;
}

void policy_owner_free(struct policy_owner *o)
{
    if (o == NULL)
        return;
    drop_pending(o);
    dm_list_remove(&o->link);
    dm_list_remove(&o->dirty);
    policy_api_unref(o->api);
    policy_trie_unref(o->trie);
    dm_mem_free(o);
}

bool policy_owner_has(const struct policy_owner *o, dm_view endpoint_id)
{
    for (const struct policy_pending *p = o->pending; p != NULL; p = p->next) {
        if (dm_view_eq(p->endpoint.endpoint_id, endpoint_id))
            return !p->removed;
    }
    return policy_trie_endpoint(o->trie, endpoint_id) != NULL;
}

size_t policy_owner_count(const struct policy_owner *o)
{
    return o->n_pending + (o->trie == NULL ? 0 : o->trie->n_endpoints);
}

static struct policy_pending *add_pending(struct policy_owner *o, struct dm_policy_storage *s)
{
    struct policy_pending *p = DM_NEW(struct policy_pending);
    p->storage = s;
    p->order = o->n_pending++;
    p->next = o->pending;
    o->pending = p;
    return p;
}

void policy_owner_put(struct policy_owner *o, const struct dm_policy_endpoint *e,
                      struct dm_policy_storage *s)
{
    add_pending(o, s)->endpoint = *e;
}

void policy_owner_remove(struct policy_owner *o, dm_view endpoint_id)
{
    struct dm_policy_storage *s = policy_storage_new();
    struct policy_pending *p = add_pending(o, s);
    p->removed = true;
    p->endpoint.endpoint_id = policy_text(s, endpoint_id);
}

void policy_owner_set(struct policy_owner *o, struct dm_policy_api *record,
                      struct policy_slots *slots)
{
    if (o->slot == 0)
        o->slot = policy_slots_take(slots);
    policy_api_unref(o->api);
    record->slot = record->pool.slot = o->slot;
    o->api = record;
    o->fresh = true;
}

void policy_owner_unset(struct policy_owner *o, struct policy_slots *slots)
{
    policy_slots_give(slots, o->slot);
    policy_api_unref(o->api);
    o->slot = 0;
    o->api = NULL;
    o->fresh = false;
}

static int compare(const void *x, const void *y)
{
    const struct policy_pending *a = *(struct policy_pending *const *)x;
    const struct policy_pending *b = *(struct policy_pending *const *)y;
    int order = dm_view_cmp(a->endpoint.endpoint_id, b->endpoint.endpoint_id);
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

/* Sorted by id, the last of each id only. */
static struct policy_pending **sorted_pending(const struct policy_owner *o, size_t *ret_n)
{
    struct policy_pending **all = dm_mem_array(o->n_pending, sizeof(struct policy_pending *));
    size_t n = 0, kept = 0;
    for (struct policy_pending *p = o->pending; p != NULL; p = p->next)
        all[n++] = p;
    qsort(all, n, sizeof(struct policy_pending *), compare);
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n ||
                    !dm_view_eq(all[i]->endpoint.endpoint_id, all[i + 1]->endpoint.endpoint_id);
        if (last)
            all[kept++] = all[i];
    }
    *ret_n = kept;
    return all;
}

static void merge_one(struct dm_policy_endpoint *to, size_t *n,
                      const struct dm_policy_endpoint *old, struct policy_pending *p,
                      struct policy_slots *slots)
{
    uint32_t slot = old == NULL ? 0 : old->pool.slot;
    if (p == NULL) {
        to[(*n)++] = *old;
        return;
    }
    if (p->removed) {
        policy_slots_give(slots, slot);
        return;
    }
    p->endpoint.pool.slot = slot;
    if (slot == 0 && p->endpoint.pool.n_servers > 0)
        p->endpoint.pool.slot = policy_slots_take(slots);
    to[(*n)++] = p->endpoint;
}

static struct dm_policy_trie *merge(const struct policy_owner *o, struct policy_slots *slots)
{
    size_t n_old = o->trie == NULL ? 0 : o->trie->n_endpoints, n_new, n = 0, i = 0, k = 0;
    struct policy_pending **fresh = sorted_pending(o, &n_new);
    struct dm_policy_endpoint *all = dm_mem_array(n_old + n_new, sizeof *all);
    while (i < n_old || k < n_new) {
        const struct dm_policy_endpoint *old = i < n_old ? &o->trie->endpoints[i] : NULL;
        struct policy_pending *p = k < n_new ? fresh[k] : NULL;
        int order = old == NULL ? 1
                    : p == NULL ? -1
                                : dm_view_cmp(old->endpoint_id, p->endpoint.endpoint_id);
        merge_one(all, &n, order <= 0 ? old : NULL, order >= 0 ? p : NULL, slots);
        i += order <= 0;
        k += order >= 0;
    }
    struct dm_policy_trie *t = n == 0 ? NULL : policy_trie_new(all, n);
    dm_mem_free(all);
    dm_mem_free(fresh);
    return t;
}

void policy_owner_build(struct policy_owner *o, struct policy_slots *slots)
{
    bool changed = o->pending != NULL;
    if (changed) {
        struct dm_policy_trie *t = merge(o, slots);
        policy_trie_unref(o->trie);
        o->trie = t;
        drop_pending(o);
    }
    if (o->api != NULL && o->fresh) {
        policy_api_set_trie(o->api, o->trie);
    } else if (o->api != NULL && changed) {
        struct dm_policy_api *next = policy_api_with(o->api, o->trie);
        policy_api_unref(o->api);
        o->api = next;
    }
    o->fresh = false;
}

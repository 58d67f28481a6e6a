#include "model/policy.h"

#include <stdatomic.h>

#include "base/assert.h"
#include "model/policy_build.h"

#include "base/poison.h"

struct dm_policy *dm_policy_ref(struct dm_policy *p)
{
    atomic_fetch_add_explicit(&p->refs_, 1, memory_order_relaxed);
    return p;
}

void dm_policy_unref(struct dm_policy *p)
{
    if (p == NULL || atomic_fetch_sub_explicit(&p->refs_, 1, memory_order_acq_rel) != 1)
        return;
    policy_apis_unref(p->tables_->apis);
    policy_items_unref(p->tables_->roles);
    policy_items_unref(p->tables_->routings);
    policy_items_unref(p->tables_->credits);
    policy_item_unref(p->tables_->security);
    dm_mem_free(p->tables_);
    dm_mem_free(p);
}

/* --- tables --- */

struct nv {
    dm_view name, version;
};

static uint64_t name_hash(dm_view name)
{
    return dm_view_hash(name, 0);
}

static uint64_t nv_hash(dm_view name, dm_view version)
{
    return dm_view_hash(version, name_hash(name));
}

static bool is_nv(const void *item, const void *key)
{
    const struct dm_policy_api *a = item;
    const struct nv *k = key;
    return dm_view_eq(a->name, k->name) && dm_view_eq(a->version, k->version);
}

static bool is_named(const void *item, const void *key)
{
    return dm_view_eq(((const struct dm_policy_api *)item)->name, *(const dm_view *)key);
}

static bool is_digit(dm_view v, size_t at)
{
    return at < v.len && v.ptr[at] >= '0' && v.ptr[at] <= '9';
}

static dm_view cut_digits(dm_view *v)
{
    size_t len = 0;
    while (v->len > 0 && v->ptr[0] == '0' && is_digit(*v, 1))
        *v = dm_view_sub(*v, 1, SIZE_MAX);
    while (is_digit(*v, len))
        len++;
    dm_view digits = dm_view_sub(*v, 0, len);
    *v = dm_view_sub(*v, len, SIZE_MAX);
    return digits;
}

/* As people number versions: v2 before v10. */
static int version_cmp(dm_view a, dm_view b)
{
    while (a.len > 0 && b.len > 0) {
        if (is_digit(a, 0) && is_digit(b, 0)) {
            dm_view x = cut_digits(&a), y = cut_digits(&b);
            int order = x.len != y.len ? (x.len < y.len ? -1 : 1) : dm_view_cmp(x, y);
            if (order != 0)
                return order;
            continue;
        }
        if (a.ptr[0] != b.ptr[0])
            return (unsigned char)a.ptr[0] < (unsigned char)b.ptr[0] ? -1 : 1;
        a = dm_view_sub(a, 1, SIZE_MAX);
        b = dm_view_sub(b, 1, SIZE_MAX);
    }
    return (a.len > 0) - (b.len > 0);
}

struct policy_apis *policy_apis_new(void)
{
    struct policy_apis *t = DM_NEW(struct policy_apis);
    atomic_init(&t->refs, 1);
    return t;
}

struct policy_apis *policy_apis_ref(struct policy_apis *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void policy_apis_unref(struct policy_apis *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < dm_index_places(&t->by_nv); i++)
        policy_api_unref(dm_index_at(&t->by_nv, i));
    dm_index_done(&t->by_nv);
    dm_index_done(&t->by_name);
    dm_mem_free(t);
}

static void add_name(struct policy_apis *t, struct dm_policy_api *a)
{
    uint64_t hash = name_hash(a->name);
    struct dm_policy_api *highest = dm_index_find(&t->by_name, hash, is_named, &a->name);
    if (highest != NULL && version_cmp(highest->version, a->version) > 0)
        return;
    if (highest != NULL)
        (void)dm_index_remove(&t->by_name, hash, highest);
    dm_index_put(&t->by_name, hash, a);
}

void policy_apis_add(struct policy_apis *t, struct dm_policy_api *a)
{
    const struct nv key = {a->name, a->version};
    uint64_t hash = nv_hash(a->name, a->version);
    struct dm_policy_api *old = dm_index_find(&t->by_nv, hash, is_nv, &key);
    if (old != NULL)
        (void)dm_index_remove(&t->by_nv, hash, old);
    dm_index_put(&t->by_nv, hash, policy_api_ref(a));
    add_name(t, a); /* replaces an old one of the same version too */
    policy_api_unref(old);
}

struct policy_items *policy_items_new(const struct dm_index *from)
{
    struct policy_items *t = DM_NEW(struct policy_items);
    atomic_init(&t->refs, 1);
    for (size_t i = 0; i < dm_index_places(from); i++) {
        struct policy_item *item = dm_index_at(from, i);
        if (item != NULL)
            dm_index_put(&t->by_id, policy_item_hash(item->id), policy_item_ref(item));
    }
    return t;
}

struct policy_items *policy_items_ref(struct policy_items *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void policy_items_unref(struct policy_items *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < dm_index_places(&t->by_id); i++)
        policy_item_unref(dm_index_at(&t->by_id, i));
    dm_index_done(&t->by_id);
    dm_mem_free(t);
}

/* --- reading --- */

const struct dm_policy_api *dm_policy_api(const struct dm_policy *p, dm_view name, dm_view version)
{
    const struct nv key = {name, version};
    return dm_index_find(&p->tables_->apis->by_nv, nv_hash(name, version), is_nv, &key);
}

const struct dm_policy_api *dm_policy_api_latest(const struct dm_policy *p, dm_view name)
{
    return dm_index_find(&p->tables_->apis->by_name, name_hash(name), is_named, &name);
}

const struct dm_policy_role *dm_policy_role(const struct dm_policy *p, dm_view name)
{
    static const struct dm_policy_role admin = {.name = {"admin", 5}, .platform_admin = true};
    const struct policy_item *i = policy_item_find(&p->tables_->roles->by_id, name);
    if (i != NULL)
        return &i->role;
    return policy_admin_name(name) ? &admin : NULL;
}

const struct dm_policy_routing *dm_policy_routing(const struct dm_policy *p, dm_view client_key)
{
    const struct policy_item *i = policy_item_find(&p->tables_->routings->by_id, client_key);
    return i == NULL ? NULL : &i->routing;
}

const struct dm_policy_credit *dm_policy_credit(const struct dm_policy *p, dm_view group)
{
    const struct policy_item *i = policy_item_find(&p->tables_->credits->by_id, group);
    return i == NULL ? NULL : &i->credit;
}

size_t dm_policy_api_count(const struct dm_policy *p)
{
    return dm_index_count(&p->tables_->apis->by_nv);
}

uint32_t dm_policy_slots(const struct dm_policy *p)
{
    return p->tables_->n_slots;
}

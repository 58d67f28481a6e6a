#include <stdatomic.h>

#include "base/assert.h"
#include "base/list.h"
#include "model/policy_owner.h"

#include "base/poison.h"

struct named_items { /* roles, routings, credit definitions */
    struct dm_index by_id;
    struct policy_items *built; /* NULL: changed since */
};

struct dm_policy_builder {
    struct dm_index owners;    /* by api_id */
    struct dm_index endpoints; /* endpoint_id to its owner */
    struct dm_link order, dirty;
    struct policy_apis *apis; /* NULL: changed since */
    struct named_items roles, routings, credits;
    struct policy_item *security;
    struct policy_slots slots;
};

struct dm_policy_builder *dm_policy_builder_new(void)
{
    struct dm_policy_builder *b = DM_NEW(struct dm_policy_builder);
    dm_list_init(&b->order);
    dm_list_init(&b->dirty);
    return b;
}

static void items_done(struct named_items *t)
{
    for (size_t i = 0; i < dm_index_places(&t->by_id); i++)
        policy_item_unref(dm_index_at(&t->by_id, i));
    dm_index_done(&t->by_id);
    policy_items_unref(t->built);
}

void dm_policy_builder_free(struct dm_policy_builder *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < dm_index_places(&b->owners); i++)
        policy_owner_free(dm_index_at(&b->owners, i));
    dm_index_done(&b->owners);
    dm_index_done(&b->endpoints);
    policy_apis_unref(b->apis);
    items_done(&b->roles);
    items_done(&b->routings);
    items_done(&b->credits);
    policy_item_unref(b->security);
    policy_slots_done(&b->slots);
    dm_mem_free(b);
}

/* --- APIs and endpoints --- */

static bool is_owner(const void *item, const void *key)
{
    return dm_view_eq(policy_owner_id(item), *(const dm_view *)key);
}

static bool owns(const void *item, const void *key)
{
    return policy_owner_has(item, *(const dm_view *)key);
}

static uint64_t id_hash(dm_view id)
{
    return dm_view_hash(id, 0);
}

static struct policy_owner *find_owner(const struct dm_policy_builder *b, dm_view api_id)
{
    return dm_index_find(&b->owners, id_hash(api_id), is_owner, &api_id);
}

static struct policy_owner *make_owner(struct dm_policy_builder *b, dm_view api_id)
{
    struct policy_owner *o = find_owner(b, api_id);
    if (o == NULL) {
        o = policy_owner_new(api_id);
        dm_index_put(&b->owners, id_hash(api_id), o);
    }
    return o;
}

static void mark(struct dm_policy_builder *b, struct policy_owner *o)
{
    if (dm_list_empty(&o->dirty))
        dm_list_add_tail(&b->dirty, &o->dirty);
}

static void forget_apis(struct dm_policy_builder *b)
{
    policy_apis_unref(b->apis);
    b->apis = NULL;
}

static enum dm_code put_api(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc,
                            struct dm_error *err)
{
    struct dm_policy_api *record = NULL;
    enum dm_code rc = policy_api_compile(doc, id, &record, err);
    if (rc != DM_OK)
        return rc;
    struct policy_owner *o = make_owner(b, id);
    policy_owner_set(o, record, &b->slots);
    dm_list_remove(&o->link); /* of two APIs of one name and version the later one counts */
    dm_list_add_tail(&b->order, &o->link);
    mark(b, o);
    forget_apis(b);
    return DM_OK;
}

static enum dm_code remove_api(struct dm_policy_builder *b, dm_view id)
{
    struct policy_owner *o = find_owner(b, id);
    if (o == NULL || o->api == NULL)
        return DM_OK;
    policy_owner_unset(o, &b->slots);
    dm_list_remove(&o->link);
    mark(b, o);
    forget_apis(b);
    return DM_OK;
}

static void remove_from(struct dm_policy_builder *b, struct policy_owner *o, dm_view id)
{
    DM_ASSERT(dm_index_remove(&b->endpoints, id_hash(id), o));
    policy_owner_remove(o, id);
    mark(b, o);
    if (o->api != NULL)
        forget_apis(b);
}

static enum dm_code remove_endpoint(struct dm_policy_builder *b, dm_view id)
{
    struct policy_owner *o = dm_index_find(&b->endpoints, id_hash(id), owns, &id);
    if (o != NULL)
        remove_from(b, o, id);
    return DM_OK;
}

static enum dm_code put_endpoint(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc,
                                 struct dm_error *err)
{
    struct dm_policy_endpoint e;
    struct dm_policy_storage *s = NULL;
    dm_view api_id;
    enum dm_code rc = policy_endpoint_compile(doc, id, &e, &api_id, &s, err);
    if (rc != DM_OK)
        return rc;
    struct policy_owner *old = dm_index_find(&b->endpoints, id_hash(id), owns, &id);
    struct policy_owner *o = make_owner(b, api_id);
    if (policy_owner_count(o) >= POLICY_ENDPOINTS_MAX) {
        policy_pool_unref(&e.pool);
        policy_storage_unref(s);
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not add endpoint: its API has %d of them",
                       POLICY_ENDPOINTS_MAX);
    }
    if (old != NULL && old != o)
        remove_from(b, old, id);
    if (old != o)
        dm_index_put(&b->endpoints, id_hash(id), o);
    policy_owner_put(o, &e, s);
    mark(b, o);
    if (o->api != NULL)
        forget_apis(b);
    return DM_OK;
}

/* --- roles, routings, settings --- */

static void forget_items(struct named_items *t, struct policy_item *old)
{
    if (old != NULL)
        (void)dm_index_remove(&t->by_id, policy_item_hash(old->id), old);
    policy_item_unref(old);
    policy_items_unref(t->built);
    t->built = NULL;
}

static enum dm_code put_item(struct named_items *t, policy_item_fn compile, dm_view id,
                             const struct dm_json *doc, struct dm_error *err)
{
    struct policy_item *item = NULL;
    enum dm_code rc = doc == NULL ? DM_OK : compile(doc, id, &item, err);
    if (rc != DM_OK)
        return rc;
    forget_items(t, policy_item_find(&t->by_id, id));
    if (item != NULL)
        dm_index_put(&t->by_id, policy_item_hash(item->id), item);
    return DM_OK;
}

static enum dm_code put_routing(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc,
                                struct dm_error *err)
{
    struct policy_item *old = policy_item_find(&b->routings.by_id, id), *item = NULL;
    uint32_t slot = old == NULL ? 0 : old->routing.pool.slot;
    enum dm_code rc = doc == NULL ? DM_OK : policy_routing_compile(doc, id, &item, err);
    if (rc != DM_OK)
        return rc;
    if (item == NULL)
        policy_slots_give(&b->slots, slot);
    else
        item->routing.pool.slot = slot != 0 ? slot : policy_slots_take(&b->slots);
    forget_items(&b->routings, old);
    if (item != NULL)
        dm_index_put(&b->routings.by_id, policy_item_hash(item->id), item);
    return DM_OK;
}

static enum dm_code put_security(struct dm_policy_builder *b, dm_view id, const struct dm_json *doc,
                                 struct dm_error *err)
{
    struct policy_item *item = NULL;
    enum dm_code rc = doc == NULL ? DM_OK : policy_security_compile(doc, id, &item, err);
    if (rc != DM_OK)
        return rc;
    policy_item_unref(b->security);
    b->security = item;
    return DM_OK;
}

enum dm_code dm_policy_builder_put(struct dm_policy_builder *b, dm_view kind, dm_view id,
                                   const struct dm_json *doc, struct dm_error *err)
{
    if (doc != NULL && !dm_json_is(doc, DM_JSON_OBJECT))
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not read policy object: no JSON object");
    if (dm_view_eq(kind, DM_LIT("api")))
        return doc == NULL ? remove_api(b, id) : put_api(b, id, doc, err);
    if (dm_view_eq(kind, DM_LIT("endpoint")))
        return doc == NULL ? remove_endpoint(b, id) : put_endpoint(b, id, doc, err);
    if (dm_view_eq(kind, DM_LIT("role")))
        return put_item(&b->roles, policy_role_compile, id, doc, err);
    if (dm_view_eq(kind, DM_LIT("credit_def")))
        return put_item(&b->credits, policy_credit_compile, id, doc, err);
    if (dm_view_eq(kind, DM_LIT("routing")))
        return put_routing(b, id, doc, err);
    if (dm_view_eq(kind, DM_LIT("security_settings")))
        return put_security(b, id, doc, err);
    return DM_OK; /* a kind that this data plane does not read */
}

/* --- building --- */

static void build_owners(struct dm_policy_builder *b)
{
    for (struct dm_link *l; (l = dm_list_pop(&b->dirty)) != NULL;) {
        struct policy_owner *o = DM_CONTAINER_OF(l, struct policy_owner, dirty);
        policy_owner_build(o, &b->slots);
        if (o->api != NULL || o->trie != NULL)
            continue;
        (void)dm_index_remove(&b->owners, id_hash(policy_owner_id(o)), o);
        policy_owner_free(o);
    }
}

static struct policy_apis *build_apis(struct dm_policy_builder *b)
{
    if (b->apis != NULL)
        return policy_apis_ref(b->apis);
    b->apis = policy_apis_new();
    DM_LIST_EACH_SAFE(&b->order, l, tmp)
    policy_apis_add(b->apis, DM_CONTAINER_OF(l, struct policy_owner, link)->api);
    return policy_apis_ref(b->apis);
}

static struct policy_items *build_items(struct named_items *t)
{
    if (t->built == NULL)
        t->built = policy_items_new(&t->by_id);
    return policy_items_ref(t->built);
}

struct dm_policy *dm_policy_builder_build(struct dm_policy_builder *b, uint64_t generation,
                                          dm_time wall)
{
    struct dm_policy *p = DM_NEW(struct dm_policy);
    struct dm_policy_tables *t = DM_NEW(struct dm_policy_tables);
    build_owners(b);
    t->apis = build_apis(b);
    t->roles = build_items(&b->roles);
    t->routings = build_items(&b->routings);
    t->credits = build_items(&b->credits);
    t->security = b->security == NULL ? NULL : policy_item_ref(b->security);
    t->n_slots = b->slots.made + 1;
    atomic_init(&p->refs_, 1);
    p->generation = generation;
    p->loaded_wall = wall;
    if (t->security != NULL)
        p->security = t->security->security;
    p->tables_ = t;
    return p;
}

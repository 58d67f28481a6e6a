/* Making policy objects: shapes shared by the compiler, the builder and the
 * snapshot. For the files of the policy room alone. */
#pragma once

#include "base/index.h"
#include "model/policy_storage.h"
#include "model/policy_trie.h"

/* policy_plan.c: nodes and leaves of a trie, laid out. endpoints as for
 * policy_trie_new. */
struct policy_plan {
    struct policy_node *nodes;
    uint16_t *leaves;
    size_t n_nodes, n_leaves, size_nodes;
    struct policy_place *places; /* scratch */
};
void policy_plan_init(struct policy_plan *p, const struct dm_policy_endpoint *endpoints, size_t n);
void policy_plan_done(struct policy_plan *p);

/* policy_api.c: one compiled record, without endpoints (trie_ NULL); one
 * reference. */
enum dm_code policy_api_compile(const struct dm_json *doc, dm_view id, struct dm_policy_api **ret,
                                struct dm_error *err) DM_MUST_USE;
/* The same record with other endpoints; takes a reference of the trie (NULL:
 * none). */
struct dm_policy_api *policy_api_with(const struct dm_policy_api *record,
                                      struct dm_policy_trie *trie);
void policy_api_set_trie(struct dm_policy_api *own,
                         struct dm_policy_trie *trie); /* not yet shared */
struct dm_policy_api *policy_api_ref(struct dm_policy_api *a);
void policy_api_unref(struct dm_policy_api *a);
/* Compiles one endpoint; its texts lie in *ret_storage (one reference), its
 * pool is referenced. */
enum dm_code policy_endpoint_compile(const struct dm_json *doc, dm_view id,
                                     struct dm_policy_endpoint *ret, dm_view *ret_api_id,
                                     struct dm_policy_storage **ret_storage,
                                     struct dm_error *err) DM_MUST_USE;

/* policy_items.c: a role, a routing, a credit definition or the security settings, counted. */
struct policy_item {
    _Atomic unsigned refs;
    struct dm_policy_storage *storage;
    void (*done)(struct policy_item *i); /* NULL: nothing but the storage to give back */
    dm_view id;
    union {
        struct dm_policy_role role;
        struct dm_policy_routing routing;
        struct dm_policy_credit credit;
        struct dm_policy_security security;
    };
};
typedef enum dm_code (*policy_item_fn)(const struct dm_json *doc, dm_view id,
                                       struct policy_item **ret, struct dm_error *err);
enum dm_code policy_role_compile(const struct dm_json *doc, dm_view id, struct policy_item **ret,
                                 struct dm_error *err) DM_MUST_USE;
enum dm_code policy_routing_compile(const struct dm_json *doc, dm_view id, struct policy_item **ret,
                                    struct dm_error *err) DM_MUST_USE;
enum dm_code policy_security_compile(const struct dm_json *doc, dm_view id,
                                     struct policy_item **ret, struct dm_error *err) DM_MUST_USE;
enum dm_code policy_credit_compile(const struct dm_json *doc, dm_view id, struct policy_item **ret,
                                   struct dm_error *err) DM_MUST_USE;
struct policy_item *policy_item_ref(struct policy_item *i);
void policy_item_unref(struct policy_item *i);
struct policy_item *policy_item_find(const struct dm_index *ix, dm_view id);
uint64_t policy_item_hash(dm_view id);
bool policy_admin_name(dm_view role); /* "admin" or "platform admin", any case (gateway.md §9) */

/* policy.c: the tables of a snapshot, each counted and shared by the next one
 * when nothing in it changed. */
struct policy_apis {
    _Atomic unsigned refs;
    struct dm_index by_nv, by_name; /* by_nv holds the references; by_name the
                                       highest version of each */
};
struct policy_items {
    _Atomic unsigned refs;
    struct dm_index by_id; /* holds references */
};
struct dm_policy_tables {
    struct policy_apis *apis;
    struct policy_items *roles, *routings, *credits;
    struct policy_item *security; /* NULL: none published */
    uint32_t n_slots;
};
struct policy_apis *policy_apis_new(void);
/* Takes a reference. Where two have the same name and version the later one is
 * found. */
void policy_apis_add(struct policy_apis *t, struct dm_policy_api *a);
struct policy_apis *policy_apis_ref(struct policy_apis *t);
void policy_apis_unref(struct policy_apis *t);
struct policy_items *policy_items_new(const struct dm_index *from); /* references to all of them */
struct policy_items *policy_items_ref(struct policy_items *t);
void policy_items_unref(struct policy_items *t);

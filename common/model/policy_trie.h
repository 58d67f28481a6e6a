/* The endpoints of one API and the trie that finds them, in one run of memory:
 * immutable, counted, shared by every version of the API's record. For the
 * files of the policy room alone. */
#pragma once

#include "model/policy.h"

/* The trie's places are 16 bits wide; an API with more endpoints than this is a
 * generated mistake. */
enum { POLICY_ENDPOINTS_MAX = 60000 };

struct policy_node {
    uint32_t first_child;
    uint16_t n_children, n_literal; /* literals first, by text; then mixed; then the template */
    uint16_t first_leaf, n_leaf, n_wild; /* those that end here, then those with any rest below */
    /* its segment: a piece of that endpoint's client path */
    uint16_t endpoint;
    uint16_t from : 15, is_template : 1;
    uint16_t len;
};

struct dm_policy_trie {
    _Atomic unsigned refs;
    uint32_t n_endpoints, n_nodes, n_leaves;
    struct dm_policy_endpoint *endpoints; /* by endpoint_id */
    struct policy_node *nodes;            /* the first is the root */
    uint16_t *leaves;                     /* indexes of endpoints */
};

/* endpoints: sorted by endpoint_id, each id once; texts are copied, pools
 * referenced. */
struct dm_policy_trie *policy_trie_new(const struct dm_policy_endpoint *endpoints, size_t n);
struct dm_policy_trie *policy_trie_ref(struct dm_policy_trie *t);
void policy_trie_unref(struct dm_policy_trie *t);
/* NULL trie: NULL. */
const struct dm_policy_endpoint *policy_trie_endpoint(const struct dm_policy_trie *t,
                                                      dm_view endpoint_id);
static inline dm_view policy_client_path(const struct dm_policy_endpoint *e)
{
    return e->client_uri.len > 0 ? e->client_uri : e->uri;
}

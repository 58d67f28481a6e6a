#include "model/policy_trie.h"

#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "model/policy_build.h"
#include "model/policy_pattern.h"

#include "base/poison.h"

static dm_view node_text(const struct dm_policy_trie *t, const struct policy_node *n)
{
    return dm_view_sub(policy_client_path(&t->endpoints[n->endpoint]), n->from, n->len);
}

struct dm_policy_trie *policy_trie_ref(struct dm_policy_trie *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void policy_trie_unref(struct dm_policy_trie *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < t->n_endpoints; i++)
        policy_pool_unref(&t->endpoints[i].pool);
    dm_mem_free(t);
}

const struct dm_policy_endpoint *policy_trie_endpoint(const struct dm_policy_trie *t, dm_view id)
{
    size_t low = 0, high = t == NULL ? 0 : t->n_endpoints;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = dm_view_cmp(id, t->endpoints[middle].endpoint_id);
        if (order == 0)
            return &t->endpoints[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* --- building: the whole size is known before anything is taken --- */

static const dm_view known_methods[] = {{"GET", 3},   {"POST", 4}, {"PUT", 3},     {"DELETE", 6},
                                        {"PATCH", 5}, {"HEAD", 4}, {"OPTIONS", 7}, {"*", 1}};

static dm_view known_method(dm_view method)
{
    for (size_t i = 0; i < DM_COUNT_OF(known_methods); i++) {
        if (dm_view_eq(known_methods[i], method))
            return known_methods[i];
    }
    return DM_VIEW_NONE;
}

static size_t text_size(const struct dm_policy_endpoint *e)
{
    size_t method = known_method(e->method).len > 0 ? 0 : e->method.len;
    return e->endpoint_id.len + e->uri.len + e->client_uri.len + method;
}

static dm_view copy(char **at, dm_view v)
{
    if (v.len == 0)
        return DM_VIEW_NONE;
    memcpy(*at, v.ptr, v.len);
    dm_view copied = dm_view_make(*at, v.len);
    *at += v.len;
    return copied;
}

static void copy_endpoint(struct dm_policy_endpoint *to, const struct dm_policy_endpoint *from,
                          char **text)
{
    *to = *from;
    to->endpoint_id = copy(text, from->endpoint_id);
    to->uri = copy(text, from->uri);
    to->client_uri = copy(text, from->client_uri);
    to->method = known_method(from->method);
    if (to->method.len == 0)
        to->method = copy(text, from->method);
    policy_pool_ref(&to->pool);
}

static struct dm_policy_trie *allocate(const struct policy_plan *plan, size_t n, size_t texts)
{
    const size_t endpoints = n * sizeof(struct dm_policy_endpoint);
    size_t nodes = plan->n_nodes * sizeof(struct policy_node);
    size_t leaves = plan->n_leaves * sizeof(uint16_t);
    struct dm_policy_trie *t = dm_mem_alloc(sizeof *t + endpoints + nodes + leaves + texts);
    char *at = (char *)(t + 1);
    atomic_init(&t->refs, 1);
    t->n_endpoints = (uint32_t)n;
    t->n_nodes = (uint32_t)plan->n_nodes;
    t->n_leaves = (uint32_t)plan->n_leaves;
    t->endpoints = (struct dm_policy_endpoint *)(void *)at;
    t->nodes = (struct policy_node *)(void *)(at + endpoints);
    t->leaves = (uint16_t *)(void *)(at + endpoints + nodes);
    return t;
}

struct dm_policy_trie *policy_trie_new(const struct dm_policy_endpoint *endpoints, size_t n)
{
    struct policy_plan plan;
    size_t texts = 0;
    DM_REQUIRE(n <= POLICY_ENDPOINTS_MAX);
    policy_plan_init(&plan, endpoints, n);
    for (size_t i = 0; i < n; i++)
        texts += text_size(&endpoints[i]);
    struct dm_policy_trie *t = allocate(&plan, n, texts);
    char *text = (char *)(t->leaves + t->n_leaves);
    for (size_t i = 0; i < n; i++)
        copy_endpoint(&t->endpoints[i], &endpoints[i], &text);
    memcpy(t->nodes, plan.nodes, plan.n_nodes * sizeof *t->nodes);
    if (plan.n_leaves > 0)
        memcpy(t->leaves, plan.leaves, plan.n_leaves * sizeof *t->leaves);
    policy_plan_done(&plan);
    return t;
}

/* --- matching: every node has one parent and one depth, so a search visits
 * each at most once, whatever the client sends: no backtracking can blow up ---
 */

struct frame {
    const struct policy_node *node;
    uint32_t choice; /* 0: the literal; k: the k-th of the other children */
};

struct search {
    const struct dm_policy_trie *trie;
    dm_view method;
    bool head, path_exists;
};

static const struct dm_policy_endpoint *pick(struct search *q, uint32_t first, uint16_t n)
{
    const struct dm_policy_endpoint *as_get = NULL, *any = NULL;
    for (uint32_t i = first; i < first + n; i++) {
        const struct dm_policy_endpoint *e = &q->trie->endpoints[q->trie->leaves[i]];
        q->path_exists = true;
        if (dm_view_eq(e->method, q->method))
            return e;
        if (as_get == NULL && q->head && dm_view_eq(e->method, DM_LIT("GET")))
            as_get = e;
        if (any == NULL && dm_view_eq(e->method, DM_LIT("*")))
            any = e;
    }
    return as_get != NULL ? as_get : any;
}

static const struct policy_node *find_literal(const struct dm_policy_trie *t,
                                              const struct policy_node *n, dm_view segment)
{
    const struct policy_node *children = t->nodes + n->first_child;
    size_t low = 0, high = n->n_literal;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = dm_view_cmp(segment, node_text(t, &children[middle]));
        if (order == 0)
            return &children[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The next child that takes the segment; NULL when all were tried. */
static const struct policy_node *next_child(const struct dm_policy_trie *t, struct frame *f,
                                            dm_view segment)
{
    const struct policy_node *n = f->node, *children = t->nodes + n->first_child;
    if (f->choice == 0) {
        const struct policy_node *literal = find_literal(t, n, segment);
        f->choice = 1;
        if (literal != NULL)
            return literal;
    }
    while (n->n_literal + f->choice - 1 < n->n_children) {
        const struct policy_node *c = &children[n->n_literal + f->choice++ - 1];
        if (c->is_template || policy_segment_match(node_text(t, c), segment, NULL))
            return c;
    }
    return NULL;
}

static const struct dm_policy_endpoint *search(struct search *q, const dm_view *segments, size_t n)
{
    struct frame stack[DM_URI_SEGMENTS_MAX + 1];
    size_t depth = 0;
    stack[0] = (struct frame){q->trie->nodes, 0};
    for (;;) {
        struct frame *f = &stack[depth];
        const struct policy_node *node = f->node, *down = NULL;
        const struct dm_policy_endpoint *found = NULL;
        if (depth == n)
            found = pick(q, node->first_leaf, node->n_leaf);
        else
            down = next_child(q->trie, f, segments[depth]);
        if (down != NULL) {
            stack[++depth] = (struct frame){down, 0};
            continue;
        }
        if (found == NULL)
            found = pick(q, node->first_leaf + node->n_leaf, node->n_wild);
        if (found != NULL || depth == 0)
            return found;
        depth--;
    }
}

const struct dm_policy_endpoint *dm_policy_match(const struct dm_policy_api *api, dm_view method,
                                                 const dm_view *segments, size_t n,
                                                 bool *ret_path_exists)
{
    struct search q = {
        .trie = api->trie_, .method = method, .head = dm_view_eq(method, DM_LIT("HEAD"))};
    const struct dm_policy_endpoint *found = NULL;
    if (q.trie != NULL && n <= DM_URI_SEGMENTS_MAX)
        found = search(&q, segments, n);
    if (ret_path_exists != NULL)
        *ret_path_exists = q.path_exists;
    return found;
}

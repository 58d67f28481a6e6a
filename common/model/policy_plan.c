#include <stdlib.h>

#include "base/assert.h"
#include "model/policy_build.h"
#include "model/policy_pattern.h"

#include "base/poison.h"

/* A trie from a sorted list: endpoints in the order of their segments lie
 * together wherever they share a beginning, so each node is a run of the list
 * and the nodes come level by level. */

struct place { /* one segment of a client path */
    uint16_t from, len, literal_len, class;
};

struct entry { /* one endpoint */
    const struct dm_policy_endpoint *endpoint;
    dm_view path;
    struct place *places;
    uint16_t index, n;
    bool any; /* ends in any rest */
};

struct policy_place { /* the run of a node */
    uint32_t low, high;
    uint32_t depth;
};

static dm_view place_text(const struct entry *e, size_t depth)
{
    return dm_view_sub(e->path, e->places[depth].from, e->places[depth].len);
}

/* At one depth: what ends comes first, then any rest, then literals, mixed
 * (more literal text first) and whole templates, which are all alike. */
static int compare_at(const struct entry *a, const struct entry *b, size_t depth)
{
    if (depth >= a->n || depth >= b->n)
        return 0;
    const struct place *x = &a->places[depth], *y = &b->places[depth];
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    if (x->class == POLICY_TEMPLATE)
        return 0;
    if (x->class == POLICY_MIXED && x->literal_len != y->literal_len)
        return x->literal_len > y->literal_len ? -1 : 1;
    return dm_view_cmp(place_text(a, depth), place_text(b, depth));
}

static int rank_end(const struct entry *e, size_t depth)
{
    return depth < e->n ? 2 : e->any;
}

static int compare(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    for (size_t depth = 0; depth <= a->n && depth <= b->n; depth++) {
        int ends = rank_end(a, depth) - rank_end(b, depth);
        int order = ends != 0 ? ends : compare_at(a, b, depth);
        if (order != 0)
            return order;
    }
    /* The same place: told apart by what does not depend on the order of
     * publishing. */
    int order = dm_view_cmp(a->path, b->path);
    return order != 0 ? order : dm_view_cmp(a->endpoint->endpoint_id, b->endpoint->endpoint_id);
}

static size_t count_segments(dm_view path)
{
    dm_view segment;
    size_t n = 0;
    bool any = false;
    while (policy_segment_next(&path, &segment, &any))
        n++;
    return n;
}

static void read_entry(struct entry *e, struct place *places)
{
    dm_view rest = e->path, segment;
    e->places = places;
    while (policy_segment_next(&rest, &segment, &e->any)) {
        size_t literal_len;
        enum policy_class class = policy_segment_class(segment, &literal_len);
        e->places[e->n++] = (struct place){
            .from = (uint16_t)(segment.ptr - e->path.ptr),
            .len = (uint16_t)segment.len,
            .literal_len = (uint16_t)literal_len,
            .class = (uint16_t) class,
        };
    }
}

static struct policy_node *add_node(struct policy_plan *p, uint32_t low, uint32_t high,
                                    uint32_t depth)
{
    if (p->n_nodes == p->size_nodes) {
        p->size_nodes = p->size_nodes == 0 ? 16 : p->size_nodes * 2;
        p->nodes = dm_mem_grow(p->nodes, p->size_nodes, sizeof *p->nodes);
        p->places = dm_mem_grow(p->places, p->size_nodes, sizeof *p->places);
    }
    p->places[p->n_nodes] = (struct policy_place){low, high, depth};
    p->nodes[p->n_nodes] = (struct policy_node){0};
    return &p->nodes[p->n_nodes++];
}

static void add_children(struct policy_plan *p, size_t at, const struct entry *entries,
                         uint32_t from)
{
    const struct policy_place run = p->places[at];
    p->nodes[at].first_child = (uint32_t)p->n_nodes;
    while (from < run.high) {
        uint32_t end = from + 1;
        const struct entry *e = &entries[from];
        const struct place *place = &e->places[run.depth];
        while (end < run.high && compare_at(e, &entries[end], run.depth) == 0)
            end++;
        struct policy_node *child = add_node(p, from, end, run.depth + 1);
        child->endpoint = e->index;
        child->from = place->from & 0x7FFF; /* POLICY_URI_MAX is far below */
        child->len = place->len;
        child->is_template = place->class == POLICY_TEMPLATE;
        p->nodes[at].n_children++;
        p->nodes[at].n_literal += place->class == POLICY_LITERAL;
        from = end;
    }
}

static void fill_node(struct policy_plan *p, size_t at, const struct entry *entries)
{
    const struct policy_place run = p->places[at];
    uint32_t i = run.low;
    p->nodes[at].first_leaf = (uint16_t)p->n_leaves;
    for (; i < run.high && rank_end(&entries[i], run.depth) == 0; i++, p->nodes[at].n_leaf++)
        p->leaves[p->n_leaves++] = entries[i].index;
    for (; i < run.high && rank_end(&entries[i], run.depth) == 1; i++, p->nodes[at].n_wild++)
        p->leaves[p->n_leaves++] = entries[i].index;
    add_children(p, at, entries, i);
}

void policy_plan_init(struct policy_plan *p, const struct dm_policy_endpoint *endpoints, size_t n)
{
    struct entry *entries = dm_mem_array(n, sizeof *entries);
    size_t total = 0;
    DM_REQUIRE(n <= POLICY_ENDPOINTS_MAX);
    *p = (struct policy_plan){.leaves = dm_mem_array(n, sizeof *p->leaves)};
    for (size_t i = 0; i < n; i++) {
        entries[i] = (struct entry){.endpoint = &endpoints[i], .index = (uint16_t)i};
        entries[i].path = policy_client_path(&endpoints[i]);
        total += count_segments(entries[i].path);
    }
    struct place *places = dm_mem_array(total, sizeof *places), *next = places;
    for (size_t i = 0; i < n; i++) {
        read_entry(&entries[i], next);
        next += entries[i].n;
    }
    if (n > 1)
        qsort(entries, n, sizeof *entries, compare);
    (void)add_node(p, 0, (uint32_t)n, 0);
    for (size_t at = 0; at < p->n_nodes; at++)
        fill_node(p, at, entries);
    dm_mem_free(places);
    dm_mem_free(entries);
}

void policy_plan_done(struct policy_plan *p)
{
    dm_mem_free(p->nodes);
    dm_mem_free(p->places);
    dm_mem_free(p->leaves);
    *p = (struct policy_plan){0};
}

/* Finding an endpoint: a trie of segments per API. Every node has one parent and one depth, so a match
 * visits each node at most once, whatever the client sends: no backtracking can blow up. */
#include <stdlib.h>
#include "model/policy_pattern.h"

struct terminal { /* an endpoint that ends at a node, by method */
    struct terminal *next;
    const struct dm_policy_endpoint *endpoint;
};

struct node {
    const struct pattern_segment *segment; /* NULL: root */
    struct node *next;                     /* while building: the next sibling */
    struct node *first_literal, *first_template;
    struct node **literals; /* sorted by text */
    size_t n_literals;
    struct node **templates; /* more literal text first */
    size_t n_templates;
    struct terminal *ends, *wild; /* at exactly this path; at any rest below it */
};

struct dm_policy_trie {
    struct node root;
};

static bool same_segment(const struct pattern_segment *a, const struct pattern_segment *b)
{
    if (a->n_parts != b->n_parts)
        return false;
    for (size_t i = 0; i < a->n_parts; i++) {
        if (a->parts[i].param != b->parts[i].param)
            return false;
        if (!a->parts[i].param && !dm_view_eq(a->parts[i].text, b->parts[i].text))
            return false;
    }
    return true;
}

static struct node *child(struct dm_policy_storage *s, struct node *parent, const struct pattern_segment *seg)
{
    struct node **head = pattern_literal(seg) ? &parent->first_literal : &parent->first_template;

    for (struct node *n = *head; n != NULL; n = n->next) {
        if (same_segment(n->segment, seg))
            return n;
    }
    struct node *n = policy_take(s, sizeof(*n));
    n->segment = seg;
    n->next = *head;
    *head = n;
    return n;
}

static void add(struct dm_policy_storage *s, struct node *root, const struct dm_policy_endpoint *e)
{
    struct pattern *p = policy_take(s, sizeof(*p));
    struct terminal *t = policy_take(s, sizeof(*t)), **list;
    struct node *at = root;

    pattern_parse(s, e->client_uri.len > 0 ? e->client_uri : e->uri, p);
    for (size_t i = 0; i < p->n_segments; i++)
        at = child(s, at, &p->segments[i]);
    t->endpoint = e;
    list = p->wildcard ? &at->wild : &at->ends;
    while (*list != NULL) /* in order of definition */
        list = &(*list)->next;
    *list = t;
}

static int by_text(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

    return dm_view_cmp(pattern_literal_text(x->segment), pattern_literal_text(y->segment));
}

static int by_literals(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

    return x->segment->literal_len == y->segment->literal_len
               ? 0
               : (x->segment->literal_len < y->segment->literal_len ? 1 : -1);
}

static struct node **array_of(struct dm_policy_storage *s, struct node *first, size_t *ret_n,
                              int (*compare)(const void *, const void *))
{
    struct node **array;
    size_t n = 0;

    for (struct node *c = first; c != NULL; c = c->next)
        n++;
    *ret_n = n;
    if (n == 0)
        return NULL;
    array = policy_take(s, n * sizeof(struct node *));
    for (struct node *c = first; c != NULL; c = c->next)
        array[--n] = c; /* siblings were pushed in front: back to order of definition */
    qsort(array, *ret_n, sizeof(struct node *), compare);
    return array;
}

/* Depth first over the admin's own data; its depth is that of the longest URI (255 characters). */
static void sort_children(struct dm_policy_storage *s, struct node *n)
{
    n->literals = array_of(s, n->first_literal, &n->n_literals, by_text);
    n->templates = array_of(s, n->first_template, &n->n_templates, by_literals);
    for (size_t i = 0; i < n->n_literals; i++)
        sort_children(s, n->literals[i]);
    for (size_t i = 0; i < n->n_templates; i++)
        sort_children(s, n->templates[i]);
}

struct dm_policy_trie *policy_trie_build(struct dm_policy_storage *s, const struct dm_policy_endpoint *endpoints,
                                         size_t n)
{
    struct dm_policy_trie *t = policy_take(s, sizeof(*t));

    for (size_t i = 0; i < n; i++)
        add(s, &t->root, &endpoints[i]);
    sort_children(s, &t->root);
    return t;
}

/* --- matching --- */

struct frame {
    const struct node *node;
    size_t choice; /* next child to try: literal, templates, then the wildcard */
};

struct search {
    dm_view method;
    bool head;        /* HEAD also finds GET */
    bool path_exists; /* some method ends here */
};

static const struct dm_policy_endpoint *pick(struct search *q, const struct terminal *list)
{
    const struct dm_policy_endpoint *as_get = NULL, *any = NULL;

    for (const struct terminal *t = list; t != NULL; t = t->next) {
        q->path_exists = true;
        if (dm_view_eq(t->endpoint->method, q->method))
            return t->endpoint;
        if (q->head && as_get == NULL && dm_view_eq(t->endpoint->method, DM_LIT("GET")))
            as_get = t->endpoint;
        if (any == NULL && dm_view_eq(t->endpoint->method, DM_LIT("*")))
            any = t->endpoint;
    }
    return as_get != NULL ? as_get : any;
}

static const struct node *find_literal(const struct node *n, dm_view text)
{
    size_t low = 0, high = n->n_literals;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = dm_view_cmp(text, pattern_literal_text(n->literals[middle]->segment));

        if (order == 0)
            return n->literals[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The next child of the frame that takes this segment; NULL when all were tried. */
static const struct node *next_child(struct frame *f, dm_view segment)
{
    if (f->choice == 0) {
        const struct node *literal = find_literal(f->node, segment);
        f->choice = 1;
        if (literal != NULL)
            return literal;
    }
    while (f->choice - 1 < f->node->n_templates) {
        const struct node *t = f->node->templates[f->choice++ - 1];
        if (pattern_segment_match(t->segment, segment, NULL))
            return t;
    }
    return NULL;
}

static const struct dm_policy_endpoint *search(const struct node *root, struct search *q, const dm_view *segments,
                                               size_t n)
{
    struct frame stack[DM_URI_SEGMENTS_MAX + 1];
    size_t depth = 0;

    stack[0] = (struct frame){root, 0};
    for (;;) {
        struct frame *f = &stack[depth];
        const struct dm_policy_endpoint *found = NULL;
        const struct node *down = NULL;

        if (depth == n)
            found = pick(q, f->node->ends);
        else
            down = next_child(f, segments[depth]);
        if (down != NULL) {
            stack[++depth] = (struct frame){down, 0};
            continue;
        }
        if (found == NULL)
            found = pick(q, f->node->wild);
        if (found != NULL || depth == 0)
            return found;
        depth--;
    }
}

const struct dm_policy_endpoint *dm_policy_match(const struct dm_policy_api *api, dm_view method,
                                                 const dm_view *segments, size_t n, bool *ret_path_exists)
{
    struct search q = {.method = method, .head = dm_view_eq(method, DM_LIT("HEAD"))};
    const struct dm_policy_endpoint *found = NULL;

    if (api->trie_ != NULL && n <= DM_URI_SEGMENTS_MAX)
        found = search(&api->trie_->root, &q, segments, n);
    if (ret_path_exists != NULL)
        *ret_path_exists = q.path_exists;
    return found;
}

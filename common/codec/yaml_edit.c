#include "codec/yaml_edit.h"

#include <string.h>

#include "base/assert.h"
#include "codec/yaml_doc.h"

#include "base/poison.h"

struct dm_yaml *dm_yaml_node_new(struct dm_yaml_doc *doc, enum dm_yaml_kind kind)
{
    if (doc->nodes == DM_YAML_NODES_MAX)
        return NULL;
    struct dm_yaml *n = dm_arena_zalloc(&doc->arena, sizeof(*n));
    if (n != NULL) {
        n->kind = kind;
        doc->nodes++;
    }
    return n;
}

static bool own_text(struct dm_yaml_doc *doc, dm_view *text)
{
    if (text->len == 0)
        return true;
    *text = dm_arena_copy(&doc->arena, *text);
    return text->ptr != NULL;
}

struct dm_yaml *dm_yaml_tree_copy(struct dm_yaml_doc *doc, const struct dm_yaml *from, size_t room,
                                  bool texts)
{
    if (from->kind != DM_YAML_SCALAR && room == 0)
        return NULL;
    struct dm_yaml *n = dm_yaml_node_new(doc, from->kind);
    if (n == NULL)
        return NULL;
    *n = *from;
    n->next = NULL;
    n->first = NULL;
    if (texts && (!own_text(doc, &n->key) || !own_text(doc, &n->text)))
        return NULL;
    struct dm_yaml **link = &n->first;
    for (const struct dm_yaml *child = from->first; child != NULL; child = child->next) {
        *link = dm_yaml_tree_copy(doc, child, room - 1, texts);
        if (*link == NULL)
            return NULL;
        link = &(*link)->next;
    }
    return n;
}

struct dm_yaml *dm_yaml_edit(struct dm_yaml_doc *doc)
{
    return doc->root;
}

struct dm_yaml *dm_yaml_member(const struct dm_yaml *map, dm_view key)
{
    if (map->kind != DM_YAML_MAP)
        return NULL;
    struct dm_yaml *n = map->first;
    while (n != NULL && !dm_view_eq(n->key, key))
        n = n->next;
    return n;
}

static bool same_text(const struct dm_yaml *a, const struct dm_yaml *b)
{
    const bool same_tag =
        a->tag == b->tag || (a->tag != NULL && b->tag != NULL && strcmp(a->tag, b->tag) == 0);
    return same_tag && a->is_null == b->is_null && a->quoted == b->quoted &&
           dm_view_eq(a->text, b->text);
}

/* As deep as documents are. */
bool dm_yaml_same(const struct dm_yaml *a, const struct dm_yaml *b)
{
    if (a->kind != b->kind || !same_text(a, b))
        return false;
    const struct dm_yaml *d = b->first;
    for (const struct dm_yaml *c = a->first; c != NULL; c = c->next, d = d->next) {
        if (d == NULL || !dm_view_eq(c->key, d->key) || c->key_quoted != d->key_quoted ||
            !dm_yaml_same(c, d))
            return false;
    }
    return d == NULL;
}

struct dm_yaml *dm_yaml_make(struct dm_yaml_doc *doc, enum dm_yaml_kind kind)
{
    return dm_yaml_node_new(doc, kind);
}

struct dm_yaml *dm_yaml_make_text(struct dm_yaml_doc *doc, dm_view text, bool quoted)
{
    struct dm_yaml *n = dm_yaml_node_new(doc, DM_YAML_SCALAR);
    if (n == NULL || !own_text(doc, &text))
        return NULL;
    n->text = text;
    n->quoted = quoted;
    return n;
}

static void set_key(struct dm_yaml *n, dm_view key, bool quoted)
{
    n->key = key;
    n->key_quoted = quoted;
}

struct dm_yaml *dm_yaml_copy(struct dm_yaml_doc *doc, const struct dm_yaml *from)
{
    struct dm_yaml *n = dm_yaml_tree_copy(doc, from, DM_YAML_DEPTH_MAX, true);
    if (n != NULL)
        set_key(n, DM_VIEW_NONE, false);
    return n;
}

/* Where the pointer to `child` stands. */
static struct dm_yaml **link_to(struct dm_yaml *parent, const struct dm_yaml *child)
{
    struct dm_yaml **link = &parent->first;
    while (*link != child) {
        DM_REQUIRE(*link != NULL);
        link = &(*link)->next;
    }
    return link;
}

bool dm_yaml_replace(struct dm_yaml *parent, struct dm_yaml *old, struct dm_yaml *with)
{
    if (with == NULL)
        return false;
    struct dm_yaml **link = link_to(parent, old);
    set_key(with, old->key, old->key_quoted);
    with->next = old->next;
    *link = with;
    return true;
}

bool dm_yaml_put(struct dm_yaml_doc *doc, struct dm_yaml *map, dm_view key, struct dm_yaml *value)
{
    DM_REQUIRE(map->kind == DM_YAML_MAP && key.len > 0);
    struct dm_yaml *old = dm_yaml_member(map, key);
    if (value == NULL || !own_text(doc, &key))
        return false;
    if (old != NULL)
        return dm_yaml_replace(map, old, value);
    set_key(value, key, false);
    value->next = NULL;
    *link_to(map, NULL) = value;
    return true;
}

bool dm_yaml_add(struct dm_yaml *list, struct dm_yaml *item, bool first)
{
    DM_REQUIRE(list->kind == DM_YAML_LIST);
    if (item == NULL)
        return false;
    struct dm_yaml **link = first ? &list->first : link_to(list, NULL);
    item->next = *link;
    *link = item;
    return true;
}

void dm_yaml_remove(struct dm_yaml *parent, struct dm_yaml *child)
{
    struct dm_yaml **link = link_to(parent, child);
    *link = child->next;
    child->next = NULL;
}

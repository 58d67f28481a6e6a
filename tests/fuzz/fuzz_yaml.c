/* layer: codec */
/* The settings file. A document that is taken keeps within its limits, has keys that differ, places
 * that exist and texts without zero bytes; one that is refused says where. Written and read again
 * it says the same, and written once more it is the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "codec/yaml.h"
#include "codec/yaml_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_zero(dm_view v)
{
    return dm_view_find_byte(v, '\0', 0) != v.len;
}

static void check_member(const struct dm_yaml *map, const struct dm_yaml *m)
{
    enum { FEW = 200 }; /* pairwise only where that stays cheap */
    size_t n = 0;
    DM_REQUIRE(m->key.len > 0 && !has_zero(m->key) && m->key_line > 0 && m->key_column > 0);
    for (const struct dm_yaml *o = map->first; o != m && n < FEW; o = o->next, n++)
        DM_REQUIRE(!dm_view_eq(o->key, m->key));
}

#ifdef DOORMAN_PLANT_BUG
/* Reached only by an alias in a list: its copy stands where the anchor stood, before the list. */
static void planted(const struct dm_yaml *list, const struct dm_yaml *item)
{
    if (item->line < list->line || (item->line == list->line && item->column < list->column))
        abort();
}
#endif

static size_t check_tree(const struct dm_yaml *n, unsigned depth)
{
    size_t count = 1;
    DM_REQUIRE(depth <= DM_YAML_DEPTH_MAX && n->line > 0 && n->column > 0 && !has_zero(n->text));
    if (n->kind == DM_YAML_SCALAR) {
        DM_REQUIRE(n->first == NULL && !(n->is_null && n->quoted) && dm_utf8_valid(n->text));
        return count;
    }
    DM_REQUIRE(n->text.len == 0 && !n->is_null);
    for (const struct dm_yaml *child = n->first; child != NULL; child = child->next) {
        if (n->kind == DM_YAML_MAP)
            check_member(n, child);
        else
            DM_REQUIRE(child->key.len == 0 && child->key_line == 0);
#ifdef DOORMAN_PLANT_BUG
        if (n->kind == DM_YAML_LIST)
            planted(n, child);
#endif
        count += check_tree(child, depth + (child->kind != DM_YAML_SCALAR));
    }
    return count;
}

/* Quotes may come, where a text is no word or number of YAML's; they never go. */
static void check_same(const struct dm_yaml *a, const struct dm_yaml *b)
{
    DM_REQUIRE(b != NULL && a->kind == b->kind && a->is_null == b->is_null);
    DM_REQUIRE(a->is_null || dm_view_eq(a->text, b->text));
    DM_REQUIRE(dm_view_eq(a->key, b->key) && (!a->key_quoted || b->key_quoted));
    DM_REQUIRE((!a->quoted || b->quoted) &&
               (a->tag == NULL ? b->tag == NULL : b->tag != NULL && strcmp(a->tag, b->tag) == 0));
    const struct dm_yaml *d = b->first;
    for (const struct dm_yaml *c = a->first; c != NULL; c = c->next, d = d->next)
        check_same(c, d);
    DM_REQUIRE(d == NULL);
}

static void check_written(const struct dm_yaml *root)
{
    enum { CAP = 64 * 1024 * 1024 };
    struct dm_buf text, again;
    struct dm_yaml_doc *doc = NULL;
    struct dm_error err = {0};
    dm_buf_init(&text, CAP);
    dm_buf_init(&again, CAP);
    DM_REQUIRE(dm_yaml_write(root, &text) == DM_OK);
    if (dm_buf_view(&text).len <= DM_YAML_BYTES_MAX) {
        DM_REQUIRE(dm_yaml_parse(dm_buf_view(&text), &doc, &err) == DM_OK);
        check_same(root, dm_yaml_root(doc));
        DM_REQUIRE(dm_yaml_write(dm_yaml_root(doc), &again) == DM_OK);
        DM_REQUIRE(dm_view_eq(dm_buf_view(&text), dm_buf_view(&again)));
    }
    dm_yaml_free(doc);
    dm_buf_done(&text);
    dm_buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dm_yaml_doc *doc = NULL;
    struct dm_error err = {0};
    enum dm_code code = dm_yaml_parse(dm_view_make((const char *)data, size), &doc, &err);
    if (code != DM_OK) {
        DM_REQUIRE((code == DM_INVALID || code == DM_LIMIT) && doc == NULL);
        const char *colon = strchr(err.text, ':');
        DM_REQUIRE(colon != NULL && colon > err.text &&
                   strspn(err.text, "0123456789") == (size_t)(colon - err.text));
        return 0;
    }
    const struct dm_yaml *root = dm_yaml_root(doc);
    DM_REQUIRE(size <= DM_YAML_BYTES_MAX);
    if (root != NULL) {
        DM_REQUIRE(check_tree(root, root->kind != DM_YAML_SCALAR) <= DM_YAML_NODES_MAX);
        check_written(root);
    }
    dm_yaml_free(doc);
    return 0;
}

/* layer: codec */
/* The settings file. A document that is taken keeps within its limits, has keys that differ, places
 * that exist and texts without zero bytes; one that is refused says where. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "codec/yaml.h"

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
    if (root != NULL)
        DM_REQUIRE(check_tree(root, root->kind != DM_YAML_SCALAR) <= DM_YAML_NODES_MAX);
    dm_yaml_free(doc);
    return 0;
}

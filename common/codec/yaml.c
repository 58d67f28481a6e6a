#include "codec/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/assert.h"
#include "base/map.h"
#include "codec/yaml_doc.h"

#include "base/poison.h"

enum {
    CHUNK = 16 * 1024,
    /* Nodes and texts of the largest document; copies of aliases share their texts. */
    ARENA_CAP = DM_YAML_NODES_MAX * 256 + 2 * DM_YAML_BYTES_MAX,
    FEW_MEMBERS = 16, /* pairwise comparison of keys up to here, a table above */
    SHOWN_MAX = 64    /* bytes of a key or a tag in a message */
};

struct anchor {
    const char *name;
    const struct dm_yaml *node;
    struct anchor *older;
};

struct frame {
    struct dm_yaml *node, *last;
    const char *anchor; /* bound when the container ends, so it cannot hold itself */
    bool has_key;       /* of a map: a key waits for its value */
    bool key_quoted;
    dm_view key;
    unsigned key_line, key_column;
};

struct loader {
    struct dm_yaml_doc *doc;
    struct dm_error *err;
    struct frame frames[DM_YAML_DEPTH_MAX];
    size_t depth, aliases;
    unsigned first_line;
    struct anchor *anchors; /* the newest first: a name may be given again */
};

static unsigned line_of(const struct loader *l, const yaml_event_t *e)
{
    return (unsigned)e->start_mark.line + l->first_line;
}

static unsigned column_of(const yaml_event_t *e)
{
    return (unsigned)e->start_mark.column + 1;
}

static enum dm_code fault(struct loader *l, const yaml_event_t *e, enum dm_code code,
                          const char *why)
{
    return DM_FAIL(l->err, code, ERR_NONE, "%u:%u: %s", line_of(l, e), column_of(e), why);
}

static dm_view shown(dm_view text)
{
    return dm_utf8_cut(text, SHOWN_MAX);
}

/* ---- nodes ---- */

/* Hangs a node under the open container, or makes it the root. It takes a map's waiting key. */
static enum dm_code attach(struct loader *l, const yaml_event_t *e, struct dm_yaml *n)
{
    if (n == NULL)
        return fault(l, e, DM_LIMIT, "too many nodes");
    if (l->depth == 0) {
        l->doc->root = n;
        return DM_OK;
    }
    struct frame *f = &l->frames[l->depth - 1];
    if (f->node->kind == DM_YAML_MAP) {
        DM_ASSERT(f->has_key);
        n->key = f->key;
        n->key_line = f->key_line;
        n->key_column = f->key_column;
        n->key_quoted = f->key_quoted;
        f->has_key = false;
    }
    *(f->last == NULL ? &f->node->first : &f->last->next) = n;
    f->last = n;
    return DM_OK;
}

static bool wants_key(const struct loader *l)
{
    if (l->depth == 0)
        return false;
    const struct frame *f = &l->frames[l->depth - 1];
    return f->node->kind == DM_YAML_MAP && !f->has_key;
}

/* ---- tags ---- */

/* Core schema: the kind is what the table of settings expects anyway, so these say nothing new;
 * "!!str" keeps a text from being null, the others are kept for who writes the document again. Any
 * other tag would name a type we do not have. */
static const char *core_tag(const char *tag)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    static const char *const names[] = {"str", "int", "float", "bool", "null", "map", "seq"};
    if (strncmp(tag, prefix, sizeof(prefix) - 1) != 0)
        return NULL;
    for (size_t i = 0; i < DM_COUNT_OF(names); i++) {
        if (strcmp(tag + sizeof(prefix) - 1, names[i]) == 0)
            return names[i];
    }
    return NULL;
}

static enum dm_code check_tag(struct loader *l, const yaml_event_t *e, const yaml_char_t *tag)
{
    if (tag == NULL || core_tag((const char *)tag) != NULL)
        return DM_OK;
    return DM_FAIL(l->err, DM_INVALID, ERR_NONE, "%u:%u: tag \"%.*s\" is not known", line_of(l, e),
                   column_of(e), DM_FMT(shown(dm_view_of((const char *)tag))));
}

/* ---- anchors ---- */

static enum dm_code keep_anchor_name(struct loader *l, const yaml_event_t *e,
                                     const yaml_char_t *name, const char **ret)
{
    *ret = NULL;
    if (name == NULL)
        return DM_OK;
    *ret = dm_arena_text(&l->doc->arena, dm_view_of((const char *)name));
    return *ret == NULL ? fault(l, e, DM_LIMIT, "too much text") : DM_OK;
}

static enum dm_code bind_anchor(struct loader *l, const yaml_event_t *e, const char *name,
                                const struct dm_yaml *node)
{
    if (name == NULL)
        return DM_OK;
    struct anchor *a = dm_arena_zalloc(&l->doc->arena, sizeof(*a));
    if (a == NULL)
        return fault(l, e, DM_LIMIT, "too many anchors");
    *a = (struct anchor){name, node, l->anchors};
    l->anchors = a;
    return DM_OK;
}

static enum dm_code on_alias(struct loader *l, const yaml_event_t *e)
{
    const char *name = (const char *)e->data.alias.anchor;
    const struct anchor *a = l->anchors;
    if (wants_key(l))
        return fault(l, e, DM_INVALID, "an alias cannot be a key");
    while (a != NULL && strcmp(a->name, name) != 0)
        a = a->older;
    if (a == NULL)
        return DM_FAIL(l->err, DM_INVALID, ERR_NONE, "%u:%u: no anchor \"%.*s\" before this alias",
                       line_of(l, e), column_of(e), DM_FMT(shown(dm_view_of(name))));
    if (++l->aliases > DM_YAML_ALIASES_MAX)
        return fault(l, e, DM_LIMIT, "too many aliases");
    struct dm_yaml *copy = dm_yaml_tree_copy(l->doc, a->node, DM_YAML_DEPTH_MAX - l->depth, false);
    if (copy == NULL)
        return fault(l, e, DM_LIMIT, "this alias makes the document too large or too deep");
    copy->key = DM_VIEW_NONE; /* the anchor's own key is not the alias's */
    copy->key_line = copy->key_column = 0;
    copy->key_quoted = false;
    return attach(l, e, copy);
}

/* ---- scalars ---- */

static bool reads_as_null(dm_view text)
{
    return text.len == 0 || dm_view_eq(text, DM_LIT("~")) || dm_view_eq(text, DM_LIT("null")) ||
           dm_view_eq(text, DM_LIT("Null")) || dm_view_eq(text, DM_LIT("NULL"));
}

static bool is_quoted(const yaml_event_t *e)
{
    return e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || !e->data.scalar.plain_implicit;
}

/* The tag that says more than the quotes do: "!!str" is what they say. */
static const char *typed(const yaml_event_t *e)
{
    const char *tag = (const char *)e->data.scalar.tag;
    tag = tag == NULL ? NULL : core_tag(tag);
    return tag == NULL || strcmp(tag, "str") == 0 ? NULL : tag;
}

static enum dm_code on_key(struct loader *l, const yaml_event_t *e, dm_view text)
{
    struct frame *f = &l->frames[l->depth - 1];
    if (text.len == 0)
        return fault(l, e, DM_INVALID, "empty key");
    if (e->data.scalar.anchor != NULL)
        return fault(l, e, DM_INVALID, "a key cannot be an anchor");
    f->key = text;
    f->key_line = line_of(l, e);
    f->key_column = column_of(e);
    f->has_key = true;
    f->key_quoted = is_quoted(e);
    return DM_OK;
}

static enum dm_code on_scalar(struct loader *l, const yaml_event_t *e)
{
    const char *anchor;
    dm_view raw = dm_view_make((const char *)e->data.scalar.value, e->data.scalar.length);
    enum dm_code code = check_tag(l, e, e->data.scalar.tag);
    if (code != DM_OK)
        return code;
    if (dm_view_find_byte(raw, '\0', 0) != raw.len)
        return fault(l, e, DM_INVALID, "zero byte in a text");
    dm_view text = dm_arena_copy(&l->doc->arena, raw);
    if (text.ptr == NULL)
        return fault(l, e, DM_LIMIT, "too much text");
    if (wants_key(l))
        return on_key(l, e, text);
    code = keep_anchor_name(l, e, e->data.scalar.anchor, &anchor);
    if (code != DM_OK)
        return code;
    struct dm_yaml *n = dm_yaml_node_new(l->doc, DM_YAML_SCALAR);
    if (n != NULL) {
        n->text = text;
        n->line = line_of(l, e);
        n->column = column_of(e);
        n->quoted = is_quoted(e);
        n->tag = typed(e);
        n->is_null = !n->quoted && reads_as_null(text);
    }
    code = attach(l, e, n);
    return code == DM_OK ? bind_anchor(l, e, anchor, n) : code;
}

/* ---- containers ---- */

static enum dm_code on_start(struct loader *l, const yaml_event_t *e, enum dm_yaml_kind kind,
                             const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct frame f = {.last = NULL};
    enum dm_code code = check_tag(l, e, tag);
    if (code == DM_OK && wants_key(l))
        code = fault(l, e, DM_INVALID, "a key must be a plain text");
    if (code == DM_OK && l->depth == DM_YAML_DEPTH_MAX)
        code = fault(l, e, DM_LIMIT, "nested too deep");
    if (code == DM_OK)
        code = keep_anchor_name(l, e, anchor, &f.anchor);
    if (code != DM_OK)
        return code;
    f.node = dm_yaml_node_new(l->doc, kind);
    if (f.node != NULL) {
        f.node->line = line_of(l, e);
        f.node->column = column_of(e);
    }
    code = attach(l, e, f.node);
    if (code == DM_OK)
        l->frames[l->depth++] = f;
    return code;
}

static const struct dm_yaml *find_same_key(const struct dm_yaml *map, const struct dm_yaml *until)
{
    const struct dm_yaml *n = map->first;
    while (n != until && !dm_view_eq(n->key, until->key))
        n = n->next;
    return n == until ? NULL : n;
}

/* The second of two members with one key, the first in *ret_first; NULL when all differ. */
static const struct dm_yaml *find_duplicate(struct dm_yaml *map, const struct dm_yaml **ret_first)
{
    size_t count = 0;
    for (const struct dm_yaml *n = map->first; n != NULL; n = n->next)
        count++;
    struct dm_map *seen = count > FEW_MEMBERS ? dm_map_new(NULL) : NULL;
    struct dm_yaml *n = map->first;
    const struct dm_yaml *same = NULL;
    for (; n != NULL; n = n->next) {
        same = seen != NULL ? dm_map_get(seen, n->key) : find_same_key(map, n);
        if (same != NULL)
            break;
        if (seen != NULL)
            dm_map_put(seen, n->key, n);
    }
    dm_map_free(seen);
    *ret_first = same;
    return n;
}

static enum dm_code on_end(struct loader *l, const yaml_event_t *e)
{
    DM_ASSERT(l->depth > 0);
    const struct frame *f = &l->frames[l->depth - 1];
    const struct dm_yaml *first, *second = NULL;
    if (f->node->kind == DM_YAML_MAP)
        second = find_duplicate(f->node, &first);
    if (second != NULL)
        return DM_FAIL(l->err, DM_INVALID, ERR_NONE,
                       "%u:%u: key \"%.*s\" was given before, at %u:%u", second->key_line,
                       second->key_column, DM_FMT(shown(second->key)), first->key_line,
                       first->key_column);
    l->depth--;
    return bind_anchor(l, e, f->anchor, f->node);
}

/* ---- the loop ---- */

static enum dm_code on_event(struct loader *l, const yaml_event_t *e, bool *ret_done)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (l->doc->root != NULL)
            return fault(l, e, DM_INVALID, "a second document");
        return DM_OK;
    case YAML_ALIAS_EVENT:
        return on_alias(l, e);
    case YAML_SCALAR_EVENT:
        return on_scalar(l, e);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(l, e, DM_YAML_LIST, e->data.sequence_start.anchor,
                        e->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_start(l, e, DM_YAML_MAP, e->data.mapping_start.anchor, e->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(l, e);
    case YAML_STREAM_END_EVENT:
        *ret_done = true;
        return DM_OK;
    default: /* start of the stream, end of the document, nothing */
        return DM_OK;
    }
}

static enum dm_code syntax_fault(struct loader *l, const yaml_parser_t *p)
{
    return DM_FAIL(l->err, DM_INVALID, ERR_NONE, "%zu:%zu: %s",
                   p->problem_mark.line + l->first_line, p->problem_mark.column + 1,
                   p->problem == NULL ? "not YAML" : p->problem);
}

static enum dm_code load(struct loader *l, yaml_parser_t *p)
{
    enum dm_code code = DM_OK;
    bool done = false;
    while (code == DM_OK && !done) {
        yaml_event_t event;
        if (yaml_parser_parse(p, &event) != 1)
            return syntax_fault(l, p);
        code = on_event(l, &event, &done);
        yaml_event_delete(&event);
    }
    return code;
}

enum dm_code dm_yaml_parse(dm_view text, struct dm_yaml_doc **ret, struct dm_error *err)
{
    return dm_yaml_parse_from(text, 1, ret, err);
}

enum dm_code dm_yaml_parse_from(dm_view text, unsigned first_line, struct dm_yaml_doc **ret,
                                struct dm_error *err)
{
    yaml_parser_t parser;
    if (text.len > DM_YAML_BYTES_MAX)
        return DM_FAIL(err, DM_LIMIT, ERR_NONE, "%u:1: over %d bytes", first_line,
                       DM_YAML_BYTES_MAX);
    if (!dm_utf8_valid(text))
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "%u:1: not UTF-8", first_line);
    if (yaml_parser_initialize(&parser) != 1)
        dm_assert_fail("memory", "yaml parser", __FILE__, __LINE__);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING); /* no guessing of UTF-16 */
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.ptr == NULL ? "" : text.ptr),
                                 text.len);
    struct dm_yaml_doc *doc = DM_NEW(struct dm_yaml_doc);
    doc->pool = dm_arena_pool_new(CHUNK, 0);
    dm_arena_init(&doc->arena, doc->pool, ARENA_CAP);
    struct loader l = {.doc = doc, .err = err, .first_line = first_line};
    enum dm_code code = load(&l, &parser);
    yaml_parser_delete(&parser);
    if (code != DM_OK)
        dm_yaml_free(doc);
    else
        *ret = doc;
    return code;
}

const struct dm_yaml *dm_yaml_root(const struct dm_yaml_doc *doc)
{
    return doc->root;
}

void dm_yaml_free(struct dm_yaml_doc *doc)
{
    if (doc == NULL)
        return;
    dm_arena_reset(&doc->arena);
    dm_arena_pool_free(doc->pool);
    dm_mem_free(doc);
}

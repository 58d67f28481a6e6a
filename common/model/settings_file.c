/* The configuration file (configuration.md §4): nested names joined by '_' and upper-cased give the
 * key. Here only names are judged: unknown ones, those that have no place in a file, those given
 * twice. */
#include "model/settings_load.h"

#include "base/assert.h"
#include "codec/json.h"

#include <ctype.h>
#include <stdio.h>

#include "base/poison.h"

/* Nesting of names: no key has more parts. Deeper maps are unknown keys, not a stack to be filled.
 */
enum { PATH_DEPTH = 12, NAME_MAX_LEN = 128, LINE_MAX_LEN = 4096 };

struct place {
    char flat[NAME_MAX_LEN];   /* LOG_LEVEL */
    char dotted[NAME_MAX_LEN]; /* log.level, as written */
    size_t len;
    bool cut; /* longer than any key: unknown */
};

static struct place below(const struct place *above, dm_view name)
{
    struct place p = *above;
    size_t gap = p.len > 0;
    if (p.cut || p.len + gap + name.len >= sizeof(p.flat)) {
        p.cut = true;
        return p;
    }
    if (gap) {
        p.flat[p.len] = '_';
        p.dotted[p.len++] = '.';
    }
    for (size_t i = 0; i < name.len; i++, p.len++) {
        unsigned char c = (unsigned char)name.ptr[i];
        p.flat[p.len] = (char)toupper(c);
        p.dotted[p.len] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    p.flat[p.len] = p.dotted[p.len] = '\0';
    return p;
}

static void fault_at_key(struct dm_settings_loading *l, const struct dm_yaml *node, const char *key,
                         const char *reason, const char *expected, const char *sentence)
{
    char line[LINE_MAX_LEN];
    (void)snprintf(line, sizeof(line), "%.*s:%u:%u: %s", DM_FMT(l->st->file), node->key_line,
                   node->key_column, sentence);
    dm_setting_fault_at(l,
                        &(struct dm_settings_fault){.key = dm_view_of(key),
                                                    .reason = dm_view_of(reason),
                                                    .expected = dm_view_of(expected),
                                                    .file = l->st->file,
                                                    .line = node->key_line,
                                                    .column = node->key_column},
                        dm_view_of(line));
}

static void fault_unknown(struct dm_settings_loading *l, const struct place *p,
                          const struct dm_yaml *node)
{
    char near[NAME_MAX_LEN], sentence[3 * NAME_MAX_LEN], expected[2 * NAME_MAX_LEN];
    (void)snprintf(near, sizeof(near), "%s", dm_setting_nearest(dm_view_make(p->flat, p->len)));
    for (size_t i = 0; near[i] != '\0'; i++)
        near[i] = (char)tolower((unsigned char)near[i]);
    (void)snprintf(sentence, sizeof(sentence), "unknown key %s%s; did you mean %s?", p->dotted,
                   p->cut ? "..." : "", near);
    (void)snprintf(expected, sizeof(expected), "a known key, such as %s", near);
    fault_at_key(l, node, p->dotted, "unknown key", expected, sentence);
}

/* Keys that belong to one process and not to a file that all share. */
static bool banned(const char *key)
{
    static const char *const keys[] = {"DOORMAN_ROLE", "DOORMAN_CONFIG_FILE", "DOORMAN_DATA_DIR",
                                       "PORT",         "METRICS_PORT",        "HOST"};
    for (size_t i = 0; i < DM_COUNT_OF(keys); i++) {
        if (dm_view_eq(dm_view_of(key), dm_view_of(keys[i])))
            return true;
    }
    return false;
}

static struct dm_json *tree_of(const struct dm_yaml *node)
{
    if (node->kind == DM_YAML_SCALAR) {
        bool flag = dm_view_eq(node->text, DM_LIT("true"));
        if (!node->quoted && (flag || dm_view_eq(node->text, DM_LIT("false"))))
            return dm_json_new_bool(flag);
        if (node->is_null || !dm_utf8_valid(node->text) ||
            dm_view_find_byte(node->text, '\0', 0) < node->text.len)
            return dm_json_new_null();
        return dm_json_new_str(node->text);
    }
    struct dm_json *tree = node->kind == DM_YAML_MAP ? dm_json_new_object() : dm_json_new_array();
    for (const struct dm_yaml *child = node->first; child != NULL; child = child->next) {
        if (node->kind == DM_YAML_MAP)
            dm_json_set(tree, child->key, tree_of(child)); /* the reader bounds the depth */
        else
            dm_json_push(tree, tree_of(child));
    }
    return tree;
}

/* What a list or a map says to a type that takes one text. */
static dm_view text_of(struct dm_settings_loading *l, const struct dm_setting_row *row,
                       const struct dm_yaml *node)
{
    if (node->kind == DM_YAML_SCALAR)
        return node->text;
    struct dm_buf text;
    dm_buf_init(&text, 2 * DM_SETTINGS_FILE_MAX);
    if (row->type == DM_SETTING_SECRET_JSON) {
        struct dm_json *tree = tree_of(node);
        dm_json_write(tree, &text);
        dm_json_wipe(tree);
        dm_json_free(tree);
    } else if (node->kind == DM_YAML_LIST) {
        for (const struct dm_yaml *item = node->first; item != NULL; item = item->next) {
            if (item != node->first)
                dm_buf_add_byte(&text, ',');
            dm_buf_add(&text, item->text);
        }
    }
    dm_view held = dm_settings_hold(l, dm_buf_view(&text));
    dm_settings_wipe(&text);
    return held;
}

static void fault_twice(struct dm_settings_loading *l, const struct dm_setting_raw *first,
                        const struct dm_yaml *node)
{
    char sentence[LINE_MAX_LEN / 2];
    (void)snprintf(sentence, sizeof(sentence),
                   "%s: given twice, first at %.*s:%u:%u; expected: once", first->name,
                   DM_FMT(dm_view_sub(l->st->file, 0, 1024)), first->key_line, first->key_column);
    fault_at_key(l, node, first->name, "given twice", "once", sentence);
}

static void fault_banned(struct dm_settings_loading *l, const char *key, const struct dm_yaml *node)
{
    char sentence[3 * NAME_MAX_LEN];
    (void)snprintf(sentence, sizeof(sentence),
                   "%s: not allowed in the config file; expected in the "
                   "environment or as a flag",
                   key);
    fault_at_key(l, node, key, "not allowed in the config file", "in the environment or as a flag",
                 sentence);
}

static void take(struct dm_settings_loading *l, const char *name, const struct dm_setting_row *row,
                 size_t slot, const struct dm_yaml *node)
{
    struct dm_setting_raw *raw = &l->file[slot];
    if (raw->name != NULL) { /* an empty one counts as given, too */
        fault_twice(l, raw, node);
        return;
    }
    *raw = (struct dm_setting_raw){.origin = DM_ORIGIN_FILE,
                                   .name = name,
                                   .node = node,
                                   .key_line = node->key_line,
                                   .key_column = node->key_column};
    if (row == NULL) {
        raw->set = true;
        return;
    }
    if (banned(row->key)) {
        fault_banned(l, row->key, node);
        return;
    }
    raw->text = text_of(l, row, node);
    raw->set =
        !node->is_null && (node->kind != DM_YAML_SCALAR || dm_settings_found(name, node->text));
}

static bool no_setting(dm_view name, const struct place *above)
{
    return dm_view_starts(name, DM_LIT("x-")) || dm_view_eq(name, DM_LIT("$comment")) ||
           (above->len == 0 && dm_view_eq(name, DM_LIT("schema")));
}

static void check_schema(struct dm_settings_loading *l, const struct dm_yaml *node)
{
    if (node->kind == DM_YAML_SCALAR && dm_view_eq(node->text, DM_LIT("1")))
        return;
    fault_at_key(l, node, "schema", "unknown format of the file", "1",
                 "schema: unknown format of the file; "
                 "expected: 1");
}

static bool leads_somewhere(const struct dm_settings_loading *l, const struct place *p)
{
    for (size_t i = 0; i < l->n_rows; i++) {
        dm_view key = dm_view_of(l->rows[i].key);
        if (dm_view_starts(key, dm_view_make(p->flat, p->len)) && key.len > p->len &&
            key.ptr[p->len] == '_')
            return true;
    }
    return false;
}

static const struct dm_setting_row *row_of(const struct dm_settings_loading *l, size_t slot,
                                           const char **ret_name)
{
    if (slot < l->n_rows) {
        *ret_name = l->rows[slot].key;
        return &l->rows[slot];
    }
    const struct dm_setting_alias *a = &l->aliases[slot - l->n_rows];
    *ret_name = a->name;
    return a->key == NULL ? NULL : dm_setting_find(dm_view_of(a->key));
}

static void walk(struct dm_settings_loading *l, const struct place *above,
                 const struct dm_yaml *map, unsigned depth)
{
    for (const struct dm_yaml *node = map->first; node != NULL; node = node->next) {
        struct place p = below(above, node->key);
        if (no_setting(node->key, above)) {
            if (dm_view_eq(node->key, DM_LIT("schema")))
                check_schema(l, node);
            continue;
        }
        size_t slot = p.cut ? SIZE_MAX : dm_settings_slot(l, dm_view_make(p.flat, p.len));
        const char *name = NULL;
        const struct dm_setting_row *row = slot == SIZE_MAX ? NULL : row_of(l, slot, &name);
        bool descend = node->kind == DM_YAML_MAP && node->first != NULL && depth < PATH_DEPTH &&
                       !p.cut && (row == NULL || row->type != DM_SETTING_SECRET_JSON);
        bool empty = node->is_null || (node->kind == DM_YAML_MAP && node->first == NULL);
        if (descend)
            walk(l, &p, node, depth + 1);
        else if (slot != SIZE_MAX)
            take(l, name, row, slot, node);
        else if (!empty || !leads_somewhere(l, &p))
            fault_unknown(l, &p, node);
    }
}

/* Of the file as a whole. `f`: reason, perhaps expected, line and column (0: none). */
static void fault_in_file(struct dm_settings_loading *l, struct dm_settings_fault f)
{
    const dm_view shown = dm_view_sub(l->st->file, 0, LINE_MAX_LEN / 2);
    char place[32] = "", line[LINE_MAX_LEN];
    f.key = DM_LIT("DOORMAN_CONFIG_FILE");
    f.file = l->st->file;
    if (f.line > 0)
        (void)snprintf(place, sizeof(place), "%u:%u:", f.line, f.column);
    (void)snprintf(line, sizeof(line), "%.*s:%s %.*s%s%.*s", DM_FMT(shown), place, DM_FMT(f.reason),
                   f.expected.len > 0 ? "; expected: " : "", DM_FMT(f.expected));
    dm_setting_fault_at(l, &f, dm_view_of(line));
}

/* The reader of YAML begins its sentences with their place: "3:7: ...". */
static void fault_of_yaml(struct dm_settings_loading *l, dm_view text)
{
    struct dm_settings_fault f = {.expected = DM_LIT("one YAML document")};
    dm_view rest = text, line, column;
    uint64_t at_line, at_column;
    if (dm_view_split(&rest, ':', &line) && dm_view_split(&rest, ':', &column) &&
        dm_parse_u64(line, UINT32_MAX, &at_line) && dm_parse_u64(column, UINT32_MAX, &at_column)) {
        f.line = (unsigned)at_line;
        f.column = (unsigned)at_column;
        text = rest;
    }
    f.reason = dm_view_trim(text);
    fault_in_file(l, f);
}

void dm_settings_scan_file(struct dm_settings_loading *l, dm_view path)
{
    static const struct place top;
    struct dm_buf text;
    struct dm_error err = {0};
    l->st->file = dm_settings_keep_text(l->st, path);
    dm_buf_init(&text, DM_SETTINGS_READ_CAP);
    const char *wrong = dm_settings_read(path, &text);
    if (wrong != NULL) {
        char reason[DM_ERROR_TEXT];
        (void)snprintf(reason, sizeof(reason), "could not be read: %s", wrong);
        fault_in_file(l, (struct dm_settings_fault){.reason = dm_view_of(reason),
                                                    .expected = DM_LIT("a readable file")});
    } else if (dm_yaml_parse(dm_buf_view(&text), &l->doc, &err) != DM_OK) {
        fault_of_yaml(l, dm_view_of(err.text));
    } else if (dm_yaml_root(l->doc) != NULL) {
        const struct dm_yaml *root = dm_yaml_root(l->doc);
        if (root->kind == DM_YAML_MAP)
            walk(l, &top, root, 0);
        else if (!root->is_null)
            fault_in_file(l,
                          (struct dm_settings_fault){.reason = DM_LIT("not a mapping of settings"),
                                                     .expected = DM_LIT("key: value"),
                                                     .line = root->line,
                                                     .column = root->column});
    }
    dm_buf_done(&text);
}

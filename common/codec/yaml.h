/* YAML events to a tree of places: every key and scalar with line and column, for messages that
 * point. Over libyaml; limits on size, depth, nodes, alias expansions. Faults: a duplicate key, a
 * key that is not a plain text, a second document, a tag outside YAML's core schema, a zero byte.
 * Scalars stay text: types come from the settings table, never from guessing; "<<" is a key like
 * any other. An alias is a copy of its anchor with the anchor's places. A document is immutable
 * once its owner has done with yaml_edit.h: any thread. */
#pragma once

#include "base/error.h"

enum dm_yaml_kind { DM_YAML_SCALAR = 0, DM_YAML_LIST, DM_YAML_MAP };

enum {
    DM_YAML_BYTES_MAX = 1 << 20, /* a ConfigMap holds 1 MiB */
    DM_YAML_DEPTH_MAX = 32,      /* the canonical layout needs 4 */
    DM_YAML_NODES_MAX = 20000,   /* settings are hundreds; copies of aliases count */
    DM_YAML_ALIASES_MAX = 100    /* expansions: a bomb needs few lines, people need fewer */
};

struct dm_yaml {
    enum dm_yaml_kind kind;
    dm_view key;  /* of a map's member; empty otherwise */
    dm_view text; /* scalars; a plain `~`, `null` or nothing gives is_null */
    bool is_null, quoted, key_quoted;
    const char *tag; /* of a scalar: "int", "bool" and so on where it was written; never "str" */
    unsigned line, column;         /* of the value, from 1 */
    unsigned key_line, key_column; /* of the key */
    struct dm_yaml *first, *next;  /* children in order, next sibling */
};

struct dm_yaml_doc; /* owns all nodes and texts */
/* On a fault err->text holds "line:column: reason". Also reads JSON (YAML is a superset). */
enum dm_code dm_yaml_parse(dm_view text, struct dm_yaml_doc **ret,
                           struct dm_error *err) DM_MUST_USE;
/* The same of a part of a longer text: its first line counts as `first_line`. */
enum dm_code dm_yaml_parse_from(dm_view text, unsigned first_line, struct dm_yaml_doc **ret,
                                struct dm_error *err) DM_MUST_USE;
const struct dm_yaml *dm_yaml_root(const struct dm_yaml_doc *doc); /* NULL for an empty document */
void dm_yaml_free(struct dm_yaml_doc *doc);

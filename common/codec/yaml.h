/* YAML events to a tree of places: every key and scalar with line and column, for messages that point.
 * Over libyaml; limits on size, depth, nodes, alias expansions; duplicate keys are faults; only the
 * first document is read. Scalars stay text: types come from the settings table, never from guessing. */
#pragma once

#include "base/error.h"

enum dm_yaml_kind { DM_YAML_SCALAR = 0, DM_YAML_LIST, DM_YAML_MAP };

struct dm_yaml {
    enum dm_yaml_kind kind;
    dm_view key;  /* of a map's member; empty otherwise */
    dm_view text; /* scalars; a plain `~`, `null` or nothing gives is_null */
    bool is_null, quoted;
    unsigned line, column;         /* of the value, from 1 */
    unsigned key_line, key_column; /* of the key */
    struct dm_yaml *first, *next;  /* children in order, next sibling */
};

struct dm_yaml_doc; /* owns all nodes and texts */
/* On DM_INVALID err->text holds "line:column: reason". Also reads JSON files (YAML is a superset). */
enum dm_code dm_yaml_parse(dm_view text, struct dm_yaml_doc **ret, struct dm_error *err) DM_MUST_USE;
const struct dm_yaml *dm_yaml_root(const struct dm_yaml_doc *doc); /* NULL for an empty document */
void dm_yaml_free(struct dm_yaml_doc *doc);

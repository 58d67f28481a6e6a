/* Changing a document that was read, for who prints it again (yaml_write.h). The owner alone,
 * before it is shared. Nodes belong to the document they were made for and to one parent. What
 * makes a node gives NULL at the document's limits; what takes one takes NULL too and gives false
 * then, so that a chain is checked once. */
#pragma once

#include "codec/yaml.h"

struct dm_yaml *dm_yaml_edit(struct dm_yaml_doc *doc); /* the root; NULL for an empty document */

/* The value of a key. NULL: not there, or this is no map. */
struct dm_yaml *dm_yaml_member(const struct dm_yaml *map, dm_view key);

/* Written they would be the same text, keys aside. */
bool dm_yaml_same(const struct dm_yaml *a, const struct dm_yaml *b);

struct dm_yaml *dm_yaml_make(struct dm_yaml_doc *doc, enum dm_yaml_kind kind);
struct dm_yaml *dm_yaml_make_text(struct dm_yaml_doc *doc, dm_view text, bool quoted);
/* Of a node of any document, deep, without its key. */
struct dm_yaml *dm_yaml_copy(struct dm_yaml_doc *doc, const struct dm_yaml *from);

/* A member's value in its place, or a new last member. The key is written as it is, unquoted where
 * YAML allows that. */
bool dm_yaml_put(struct dm_yaml_doc *doc, struct dm_yaml *map, dm_view key,
                 struct dm_yaml *value) DM_MUST_USE;
bool dm_yaml_add(struct dm_yaml *list, struct dm_yaml *item, bool first) DM_MUST_USE;
/* `old` is a child of `parent`; `with` takes its place and key. */
bool dm_yaml_replace(struct dm_yaml *parent, struct dm_yaml *old, struct dm_yaml *with) DM_MUST_USE;
void dm_yaml_remove(struct dm_yaml *parent, struct dm_yaml *child);

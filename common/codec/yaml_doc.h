/* Inside of a document, for the files yaml*.c alone: its memory, and how nodes are made and copied
 * within its limits. One thread until the document is shared. */
#pragma once

#include "base/arena.h"
#include "codec/yaml.h"

struct dm_yaml_doc {
    struct dm_arena_pool *pool;
    struct dm_arena arena;
    struct dm_yaml *root;
    size_t nodes; /* made so far, DM_YAML_NODES_MAX at most */
};

/* NULL: too many. */
struct dm_yaml *dm_yaml_node_new(struct dm_yaml_doc *doc, enum dm_yaml_kind kind);
/* A copy of `from` and all below it, `room` levels deep at most; NULL: a limit. Texts are shared
 * unless `texts`: then they are copied too, for a node of another document. */
struct dm_yaml *dm_yaml_tree_copy(struct dm_yaml_doc *doc, const struct dm_yaml *from, size_t room,
                                  bool texts);

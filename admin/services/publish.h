/* From documents to the data plane: projections of changed records go to the live store, the
 * generation is raised and announced (design.md §2). The order of every write is: live store
 * answers -> document written -> projection published. Blocking; any admin thread. */
#pragma once

#include "admin/app.h"

enum {
    ADM_PUBLISH_MAX = 64
}; /* objects of one change, except the start and cascades, which go in pieces */

struct adm_change {
    const struct dm_record_type *type;
    dm_view id;                /* borrowed until published */
    const struct dm_json *doc; /* NULL: deleted */
};
/* Publishes and waits until this process enforces it. */
enum dm_code adm_publish(struct adm_app *app, const struct adm_change *changes, size_t n,
                         struct dm_error *err) DM_MUST_USE;
/* Everything, at start and after DELETE /api/caches. */
enum dm_code adm_publish_all(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
/* Before the first write of a change: 503 and nothing stored while the live store is away. */
enum dm_code adm_publish_possible(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
bool adm_publish_wants(const struct dm_record_type *type); /* the data plane reads this noun */
/* The id a document is published under: endpoint_id, api_id, username, role_name, ... */
dm_view adm_publish_id(const struct dm_record_type *type, const struct dm_json *doc);

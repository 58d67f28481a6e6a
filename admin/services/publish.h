/* From documents to the data plane: projections of changed records go to the live store, the
 * generation is raised and announced (design.md §2). The order of every write is: live store
 * answers -> document written -> projection published. Blocking; any admin thread. */
#pragma once

#include "admin/app.h"

/* {id: "generation", mark}: what adm_app_reserve noted */
#define ADM_POLICY_COLLECTION "policy"

enum {
    ADM_PUBLISH_MAX = 64
}; /* objects of one change, except the start and cascades, which go in pieces */

struct adm_change {
    const struct dm_record_type *type;
    dm_view id;                /* borrowed until published */
    const struct dm_json *doc; /* NULL: deleted */
};
/* Publishes and waits until this process enforces it. Under adm_app_publish_lock. What fails is
 * published later by itself (admin/jobs/restorer). */
enum dm_code adm_publish(struct adm_app *app, const struct adm_change *changes, size_t n,
                         struct dm_error *err) DM_MUST_USE;
/* Everything that differs from what is published, and what is gone, as one generation: at start,
 * after a failure, and after DELETE /api/caches (forget: what data planes read on demand is dropped
 * too). Takes the lock. */
enum dm_code adm_publish_all(struct adm_app *app, bool forget, struct dm_error *err) DM_MUST_USE;
/* Before the first write of a change: 503 and nothing stored while the live store is away. */
enum dm_code adm_publish_possible(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
bool adm_publish_wants(const struct dm_record_type *type); /* the data plane reads this noun */
/* The id a document is published under: endpoint_id, api_id, username, role_name, ... */
dm_view adm_publish_id(const struct dm_record_type *type, const struct dm_json *doc);

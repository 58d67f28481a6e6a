/* One object of Kubernetes at a time: the sidecar into its pod template, or the port of a Service
 * onto the sidecar. One thread. */
#pragma once

#include "admin/inject/parts.h"
#include "base/buf.h"

struct adm_injection {
    const struct adm_parts *parts;
    struct dm_yaml_doc *doc;  /* that the object is in */
    struct dm_yaml_doc *pods; /* a list: namespace and labels of every pod template seen */
    struct dm_buf *notes;     /* a line per object that was looked at; NULL: not this time */
    const char *service_port; /* NULL: the only one */
    bool turn_services;
    bool pods_known; /* `pods` is complete: the second reading */
    size_t n_turned;
    bool changed;
    struct dm_error *err;
};

/* Anything that is no workload is left alone; so is one whose label says so. Its pod template goes
 * into `pods`. */
enum dm_code adm_inject_workload(struct adm_injection *in, struct dm_yaml *object) DM_MUST_USE;
/* The same for Services that select one of `pods`. */
enum dm_code adm_inject_service(struct adm_injection *in, struct dm_yaml *object) DM_MUST_USE;

/* --- shared by the two --- */

/* kind and metadata.name, for notes and faults. */
struct adm_object {
    dm_view kind, name, space;
};
struct adm_object adm_object_of(const struct dm_yaml *object);
dm_view adm_text_of(const struct dm_yaml *map, dm_view key); /* empty: no such text */
enum dm_code adm_inject_refuse(struct adm_injection *in, const struct dm_yaml *object,
                               const struct dm_yaml *at, const char *why) DM_MUST_USE;
void adm_inject_note(struct adm_injection *in, const struct dm_yaml *object, const char *what);

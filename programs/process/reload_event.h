/* A failed reload as a Kubernetes Event of this pod (KUBE_EVENTS_ENABLED, configuration.md §5.2).
 * Inside this room. */
#pragma once

#include "codec/json.h"
#include "io/kube_events.h"

struct process;

/* NULL: not wanted, or not possible, of which one line of the log tells. Control thread. */
struct dm_kube_events *reload_events_new(struct process *p);
/* errors: as of struct reload_run. Reads files: a thread that may wait. */
struct dm_kube_event *reload_event_new(const struct dm_kube_events *k, const struct dm_json *errors,
                                       uint64_t generation);

/* What every program answers about itself, on its main port and on METRICS_PORT: probes
 * (operations.md §8.1) and Prometheus metrics (§8.3.4). Reads state that others publish with
 * atomics; never looks at a dependency for liveness (R12). */
#pragma once

#include "base/metrics.h"
#include "io/exchange.h"

enum { DM_OPS_WORKERS = 256 }; /* THREADS' upper bound */

enum dm_ops_health { DM_OPS_GOOD = 0, DM_OPS_DEGRADED, DM_OPS_BAD };

struct dm_ops { /* one per process; written by main, read by all workers */
    _Atomic bool ready, draining, degraded;
    _Atomic uint64_t generation;
    _Atomic int64_t
        beats_[DM_OPS_WORKERS];   /* last sign of life of each worker's loop; 0: not watched */
    const struct dm_clock *clock; /* liveness: a beat older than 10 s is 503 (operations.md §8.1) */
    const char *mode;             /* "memory" or "redis" */
    enum dm_role role;
    dm_time started_wall;
    struct dm_metrics *metrics;
    const char *(*mongodb)(void *ctx), *(*redis)(void *ctx); /* for readiness; NULL: "memory" */
    /* Whether this program can do its work now, from what others keep up to date: never waits.
     * NULL: as `ready` and `degraded` say. */
    enum dm_ops_health (*health)(void *ctx);
    void (*before_scrape)(void *ctx); /* gauges that are read off, e.g. loops' lag; NULL: none */
    void *ctx;
};

void dm_ops_beat(struct dm_ops *ops, size_t worker,
                 dm_time now);         /* by each worker, about once a second */
bool dm_ops_ready(struct dm_ops *ops); /* readiness would be 200 */
bool dm_ops_owns(dm_view path);        /* probe or /metrics path */
/* Answers x if the path is one of ours; status_port: the METRICS_PORT rules for /metrics. */
bool dm_ops_serve(struct dm_ops *ops, struct dm_exchange *x, dm_view path, bool status_port);

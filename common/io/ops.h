/* What every program answers about itself, on its main port and on METRICS_PORT: probes (operations.md §8.1)
 * and Prometheus metrics (§8.3.4). Reads state that others publish with atomics; never looks at a
 * dependency for liveness (R12). */
#pragma once

#include "base/metrics.h"
#include "io/exchange.h"

struct dm_ops { /* one per process; written by main, read by all workers */
    _Atomic bool ready, draining, degraded;
    _Atomic uint64_t generation;
    _Atomic int64_t watchdog_mono; /* last turn of the slowest loop; 0: not watched */
    const char *mode;              /* "memory" or "redis" */
    enum dm_role role;
    dm_time started_wall;
    struct dm_metrics *metrics;
    const char *(*mongodb)(void), *(*redis)(void); /* states for readiness; NULL: "memory" */
    void (*before_scrape)(void *ctx); /* gauges that are read off, e.g. loops' lag; NULL: none */
    void *ctx;
};

bool dm_ops_owns(dm_view path); /* probe or /metrics path */
/* Answers x if the path is one of ours; status_port: the METRICS_PORT rules for /metrics. */
bool dm_ops_serve(struct dm_ops *ops, struct dm_exchange *x, dm_view path, bool status_port);

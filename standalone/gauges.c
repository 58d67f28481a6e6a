/* Series of the whole process that nobody counts as it happens: read off when somebody scrapes
 * (operations.md §8.3.3). */
#include "base/log.h"
#include "standalone/doorman.h"
#include <stdatomic.h>

static struct dm_metric *gauge(struct doorman *d, const char *name, const char *help)
{
    return dm_metric_get(d->metrics, DM_GAUGE, name, "", help, NULL, 0);
}

void doorman_gauges_init(struct doorman *d)
{
    struct dm_metric *info = dm_metric_get(d->metrics, DM_GAUGE, "doorman_build_info",
                                           "version=\"" DOORMAN_VERSION "\",role=\"all\"",
                                           "What runs here, always 1", NULL, 0);

    dm_metric_set(info, 1);
    d->gauges.ready = gauge(d, "doorman_ready", "1 while readiness is 200");
    d->gauges.draining = gauge(d, "doorman_draining", "1 from SIGTERM on");
    d->gauges.generation =
        gauge(d, "doorman_policy_snapshot_version", "Generation of the policy in force");
    d->gauges.log_dropped = dm_metric_get(d->metrics, DM_COUNTER, "doorman_log_dropped_total", "",
                                          "Log lines lost", NULL, 0);
}

void doorman_gauges_read(void *ctx)
{
    struct doorman *d = ctx;
    int64_t dropped = (int64_t)dm_log_dropped();

    dm_metric_set(d->gauges.ready, atomic_load(&d->ops.ready) && !atomic_load(&d->ops.draining));
    dm_metric_set(d->gauges.draining, atomic_load(&d->ops.draining));
    dm_metric_set(d->gauges.generation, (double)atomic_load(&d->ops.generation));
    /* Two scrapes at once (main and status port) must not count a line twice. */
    dropped -= atomic_exchange(&d->gauges.dropped_seen, dropped);
    if (dropped > 0)
        dm_metric_add(d->gauges.log_dropped, 0, dropped);
}

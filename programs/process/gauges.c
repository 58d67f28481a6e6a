/* Series of the whole process that nobody counts as it happens: read off when somebody scrapes
 * (operations.md §8.3.3). */
#include "base/log.h"
#include "programs/process/process.h"
#include "programs/process/program.h"
#include <stdatomic.h>

#define INFO "version=\"" DOORMAN_VERSION "\",role="

static const char *build_info(enum dm_role role)
{
    switch (role) {
    case DM_ROLE_GATEWAY:
        return INFO "\"gateway\"";
    case DM_ROLE_ADMIN:
        return INFO "\"admin\"";
    case DM_ROLE_ALL:
        break;
    }
    return INFO "\"all\"";
}

static struct dm_metric *gauge(struct process *p, const char *name, const char *labels,
                               const char *help)
{
    return dm_metric_get(p->metrics, DM_GAUGE, name, labels, help, NULL, 0);
}

void process_gauges_init(struct process *p)
{
    dm_metric_set(
        gauge(p, "doorman_build_info", build_info(p->program->role), "What runs here, always 1"),
        1);
    p->gauges.ready = gauge(p, "doorman_ready", "", "1 while readiness is 200");
    p->gauges.draining = gauge(p, "doorman_draining", "", "1 from SIGTERM on");
    p->gauges.generation = gauge(p, "doorman_policy_snapshot_version", "",
                                 "Generation of the policy in force (gateway), published (admin)");
    p->gauges.log_dropped = dm_metric_get(p->metrics, DM_COUNTER, "doorman_log_dropped_total", "",
                                          "Log lines lost", NULL, 0);
}

void process_gauges_read(void *ctx)
{
    struct process *p = ctx;
    int64_t dropped = (int64_t)dm_log_dropped();

    dm_metric_set(p->gauges.ready, dm_ops_ready(&p->ops));
    dm_metric_set(p->gauges.draining, atomic_load(&p->ops.draining));
    dm_metric_set(p->gauges.generation, (double)atomic_load(&p->ops.generation));
    /* Two scrapes at once (main and status port) must not count a line twice. */
    dropped -= atomic_exchange(&p->gauges.dropped_seen, dropped);
    if (dropped > 0)
        dm_metric_add(p->gauges.log_dropped, 0, dropped);
    if (p->program->gauges != NULL)
        p->program->gauges(p);
}

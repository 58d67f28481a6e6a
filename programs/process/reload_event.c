#include "programs/process/reload_event.h"

#include "base/log.h"
#include "base/redact.h"
#include "programs/process/process.h"
#include "programs/process/program.h"
#include "programs/process/reload_report.h"
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { REDACTED_CAP = 3 * DM_KUBE_MESSAGE_MAX + 64 }; /* as dm_redact may need */

struct dm_kube_events *reload_events_new(struct process *p)
{
    char host[HOST_NAME_MAX + 1] = ""; /* in a pod its name, where POD_NAME does not tell */
    const char *pod = getenv("POD_NAME");
    struct dm_kube_events *k;
    struct dm_error err;

    if (!p->settings->kube_events_enabled)
        return NULL;
    (void)gethostname(host, sizeof host - 1);
    const struct dm_kube_config config = {.loop = p->control,
                                          .account = DM_LIT(DM_KUBE_ACCOUNT),
                                          .host = dm_view_of(getenv("KUBERNETES_SERVICE_HOST")),
                                          .port = dm_view_of(getenv("KUBERNETES_SERVICE_PORT")),
                                          .pod = dm_view_of(pod != NULL ? pod : host),
                                          .uid = dm_view_of(getenv("POD_UID")),
                                          .program = dm_view_of(p->program->name),
                                          .metrics = p->metrics,
                                          .shard = process_shard(p)};
    if (dm_kube_events_new(&config, &k, &err) == DM_OK)
        return k;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
           "KUBE_EVENTS_ENABLED: no Kubernetes Event can be sent from here",
           DM_FC("reason", err.text));
    return NULL;
}

/* Faults show no secret; the log takes them through the same net. */
struct dm_kube_event *reload_event_new(const struct dm_kube_events *k, const struct dm_json *errors,
                                       uint64_t generation)
{
    struct dm_buf text, shown;
    struct dm_kube_event *e;

    dm_buf_init(&text, DM_KUBE_MESSAGE_MAX);
    dm_buf_init(&shown, REDACTED_CAP);
    reload_write_faults(errors, generation, DM_KUBE_MESSAGE_MAX, &text);
    dm_redact(dm_buf_view(&text), &shown);
    e = dm_kube_event_new(k, "ConfigReloadFailed", dm_buf_view(&shown),
                          dm_clock_wall(&dm_clock_system));
    dm_buf_done(&shown);
    dm_buf_done(&text);
    return e;
}

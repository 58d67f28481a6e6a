/* The status port (METRICS_PORT): probes and metrics, on the control loop, from the first moment.
 */
#include "programs/process/process.h"

enum { STATUS_CONNECTIONS = 64 }; /* scrapers and probes */

static void on_head(void *app, struct dm_exchange *x)
{
    struct process *p = app;
    dm_view path = dm_view_sub(x->head.target, 0, dm_view_find_byte(x->head.target, '?', 0));

    if (!dm_ops_owns(path) || !dm_ops_serve(&p->ops, x, path, true))
        dm_exchange_refuse(x, ERR_NOT_FOUND, DM_LIT("route"));
}

static const struct dm_settings *settings_of(void *app)
{
    const struct process *p = app;

    return p->current;
}

bool process_open_status(struct process *p)
{
    static const struct dm_exchange_handler handler = {.on_head = on_head,
                                                       .on_body = dm_exchange_ignore,
                                                       .on_room = dm_exchange_ignore,
                                                       .on_gone = dm_exchange_ignore_gone,
                                                       .on_done = dm_exchange_ignore};
    struct dm_listener_config config = {.loop = p->control,
                                        .host = p->host,
                                        .port = (uint16_t)p->settings->metrics_port,
                                        .arenas = p->arenas,
                                        .settings = settings_of,
                                        .handler = &handler,
                                        .app = p};
    struct dm_error err;

    if (p->settings->metrics_port == 0)
        return true;
    p->status_limits = dm_listener_limits_new(STATUS_CONNECTIONS);
    config.limits = p->status_limits;
    return dm_listener_open(&config, &p->status, &err) == DM_OK ||
           process_fail(&err, "status port");
}

#include "programs/gateway/part.h"

static bool make_plane(struct gateway_part *g, struct process *p,
                       const struct gateway_part_config *c)
{
    const struct dm_settings *s = p->settings;
    /* The program's own state is the context of live; it embeds the process first. */
    const struct gw_plane_config config = {.n_workers = (size_t)s->threads,
                                           .host = p->host,
                                           .port = (uint16_t)s->port,
                                           .max_connections = p->max_connections,
                                           .cell = g->cell,
                                           .settings = s,
                                           .metrics = p->metrics,
                                           .ops = &p->ops,
                                           .clock = &dm_clock_system,
                                           .live = c->live,
                                           .live_done = c->live_done,
                                           .admin_socket = c->admin_socket,
                                           .admin_origin = c->admin_origin,
                                           .is_admin = c->is_admin,
                                           .on_drained = process_drained,
                                           .ctx = c->ctx};
    struct dm_error err;

    return gw_plane_new(&config, &g->plane, &err) == DM_OK || process_fail(&err, "workers");
}

bool gateway_part_make(struct gateway_part *g, struct process *p,
                       const struct gateway_part_config *c)
{
    struct gw_loader_config loader = {
        .ops = &p->ops, .metrics = p->metrics, .shard = process_shard(p)};
    struct dm_error err;

    g->cell = gw_snapshot_cell_new(p->settings, p->keys);
    if (!make_plane(g, p, c))
        return false;
    loader.cell = g->cell;
    loader.loop = gw_plane_loop(g->plane, 0);
    loader.live = gw_plane_live(g->plane, 0);
    g->loader = gw_loader_new(&loader);
    return gw_plane_start(g->plane, &err) == DM_OK || process_fail(&err, "workers");
}

bool gateway_part_listen(struct gateway_part *g)
{
    struct dm_error err;

    return gw_plane_listen(g->plane, &err) == DM_OK || process_fail(&err, "main port");
}

void gateway_part_take_over(struct gateway_part *g, struct dm_settings *s, struct dm_keyset *keys)
{
    gw_snapshot_publish_settings(g->cell, s, keys);
}

void gateway_part_stop(struct gateway_part *g)
{
    if (g->plane != NULL)
        gw_plane_stop(g->plane);
    gw_loader_free(DM_TAKE(g->loader));
}

void gateway_part_free(struct gateway_part *g)
{
    gw_plane_free(DM_TAKE(g->plane));
    gw_snapshot_cell_free(DM_TAKE(g->cell));
}

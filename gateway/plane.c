#include "gateway/plane.h"

#include "gateway/worker.h"

static const dm_time SETTLE_WITHIN = 2 * DM_SEC; /* far below any grace of a shutdown */

struct guest { /* the data plane on one worker's loop */
    struct gw_plane *plane;
    struct dm_live *live;
    struct gw_worker *worker;
    dm_time settle_until; /* monotonic; 0: not asked yet */
};

struct gw_plane {
    struct gw_plane_config config;
    struct dm_front *front;
};

static bool serve(void *arg, struct dm_exchange *x, dm_view path)
{
    struct guest *g = arg;
    const struct gw_plane_config *c = &g->plane->config;

    if (!dm_path_is_data_plane(path) || (c->is_admin != NULL && c->is_admin(x->head.method, path)))
        return false;
    gw_serve(g->worker, x);
    return true;
}

static const struct dm_settings *settings_of(void *arg)
{
    struct guest *g = arg;

    return gw_snapshot_world(g->worker->reader)->settings;
}

static void on_turn_start(void *arg)
{
    struct guest *g = arg;

    gw_snapshot_refresh(g->worker->reader);
}

/* Figures, events, bandwidth and credits of the last moments. A store that takes none of it in
 * time is as good as away. */
static bool has_settled(void *arg)
{
    struct guest *g = arg;
    const dm_time now = dm_loop_now(g->worker->loop);

    if (g->settle_until == 0)
        g->settle_until = now + SETTLE_WITHIN;
    gw_tally_flush(g->worker->tally);
    return dm_live_flush(g->live) == 0 || now >= g->settle_until;
}

static const struct dm_front_guest data_plane = {.serve = serve,
                                                 .settings = settings_of,
                                                 .on_turn_start = on_turn_start,
                                                 .has_settled = has_settled};

static void free_guest(void *arg)
{
    struct guest *g = arg;

    gw_worker_free(g->worker);
    if (g->live != NULL)
        dm_live_free(g->live);
    dm_mem_free(g);
}

static enum dm_code make_guest(void *ctx, const struct dm_front_seat *seat, void **ret_guest,
                               struct dm_error *err)
{
    struct gw_plane *p = ctx;
    const struct gw_plane_config *c = &p->config;
    struct gw_worker_config worker = {.loop = seat->loop,
                                      .cell = c->cell,
                                      .arenas = seat->arenas,
                                      .metrics = c->metrics,
                                      .shard = seat->index,
                                      .n_workers = c->n_workers,
                                      .settings = c->settings};
    struct guest *g = DM_NEW(struct guest);

    g->plane = p;
    g->live = c->live(c->ctx, seat->index, seat->loop);
    worker.live = g->live;
    *ret_guest = g;
    if (g->live == NULL)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                       "no handle of the live store for worker %zu", seat->index);
    return gw_worker_new(&worker, &g->worker, err);
}

static void guests_done(void *ctx)
{
    struct gw_plane *p = ctx;

    if (p->config.live_done != NULL)
        p->config.live_done(p->config.ctx);
}

static void on_drained(void *ctx)
{
    struct gw_plane *p = ctx;

    if (p->config.on_drained != NULL)
        p->config.on_drained(p->config.ctx);
}

enum dm_code gw_plane_new(const struct gw_plane_config *c, struct gw_plane **ret,
                          struct dm_error *err)
{
    struct gw_plane *p = DM_NEW(struct gw_plane);
    const struct dm_front_config front = {.n_workers = c->n_workers,
                                          .host = c->host,
                                          .port = c->port,
                                          .max_connections = c->max_connections,
                                          .metrics = c->metrics,
                                          .ops = c->ops,
                                          .clock = c->clock,
                                          .guest = &data_plane,
                                          .make_guest = make_guest,
                                          .free_guest = free_guest,
                                          .guests_done = guests_done,
                                          .admin_socket = c->admin_socket,
                                          .admin_origin = c->admin_origin,
                                          .on_drained = on_drained,
                                          .ctx = p};
    enum dm_code rc;

    p->config = *c;
    rc = dm_front_new(&front, &p->front, err);
    if (rc != DM_OK) {
        dm_mem_free(p);
        return rc;
    }
    *ret = p;
    return DM_OK;
}

struct dm_loop *gw_plane_loop(struct gw_plane *p, size_t worker)
{
    return dm_front_loop(p->front, worker);
}

struct dm_mailbox *gw_plane_mailbox(struct gw_plane *p, size_t worker)
{
    return dm_front_mailbox(p->front, worker);
}

struct dm_live *gw_plane_live(struct gw_plane *p, size_t worker)
{
    const struct guest *g = dm_front_guest_of(p->front, worker);

    return g->live;
}

enum dm_code gw_plane_start(struct gw_plane *p, struct dm_error *err)
{
    return dm_front_start(p->front, err);
}

enum dm_code gw_plane_listen(struct gw_plane *p, struct dm_error *err)
{
    return dm_front_listen(p->front, err);
}

uint16_t gw_plane_port(const struct gw_plane *p)
{
    return dm_front_port(p->front);
}

size_t gw_plane_inflight(const struct gw_plane *p)
{
    return dm_front_inflight(p->front);
}

void gw_plane_drain(struct gw_plane *p)
{
    dm_front_drain(p->front);
}

static void forget(void *guest)
{
    struct guest *g = guest;

    gw_worker_forget(g->worker);
}

void gw_plane_forget(struct gw_plane *p)
{
    dm_front_on_every(p->front, forget);
}

void gw_plane_stop(struct gw_plane *p)
{
    dm_front_stop(p->front);
}

void gw_plane_free(struct gw_plane *p)
{
    if (p == NULL)
        return;
    dm_front_free(p->front);
    dm_mem_free(p);
}

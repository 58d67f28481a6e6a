#include "gateway/plane.h"

#include "gateway/worker.h"
#include "io/admin_door.h"
#include "io/listener.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    MAILBOX_LETTERS = 1024,      /* admin threads are capped far below; more means a stuck loop */
    ARENA_CHUNK = 4 * 1024,      /* a usual request fits one: head, decoded path, upstream head */
    ARENA_KEEP = 512,            /* idle chunks a worker keeps: 2 MB at most */
    DOOR_CONNECTIONS = 64,       /* as many as the admin server has threads */
    ANSWER_HEAD_MAX = 64 * 1024, /* the admin's largest head: four cookies with tokens */
    ADMIN_TIMEOUT_S = 120        /* the longest admin handler there is (imports) */
};

static const dm_time heartbeat =
    DM_SEC; /* an idle loop still turns this often: watchdog (operations.md §8.1) */

struct thread {
    struct gw_plane *plane;
    size_t index;
    pthread_t id;
    bool running;
    struct dm_loop *loop;
    struct dm_mailbox *mailbox;
    struct dm_arena_pool *arenas;
    struct dm_live *live;
    struct gw_worker *worker;
    struct dm_listener *listener;
    struct dm_http_client *door_client;
    struct dm_admin_door door;
    struct dm_timer heart;
    bool draining;
    _Atomic size_t inflight;
};

struct gw_plane {
    struct gw_plane_config config;
    struct dm_listener_limits_shared *limits;
    struct thread *threads;
    uint16_t port;
    bool draining;
    _Atomic size_t undrained; /* workers that still have connections */
};

/* --- one request at the door --- */

/* Of an absolute-form target (RFC 9112 §3.2.2) the part after the authority. */
static dm_view path_of(dm_view target)
{
    dm_view path = dm_view_sub(target, 0, dm_view_find_byte(target, '?', 0));
    const size_t authority = dm_view_find(path, DM_LIT("://"));

    if (path.len > 0 && path.ptr[0] != '/' && authority < path.len)
        path = dm_view_sub(path, dm_view_find_byte(path, '/', authority + 3), SIZE_MAX);
    return path;
}

static void on_head(void *app, struct dm_exchange *x)
{
    struct thread *t = app;
    const struct gw_plane_config *c = &t->plane->config;
    dm_view path = path_of(x->head.target);

    if (dm_ops_owns(path))
        dm_ops_serve(c->ops, x, path, false);
    else if (gw_owns(path) && !(c->admin_socket != NULL && c->is_admin(x->head.method, path)))
        gw_serve(t->worker, x);
    else if (c->admin_socket != NULL)
        dm_admin_door_serve(&t->door, x);
    else
        dm_exchange_refuse(x, ERR_NOT_FOUND, DM_LIT("route"));
}

/* Until somebody takes the exchange over; refusals and probes are answered on the spot. */
static const struct dm_exchange_handler front = {.on_head = on_head,
                                                 .on_body = dm_exchange_ignore,
                                                 .on_room = dm_exchange_ignore,
                                                 .on_gone = dm_exchange_ignore_gone,
                                                 .on_done = dm_exchange_ignore};

static const struct dm_settings *settings_of(void *app)
{
    struct thread *t = app;

    return gw_snapshot_world(t->worker->reader)->settings;
}

/* --- a worker's thread --- */

static void on_turn_start(void *ctx)
{
    struct thread *t = ctx;

    gw_snapshot_refresh(t->worker->reader);
}

static void on_turn_end(void *ctx)
{
    struct thread *t = ctx;

    if (t->listener != NULL)
        atomic_store_explicit(&t->inflight, dm_listener_inflight(t->listener),
                              memory_order_relaxed);
    if (!t->draining || (t->listener != NULL && dm_listener_connections(t->listener) > 0))
        return;
    t->draining = false;
    if (atomic_fetch_sub(&t->plane->undrained, 1) == 1 && t->plane->config.on_drained != NULL)
        t->plane->config.on_drained(t->plane->config.ctx);
}

static void on_heart(struct dm_timer *timer)
{
    struct thread *t = DM_CONTAINER_OF(timer, struct thread, heart);

    dm_ops_beat(t->plane->config.ops, t->index, dm_loop_now(t->loop));
    dm_timer_start(t->loop, timer, heartbeat);
}

static void close_port(struct thread *t)
{
    dm_listener_free(t->listener);
    t->listener = NULL;
}

static void *run(void *arg)
{
    struct thread *t = arg;

    dm_timer_start(t->loop, &t->heart, 0);
    dm_loop_run(t->loop);
    dm_timer_stop(&t->heart);
    close_port(t);
    return NULL;
}

static enum dm_code open_door(struct thread *t, struct dm_error *err)
{
    const struct gw_plane_config *c = &t->plane->config;
    const struct dm_http_client_config client = {.loop = t->loop,
                                                 .arenas = t->arenas,
                                                 .max_connections = DOOR_CONNECTIONS,
                                                 .max_keepalive = DOOR_CONNECTIONS,
                                                 .keepalive_expiry = 30 * DM_SEC,
                                                 .max_head = ANSWER_HEAD_MAX,
                                                 .shard = t->index};

    if (c->admin_socket == NULL)
        return DM_OK;
    if (dm_http_client_new(&client, &t->door_client, err) != DM_OK)
        return err->kind;
    t->door = (struct dm_admin_door){.client = t->door_client,
                                     .socket_path = c->admin_socket,
                                     .timeout = ADMIN_TIMEOUT_S * DM_SEC};
    return DM_OK;
}

static enum dm_code make_worker(struct thread *t, struct dm_error *err)
{
    const struct gw_plane_config *c = &t->plane->config;
    struct gw_worker_config worker = {.loop = t->loop,
                                      .cell = c->cell,
                                      .arenas = t->arenas,
                                      .metrics = c->metrics,
                                      .shard = t->index,
                                      .n_workers = c->n_workers,
                                      .settings = c->settings};
    enum dm_code rc;

    t->live = c->live(c->ctx, t->index, t->loop);
    worker.live = t->live;
    rc = gw_worker_new(&worker, &t->worker, err);
    if (rc == DM_OK)
        rc = open_door(t, err);
    if (rc != DM_OK)
        return rc;
    dm_loop_metrics(t->loop, c->metrics, t->index);
    dm_loop_at_start(t->loop, on_turn_start, t);
    dm_loop_at_end(t->loop, on_turn_end, t);
    dm_timer_init(&t->heart, on_heart);
    return DM_OK;
}

enum dm_code gw_plane_start(struct gw_plane *p, struct dm_error *err)
{
    for (size_t i = 0; i < p->config.n_workers; i++) {
        if (pthread_create(&p->threads[i].id, NULL, run, &p->threads[i]) != 0)
            return DM_FAIL(err, DM_UNAVAILABLE, ERR_UNEXPECTED, "could not start worker thread %zu",
                           i);
        p->threads[i].running = true;
    }
    return DM_OK;
}

/* --- calls from the main thread into a worker's --- */

struct listen_call {
    struct dm_call call;
    struct thread *thread;
    struct dm_error err;
    enum dm_code rc;
};

static void run_listen(struct dm_call *call)
{
    struct listen_call *l = DM_CONTAINER_OF(call, struct listen_call, call);
    struct thread *t = l->thread;
    const struct gw_plane_config *c = &t->plane->config;
    const struct dm_listener_config config = {.loop = t->loop,
                                              .host = c->host,
                                              .port = t->plane->port,
                                              .reuse_port = c->n_workers > 1,
                                              .arenas = t->arenas,
                                              .limits = t->plane->limits,
                                              .settings = settings_of,
                                              .handler = &front,
                                              .app = t,
                                              .metrics = c->metrics,
                                              .shard = t->index};

    l->rc = dm_listener_open(&config, &t->listener, &l->err);
    if (l->rc == DM_OK)
        t->plane->port = dm_listener_port(t->listener);
    dm_call_done(call);
}

struct simple_call {
    struct dm_call call;
    struct thread *thread;
    void (*what)(struct thread *t);
};

static void run_simple(struct dm_call *call)
{
    struct simple_call *s = DM_CONTAINER_OF(call, struct simple_call, call);

    s->what(s->thread);
    dm_call_done(call);
}

static void on_every_thread(struct gw_plane *p, void (*what)(struct thread *t))
{
    for (size_t i = 0; i < p->config.n_workers; i++) {
        struct simple_call s = {
            .call = {.run = run_simple}, .thread = &p->threads[i], .what = what};

        while (dm_mailbox_call(p->threads[i].mailbox, &s.call) == DM_LIMIT)
            dm_loop_wake(p->threads[i].loop); /* a full box empties with the loop's next turn */
    }
}

enum dm_code gw_plane_listen(struct gw_plane *p, struct dm_error *err)
{
    p->port = p->config.port;
    for (size_t i = 0; i < p->config.n_workers; i++) {
        struct listen_call l = {.call = {.run = run_listen}, .thread = &p->threads[i]};
        enum dm_code rc = dm_mailbox_call(p->threads[i].mailbox, &l.call);

        if (rc == DM_OK && l.rc == DM_OK)
            continue;
        on_every_thread(p, close_port);
        *err = l.err;
        return rc != DM_OK ? rc : l.rc;
    }
    return DM_OK;
}

static void drain_thread(struct thread *t)
{
    t->draining = true;
    if (t->listener != NULL)
        dm_listener_drain(t->listener);
}

static void forget_thread(struct thread *t)
{
    gw_worker_forget(t->worker);
}

void gw_plane_drain(struct gw_plane *p)
{
    if (p->draining) /* counting anew would tell of the end twice, or too early */
        return;
    p->draining = true;
    atomic_store(&p->undrained, p->config.n_workers);
    on_every_thread(p, drain_thread);
}

void gw_plane_forget(struct gw_plane *p)
{
    on_every_thread(p, forget_thread);
}

size_t gw_plane_inflight(const struct gw_plane *p)
{
    size_t sum = 0;

    for (size_t i = 0; i < p->config.n_workers; i++)
        sum += atomic_load_explicit(&p->threads[i].inflight, memory_order_relaxed);
    return sum;
}

/* --- birth and end --- */

static enum dm_code make_thread(struct gw_plane *p, size_t index, struct dm_error *err)
{
    struct thread *t = &p->threads[index];

    t->plane = p;
    t->index = index;
    t->loop = dm_loop_new(p->config.clock);
    t->mailbox = dm_mailbox_new(t->loop, MAILBOX_LETTERS);
    t->arenas = dm_arena_pool_new(ARENA_CHUNK, ARENA_KEEP);
    return make_worker(t, err);
}

enum dm_code gw_plane_new(const struct gw_plane_config *c, struct gw_plane **ret,
                          struct dm_error *err)
{
    struct gw_plane *p = DM_NEW(struct gw_plane);
    enum dm_code rc = DM_OK;

    p->config = *c;
    p->limits = dm_listener_limits_new(c->max_connections);
    p->threads = dm_mem_array(c->n_workers, sizeof(*p->threads));
    for (size_t i = 0; rc == DM_OK && i < c->n_workers; i++)
        rc = make_thread(p, i, err);
    if (rc != DM_OK) {
        gw_plane_free(p);
        return rc;
    }
    *ret = p;
    return DM_OK;
}

void gw_plane_stop(struct gw_plane *p)
{
    for (size_t i = 0; i < p->config.n_workers; i++) {
        if (!p->threads[i].running)
            continue;
        dm_loop_stop(p->threads[i].loop);
        pthread_join(p->threads[i].id, NULL);
        p->threads[i].running = false;
    }
}

static void free_guests(struct thread *t)
{
    dm_listener_free(t->listener);
    gw_worker_free(t->worker);
    dm_http_client_free(t->door_client);
    dm_mailbox_free(t->mailbox);
    dm_live_free(t->live);
}

static void free_loop(struct thread *t)
{
    dm_loop_free(t->loop);
    dm_arena_pool_free(t->arenas);
}

void gw_plane_free(struct gw_plane *p)
{
    if (p == NULL)
        return;
    gw_plane_stop(p);
    for (size_t i = 0; i < p->config.n_workers; i++)
        free_guests(&p->threads[i]);
    if (p->config.live_done != NULL)
        p->config.live_done(p->config.ctx);
    for (size_t i = 0; i < p->config.n_workers; i++)
        free_loop(&p->threads[i]);
    dm_listener_limits_free(p->limits);
    dm_mem_free(p->threads);
    dm_mem_free(p);
}

struct dm_loop *gw_plane_loop(struct gw_plane *p, size_t worker)
{
    return p->threads[worker].loop;
}

struct dm_mailbox *gw_plane_mailbox(struct gw_plane *p, size_t worker)
{
    return p->threads[worker].mailbox;
}

struct dm_live *gw_plane_live(struct gw_plane *p, size_t worker)
{
    return p->threads[worker].live;
}

uint16_t gw_plane_port(const struct gw_plane *p)
{
    return p->port;
}

#include "io/front.h"

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

struct worker {
    struct dm_front *front;
    struct dm_front_seat seat;
    pthread_t id;
    bool running;
    void *guest;
    struct dm_listener *listener;
    struct dm_http_client *door_client;
    struct dm_admin_door door;
    struct dm_timer heart;
    bool draining;
    _Atomic size_t inflight;
};

struct dm_front {
    struct dm_front_config config;
    struct dm_listener_limits_shared *limits;
    struct worker *workers;
    uint16_t port;
    bool draining;
    _Atomic size_t undrained; /* workers that still have connections */
};

/* --- one request at the door --- */

static bool below(dm_view path, dm_view root)
{
    return dm_view_starts(path, root) && (path.len == root.len || path.ptr[root.len] == '/');
}

bool dm_path_is_admin(dm_view path)
{
    return below(path, DM_LIT("/platform")) || below(path, DM_LIT("/.well-known")) ||
           below(path, DM_LIT("/api/v1")) || /* agent identity */
           dm_view_eq(path, DM_LIT("/api/caches"));
}

bool dm_path_is_data_plane(dm_view path)
{
    return (below(path, DM_LIT("/api")) || below(path, DM_LIT("/grpc-web"))) &&
           !dm_path_is_admin(path);
}

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
    struct worker *w = app;
    const struct dm_front_config *c = &w->front->config;
    dm_view path = path_of(x->head.target);

    if (dm_ops_owns(path))
        dm_ops_serve(c->ops, x, path, false);
    else if (c->guest->serve(w->guest, x, path))
        return;
    else if (c->admin_socket != NULL || (c->admin_origin != NULL && dm_path_is_admin(path)))
        dm_admin_door_serve(&w->door, x);
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
    struct worker *w = app;

    return w->front->config.guest->settings(w->guest);
}

/* --- a worker's thread --- */

static void on_turn_start(void *ctx)
{
    struct worker *w = ctx;

    w->front->config.guest->on_turn_start(w->guest);
}

static void on_turn_end(void *ctx)
{
    struct worker *w = ctx;
    const struct dm_front_guest *guest = w->front->config.guest;

    if (w->listener != NULL)
        atomic_store_explicit(&w->inflight, dm_listener_inflight(w->listener),
                              memory_order_relaxed);
    if (!w->draining || (w->listener != NULL && dm_listener_connections(w->listener) > 0))
        return;
    if (guest->has_settled != NULL && !guest->has_settled(w->guest))
        return;
    w->draining = false;
    if (atomic_fetch_sub(&w->front->undrained, 1) == 1 && w->front->config.on_drained != NULL)
        w->front->config.on_drained(w->front->config.ctx);
}

static void on_heart(struct dm_timer *timer)
{
    struct worker *w = DM_CONTAINER_OF(timer, struct worker, heart);

    dm_ops_beat(w->front->config.ops, w->seat.index, dm_loop_now(w->seat.loop));
    dm_timer_start(w->seat.loop, timer, heartbeat);
}

static void close_port(struct worker *w)
{
    dm_listener_free(w->listener);
    w->listener = NULL;
}

static void *run(void *arg)
{
    struct worker *w = arg;

    dm_timer_start(w->seat.loop, &w->heart, 0);
    dm_loop_run(w->seat.loop);
    dm_timer_stop(&w->heart);
    close_port(w);
    return NULL;
}

static enum dm_code open_door(struct worker *w, struct dm_error *err)
{
    const struct dm_front_config *c = &w->front->config;
    const struct dm_http_client_config client = {.loop = w->seat.loop,
                                                 .arenas = w->seat.arenas,
                                                 .max_connections = DOOR_CONNECTIONS,
                                                 .max_keepalive = DOOR_CONNECTIONS,
                                                 .keepalive_expiry = 30 * DM_SEC,
                                                 .max_head = ANSWER_HEAD_MAX,
                                                 .shard = w->seat.index};

    if (c->admin_socket == NULL && c->admin_origin == NULL)
        return DM_OK;
    if (dm_http_client_new(&client, &w->door_client, err) != DM_OK)
        return err->kind;
    w->door = (struct dm_admin_door){.client = w->door_client,
                                     .socket_path = c->admin_socket,
                                     .origin = c->admin_origin,
                                     .timeout = ADMIN_TIMEOUT_S * DM_SEC};
    return DM_OK;
}

enum dm_code dm_front_start(struct dm_front *f, struct dm_error *err)
{
    for (size_t i = 0; i < f->config.n_workers; i++) {
        if (pthread_create(&f->workers[i].id, NULL, run, &f->workers[i]) != 0)
            return DM_FAIL(err, DM_UNAVAILABLE, ERR_UNEXPECTED, "could not start worker thread %zu",
                           i);
        f->workers[i].running = true;
    }
    return DM_OK;
}

/* --- calls from another thread into a worker's --- */

struct listen_call {
    struct dm_call call;
    struct worker *worker;
    struct dm_error err;
    enum dm_code rc;
};

static void run_listen(struct dm_call *call)
{
    struct listen_call *l = DM_CONTAINER_OF(call, struct listen_call, call);
    struct worker *w = l->worker;
    const struct dm_front_config *c = &w->front->config;
    const struct dm_listener_config config = {.loop = w->seat.loop,
                                              .host = c->host,
                                              .port = w->front->port,
                                              .reuse_port = c->n_workers > 1,
                                              .arenas = w->seat.arenas,
                                              .limits = w->front->limits,
                                              .settings = settings_of,
                                              .handler = &front,
                                              .app = w,
                                              .leaving = &c->ops->draining,
                                              .metrics = c->metrics,
                                              .shard = w->seat.index};

    l->rc = dm_listener_open(&config, &w->listener, &l->err);
    if (l->rc == DM_OK)
        w->front->port = dm_listener_port(w->listener);
    dm_call_done(call);
}

struct simple_call {
    struct dm_call call;
    struct worker *worker;
    void (*what)(struct worker *w);
    void (*what_guest)(void *guest);
};

static void run_simple(struct dm_call *call)
{
    struct simple_call *s = DM_CONTAINER_OF(call, struct simple_call, call);

    if (s->what != NULL)
        s->what(s->worker);
    else
        s->what_guest(s->worker->guest);
    dm_call_done(call);
}

static void on_every(struct dm_front *f, void (*what)(struct worker *w),
                     void (*what_guest)(void *guest))
{
    for (size_t i = 0; i < f->config.n_workers; i++) {
        struct simple_call s = {.call = {.run = run_simple},
                                .worker = &f->workers[i],
                                .what = what,
                                .what_guest = what_guest};

        while (dm_mailbox_call(f->workers[i].seat.mailbox, &s.call) == DM_LIMIT)
            dm_loop_wake(f->workers[i].seat.loop); /* a full box empties with the loop's turn */
    }
}

enum dm_code dm_front_listen(struct dm_front *f, struct dm_error *err)
{
    f->port = f->config.port;
    for (size_t i = 0; i < f->config.n_workers; i++) {
        struct listen_call l = {.call = {.run = run_listen}, .worker = &f->workers[i]};
        enum dm_code rc = dm_mailbox_call(f->workers[i].seat.mailbox, &l.call);

        if (rc == DM_OK && l.rc == DM_OK)
            continue;
        on_every(f, close_port, NULL);
        *err = l.err;
        return rc != DM_OK ? rc : l.rc;
    }
    return DM_OK;
}

void dm_front_on_every(struct dm_front *f, void (*what)(void *guest))
{
    on_every(f, NULL, what);
}

static void drain_worker(struct worker *w)
{
    w->draining = true;
    if (w->listener != NULL)
        dm_listener_drain(w->listener);
}

void dm_front_drain(struct dm_front *f)
{
    if (f->draining) /* counting anew would tell of the end twice, or too early */
        return;
    f->draining = true;
    atomic_store(&f->undrained, f->config.n_workers);
    on_every(f, drain_worker, NULL);
}

size_t dm_front_inflight(const struct dm_front *f)
{
    size_t sum = 0;

    for (size_t i = 0; i < f->config.n_workers; i++)
        sum += atomic_load_explicit(&f->workers[i].inflight, memory_order_relaxed);
    return sum;
}

/* --- birth and end --- */

static enum dm_code make_worker(struct dm_front *f, size_t index, struct dm_error *err)
{
    struct worker *w = &f->workers[index];
    struct dm_front_seat *s = &w->seat;
    enum dm_code rc;

    w->front = f;
    s->index = index;
    s->loop = dm_loop_new(f->config.clock);
    s->mailbox = dm_mailbox_new(s->loop, MAILBOX_LETTERS);
    s->arenas = dm_arena_pool_new(ARENA_CHUNK, ARENA_KEEP);
    rc = f->config.make_guest(f->config.ctx, s, &w->guest, err);
    if (rc == DM_OK)
        rc = open_door(w, err);
    if (rc != DM_OK)
        return rc;
    dm_loop_metrics(s->loop, f->config.metrics, index);
    if (f->config.guest->on_turn_start != NULL)
        dm_loop_at_start(s->loop, on_turn_start, w);
    dm_loop_at_end(s->loop, on_turn_end, w);
    dm_timer_init(&w->heart, on_heart);
    return DM_OK;
}

enum dm_code dm_front_new(const struct dm_front_config *c, struct dm_front **ret,
                          struct dm_error *err)
{
    struct dm_front *f = DM_NEW(struct dm_front);
    enum dm_code rc = DM_OK;

    f->config = *c;
    f->limits = dm_listener_limits_new(c->max_connections);
    f->workers = dm_mem_array(c->n_workers, sizeof(*f->workers));
    for (size_t i = 0; rc == DM_OK && i < c->n_workers; i++)
        rc = make_worker(f, i, err);
    if (rc != DM_OK) {
        dm_front_free(f);
        return rc;
    }
    *ret = f;
    return DM_OK;
}

void dm_front_stop(struct dm_front *f)
{
    for (size_t i = 0; i < f->config.n_workers; i++) {
        if (!f->workers[i].running)
            continue;
        dm_loop_stop(f->workers[i].seat.loop);
        pthread_join(f->workers[i].id, NULL);
        f->workers[i].running = false;
    }
}

static void free_guests(struct worker *w)
{
    dm_listener_free(w->listener);
    dm_mailbox_free(w->seat.mailbox);
    if (w->guest != NULL)
        w->front->config.free_guest(w->guest);
    dm_http_client_free(w->door_client);
}

static void free_loop(struct worker *w)
{
    dm_loop_free(w->seat.loop);
    dm_arena_pool_free(w->seat.arenas);
}

void dm_front_free(struct dm_front *f)
{
    if (f == NULL)
        return;
    dm_front_stop(f);
    for (size_t i = 0; i < f->config.n_workers; i++)
        free_guests(&f->workers[i]);
    if (f->config.guests_done != NULL)
        f->config.guests_done(f->config.ctx);
    for (size_t i = 0; i < f->config.n_workers; i++)
        free_loop(&f->workers[i]);
    dm_listener_limits_free(f->limits);
    dm_mem_free(f->workers);
    dm_mem_free(f);
}

struct dm_loop *dm_front_loop(struct dm_front *f, size_t worker)
{
    return f->workers[worker].seat.loop;
}

struct dm_mailbox *dm_front_mailbox(struct dm_front *f, size_t worker)
{
    return f->workers[worker].seat.mailbox;
}

void *dm_front_guest_of(struct dm_front *f, size_t worker)
{
    return f->workers[worker].guest;
}

uint16_t dm_front_port(const struct dm_front *f)
{
    return f->port;
}

#include "plane_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Second 20 of its minute: tokens and windows are good for as long as a test runs. */
static const dm_time START = 1700000000 * DM_SEC;

int plane_rig_port(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

/* --- the upstream --- */

struct upstream_conn {
    char in[8192];
    size_t len, n_unanswered;
};

struct upstream_run { /* of its thread alone; place 0 wakes it, place 1 is the port */
    struct pollfd fds[2 + PLANE_UPSTREAM_CONNS];
    struct upstream_conn conns[PLANE_UPSTREAM_CONNS];
};

static bool is_held(struct plane_upstream *u)
{
    pthread_mutex_lock(&u->lock);
    const bool held = u->held;
    pthread_mutex_unlock(&u->lock);
    return held;
}

static void count_requests(struct plane_upstream *u, size_t n)
{
    pthread_mutex_lock(&u->lock);
    u->n_requests += n;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

static size_t take_requests(struct upstream_conn *c)
{
    size_t n = 0;
    char *end;

    while ((end = memmem(c->in, c->len, "\r\n\r\n", 4)) != NULL) {
        const size_t length = (size_t)(end + 4 - c->in);
        memmove(c->in, c->in + length, c->len - length);
        c->len -= length;
        n++;
    }
    return n;
}

/* false: the connection has ended. */
static bool read_requests(struct plane_upstream *u, int fd, struct upstream_conn *c)
{
    const ssize_t got = recv(fd, c->in + c->len, sizeof c->in - c->len, 0);

    if (got <= 0)
        return false;
    c->len += (size_t)got;
    const size_t n = take_requests(c);
    c->n_unanswered += n;
    count_requests(u, n);
    return true;
}

static void answer_requests(struct upstream_run *run)
{
    for (size_t i = 0; i < PLANE_UPSTREAM_CONNS; i++)
        for (; run->conns[i].n_unanswered > 0; run->conns[i].n_unanswered--)
            (void)send(run->fds[2 + i].fd, RIG_OK, strlen(RIG_OK), MSG_NOSIGNAL);
}

static void accept_conn(struct plane_upstream *u, struct upstream_run *run)
{
    const int fd = accept4(u->listener, NULL, NULL, SOCK_CLOEXEC);

    for (size_t i = 0; fd >= 0 && i < PLANE_UPSTREAM_CONNS; i++) {
        if (run->fds[2 + i].fd >= 0)
            continue;
        run->fds[2 + i].fd = fd;
        run->conns[i] = (struct upstream_conn){.len = 0};
        return;
    }
    if (fd >= 0)
        close(fd); /* the calls on it fail, and so does the test */
}

static void serve_conns(struct plane_upstream *u, struct upstream_run *run)
{
    for (size_t i = 0; i < PLANE_UPSTREAM_CONNS; i++) {
        struct pollfd *p = &run->fds[2 + i];
        if (p->fd < 0 || p->revents == 0 || read_requests(u, p->fd, &run->conns[i]))
            continue;
        close(p->fd);
        p->fd = -1;
        run->conns[i].n_unanswered = 0;
    }
}

static bool is_stopping(struct plane_upstream *u)
{
    uint64_t count;

    (void)!read(u->wake, &count, sizeof count);
    pthread_mutex_lock(&u->lock);
    const bool stopping = u->stopping;
    pthread_mutex_unlock(&u->lock);
    return stopping;
}

static void *run_upstream(void *arg)
{
    struct plane_upstream *u = arg;
    struct upstream_run *run = calloc(1, sizeof *run);

    run->fds[0] = (struct pollfd){.fd = u->wake, .events = POLLIN};
    run->fds[1] = (struct pollfd){.fd = u->listener, .events = POLLIN};
    for (size_t i = 0; i < PLANE_UPSTREAM_CONNS; i++)
        run->fds[2 + i] = (struct pollfd){.fd = -1, .events = POLLIN};
    while (!is_stopping(u)) {
        poll(run->fds, 2 + PLANE_UPSTREAM_CONNS, -1);
        if (run->fds[1].revents != 0)
            accept_conn(u, run);
        serve_conns(u, run);
        if (!is_held(u))
            answer_requests(run);
    }
    for (size_t i = 0; i < PLANE_UPSTREAM_CONNS; i++)
        if (run->fds[2 + i].fd >= 0)
            close(run->fds[2 + i].fd);
    free(run);
    return NULL;
}

static void wake_upstream(struct plane_upstream *u)
{
    const uint64_t one = 1;

    assert_int_equal(write(u->wake, &one, sizeof one), sizeof one);
}

static void start_upstream(struct plane_upstream *u)
{
    u->listener = plane_rig_port(&u->port);
    u->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->changed, NULL);
    assert_int_equal(pthread_create(&u->id, NULL, run_upstream, u), 0);
}

static void stop_upstream(struct plane_upstream *u)
{
    pthread_mutex_lock(&u->lock);
    u->stopping = true;
    pthread_mutex_unlock(&u->lock);
    wake_upstream(u);
    pthread_join(u->id, NULL);
    close(u->listener);
    close(u->wake);
    pthread_mutex_destroy(&u->lock);
    pthread_cond_destroy(&u->changed);
}

size_t plane_rig_requests(struct plane_rig *r)
{
    pthread_mutex_lock(&r->up.lock);
    const size_t n = r->up.n_requests;
    pthread_mutex_unlock(&r->up.lock);
    return n;
}

void plane_rig_wait_requests(struct plane_rig *r, size_t n)
{
    pthread_mutex_lock(&r->up.lock);
    while (r->up.n_requests < n)
        pthread_cond_wait(&r->up.changed, &r->up.lock);
    pthread_mutex_unlock(&r->up.lock);
}

void plane_rig_hold(struct plane_rig *r, bool held)
{
    pthread_mutex_lock(&r->up.lock);
    r->up.held = held;
    pthread_mutex_unlock(&r->up.lock);
    wake_upstream(&r->up);
}

/* --- a live store that tells which worker asked --- */

static struct plane_tap *tap_of(struct dm_live *l)
{
    return DM_CONTAINER_OF(l, struct plane_tap, base);
}

static void tap_cancel(struct dm_live *l, struct dm_live_wait *w)
{
    dm_live_cancel(tap_of(l)->real, w);
}

static void tap_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                      struct dm_live_wait *w, dm_admit_fn fn)
{
    atomic_fetch_add(&tap_of(l)->n_admits, 1);
    dm_live_ask_admit(tap_of(l)->real, ask, deadline, w, fn);
}

static void tap_bandwidth(struct dm_live *l, dm_view subject, int64_t window, int64_t bytes)
{
    dm_live_add_bandwidth(tap_of(l)->real, subject, window, bytes);
}

static void tap_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                        struct dm_live_wait *w, dm_reserve_fn fn)
{
    dm_live_ask_reserve(tap_of(l)->real, ask, deadline, w, fn);
}

static void tap_settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent)
{
    dm_live_settle(tap_of(l)->real, group, subject, id, spent);
}

static void tap_objects(struct dm_live *l, const dm_view (*names)[2], size_t n, dm_time deadline,
                        struct dm_live_wait *w, dm_objects_fn fn)
{
    dm_live_ask_objects(tap_of(l)->real, names, n, deadline, w, fn);
}

static void tap_subscribe(struct dm_live *l, struct dm_live_subscriber *s)
{
    dm_live_subscribe(tap_of(l)->real, s);
}

static size_t tap_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record)
{
    return dm_live_emit(tap_of(l)->real, s, id, record);
}

static size_t tap_emit_pending(const struct dm_live *l, enum dm_stream s)
{
    (void)l;
    (void)s;
    return 0;
}

static void tap_free(struct dm_live *l)
{
    dm_live_free(tap_of(l)->real);
}

static const struct dm_live_ops tap_ops = {
    .cancel = tap_cancel,
    .ask_admit = tap_admit,
    .add_bandwidth = tap_bandwidth,
    .ask_reserve = tap_reserve,
    .settle = tap_settle,
    .ask_objects = tap_objects,
    .subscribe = tap_subscribe,
    .emit = tap_emit,
    .emit_pending = tap_emit_pending,
    .free = tap_free,
};

static struct dm_live *live_of_worker(void *ctx, size_t worker, struct dm_loop *loop)
{
    struct plane_rig *r = ctx;
    struct plane_tap *tap = &r->taps[worker];

    if (worker == 0)
        r->memory = dm_live_memory_new(loop);
    tap->base.ops = &tap_ops;
    tap->real = dm_live_memory_handle(r->memory, loop);
    return &tap->base;
}

static void live_done(void *ctx)
{
    struct plane_rig *r = ctx;

    dm_live_memory_free(r->memory);
}

/* --- policy --- */

void plane_rig_publish(struct plane_rig *r, const char *kind, const char *id, const char *json)
{
    const struct dm_live_change change = {dm_view_of(kind), dm_view_of(id), dm_view_of(json)};
    uint64_t generation;

    assert_int_equal(dm_live_publish(r->admin, &change, 1, &generation, NULL), DM_OK);
    while (gw_snapshot_generation(r->cell) < generation)
        sched_yield();
}

void plane_rig_user(struct plane_rig *r, const char *username, const char *more)
{
    char json[1024];

    snprintf(json, sizeof json, "{%s\"username\":\"%s\",\"role\":\"user\",\"groups\":[\"ALL\"]}",
             more, username);
    plane_rig_publish(r, "user", username, json);
}

void plane_rig_api(struct plane_rig *r, const char *more)
{
    char json[1024];

    snprintf(json, sizeof json,
             "{%s\"api_id\":\"a1\",\"api_name\":\"demo\",\"api_version\":\"v1\","
             "\"api_path\":\"/demo/v1\",\"api_allowed_groups\":[\"ALL\"],"
             "\"api_servers\":[\"http://127.0.0.1:%u\"]}",
             more, r->up.port);
    plane_rig_publish(r, "api", "a1", json);
}

static void publish_demo(struct plane_rig *r)
{
    plane_rig_api(r, "");
    plane_rig_publish(r, "endpoint", "e1",
                      "{\"endpoint_id\":\"e1\",\"api_id\":\"a1\",\"endpoint_method\":\"GET\","
                      "\"endpoint_uri\":\"/items\"}");
    plane_rig_user(r, "bob", "");
    plane_rig_user(r, "eve", "");
    plane_rig_publish(r, "subscription", "bob", "{\"username\":\"bob\",\"apis\":[\"demo/v1\"]}");
    plane_rig_publish(r, "subscription", "eve", "{\"username\":\"eve\",\"apis\":[\"demo/v1\"]}");
}

/* --- birth and end --- */

static void on_drained(void *ctx)
{
    struct plane_rig *r = ctx;

    atomic_fetch_add(&r->n_drained, 1);
    sem_post(&r->drained);
}

static void make_plane(struct plane_rig *r, uint16_t port)
{
    const struct gw_plane_config config = {.n_workers = PLANE_WORKERS,
                                           .host = "127.0.0.1",
                                           .port = port,
                                           .max_connections = 256,
                                           .cell = r->cell,
                                           .settings = r->settings,
                                           .metrics = r->metrics,
                                           .ops = &r->ops,
                                           .clock = &r->clock.clock,
                                           .live = live_of_worker,
                                           .live_done = live_done,
                                           .on_drained = on_drained,
                                           .ctx = r};
    struct gw_loader_config loader = {
        .cell = r->cell, .ops = &r->ops, .metrics = r->metrics, .shard = PLANE_WORKERS};
    struct dm_error err = {0};

    if (gw_plane_new(&config, &r->plane, &err) != DM_OK)
        fail_msg("%s", err.text);
    loader.loop = gw_plane_loop(r->plane, 0);
    loader.live = gw_plane_live(r->plane, 0);
    r->loader = gw_loader_new(&loader);
    r->admin = dm_live_memory_admin(r->memory);
    if (gw_plane_start(r->plane, &err) != DM_OK)
        fail_msg("%s", err.text);
}

void plane_rig_init(struct plane_rig *r, uint16_t port)
{
    dm_clock_manual_init(&r->clock, 1000 * DM_SEC, START);
    /* The store lives on another worker: on a busy machine its turn may come late, and this is no
     * test of lateness. */
    r->settings = rig_settings((const char *const[]){"REDIS_ADMISSION_TIMEOUT_MS=1000", NULL});
    r->keys = rig_keys(r->settings);
    r->metrics = dm_metrics_new(PLANE_WORKERS + 1);
    r->ops.clock = &r->clock.clock;
    r->ops.metrics = r->metrics;
    r->ops.mode = "memory";
    r->cell = gw_snapshot_cell_new(r->settings, r->keys);
    sem_init(&r->drained, 0, 0);
    start_upstream(&r->up);
    make_plane(r, port);
    publish_demo(r);
}

/* In the order in which the program ends (programs/doorman/main.c). */
void plane_rig_done(struct plane_rig *r)
{
    gw_plane_stop(r->plane);
    gw_loader_free(r->loader);
    dm_live_admin_free(r->admin);
    gw_plane_free(r->plane);
    gw_snapshot_cell_free(r->cell);
    stop_upstream(&r->up);
    sem_destroy(&r->drained);
    dm_keyset_unref(r->keys);
    dm_settings_unref(r->settings);
    dm_metrics_free(r->metrics);
}

int plane_rig_setup(void **state)
{
    struct plane_rig *r = test_calloc(1, sizeof *r);
    struct dm_error err = {0};

    plane_rig_init(r, 0);
    if (gw_plane_listen(r->plane, &err) != DM_OK)
        fail_msg("%s", err.text);
    *state = r;
    return 0;
}

int plane_rig_teardown(void **state)
{
    plane_rig_done(*state);
    test_free(*state);
    return 0;
}

/* --- clients --- */

static void speak_as(struct plane_client *c, struct plane_rig *r, const char *username)
{
    char payload[256], token[2048];

    snprintf(payload, sizeof payload,
             "{\"sub\":\"%s\",\"jti\":\"j-%s\",\"token_use\":\"access\",\"iat\":1700000000,"
             "\"nbf\":1700000000,\"exp\":1700086400}",
             username, username);
    rig_sign(r->keys, payload, token, sizeof token);
    snprintf(c->request, sizeof c->request,
             "GET /api/rest/demo/v1/items HTTP/1.1\r\nHost: gw.test\r\n"
             "Authorization: Bearer %s\r\n\r\n",
             token);
}

bool plane_client_open(struct plane_client *c, struct plane_rig *r, const char *username)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons(gw_plane_port(r->plane)),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};

    memset(c, 0, sizeof *c);
    speak_as(c, r, username);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && connect(c->fd, (const struct sockaddr *)&a, sizeof a) == 0)
        return true;
    plane_client_close(c);
    return false;
}

/* The kernel spreads connections by their address: some are tried until one falls to the worker. */
void plane_client_open_at(struct plane_client *c, struct plane_rig *r, const char *username,
                          size_t worker)
{
    for (int tries = 0; tries < 1000; tries++) {
        const size_t before = atomic_load(&r->taps[worker].n_admits);

        assert_true(plane_client_open(c, r, "bob"));
        assert_int_equal(plane_client_call(c), 200);
        speak_as(c, r, username);
        if (atomic_load(&r->taps[worker].n_admits) > before)
            return;
        plane_client_close(c);
    }
    fail_msg("no connection falls to worker %zu", worker);
}

void plane_client_send(struct plane_client *c)
{
    (void)!send(c->fd, c->request, strlen(c->request), MSG_NOSIGNAL);
}

/* Length of the answer that begins the input, head and body; 0: not yet whole. */
static size_t answer_length(const struct plane_client *c)
{
    const char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
    size_t body = 0;

    if (end == NULL)
        return 0;
    const size_t head = (size_t)(end + 4 - c->in);
    const char *length = memmem(c->in, head, "Content-Length: ", 16);
    if (length != NULL)
        sscanf(length + 16, "%zu", &body);
    return head + body <= c->len ? head + body : 0;
}

int plane_client_receive(struct plane_client *c)
{
    size_t length;
    int status = 0;

    while ((length = answer_length(c)) == 0) {
        const ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - c->len, 0);
        if (n <= 0)
            return 0;
        c->len += (size_t)n;
    }
    sscanf(c->in, "HTTP/1.1 %d", &status);
    c->last = memmem(c->in, length, "Connection: close\r\n", 19) != NULL;
    memmove(c->in, c->in + length, c->len - length);
    c->len -= length;
    return status;
}

int plane_client_call(struct plane_client *c)
{
    plane_client_send(c);
    return plane_client_receive(c);
}

bool plane_client_closed(struct plane_client *c)
{
    return recv(c->fd, c->in, sizeof c->in, 0) <= 0;
}

void plane_client_close(struct plane_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* Four workers on threads of their own: traffic while policy changes under it, drain, and the end.
 * Real clock; waiting is for events only. What a race would break, ThreadSanitizer sees here. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/plane.h"
#include "rig.h"

enum { WORKERS = 4, CLIENTS = 8, CONNECTIONS = 4, REQUESTS = 10, CHANGES = 30 };

struct upstream {
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool holds; /* answers wait until it is false */
    size_t n_seen, n_threads;
};

struct bench { /* everything that stands on it */
    struct dm_settings *settings;
    struct dm_keyset *keys;
    struct dm_metrics *metrics;
    struct dm_ops ops;
    struct gw_snapshot_cell *cell;
    struct gw_plane *plane;
    struct dm_live_memory *memory;
    struct dm_live_admin *admin;
    struct gw_loader *loader;
    struct upstream up;
    char token[2048];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool drained;
};

/* --- the upstream: a thread per connection --- */

struct served {
    struct upstream *up;
    int fd;
};

static void answer_one(struct upstream *u, int fd)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    pthread_mutex_lock(&u->lock);
    u->n_seen++;
    pthread_cond_broadcast(&u->changed);
    while (u->holds)
        pthread_cond_wait(&u->changed, &u->lock);
    pthread_mutex_unlock(&u->lock);
    (void)send(fd, text, sizeof text - 1, MSG_NOSIGNAL);
}

static void *serve_connection(void *arg)
{
    struct served s = *(struct served *)arg;
    char in[8192];
    size_t len = 0;
    ssize_t n;

    free(arg);
    while ((n = recv(s.fd, in + len, sizeof in - len, 0)) > 0) {
        len += (size_t)n;
        if (memmem(in, len, "\r\n\r\n", 4) == NULL)
            continue;
        len = 0;
        answer_one(s.up, s.fd);
    }
    close(s.fd);
    pthread_mutex_lock(&s.up->lock);
    s.up->n_threads--;
    pthread_cond_broadcast(&s.up->changed);
    pthread_mutex_unlock(&s.up->lock);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct upstream *u = arg;
    int fd;

    while ((fd = accept(u->listener, NULL, NULL)) >= 0) {
        struct served *s = malloc(sizeof *s);
        pthread_t thread;
        *s = (struct served){u, fd};
        pthread_mutex_lock(&u->lock);
        u->n_threads++;
        pthread_mutex_unlock(&u->lock);
        assert_int_equal(pthread_create(&thread, NULL, serve_connection, s), 0);
        pthread_detach(thread);
    }
    return NULL;
}

static void open_upstream(struct upstream *u)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;

    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->changed, NULL);
    u->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(u->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(u->listener, 128), 0);
    assert_int_equal(getsockname(u->listener, (struct sockaddr *)&a, &len), 0);
    u->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&u->thread, NULL, accept_all, u), 0);
}

static void hold(struct upstream *u, bool holds)
{
    pthread_mutex_lock(&u->lock);
    u->holds = holds;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

static void wait_seen(struct upstream *u, size_t n)
{
    pthread_mutex_lock(&u->lock);
    while (u->n_seen < n)
        pthread_cond_wait(&u->changed, &u->lock);
    pthread_mutex_unlock(&u->lock);
}

/* Its connections end when the plane is gone. */
static void close_upstream(struct upstream *u)
{
    hold(u, false);
    shutdown(u->listener, SHUT_RDWR);
    pthread_join(u->thread, NULL);
    close(u->listener);
    pthread_mutex_lock(&u->lock);
    while (u->n_threads > 0)
        pthread_cond_wait(&u->changed, &u->lock);
    pthread_mutex_unlock(&u->lock);
    pthread_mutex_destroy(&u->lock);
    pthread_cond_destroy(&u->changed);
}

/* --- the plane --- */

static struct dm_live *live_of(void *ctx, size_t worker, struct dm_loop *loop)
{
    struct bench *b = ctx;

    if (worker == 0)
        b->memory = dm_live_memory_new(loop);
    return dm_live_memory_handle(b->memory, loop);
}

static void live_done(void *ctx)
{
    struct bench *b = ctx;

    dm_live_memory_free(b->memory);
}

static void on_drained(void *ctx)
{
    struct bench *b = ctx;

    pthread_mutex_lock(&b->lock);
    b->drained = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static void publish(struct bench *b, const char *kind, const char *id, const char *json)
{
    const struct dm_live_change change = {dm_view_of(kind), dm_view_of(id), dm_view_of(json)};

    assert_int_equal(dm_live_publish(b->admin, &change, 1, NULL, NULL), DM_OK);
}

static void publish_api(struct bench *b, bool active)
{
    char json[512];

    snprintf(
        json, sizeof json,
        "{\"api_id\":\"a1\",\"api_name\":\"demo\",\"api_version\":\"v1\",\"api_path\":\"/demo/v1\","
        "\"api_allowed_groups\":[\"ALL\"],\"active\":%s,\"api_servers\":[\"http://127.0.0.1:%u\"]}",
        active ? "true" : "false", b->up.port);
    publish(b, "api", "a1", json);
}

static void sign_token(struct bench *b)
{
    const long long now = (long long)time(NULL);
    char payload[512];

    snprintf(payload, sizeof payload,
             "{\"sub\":\"bob\",\"jti\":\"j\",\"token_use\":\"access\",\"iat\":%lld,\"nbf\":%lld,"
             "\"exp\":%lld}",
             now - 10, now - 10, now + 3600);
    rig_sign(b->keys, payload, b->token, sizeof b->token);
}

static struct bench *begin(void)
{
    struct bench *b = test_calloc(1, sizeof *b);
    struct dm_error err = {0};

    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    open_upstream(&b->up);
    /* The store lives on another worker: on a busy machine its turn may come late, and this is no
     * test of lateness. */
    b->settings = rig_settings((const char *const[]){"REDIS_ADMISSION_TIMEOUT_MS=1000", NULL});
    b->keys = rig_keys(b->settings);
    sign_token(b);
    b->metrics = dm_metrics_new(WORKERS);
    b->ops.metrics = b->metrics;
    b->ops.clock = &dm_clock_system;
    b->cell = gw_snapshot_cell_new(b->settings, b->keys);
    const struct gw_plane_config plane = {.n_workers = WORKERS,
                                          .host = "127.0.0.1",
                                          .max_connections = 128,
                                          .cell = b->cell,
                                          .settings = b->settings,
                                          .metrics = b->metrics,
                                          .ops = &b->ops,
                                          .clock = &dm_clock_system,
                                          .live = live_of,
                                          .live_done = live_done,
                                          .on_drained = on_drained,
                                          .ctx = b};
    if (gw_plane_new(&plane, &b->plane, &err) != DM_OK)
        fail_msg("%s", err.text);
    b->admin = dm_live_memory_admin(b->memory);
    const struct gw_loader_config loader = {.loop = gw_plane_loop(b->plane, 0),
                                            .live = gw_plane_live(b->plane, 0),
                                            .cell = b->cell,
                                            .ops = &b->ops,
                                            .metrics = b->metrics};
    b->loader = gw_loader_new(&loader);
    assert_int_equal(gw_plane_start(b->plane, &err), DM_OK);
    if (gw_plane_listen(b->plane, &err) != DM_OK)
        fail_msg("%s", err.text);
    publish_api(b, true);
    publish(b, "endpoint", "e1",
            "{\"endpoint_id\":\"e1\",\"api_id\":\"a1\",\"endpoint_method\":\"GET\",\"endpoint_"
            "uri\":\"/items\"}");
    publish(b, "user", "bob", "{\"username\":\"bob\",\"role\":\"user\",\"groups\":[\"ALL\"]}");
    publish(b, "subscription", "bob", "{\"username\":\"bob\",\"apis\":[\"demo/v1\"]}");
    return b;
}

static void end(struct bench *b)
{
    gw_plane_stop(b->plane);
    gw_loader_free(b->loader);
    dm_live_admin_free(b->admin);
    gw_plane_free(b->plane);
    gw_snapshot_cell_free(b->cell);
    close_upstream(&b->up);
    dm_metrics_free(b->metrics);
    dm_keyset_unref(b->keys);
    dm_settings_unref(b->settings);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    test_free(b);
}

/* --- clients --- */

static int connect_to(struct bench *b)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons(gw_plane_port(b->plane)),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void send_request(struct bench *b, int fd)
{
    char request[4096];
    const int len = snprintf(
        request, sizeof request,
        "GET /api/rest/demo/v1/items HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n\r\n",
        b->token);

    assert_int_equal(send(fd, request, (size_t)len, MSG_NOSIGNAL), len);
}

/* Status of one whole answer (Content-Length), text into in; 0: the connection ended before it. */
static int read_answer(int fd, char *in, size_t size)
{
    size_t len = 0;
    int status = 0;

    for (;;) {
        const ssize_t n = recv(fd, in + len, size - 1 - len, 0);
        if (n <= 0)
            return 0;
        len += (size_t)n;
        in[len] = '\0';
        const char *end = strstr(in, "\r\n\r\n"), *length = strstr(in, "Content-Length: ");
        unsigned long long body = 0;
        if (end == NULL || length == NULL || sscanf(length + 16, "%llu", &body) != 1)
            continue;
        if (len >= (size_t)(end + 4 - in) + body)
            return sscanf(in, "HTTP/1.1 %d", &status) == 1 ? status : 0;
    }
}

struct client {
    struct bench *bench;
    pthread_t thread;
    size_t served, refused, other;
    int last_other;
};

static void *run_client(void *arg)
{
    struct client *c = arg;
    char in[8192];

    for (int i = 0; i < CONNECTIONS; i++) {
        const int fd = connect_to(c->bench);
        for (int k = 0; k < REQUESTS; k++) {
            send_request(c->bench, fd);
            const int status = read_answer(fd, in, sizeof in);
            c->served += status == 200;
            c->refused += status == 403;
            if (status != 200 && status != 403) {
                c->other++;
                c->last_other = status;
            }
        }
        close(fd);
    }
    return NULL;
}

static int64_t counted(struct bench *b, const char *labels)
{
    return dm_metric_value(dm_metric_get(b->metrics, DM_COUNTER, "doorman_http_requests_total",
                                         labels, "Proxied requests by status.", NULL, 0));
}

static void four_workers_serve_while_policy_changes(void **state)
{
    struct bench *b = begin();
    struct client clients[CLIENTS] = {{0}};
    size_t served = 0, refused = 0;
    char in[8192];

    (void)state;
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i].bench = b;
        assert_int_equal(pthread_create(&clients[i].thread, NULL, run_client, &clients[i]), 0);
    }
    for (int i = 0; i < CHANGES; i++) {
        publish_api(b, i % 2 == 0);
        publish(b, "user", "bob", "{\"username\":\"bob\",\"role\":\"user\",\"groups\":[\"ALL\"]}");
        if (i % 10 == 0)
            gw_plane_forget(b->plane);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        served += clients[i].served;
        refused += clients[i].refused;
        if (clients[i].other > 0)
            fail_msg("%zu other answers, the last one %d", clients[i].other, clients[i].last_other);
    }
    assert_int_equal(served + refused, CLIENTS * CONNECTIONS * REQUESTS);
    publish_api(b, false); /* what was answered is in force, whichever worker is asked */
    for (int i = 0; i < 2 * WORKERS; i++) {
        const int fd = connect_to(b);
        send_request(b, fd);
        assert_int_equal(read_answer(fd, in, sizeof in), 403);
        close(fd);
    }
    gw_plane_stop(b->plane); /* a request is counted after its last byte left */
    assert_int_equal(counted(b, "code=\"200\""), served);
    assert_int_equal(counted(b, "code=\"403\""), refused + 2 * WORKERS);
    end(b);
}

static void a_revocation_holds_on_every_worker(void **state)
{
    struct bench *b = begin();
    char in[8192];

    (void)state;
    for (int revoked = 0; revoked < 2; revoked++) {
        for (int i = 0; i < 3 * WORKERS; i++) {
            const int fd = connect_to(b);
            send_request(b, fd);
            assert_int_equal(read_answer(fd, in, sizeof in), revoked ? 401 : 200);
            close(fd);
        }
        assert_int_equal(dm_live_revoke(b->admin, DM_LIT("bob"), DM_LIT("j"),
                                        dm_clock_wall(&dm_clock_system) + 3600 * DM_SEC, NULL),
                         DM_OK);
    }
    end(b);
}

static void drain_lets_running_requests_end(void **state)
{
    struct bench *b = begin();
    char in[8192];
    int fds[WORKERS];

    (void)state;
    hold(&b->up, true);
    for (int i = 0; i < WORKERS; i++) {
        fds[i] = connect_to(b);
        send_request(b, fds[i]);
    }
    wait_seen(&b->up, WORKERS);
    gw_plane_drain(b->plane);
    assert_false(b->drained);
    hold(&b->up, false);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(read_answer(fds[i], in, sizeof in), 200);
        assert_non_null(strstr(in, "Connection: close\r\n"));
        close(fds[i]);
    }
    pthread_mutex_lock(&b->lock);
    while (!b->drained)
        pthread_cond_wait(&b->changed, &b->lock);
    pthread_mutex_unlock(&b->lock);
    assert_int_equal(gw_plane_inflight(b->plane), 0);
    end(b);
}

static void the_end_cuts_what_still_runs(void **state)
{
    struct bench *b = begin();
    char in[8192];

    (void)state;
    hold(&b->up, true);
    const int fd = connect_to(b);
    send_request(b, fd);
    wait_seen(&b->up, 1);
    gw_plane_stop(b->plane);
    assert_int_equal(read_answer(fd, in, sizeof in), 0);
    close(fd);
    end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_workers_serve_while_policy_changes),
        cmocka_unit_test(a_revocation_holds_on_every_worker),
        cmocka_unit_test(drain_lets_running_requests_end),
        cmocka_unit_test(the_end_cuts_what_still_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

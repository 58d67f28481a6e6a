#include "rig.h"
#include "rig_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const dm_time START = 1700000000 * DM_SEC;
size_t rig_arena_chunk = RIG_ARENA_CHUNK;

/* --- time and turns --- */

static bool turn(struct rig *r)
{
    bool busy = false;

    dm_loop_turn(r->loop, 0);
    for (size_t i = 0; i < RIG_UPSTREAMS; i++)
        busy = rig_run_upstream(&r->up[i]) || busy;
    return busy;
}

void rig_turn(struct rig *r)
{
    if (!turn(r))
        dm_loop_turn(r->loop, DM_MS); /* waits for an event, not for time */
}

void rig_settle(struct rig *r)
{
    for (int quiet = 0; quiet < 20;
         quiet++) /* loopback delivers at once; some turns pass work on */
        if (turn(r))
            quiet = 0;
}

void rig_pass(struct rig *r, dm_time time)
{
    dm_clock_manual_step(&r->clock, time);
    rig_settle(r);
}

/* --- the admin's side: blocking calls from a thread of their own, while the loop turns --- */

struct admin_call {
    struct rig *rig;
    const struct dm_live_change *change;
    const char *username, *jti;
    const char *group; /* credits: set, or read where balance is negative */
    int64_t balance;
    enum dm_code code;
    _Atomic bool done;
};

static void *run_admin_call(void *arg)
{
    struct admin_call *c = arg;

    if (c->change != NULL)
        c->code = dm_live_publish(c->rig->admin, c->change, 1, NULL, NULL);
    else if (c->group != NULL && c->balance >= 0)
        c->code = dm_live_credits_set(c->rig->admin, dm_view_of(c->group), dm_view_of(c->username),
                                      c->balance, false, NULL);
    else if (c->group != NULL)
        c->code = dm_live_credits_get(c->rig->admin, dm_view_of(c->group), dm_view_of(c->username),
                                      &c->balance, NULL);
    else
        c->code = dm_live_revoke(c->rig->admin, dm_view_of(c->username), dm_view_of(c->jti),
                                 START + 3600 * DM_SEC, NULL);
    atomic_store(&c->done, true);
    return NULL;
}

static void admin_call(struct admin_call *c)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_admin_call, c), 0);
    rig_until(c->rig, atomic_load(&c->done));
    pthread_join(thread, NULL);
    assert_int_equal(c->code, DM_OK);
    rig_settle(c->rig);
}

void rig_publish(struct rig *r, const char *kind, const char *id, const char *json)
{
    const struct dm_live_change change = {dm_view_of(kind), dm_view_of(id), dm_view_of(json)};
    struct admin_call c = {.rig = r, .change = &change};

    admin_call(&c);
}

void rig_revoke(struct rig *r, const char *username, const char *jti)
{
    struct admin_call c = {.rig = r, .username = username, .jti = jti};

    admin_call(&c);
}

void rig_set_credits(struct rig *r, const char *username, int64_t balance)
{
    struct admin_call c = {.rig = r, .username = username, .group = "g", .balance = balance};

    admin_call(&c);
}

int64_t rig_credits(struct rig *r, const char *username)
{
    struct admin_call c = {.rig = r, .username = username, .group = "g", .balance = -1};

    admin_call(&c);
    return c.balance;
}

/* Members that `more` does not bring itself. */
static const char *unless(const char *more, const char *name, const char *member)
{
    return strstr(more, name) == NULL ? member : "";
}

void rig_api(struct rig *r, const char *more)
{
    char servers[256], json[8192];

    snprintf(servers, sizeof servers,
             "\"api_servers\":[\"http://127.0.0.1:%u\",\"http://127.0.0.1:%u\"],", r->up[0].port,
             r->up[1].port);
    snprintf(json, sizeof json,
             "{%s%s%s\"api_id\":\"a1\",\"api_name\":\"demo\",\"api_version\":\"v1\","
             "\"api_path\":\"/demo/v1\"}",
             more, unless(more, "api_servers", servers),
             unless(more, "api_allowed_groups", "\"api_allowed_groups\":[\"ALL\"],"));
    rig_publish(r, "api", "a1", json);
}

void rig_user(struct rig *r, const char *username, const char *more)
{
    char json[4096];

    snprintf(json, sizeof json, "{%s%s%s\"username\":\"%s\"}", more,
             unless(more, "role", "\"role\":\"user\","),
             unless(more, "groups", "\"groups\":[\"ALL\"],"), username);
    rig_publish(r, "user", username, json);
}

void rig_demo(struct rig *r)
{
    rig_api(r, "");
    rig_publish(r, "endpoint", "e1",
                "{\"endpoint_id\":\"e1\",\"api_id\":\"a1\",\"endpoint_method\":\"GET\",\"endpoint_"
                "uri\":\"/items\"}");
    rig_publish(r, "endpoint", "e2",
                "{\"endpoint_id\":\"e2\",\"api_id\":\"a1\",\"endpoint_method\":\"GET\","
                "\"endpoint_uri\":\"/items/{id}\"}");
    rig_publish(r, "endpoint", "e3",
                "{\"endpoint_id\":\"e3\",\"api_id\":\"a1\",\"endpoint_method\":\"POST\",\"endpoint_"
                "uri\":\"/items\"}");
    rig_user(r, "bob", "");
    rig_publish(r, "subscription", "bob", "{\"username\":\"bob\",\"apis\":[\"demo/v1\"]}");
}

void rig_sign(const struct dm_keyset *keys, const char *payload, char *token, size_t size)
{
    struct dm_buf out;

    dm_buf_init(&out, size - 1);
    assert_int_equal(dm_jwt_sign(dm_keyset_signer(keys), dm_view_of(payload), &out), DM_OK);
    snprintf(token, size, "%.*s", DM_FMT(dm_buf_view(&out)));
    dm_buf_done(&out);
}

const char *rig_token(struct rig *r, const char *username, const char *more_claims)
{
    static char token[2048];
    char payload[1024];

    snprintf(payload, sizeof payload,
             "{%s\"sub\":\"%s\",\"jti\":\"j-%s\",\"token_use\":\"access\",\"iat\":1700000000,"
             "\"nbf\":1700000000,\"exp\":1700086400}",
             more_claims, username, username);
    rig_sign(r->keys, payload, token, sizeof token);
    return token;
}

/* --- the client's side --- */

int rig_connect(struct rig *r)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons(r->port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

void rig_send(struct rig *r, int fd, const char *text, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            rig_turn(r);
            continue;
        }
        text += n;
        len -= (size_t)n;
    }
}

bool rig_receive(struct rig *r, int fd)
{
    const ssize_t n =
        recv(fd, r->answer + r->answer_len, sizeof r->answer - 1 - r->answer_len, MSG_DONTWAIT);

    if (n > 0) {
        r->answer_len += (size_t)n;
        r->answer[r->answer_len] = '\0';
    }
    return n > 0 || (n < 0 && errno == EAGAIN);
}

bool rig_complete(struct rig *r)
{
    size_t skip = 0;

    for (;;) { /* over interim answers */
        const size_t end = rig_find(r->answer + skip, r->answer_len - skip, "\r\n\r\n");
        if (end == SIZE_MAX)
            return false;
        sscanf(r->answer + skip, "HTTP/1.%*d %d", &r->status);
        r->body = r->answer + skip + end + 4;
        if (r->status >= 200)
            break;
        skip += end + 4;
    }
    if (r->status == 204 || r->status == 304)
        return true;
    return rig_message_length(r->answer + skip, r->answer_len - skip) > 0;
}

int rig_ask(struct rig *r, const char *request)
{
    const bool head = strncmp(request, "HEAD ", 5) == 0;

    if (r->client < 0)
        r->client = rig_connect(r);
    r->answer_len = 0;
    r->status = 0;
    memset(r->answer, 0, 16);
    rig_send(r, r->client, request, strlen(request));
    for (int i = 0; i < 20000; i++) {
        rig_turn(r);
        const bool open = rig_receive(r, r->client);
        const bool whole = rig_complete(r) || (head && r->status >= 200);
        if (!open || (whole && rig_answered(r, "Connection: close"))) {
            close(r->client);
            r->client = -1;
        }
        if (!open || whole) {
            rig_settle(r);
            return r->status;
        }
    }
    fail_msg("no answer to %.60s", request);
    return 0;
}

static int ask_as(struct rig *r, const char *authorization, const char *method, const char *target,
                  const char *fields, const char *body)
{
    static char request[64 * 1024];
    char length[64] = "";

    if (body != NULL)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: gw.test\r\n%s%s%s\r\n%s", method,
             target, authorization, fields, length, body != NULL ? body : "");
    return rig_ask(r, request);
}

int rig_call(struct rig *r, const char *method, const char *target, const char *fields,
             const char *body)
{
    char authorization[2100];

    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s\r\n",
             rig_token(r, "bob", ""));
    return ask_as(r, authorization, method, target, fields, body);
}

int rig_get(struct rig *r, const char *path, const char *fields)
{
    return rig_call(r, "GET", path, fields, NULL);
}

int rig_get_anonymous(struct rig *r, const char *path, const char *fields)
{
    return ask_as(r, "", "GET", path, fields, NULL);
}

bool rig_has(dm_view text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

bool rig_answered(const struct rig *r, const char *line)
{
    const size_t end = rig_find(r->answer, r->answer_len, "\r\n\r\n");
    return rig_has(dm_view_make(r->answer, end == SIZE_MAX ? r->answer_len : end + 2), line);
}

int64_t rig_count(const struct rig *r, enum gw_count which)
{
    return dm_metric_value(r->worker->metrics.counts[which]);
}

struct gw_request *rig_waiting(struct rig *r, enum gw_wait_on on)
{
    for (uint32_t slot = 0; slot < 64; slot++)
        for (uint32_t generation = 1; generation < 64; generation++) {
            struct gw_request *rq =
                gw_request_find(r->worker, (struct gw_handle){slot, generation});
            if (rq != NULL && rq->x != NULL && rq->wait.on == on)
                return rq;
        }
    return NULL;
}

/* --- birth and end --- */

struct dm_settings *rig_settings(const char *const *env)
{
    const char *environ_[32] = {"ENV=test", "JWT_SECRET_KEY=0123456789abcdef0123456789abcdef",
                                "MEM_ENCRYPTION_KEY=not-a-secret-of-anybody",
                                "DOORMAN_ADMIN_PASSWORD=Not-a-Secret-1"};
    struct dm_settings *settings = NULL;
    struct dm_buf faults, warnings;
    size_t n = 4;

    for (; env != NULL && *env != NULL; env++)
        environ_[n++] = *env;
    const struct dm_settings_input in = {
        .role = DM_ROLE_ALL, .environ_ = environ_, .no_files = true};
    dm_buf_init(&faults, 65536);
    dm_buf_init(&warnings, 65536);
    if (dm_settings_load(&in, &settings, &faults, &warnings) != DM_OK)
        fail_msg("%.*s", DM_FMT(dm_buf_view(&faults)));
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    return settings;
}

struct dm_keyset *rig_keys(const struct dm_settings *s)
{
    const struct dm_keyset_source source = {.secret = dm_secret_view(&s->jwt_secret_key)};
    struct dm_keyset *keys = NULL;
    struct dm_buf faults;

    dm_buf_init(&faults, 4096);
    assert_int_equal(dm_keyset_build(&source, &keys, &faults), DM_OK);
    dm_buf_done(&faults);
    return keys;
}

static const struct dm_settings *settings_of(void *app)
{
    struct rig *r = app;
    return gw_snapshot_world(r->worker->reader)->settings;
}

static void serve_head(void *app, struct dm_exchange *x)
{
    struct rig *r = app;
    gw_serve(r->worker, x);
}

static void turn_starts(void *ctx)
{
    struct rig *r = ctx;
    gw_snapshot_refresh(r->worker->reader);
}

static void make_worker(struct rig *r)
{
    const struct gw_worker_config worker = {.loop = r->loop,
                                            .live = &r->live.base,
                                            .cell = r->cell,
                                            .arenas = r->arenas,
                                            .metrics = r->metrics,
                                            .n_workers = 1,
                                            .settings = r->settings};
    static const struct dm_exchange_handler front = {.on_head = serve_head};
    const struct dm_listener_config listener = {.loop = r->loop,
                                                .host = "127.0.0.1",
                                                .arenas = r->arenas,
                                                .limits = r->limits,
                                                .settings = settings_of,
                                                .handler = &front,
                                                .app = r,
                                                .metrics = r->metrics};
    struct dm_error err = {0};

    if (gw_worker_new(&worker, &r->worker, &err) != DM_OK)
        fail_msg("%s", err.text);
    dm_loop_at_start(r->loop, turn_starts, r);
    if (dm_listener_open(&listener, &r->listener, &err) != DM_OK)
        fail_msg("%s", err.text);
    r->port = dm_listener_port(r->listener);
}

static void init_cold(struct rig *r, const char *const *env)
{
    memset(r, 0, sizeof *r);
    dm_clock_manual_init(&r->clock, 1000 * DM_SEC, START);
    r->settings = rig_settings(env);
    r->keys = rig_keys(r->settings);
    r->loop = dm_loop_new(&r->clock.clock);
    r->metrics = dm_metrics_new(1);
    r->arenas = dm_arena_pool_new(rig_arena_chunk, rig_arena_chunk == RIG_ARENA_CHUNK ? 16 : 0);
    r->limits = dm_listener_limits_new(64);
    r->memory = dm_live_memory_new(r->loop);
    r->admin = dm_live_memory_admin(r->memory);
    r->live.base.ops = &rig_holding_ops;
    r->live.real = dm_live_memory_handle(r->memory, r->loop);
    r->cell = gw_snapshot_cell_new(r->settings, r->keys);
    r->client = -1;
    make_worker(r);
    for (size_t i = 0; i < RIG_UPSTREAMS; i++) {
        r->up[i].listener = rig_listen(&r->up[i].port);
        for (size_t k = 0; k < RIG_CONNS; k++)
            r->up[i].conns[k].fd = -1;
    }
}

void rig_init_cold(struct rig *r)
{
    init_cold(r, NULL);
}

void rig_init(struct rig *r, const char *const *env)
{
    init_cold(r, env);
    const struct gw_loader_config loader = {.loop = r->loop,
                                            .live = r->live.real,
                                            .cell = r->cell,
                                            .ops = &r->ops,
                                            .metrics = r->metrics};
    r->loader = gw_loader_new(&loader);
    rig_settle(r);
}

void rig_done(struct rig *r)
{
    if (r->client >= 0)
        close(r->client);
    dm_listener_free(r->listener);
    assert_int_equal(gw_worker_inflight(r->worker), 0);
    gw_worker_free(r->worker);
    gw_loader_free(r->loader);
    dm_live_admin_free(r->admin);
    dm_live_free(&r->live.base);
    dm_live_memory_free(r->memory);
    gw_snapshot_cell_free(r->cell);
    dm_keyset_unref(r->keys);
    dm_settings_unref(r->settings);
    dm_loop_free(r->loop);
    dm_listener_limits_free(r->limits);
    dm_arena_pool_free(r->arenas);
    dm_metrics_free(r->metrics);
    for (size_t i = 0; i < RIG_UPSTREAMS; i++)
        rig_close_upstream(r, i);
}

/* --- for tests that need one rig each --- */

int rig_setup_with(void **state, const char *const *env)
{
    struct rig *r = test_calloc(1, sizeof *r);

    rig_init(r, env);
    rig_demo(r);
    *state = r;
    return 0;
}

int rig_setup(void **state)
{
    return rig_setup_with(state, NULL);
}

int rig_teardown(void **state)
{
    rig_done(*state);
    test_free(*state);
    return 0;
}

void rig_one_server(struct rig *r, const char *more)
{
    char api[2048];

    snprintf(api, sizeof api, "%s\"api_servers\":[\"http://127.0.0.1:%u\"],", more, r->up[0].port);
    rig_api(r, api);
}

int rig_begin(struct rig *r, const char *answer)
{
    char request[4096];
    const int fd = rig_connect(r);

    rig_script(r, 0, answer);
    snprintf(request, sizeof request,
             "GET /api/rest/demo/v1/items HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n\r\n",
             rig_token(r, "bob", ""));
    rig_send(r, fd, request, strlen(request));
    rig_settle(r);
    r->answer_len = 0;
    r->answer[0] = '\0';
    rig_receive(r, fd);
    return fd;
}

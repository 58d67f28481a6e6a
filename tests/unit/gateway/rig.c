#include "rig.h"

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

/* --- a live store in the hands of the test --- */

static struct rig_holding *holding(struct dm_live *l)
{
    return DM_CONTAINER_OF(l, struct rig_holding, base);
}

static void hold_cancel(struct dm_live *l, struct dm_live_wait *w)
{
    struct rig_holding *h = holding(l);

    h->n_cancelled++;
    if (h->wait == w) {
        w->pending = false;
        h->wait = NULL;
        return;
    }
    dm_live_cancel(h->real, w);
}

static void hold_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                       struct dm_live_wait *w, dm_admit_fn fn)
{
    struct rig_holding *h = holding(l);

    h->n_admits++;
    if (!h->holds_admit) {
        dm_live_ask_admit(h->real, ask, deadline, w, fn);
        return;
    }
    w->pending = true;
    h->wait = w;
    h->admit = fn;
}

static void hold_objects(struct dm_live *l, const dm_view (*names)[2], size_t n, dm_time deadline,
                         struct dm_live_wait *w, dm_objects_fn fn)
{
    struct rig_holding *h = holding(l);

    if (!h->holds_objects) {
        dm_live_ask_objects(h->real, names, n, deadline, w, fn);
        return;
    }
    w->pending = true;
    h->wait = w;
    h->objects = fn;
}

static void hold_bandwidth(struct dm_live *l, dm_view subject, int64_t window, int64_t bytes)
{
    holding(l)->bandwidth += bytes;
    dm_live_add_bandwidth(holding(l)->real, subject, window, bytes);
}

/* Held: the credit is taken, and the answer does not come. */
static void swallow(struct dm_live_wait *w, enum dm_reserve_verdict v)
{
    (void)w;
    (void)v;
}

static void hold_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                         struct dm_live_wait *w, dm_reserve_fn fn)
{
    struct rig_holding *h = holding(l);

    h->n_reserves++;
    h->hold = ask->hold;
    if (!h->holds_reserve) {
        dm_live_ask_reserve(h->real, ask, deadline, w, fn);
        return;
    }
    dm_live_ask_reserve(h->real, ask, deadline, &h->swallowed, swallow);
    w->pending = true;
    h->wait = w;
    h->reserve = fn;
}

static void hold_settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent)
{
    struct rig_holding *h = holding(l);

    h->n_spent += spent;
    h->n_given_back += !spent;
    dm_live_settle(h->real, group, subject, id, spent);
}

static void hold_subscribe(struct dm_live *l, struct dm_live_subscriber *s)
{
    dm_live_subscribe(holding(l)->real, s);
}

static size_t hold_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record)
{
    return dm_live_emit(holding(l)->real, s, id, record);
}

static size_t hold_emit_pending(const struct dm_live *l, enum dm_stream s)
{
    (void)l;
    (void)s;
    return 0;
}

static void hold_free(struct dm_live *l)
{
    dm_live_free(holding(l)->real);
}

static const struct dm_live_ops holding_ops = {
    .cancel = hold_cancel,
    .ask_admit = hold_admit,
    .add_bandwidth = hold_bandwidth,
    .ask_reserve = hold_reserve,
    .settle = hold_settle,
    .ask_objects = hold_objects,
    .subscribe = hold_subscribe,
    .emit = hold_emit,
    .emit_pending = hold_emit_pending,
    .free = hold_free,
};

void rig_hold(struct rig *r, bool admit, bool objects)
{
    r->live.holds_admit = admit;
    r->live.holds_objects = objects;
}

void rig_release(struct rig *r, enum dm_admit_verdict verdict)
{
    const struct dm_admit_answer a = {.verdict = verdict,
                                      .now_wall = dm_clock_wall(&r->clock.clock)};
    struct dm_live_wait *w = DM_TAKE(r->live.wait);

    assert_non_null(w);
    w->pending = false;
    r->live.admit(w, &a);
}

/* --- upstreams --- */

static int listen_on_loopback(uint16_t *ret_port)
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

static void drop_conn(struct rig_conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->len = 0;
}

static size_t find(const char *in, size_t len, const char *what)
{
    const char *at = memmem(in, len, what, strlen(what));
    return at == NULL ? SIZE_MAX : (size_t)(at - in);
}

/* Length of the first whole message, head and body; 0: not yet. */
static size_t message_length(const char *in, size_t len)
{
    const size_t end = find(in, len, "\r\n\r\n");
    unsigned long long body = 0;

    if (end == SIZE_MAX)
        return 0;
    const size_t head = end + 4;
    const char *length = memmem(in, head, "Content-Length: ", 16);
    if (length != NULL)
        sscanf(length + 16, "%llu", &body);
    else if (memmem(in, head, "chunked", 7) != NULL) {
        const size_t last = find(in + end, len - end, "\r\n0\r\n");
        const size_t stop =
            last == SIZE_MAX ? SIZE_MAX : find(in + end + last, len - end - last, "\r\n\r\n");
        return stop == SIZE_MAX ? 0 : end + last + stop + 4;
    }
    return head + body <= len ? head + (size_t)body : 0;
}

static void write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n < 0)
            return; /* the other side has left: what the test is about, at times */
        text += n;
        len -= (size_t)n;
    }
}

static void serve(struct rig_upstream *u, struct rig_conn *c, size_t length)
{
    assert_true(u->seen_len + length < sizeof u->seen);
    memcpy(u->seen + u->seen_len, c->in, length);
    u->seen_len += length;
    u->n_requests++;
    memmove(c->in, c->in + length, c->len - length);
    c->len -= length;
    const size_t at = u->answered < u->n_script ? u->answered : u->n_script - 1;
    const char *answer = u->n_script == 0 ? RIG_OK : u->script[at];
    u->answered++;
    if (strcmp(answer, RIG_HANG_UP) == 0)
        drop_conn(c);
    else
        write_all(c->fd, answer, strlen(answer));
}

static bool run_conn(struct rig_upstream *u, struct rig_conn *c)
{
    if (c->fd < 0 || u->paused)
        return false;
    const ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - c->len, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        drop_conn(c);
        return true;
    }
    c->len += n > 0 ? (size_t)n : 0;
    const size_t length = message_length(c->in, c->len);
    if (length > 0)
        serve(u, c, length);
    return n > 0 || length > 0;
}

static bool run_upstream(struct rig_upstream *u)
{
    bool busy = false;
    const int fd =
        u->listener < 0 ? -1 : accept4(u->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    for (size_t i = 0; i < RIG_CONNS; i++) {
        if (fd >= 0 && !busy && u->conns[i].fd < 0) {
            u->conns[i].fd = fd;
            busy = true;
        }
    }
    assert_true(fd < 0 || busy);
    for (size_t i = 0; i < RIG_CONNS; i++)
        busy = run_conn(u, &u->conns[i]) || busy;
    return busy;
}

void rig_script(struct rig *r, size_t upstream, const char *answer)
{
    struct rig_upstream *u = &r->up[upstream];

    assert_true(u->n_script < RIG_SCRIPT);
    u->script[u->n_script++] = answer;
}

dm_view rig_seen(const struct rig *r, size_t upstream)
{
    return dm_view_make(r->up[upstream].seen, r->up[upstream].seen_len);
}

void rig_close_upstream(struct rig *r, size_t upstream)
{
    struct rig_upstream *u = &r->up[upstream];

    if (u->listener >= 0)
        close(u->listener);
    u->listener = -1;
    rig_hang_up(r, upstream);
}

static struct rig_conn *first_conn(struct rig_upstream *u)
{
    for (size_t i = 0; i < RIG_CONNS; i++)
        if (u->conns[i].fd >= 0)
            return &u->conns[i];
    fail_msg("nobody is connected to the upstream");
    return NULL;
}

void rig_say(struct rig *r, size_t upstream, const char *text)
{
    write_all(first_conn(&r->up[upstream])->fd, text, strlen(text));
}

void rig_hang_up(struct rig *r, size_t upstream)
{
    for (size_t i = 0; i < RIG_CONNS; i++)
        drop_conn(&r->up[upstream].conns[i]);
}

/* --- time and turns --- */

static bool turn(struct rig *r)
{
    bool busy = false;

    dm_loop_turn(r->loop, 0);
    for (size_t i = 0; i < RIG_UPSTREAMS; i++)
        busy = run_upstream(&r->up[i]) || busy;
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
        const size_t end = find(r->answer + skip, r->answer_len - skip, "\r\n\r\n");
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
    return message_length(r->answer + skip, r->answer_len - skip) > 0;
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
    const size_t end = find(r->answer, r->answer_len, "\r\n\r\n");
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
    r->live.base.ops = &holding_ops;
    r->live.real = dm_live_memory_handle(r->memory, r->loop);
    r->cell = gw_snapshot_cell_new(r->settings, r->keys);
    r->client = -1;
    make_worker(r);
    for (size_t i = 0; i < RIG_UPSTREAMS; i++) {
        r->up[i].listener = listen_on_loopback(&r->up[i].port);
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

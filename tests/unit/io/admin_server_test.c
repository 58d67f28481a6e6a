/* The passage to the admin part, whole: listener and door on a loop's thread, libmicrohttpd behind
 * them. */
#include "io/admin_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/admin_door.h"
#include "io/listener.h"

enum { TEXT_MAX = 8 << 20, SMALL_LIMIT = 1000 };

struct world {
    char dir[64], path[96];
    struct dm_settings *settings;
    struct dm_admin_server *admin;
    struct dm_loop *loop;
    struct dm_arena_pool *arenas;
    struct dm_http_client *client;
    struct dm_admin_door door;
    struct dm_listener *listener;
    struct dm_listener_limits_shared *limits;
    pthread_t thread;
    uint16_t port;
    sem_t entered, release; /* of handlers that block */
    _Atomic int finished;
};

/* --- the admin part --- */

static void add(struct dm_admin_request *rq, struct dm_admin_response *rs, const char *name,
                const char *value)
{
    assert_true(
        dm_fields_add(&rs->fields, rq->arena, DM_HDR_OTHER, dm_view_of(name), dm_view_of(value)));
}

static void tell(const struct dm_admin_request *rq, struct dm_buf *out)
{
    char peer[DM_ADDRESS_TEXT];
    size_t len = dm_address_write(&rq->peer, peer);
    dm_buf_addf(out, "%.*s %.*s peer=%.*s https=%d id=%.*s host=%.*s body=%zu\n",
                DM_FMT(rq->method), DM_FMT(rq->target), (int)len, peer, rq->https,
                DM_FMT(rq->request_id), DM_FMT(rq->host), rq->body.len);
    for (size_t i = 0; i < rq->fields->count; i++)
        dm_buf_addf(out, "%.*s=%.*s\n", DM_FMT(rq->fields->items[i].name),
                    DM_FMT(rq->fields->items[i].value));
}

static void handle(void *app, struct dm_admin_request *rq, struct dm_admin_response *rs)
{
    struct world *w = app;
    rs->status = 200;
    add(rq, rs, "Content-Type", "text/plain");
    if (dm_view_starts(rq->target, DM_LIT("/block"))) {
        sem_post(&w->entered);
        sem_wait(&w->release);
    } else if (dm_view_eq(rq->target, DM_LIT("/large"))) {
        for (int i = 0; i < 500000; i++)
            dm_buf_addf(&rs->body, "%08d", i);
    } else if (dm_view_eq(rq->target, DM_LIT("/nothing"))) {
        rs->status = 0;
    } else if (dm_view_starts(rq->target, DM_LIT("/status/"))) {
        uint64_t status = 0;
        assert_true(dm_parse_u64(dm_view_sub(rq->target, 8, 3), 999, &status));
        rs->status = (int)status;
        add(rq, rs, "Set-Cookie", "a=1");
        add(rq, rs, "Set-Cookie", "b=2");
        add(rq, rs, "Connection", "close");
        add(rq, rs, "Content-Length", "12345");
        dm_buf_add(&rs->body, status == 204 || status == 304 ? DM_VIEW_NONE : DM_LIT("text"));
    } else if (dm_view_eq(rq->target, DM_LIT("/echo"))) {
        dm_buf_add(&rs->body, rq->body);
    } else {
        tell(rq, &rs->body);
    }
    atomic_fetch_add(&w->finished, 1);
}

static uint64_t body_limit(void *app, dm_view method, dm_view target)
{
    (void)app;
    (void)method;
    return dm_view_eq(target, DM_LIT("/small")) ? SMALL_LIMIT : 64 << 20;
}

static void start_admin(struct world *w, size_t threads, size_t max_head)
{
    struct dm_error err = {0};
    struct dm_admin_server_config c = {.socket_path = w->path,
                                       .max_threads = threads,
                                       .max_head = max_head,
                                       .body_limit = body_limit,
                                       .handle = handle,
                                       .app = w};
    if (dm_admin_server_start(&c, &w->admin, &err) != DM_OK)
        fail_msg("%s", err.text);
}

/* --- the front --- */

static void on_head(void *app, struct dm_exchange *x)
{
    struct world *w = app;
    dm_admin_door_serve(&w->door, x);
}

static const struct dm_settings *settings_of(void *app)
{
    return ((struct world *)app)->settings;
}

static void *run_loop(void *arg)
{
    struct world *w = arg;
    dm_loop_run(w->loop);
    dm_listener_free(w->listener);
    dm_http_client_free(w->client);
    return NULL;
}

static void start_front(struct world *w, dm_time timeout)
{
    static const struct dm_exchange_handler front = {.on_head = on_head};
    w->loop = dm_loop_new(&dm_clock_system);
    w->arenas = dm_arena_pool_new(4096, 64);
    struct dm_http_client_config client = {.loop = w->loop,
                                           .max_connections = 32,
                                           .max_keepalive = 32,
                                           .keepalive_expiry = 30 * DM_SEC,
                                           .max_head = 65536};
    assert_int_equal(dm_http_client_new(&client, &w->client, NULL), DM_OK);
    w->door =
        (struct dm_admin_door){.client = w->client, .socket_path = w->path, .timeout = timeout};
    w->limits = dm_listener_limits_new(100);
    struct dm_listener_config listener = {.loop = w->loop,
                                          .host = "127.0.0.1",
                                          .arenas = w->arenas,
                                          .limits = w->limits,
                                          .settings = settings_of,
                                          .handler = &front,
                                          .app = w};
    struct dm_error err = {0};
    if (dm_listener_open(&listener, &w->listener, &err) != DM_OK)
        fail_msg("%s", err.text);
    w->port = dm_listener_port(w->listener);
    assert_int_equal(pthread_create(&w->thread, NULL, run_loop, w), 0);
}

static void load_settings(struct world *w)
{
    static const char *const env[] = {
        "MAX_BODY_SIZE_BYTES=400000",
        "MAX_MULTIPART_SIZE_BYTES=600000",
        "MAX_HEADER_BYTES=65536",
        "JWT_SECRET_KEY=0123456789abcdef0123456789abcdef0123456789abcdef",
        "DOORMAN_ADMIN_EMAIL=a@example.test",
        "DOORMAN_ADMIN_PASSWORD=Correct-Horse-Battery-9",
        NULL};
    struct dm_settings_input in = {.role = DM_ROLE_ALL, .environ_ = env, .no_files = true};
    struct dm_buf faults, warnings;
    dm_buf_init(&faults, 65536);
    dm_buf_init(&warnings, 65536);
    if (dm_settings_load(&in, &w->settings, &faults, &warnings) != DM_OK)
        fail_msg("%s", dm_buf_cstr(&faults));
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
}

static void world_init(struct world *w, size_t threads, size_t max_head, dm_time timeout)
{
    *w = (struct world){.port = 0};
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/doorman-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->path, sizeof w->path, "%s/admin.sock", w->dir);
    sem_init(&w->entered, 0, 0);
    sem_init(&w->release, 0, 0);
    load_settings(w);
    start_admin(w, threads, max_head);
    start_front(w, timeout);
}

static void world_done(struct world *w)
{
    dm_loop_stop(w->loop);
    pthread_join(w->thread, NULL);
    dm_admin_server_stop(w->admin);
    dm_listener_limits_free(w->limits);
    dm_arena_pool_free(w->arenas);
    dm_loop_free(w->loop);
    dm_settings_unref(w->settings);
    sem_destroy(&w->entered);
    sem_destroy(&w->release);
    assert_int_equal(rmdir(w->dir), 0); /* the socket is gone */
}

/* --- a client: blocking, plain bytes --- */

static int dial(const struct world *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(w->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static int dial_admin(const struct world *w)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", w->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* refused early: the answer tells */
        bytes += n;
        len -= (size_t)n;
    }
}

/* All until the peer closes; freed by the caller. */
static char *read_all(int fd)
{
    char *text = dm_mem_alloc(TEXT_MAX);
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, text + len, TEXT_MAX - 1 - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    return text;
}

static char *ask(const struct world *w, const char *request, const char *body, size_t body_len)
{
    int fd = dial(w);
    say(fd, request, strlen(request));
    say(fd, body, body_len);
    return read_all(fd);
}

static const char *body_of(const char *answer)
{
    const char *at = strstr(answer, "\r\n\r\n");
    assert_non_null(at);
    return at + 4;
}

static void expect_status(const char *answer, const char *status)
{
    if (strncmp(answer, status, strlen(status)) != 0)
        fail_msg("expected \"%s\", got \"%.300s\"", status, answer);
}

#define END "Host: h.test\r\nConnection: close\r\n\r\n"

static char *get(const struct world *w, const char *target)
{
    char request[512];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" END, target);
    return ask(w, request, "", 0);
}

/* --- tests --- */

static void the_handler_sees_the_request_as_it_came(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer =
        ask(&w,
            "GET /platform/a%20b/c?x=%2F&y=+ HTTP/1.1\r\nX-Request-ID: rid-1\r\nX-One: 1\r\n"
            "x-one: 2\r\nConnection: close, X-Gone\r\nX-Gone: z\r\nHost: h.test\r\n\r\n",
            "", 0);
    expect_status(answer, "HTTP/1.1 200 OK\r\n");
    assert_non_null(strstr(answer,
                           "GET /platform/a%20b/c?x=%2F&y=+ peer=127.0.0.1 https=0 id=rid-1 "
                           "host=h.test body=0\n"));
    assert_non_null(strstr(answer, "\nX-One=1\nx-one=2\n"));
    assert_null(strstr(answer, "X-Gone"));
    assert_null(strcasestr(body_of(answer), "x-doorman"));
    assert_null(strcasestr(answer, DM_ADMIN_HANDLED));
    dm_mem_free(answer);
    world_done(&w);
}

static void a_client_cannot_set_the_internal_fields(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer = ask(&w,
                       "GET / HTTP/1.1\r\nX-Doorman-Peer: 9.9.9.9\r\nX-Doorman-Scheme: https\r\n"
                       "X-Doorman-Internal-Request-ID: forged\r\n" END,
                       "", 0);
    assert_non_null(strstr(answer, "peer=127.0.0.1 https=0"));
    assert_null(strstr(answer, "forged"));
    assert_null(strstr(answer, "9.9.9.9"));
    dm_mem_free(answer);
    world_done(&w);
}

static void a_body_arrives_whole(void **state)
{
    (void)state;
    struct world w;
    enum { LEN = 300000 };
    char *body = dm_mem_alloc(LEN + 1);
    for (size_t i = 0; i < LEN; i++)
        body[i] = (char)('a' + i % 26);
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer = ask(&w, "PUT /echo HTTP/1.1\r\nContent-Length: 300000\r\n" END, body, LEN);
    expect_status(answer, "HTTP/1.1 200");
    assert_string_equal(body_of(answer), body);
    dm_mem_free(answer);
    answer = ask(&w, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END,
                 "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 20);
    expect_status(answer, "HTTP/1.1 200");
    assert_string_equal(body_of(answer), "abcde");
    dm_mem_free(answer);
    answer = ask(&w, "POST /x HTTP/1.1\r\nContent-Length: 0\r\n" END, "", 0);
    assert_non_null(strstr(answer, "POST /x peer=127.0.0.1"));
    assert_non_null(strstr(answer, "body=0\n"));
    dm_mem_free(answer);
    dm_mem_free(body);
    world_done(&w);
}

static void a_body_over_its_limit_is_refused(void **state)
{
    (void)state;
    struct world w;
    enum { LEN = 500000 };
    char *body = dm_mem_alloc(LEN);
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer = ask(&w, "POST /echo HTTP/1.1\r\nContent-Length: 500000\r\n" END, body, LEN);
    expect_status(answer, "HTTP/1.1 413");
    assert_non_null(strstr(answer, "REQ001"));
    assert_non_null(strstr(answer, "(max: 400000 bytes)"));
    dm_mem_free(answer);
    char *chunk = dm_mem_alloc(LEN + 32);
    int head = snprintf(chunk, 32, "%x\r\n", LEN);
    memset(chunk + head, 'x', LEN);
    answer = ask(&w, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END, chunk,
                 (size_t)head + LEN);
    expect_status(answer, "HTTP/1.1 413");
    assert_int_equal(atomic_load(&w.finished), 0); /* no handler saw either */
    dm_mem_free(answer);
    answer = ask(&w,
                 "POST /echo HTTP/1.1\r\nContent-Type: Multipart/Form-Data ; boundary=x\r\n"
                 "Content-Length: 500000\r\n" END,
                 body, LEN);
    expect_status(answer, "HTTP/1.1 200");
    dm_mem_free(answer);
    dm_mem_free(chunk);
    dm_mem_free(body);
    world_done(&w);
}

static void a_route_may_allow_less(void **state)
{
    (void)state;
    struct world w;
    char body[SMALL_LIMIT + 1] = {0};
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer =
        ask(&w, "POST /small HTTP/1.1\r\nContent-Length: 1001\r\n" END, body, sizeof body);
    expect_status(answer, "HTTP/1.1 413");
    assert_non_null(
        strstr(answer, "{\"error_code\":\"REQ001\",\"error_message\":\"Request entity too large "
                       "(max: 1000 bytes)\"}"));
    dm_mem_free(answer);
    answer = ask(&w, "POST /small HTTP/1.1\r\nContent-Length: 1000\r\n" END, body, SMALL_LIMIT);
    expect_status(answer, "HTTP/1.1 200");
    dm_mem_free(answer);
    world_done(&w);
}

static void a_large_answer_streams(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer = get(&w, "/large");
    expect_status(answer, "HTTP/1.1 200");
    assert_non_null(strstr(answer, "Content-Length: 4000000\r\n"));
    assert_int_equal(strlen(body_of(answer)), 4000000);
    assert_string_equal(body_of(answer) + 4000000 - 16, "0049999800499999");
    dm_mem_free(answer);
    world_done(&w);
}

static void status_and_fields_pass_as_they_are(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer = get(&w, "/status/418");
    expect_status(answer, "HTTP/1.1 418");
    assert_non_null(strstr(answer, "Set-Cookie: a=1\r\n"));
    assert_non_null(strstr(answer, "Set-Cookie: b=2\r\n"));
    assert_non_null(strstr(answer, "Content-Length: 4\r\n"));
    assert_null(strstr(answer, "12345"));
    assert_string_equal(body_of(answer), "text");
    const char *dates = strcasestr(answer, "\r\ndate:");
    assert_non_null(dates);
    assert_null(strcasestr(dates + 2, "\r\ndate:")); /* one Date: the listener's */
    dm_mem_free(answer);
    for (int i = 0; i < 2; i++) {
        answer = get(&w, i == 0 ? "/status/204" : "/status/304");
        expect_status(answer, i == 0 ? "HTTP/1.1 204" : "HTTP/1.1 304");
        assert_string_equal(body_of(answer), "");
        dm_mem_free(answer);
    }
    answer = ask(&w, "HEAD /status/200 HTTP/1.1\r\n" END, "", 0);
    expect_status(answer, "HTTP/1.1 200");
    assert_non_null(strstr(answer, "Content-Length: 4\r\n"));
    assert_string_equal(body_of(answer), "");
    dm_mem_free(answer);
    world_done(&w);
}

static void a_handler_that_leaves_no_answer_is_an_error(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer = get(&w, "/nothing");
    expect_status(answer, "HTTP/1.1 500");
    assert_non_null(strstr(answer, "GTW999"));
    dm_mem_free(answer);
    world_done(&w);
}

static void an_absolute_target_reaches_the_handler_in_origin_form(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    char *answer = get(&w, "http://h.test/platform/x?y");
    expect_status(answer, "HTTP/1.1 200");
    assert_non_null(strstr(answer, "GET /platform/x?y peer="));
    dm_mem_free(answer);
    world_done(&w);
}

static void the_client_connection_stays_for_the_next_request(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    int fd = dial(&w);
    static const char two[] = "GET /one HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTTP/1.1\r\n" END;
    say(fd, two, sizeof two - 1);
    char *answer = read_all(fd);
    const char *one = strstr(answer, "GET /one ");
    assert_non_null(one);
    assert_non_null(strstr(one, "GET /two "));
    dm_mem_free(answer);
    world_done(&w);
}

static void the_server_itself_keeps_connections(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    int fd = dial_admin(&w);
    static const char two[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
        "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\ntwo";
    say(fd, two, sizeof two - 1);
    char *answer = read_all(fd);
    const char *one = strstr(answer, "\r\n\r\none");
    assert_non_null(one);
    assert_non_null(strstr(one, "\r\n\r\ntwo"));
    assert_null(strcasestr(answer, "\r\ndate:"));
    dm_mem_free(answer);
    world_done(&w);
}

static void pages_of_the_library_never_reach_a_client(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 1024, 30 * DM_SEC); /* less than the listener lets pass */
    struct dm_buf request;
    dm_buf_init(&request, 65536);
    dm_buf_add(&request, DM_LIT("GET / HTTP/1.1\r\nX: "));
    while (dm_buf_view(&request).len < 50000)
        dm_buf_add_byte(&request, 'x');
    dm_buf_add(&request, DM_LIT("\r\n" END));
    char *answer = ask(&w, dm_buf_cstr(&request), "", 0);
    dm_buf_done(&request);
    expect_status(answer, "HTTP/1.1 500");
    assert_non_null(strstr(answer, "{\"error_code\":\"GTW006\""));
    assert_null(strstr(answer, "<html>"));
    dm_mem_free(answer);
    world_done(&w);
}

static void without_the_admin_server_the_answer_is_503(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 30 * DM_SEC);
    dm_admin_server_stop(w.admin);
    w.admin = NULL;
    char *answer = get(&w, "/platform/x");
    expect_status(answer, "HTTP/1.1 503");
    assert_non_null(strstr(
        answer,
        "{\"error_code\":\"GTW006\",\"error_message\":\"Service temporarily unavailable\"}"));
    dm_mem_free(answer);
    world_done(&w);
}

static void a_handler_that_takes_too_long_is_504(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4, 0, 50 * DM_MS);
    char *answer = get(&w, "/block");
    expect_status(answer, "HTTP/1.1 504");
    assert_non_null(strstr(answer, "GTW010"));
    dm_mem_free(answer);
    sem_post(&w.release);
    world_done(&w);
}

static void a_client_that_leaves_takes_its_passage_along(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1, 0, 30 * DM_SEC);
    int fd = dial(&w);
    static const char request[] = "GET /block HTTP/1.1\r\n" END;
    say(fd, request, sizeof request - 1);
    sem_wait(&w.entered);
    (void)close(fd);
    sem_post(&w.release);
    char *answer = get(&w, "/next"); /* the one thread is free again */
    expect_status(answer, "HTTP/1.1 200");
    assert_int_equal(atomic_load(&w.finished), 2);
    dm_mem_free(answer);
    world_done(&w);
}

static void what_is_over_the_threads_waits_and_is_served(void **state)
{
    (void)state;
    struct world w;
    enum { THREADS = 2, ALL = 6 };
    int fd[ALL];
    world_init(&w, THREADS, 0, 30 * DM_SEC);
    static const char request[] = "GET /block HTTP/1.1\r\n" END;
    for (int i = 0; i < ALL; i++) {
        fd[i] = dial(&w);
        say(fd[i], request, sizeof request - 1);
    }
    for (int i = 0; i < THREADS; i++)
        sem_wait(&w.entered);
    assert_int_not_equal(sem_trywait(&w.entered), 0); /* the others are not in */
    for (int i = 0; i < ALL; i++)
        sem_post(&w.release);
    for (int i = 0; i < ALL; i++) {
        char *answer = read_all(fd[i]);
        expect_status(answer, "HTTP/1.1 200");
        dm_mem_free(answer);
    }
    world_done(&w);
}

static void *release_later(void *arg)
{
    sem_post(&((struct world *)arg)->release);
    return NULL;
}

static void stop_waits_for_running_handlers(void **state)
{
    (void)state;
    struct world w;
    pthread_t other;
    world_init(&w, 4, 0, 30 * DM_SEC);
    int fd = dial(&w);
    static const char request[] = "GET /block HTTP/1.1\r\n" END;
    say(fd, request, sizeof request - 1);
    sem_wait(&w.entered);
    assert_int_equal(pthread_create(&other, NULL, release_later, &w), 0);
    dm_admin_server_stop(w.admin);
    assert_int_equal(atomic_load(&w.finished), 1);
    w.admin = NULL;
    pthread_join(other, NULL);
    char *answer = read_all(fd); /* an answer or its absence, but no half one */
    if (strstr(answer, "200 OK") == NULL)
        expect_status(answer, "HTTP/1.1 503");
    dm_mem_free(answer);
    world_done(&w);
}

static void *many_requests(void *arg)
{
    const struct world *w = arg;
    for (int i = 0; i < 40; i++) {
        char *answer = i % 2 == 0
                           ? get(w, "/platform/x")
                           : ask(w, "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n" END, "hello", 5);
        if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
            return arg;
        dm_mem_free(answer);
    }
    return NULL;
}

static void many_clients_at_once_share_the_threads(void **state)
{
    (void)state;
    struct world w;
    enum { CLIENTS = 8 };
    pthread_t threads[CLIENTS];
    world_init(&w, 4, 0, 30 * DM_SEC);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_requests, &w), 0);
    for (int i = 0; i < CLIENTS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(atomic_load(&w.finished), CLIENTS * 40);
    world_done(&w);
}

static void the_socket_is_for_its_owner_alone(void **state)
{
    (void)state;
    struct world w;
    struct stat st;
    world_init(&w, 1, 0, 30 * DM_SEC);
    assert_int_equal(stat(w.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    world_done(&w);
}

static void a_path_that_cannot_be_bound_is_an_error(void **state)
{
    (void)state;
    char longest[200];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct dm_admin_server *s = NULL;
    struct dm_error err;
    struct dm_admin_server_config c = {
        .socket_path = longest, .max_threads = 1, .body_limit = body_limit, .handle = handle};
    assert_int_equal(dm_admin_server_start(&c, &s, &err), DM_INVALID);
    c.socket_path = "/nowhere/at/all";
    assert_int_equal(dm_admin_server_start(&c, &s, &err), DM_UNAVAILABLE);
    assert_null(s);
    assert_non_null(strstr(err.text, "\"/nowhere/at/all\": No such file or directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_handler_sees_the_request_as_it_came),
        cmocka_unit_test(a_client_cannot_set_the_internal_fields),
        cmocka_unit_test(a_body_arrives_whole),
        cmocka_unit_test(a_body_over_its_limit_is_refused),
        cmocka_unit_test(a_route_may_allow_less),
        cmocka_unit_test(a_large_answer_streams),
        cmocka_unit_test(status_and_fields_pass_as_they_are),
        cmocka_unit_test(a_handler_that_leaves_no_answer_is_an_error),
        cmocka_unit_test(an_absolute_target_reaches_the_handler_in_origin_form),
        cmocka_unit_test(the_client_connection_stays_for_the_next_request),
        cmocka_unit_test(the_server_itself_keeps_connections),
        cmocka_unit_test(pages_of_the_library_never_reach_a_client),
        cmocka_unit_test(without_the_admin_server_the_answer_is_503),
        cmocka_unit_test(a_handler_that_takes_too_long_is_504),
        cmocka_unit_test(a_client_that_leaves_takes_its_passage_along),
        cmocka_unit_test(what_is_over_the_threads_waits_and_is_served),
        cmocka_unit_test(stop_waits_for_running_handlers),
        cmocka_unit_test(many_clients_at_once_share_the_threads),
        cmocka_unit_test(the_socket_is_for_its_owner_alone),
        cmocka_unit_test(a_path_that_cannot_be_bound_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

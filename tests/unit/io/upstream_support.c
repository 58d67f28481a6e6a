#include "upstream_support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE = 2000, HEAD_MAX = 4096 }; /* turns of at most 5 ms */

static void listen_tcp(struct up *u)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    u->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(u->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(u->listener, 64), 0);
    assert_int_equal(getsockname(u->listener, (struct sockaddr *)&a, &len), 0);
    u->port = ntohs(a.sin_port);
    (void)snprintf(u->key, sizeof u->key, "127.0.0.1:%u", (unsigned)u->port);
}

static void listen_unix(struct up *u)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(u->dir, sizeof u->dir, "/tmp/doorman-test-XXXXXX");
    assert_non_null(mkdtemp(u->dir));
    (void)snprintf(u->path, sizeof u->path, "%s/s", u->dir);
    (void)snprintf(u->key, sizeof u->key, "%s", u->path);
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", u->path);
    u->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(u->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(u->listener, 64), 0);
}

void up_init(struct up *u, const struct up_options *options)
{
    static const struct up_options none = {0};
    const struct up_options *o = options == NULL ? &none : options;
    *u = (struct up){.listener = -1};
    dm_clock_manual_init(&u->clock, 1000 * DM_SEC, 1700000000 * DM_SEC);
    u->loop = dm_loop_new(&u->clock.clock);
    u->metrics = dm_metrics_new(1);
    if (o->unix_socket)
        listen_unix(u);
    else
        listen_tcp(u);
    struct dm_http_client_config c = {
        .loop = u->loop,
        .max_connections = o->max_connections > 0 ? o->max_connections : 8,
        .max_keepalive = o->max_keepalive > 0 ? o->max_keepalive : 8,
        .keepalive_expiry = 30 * DM_SEC,
        .max_head = HEAD_MAX,
        .dns_servers = o->dns_servers,
        .allow_address = o->allow_address,
        .allow_ctx = o->allow_ctx,
        .metrics = u->metrics,
    };
    assert_int_equal(dm_http_client_new(&c, &u->client, NULL), DM_OK);
}

void up_done(struct up *u)
{
    dm_http_client_free(u->client);
    dm_loop_free(u->loop);
    dm_metrics_free(u->metrics);
    if (u->listener >= 0)
        (void)close(u->listener);
    if (u->path[0] != '\0') {
        (void)unlink(u->path);
        (void)rmdir(u->dir);
    }
}

/* --- what a call hears --- */

void heard_init(struct heard *h, struct up *u)
{
    *h = (struct heard){.up = u, .takes = SIZE_MAX};
    dm_buf_init(&h->body, 256u << 20);
}

void heard_done(struct heard *h)
{
    dm_buf_done(&h->body);
}

static void write_fields(char *out, size_t size, const struct dm_fields *f)
{
    size_t at = 0;
    for (size_t i = 0; i < f->count && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%.*s=%.*s;", DM_FMT(f->items[i].name),
                               DM_FMT(f->items[i].value));
}

static bool cancels(struct heard *h, int at)
{
    if (h->cancel_at != at)
        return false;
    dm_http_cancel(h->call);
    return true;
}

void up_push_more(struct heard *h)
{
    size_t taken = h->to_push.len > 0 ? dm_http_push(h->call, h->to_push) : 0;
    h->to_push = dm_view_sub(h->to_push, taken, h->to_push.len);
    if (h->to_push.len == 0 && h->push_end) {
        h->push_end = false;
        dm_http_push_end(h->call, h->push_trailers);
    }
}

static void on_room(struct dm_http_call *c, void *ctx)
{
    struct heard *h = ctx;
    assert_ptr_equal(c, h->call);
    h->rooms++;
    if (!cancels(h, 4))
        up_push_more(h);
}

static void on_inform(struct dm_http_call *c, void *ctx, int status, const struct dm_fields *f)
{
    struct heard *h = ctx;
    assert_ptr_equal(c, h->call);
    h->informs++;
    size_t at = strlen(h->informed);
    at += (size_t)snprintf(h->informed + at, sizeof h->informed - at, "%d ", status);
    write_fields(h->informed + at, sizeof h->informed - at, f);
    (void)cancels(h, 3);
}

static void on_head(struct dm_http_call *c, void *ctx, const struct dm_http_answer_head *head)
{
    struct heard *h = ctx;
    assert_ptr_equal(c, h->call);
    assert_int_equal(h->head + h->ends, 0);
    h->head++;
    h->status = head->status;
    h->length = head->length;
    h->bodyless = head->bodyless;
    write_fields(h->fields, sizeof h->fields, head->fields);
    (void)cancels(h, 1);
}

static size_t on_body(struct dm_http_call *c, void *ctx, dm_view bytes)
{
    struct heard *h = ctx;
    assert_ptr_equal(c, h->call);
    assert_true(bytes.len > 0 && h->head == 1 && h->ends == 0);
    size_t n = bytes.len < h->takes ? bytes.len : h->takes;
    if (h->takes != SIZE_MAX)
        h->takes -= n;
    dm_buf_add(&h->body, dm_view_sub(bytes, 0, n));
    if (cancels(h, 2))
        return 0;
    return n;
}

static void on_end(struct dm_http_call *c, void *ctx, const struct dm_http_end_info *info)
{
    struct heard *h = ctx;
    assert_ptr_equal(c, h->call);
    h->ends++;
    h->info = *info;
    (void)snprintf(h->why, sizeof h->why, "%s", info->why);
    h->info.why = h->why;
    if (info->end == DM_HTTP_COMPLETE)
        write_fields(h->trailers, sizeof h->trailers, dm_http_trailers(c));
    h->call = NULL;
}

const struct dm_http_handler up_handler = {on_room, on_inform, on_head, on_body, on_end};

struct dm_http_ask up_ask(const struct up *u, const char *head)
{
    return (struct dm_http_ask){
        .server = {.key = dm_view_of(u->key),
                   .host = DM_LIT("127.0.0.1"),
                   .port = u->port,
                   .unix_path = dm_view_of(u->path)},
        .timeouts = {.connect = 5 * DM_SEC,
                     .read = 30 * DM_SEC,
                     .write = 20 * DM_SEC,
                     .pool = 10 * DM_SEC},
        .head = dm_view_of(head),
    };
}

void up_start(struct heard *h, const struct dm_http_ask *ask)
{
    int before = h->head + h->ends + h->rooms + h->informs;
    h->call = dm_http_ask(h->up->client, ask, &up_handler, h);
    assert_int_equal(h->head + h->ends + h->rooms + h->informs,
                     before); /* no callback inside ask */
}

void up_get(struct heard *h, const char *head)
{
    struct dm_http_ask ask = up_ask(h->up, head);
    up_start(h, &ask);
}

/* --- turning and waiting --- */

void up_turn(struct up *u)
{
    (void)dm_loop_turn(u->loop, 5 * DM_MS);
}

#define UNTIL(u, condition)                                                                        \
    do {                                                                                           \
        int patience_ = PATIENCE;                                                                  \
        while (!(condition)) {                                                                     \
            if (patience_-- == 0)                                                                  \
                fail_msg("waited in vain for %s", #condition);                                     \
            up_turn(u);                                                                            \
        }                                                                                          \
    } while (0)

void up_until_end(struct heard *h)
{
    UNTIL(h->up, h->ends > 0);
}

void up_until_head(struct heard *h)
{
    UNTIL(h->up, h->head > 0);
}

void up_until_body(struct heard *h, size_t len)
{
    UNTIL(h->up, dm_buf_view(&h->body).len >= len);
}

int up_accept(struct up *u)
{
    int fd;
    UNTIL(u, (fd = accept4(u->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    return fd;
}

bool up_no_connection(struct up *u)
{
    up_settle(u);
    int fd = accept4(u->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    return fd < 0;
}

const char *up_read_until(struct up *u, int fd, const char *end)
{
    static char text[1 << 20];
    size_t len = 0, end_len = strlen(end);
    for (int i = 0; i < PATIENCE; i++) {
        ssize_t n = read(fd, text + len, sizeof text - 1 - len);
        if (n > 0)
            len += (size_t)n;
        text[len] = '\0';
        if (len >= end_len && memcmp(text + len - end_len, end, end_len) == 0)
            return text;
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        up_turn(u);
    }
    fail_msg("got \"%s\", waited for \"%s\"", text, end);
    return NULL;
}

size_t up_read_count(struct up *u, int fd, size_t len)
{
    static char buf[65536];
    size_t got = 0;
    for (int i = 0; i < 20 * PATIENCE && got < len; i++) {
        size_t want = len - got < sizeof buf ? len - got : sizeof buf;
        ssize_t n = read(fd, buf, want);
        if (n > 0)
            got += (size_t)n;
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        if (n < 0)
            up_turn(u);
    }
    assert_int_equal(got, len);
    return got;
}

void up_say(int fd, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
}

void up_hang_up(int *fd)
{
    (void)close(*fd);
    *fd = -1;
}

void up_reset(int *fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    up_hang_up(fd);
}

bool up_gone(struct up *u, int fd)
{
    char byte;
    for (int i = 0; i < PATIENCE; i++) {
        ssize_t n = read(fd, &byte, 1);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
        up_turn(u);
    }
    return false;
}

void up_settle(struct up *u)
{
    for (int i = 0; i < 10; i++)
        (void)dm_loop_turn(u->loop, 0);
}

int up_serve(struct up *u, int fd, const char *answer)
{
    if (fd < 0)
        fd = up_accept(u);
    (void)up_read_until(u, fd, "\r\n\r\n");
    up_say(fd, answer);
    return fd;
}

int64_t up_metric(struct up *u, const char *name)
{
    struct dm_buf text;
    dm_buf_init(&text, 1 << 20);
    dm_metrics_write(u->metrics, &text);
    char line[128];
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(dm_buf_cstr(&text), line);
    assert_non_null(at);
    int64_t value = (int64_t)strtod(at + strlen(line), NULL);
    dm_buf_done(&text);
    return value;
}

size_t up_open_fds(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

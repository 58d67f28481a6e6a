#include "front_support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

enum { READ_MAX = 4 * 1024 * 1024, TURNS = 12, ARENA_CHUNK = 8192 };

static char text[READ_MAX + 1], plain[READ_MAX + 1];

static void copy(char *to, size_t size, dm_view v)
{
    size_t n = v.len < size - 1 ? v.len : size - 1;
    if (n > 0)
        memcpy(to, v.ptr, n);
    to[n] = '\0';
}

static void answer_echo(struct asked *a)
{
    struct dm_answer answer = {.status = 200, .fields = dm_exchange_trailers(a->x)};
    if (a->end == DM_LIMIT)
        dm_exchange_refuse(a->x, ERR_BODY_TOO_LARGE, DM_VIEW_NONE);
    else
        dm_exchange_reply(a->x, &answer, dm_buf_view(&a->body));
}

static void pull(struct asked *a)
{
    dm_view bytes;
    enum dm_code rc;
    while ((rc = dm_exchange_pull(a->x, &bytes)) == DM_OK) {
        dm_buf_add(&a->body, bytes);
        dm_exchange_consume(a->x, bytes.len);
    }
    if (rc == DM_AGAIN)
        return;
    a->end = rc;
    if (a->front->mode == FRONT_ECHO)
        answer_echo(a);
}

static void on_head(void *app, struct dm_exchange *x)
{
    struct front *f = app;
    assert_true(f->n_asked < FRONT_ASKED_MAX);
    struct asked *a = &f->asked[f->n_asked++];
    *a = (struct asked){.front = f, .x = x};
    dm_buf_init(&a->body, READ_MAX);
    copy(a->method, sizeof a->method, x->head.method);
    copy(a->target, sizeof a->target, x->head.target);
    copy(a->request_id, sizeof a->request_id, x->request_id);
    copy(a->host, sizeof a->host, x->head.host);
    a->upgrade = x->head.upgrade;
    x->server = a;
    if (f->body_limit > 0)
        dm_exchange_limit_body(x, f->body_limit);
    if (f->mode == FRONT_REPLY)
        dm_exchange_reply(x, &(struct dm_answer){.status = 200}, DM_LIT("ok"));
    else if (f->mode != FRONT_HOLD)
        pull(a);
}

static void on_body(struct dm_exchange *x)
{
    struct asked *a = x->server;
    a->bodies++;
    if (a->front->mode != FRONT_HOLD)
        pull(a);
}

static void on_room(struct dm_exchange *x)
{
    struct asked *a = x->server;
    a->rooms++;
    if (a->front->on_room != NULL)
        a->front->on_room(a);
}

static void on_gone(struct dm_exchange *x, enum dm_gone why)
{
    struct asked *a = x->server;
    a->gones++;
    a->why = why;
    a->x = NULL;
}

static void on_done(struct dm_exchange *x)
{
    struct asked *a = x->server;
    a->dones++;
    a->x = NULL;
}

static const struct dm_exchange_handler handler = {.on_head = on_head,
                                                   .on_body = on_body,
                                                   .on_room = on_room,
                                                   .on_gone = on_gone,
                                                   .on_done = on_done};

static const struct dm_settings *settings_of(void *app)
{
    return ((struct front *)app)->settings;
}

struct dm_settings *front_settings(const char *const *env)
{
    enum { ENV_MAX = 16 };
    const char *all[ENV_MAX] = {"JWT_SECRET_KEY=a-key-for-tests-of-more-than-32-bytes!",
                                "DOORMAN_ADMIN_PASSWORD=A-password-of-tests-1"};
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        assert_true(i + 3 < ENV_MAX);
        all[i + 2] = env[i];
    }
    struct dm_buf faults, warnings;
    dm_buf_init(&faults, 1 << 16);
    dm_buf_init(&warnings, 1 << 16);
    struct dm_settings_input in = {.role = DM_ROLE_ALL, .environ_ = all, .no_files = true};
    struct dm_settings *s = NULL;
    if (dm_settings_load(&in, &s, &faults, &warnings) != DM_OK)
        fail_msg("settings: %s", dm_buf_cstr(&faults));
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    return s;
}

void front_init(struct front *f, const char *const *env, size_t max)
{
    memset(f, 0, sizeof *f);
    dm_clock_manual_init(&f->clock, DM_SEC, 1700000000 * DM_SEC);
    f->loop = dm_loop_new(&f->clock.clock);
    f->arenas = dm_arena_pool_new(ARENA_CHUNK, 8);
    f->settings = front_settings(env);
    f->limits = dm_listener_limits_new(max > 0 ? max : 1000);
    f->metrics = dm_metrics_new(1);
    struct dm_listener_config c = {.loop = f->loop,
                                   .arenas = f->arenas,
                                   .limits = f->limits,
                                   .settings = settings_of,
                                   .handler = &handler,
                                   .app = f,
                                   .metrics = f->metrics};
    assert_int_equal(dm_listener_open(&c, &f->listener, NULL), DM_OK);
}

void front_done(struct front *f)
{
    dm_listener_free(f->listener);
    for (size_t i = 0; i < f->n_asked; i++) {
        assert_null(f->asked[i].x); /* every exchange was told its end, */
        assert_int_equal(f->asked[i].gones + f->asked[i].dones <= 1, 1); /* once */
        dm_buf_done(&f->asked[i].body);
    }
    dm_listener_limits_free(f->limits);
    dm_metrics_free(f->metrics);
    dm_settings_unref(f->settings);
    dm_loop_free(f->loop);
    dm_arena_pool_free(f->arenas);
}

int front_connect(struct front *f)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    dm_listener_adopt(f->listener, fds[1], &(struct dm_address){.unix_socket = true});
    front_settle(f);
    return fds[0];
}

void front_settle(struct front *f)
{
    for (int i = 0; i < TURNS; i++)
        (void)dm_loop_turn(f->loop, 0);
}

void front_send_bytes(struct front *f, int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
    front_settle(f);
}

void front_send(struct front *f, int fd, const char *t)
{
    front_send_bytes(f, fd, t, strlen(t));
}

const char *front_read(struct front *f, int fd, bool *ret_closed)
{
    size_t len = 0;
    bool closed = false;
    for (int idle = 0; idle < 2 && !closed && len < READ_MAX;) {
        ssize_t n = recv(fd, text + len, READ_MAX - len, 0);
        if (n > 0) {
            len += (size_t)n;
            idle = 0;
        } else if (n < 0 && errno == EAGAIN) {
            idle++;
        } else {
            closed = true;
        }
        front_settle(f);
    }
    text[len] = '\0';
    if (ret_closed != NULL)
        *ret_closed = closed;
    return text;
}

void front_pass(struct front *f, dm_time t)
{
    dm_clock_manual_step(&f->clock, t);
    front_settle(f);
}

int64_t front_metric(struct front *f, const char *name, const char *labels)
{
    return dm_metric_value(dm_metric_get(f->metrics, DM_COUNTER, name, labels, "", NULL, 0));
}

size_t front_count(const char *t, const char *piece)
{
    size_t n = 0;
    for (const char *at = t; (at = strstr(at, piece)) != NULL; at += strlen(piece))
        n++;
    return n;
}

static bool changes(const char *line)
{
    static const char *const names[] = {"Date:",
                                        "X-Request-ID:",
                                        "request_id:",
                                        "X-Content-Type-Options:",
                                        "X-Frame-Options:",
                                        "Referrer-Policy:",
                                        "Permissions-Policy:",
                                        "Content-Security-Policy:"};
    for (size_t i = 0; i < DM_COUNT_OF(names); i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

const char *front_plain(const char *answer)
{
    char *to = plain;
    while (*answer != '\0') {
        const char *end = strstr(answer, "\r\n");
        size_t len = end == NULL ? strlen(answer) : (size_t)(end - answer) + 2;
        if (!changes(answer)) {
            memcpy(to, answer, len);
            to += len;
        }
        answer += len;
    }
    *to = '\0';
    return plain;
}

/* A listener in the hands of the test: connections are socket pairs spoken to in plain bytes on the
 * loop's own thread, time stands still until moved, and a scripted handler writes down what it
 * hears. */
#pragma once

#include "io/listener.h"

enum front_mode {
    FRONT_REPLY = 0, /* on_head: 200 "ok" */
    FRONT_HOLD,      /* on_head: nothing; the test drives f->asked[i].x */
    FRONT_ECHO,      /* reads the body, answers with it (and its trailers as fields) */
    FRONT_PULL       /* reads the body as it comes, answers nothing */
};

enum { FRONT_ASKED_MAX = 64 };

struct asked { /* one exchange as the handler saw it */
    struct front *front;
    struct dm_exchange *x; /* NULL once done or gone */
    char method[16], target[256], request_id[160], host[64];
    struct dm_buf body;
    int bodies, rooms, gones, dones;
    enum dm_gone why;
    enum dm_code end; /* what ended the body: DM_EOF, DM_LIMIT */
    bool upgrade;
};

struct front {
    struct dm_clock_manual clock;
    struct dm_loop *loop;
    struct dm_arena_pool *arenas;
    struct dm_settings *settings;
    struct dm_listener_limits_shared *limits;
    struct dm_listener *listener;
    struct dm_metrics *metrics;
    enum front_mode mode;
    uint64_t body_limit;              /* 0: the setting's */
    void (*on_room)(struct asked *a); /* NULL: only counted */
    size_t n_asked;
    struct asked asked[FRONT_ASKED_MAX];
};

/* env: NULL-ended KEY=VALUE over the defaults, or NULL. max: connection cap, 0: 1000. */
void front_init(struct front *f, const char *const *env, size_t max);
void front_done(struct front *f); /* also checks that nothing is in flight or leaked */
struct dm_settings *front_settings(const char *const *env);
int front_connect(struct front *f);                         /* the client's end */
void front_settle(struct front *f);                         /* turns until nothing happens */
void front_send(struct front *f, int fd, const char *text); /* and settles */
void front_send_bytes(struct front *f, int fd, const char *bytes, size_t len);
/* What the client can read now; ret_closed: the end or a reset came behind it. Text is NUL-ended,
 * static. */
const char *front_read(struct front *f, int fd, bool *ret_closed);
void front_pass(struct front *f, dm_time t); /* time passes, timers run */
int64_t front_metric(struct front *f, const char *name, const char *labels);
size_t front_count(const char *text, const char *piece);
/* The text with ids and dates cut out, for comparing whole heads: lines that start with one of
 * "Date:", "X-Request-ID:", "request_id:" and the security lines are removed. */
const char *front_plain(const char *answer);

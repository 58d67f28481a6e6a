/* layer: io */
/* A whole connection: bytes in, exchanges out, answered in one of a few ways. Whatever the pieces
 * the bytes come in, the server hears the same requests with the same bodies; every exchange ends
 * exactly once; no byte belongs to two requests; and no request is heard without a request line of
 * its own. Input: a byte that chooses how it is served, three that choose the pieces, then what the
 * client sends. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "io/listener.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 4, CHUNK = 8192, LOG_MAX = 8 * 1024 * 1024, TURNS = 3, ROUNDS = 4, BODY_MAX = 100 };

enum manner {
    ECHO = 0, /* reads all, answers with it */
    CURT,     /* answers at once, reads nothing */
    NIBBLE,   /* as ECHO, a few bytes at a time */
    LATE,     /* as ECHO, in a later turn */
    STREAM,   /* answers at once, chunked, with what it then reads */
    MANNERS
};

static struct {
    struct dm_clock_manual clock;
    struct dm_loop *loop;
    struct dm_settings *settings;
    struct dm_listener *listener;
    enum manner manner;
    struct dm_exchange *running, *waiting; /* waiting: LATE, not looked at yet */
    struct dm_buf log, body;
    size_t heard, ended, spans;
    uint64_t bytes;
    bool limited;
} w;

static void end_log(const char *how)
{
    if (!w.limited)
        dm_buf_add(&w.log, dm_buf_view(&w.body));
    dm_buf_addf(&w.log, "|%s\n", how);
    dm_buf_clear(&w.body);
}

#ifdef DOORMAN_PLANT_BUG
/* Reached only by a chunked body that has a trailer and is read in three parts or more. */
static void planted(struct dm_exchange *x)
{
    if (!x->head.chunked || dm_exchange_trailers(x)->count != 1)
        return;
    if (w.spans >= 3)
        abort();
}
#endif

static void body_ended(struct dm_exchange *x, enum dm_code how)
{
    struct dm_answer a = {.status = how == DM_EOF ? 200 : 413};
#ifdef DOORMAN_PLANT_BUG
    planted(x);
#endif
    w.limited = how == DM_LIMIT; /* how much was seen before depends on the pieces */
    if (dm_exchange_answered(x))
        dm_exchange_finish(x);
    else
        dm_exchange_reply(x, &a, dm_buf_view(&w.body));
}

static void pull(struct dm_exchange *x)
{
    dm_view bytes;
    enum dm_code rc;
    while ((rc = dm_exchange_pull(x, &bytes)) == DM_OK) {
        size_t n = w.manner == NIBBLE && bytes.len > 3 ? 3 : bytes.len;
        DM_REQUIRE(n > 0);
        dm_view taken = dm_view_sub(bytes, 0, n);
        dm_buf_add(&w.body, taken);
        w.spans++;
        if (w.manner == STREAM)
            (void)dm_exchange_push(x, taken);
        dm_exchange_consume(x, n);
    }
    if (rc != DM_AGAIN)
        body_ended(x, rc);
}

static void on_head(void *app, struct dm_exchange *x)
{
    (void)app;
    DM_REQUIRE(w.running == NULL); /* one after the other */
    w.running = x;
    w.heard++;
    w.spans = 0;
    w.limited = false;
    dm_buf_addf(&w.log, "%.*s %.*s %d\n", DM_FMT(x->head.method), DM_FMT(x->head.target),
                x->head.minor);
    for (size_t i = 0; i < x->head.fields.count; i++)
        dm_buf_addf(&w.log, "%.*s:%.*s\n", DM_FMT(x->head.fields.items[i].name),
                    DM_FMT(x->head.fields.items[i].value));
    dm_exchange_limit_body(x, BODY_MAX);
    if (w.manner == LATE) {
        w.waiting = x;
    } else if (w.manner == CURT) {
        dm_exchange_reply(x, &(struct dm_answer){.status = 200}, DM_LIT("curt"));
    } else {
        if (w.manner == STREAM)
            dm_exchange_answer(x, &(struct dm_answer){.status = 200, .length = DM_LENGTH_UNKNOWN});
        pull(x);
    }
}

static void on_body(struct dm_exchange *x)
{
    pull(x);
}

static void on_room(struct dm_exchange *x)
{
    (void)x;
}

static void ended(struct dm_exchange *x, const char *how)
{
    DM_REQUIRE(w.running == x);
    w.running = w.waiting = NULL;
    w.ended++;
    w.bytes += x->bytes_in;
    end_log(how);
}

static void on_gone(struct dm_exchange *x, enum dm_gone why)
{
    (void)why;
    ended(x, "gone");
}

static void on_done(struct dm_exchange *x)
{
    ended(x, "done");
}

static const struct dm_exchange_handler handler = {.on_head = on_head,
                                                   .on_body = on_body,
                                                   .on_room = on_room,
                                                   .on_gone = on_gone,
                                                   .on_done = on_done};

static const struct dm_settings *settings_of(void *app)
{
    (void)app;
    return w.settings;
}

static void start_once(void)
{
    static const char *const env[] = {"JWT_SECRET_KEY=a-key-for-fuzzing-of-more-than-32-bytes",
                                      "DOORMAN_ADMIN_PASSWORD=A-password-of-fuzzing-1",
                                      "MAX_HEADER_BYTES=4096",
                                      "MAX_HEADER_COUNT=16",
                                      "MAX_URI_BYTES=256",
                                      NULL};
    if (w.loop != NULL)
        return;
    struct dm_buf faults, warnings;
    dm_buf_init(&faults, CHUNK);
    dm_buf_init(&warnings, CHUNK);
    struct dm_settings_input in = {.environ_ = env, .no_files = true};
    DM_REQUIRE(dm_settings_load(&in, &w.settings, &faults, &warnings) == DM_OK);
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    dm_clock_manual_init(&w.clock, DM_SEC, DM_SEC);
    w.loop = dm_loop_new(&w.clock.clock);
    dm_buf_init(&w.body, LOG_MAX);
    struct dm_listener_config c = {.loop = w.loop,
                                   .arenas = dm_arena_pool_new(CHUNK, 4),
                                   .limits = dm_listener_limits_new(10),
                                   .settings = settings_of,
                                   .handler = &handler};
    DM_REQUIRE(dm_listener_open(&c, &w.listener, NULL) == DM_OK);
}

static void turns(int fd, int rounds)
{
    static char sink[65536];
    size_t seen = SIZE_MAX; /* as long as something was heard or answered, more may follow */
    for (int round = 0; round < rounds || seen != w.heard + w.ended; round++) {
        seen = w.heard + w.ended;
        (void)dm_loop_turn(w.loop, 0);
        while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
            ;
        struct dm_exchange *x = w.waiting;
        w.waiting = NULL;
        if (x != NULL)
            pull(x);
    }
}

/* Plays the bytes to a fresh connection; gives what the server heard. */
static void play(const char *bytes, size_t len, uint32_t pieces, struct dm_buf *ret_log)
{
    int fds[2];
    dm_buf_init(&w.log, LOG_MAX);
    w.heard = w.ended = 0;
    w.bytes = 0;
    DM_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    dm_listener_adopt(w.listener, fds[1], &(struct dm_address){.unix_socket = true});
    for (size_t at = 0; at < len;) {
        pieces = pieces * 1664525u + 1013904223u;
        size_t n = 1 + (pieces >> 16) % (8 + len / 8); /* about sixteen pieces */
        if (ret_log == NULL || n > len - at)
            n = len - at;
        ssize_t sent = send(fds[0], bytes + at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            break; /* the server has hung up */
        at += (size_t)sent;
        turns(fds[0], 1);
    }
    turns(fds[0], ROUNDS);
    (void)close(fds[0]);
    for (int i = 0; i < TURNS; i++)
        (void)dm_loop_turn(w.loop, 0);
    dm_clock_manual_step(&w.clock, 3 * DM_SEC); /* who lingers */
    for (int i = 0; i < TURNS; i++)
        (void)dm_loop_turn(w.loop, 0);
    DM_REQUIRE(dm_listener_connections(w.listener) == 0 && dm_listener_inflight(w.listener) == 0);
    DM_REQUIRE(w.heard == w.ended && w.running == NULL && dm_buf_ok(&w.log));
    DM_REQUIRE(w.bytes <= len);
}

static size_t request_lines(dm_view bytes)
{
    size_t n = 0;
    while (bytes.len > 0) {
        size_t at = dm_view_find(bytes, DM_LIT(" HTTP/1."));
        if (at == bytes.len)
            return n;
        n++;
        bytes = dm_view_sub(bytes, at + 1, bytes.len);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER)
        return 0;
    start_once();
    const char *bytes = (const char *)data + HEADER;
    size_t len = size - HEADER;
    uint32_t pieces = (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
    w.manner = (enum manner)(data[0] % MANNERS);
    play(bytes, len, 0, NULL);
    struct dm_buf whole = w.log;
    size_t heard = w.heard;
    DM_REQUIRE(heard <= request_lines(dm_view_make(bytes, len)));
    play(bytes, len, pieces, &whole);
    DM_REQUIRE(w.heard == heard && dm_view_eq(dm_buf_view(&w.log), dm_buf_view(&whole)));
    dm_buf_done(&w.log);
    dm_buf_done(&whole);
    return 0;
}

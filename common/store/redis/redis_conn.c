#include "store/redis/redis_internal.h"

#include <stdio.h>

#include "base/assert.h"
#include "crypto/random.h"

#include "base/poison.h"

/* Back-off between attempts (operations.md §8.15.2), half of it by chance, so that a hundred
 * sidecars do not come back in the same millisecond. The longest leaves room for the greeting
 * within the 2 s after which all is as before. */
static const dm_time BACKOFF_MIN = 50 * DM_MS, BACKOFF_MAX = 1500 * DM_MS;
/* A connection that held this long was a good one: the next back-off begins anew. */
static const dm_time GOOD_AFTER = DM_SEC;
/* How often a ready connection is looked at, and when silence is asked about or believed. */
static const dm_time PULSE = 250 * DM_MS, QUIET = 2 * DM_SEC, OVERDUE = DM_SEC;

static dm_time now_of(const struct dm_redis_conn *c)
{
    return dm_loop_now(c->redis->loop);
}

/* --- ending --- */

static void answer_line(struct dm_redis_conn *c)
{
    /* Callers may ask again while they are told: that goes to those that wait, not to this line. */
    struct dm_link *l;
    while ((l = dm_list_pop(&c->line)) != NULL) {
        c->n_line--;
        dm_redis_command_answer(DM_CONTAINER_OF(l, struct dm_redis_command, link), DM_UNAVAILABLE,
                                NULL);
    }
}

static void close_conn(struct dm_redis_conn *c)
{
    c->epoch++;
    dm_redis_pipe_forget(c);
    c->state = DM_REDIS_DOWN;
    dm_resolve_cancel(&c->resolve);
    dm_timer_stop(&c->timer);
    dm_timer_stop(&c->pulse);
    dm_loop_unpost(&c->more);
    dm_list_remove(&c->dirty);
    dm_stream_close(&c->stream);
    if (!c->reading) {
        dm_redis_reader_free(c->reader);
        c->reader = NULL;
    }
}

static dm_time backoff(struct dm_redis_conn *c)
{
    dm_time after = BACKOFF_MIN;
    for (unsigned i = 0; i < c->failures && after < BACKOFF_MAX; i++)
        after *= 2;
    if (after > BACKOFF_MAX)
        after = BACKOFF_MAX;
    if (c->failures < UINT32_MAX)
        c->failures++;
    return after / 2 + (dm_time)(dm_random_u64() % (uint64_t)(after / 2));
}

void dm_redis_conn_fail(struct dm_redis_conn *c, const char *why)
{
    if (c->state == DM_REDIS_DOWN)
        return;
    if (c->state == DM_REDIS_READY && now_of(c) - c->ready_at >= GOOD_AFTER)
        c->failures = 0;
    if (why != NULL)
        dm_redis_log_error(c->redis, &c->address, dm_view_of(why));
    close_conn(c);
    dm_timer_start(c->redis->loop, &c->timer, backoff(c));
    c->kind->on_lost(c);
    answer_line(c);
}

void dm_redis_conn_stop(struct dm_redis_conn *c)
{
    close_conn(c);
    answer_line(c);
}

/* --- greeting: what makes a socket a connection of ours --- */

static void ready(struct dm_redis_conn *c)
{
    c->state = DM_REDIS_READY;
    c->ready_at = c->heard = now_of(c);
    c->doubted = false;
    dm_timer_stop(&c->timer);
    dm_timer_start(c->redis->loop, &c->pulse, PULSE);
    c->kind->on_ready(c);
}

static void greeted(const struct dm_redis_own *own, enum dm_code rc,
                    const struct dm_redis_reply *reply, bool must)
{
    struct dm_redis_conn *c = own->conn;
    if (c->state != DM_REDIS_GREETING) /* given up meanwhile */
        return;
    if (must && rc != DM_OK) {
        char why[DM_REDIS_HOST_MAX];
        dm_view said = dm_redis_text(reply);
        (void)snprintf(why, sizeof why, "%.*s", DM_FMT(dm_view_sub(said, 0, sizeof why - 1)));
        dm_redis_conn_fail(c, said.len > 0 ? why : "no answer to the greeting");
        return;
    }
    if (own == &c->greets[c->n_greets - 1])
        ready(c);
}

static void on_greet(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    greeted(DM_CONTAINER_OF(a, struct dm_redis_own, ask), rc, reply, true);
}

/* Redis may repeat what it did not understand, and that would be the password. */
static void on_auth(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    const struct dm_redis_own *own = DM_CONTAINER_OF(a, struct dm_redis_own, ask);
    dm_view said = dm_redis_text(reply);
    bool known = dm_view_starts(said, DM_LIT("WRONGPASS ")) ||
                 dm_view_find(said, DM_LIT("no password is set")) < said.len ||
                 dm_view_find(said, DM_LIT("without any password configured")) < said.len;
    if (rc == DM_PROTOCOL && !known && own->conn->state == DM_REDIS_GREETING)
        dm_redis_conn_fail(own->conn, "AUTH was refused");
    else
        greeted(own, rc, reply, true);
}

/* A user who may not name its connection, or ask for roles, may still be served. */
static void on_name(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    greeted(DM_CONTAINER_OF(a, struct dm_redis_own, ask), rc, reply, rc != DM_PROTOCOL);
}

static void on_role(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    const struct dm_redis_own *own = DM_CONTAINER_OF(a, struct dm_redis_own, ask);
    struct dm_redis_conn *c = own->conn;
    dm_view role = dm_redis_text(dm_redis_at(reply, 0));
    bool replica = dm_view_eq(role, DM_LIT("slave"));
    if (c->state == DM_REDIS_GREETING && replica)
        dm_redis_conn_fail(c, "the server is a replica");
    else
        greeted(own, rc, reply, rc != DM_PROTOCOL);
}

static void greet(struct dm_redis_conn *c, const dm_view *argv, size_t argc, dm_redis_fn fn)
{
    struct dm_redis_own *own = &c->greets[c->n_greets++];
    bool fits = dm_redis_pipe_ask(c, argv, argc, c->dial_until, own, fn);
    DM_ASSERT(fits); /* the buffer was empty */
}

static void greet_auth(struct dm_redis_conn *c)
{
    struct dm_redis *r = c->redis;
    bool sentinel = c->kind->sentinel;
    dm_view user = sentinel ? DM_VIEW_NONE : dm_secret_view(&r->username);
    dm_view password = dm_secret_view(sentinel ? &r->sentinel_password : &r->password);
    if (password.len == 0)
        return;
    dm_view argv[3] = {DM_LIT("AUTH")};
    size_t n = 1;
    if (user.len > 0)
        argv[n++] = user;
    argv[n++] = password;
    greet(c, argv, n, on_auth);
}

void dm_redis_conn_greet(struct dm_redis_conn *c)
{
    struct dm_redis *r = c->redis;
    c->state = DM_REDIS_GREETING;
    c->n_greets = 0;
    c->reader = dm_redis_reader_new(r->arenas);
    greet_auth(c);
    if (c->kind->select && r->config.db > 0) {
        char db[24];
        int len = snprintf(db, sizeof db, "%lld", (long long)r->config.db);
        const dm_view select[] = {DM_LIT("SELECT"), dm_view_make(db, (size_t)len)};
        greet(c, select, 2, on_greet);
    }
    const dm_view name[] = {DM_LIT("CLIENT"), DM_LIT("SETNAME"), dm_view_of(r->config.name)};
    greet(c, name, 3, on_name);
    const dm_view role[] = {DM_LIT("ROLE")};
    if (c->kind->master)
        greet(c, role, 1, on_role);
    const dm_view ping[] = {DM_LIT("PING")}; /* refused while the server loads its data */
    greet(c, ping, 1, on_greet);
    dm_redis_pipe_flush(c);
}

/* --- the pulse of a ready connection --- */

static void on_ping(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    (void)a; /* that bytes came is noted where they are read */
    (void)rc;
    (void)reply;
}

static void on_pulse(struct dm_timer *t)
{
    struct dm_redis_conn *c = DM_CONTAINER_OF(t, struct dm_redis_conn, pulse);
    dm_time now = now_of(c);
    dm_timer_start(c->redis->loop, &c->pulse, PULSE);
    if (!dm_list_empty(&c->line)) {
        const struct dm_redis_command *oldest =
            DM_CONTAINER_OF(c->line.next, struct dm_redis_command, link);
        bool overdue = oldest->deadline < now - OVERDUE && c->heard < now - OVERDUE;
        bool again = c->doubted;
        c->doubted = overdue;
        if (overdue && again) /* once: it may have been us who stood still */
            dm_redis_conn_fail(c, "no answer");
    } else if (c->heard < now - QUIET && !c->ping.ask.pending) {
        const dm_view ping[] = {DM_LIT("PING")};
        if (!dm_redis_pipe_ask(c, ping, 1, now + OVERDUE, &c->ping, on_ping))
            dm_redis_conn_fail(c, "no room for a ping");
    }
}

/* --- beginning --- */

static void on_timer(struct dm_timer *t)
{
    struct dm_redis_conn *c = DM_CONTAINER_OF(t, struct dm_redis_conn, timer);
    switch (c->state) {
    case DM_REDIS_DOWN:
        c->state = DM_REDIS_AIMING;
        c->kind->aim(c);
        return;
    case DM_REDIS_DIALING:
        dm_redis_dial_timeout(c);
        return;
    case DM_REDIS_AIMING:
    case DM_REDIS_SECURING:
    case DM_REDIS_GREETING:
        dm_redis_conn_fail(c, "connecting took too long");
        return;
    case DM_REDIS_READY:
        break;
    }
    DM_UNREACHABLE();
}

static void on_more(struct dm_task *t)
{
    struct dm_redis_conn *c = DM_CONTAINER_OF(t, struct dm_redis_conn, more);
    if (c->state >= DM_REDIS_GREETING)
        dm_redis_pipe_read(c);
}

void dm_redis_conn_init(struct dm_redis_conn *c, struct dm_redis *r,
                        const struct dm_redis_conn_kind *kind)
{
    *c = (struct dm_redis_conn){.redis = r, .kind = kind, .stream.io.fd = -1};
    dm_resolve_init(&c->resolve);
    dm_timer_init(&c->timer, on_timer);
    dm_timer_init(&c->pulse, on_pulse);
    dm_task_init(&c->more, on_more);
    dm_buf_init(&c->out, DM_REDIS_OUT_MAX);
    dm_list_init(&c->dirty);
    dm_list_init(&c->line);
}

void dm_redis_conn_done(struct dm_redis_conn *c)
{
    dm_redis_conn_stop(c);
    dm_buf_done(&c->out);
}

void dm_redis_conn_start(struct dm_redis_conn *c, dm_time after)
{
    if (c->state == DM_REDIS_DOWN)
        dm_timer_start(c->redis->loop, &c->timer, after);
}

void dm_redis_conn_dial(struct dm_redis_conn *c)
{
    struct dm_redis *r = c->redis;
    DM_REQUIRE(c->state == DM_REDIS_AIMING);
    c->state = DM_REDIS_DIALING;
    dm_time most = r->config.connect_timeout;
    if (c->kind->sentinel && most > DM_REDIS_SENTINEL_DIAL)
        most = DM_REDIS_SENTINEL_DIAL;
    c->dial_until = now_of(c) + most;
    dm_timer_start(r->loop, &c->timer, most);
    dm_redis_dial_start(c);
}

#include "io/http1.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/random.h"

#include "base/poison.h"

enum {
    /* Steps of one run: a client that pipelines or uploads fast gives way to the others after
       these. */
    STEPS_MAX = 32,
    /* The server is told of room when half the buffer is free: fewer, larger pushes. */
    ROOM_MARK = DM_EXCHANGE_BUFFER / 2,
    KEEP_CONNS = 1024,
    KEEP_REQUESTS = 256,
    KEEP_BLOCKS = 64 /* 5 MB at most */
};
/* After an answer that ends the connection early: time and (by it) bytes for the client to stop
 * sending and read, or a reset would destroy the answer on its way (RFC 9112 §9.6). */
static const dm_time LINGER_TIME = 2 * DM_SEC;
/* For the first request of a connection that was made just before the drain began. */
static const dm_time DRAIN_GRACE = DM_SEC;

static struct http1 *of(struct dm_exchange *x)
{
    return DM_CONTAINER_OF(x, struct http1, x);
}

static void bump(_Atomic size_t *n, int by)
{
    /* written by this thread alone, read by others */
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + (size_t)by,
                          memory_order_relaxed);
}

/* ---- end of a connection ---- */

static void conn_free(struct http1_conn *c)
{
    struct http1_host *host = c->host;
    DM_ASSERT(c->rq == NULL);
    dm_timer_stop(&c->timer);
    dm_stream_close(&c->stream);
    dm_list_remove(&c->all);
    dm_list_remove(&c->idle);
    dm_list_remove(&c->work);
    dm_slab_give(&host->blocks, c->in_block);
    dm_slab_give(&host->blocks, c->out_block);
    bump(&host->n_conns, -1);
    dm_slab_give(&host->conns, c);
    host->on_end(host);
}

void http1_lose(struct http1_conn *c)
{
    c->lost = true;
    http1_drop_output(c);
    http1_post(c);
}

static void abort_exchange(struct dm_exchange *x)
{
    struct http1 *h = of(x);
    if (h->muted || h->finished || h->aborted)
        return;
    h->aborted = true;
    http1_drop_output(h->conn);
    dm_stream_reset(&h->conn->stream);
    http1_post(h->conn);
}

/* The handler hears of it at most once; whatever it calls meanwhile does nothing. */
static void tell_gone(struct http1 *h, enum dm_gone why)
{
    if (!h->served)
        return;
    int status = h->x.status;
    h->muted = true;
    h->served = false;
    bump(&h->conn->host->n_inflight, -1);
    h->x.handler->on_gone(&h->x, why);
    h->x.status = status;
    h->muted = false;
}

static bool drop(struct http1_conn *c, enum dm_gone why)
{
    struct http1 *h = c->rq;
    if (h != NULL) {
        tell_gone(h, why);
        if (h->x.status != 0) /* part of an answer is out: the cut must show */
            dm_stream_reset(&c->stream);
        http1_end(h);
    }
    c->dead = true;
    return false;
}

/* The carrier's own answer: what is asked cannot or must not be served. */
static bool refuse(struct http1 *h, enum dm_err err, const char *reason)
{
    enum { REASON_MAX = 64 };
    char text[REASON_MAX];
    int len = snprintf(text, sizeof text, "guard; %s", reason);
    DM_ASSERT(len > 0 && len < REASON_MAX);
    h->conn->linger = true;
    if (h->x.request_id.len == 0) { /* no head to take it from; a refusal has one all the same */
        dm_random_uuid(h->id);
        h->x.request_id = dm_view_make(h->id, DM_UUID_LEN);
    }
    dm_exchange_refuse(&h->x, err, dm_view_make(text, (size_t)len));
    return true;
}

static bool refuse_guard(struct http1 *h, enum dm_guard g)
{
    h->conn->host->count_guard(h->conn->host, g);
    return refuse(h, dm_guard_err(g), dm_guard_reason(g));
}

/* ---- what to do next ---- */

static bool wait_until(struct http1_conn *c, dm_time at)
{
    c->read_by = at;
    return false;
}

static bool finished(struct http1_conn *c, struct http1 *h)
{
    if (h->served) {
        bump(&c->host->n_inflight, -1);
        h->x.handler->on_done(&h->x);
    }
    uint64_t rest = http1_body_rest(h);
    if (rest > 0 && c->close)
        c->linger = true;
    else
        c->skip = rest; /* small, or must_close() had spoken */
    c->used = true;
    c->late_read = false; /* it was this request's */
    c->read_by = DM_NEVER;
    http1_end(h);
    return true;
}

/* The client sends no more. One that asked for keep-alive has gone away; one that announced the end
 * of the connection may just be waiting for its answer (docs/decisions.md). */
static bool peer_left(const struct http1_conn *c, const struct http1 *h)
{
    return c->stream.fin_ && !h->fin_ok && !h->ending;
}

static bool wait_for_body(struct http1_conn *c, struct http1 *h)
{
    dm_time now = dm_loop_now(c->host->loop), allowed = h->rules->body_timeout;
    if (h->wait_since == 0)
        h->wait_since = now;
    if (h->rules->body_deadline > 0 && h->rules->body_deadline - h->wait_spent < allowed)
        allowed = h->rules->body_deadline - h->wait_spent;
    return wait_until(c, h->wait_since + allowed);
}

static bool step_body(struct http1_conn *c, struct http1 *h)
{
    if (!http1_body_ready(h)) {
        if (h->fault != DM_GUARD_OK) {
            tell_gone(h, DM_GONE_PROTOCOL);
            return h->x.status == 0 ? refuse_guard(h, h->fault) : drop(c, DM_GONE_PROTOCOL);
        }
        switch (http1_fill(c, DM_LOOP_SCRATCH)) {
        case HTTP1_CLOSED:
            return drop(c, DM_GONE_PEER);
        case HTTP1_DRY:
            return wait_for_body(c, h);
        case HTTP1_FILLED:
            if (h->wait_since != 0)
                h->wait_spent += dm_loop_now(c->host->loop) - h->wait_since;
            h->wait_since = 0;
            return true;
        }
    }
    h->wants_body = false;
    c->read_by = DM_NEVER;
    h->x.handler->on_body(&h->x);
    return true;
}

static bool step_serve(struct http1_conn *c, struct http1 *h)
{
    if (c->late_read) {
        c->late_read = false;
        c->host->count(c->host, HTTP1_COUNT_TIMEOUT_BODY);
        tell_gone(h, DM_GONE_DEADLINE);
        return h->x.status == 0 ? refuse(h, ERR_REQUEST_TIMEOUT, "body_timeout")
                                : drop(c, DM_GONE_DEADLINE);
    }
    http1_flush(c);
    if (c->lost)
        return true;
    if (h->rest != NULL && http1_pending(c) <= ROOM_MARK) {
        http1_push_rest(h);
        return h->finished;
    }
    if (h->wants_room && http1_pending(c) <= ROOM_MARK) {
        h->wants_room = false;
        dm_exchange_room(&h->x);
        return true;
    }
    if (h->wants_body)
        return step_body(c, h);
    if (peer_left(c, h))
        return drop(c, DM_GONE_PEER);
    return wait_until(c, DM_NEVER);
}

static bool step_head(struct http1_conn *c, struct http1 *h)
{
    if (c->late_read) {
        c->late_read = false;
        c->host->count(c->host, HTTP1_COUNT_TIMEOUT_HEAD);
        return refuse(h, ERR_REQUEST_TIMEOUT, "header_timeout");
    }
    if (c->in.len == 0) {
        switch (http1_fill(c, HTTP1_HEAD_READ)) {
        case HTTP1_CLOSED:
            return drop(c, DM_GONE_PEER);
        case HTTP1_DRY:
            /* a new connection's time runs since accept */
            return wait_until(c, c->used ? h->x.started + h->rules->header_timeout : c->read_by);
        case HTTP1_FILLED:
            break;
        }
    }
    bool complete;
    enum dm_guard g = http1_read_head(h, &complete);
    if (g != DM_GUARD_OK)
        return refuse_guard(h, g);
    if (!complete)
        return true;
    c->read_by = DM_NEVER;
    h->served = true;
    bump(&c->host->n_inflight, 1);
    c->host->handler->on_head(c->host->app, &h->x);
    return true;
}

static bool step_linger(struct http1_conn *c)
{
    if (!c->lingering) {
        c->lingering = true;
        dm_stream_shutdown(&c->stream);
        c->read_by = dm_loop_now(c->host->loop) + LINGER_TIME;
    }
    http1_advance(c, c->in.len);
    switch (http1_fill(c, DM_LOOP_SCRATCH)) {
    case HTTP1_FILLED:
        return true;
    case HTTP1_DRY:
        return false; /* the time goes on, whatever comes */
    case HTTP1_CLOSED:
        break;
    }
    return drop(c, DM_GONE_PEER);
}

static bool step_close(struct http1_conn *c)
{
    /* With unread bytes here a close would be a reset. */
    if (c->linger || c->lingering || c->in.len > 0 || c->stream.readable_)
        return step_linger(c);
    return drop(c, DM_GONE_PEER);
}

/* Between requests with nothing received. */
static bool step_idle(struct http1_conn *c)
{
    struct http1_host *host = c->host;
    switch (http1_fill(c, c->skip > 0 ? DM_LOOP_SCRATCH : HTTP1_HEAD_READ)) {
    case HTTP1_FILLED:
        return true;
    case HTTP1_CLOSED:
        return drop(c, DM_GONE_PEER);
    case HTTP1_DRY:
        break;
    }
    dm_time now = dm_loop_now(host->loop);
    if (c->skip > 0) { /* for all of it: nobody is waiting for these bytes */
        if (c->read_by == DM_NEVER)
            c->read_by = now + host->rules->body_timeout;
        return false;
    }
    if (!c->used)
        return false; /* a new connection: its time runs since accept */
    if (host->draining)
        return drop(c, DM_GONE_DRAIN);
    if (dm_list_empty(&c->idle)) {
        dm_list_add_tail(&host->idle, &c->idle);
        c->read_by = now + host->rules->idle_timeout;
    }
    return false;
}

static bool late_between(struct http1_conn *c)
{
    c->late_read = false;
    if (c->lingering)
        return drop(c, DM_GONE_DEADLINE);
    if (c->used) {
        c->host->count(c->host, c->skip > 0 ? HTTP1_COUNT_TIMEOUT_BODY : HTTP1_COUNT_TIMEOUT_IDLE);
        return drop(c, DM_GONE_DEADLINE);
    }
    c->host->count(c->host, HTTP1_COUNT_TIMEOUT_HEAD);
    return refuse(http1_begin(c), ERR_REQUEST_TIMEOUT, "header_timeout");
}

static bool step_between(struct http1_conn *c)
{
    if (c->late_read)
        return late_between(c);
    http1_flush(c);
    if (c->lost)
        return true;
    if (http1_pending(c) >
        0) /* the next answer waits until this one is taken, so does its request */
        return wait_until(c, DM_NEVER);
    if (c->close)
        return step_close(c);
    if (c->in.len == 0)
        return step_idle(c);
    if (c->skip > 0) {
        size_t n = c->skip < c->in.len ? (size_t)c->skip : c->in.len;
        c->skip -= n;
        http1_advance(c, n);
        return true;
    }
    dm_list_remove(&c->idle);
    (void)http1_begin(c);
    return true;
}

static bool step(struct http1_conn *c)
{
    struct http1 *h = c->rq;
    if (c->dead)
        return false;
    if (h != NULL && h->aborted) {
        if (h->served)
            bump(&c->host->n_inflight, -1);
        http1_end(h);
        c->dead = true;
        return false;
    }
    if (c->late_write) {
        c->host->count(c->host, HTTP1_COUNT_TIMEOUT_WRITE);
        dm_stream_reset(&c->stream);
        return drop(c, DM_GONE_DEADLINE);
    }
    if (h != NULL && h->finished)
        return finished(c, h);
    if (c->lost)
        return drop(c, DM_GONE_PEER);
    if (h == NULL)
        return step_between(c);
    return h->served ? step_serve(c, h) : step_head(c, h);
}

/* ---- when ---- */

static void arm(struct http1_conn *c)
{
    dm_time at = c->read_by < c->write_by ? c->read_by : c->write_by;
    /* A timer that fires too early looks again; only a deadline before it needs to move it. */
    if (at == DM_NEVER || (dm_timer_running(&c->timer) && c->timer.at_ <= at))
        return;
    dm_timer_start(c->host->loop, &c->timer, at - dm_loop_now(c->host->loop));
}

void http1_run(struct http1_conn *c)
{
    DM_ASSERT(!c->running);
    c->running = true;
    int steps = 0;
    while (steps < STEPS_MAX && step(c))
        steps++;
    c->running = false;
    if (c->dead) {
        c->in = DM_VIEW_NONE;
        conn_free(c);
        return;
    }
    http1_keep_input(c);
    if (steps == STEPS_MAX)
        http1_post(c);
    arm(c);
}

void http1_post(struct http1_conn *c)
{
    if (c->running || !dm_list_empty(&c->work))
        return;
    dm_list_add_tail(&c->host->work, &c->work);
    dm_loop_post(c->host->loop, &c->host->task);
}

static void on_task(struct dm_task *t)
{
    struct http1_host *host = DM_CONTAINER_OF(t, struct http1_host, task);
    struct dm_link now; /* who posts itself again runs in the next turn */
    dm_list_init(&now);
    for (struct dm_link *l; (l = dm_list_pop(&host->work)) != NULL;)
        dm_list_add_tail(&now, l);
    for (struct dm_link *l; (l = dm_list_pop(&now)) != NULL;)
        http1_run(DM_CONTAINER_OF(l, struct http1_conn, work));
}

static void on_event(struct dm_io *io, uint32_t events)
{
    struct http1_conn *c = DM_CONTAINER_OF(io, struct http1_conn, stream.io);
    dm_stream_note(&c->stream, events);
    if (c->stream.broken_)
        c->lost = true;
    http1_run(c);
}

static void on_time(struct dm_timer *t)
{
    struct http1_conn *c = DM_CONTAINER_OF(t, struct http1_conn, timer);
    dm_time now = dm_loop_now(c->host->loop);
    c->late_write = c->write_by <= now;
    c->late_read = !c->late_write && c->read_by <= now;
    if (c->late_read)
        c->read_by = DM_NEVER;
    if (c->late_write || c->late_read)
        http1_run(c);
    else
        arm(c);
}

void http1_drain(struct http1_host *host)
{
    host->draining = true;
    dm_time grace = dm_loop_now(host->loop) + DRAIN_GRACE;
    DM_LIST_EACH_SAFE(&host->all, link, next)
    {
        struct http1_conn *c = DM_CONTAINER_OF(link, struct http1_conn, all);
        if (c->rq != NULL || c->close || http1_pending(c) > 0)
            continue; /* it ends after its answer */
        if (!c->used && c->read_by > grace)
            c->read_by = grace;
        c->stream.readable_ = true;
        http1_post(c);
    }
}

/* ---- start and end ---- */

struct http1_conn *http1_open(struct http1_host *host, int fd, const struct dm_address *peer)
{
    struct http1_conn *c = dm_slab_take(&host->conns);
    memset(c, 0, sizeof *c);
    c->host = host;
    c->peer = *peer;
    dm_list_init(&c->idle);
    dm_list_init(&c->work);
    dm_list_add_tail(&host->all, &c->all);
    dm_timer_init(&c->timer, on_time);
    dm_stream_open(&c->stream, host->loop, fd, on_event);
    c->write_by = DM_NEVER;
    c->read_by = dm_loop_now(host->loop) + host->rules->header_timeout;
    bump(&host->n_conns, 1);
    arm(c);
    return c;
}

void http1_cut(struct http1_conn *c)
{
    DM_REQUIRE(!c->running);
    c->running = true;
    (void)drop(c, DM_GONE_DRAIN);
    c->in = DM_VIEW_NONE;
    conn_free(c);
}

void http1_host_init(struct http1_host *host)
{
    dm_slab_init(&host->conns, sizeof(struct http1_conn), KEEP_CONNS);
    dm_slab_init(&host->requests, sizeof(struct http1), KEEP_REQUESTS);
    dm_slab_init(&host->blocks, HTTP1_BLOCK, KEEP_BLOCKS);
    dm_list_init(&host->all);
    dm_list_init(&host->idle);
    dm_list_init(&host->work);
    dm_task_init(&host->task, on_task);
    host->rules = http1_rules_new(host->settings(host->app));
}

void http1_host_done(struct http1_host *host)
{
    DM_REQUIRE(dm_list_empty(&host->all));
    dm_loop_unpost(&host->task);
    http1_rules_unref(host->rules);
    dm_slab_done(&host->conns);
    dm_slab_done(&host->requests);
    dm_slab_done(&host->blocks);
}

static void limit_body(struct dm_exchange *x, uint64_t max)
{
    of(x)->body_max = max;
}

static uint64_t body_limit(const struct dm_exchange *x)
{
    return DM_CONTAINER_OF(x, const struct http1, x)->body_max;
}

static const struct dm_fields *trailers(struct dm_exchange *x)
{
    return &of(x)->trailers;
}

static bool draining(const struct dm_exchange *x)
{
    const struct http1 *h = DM_CONTAINER_OF(x, const struct http1, x);
    return h->conn->close || h->conn->host->draining;
}

const struct dm_carrier http1_carrier = {
    .pull = http1_pull,
    .consume = http1_consume,
    .limit_body = limit_body,
    .body_limit = body_limit,
    .trailers = trailers,
    .answer = http1_answer,
    .inform = http1_inform,
    .push = http1_push,
    .keep = http1_keep,
    .trailer = http1_trailer,
    .finish = http1_finish,
    .abort = abort_exchange,
    .draining = draining,
};

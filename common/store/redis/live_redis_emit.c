#include "embedded/store_redis_scripts.h"
#include "store/live_outbox.h"
#include "store/redis/live_redis_priv.h"

#include "base/poison.h"

/* Records on their way to Redis, one batch of a stream under way at a time, so that they arrive in
 * order. A batch whose fate nobody knows is sent again: the admin applies by id. While Redis is
 * away, or the stream is full since no admin takes from it, they wait in a bounded line. */

enum {
    BOX_MAX = 512 * 1024, /* of each stream and worker: hours of figures (a record a minute while
                             it waits), about a thousand audit events */
    BATCH = 16,           /* records of one command: two arguments each */
    BATCH_BYTES = 256 * 1024,
    /* Entries that wait in Redis for an admin. One that takes leaves a few; behind it, a worker
     * sends a record a minute: figures of 20 workers for 16 hours, of 1 to 10 KB each. Events have
     * about 400 bytes: 40 MB. */
    METRICS_BEHIND = 1000,
    METRICS_CAP = 20000,
    AUDIT_CAP = 100000
};
static const dm_time SOON = 100 * DM_MS; /* events that come together leave together */
static const dm_time AGAIN = DM_SEC;
static const dm_time WITHIN = 5 * DM_SEC;

struct line {
    struct live_streams *of;
    enum dm_stream stream;
    struct dm_outbox box;
    struct dm_outbox_entry *sent[BATCH]; /* under way, in order */
    size_t n_sent;
    bool refused, behind; /* as of the last answer: the stream or Redis is full; METRICS_BEHIND */
    struct dm_redis_ask ask;
    struct dm_timer timer;
};

struct live_streams {
    struct live_redis_handle *handle;
    struct dm_redis_script script;
    struct line lines[DM_STREAMS];
};

static void start_timer(struct line *k, dm_time after)
{
    if (!dm_timer_running(&k->timer) && k->n_sent == 0)
        dm_timer_start(k->of->handle->loop, &k->timer, after);
}

static void on_appended(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct line *k = DM_CONTAINER_OF(q, struct line, ask);
    int64_t took = rc == DM_OK ? dm_redis_int(dm_redis_at(reply, 0)) : 0;
    k->behind = rc == DM_OK && dm_redis_int(dm_redis_at(reply, 1)) > METRICS_BEHIND;
    if (rc == DM_PROTOCOL || took < 0 || took > (int64_t)k->n_sent) {
        live_redis_odd(k->of->handle, "records", reply);
        took = 0;
    }
    k->refused = took == 0;
    while (k->n_sent > (size_t)took)
        dm_outbox_put_back(&k->box, k->sent[--k->n_sent]);
    while (k->n_sent > 0)
        dm_mem_free(k->sent[--k->n_sent]);
    if (k->box.n > 0)
        start_timer(k, took > 0 ? 0 : AGAIN);
}

static void send(struct line *k)
{
    struct live_redis_handle *h = k->of->handle;
    const dm_view key = dm_stream_key(k->stream);
    struct live_number cap;
    dm_view args[1 + 2 * BATCH];
    size_t bytes = 0;
    args[0] = live_number(&cap, k->stream == DM_STREAM_METRICS ? METRICS_CAP : AUDIT_CAP);
    while (k->n_sent < BATCH && bytes < BATCH_BYTES && k->box.n > 0) {
        struct dm_outbox_entry *e = dm_outbox_take(&k->box);
        args[1 + 2 * k->n_sent] = dm_outbox_id(e);
        args[2 + 2 * k->n_sent] = dm_outbox_record(e);
        k->sent[k->n_sent++] = e;
        bytes += e->len;
    }
    dm_redis_eval(h->redis, &k->of->script, &key, 1, args, 1 + 2 * k->n_sent,
                  dm_loop_now(h->loop) + WITHIN, &k->ask, on_appended);
}

static void on_timer(struct dm_timer *t)
{
    struct line *k = DM_CONTAINER_OF(t, struct line, timer);
    if (k->n_sent > 0 || k->box.n == 0)
        return;
    if (dm_redis_connected(k->of->handle->redis))
        send(k);
    else
        start_timer(k, AGAIN);
}

size_t live_redis_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record)
{
    struct line *k = &live_redis_handle_of(l)->streams->lines[s];
    const size_t lost = dm_outbox_put(&k->box, id, record);
    start_timer(k, SOON);
    return lost;
}

size_t live_redis_emit_pending(const struct dm_live *l, enum dm_stream s)
{
    const struct line *k =
        &DM_CONTAINER_OF(l, const struct live_redis_handle, base)->streams->lines[s];
    return k->box.n + k->n_sent;
}

size_t live_streams_flush(struct live_streams *s)
{
    size_t n = 0;
    for (int i = 0; i < DM_STREAMS; i++) {
        struct line *k = &s->lines[i];
        if (k->refused)
            continue;
        if (k->n_sent == 0 && k->box.n > 0) {
            dm_timer_stop(&k->timer);
            send(k);
        }
        n += k->n_sent + k->box.n;
    }
    return n;
}

bool live_redis_emit_behind(const struct dm_live *l, enum dm_stream s)
{
    return DM_CONTAINER_OF(l, const struct live_redis_handle, base)->streams->lines[s].behind;
}

struct live_streams *live_streams_new(struct live_redis_handle *h)
{
    struct live_streams *s = DM_NEW(struct live_streams);
    s->handle = h;
    dm_redis_script_init(&s->script, DM_SCRIPT_EMIT);
    for (int i = 0; i < DM_STREAMS; i++) {
        s->lines[i].of = s;
        s->lines[i].stream = (enum dm_stream)i;
        dm_outbox_init(&s->lines[i].box, BOX_MAX, i == DM_STREAM_METRICS);
        dm_timer_init(&s->lines[i].timer, on_timer);
    }
    return s;
}

void live_streams_free(struct live_streams *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < DM_STREAMS; i++) {
        struct line *k = &s->lines[i];
        dm_timer_stop(&k->timer);
        dm_redis_cancel(s->handle->redis, &k->ask);
        while (k->n_sent > 0)
            dm_mem_free(k->sent[--k->n_sent]);
        dm_outbox_done(&k->box);
    }
    dm_mem_free(s);
}

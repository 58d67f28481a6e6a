#include <string.h>

#include "base/assert.h"
#include "base/index.h"
#include "base/log.h"
#include "embedded/store_redis_scripts.h"
#include "store/redis/live_redis_admit.h"

#include "base/poison.h"

/* Bytes after the answer: summed per user and window, sent once a second. A batch that found no
 * connection goes back to the sums and waits for the next second, 60 s at most (gateway.md §27.2);
 * one that was lost with its connection too, so that it may count twice and never not at all. */

enum {
    SUMS_MAX = 65536, /* users with a limit of bandwidth within a second, or 60 while Redis is
                         away: 350 bytes each */
    BATCH = 20        /* of a script call: three arguments each, below DM_REDIS_ARGS_MAX */
};
static const dm_time EVERY = DM_SEC;
static const dm_time KEEP = 60 * DM_SEC;
static const dm_time WITHIN = KEEP; /* nobody waits; a stuck server gets no second batch */

struct sum {
    struct dm_link link; /* of the batch or of the sums */
    uint64_t hash;
    dm_time since; /* monotonic: the oldest byte */
    int64_t window, bytes;
    size_t subject_len;
    char subject[];
};

struct batch {
    struct dm_link link; /* under way */
    struct live_bandwidth *of;
    struct dm_redis_ask ask;
    struct dm_link sums;
};

struct live_bandwidth {
    struct live_redis_handle *handle;
    struct dm_redis_script script, slot_script;
    struct dm_timer timer;
    struct dm_index index; /* of what waits, not of what is under way */
    struct dm_link waiting, under_way;
    dm_time told; /* monotonic: bytes were dropped */
};

struct named {
    dm_view subject;
    int64_t window;
};

static dm_view subject_of(const struct sum *s)
{
    return dm_view_make(s->subject, s->subject_len);
}

static bool is_named(const void *item, const void *key)
{
    const struct sum *s = item;
    const struct named *n = key;
    return s->window == n->window && dm_view_eq(subject_of(s), n->subject);
}

static uint64_t hash_of(dm_view subject, int64_t window)
{
    return dm_view_hash(subject, (uint64_t)window);
}

static struct sum *find(const struct live_bandwidth *b, dm_view subject, int64_t window)
{
    const struct named n = {subject, window};
    if (dm_index_count(&b->index) == 0)
        return NULL;
    return dm_index_find(&b->index, hash_of(subject, window), is_named, &n);
}

int64_t live_bandwidth_unsent(const struct live_bandwidth *b, dm_view subject, int64_t window)
{
    const struct sum *s = find(b, subject, window);
    return s == NULL ? 0 : s->bytes;
}

/* A script adds up to that and keeps a full counter full. */
static int64_t add_up(int64_t a, int64_t b)
{
    const int64_t most = (int64_t)1 << 52;
    return a > most - (b > most ? most : b) ? most : a + b;
}

static void drop(struct live_bandwidth *b, struct sum *s)
{
    (void)dm_index_remove(&b->index, s->hash, s);
    dm_list_remove(&s->link);
    dm_mem_free(s);
}

static void tell_dropped(struct live_bandwidth *b, const char *why)
{
    dm_time now = dm_loop_now(b->handle->loop);
    if (b->told != 0 && now - b->told < KEEP)
        return;
    b->told = now;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "bandwidth not counted", DM_FC("reason", why));
}

static void start_timer(struct live_bandwidth *b)
{
    if (!dm_timer_running(&b->timer))
        dm_timer_start(b->handle->loop, &b->timer, EVERY);
}

void live_redis_add_bandwidth(struct dm_live *l, dm_view subject, int64_t window, int64_t bytes)
{
    struct live_bandwidth *b = live_redis_handle_of(l)->bandwidth;
    if (!dm_live_subject_fits(subject, DM_VIEW_NONE) || bytes == 0)
        return; /* no user has such a name */
    struct sum *s = find(b, subject, window);
    if (s == NULL && dm_index_count(&b->index) == SUMS_MAX) {
        tell_dropped(b, "too many users wait to be counted");
        return;
    }
    if (s == NULL) {
        s = dm_mem_alloc(sizeof *s + subject.len);
        s->hash = hash_of(subject, window);
        s->since = dm_loop_now(b->handle->loop);
        s->window = window;
        s->subject_len = subject.len;
        if (subject.len > 0)
            memcpy(s->subject, subject.ptr, subject.len);
        dm_index_put(&b->index, s->hash, s);
        dm_list_init(&s->link);
        dm_list_add_tail(&b->waiting, &s->link);
    }
    s->bytes = add_up(s->bytes, bytes);
    start_timer(b);
}

/* --- batches --- */

static void put_back(struct live_bandwidth *b, struct sum *s)
{
    struct sum *same = find(b, subject_of(s), s->window);
    if (same != NULL) {
        same->bytes = add_up(same->bytes, s->bytes);
        same->since = s->since;
        dm_mem_free(s);
    } else if (dm_index_count(&b->index) == SUMS_MAX) {
        tell_dropped(b, "too many users wait to be counted");
        dm_mem_free(s);
    } else {
        dm_index_put(&b->index, s->hash, s);
        dm_list_add_tail(&b->waiting, &s->link);
    }
}

static void end_batch(struct batch *k, bool done)
{
    struct live_bandwidth *b = k->of;
    for (struct dm_link *l; (l = dm_list_pop(&k->sums)) != NULL;) {
        struct sum *s = DM_CONTAINER_OF(l, struct sum, link);
        if (done)
            dm_mem_free(s);
        else
            put_back(b, s);
    }
    dm_list_remove(&k->link);
    dm_mem_free(k);
    if (!dm_list_empty(&b->waiting))
        start_timer(b);
}

static void on_added(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct batch *k = DM_CONTAINER_OF(q, struct batch, ask);
    if (rc == DM_PROTOCOL || (rc == DM_OK && dm_redis_int(reply) != 0))
        live_redis_odd(k->of->handle, "bandwidth", reply);
    end_batch(k, rc != DM_UNAVAILABLE);
}

enum { SAYS_ADDED = 0, SAYS_MOVED = 3 }; /* of bandwidth_slot.lua */

static void on_added_slot(struct dm_redis_ask *q, enum dm_code rc,
                          const struct dm_redis_reply *reply)
{
    struct batch *k = DM_CONTAINER_OF(q, struct batch, ask);
    struct live_redis_handle *h = k->of->handle;
    int64_t says = dm_redis_int(dm_redis_at(reply, 0));
    dm_time wall =
        live_wall_of(dm_redis_int(dm_redis_at(reply, 1)), dm_redis_int(dm_redis_at(reply, 2)));
    bool fits = rc == DM_OK && dm_redis_len(reply) == 3 && wall != 0;
    if (fits)
        live_redis_learn_wall(h, wall);
    if (rc == DM_PROTOCOL || (rc == DM_OK && !fits) || (fits && says == 1))
        live_redis_odd(h, "bandwidth", reply);
    end_batch(k, rc != DM_UNAVAILABLE && !(fits && says == SAYS_MOVED));
}

/* The name in the window that starts at 0, whose last byte is that 0. */
static dm_view prefix_of(struct dm_live_key *k, const struct sum *s)
{
    dm_live_key_bandwidth(k, subject_of(s), s->window, 0);
    return dm_view_make(k->bytes, k->len - 1);
}

static void send_batch(struct live_bandwidth *b, struct batch *k, dm_time deadline)
{
    struct dm_live_key names[BATCH];
    struct live_number windows[BATCH], bytes[BATCH];
    dm_view args[3 * BATCH];
    size_t n = 0;
    DM_LIST_EACH_SAFE(&k->sums, l, tmp)
    {
        const struct sum *s = DM_CONTAINER_OF(l, struct sum, link);
        args[3 * n] = prefix_of(&names[n], s);
        args[3 * n + 1] = live_number(&windows[n], s->window);
        args[3 * n + 2] = live_number(&bytes[n], s->bytes);
        n++;
    }
    dm_redis_eval(b->handle->redis, &b->script, NULL, 0, args, 3 * n, deadline, &k->ask, on_added);
}

static void send_slot(struct live_bandwidth *b, struct batch *k, dm_time deadline)
{
    const struct sum *s = DM_CONTAINER_OF(k->sums.next, struct sum, link);
    int64_t start = live_redis_guess_wall(b->handle) / DM_SEC / s->window * s->window;
    struct dm_live_key name;
    struct live_number begin, window, bytes;
    dm_live_key_bandwidth(&name, subject_of(s), s->window, start);
    const dm_view key = dm_live_key_view(&name);
    const dm_view args[] = {live_number(&begin, start), live_number(&window, s->window),
                            live_number(&bytes, s->bytes)};
    dm_redis_eval(b->handle->redis, &b->slot_script, &key, 1, args, DM_COUNT_OF(args), deadline,
                  &k->ask, on_added_slot);
}

static void send_all(struct live_bandwidth *b)
{
    bool cluster = dm_redis_is_cluster(b->handle->redis);
    dm_time deadline = dm_loop_now(b->handle->loop) + WITHIN;
    while (!dm_list_empty(&b->waiting)) {
        struct batch *k = DM_NEW(struct batch);
        k->of = b;
        dm_list_init(&k->link);
        dm_list_init(&k->sums);
        dm_list_add_tail(&b->under_way, &k->link);
        for (int n = 0; n < (cluster ? 1 : BATCH) && !dm_list_empty(&b->waiting); n++) {
            struct sum *s = DM_CONTAINER_OF(dm_list_pop(&b->waiting), struct sum, link);
            (void)dm_index_remove(&b->index, s->hash, s);
            dm_list_add_tail(&k->sums, &s->link);
        }
        if (cluster)
            send_slot(b, k, deadline);
        else
            send_batch(b, k, deadline);
    }
}

static void drop_old(struct live_bandwidth *b)
{
    dm_time oldest = dm_loop_now(b->handle->loop) - KEEP;
    DM_LIST_EACH_SAFE(&b->waiting, l, tmp)
    {
        struct sum *s = DM_CONTAINER_OF(l, struct sum, link);
        if (s->since >= oldest)
            continue;
        tell_dropped(b, "Redis was away too long");
        drop(b, s);
    }
}

/* While a batch is under way nothing else is sent: a slow server is not buried. */
static void on_timer(struct dm_timer *t)
{
    struct live_bandwidth *b = DM_CONTAINER_OF(t, struct live_bandwidth, timer);
    drop_old(b);
    if (dm_list_empty(&b->waiting))
        return;
    if (dm_list_empty(&b->under_way) && dm_redis_connected(b->handle->redis))
        send_all(b);
    else
        start_timer(b);
}

size_t live_bandwidth_flush(struct live_bandwidth *b)
{
    size_t n = 0;
    if (dm_list_empty(&b->under_way))
        send_all(b);
    DM_LIST_EACH_SAFE(&b->under_way, l, tmp)
    n++;
    return n + dm_index_count(&b->index);
}

struct live_bandwidth *live_bandwidth_new(struct live_redis_handle *h)
{
    struct live_bandwidth *b = DM_NEW(struct live_bandwidth);
    b->handle = h;
    dm_redis_script_init(&b->script, DM_SCRIPT_COUNTER DM_SCRIPT_BANDWIDTH);
    dm_redis_script_init(&b->slot_script, DM_SCRIPT_COUNTER DM_SCRIPT_BANDWIDTH_SLOT);
    dm_timer_init(&b->timer, on_timer);
    dm_list_init(&b->waiting);
    dm_list_init(&b->under_way);
    return b;
}

void live_bandwidth_free(struct live_bandwidth *b)
{
    if (b == NULL)
        return;
    dm_timer_stop(&b->timer);
    for (struct dm_link *l; (l = dm_list_pop(&b->under_way)) != NULL;) {
        struct batch *k = DM_CONTAINER_OF(l, struct batch, link);
        dm_redis_cancel(b->handle->redis, &k->ask);
        for (struct dm_link *m; (m = dm_list_pop(&k->sums)) != NULL;)
            dm_mem_free(DM_CONTAINER_OF(m, struct sum, link));
        dm_mem_free(k);
    }
    for (struct dm_link *l; (l = dm_list_pop(&b->waiting)) != NULL;)
        dm_mem_free(DM_CONTAINER_OF(l, struct sum, link));
    dm_index_done(&b->index);
    dm_mem_free(b);
}

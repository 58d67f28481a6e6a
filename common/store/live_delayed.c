#include "store/live_delayed.h"

#include <string.h>

#include "base/assert.h"
#include "store/live_backend.h"

#include "base/poison.h"

struct held {
    struct dm_link link; /* asked, or ready */
    struct delayed *owner;
    struct dm_live_wait inner;
    struct dm_live_wait *wait;
    dm_admit_fn admit_fn;
    dm_objects_fn objects_fn;
    dm_reserve_fn reserve_fn;
    enum dm_reserve_verdict reserve;
    unsigned turns;
    struct dm_admit_answer admit;
    size_t n;
    struct dm_live_object objects[DM_LIVE_GET_MAX]; /* bytes owned */
};

struct delayed {
    struct dm_live base;
    struct dm_live *inner;
    struct dm_loop *loop;
    struct dm_task task;
    struct dm_link asked, ready;
    size_t n_ready;
    unsigned max_turns;
    uint64_t random;
    bool held;
};

static struct delayed *delayed_of(const struct dm_live *l)
{
    return (struct delayed *)(uintptr_t)l; /* base is the first member */
}

/* xorshift64*: any order will do, the same for the same seed */
static uint64_t draw(struct delayed *d)
{
    d->random ^= d->random >> 12;
    d->random ^= d->random << 25;
    d->random ^= d->random >> 27;
    return d->random * 2685821657736338717u;
}

static void held_free(struct held *h)
{
    dm_list_remove(&h->link);
    for (size_t i = 0; i < h->n; i++)
        dm_mem_free((void *)(uintptr_t)h->objects[i].bytes.ptr);
    dm_mem_free(h);
}

static struct held *hold(struct delayed *d, struct dm_live_wait *w)
{
    struct held *h = DM_NEW(struct held);
    h->owner = d;
    h->wait = w;
    h->turns = d->max_turns == 0 ? 0 : (unsigned)(draw(d) % (d->max_turns + 1));
    dm_list_add_tail(&d->asked, &h->link);
    w->pending = true;
    w->ticket_ = (uint64_t)(uintptr_t)h;
    return h;
}

static void answer(struct held *h)
{
    struct dm_live_wait *w = h->wait;
    w->pending = false;
    if (h->admit_fn != NULL)
        h->admit_fn(w, &h->admit);
    else if (h->reserve_fn != NULL)
        h->reserve_fn(w, h->reserve);
    else
        h->objects_fn(w, h->objects, h->n);
    held_free(h);
}

static struct held *draw_due(struct delayed *d)
{
    size_t n = 0;
    struct held *drawn = NULL;
    DM_LIST_EACH_SAFE(&d->ready, l, tmp)
    {
        struct held *h = DM_CONTAINER_OF(l, struct held, link);
        if (h->turns == 0 && draw(d) % ++n == 0)
            drawn = h;
    }
    return drawn;
}

static void on_task(struct dm_task *t)
{
    struct delayed *d = DM_CONTAINER_OF(t, struct delayed, task);
    struct held *h;
    while (!d->held && (h = draw_due(d)) != NULL) {
        dm_list_remove(&h->link);
        d->n_ready--;
        answer(h);
    }
    DM_LIST_EACH_SAFE(&d->ready, l, tmp)
    {
        struct held *later = DM_CONTAINER_OF(l, struct held, link);
        if (later->turns > 0)
            later->turns--;
    }
    if (!d->held && !dm_list_empty(&d->ready))
        dm_loop_post(d->loop, &d->task);
}

static void make_ready(struct held *h)
{
    struct delayed *d = h->owner;
    dm_list_remove(&h->link);
    dm_list_add_tail(&d->ready, &h->link);
    d->n_ready++;
    if (!d->held)
        dm_loop_post(d->loop, &d->task);
}

static void on_admit(struct dm_live_wait *w, const struct dm_admit_answer *a)
{
    struct held *h = DM_CONTAINER_OF(w, struct held, inner);
    h->admit = *a;
    make_ready(h);
}

static void on_objects(struct dm_live_wait *w, const struct dm_live_object *objects, size_t n)
{
    struct held *h = DM_CONTAINER_OF(w, struct held, inner);
    h->n = n;
    for (size_t i = 0; i < n; i++) {
        h->objects[i] = objects[i];
        if (objects[i].bytes.ptr != NULL)
            h->objects[i].bytes.ptr = dm_mem_text(objects[i].bytes);
    }
    make_ready(h);
}

static void on_reserve(struct dm_live_wait *w, enum dm_reserve_verdict v)
{
    struct held *h = DM_CONTAINER_OF(w, struct held, inner);
    h->reserve = v;
    make_ready(h);
}

static void ask_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                      struct dm_live_wait *w, dm_admit_fn fn)
{
    struct held *h = hold(delayed_of(l), w);
    h->admit_fn = fn;
    dm_live_ask_admit(h->owner->inner, ask, deadline, &h->inner, on_admit);
}

static void ask_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                        struct dm_live_wait *w, dm_reserve_fn fn)
{
    struct held *h = hold(delayed_of(l), w);
    h->reserve_fn = fn;
    dm_live_ask_reserve(h->owner->inner, ask, deadline, &h->inner, on_reserve);
}

static void settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent)
{
    dm_live_settle(delayed_of(l)->inner, group, subject, id, spent);
}

static void ask_objects(struct dm_live *l, const dm_view (*names)[2], size_t n, dm_time deadline,
                        struct dm_live_wait *w, dm_objects_fn fn)
{
    struct held *h = hold(delayed_of(l), w);
    h->objects_fn = fn;
    dm_live_ask_objects(h->owner->inner, names, n, deadline, &h->inner, on_objects);
}

static void cancel(struct dm_live *l, struct dm_live_wait *w)
{
    struct delayed *d = delayed_of(l);
    struct held *h = (struct held *)(uintptr_t)w->ticket_;
    DM_ASSERT(h->wait == w);
    w->pending = false;
    if (h->inner.pending)
        dm_live_cancel(d->inner, &h->inner);
    else
        d->n_ready--;
    held_free(h);
}

static void add_bandwidth(struct dm_live *l, dm_view subject, int64_t window_seconds, int64_t bytes)
{
    dm_live_add_bandwidth(delayed_of(l)->inner, subject, window_seconds, bytes);
}

static void subscribe(struct dm_live *l, struct dm_live_subscriber *s)
{
    dm_live_subscribe(delayed_of(l)->inner, s);
}

static size_t emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record)
{
    return dm_live_emit(delayed_of(l)->inner, s, id, record);
}

static size_t emit_pending(const struct dm_live *l, enum dm_stream s)
{
    return dm_live_emit_pending(DM_CONTAINER_OF(l, const struct delayed, base)->inner, s);
}

static void delayed_free(struct dm_live *l)
{
    struct delayed *d = delayed_of(l);
    dm_loop_unpost(&d->task);
    while (!dm_list_empty(&d->asked)) {
        struct held *h = DM_CONTAINER_OF(d->asked.next, struct held, link);
        dm_live_cancel(d->inner, &h->inner);
        h->wait->pending = false;
        held_free(h);
    }
    while (!dm_list_empty(&d->ready)) {
        struct held *h = DM_CONTAINER_OF(d->ready.next, struct held, link);
        h->wait->pending = false;
        held_free(h);
    }
    dm_live_free(d->inner);
    dm_mem_free(d);
}

static const struct dm_live_ops delayed_ops = {
    .cancel = cancel,
    .ask_admit = ask_admit,
    .add_bandwidth = add_bandwidth,
    .ask_reserve = ask_reserve,
    .settle = settle,
    .ask_objects = ask_objects,
    .subscribe = subscribe,
    .emit = emit,
    .emit_pending = emit_pending,
    .free = delayed_free,
};

struct dm_live *dm_live_delayed_new(struct dm_live *inner, struct dm_loop *loop, uint64_t seed,
                                    unsigned max_turns)
{
    struct delayed *d = DM_NEW(struct delayed);
    d->base.ops = &delayed_ops;
    d->base.outage = inner->outage;
    d->inner = inner;
    d->loop = loop;
    d->max_turns = max_turns;
    d->random = seed | 1;
    dm_task_init(&d->task, on_task);
    dm_list_init(&d->asked);
    dm_list_init(&d->ready);
    return &d->base;
}

void dm_live_delayed_hold(struct dm_live *l, bool held)
{
    DM_REQUIRE(l->ops == &delayed_ops);
    struct delayed *d = delayed_of(l);
    d->held = held;
    if (!held && !dm_list_empty(&d->ready))
        dm_loop_post(d->loop, &d->task);
}

size_t dm_live_delayed_count(const struct dm_live *l)
{
    DM_REQUIRE(l->ops == &delayed_ops);
    return delayed_of(l)->n_ready;
}

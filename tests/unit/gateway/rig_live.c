/* The live store of a rig: passes calls on, or keeps their answers for the test to give. */
#include "rig_parts.h"

static struct rig_holding *holding(struct dm_live *l)
{
    return DM_CONTAINER_OF(l, struct rig_holding, base);
}

static void hold_cancel(struct dm_live *l, struct dm_live_wait *w)
{
    struct rig_holding *h = holding(l);

    h->n_cancelled++;
    if (h->wait == w) {
        w->pending = false;
        h->wait = NULL;
        return;
    }
    dm_live_cancel(h->real, w);
}

static void hold_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                       struct dm_live_wait *w, dm_admit_fn fn)
{
    struct rig_holding *h = holding(l);

    h->n_admits++;
    if (!h->holds_admit) {
        dm_live_ask_admit(h->real, ask, deadline, w, fn);
        return;
    }
    w->pending = true;
    h->wait = w;
    h->admit = fn;
}

static void hold_objects(struct dm_live *l, const dm_view (*names)[2], size_t n, dm_time deadline,
                         struct dm_live_wait *w, dm_objects_fn fn)
{
    struct rig_holding *h = holding(l);

    if (!h->holds_objects) {
        dm_live_ask_objects(h->real, names, n, deadline, w, fn);
        return;
    }
    w->pending = true;
    h->wait = w;
    h->objects = fn;
}

static void hold_bandwidth(struct dm_live *l, dm_view subject, int64_t window, int64_t bytes)
{
    holding(l)->bandwidth += bytes;
    dm_live_add_bandwidth(holding(l)->real, subject, window, bytes);
}

/* Held: the credit is taken, and the answer does not come. */
static void swallow(struct dm_live_wait *w, enum dm_reserve_verdict v)
{
    (void)w;
    (void)v;
}

static void hold_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                         struct dm_live_wait *w, dm_reserve_fn fn)
{
    struct rig_holding *h = holding(l);

    h->n_reserves++;
    h->hold = ask->hold;
    if (!h->holds_reserve) {
        dm_live_ask_reserve(h->real, ask, deadline, w, fn);
        return;
    }
    dm_live_ask_reserve(h->real, ask, deadline, &h->swallowed, swallow);
    w->pending = true;
    h->wait = w;
    h->reserve = fn;
}

static void hold_settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent)
{
    struct rig_holding *h = holding(l);

    h->n_spent += spent;
    h->n_given_back += !spent;
    dm_live_settle(h->real, group, subject, id, spent);
}

static void hold_subscribe(struct dm_live *l, struct dm_live_subscriber *s)
{
    dm_live_subscribe(holding(l)->real, s);
}

static size_t hold_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record)
{
    return dm_live_emit(holding(l)->real, s, id, record);
}

static size_t hold_emit_pending(const struct dm_live *l, enum dm_stream s)
{
    (void)l;
    (void)s;
    return 0;
}

static void hold_free(struct dm_live *l)
{
    dm_live_free(holding(l)->real);
}

const struct dm_live_ops rig_holding_ops = {
    .cancel = hold_cancel,
    .ask_admit = hold_admit,
    .add_bandwidth = hold_bandwidth,
    .ask_reserve = hold_reserve,
    .settle = hold_settle,
    .ask_objects = hold_objects,
    .subscribe = hold_subscribe,
    .emit = hold_emit,
    .emit_pending = hold_emit_pending,
    .free = hold_free,
};

void rig_hold(struct rig *r, bool admit, bool objects)
{
    r->live.holds_admit = admit;
    r->live.holds_objects = objects;
}

void rig_release(struct rig *r, enum dm_admit_verdict verdict)
{
    const struct dm_admit_answer a = {.verdict = verdict,
                                      .now_wall = dm_clock_wall(&r->clock.clock)};
    struct dm_live_wait *w = DM_TAKE(r->live.wait);

    assert_non_null(w);
    w->pending = false;
    r->live.admit(w, &a);
}

#include "store/live_memory.h"

#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

enum { PASSES = 4 }; /* a call asks for its user, for admission and for a credit, one by one */

static struct live_handle *handle_of(struct dm_live *l)
{
    return DM_CONTAINER_OF(l, struct live_handle, base);
}

static void on_late(struct dm_timer *t)
{
    struct live_record *r = DM_CONTAINER_OF(t, struct live_record, late);
    r->code = DM_UNAVAILABLE;
    live_record_answer(r); /* the owner still has the record: it comes back by the inbox */
}

struct live_record *live_record_take(struct live_handle *h, enum live_kind kind,
                                     struct dm_live_wait *w)
{
    struct dm_link *l = dm_list_pop(&h->free);
    struct live_record *r;
    if (l != NULL) {
        h->n_free--;
        r = DM_CONTAINER_OF(l, struct live_record, link);
    } else {
        r = DM_NEW(struct live_record);
        r->handle = h;
        dm_list_init(&r->link);
        dm_timer_init(&r->late, on_late);
    }
    r->kind = kind;
    r->wait = w;
    r->code = DM_OK;
    if (w != NULL) {
        w->pending = true;
        w->ticket_ = (uint64_t)(uintptr_t)r;
    }
    return r;
}

static void drop_answer(struct live_record *r)
{
    for (size_t i = 0; i < DM_LIVE_GET_MAX; i++) {
        dm_live_item_unref(r->items[i]);
        r->items[i] = NULL;
    }
    live_news_unref(r->news);
    r->news = NULL;
}

void live_record_free(struct live_record *r)
{
    drop_answer(r);
    dm_mem_free(r);
}

void live_record_give(struct live_record *r)
{
    struct live_handle *h = r->handle;
    dm_timer_stop(&r->late);
    dm_list_remove(&r->link);
    r->wait = NULL;
    if (h->n_free == LIVE_KEEP) {
        live_record_free(r);
        return;
    }
    drop_answer(r);
    dm_list_add_head(&h->free, &r->link);
    h->n_free++;
}

/* Where the answer is late or lost, the record may still be the owner's: only the code is looked
 * at. */
static void answer_admit(struct live_record *r, struct dm_live_wait *w)
{
    static const struct dm_admit_answer unknown = {.verdict = DM_ADMIT_UNKNOWN};
    r->fn.admit(w, r->code == DM_OK ? &r->admit : &unknown);
}

static void answer_objects(struct live_record *r, struct dm_live_wait *w)
{
    struct dm_live_object objects[DM_LIVE_GET_MAX] = {{0}};
    struct dm_buf rooms[DM_LIVE_GET_MAX]; /* of packed ones: what the data plane asks for is not */
    size_t n = r->n;
    for (size_t i = 0; i < n; i++) {
        struct dm_live_item *item = r->code == DM_OK ? r->items[i] : NULL;
        objects[i].code = r->code != DM_OK ? r->code : item == NULL ? DM_NOT_FOUND : DM_OK;
        dm_buf_init(&rooms[i], item == NULL ? 0 : item->len);
        if (item == NULL)
            continue;
        objects[i].bytes = dm_live_item_change(item, &rooms[i]).bytes;
        objects[i].generation = item->generation;
    }
    r->fn.objects(w, objects, n);
    for (size_t i = 0; i < n; i++)
        dm_buf_done(&rooms[i]);
}

void live_record_answer(struct live_record *r)
{
    struct dm_live_wait *w = r->wait;
    if (w == NULL)
        return;
    r->wait = NULL;
    w->pending = false;
    if (r->kind == LIVE_ADMIT)
        answer_admit(r, w);
    else if (r->kind == LIVE_RESERVE)
        r->fn.reserve(w, r->code == DM_OK ? r->reserve : DM_RESERVE_UNKNOWN);
    else
        answer_objects(r, w);
}

void live_record_post(struct live_record *r)
{
    dm_list_remove(&r->link);
    dm_list_add_tail(&r->handle->ready, &r->link);
    dm_loop_post(r->handle->loop, &r->handle->task);
}

static void answer_ready(struct live_handle *h)
{
    struct dm_link now;
    dm_list_init(&now);
    for (struct dm_link *l; (l = dm_list_pop(&h->ready)) != NULL;)
        dm_list_add_tail(&now, l);
    for (struct dm_link *l; (l = dm_list_pop(&now)) != NULL;) {
        struct live_record *r = DM_CONTAINER_OF(l, struct live_record, link);
        live_record_answer(r);
        live_record_give(r);
    }
}

static void on_task(struct dm_task *t)
{
    struct live_handle *h = DM_CONTAINER_OF(t, struct live_handle, task);
    if (h->owner && !dm_list_empty(&h->fresh)) {
        struct live_news *whole = live_news_whole(h->memory);
        live_fresh_deliver(h, whole);
        live_news_unref(whole);
    }
    /* What callbacks ask is answered at once too, the rest in the next turn: on a busy loop a turn
     * can outlast a deadline, and who has the answer here must not be told that the store is late.
     */
    for (int pass = 0; pass < PASSES && !dm_list_empty(&h->ready); pass++)
        answer_ready(h);
}

static struct dm_admit_ask admit_ask(const struct live_record *r)
{
    return (struct dm_admit_ask){
        .subject = dm_view_make(r->text, r->subject_len),
        .jti = dm_view_make(r->text + r->subject_len, r->jti_len),
        .count = r->count,
        .counters = r->counters,
        .n_counters = r->n,
    };
}

static void work_objects(struct dm_live_memory *m, struct live_record *r)
{
    const char *at = r->text;
    for (size_t i = 0; i < r->n; i++) {
        dm_view kind = dm_view_make(at, r->name_len[i][0]);
        dm_view id = dm_view_make(at + kind.len, r->name_len[i][1]);
        struct dm_live_item *item = dm_live_state_get(m->state, kind, id);
        r->items[i] = item == NULL ? NULL : dm_live_item_ref(item);
        at += kind.len + id.len;
    }
}

static struct dm_reserve_ask credit_ask(const struct live_record *r)
{
    const char *group = r->text + r->subject_len;
    return (struct dm_reserve_ask){
        .subject = dm_view_make(r->text, r->subject_len),
        .group = dm_view_make(group, r->group_len),
        .id = dm_view_make(group + r->group_len, r->id_len),
        .hold = r->hold,
    };
}

void live_record_work(struct dm_live_memory *m, struct live_record *r)
{
    dm_time now = dm_loop_wall(m->loop);
    struct dm_reserve_ask credit;
    struct dm_admit_ask ask;
    switch (r->kind) {
    case LIVE_ADMIT:
        ask = admit_ask(r);
        dm_live_state_admit(m->state, &ask, now, &r->admit);
        return;
    case LIVE_OBJECTS:
        work_objects(m, r);
        return;
    case LIVE_BANDWIDTH:
        dm_live_state_add_bandwidth(m->state, dm_view_make(r->text, r->subject_len), r->window,
                                    r->bytes, now);
        return;
    case LIVE_SNAPSHOT:
        r->news = live_news_whole(m);
        return;
    case LIVE_RESERVE:
        credit = credit_ask(r);
        r->reserve = dm_live_state_reserve(m->state, &credit, now);
        return;
    case LIVE_SETTLE:
        credit = credit_ask(r);
        dm_live_state_settle(m->state, credit.group, credit.subject, credit.id, r->spent);
        return;
    }
    DM_UNREACHABLE();
}

static void copy_text(struct live_record *r, size_t at, dm_view v)
{
    if (v.len > 0)
        memcpy(r->text + at, v.ptr, v.len);
}

static void ask_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                      struct dm_live_wait *w, dm_admit_fn fn)
{
    struct live_handle *h = handle_of(l);
    struct live_record *r = live_record_take(h, LIVE_ADMIT, w);
    r->fn.admit = fn;
    /* Too long for any key: decided by the state without one (and not copied). */
    if (h->owner || !dm_live_subject_fits(ask->subject, ask->jti)) {
        if (h->owner)
            dm_live_state_admit(h->memory->state, ask, dm_loop_wall(h->loop), &r->admit);
        else
            r->admit = (struct dm_admit_answer){.verdict = DM_ADMIT_REVOKED,
                                                .now_wall = dm_loop_wall(h->loop)};
        live_record_post(r);
        return;
    }
    r->count = ask->count;
    r->n = ask->n_counters;
    if (r->n > 0)
        memcpy(r->counters, ask->counters, r->n * sizeof *r->counters);
    r->subject_len = ask->subject.len;
    r->jti_len = ask->jti.len;
    copy_text(r, 0, ask->subject);
    copy_text(r, ask->subject.len, ask->jti);
    live_remote_ask(h, r, deadline);
}

static void add_bandwidth(struct dm_live *l, dm_view subject, int64_t window, int64_t bytes)
{
    struct live_handle *h = handle_of(l);
    if (h->owner) {
        dm_live_state_add_bandwidth(h->memory->state, subject, window, bytes,
                                    dm_loop_wall(h->loop));
        return;
    }
    if (!dm_live_subject_fits(subject, DM_VIEW_NONE))
        return; /* no user has such a name */
    struct live_record *r = live_record_take(h, LIVE_BANDWIDTH, NULL);
    r->subject_len = subject.len;
    r->window = window;
    r->bytes = bytes;
    copy_text(r, 0, subject);
    live_remote_ask(h, r, DM_NEVER);
}

/* Names that fit no key have no account. */
static void set_credit(struct live_record *r, const struct dm_reserve_ask *ask)
{
    r->subject_len = ask->subject.len;
    r->group_len = ask->group.len;
    r->id_len = ask->id.len;
    r->hold = ask->hold;
    copy_text(r, 0, ask->subject);
    copy_text(r, ask->subject.len, ask->group);
    copy_text(r, ask->subject.len + ask->group.len, ask->id);
}
_Static_assert(DM_LIVE_SUBJECT_MAX + DM_LIVE_GROUP_MAX + DM_LIVE_RESERVATION_MAX <=
                   sizeof((struct live_record *)0)->text,
               "a reservation's names fit a record");

static void ask_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                        struct dm_live_wait *w, dm_reserve_fn fn)
{
    struct live_handle *h = handle_of(l);
    struct live_record *r = live_record_take(h, LIVE_RESERVE, w);
    r->fn.reserve = fn;
    if (h->owner || !dm_live_credits_fit(ask->group, ask->subject)) {
        r->reserve = h->owner ? dm_live_state_reserve(h->memory->state, ask, dm_loop_wall(h->loop))
                              : DM_RESERVE_NONE;
        live_record_post(r);
        return;
    }
    set_credit(r, ask);
    live_remote_ask(h, r, deadline);
}

static void settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent)
{
    struct live_handle *h = handle_of(l);
    const struct dm_reserve_ask names = {.group = group, .subject = subject, .id = id};
    if (h->owner) {
        dm_live_state_settle(h->memory->state, group, subject, id, spent);
        return;
    }
    if (!dm_live_credits_fit(group, subject))
        return;
    struct live_record *r = live_record_take(h, LIVE_SETTLE, NULL);
    r->spent = spent;
    set_credit(r, &names);
    live_remote_settle(h, r);
}

static void ask_objects(struct dm_live *l, const dm_view (*names)[2], size_t n, dm_time deadline,
                        struct dm_live_wait *w, dm_objects_fn fn)
{
    struct live_handle *h = handle_of(l);
    struct live_record *r = live_record_take(h, LIVE_OBJECTS, w);
    size_t at = 0;
    r->fn.objects = fn;
    r->n = n;
    for (size_t i = 0; i < n; i++) {
        bool fits = names[i][0].len <= DM_LIVE_KIND_MAX && names[i][1].len <= DM_LIVE_ID_MAX;
        for (int part = 0; part < 2; part++) { /* what cannot be published is never found */
            r->name_len[i][part] = fits ? names[i][part].len : 0;
            copy_text(r, at, fits ? names[i][part] : DM_VIEW_NONE);
            at += r->name_len[i][part];
        }
    }
    if (h->owner) {
        live_record_work(h->memory, r);
        live_record_post(r);
    } else {
        live_remote_ask(h, r, deadline);
    }
}

static void cancel(struct dm_live *l, struct dm_live_wait *w)
{
    struct live_record *r = (struct live_record *)(uintptr_t)w->ticket_;
    (void)l;
    DM_ASSERT(r->wait == w);
    r->wait = NULL;
    w->pending = false;
    dm_timer_stop(&r->late);
}

static void subscribe(struct dm_live *l, struct dm_live_subscriber *s)
{
    struct live_handle *h = handle_of(l);
    dm_list_add_tail(&h->fresh, &s->link_);
    if (h->owner)
        dm_loop_post(h->loop, &h->task);
    else
        live_remote_ask_snapshot(h);
}

static void unlink_all(struct dm_link *list)
{
    while (dm_list_pop(list) != NULL)
        ;
}

static void handle_free(struct dm_live *l)
{
    struct live_handle *h = handle_of(l);
    struct dm_live_memory *m = h->memory;
    dm_loop_unpost(&h->task);
    unlink_all(&h->subscribers);
    unlink_all(&h->fresh);
    if (!h->owner)
        live_remote_done(h);
    for (struct dm_link *k; (k = dm_list_pop(&h->ready)) != NULL;)
        live_record_free(DM_CONTAINER_OF(k, struct live_record, link));
    for (struct dm_link *k; (k = dm_list_pop(&h->free)) != NULL;)
        live_record_free(DM_CONTAINER_OF(k, struct live_record, link));
    (void)pthread_mutex_lock(&m->lock);
    dm_list_remove(&h->link);
    if (!h->owner) /* its last records may still be on their way back */
        dm_list_add_tail(&m->retired, &h->link);
    (void)pthread_mutex_unlock(&m->lock);
    if (h->owner)
        dm_mem_free(h);
}

static const struct dm_live_ops memory_ops = {
    .cancel = cancel,
    .ask_admit = ask_admit,
    .add_bandwidth = add_bandwidth,
    .ask_reserve = ask_reserve,
    .settle = settle,
    .ask_objects = ask_objects,
    .subscribe = subscribe,
    .emit = live_memory_emit,
    .emit_pending = live_memory_emit_pending,
    .free = handle_free,
};

struct dm_live *dm_live_memory_handle(struct dm_live_memory *m, struct dm_loop *loop)
{
    struct live_handle *h = DM_NEW(struct live_handle);
    h->base.ops = &memory_ops;
    h->memory = m;
    h->loop = loop;
    h->owner = loop == m->loop;
    dm_list_init(&h->subscribers);
    dm_list_init(&h->fresh);
    dm_list_init(&h->ready);
    dm_list_init(&h->asked);
    dm_list_init(&h->free);
    dm_list_init(&h->link);
    dm_task_init(&h->task, on_task);
    if (!h->owner)
        live_remote_init(h);
    (void)pthread_mutex_lock(&m->lock);
    dm_list_add_tail(h->owner ? &m->own : &m->foreign, &h->link);
    (void)pthread_mutex_unlock(&m->lock);
    return &h->base;
}

struct dm_live_memory *dm_live_memory_new(struct dm_loop *owner)
{
    struct dm_live_memory *m = DM_NEW(struct dm_live_memory);
    m->loop = owner;
    m->box = dm_mailbox_new(owner, LIVE_BOX);
    m->state = dm_live_state_new();
    DM_REQUIRE(pthread_mutex_init(&m->lock, NULL) == 0);
    dm_list_init(&m->own);
    dm_list_init(&m->foreign);
    dm_list_init(&m->retired);
    live_streams_init(m);
    return m;
}

void dm_live_memory_free(struct dm_live_memory *m)
{
    if (m == NULL)
        return;
    DM_REQUIRE(dm_list_empty(&m->own) && dm_list_empty(&m->foreign)); /* handles first */
    dm_mailbox_free(m->box);
    for (struct dm_link *l; (l = dm_list_pop(&m->retired)) != NULL;) {
        struct live_handle *h = DM_CONTAINER_OF(l, struct live_handle, link);
        (void)pthread_mutex_destroy(&h->lock);
        dm_mem_free(h);
    }
    live_streams_done(m);
    dm_live_state_free(m->state);
    (void)pthread_mutex_destroy(&m->lock);
    dm_mem_free(m);
}

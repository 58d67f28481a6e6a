#include "store/redis/live_redis_policy.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"

#include "base/poison.h"

/* What is in force, on the owner's loop, and telling it to the subscribers of every loop. */

enum {
    OWNER_BOX = 256, /* asks of other loops for the whole: one a loop (THREADS is at most 256) */
    SIDE_BOX = 2     /* the one bell, and room to spare */
};
static const dm_time LOG_AGAIN = DM_SEC;
static const dm_time MAX_AGE = 300 * DM_SEC; /* SNAPSHOT_MAX_AGE's default */

/* --- blobs, news --- */

struct live_blob *live_blob_new(dm_view bytes, uint64_t generation)
{
    struct live_blob *b = dm_mem_alloc(sizeof *b + bytes.len);
    atomic_init(&b->refs, 1);
    b->len = bytes.len;
    b->generation = generation;
    if (bytes.len > 0)
        memcpy(b->bytes, bytes.ptr, bytes.len);
    return b;
}

struct live_blob *live_blob_ref(struct live_blob *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void live_blob_unref(struct live_blob *b)
{
    if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        dm_mem_free(b);
}

static struct live_policy_news *news_new(uint64_t generation)
{
    struct live_policy_news *n = DM_NEW(struct live_policy_news);
    atomic_init(&n->refs, 1);
    n->generation = generation;
    return n;
}

static struct live_policy_news *news_ref(struct live_policy_news *n)
{
    atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    return n;
}

static void news_unref(struct live_policy_news *n)
{
    if (n == NULL || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < n->n; i++)
        dm_policy_record_unref(n->records[i]);
    dm_mem_free(n->records);
    dm_mem_free(n);
}

static struct live_policy_news *news_whole(const struct live_policy *p)
{
    struct live_policy_news *n = news_new(p->generation);
    n->whole = true;
    n->records = dm_policy_table_all(&p->table);
    n->n = dm_policy_table_count(&p->table);
    for (size_t i = 0; i < n->n; i++)
        (void)dm_policy_record_ref(n->records[i]);
    return n;
}

/* --- telling one loop's subscribers --- */

static bool has_bytes(const struct dm_policy_record *r)
{
    return !r->deleted && !dm_live_kind_on_demand(dm_policy_record_entry(r).kind);
}

static struct dm_live_change *changes_of(const struct live_policy_news *n, struct dm_buf *room)
{
    struct dm_live_change *changes = dm_mem_array(n->n + 1, sizeof *changes);
    size_t len = 0;
    for (size_t i = 0; i < n->n; i++)
        len += has_bytes(n->records[i]) ? n->records[i]->len : 0;
    dm_buf_init(room, len);
    (void)dm_buf_reserve(room, len); /* at once, so that no change moves */
    for (size_t i = 0; i < n->n; i++) {
        struct dm_policy_entry e = dm_policy_record_entry(n->records[i]);
        changes[i] = (struct dm_live_change){.kind = e.kind, .id = e.id};
        if (has_bytes(n->records[i]))
            changes[i].bytes = dm_policy_record_payload(n->records[i], room);
    }
    return changes;
}

static void tell_one(struct dm_live_subscriber *s, const struct live_policy_news *n,
                     const struct dm_live_change *changes)
{
    if (n->revoked) {
        if (s->on_revoked != NULL)
            s->on_revoked(s, dm_view_make(n->subject, n->subject_len));
        return;
    }
    s->on_change(s, n->generation, changes, n->n);
}

/* Each subscriber of `from` once, also when callbacks subscribe and unsubscribe; all end in `to`.
 */
static void tell_list(struct dm_link *from, struct dm_link *to, const struct live_policy_news *n)
{
    struct dm_buf room = {0};
    if (dm_list_empty(from))
        return;
    struct dm_live_change *changes = n->revoked ? NULL : changes_of(n, &room);
    struct dm_link now;
    dm_list_init(&now);
    for (struct dm_link *l; (l = dm_list_pop(from)) != NULL;)
        dm_list_add_tail(&now, l);
    for (struct dm_link *l; (l = dm_list_pop(&now)) != NULL;) {
        struct dm_live_subscriber *s = DM_CONTAINER_OF(l, struct dm_live_subscriber, link_);
        dm_list_add_tail(to, l); /* first, so that the callback can unsubscribe */
        if (n->forget && s->on_forget != NULL) {
            s->on_forget(s);
            if (l->next == l) /* it left meanwhile */
                continue;
        }
        tell_one(s, n, changes);
    }
    dm_mem_free(changes);
    dm_buf_done(&room);
}

static void note_versions(struct live_policy_side *s, const struct live_policy_news *n)
{
    for (size_t i = 0; i < n->n; i++) {
        struct dm_policy_entry e = dm_policy_record_entry(n->records[i]);
        if (dm_live_kind_on_demand(e.kind))
            (void)live_seen_raise(s, e.kind, e.id, e.version);
    }
}

static void deliver(struct live_policy_side *s, const struct live_policy_news *n)
{
    if (!n->revoked && n->generation > s->generation)
        live_breaker_proved(&s->handle->breaker);
    if (n->whole) {
        tell_list(&s->fresh, &s->subscribers, n);
        s->asked = false;
    } else {
        note_versions(s, n);
        tell_list(&s->subscribers, &s->subscribers, n);
    }
    if (!n->revoked && n->generation > s->generation)
        s->generation = n->generation;
}

bool live_seen_raise(struct live_policy_side *s, dm_view kind, dm_view id, uint64_t version)
{
    uint64_t name = dm_view_hash(id, dm_view_hash(kind, 0));
    struct live_seen *place = &s->seen[name % LIVE_SEEN];
    if (place->name == name && place->version > version)
        return false;
    *place = (struct live_seen){name, version};
    return true;
}

/* --- other loops --- */

static void inbox_put(struct live_policy_side *s, struct live_policy_news *n) /* takes the ref */
{
    struct live_policy_inbox *i = DM_NEW(struct live_policy_inbox);
    i->news = n;
    (void)pthread_mutex_lock(&s->lock);
    bool dead = s->dead;
    if (!dead) {
        *s->inbox_end = i;
        s->inbox_end = &i->next;
        if (!s->rung) {
            s->rung = true;
            DM_ASSERT(dm_mailbox_send(s->box, &s->bell) == DM_OK);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (dead) {
        news_unref(n);
        dm_mem_free(i);
    }
}

static void on_bell(struct dm_letter *l)
{
    struct live_policy_side *s = DM_CONTAINER_OF(l, struct live_policy_side, bell);
    (void)pthread_mutex_lock(&s->lock);
    struct live_policy_inbox *first = s->inbox;
    s->inbox = NULL;
    s->inbox_end = &s->inbox;
    s->rung = false;
    (void)pthread_mutex_unlock(&s->lock);
    while (first != NULL) {
        struct live_policy_inbox *i = first;
        first = i->next;
        deliver(s, i->news);
        news_unref(i->news);
        dm_mem_free(i);
    }
}

static void tell_all(struct live_policy *p, struct live_policy_news *n) /* takes the ref */
{
    (void)pthread_mutex_lock(&p->lock);
    DM_LIST_EACH_SAFE(&p->sides, l, tmp)
    inbox_put(DM_CONTAINER_OF(l, struct live_policy_side, link), news_ref(n));
    (void)pthread_mutex_unlock(&p->lock);
    if (p->owner != NULL)
        deliver(p->owner, n);
    news_unref(n);
}

/* Owner's thread: a loop asks for the whole. Not known yet: it is told when it is. */
static void on_ask(struct dm_letter *l)
{
    struct live_policy_side *s = DM_CONTAINER_OF(l, struct live_policy_side, ask);
    if (s->policy->known)
        inbox_put(s, news_whole(s->policy));
}

static void on_task(struct dm_task *t)
{
    struct live_policy_side *s = DM_CONTAINER_OF(t, struct live_policy_side, task);
    if (dm_list_empty(&s->fresh))
        return;
    if (s->handle->owner) {
        if (!s->policy->known)
            return; /* told when it is */
        struct live_policy_news *n = news_whole(s->policy);
        deliver(s, n);
        news_unref(n);
    } else if (!s->asked) {
        s->asked = dm_mailbox_send(s->policy->box, &s->ask) == DM_OK;
        if (!s->asked)
            dm_loop_post(s->handle->loop, t); /* its place is another letter's for this turn */
    }
}

void live_redis_subscribe(struct dm_live *l, struct dm_live_subscriber *s)
{
    struct live_policy_side *side = live_redis_handle_of(l)->policy;
    dm_list_add_tail(&side->fresh, &s->link_);
    dm_loop_post(side->handle->loop, &side->task);
}

/* --- in force; owner's thread --- */

void live_policy_confirmed(struct live_policy *p)
{
    p->confirmed = dm_loop_now(live_policy_loop(p));
    live_policy_look_at_age(p);
}

void live_policy_look_at_age(struct live_policy *p)
{
    const struct dm_live_redis_config *c = &p->hub->config;
    dm_time now = dm_loop_now(live_policy_loop(p)), age = now - p->confirmed;
    dm_time most = c->snapshot_max_age != 0 ? c->snapshot_max_age : MAX_AGE;
    if (p->generation == 0)
        return;
    if (p->age != NULL)
        dm_metric_set(p->age, (double)age / (double)DM_SEC);
    if (age <= most || (p->told_old != 0 && now - p->told_old < most))
        return;
    p->told_old = now;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.old", DM_FI("seconds", age / DM_SEC),
           DM_FI("generation", p->generation));
}

static void replace_lists(struct live_policy *p, struct live_policy_step *s)
{
    if (s->manifest != NULL) {
        live_blob_unref(p->manifest);
        p->manifest = DM_TAKE(s->manifest);
    }
    live_blob_unref(p->current);
    p->current = DM_TAKE(s->current);
    uint64_t from = p->manifest == NULL ? 0 : p->manifest->generation;
    size_t kept = 0;
    for (size_t i = 0; i < p->n_deltas; i++) { /* what the manifest covers is not needed */
        if (!s->anew && p->deltas[i]->generation > from)
            p->deltas[kept++] = p->deltas[i];
        else
            live_blob_unref(p->deltas[i]);
    }
    p->deltas = dm_mem_grow(p->deltas, kept + s->n_deltas + 1, sizeof(struct live_blob *));
    for (size_t i = 0; i < s->n_deltas; i++) {
        if (s->deltas[i]->generation > from)
            p->deltas[kept++] = s->deltas[i];
        else
            live_blob_unref(s->deltas[i]);
    }
    p->n_deltas = kept;
    dm_mem_free(s->deltas);
    s->deltas = NULL;
}

static void apply(struct live_policy *p, struct dm_policy_record *r)
{
    struct dm_policy_entry e = dm_policy_record_entry(r);
    if (dm_live_kind_on_demand(e.kind))
        return;
    if (r->deleted)
        dm_policy_table_remove(&p->table, e.kind, e.id);
    else
        dm_policy_table_put(&p->table, dm_policy_record_ref(r));
}

void live_policy_in_force(struct live_policy *p, struct live_policy_step *s)
{
    struct live_policy_news *n = news_new(s->generation);
    bool first = !p->known;
    n->forget = s->forget;
    n->records = DM_TAKE(s->records);
    n->n = s->n;
    for (size_t i = 0; i < n->n; i++)
        apply(p, n->records[i]);
    replace_lists(p, s);
    if (s->ahead > p->ahead)
        p->ahead = s->ahead;
    p->generation = s->generation;
    p->known = true;
    if (p->generation != 0) /* also that of the copy on disk */
        atomic_store(&p->hub->seen_policy, true);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "policy.in_force", DM_FI("generation", s->generation),
           DM_FI("changed", n->n), DM_FI("objects", dm_policy_table_count(&p->table)));
    if (first) {
        news_unref(n);
        tell_all(p, news_whole(p));
    } else {
        tell_all(p, n);
    }
}

void live_policy_nothing(struct live_policy *p)
{
    if (p->known)
        return; /* never an empty policy because the store lost it */
    p->known = true;
    tell_all(p, news_whole(p));
}

void live_policy_refused(struct live_policy_side *s, enum dm_policy_verdict why, dm_view key)
{
    struct live_policy *p = s->policy;
    dm_time now = dm_loop_now(s->handle->loop), told = atomic_load(&p->told_refused);
    if (p->rejected[why] != NULL)
        dm_metric_add(p->rejected[why], 0, 1);
    if (told != 0 && now - told < LOG_AGAIN)
        return;
    atomic_store(&p->told_refused, now);
    DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "policy.refused",
           DM_FC("reason", dm_policy_verdict_name(why)), DM_F("key", key),
           DM_FI("in_force", s->generation));
}

/* --- birth and end --- */

static void make_metrics(struct live_policy *p, struct dm_metrics *m)
{
    if (m == NULL)
        return;
    for (int v = DM_POLICY_GOOD + 1; v < DM_POLICY_VERDICTS_; v++) {
        struct dm_buf labels;
        dm_buf_init(&labels, 64);
        dm_metric_label(&labels, "reason",
                        dm_view_of(dm_policy_verdict_name((enum dm_policy_verdict)v)));
        p->rejected[v] = dm_metric_get(m, DM_COUNTER, "doorman_policy_rejected_total",
                                       dm_buf_cstr(&labels), "Policy objects refused", NULL, 0);
        dm_buf_done(&labels);
    }
    p->age = dm_metric_get(m, DM_GAUGE, "doorman_policy_snapshot_age_seconds", "",
                           "Seconds since the store last confirmed the policy in force", NULL, 0);
}

struct live_policy *live_policy_hub_new(struct dm_live_redis *hub)
{
    struct live_policy *p = DM_NEW(struct live_policy);
    p->hub = hub;
    dm_list_init(&p->sides);
    dm_list_init(&p->retired);
    DM_REQUIRE(pthread_mutex_init(&p->lock, NULL) == 0);
    make_metrics(p, hub->config.metrics);
    return p;
}

static void side_done(struct live_policy_side *s)
{
    (void)pthread_mutex_destroy(&s->lock);
    dm_mem_free(s->seen);
    dm_mem_free(s);
}

void live_policy_hub_free(struct live_policy *p)
{
    if (p == NULL)
        return;
    DM_REQUIRE(p->owner == NULL && dm_list_empty(&p->sides));
    dm_mailbox_free(p->box); /* delivers what is left, to sides that are dead */
    for (struct dm_link *l; (l = dm_list_pop(&p->retired)) != NULL;)
        side_done(DM_CONTAINER_OF(l, struct live_policy_side, link));
    live_blob_unref(p->current);
    live_blob_unref(p->manifest);
    for (size_t i = 0; i < p->n_deltas; i++)
        live_blob_unref(p->deltas[i]);
    dm_mem_free(p->deltas);
    dm_policy_table_done(&p->table);
    (void)pthread_mutex_destroy(&p->lock);
    dm_mem_free(p);
}

static void on_revocation(struct dm_redis_channel *c, dm_view payload)
{
    struct live_policy_side *s = DM_CONTAINER_OF(c, struct live_policy_side, revocations);
    struct live_revocation r;
    if (!live_revocation_parse(payload, &r) || !r.revoked || r.user.len > DM_LIVE_SUBJECT_MAX)
        return;
    struct live_policy_news *n = news_new(0);
    n->revoked = true;
    n->subject_len = r.user.len;
    if (r.user.len > 0)
        memcpy(n->subject, r.user.ptr, r.user.len);
    tell_all(s->policy, n);
}

static void on_listening(struct dm_redis_channel *c)
{
    (void)c; /* what was missed: every request asks the store itself (O20) */
}

static void start_owner(struct live_policy_side *s)
{
    struct live_policy *p = s->policy;
    const struct dm_live_redis_config *c = &p->hub->config;
    p->owner = s;
    p->box = dm_mailbox_new(s->handle->loop, OWNER_BOX);
    if (c->snapshot_file.len > 0) {
        char *path = dm_mem_text(c->snapshot_file);
        p->lastgood = live_lastgood_new(p, path);
        dm_mem_free(path);
    }
    s->revocations = (struct dm_redis_channel){.name = DM_LIT(LIVE_REVOCATIONS),
                                               .on_message = on_revocation,
                                               .on_subscribed = on_listening};
    dm_redis_subscribe(s->handle->redis, &s->revocations);
    p->follow = live_follow_new(p);
}

struct live_policy_side *live_policy_side_new(struct live_redis_handle *h)
{
    struct live_policy_side *s = DM_NEW(struct live_policy_side);
    s->handle = h;
    s->policy = h->hub->policy;
    s->seen = dm_mem_array(LIVE_SEEN, sizeof *s->seen);
    dm_list_init(&s->subscribers);
    dm_list_init(&s->fresh);
    dm_list_init(&s->link);
    dm_task_init(&s->task, on_task);
    DM_REQUIRE(pthread_mutex_init(&s->lock, NULL) == 0);
    s->inbox_end = &s->inbox;
    s->bell.fn = on_bell;
    s->ask.fn = on_ask;
    if (h->owner) {
        start_owner(s);
        return s;
    }
    s->box = dm_mailbox_new(h->loop, SIDE_BOX);
    (void)pthread_mutex_lock(&s->policy->lock);
    dm_list_add_tail(&s->policy->sides, &s->link);
    (void)pthread_mutex_unlock(&s->policy->lock);
    return s;
}

static void unlink_all(struct dm_link *list)
{
    while (dm_list_pop(list) != NULL)
        ;
}

static void end_owner(struct live_policy_side *s)
{
    struct live_policy *p = s->policy;
    dm_redis_unsubscribe(s->handle->redis, &s->revocations);
    live_follow_free(DM_TAKE(p->follow));
    live_lastgood_free(DM_TAKE(p->lastgood));
    p->owner = NULL;
    side_done(s);
}

static void end_other(struct live_policy_side *s)
{
    struct live_policy *p = s->policy;
    (void)pthread_mutex_lock(&s->lock);
    s->dead = true;
    (void)pthread_mutex_unlock(&s->lock);
    dm_mailbox_free(DM_TAKE(s->box)); /* rings the last bell */
    dm_mem_free(DM_TAKE(s->seen));
    (void)pthread_mutex_lock(&p->lock);
    dm_list_remove(&s->link);
    dm_list_add_tail(&p->retired, &s->link); /* its ask may still be on its way to the owner */
    (void)pthread_mutex_unlock(&p->lock);
}

void live_policy_side_free(struct live_policy_side *s)
{
    if (s == NULL)
        return;
    dm_loop_unpost(&s->task);
    unlink_all(&s->subscribers);
    unlink_all(&s->fresh);
    if (s->handle->owner)
        end_owner(s);
    else
        end_other(s);
}

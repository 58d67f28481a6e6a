#include <string.h>

#include "base/assert.h"
#include "store/redis/live_redis_policy.h"

#include "base/poison.h"

/* Objects that are read on demand: each under its own signature. `current` is asked for with them,
 * in the same write: where it is missing or older than what is in force, the store lost what it
 * knew, and an object that is not there says nothing. */

struct objects_ask;
struct part { /* one GET; the last one asks for `current` */
    struct dm_redis_ask ask, mark; /* mark: Cluster, of the object's slot, asked for behind it */
    bool lost;
    struct objects_ask *whole;
    enum dm_code code;
    char *bytes; /* of the value; NULL: none */
    size_t len;
};

struct objects_ask {
    struct live_redis_pending pending;
    struct live_policy_side *side;
    struct dm_task task; /* nothing had to be asked */
    dm_objects_fn fn;
    size_t n, left;
    bool away; /* the breaker is open: nothing was asked */
    struct part parts[DM_LIVE_GET_MAX + 1];
    struct dm_live_key keys[DM_LIVE_GET_MAX];
    bool named[DM_LIVE_GET_MAX]; /* false: no such name can be published */
};

static void ask_free(struct objects_ask *q)
{
    dm_loop_unpost(&q->task);
    for (size_t i = 0; i <= DM_LIVE_GET_MAX; i++) {
        dm_redis_cancel(q->side->handle->redis, &q->parts[i].ask);
        dm_redis_cancel(q->side->handle->redis, &q->parts[i].mark);
        dm_mem_free(q->parts[i].bytes);
    }
    dm_mem_free(q);
}

static void on_cancel(struct live_redis_pending *p)
{
    ask_free(DM_CONTAINER_OF(p, struct objects_ask, pending));
}

static const struct dm_ed25519_verifier *verifier_of(const struct objects_ask *q)
{
    return q->side->handle->hub->verifier;
}

static dm_view bytes_of(const struct part *p)
{
    return dm_view_make(p->bytes, p->len);
}

/* Whether the store still knows what it knew when this loop heard of its generation. */
static bool store_is_whole(const struct objects_ask *q)
{
    const struct part *current = &q->parts[DM_LIVE_GET_MAX];
    struct dm_live_key key;
    struct dm_policy_value v;
    if (q->away || current->code != DM_OK ||
        (dm_redis_is_cluster(q->side->handle->redis) &&
         live_breaker_doubts(&q->side->handle->breaker)))
        return false;
    if (current->bytes == NULL)
        return q->side->generation == 0; /* nothing was ever published, as far as we know */
    dm_policy_key_current(&key);
    if (!dm_policy_read(bytes_of(current), &v) || v.form != DM_POLICY_CURRENT ||
        v.generation < q->side->generation)
        return false;
    /* Most often the one that was checked when it came in force. */
    return v.generation == q->side->generation ||
           dm_policy_signed(&v, dm_live_key_view(&key), verifier_of(q));
}

static void object_of(struct objects_ask *q, size_t i, struct dm_live_object *ret)
{
    const struct part *p = &q->parts[i];
    dm_view key = dm_live_key_view(&q->keys[i]);
    struct dm_policy_value v;
    if (p->code == DM_OK && p->bytes == NULL) {
        ret->code = p->lost ? DM_UNAVAILABLE : DM_NOT_FOUND;
        return;
    }
    ret->code = DM_UNAVAILABLE;
    if (p->code != DM_OK)
        return;
    enum dm_policy_verdict verdict =
        dm_policy_open(bytes_of(p), DM_POLICY_OBJECT, key, verifier_of(q), &v);
    if (verdict == DM_POLICY_GOOD && dm_live_kind_on_demand(v.kind) &&
        !live_seen_raise(q->side, v.kind, v.id, v.version))
        verdict = DM_POLICY_ROLLBACK;
    if (verdict != DM_POLICY_GOOD) { /* never a verdict about the caller */
        live_policy_refused(q->side, verdict, key);
        return;
    }
    ret->code = v.deleted ? DM_NOT_FOUND : DM_OK;
    ret->bytes = v.payload;
    ret->generation = v.generation;
}

static void answer(struct objects_ask *q)
{
    struct dm_live_object objects[DM_LIVE_GET_MAX] = {{0}};
    bool whole = store_is_whole(q);
    for (size_t i = 0; i < q->n; i++) {
        objects[i].code = q->named[i] ? DM_UNAVAILABLE : DM_NOT_FOUND;
        if (whole && q->named[i])
            object_of(q, i, &objects[i]);
    }
    struct dm_live_wait *w = live_redis_untie(&q->pending);
    q->fn(w, objects, q->n);
    ask_free(q);
}

static void on_value(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct part *p = DM_CONTAINER_OF(a, struct part, ask);
    p->code = rc;
    live_breaker_report(&p->whole->side->handle->breaker, rc);
    if (rc == DM_OK && dm_redis_type(reply) != DM_REDIS_NIL) {
        dm_view bytes = dm_redis_text(reply);
        p->bytes = dm_mem_alloc(bytes.len + 1);
        p->len = bytes.len;
        if (bytes.len > 0)
            memcpy(p->bytes, bytes.ptr, bytes.len);
    }
    if (--p->whole->left == 0)
        answer(p->whole);
}

static void on_mark(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct part *p = DM_CONTAINER_OF(a, struct part, mark);
    p->lost = rc != DM_OK || dm_redis_int(reply) == 0;
    if (p->lost && rc == DM_OK)
        live_redis_lost(p->whole->side->handle);
    if (--p->whole->left == 0)
        answer(p->whole);
}

/* In the same write: a slot that was emptied before the object was asked for has no mark. */
static void ask_mark(struct objects_ask *q, size_t i, dm_view key, dm_time deadline)
{
    struct live_mark name;
    const dm_view mark = live_redis_mark(q->side->handle, key, &name);
    const dm_view argv[] = {DM_LIT("EXISTS"), mark};
    if (mark.len == 0)
        return;
    q->left++;
    dm_redis_send(q->side->handle->redis, mark, argv, 2, deadline, &q->parts[i].mark, on_mark);
}

static void on_task(struct dm_task *t)
{
    answer(DM_CONTAINER_OF(t, struct objects_ask, task));
}

static void ask_part(struct objects_ask *q, size_t i, dm_view key, dm_time deadline)
{
    const dm_view argv[] = {DM_LIT("GET"), key};
    q->parts[i].whole = q;
    q->left++;
    dm_redis_send(q->side->handle->redis, key, argv, 2, deadline, &q->parts[i].ask, on_value);
}

/* One history holds an object if it holds the generation that was published after it; of several
 * (Cluster) that is not known before an admin has looked. */
static bool is_away(struct live_redis_handle *h)
{
    if (dm_redis_is_cluster(h->redis))
        return h->breaker.open || live_breaker_doubts(&h->breaker);
    return h->breaker.open && !h->breaker.answers;
}

void live_redis_ask_objects(struct dm_live *l, const dm_view (*names)[2], size_t n,
                            dm_time deadline, struct dm_live_wait *w, dm_objects_fn fn)
{
    struct live_redis_handle *h = live_redis_handle_of(l);
    struct objects_ask *q = DM_NEW(struct objects_ask);
    struct dm_live_key current;
    q->pending.cancel = on_cancel;
    q->side = h->policy;
    q->n = n;
    q->fn = fn;
    q->away = is_away(h);
    dm_task_init(&q->task, on_task);
    live_redis_tie(&q->pending, w);
    for (size_t i = 0; i < n; i++) {
        dm_view kind = names[i][0], id = names[i][1];
        if (kind.len == 0 || kind.len > DM_LIVE_KIND_MAX || id.len == 0 || id.len > DM_LIVE_ID_MAX)
            continue; /* what cannot be published is never found */
        q->named[i] = true;
        if (q->away)
            continue;
        dm_live_key_object(&q->keys[i], kind, id);
        ask_part(q, i, dm_live_key_view(&q->keys[i]), deadline);
        ask_mark(q, i, dm_live_key_view(&q->keys[i]), deadline);
    }
    if (q->left == 0) {
        dm_loop_post(h->loop, &q->task);
        return;
    }
    dm_policy_key_current(&current);
    ask_part(q, DM_LIVE_GET_MAX, dm_live_key_view(&current), deadline);
}

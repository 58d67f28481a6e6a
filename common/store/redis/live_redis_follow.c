#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/redis/live_redis_policy.h"

#include "base/poison.h"

/* From `current` to what is in force: current -> the deltas since ours, or manifest and deltas ->
 * the objects that differ -> one step. Whatever is missing or refused on the way ends the attempt
 * and leaves what is in force; another follows soon, at the next announcement or poll. */

enum {
    WINDOW = 256,     /* GETs under way: enough for one write of the pipeline, little memory */
    BRIDGE_MAX = 512, /* deltas that are fetched rather than a manifest: two of its periods */
    LISTS_MAX = BRIDGE_MAX + 2,
    FAILURES_MAX = 6 /* doublings of RETRY: after that the poll is sooner */
};
static const dm_time POLL = 5 * DM_SEC; /* gateway.md §29.4 */
static const dm_time RETRY = 100 * DM_MS;
static const dm_time DEADLINE = 5 * DM_SEC;
static const dm_time FIRST_DEADLINE = 500 * DM_MS; /* then the copy on disk is looked at */

enum state { IDLE = 0, CURRENT, LISTS, OBJECTS };

struct get {
    struct dm_redis_ask ask;
    struct live_follow *follow;
    size_t index; /* of the list or object asked for */
};

struct live_follow {
    struct live_policy *policy;
    struct dm_loop *loop;
    struct dm_redis *redis;
    struct dm_redis_channel events;
    struct dm_timer poll;
    struct dm_task look;
    bool again, copy_tried;
    unsigned failures;
    /* one attempt */
    enum state state;
    struct dm_redis_ask ask;
    bool bridge; /* by deltas since ours; else by the manifest */
    uint64_t target, manifest;
    struct live_blob *current, **lists; /* manifest first (or NULL where bridged without), deltas */
    size_t n_lists, first_delta;
    uint64_t delta_from;
    bool forget;
    struct dm_policy_record **changed; /* what differs; on the way filled with projections */
    size_t n_changed, n, next, pending;
    uint64_t ahead;
    struct get window[WINDOW];
};

static void attempt_begin(struct live_follow *f);
static void fetch_lists(struct live_follow *f, bool bridge);

/* --- the end of an attempt --- */

static void forget_attempt(struct live_follow *f)
{
    dm_redis_cancel(f->redis, &f->ask);
    for (size_t i = 0; i < WINDOW; i++)
        dm_redis_cancel(f->redis, &f->window[i].ask);
    live_blob_unref(f->current);
    for (size_t i = 0; f->lists != NULL && i < f->n_lists; i++)
        live_blob_unref(f->lists[i]);
    for (size_t i = 0; i < f->n_changed; i++)
        dm_policy_record_unref(f->changed[i]);
    dm_mem_free(f->lists);
    dm_mem_free(f->changed);
    f->current = NULL;
    f->lists = NULL;
    f->changed = NULL;
    f->n_lists = f->n_changed = f->n = f->next = f->pending = 0;
    f->ahead = 0;
    f->forget = false;
    f->state = IDLE;
}

static dm_time poll_every(const struct live_follow *f)
{
    dm_time set = f->policy->hub->config.policy_poll;
    return set != 0 ? set : POLL;
}

static void attempt_end(struct live_follow *f, bool good)
{
    dm_time wait = poll_every(f);
    forget_attempt(f);
    if (good)
        f->failures = 0;
    else if (f->failures < FAILURES_MAX)
        f->failures++;
    if (f->failures > 0 && RETRY << f->failures < wait)
        wait = RETRY << f->failures;
    dm_timer_start(f->loop, &f->poll, wait);
    if (f->again && good)
        dm_loop_post(f->loop, &f->look);
    f->again = false;
}

static void refuse(struct live_follow *f, enum dm_policy_verdict why, const struct dm_live_key *key)
{
    live_policy_refused(f->policy->owner, why, dm_live_key_view(key));
    attempt_end(f, false);
}

/* The store is away, or empty: what is on disk, when there is nothing yet. */
static void without_store(struct live_follow *f, bool empty)
{
    struct live_policy *p = f->policy;
    if (p->generation == 0 && !f->copy_tried && p->lastgood != NULL) {
        f->copy_tried = true;
        f->state = CURRENT; /* goes on when the copy was read */
        dm_timer_stop(&f->poll);
        live_lastgood_read(p->lastgood);
        return;
    }
    if (empty)
        live_policy_nothing(p);
    live_policy_look_at_age(p);
    attempt_end(f, empty);
}

void live_follow_copy_read(struct live_follow *f)
{
    attempt_end(f, true);
    live_follow_look(f);
}

/* --- objects --- */

static void put_in_force(struct live_follow *f)
{
    struct live_policy *p = f->policy;
    struct live_policy_step s = {.generation = f->target,
                                 .forget = f->forget,
                                 .anew = !f->bridge,
                                 .n = f->n_changed,
                                 .ahead = f->ahead};
    s.records = DM_TAKE(f->changed);
    f->n_changed = 0;
    s.current = DM_TAKE(f->current);
    s.manifest = f->first_delta > 0 ? DM_TAKE(f->lists[0]) : NULL;
    s.deltas = dm_mem_array(f->n_lists + 1, sizeof(struct live_blob *));
    for (size_t i = f->first_delta; i < f->n_lists; i++)
        s.deltas[s.n_deltas++] = DM_TAKE(f->lists[i]);
    live_policy_in_force(p, &s);
    live_policy_confirmed(p);
    if (p->lastgood != NULL)
        live_lastgood_write(p->lastgood);
    attempt_end(f, true);
}

static void object_key(const struct live_follow *f, size_t index, struct dm_live_key *key)
{
    struct dm_policy_entry e = dm_policy_record_entry(f->changed[index]);
    dm_live_key_object(key, e.kind, e.id);
}

/* As promised (told by the hash), or newer than promised and signed itself: an admin is publishing
 * right now. */
static enum dm_policy_verdict judge(struct live_follow *f, dm_view bytes,
                                    const struct dm_live_key *key,
                                    const struct dm_policy_entry *promised,
                                    struct dm_policy_value *v, unsigned char *sha256)
{
    if (!dm_policy_read(bytes, v))
        return DM_POLICY_MALFORMED;
    if (v->form != DM_POLICY_OBJECT || !dm_policy_named(v, dm_live_key_view(key)))
        return DM_POLICY_NAME;
    dm_sha256(v->payload, sha256);
    if (v->version == promised->version && !v->deleted &&
        memcmp(sha256, promised->sha256, DM_SHA256_LEN) == 0)
        return DM_POLICY_GOOD;
    if (!dm_policy_signed(v, dm_live_key_view(key), f->policy->hub->verifier))
        return DM_POLICY_SIGNATURE;
    if (v->version < promised->version)
        return DM_POLICY_ROLLBACK;
    if (v->version > f->ahead)
        f->ahead = v->version;
    return DM_POLICY_GOOD;
}

static enum dm_policy_verdict take_object(struct live_follow *f, size_t index, dm_view bytes,
                                          const struct dm_live_key *key)
{
    struct dm_policy_record *promised = f->changed[index];
    struct dm_policy_entry e = dm_policy_record_entry(promised);
    struct dm_policy_value v;
    enum dm_policy_verdict verdict = judge(f, bytes, key, &e, &v, e.sha256);
    if (verdict != DM_POLICY_GOOD)
        return verdict;
    e.version = v.version;
    e.deleted = v.deleted;
    f->changed[index] = dm_policy_record_new(&e, v.payload);
    dm_policy_record_unref(promised);
    return DM_POLICY_GOOD;
}

static bool wants_object(const struct dm_policy_record *r)
{
    return !r->deleted && !dm_live_kind_on_demand(dm_policy_record_entry(r).kind);
}

static void ask_next_object(struct live_follow *f, struct get *g);

static void on_object(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct get *g = DM_CONTAINER_OF(a, struct get, ask);
    struct live_follow *f = g->follow;
    struct dm_live_key key;
    f->pending--;
    if (rc != DM_OK) {
        attempt_end(f, false);
        return;
    }
    object_key(f, g->index, &key);
    enum dm_policy_verdict verdict = dm_redis_type(reply) == DM_REDIS_NIL
                                         ? DM_POLICY_MISSING
                                         : take_object(f, g->index, dm_redis_text(reply), &key);
    if (verdict != DM_POLICY_GOOD) {
        refuse(f, verdict, &key);
        return;
    }
    ask_next_object(f, g);
    if (f->pending == 0)
        put_in_force(f);
}

static void ask_next_object(struct live_follow *f, struct get *g)
{
    struct dm_live_key key;
    while (f->next < f->n_changed && !wants_object(f->changed[f->next]))
        f->next++;
    if (f->next == f->n_changed)
        return;
    g->index = f->next++;
    object_key(f, g->index, &key);
    const dm_view argv[] = {DM_LIT("GET"), dm_live_key_view(&key)};
    f->pending++;
    dm_redis_send(f->redis, argv[1], argv, 2, dm_loop_now(f->loop) + DEADLINE, &g->ask, on_object);
}

static void fetch_objects(struct live_follow *f)
{
    f->state = OBJECTS;
    f->next = 0;
    for (size_t i = 0; i < WINDOW; i++)
        ask_next_object(f, &f->window[i]);
    if (f->pending == 0)
        put_in_force(f);
}

/* --- lists --- */

static void keep_change(struct live_follow *f, struct dm_policy_record *r)
{
    f->changed[f->n_changed++] = dm_policy_record_ref(r);
}

/* By deltas: what they name, unless it is in force already. */
static void changes_of_deltas(struct live_follow *f, const struct dm_policy_table *wanted)
{
    const struct dm_policy_table *table = &f->policy->table;
    struct dm_policy_record **all = dm_policy_table_all(wanted);
    size_t n = dm_policy_table_count(wanted);
    f->changed = dm_mem_array(n + 1, sizeof(struct dm_policy_record *));
    for (size_t i = 0; i < n; i++) {
        struct dm_policy_entry e = dm_policy_record_entry(all[i]);
        const struct dm_policy_record *ours = dm_policy_table_get(table, e.kind, e.id);
        if (dm_live_kind_on_demand(e.kind) || ours == NULL || ours->version < e.version ||
            (ours->version == e.version && !dm_policy_record_same(ours, all[i])))
            keep_change(f, all[i]);
    }
    dm_mem_free(all);
}

/* By the manifest: likewise, and what it names no more is gone. */
static void changes_of_manifest(struct live_follow *f, const struct dm_policy_table *wanted)
{
    const struct dm_policy_table *table = &f->policy->table;
    struct dm_policy_record **ours = dm_policy_table_all(table);
    size_t n = dm_policy_table_count(table);
    changes_of_deltas(f, wanted);
    f->changed = dm_mem_grow(f->changed, f->n_changed + n + 1, sizeof(struct dm_policy_record *));
    for (size_t i = 0; i < n; i++) {
        struct dm_policy_entry e = dm_policy_record_entry(ours[i]);
        if (dm_policy_table_get(wanted, e.kind, e.id) != NULL)
            continue;
        e.deleted = true;
        e.version = f->target;
        f->changed[f->n_changed++] = dm_policy_record_new(&e, DM_VIEW_NONE);
    }
    dm_mem_free(ours);
}

static void list_key(const struct live_follow *f, size_t index, struct dm_live_key *key)
{
    if (index < f->first_delta)
        dm_policy_key_manifest(key, f->manifest);
    else
        dm_policy_key_delta(key, f->delta_from + (index - f->first_delta));
}

static bool merge_one(struct live_follow *f, size_t index, struct dm_policy_table *wanted)
{
    struct dm_policy_value v;
    struct dm_buf list = {0};
    bool good;
    if (f->lists[index] == NULL || (f->bridge && index < f->first_delta))
        return true; /* a newer manifest that is only kept */
    DM_ASSERT(dm_policy_read(live_blob_view(f->lists[index]), &v)); /* opened when it came */
    if (v.form == DM_POLICY_DELTA) {
        f->forget = f->forget || v.forget;
        return dm_policy_table_merge(wanted, v.payload);
    }
    good = dm_policy_list_unpack(v.payload, &list) &&
           dm_policy_table_merge(wanted, dm_buf_view(&list));
    dm_buf_done(&list);
    return good;
}

static void use_lists(struct live_follow *f)
{
    struct dm_policy_table wanted = {0};
    bool good = true;
    size_t i;
    for (i = 0; good && i < f->n_lists; i++)
        good = merge_one(f, i, &wanted);
    if (!good) {
        struct dm_live_key key;
        list_key(f, i - 1, &key);
        dm_policy_table_done(&wanted);
        refuse(f, DM_POLICY_MALFORMED, &key);
        return;
    }
    if (f->bridge) {
        changes_of_deltas(f, &wanted);
    } else {
        changes_of_manifest(f, &wanted);
        f->forget = true; /* nobody knows which users changed meanwhile */
    }
    dm_policy_table_done(&wanted);
    fetch_objects(f);
}

static void ask_next_list(struct live_follow *f, struct get *g);

/* False: the attempt is over, or another way was taken. */
static bool take_list(struct live_follow *f, size_t index, const struct dm_redis_reply *reply)
{
    bool manifest = index < f->first_delta;
    struct dm_live_key key;
    struct dm_policy_value v;
    list_key(f, index, &key);
    if (dm_redis_type(reply) == DM_REDIS_NIL && f->bridge && !manifest) {
        fetch_lists(f, false); /* a gap: by the manifest */
        return false;
    }
    enum dm_policy_verdict verdict =
        dm_redis_type(reply) == DM_REDIS_NIL
            ? DM_POLICY_MISSING
            : dm_policy_open(dm_redis_text(reply), manifest ? DM_POLICY_MANIFEST : DM_POLICY_DELTA,
                             dm_live_key_view(&key), f->policy->hub->verifier, &v);
    if (verdict == DM_POLICY_GOOD) {
        f->lists[index] = live_blob_new(dm_redis_text(reply), v.generation);
    } else if (f->bridge && manifest) {
        /* not needed to go on */
        live_policy_refused(f->policy->owner, verdict, dm_live_key_view(&key));
    } else {
        refuse(f, verdict, &key);
        return false;
    }
    return true;
}

static void on_list(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct get *g = DM_CONTAINER_OF(a, struct get, ask);
    struct live_follow *f = g->follow;
    f->pending--;
    if (rc != DM_OK) {
        attempt_end(f, false);
        return;
    }
    if (!take_list(f, g->index, reply))
        return;
    ask_next_list(f, g);
    if (f->pending == 0)
        use_lists(f);
}

static void ask_next_list(struct live_follow *f, struct get *g)
{
    struct dm_live_key key;
    if (f->next == f->n_lists)
        return;
    g->index = f->next++;
    list_key(f, g->index, &key);
    const dm_view argv[] = {DM_LIT("GET"), dm_live_key_view(&key)};
    f->pending++;
    dm_redis_send(f->redis, argv[1], argv, 2, dm_loop_now(f->loop) + DEADLINE, &g->ask, on_list);
}

static void drop_lists(struct live_follow *f)
{
    for (size_t i = 0; i < WINDOW; i++)
        dm_redis_cancel(f->redis, &f->window[i].ask);
    for (size_t i = 0; f->lists != NULL && i < f->n_lists; i++)
        live_blob_unref(f->lists[i]);
    dm_mem_free(f->lists);
    f->lists = NULL;
    f->n_lists = 0;
    f->next = f->pending = 0;
}

static void fetch_lists(struct live_follow *f, bool bridge)
{
    const struct live_policy *p = f->policy;
    uint64_t kept = p->manifest != NULL ? p->manifest->generation : 0;
    drop_lists(f);
    f->state = LISTS;
    f->bridge = bridge;
    f->delta_from = (bridge ? p->generation : f->manifest) + 1;
    f->first_delta = !bridge || f->manifest > kept ? 1 : 0;
    uint64_t n = f->target - f->delta_from + 1;
    if (n > LISTS_MAX) { /* more than any admin leaves between a manifest and `current` */
        struct dm_live_key key;
        dm_policy_key_current(&key);
        refuse(f, DM_POLICY_MALFORMED, &key);
        return;
    }
    f->n_lists = f->first_delta + n;
    f->lists = dm_mem_array(f->n_lists + 1, sizeof(struct live_blob *));
    for (size_t i = 0; i < WINDOW; i++)
        ask_next_list(f, &f->window[i]);
    if (f->pending == 0)
        use_lists(f);
}

/* --- current --- */

static void on_current(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_follow *f = DM_CONTAINER_OF(a, struct live_follow, ask);
    struct live_policy *p = f->policy;
    struct dm_live_key key;
    struct dm_policy_value v;
    dm_view bytes = dm_redis_text(reply);
    if (rc != DM_OK || dm_redis_type(reply) == DM_REDIS_NIL) {
        without_store(f, rc == DM_OK);
        return;
    }
    if (p->current != NULL && dm_view_eq(bytes, live_blob_view(p->current))) {
        live_policy_confirmed(p);
        attempt_end(f, true);
        return;
    }
    dm_policy_key_current(&key);
    enum dm_policy_verdict verdict =
        dm_policy_open(bytes, DM_POLICY_CURRENT, dm_live_key_view(&key), p->hub->verifier, &v);
    if (verdict == DM_POLICY_GOOD && v.generation < p->generation)
        verdict = DM_POLICY_ROLLBACK;
    if (verdict != DM_POLICY_GOOD) {
        refuse(f, verdict, &key);
        return;
    }
    if (v.generation == p->generation) { /* signed with another key: the same is in force */
        live_policy_confirmed(p);
        attempt_end(f, true);
        return;
    }
    f->target = v.generation;
    f->manifest = v.version;
    f->current = live_blob_new(bytes, v.generation);
    fetch_lists(f, p->known && v.generation - p->generation <= BRIDGE_MAX);
}

static void attempt_begin(struct live_follow *f)
{
    struct dm_live_key key;
    dm_time patience = f->policy->generation == 0 && !f->copy_tried ? FIRST_DEADLINE : DEADLINE;
    dm_policy_key_current(&key);
    const dm_view argv[] = {DM_LIT("GET"), dm_live_key_view(&key)};
    f->state = CURRENT;
    f->again = false;
    dm_timer_stop(&f->poll);
    dm_redis_send(f->redis, argv[1], argv, 2, dm_loop_now(f->loop) + patience, &f->ask, on_current);
}

static void on_look(struct dm_task *t)
{
    struct live_follow *f = DM_CONTAINER_OF(t, struct live_follow, look);
    if (f->state == IDLE)
        attempt_begin(f);
    else
        f->again = true;
}

void live_follow_look(struct live_follow *f)
{
    if (f->state == IDLE)
        dm_loop_post(f->loop, &f->look);
    else
        f->again = true;
}

static void on_poll(struct dm_timer *t)
{
    live_follow_look(DM_CONTAINER_OF(t, struct live_follow, poll));
}

static void on_event(struct dm_redis_channel *c, dm_view payload)
{
    (void)payload; /* not signed: only a reason to look */
    live_follow_look(DM_CONTAINER_OF(c, struct live_follow, events));
}

static void on_subscribed(struct dm_redis_channel *c)
{
    live_follow_look(DM_CONTAINER_OF(c, struct live_follow, events));
}

/* --- birth and end --- */

struct live_follow *live_follow_new(struct live_policy *p)
{
    struct live_follow *f = DM_NEW(struct live_follow);
    f->policy = p;
    f->loop = live_policy_loop(p);
    f->redis = p->owner->handle->redis;
    for (size_t i = 0; i < WINDOW; i++)
        f->window[i].follow = f;
    dm_timer_init(&f->poll, on_poll);
    dm_task_init(&f->look, on_look);
    f->events = (struct dm_redis_channel){.name = DM_LIT("doorman:policy:events"),
                                          .on_message = on_event,
                                          .on_subscribed = on_subscribed};
    dm_redis_subscribe(f->redis, &f->events);
    dm_loop_post(f->loop, &f->look);
    return f;
}

void live_follow_free(struct live_follow *f)
{
    if (f == NULL)
        return;
    forget_attempt(f);
    dm_redis_unsubscribe(f->redis, &f->events);
    dm_timer_stop(&f->poll);
    dm_loop_unpost(&f->look);
    dm_mem_free(f);
}

#include "gateway/snapshot/principals.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/map.h"
#include "store/live_keys.h"

enum {
    OBJECTS = 3, /* user, subscription, user_credits: of one name, fetched together */
    /* Changes that may overtake one fetch; each needs a write on the platform, and the asker's own
     * deadline ends it anyway. */
    REFETCH_MAX = 64,
    OVERHEAD = 128 /* of an entry besides its user: list, table, name, the heap's own */
};
/* The store is away: an entry past its time goes on deciding (R4), and is asked for again after
 * this. */
static const dm_time STALE_FOR = DM_SEC;

struct entry {
    struct dm_link lru; /* most recently used first */
    struct gw_principals *owner;
    struct dm_policy_user *user;
    dm_time fetched;
    size_t bytes;
};

struct fetch { /* one name on its way, and all who wait for it */
    struct gw_principals *owner;
    struct dm_link link;
    struct dm_live_wait wait;
    struct dm_link waiters;
    char *username;
    dm_time deadline;
    bool overtaken; /* a change named it meanwhile: what comes may be old */
    unsigned again;
};

struct gw_principals {
    struct dm_loop *loop;
    struct dm_live *live;
    struct dm_live_subscriber subscriber;
    struct dm_map *entries;
    struct dm_link lru;
    struct dm_link fetches;
    struct dm_map *fetch_of; /* by name */
    dm_time stale_logged;    /* monotonic; 0: never */
    size_t max_entries, max_bytes, bytes;
    dm_time ttl;
    struct dm_metric *gauge; /* NULL: nobody asks */
    size_t shard;
};

static void count(struct gw_principals *p, int by)
{
    if (p->gauge != NULL)
        dm_metric_add(p->gauge, p->shard, by);
}

static void entry_free(void *value)
{
    struct entry *e = value;

    e->owner->bytes -= e->bytes;
    count(e->owner, -1);
    dm_list_remove(&e->lru);
    dm_policy_user_unref(e->user);
    dm_mem_free(e);
}

static void drop(struct gw_principals *p, struct entry *e)
{
    dm_map_remove(p->entries, e->user->username);
}

static void keep(struct gw_principals *p, struct dm_policy_user *user)
{
    struct entry *e = DM_NEW(struct entry);

    e->owner = p;
    e->user = user;
    e->fetched = dm_loop_now(p->loop);
    e->bytes = OVERHEAD + user->username.len + dm_policy_user_size(user);
    dm_list_init(&e->lru);
    dm_map_put(p->entries, user->username, e);
    p->bytes += e->bytes;
    count(p, 1);
    dm_list_add_head(&p->lru, &e->lru);
    while ((dm_map_count(p->entries) > p->max_entries || p->bytes > p->max_bytes) &&
           p->lru.prev != &e->lru)
        drop(p, DM_CONTAINER_OF(p->lru.prev, struct entry, lru));
}

struct dm_policy_user *gw_principals_get(struct gw_principals *p, dm_view username)
{
    struct entry *e = dm_map_get(p->entries, username);

    if (e == NULL)
        return NULL;
    if (dm_loop_now(p->loop) - e->fetched > p->ttl)
        return NULL; /* kept: all there is, should the store be away */
    if (p->lru.next != &e->lru) {
        dm_list_remove(&e->lru);
        dm_list_add_head(&p->lru, &e->lru);
    }
    return e->user;
}

/* --- fetching --- */

static void fetch_free(struct fetch *f)
{
    dm_list_remove(&f->link);
    (void)dm_map_remove(f->owner->fetch_of, dm_view_of(f->username));
    dm_live_cancel(f->owner->live, &f->wait);
    dm_mem_free(f->username);
    dm_mem_free(f);
}

/* A waiter may ask again (that is a new fetch), cancel others or end its request in its callback:
 * each is taken off first. */
static void tell_all(struct fetch *f, enum dm_code code)
{
    struct dm_link waiters, *l;

    dm_list_init(&waiters);
    while ((l = dm_list_pop(&f->waiters)) != NULL)
        dm_list_add_tail(&waiters, l);
    fetch_free(f);
    while ((l = dm_list_pop(&waiters)) != NULL) {
        struct gw_principals_wait *w = DM_CONTAINER_OF(l, struct gw_principals_wait, link_);

        w->pending = false;
        w->fn_(w, code);
    }
}

/* Not overtaken by a change: what was known is still all that is known. */
static bool stale_will_do(struct fetch *f)
{
    struct gw_principals *p = f->owner;
    struct entry *e = dm_map_get(p->entries, dm_view_of(f->username));
    dm_time now = dm_loop_now(p->loop);

    if (e == NULL || p->ttl == 0)
        return false;
    e->fetched = p->ttl > STALE_FOR ? now - p->ttl + STALE_FOR : now;
    if (p->stale_logged == 0 || now - p->stale_logged >= DM_SEC) {
        p->stale_logged = now;
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "principals.stale",
               DM_FI("entries", gw_principals_count(p)));
    }
    return true;
}

static enum dm_code build(const struct dm_live_object *objects, dm_view username,
                          struct dm_policy_user **ret, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *subscriptions = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *credits = NULL;
    enum dm_code rc = dm_json_parse(objects[0].bytes, &dm_json_default, &user, err);

    if (rc == DM_OK && !dm_view_eq(dm_json_str(dm_json_get(user, DM_LIT("username"))), username))
        rc = DM_FAIL(err, DM_INVALID, ERR_NONE, "published under another name");
    if (rc == DM_OK && objects[1].code == DM_OK)
        rc = dm_json_parse(objects[1].bytes, &dm_json_default, &subscriptions, err);
    if (rc == DM_OK && objects[2].code == DM_OK)
        rc = dm_json_parse(objects[2].bytes, &dm_json_default, &credits, err);
    if (rc == DM_OK && credits != NULL &&
        !dm_view_eq(dm_json_str(dm_json_get(credits, DM_LIT("username"))), username))
        rc = DM_FAIL(err, DM_INVALID, ERR_NONE, "credits published under another name");
    return rc == DM_OK ? dm_policy_user_build(user, subscriptions, credits, ret, err) : rc;
}

static void start(struct fetch *f);

static void on_objects(struct dm_live_wait *w, const struct dm_live_object *objects, size_t n)
{
    struct fetch *f = DM_CONTAINER_OF(w, struct fetch, wait);
    struct dm_policy_user *user = NULL;
    struct dm_error err;

    DM_REQUIRE(n == OBJECTS);
    if (f->overtaken && f->again < REFETCH_MAX) {
        f->again++;
        start(f);
        return;
    }
    bool away = false;
    for (size_t i = 0; i < n; i++)
        away = away || objects[i].code == DM_UNAVAILABLE;
    if (f->overtaken || away) {
        tell_all(f, !f->overtaken && stale_will_do(f) ? DM_OK : DM_UNAVAILABLE);
        return;
    }
    if (objects[0].code == DM_NOT_FOUND) {
        (void)dm_map_remove(f->owner->entries,
                            dm_view_of(f->username)); /* past its time, and gone */
        tell_all(f, DM_NOT_FOUND);
        return;
    }
    if (build(objects, dm_view_of(f->username), &user, &err) !=
        DM_OK) { /* not a verdict about the caller: our own data is broken */
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "policy.user.refused", DM_FC("id", f->username),
               DM_FC("reason", err.text));
        tell_all(f, DM_UNAVAILABLE);
        return;
    }
    keep(f->owner, user);
    tell_all(f, DM_OK);
}

static void start(struct fetch *f)
{
    const dm_view username = dm_view_of(f->username);
    const dm_view wanted[OBJECTS][2] = {{DM_LIT("user"), username},
                                        {DM_LIT("subscription"), username},
                                        {DM_LIT("user_credits"), username}};

    f->overtaken = false;
    dm_live_ask_objects(f->owner->live, wanted, OBJECTS, f->deadline, &f->wait, on_objects);
}

static struct fetch *find_fetch(const struct gw_principals *p, dm_view username)
{
    return dm_map_get(p->fetch_of, username);
}

void gw_principals_ask(struct gw_principals *p, dm_view username, dm_time deadline,
                       struct gw_principals_wait *w, gw_principals_fn fn)
{
    struct fetch *f = find_fetch(p, username);
    bool fresh = f == NULL;

    if (fresh) {
        f = DM_NEW(struct fetch);
        f->owner = p;
        f->username = dm_mem_text(username);
        f->deadline = deadline;
        dm_list_init(&f->waiters);
        dm_list_add_tail(&p->fetches, &f->link);
        dm_map_put(p->fetch_of, username, f);
    }
    w->fn_ = fn;
    w->pending = true;
    dm_list_add_tail(&f->waiters, &w->link_);
    if (fresh)
        start(f);
}

void gw_principals_cancel(struct gw_principals *p, struct gw_principals_wait *w)
{
    (void)p;
    if (!w->pending)
        return;
    w->pending = false;
    dm_list_remove(&w->link_);
}

/* --- changes --- */

static void on_change(struct dm_live_subscriber *s, uint64_t generation,
                      const struct dm_live_change *changes, size_t n)
{
    struct gw_principals *p = DM_CONTAINER_OF(s, struct gw_principals, subscriber);

    (void)generation;
    for (size_t i = 0; i < n; i++) {
        struct fetch *f;

        if (!dm_live_kind_on_demand(changes[i].kind))
            continue;
        dm_map_remove(p->entries, changes[i].id);
        f = find_fetch(p, changes[i].id);
        if (f != NULL)
            f->overtaken = true;
    }
}

static void on_forget(struct dm_live_subscriber *s)
{
    struct gw_principals *p = DM_CONTAINER_OF(s, struct gw_principals, subscriber);

    gw_principals_clear(p);
    DM_LIST_EACH_SAFE(&p->fetches, l, next)
    DM_CONTAINER_OF(l, struct fetch, link)->overtaken = true;
}

/* --- birth and end --- */

struct gw_principals *gw_principals_new(struct dm_loop *loop, struct dm_live *live,
                                        size_t max_entries, dm_time ttl)
{
    struct gw_principals *p = DM_NEW(struct gw_principals);

    p->loop = loop;
    p->live = live;
    p->entries = dm_map_new(entry_free);
    p->fetch_of = dm_map_new(NULL);
    p->max_entries = max_entries;
    p->max_bytes = SIZE_MAX;
    p->ttl = ttl;
    dm_list_init(&p->lru);
    dm_list_init(&p->fetches);
    p->subscriber.on_change = on_change;
    p->subscriber.on_forget = on_forget;
    dm_live_subscribe(live, &p->subscriber);
    return p;
}

void gw_principals_clear(struct gw_principals *p)
{
    while (!dm_list_empty(&p->lru))
        drop(p, DM_CONTAINER_OF(p->lru.next, struct entry, lru));
}

void gw_principals_free(struct gw_principals *p)
{
    if (p == NULL)
        return;
    dm_live_unsubscribe(&p->subscriber);
    DM_LIST_EACH_SAFE(&p->fetches, l, next)
    {
        struct fetch *f = DM_CONTAINER_OF(l, struct fetch, link);
        DM_REQUIRE(dm_list_empty(&f->waiters));
        fetch_free(f);
    }
    dm_map_free(p->entries);
    dm_map_free(p->fetch_of);
    dm_mem_free(p);
}

void gw_principals_limit(struct gw_principals *p, size_t max_entries, dm_time ttl)
{
    p->max_entries = max_entries;
    p->ttl = ttl;
}

void gw_principals_limit_bytes(struct gw_principals *p, size_t max_bytes)
{
    p->max_bytes = max_bytes;
}

void gw_principals_gauge(struct gw_principals *p, struct dm_metric *entries, size_t shard)
{
    p->gauge = entries;
    p->shard = shard;
    count(p, (int)gw_principals_count(p));
}

size_t gw_principals_bytes(const struct gw_principals *p)
{
    return p->bytes;
}

size_t gw_principals_count(const struct gw_principals *p)
{
    return dm_map_count(p->entries);
}

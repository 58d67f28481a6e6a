#include "store/redis/live_redis_admin.h"
#include "store/redis/live_redis_mark.h"
#include "store/redis/live_redis_publish.h"

#include "base/poison.h"

/* What an admin says of a store into which it writes everything anew: the histories on which all
 * revocations stand (live_redis_history.h), and in a Cluster the marks of slots in which nothing is
 * missing (live_redis_mark.h). Both are found out before it begins and written afterwards, so that
 * what was lost once more on the way is not vouched for. */

enum { WINDOW = 256 /* slots asked for at once */ };

struct dm_live_restoration {
    char word[DM_UUID_LEN + 1]; /* of drafts */
    struct dm_buf histories;
    unsigned connections; /* when they were found out */
    unsigned n_missing;
    bool missing[DM_REDIS_SLOTS]; /* slots without a mark when it began */
};

/* --- histories --- */

bool live_redis_doubts(const struct live_redis_admin *a)
{
    return a->trusted != 0 && dm_redis_connections(a->redis) != a->trusted;
}

static void on_trusted(struct live_history_walk *w, enum dm_code rc, enum live_history h)
{
    struct live_redis_admin *a = DM_CONTAINER_OF(w, struct live_redis_admin, walk);

    if (rc == DM_OK && h == LIVE_HISTORY_KNOWN && a->trusted != 0)
        a->trusted = w->connections;
}

void live_redis_trust_again(struct live_redis_admin *a)
{
    a->walk.redis = a->redis;
    a->walk.loop = a->loop;
    a->walk.done = on_trusted;
    live_history_ask(&a->walk);
}

void live_redis_trust_done(struct live_redis_admin *a)
{
    live_history_end(&a->walk);
}

struct history_call {
    struct live_redis_call call;
    struct live_history_walk walk;
    struct dm_redis_ask ask;
    dm_view names;
    bool collecting;
    unsigned connections; /* of which the names hold */
    enum live_history verdict;
};

static void on_walked(struct live_history_walk *w, enum dm_code rc, enum live_history h)
{
    struct history_call *c = DM_CONTAINER_OF(w, struct history_call, walk);
    c->verdict = h;
    if (!c->collecting && rc == DM_OK && h == LIVE_HISTORY_KNOWN && c->call.admin->trusted != 0)
        c->call.admin->trusted = w->connections;
    live_redis_call_end(&c->call, rc);
}

static void start_walk(struct live_redis_call *call)
{
    struct history_call *c = DM_CONTAINER_OF(call, struct history_call, call);
    c->walk.redis = call->admin->redis;
    c->walk.loop = call->admin->loop;
    c->walk.done = on_walked;
    if (c->collecting)
        live_history_collect(&c->walk);
    else
        live_history_ask(&c->walk);
}

static void on_written(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct history_call *c = DM_CONTAINER_OF(q, struct history_call, ask);

    (void)reply;
    if (rc == DM_OK)
        c->call.admin->trusted = c->connections;
    live_redis_call_end(&c->call, rc);
}

static void start_write(struct live_redis_call *call)
{
    struct history_call *c = DM_CONTAINER_OF(call, struct history_call, call);
    const dm_view argv[] = {DM_LIT("SET"), DM_LIT(LIVE_HISTORIES), c->names};
    dm_redis_send(call->admin->redis, argv[1], argv, DM_COUNT_OF(argv), call->deadline, &c->ask,
                  on_written);
}

/* --- marks --- */

struct marks_call;
struct mark_ask {
    struct dm_redis_ask ask;
    struct marks_call *of;
    unsigned slot;
};
struct marks_call {
    struct live_redis_call call;
    struct dm_live_restoration *of;
    bool setting; /* the drafts, else drafting */
    unsigned next, pending, done;
    enum dm_code code;
    struct mark_ask window[WINDOW];
};

static void ask_next(struct mark_ask *m);

static void on_marked(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct mark_ask *m = DM_CONTAINER_OF(q, struct mark_ask, ask);
    struct marks_call *c = m->of;
    const bool yes = rc == DM_OK && dm_redis_int(reply) == 1;

    if (rc != DM_OK && c->code == DM_OK)
        c->code = rc;
    c->done += yes;
    if (!c->setting)
        c->of->missing[m->slot] = yes;
    c->pending--;
    ask_next(m);
    if (c->pending == 0)
        live_redis_call_end(&c->call, c->code);
}

static void ask_next(struct mark_ask *m)
{
    struct marks_call *c = m->of;
    struct live_redis_admin *a = c->call.admin;
    struct live_mark mark;
    struct dm_buf draft;

    while (c->setting && c->next < DM_REDIS_SLOTS && !c->of->missing[c->next])
        c->next++;
    if (c->code != DM_OK || c->next >= DM_REDIS_SLOTS)
        return;
    m->slot = c->next++;
    c->pending++;
    live_mark_of_slot(&mark, m->slot);
    dm_buf_init(&draft, 64);
    dm_buf_add(&draft, live_mark_view(&mark));
    dm_buf_add(&draft, DM_LIT(":draft"));
    const dm_view keys[] = {live_mark_view(&mark), dm_buf_view(&draft)};
    const dm_view args[] = {c->setting ? DM_LIT("set") : DM_LIT("draft"), dm_view_of(c->of->word)};
    dm_redis_eval(a->redis, &a->scripts.mark, keys, 2, args, 2, dm_loop_now(a->loop) + a->timeout,
                  &m->ask, on_marked);
    dm_buf_done(&draft);
}

static void start_marks(struct live_redis_call *call)
{
    struct marks_call *c = DM_CONTAINER_OF(call, struct marks_call, call);

    for (size_t i = 0; i < WINDOW; i++) {
        c->window[i].of = c;
        ask_next(&c->window[i]);
    }
    if (c->pending == 0)
        live_redis_call_end(call, c->code);
}

static enum dm_code marks(struct live_redis_admin *a, struct dm_live_restoration *r, bool setting,
                          unsigned *ret_done, struct dm_error *err)
{
    struct marks_call *c = DM_NEW(struct marks_call);
    enum dm_code rc;

    c->of = r;
    c->setting = setting;
    rc = live_redis_call(&a->base, &c->call, start_marks, "mark what is whole", err);
    *ret_done = c->done;
    dm_mem_free(c);
    return rc;
}

/* --- operations --- */

void live_redis_restoration_free(struct dm_live_restoration *r)
{
    dm_buf_done(&r->histories);
    dm_mem_free(r);
}

enum dm_code live_redis_restore_begin(struct dm_live_admin *base, struct dm_live_restoration **ret,
                                      struct dm_error *err)
{
    struct live_redis_admin *a = live_redis_admin_of(base);
    struct dm_live_restoration *r = DM_NEW(struct dm_live_restoration);
    struct history_call c = {.collecting = true};
    enum dm_code rc = live_redis_call(base, &c.call, start_walk, "ask for histories", err);

    r->histories = c.walk.ids;
    r->connections = c.walk.connections;
    dm_random_uuid(r->word);
    if (rc == DM_OK && a->config.redis.mode == DM_REDIS_CLUSTER)
        rc = marks(a, r, false, &r->n_missing, err);
    if (rc != DM_OK) {
        live_redis_restoration_free(r);
        return rc;
    }
    *ret = r;
    return DM_OK;
}

enum dm_code live_redis_restore_revoked(struct dm_live_admin *base, struct dm_live_restoration *r,
                                        struct dm_error *err)
{
    struct history_call c = {.names = dm_buf_view(&r->histories), .connections = r->connections};

    return live_redis_call(base, &c.call, start_write, "name histories", err);
}

enum dm_code live_redis_restore_end(struct dm_live_admin *base, struct dm_live_restoration *r,
                                    struct dm_error *err)
{
    unsigned set = 0;
    enum dm_code rc = DM_OK;

    if (r->n_missing > 0)
        rc = marks(live_redis_admin_of(base), r, true, &set, err);
    if (rc == DM_OK && set < r->n_missing)
        rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                     "could not mark what is whole: %u slots were lost meanwhile",
                     r->n_missing - set);
    return rc;
}

/* --- looking --- */

struct look_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    size_t node;
    bool whole;
};

static void look_at_node(struct look_call *c);

static void on_look(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct look_call *c = DM_CONTAINER_OF(q, struct look_call, ask);

    c->whole = rc == DM_OK && dm_redis_int(reply) == 1;
    c->node++;
    if (c->whole)
        look_at_node(c);
    else
        live_redis_call_end(&c->call, rc);
}

/* One mark of each master: a node that is emptied loses all of them. */
static void look_at_node(struct look_call *c)
{
    struct live_redis_admin *a = c->call.admin;
    struct live_mark mark;
    unsigned slot = 0;

    while (c->node < dm_redis_nodes(a->redis) && !dm_redis_node_slot(a->redis, c->node, &slot))
        c->node++;
    if (c->node >= dm_redis_nodes(a->redis)) {
        live_redis_call_end(&c->call, DM_OK);
        return;
    }
    live_mark_of_slot(&mark, slot);
    const dm_view argv[] = {DM_LIT("EXISTS"), live_mark_view(&mark)};
    dm_redis_send(a->redis, argv[1], argv, DM_COUNT_OF(argv), dm_loop_now(a->loop) + a->timeout,
                  &c->ask, on_look);
}

static void start_look(struct live_redis_call *call)
{
    look_at_node(DM_CONTAINER_OF(call, struct look_call, call));
}

enum dm_code live_redis_whole(struct dm_live_admin *base, bool *ret, struct dm_error *err)
{
    struct history_call h = {.collecting = false};
    struct look_call c = {.whole = true};
    enum dm_code rc = live_redis_call(base, &h.call, start_walk, "ask for histories", err);

    live_history_end(&h.walk);
    if (rc == DM_OK && h.verdict == LIVE_HISTORY_KNOWN)
        rc = live_redis_call(base, &c.call, start_look, "look for marks", err);
    *ret = h.verdict == LIVE_HISTORY_KNOWN && c.whole;
    return rc;
}

#include <string.h>

#include "base/assert.h"
#include "store/live_memory.h"

#include "base/poison.h"

/* The admin's side: each call runs on the owner's thread while the caller waits. */

struct admin {
    struct dm_live_admin base;
    struct dm_live_memory *memory;
};

struct call {
    struct dm_call call;
    struct dm_live_memory *memory;
    enum dm_code (*work)(struct call *c, dm_time now_wall);
    enum dm_code code;
    dm_view a, b; /* the caller's bytes: it waits */
    int64_t limit, window;
    dm_time expires;
    bool revoked, unless_there;
    int64_t bytes; /* or credits */
    struct dm_live_hit hit;
    struct live_news *news;
    uint64_t generation;
};

static struct dm_live_memory *memory_of(struct dm_live_admin *a)
{
    return DM_CONTAINER_OF(a, struct admin, base)->memory;
}

static void run(struct dm_call *c)
{
    struct call *k = DM_CONTAINER_OF(c, struct call, call);
    k->code = k->work(k, dm_loop_wall(k->memory->loop));
    dm_call_done(c);
}

static enum dm_code ask(struct dm_live_admin *a, struct call *c, struct dm_error *err)
{
    c->memory = memory_of(a);
    c->call.run = run;
    if (dm_mailbox_call(c->memory->box, &c->call) != DM_OK)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY, "live state: too many calls wait");
    return c->code;
}

static enum dm_code do_publish(struct call *c, dm_time now)
{
    (void)now;
    c->generation = ++c->memory->generation;
    c->news->generation = c->generation;
    for (size_t i = 0; i < c->news->n; i++) {
        c->news->items[i]->generation = c->generation;
        dm_live_state_put(c->memory->state, c->news->items[i]);
    }
    live_news_tell_all(c->memory, DM_TAKE(c->news));
    return DM_OK;
}

static enum dm_code publish(struct dm_live_admin *a, const struct dm_live_change *changes, size_t n,
                            uint64_t *ret_generation, struct dm_error *err)
{
    struct call c = {.work = do_publish};
    for (size_t i = 0; i < n; i++) {
        if (changes[i].kind.len == 0 || changes[i].kind.len > DM_LIVE_KIND_MAX ||
            changes[i].id.len == 0 || changes[i].id.len > DM_LIVE_ID_MAX ||
            changes[i].bytes.len > UINT32_MAX / 2)
            return DM_FAIL(err, DM_INVALID, ERR_NONE,
                           "could not publish: name of object %zu empty or too long", i);
    }
    c.news = live_news_new(n);
    for (size_t i = 0; i < n; i++)
        c.news->items[i] = dm_live_item_new(&changes[i]);
    enum dm_code rc = ask(a, &c, err);
    live_news_unref(c.news); /* still ours when the call was refused */
    if (rc == DM_OK && ret_generation != NULL)
        *ret_generation = c.generation;
    return rc;
}

static enum dm_code do_revoke(struct call *c, dm_time now)
{
    enum dm_code rc = dm_live_state_revoke(c->memory->state, c->a, c->b, c->expires, now);
    if (rc != DM_OK)
        return rc;
    struct live_news *n = live_news_new(0);
    n->revoked = true;
    n->subject_len = c->a.len;
    memcpy(n->subject, c->a.ptr, c->a.len);
    live_news_tell_all(c->memory, n);
    return DM_OK;
}

static enum dm_code revoke(struct dm_live_admin *a, dm_view subject, dm_view jti,
                           dm_time expires_wall, struct dm_error *err)
{
    struct call c = {.work = do_revoke, .a = subject, .b = jti, .expires = expires_wall};
    enum dm_code rc = ask(a, &c, err);
    if (rc == DM_INVALID)
        return DM_FAIL(err, rc, ERR_NONE,
                       "could not revoke: user name or token id empty or too long");
    if (rc == DM_LIMIT) /* never "done" when it is not: the caller gets 503 and nothing is stored */
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY, "could not revoke: table full");
    return rc;
}

static enum dm_code do_unrevoke(struct call *c, dm_time now)
{
    dm_live_state_unrevoke(c->memory->state, c->a, now);
    return DM_OK;
}

static enum dm_code unrevoke(struct dm_live_admin *a, dm_view subject, struct dm_error *err)
{
    struct call c = {.work = do_unrevoke, .a = subject};
    return ask(a, &c, err);
}

static enum dm_code do_is_revoked(struct call *c, dm_time now)
{
    /* Nobody could revoke such a token, and no user has such a name: as the admission says. */
    c->revoked = !dm_live_subject_fits(c->a, c->b) ||
                 dm_live_state_is_revoked(c->memory->state, c->a, c->b, now);
    return DM_OK;
}

static enum dm_code is_revoked(struct dm_live_admin *a, dm_view subject, dm_view jti, bool *ret,
                               struct dm_error *err)
{
    struct call c = {.work = do_is_revoked, .a = subject, .b = jti};
    enum dm_code rc = ask(a, &c, err);
    if (rc == DM_OK)
        *ret = c.revoked;
    return rc;
}

static enum dm_code do_hit(struct call *c, dm_time now)
{
    return dm_live_state_hit(c->memory->state, c->a, c->b, c->limit, c->window, now, &c->hit);
}

static enum dm_code hit(struct dm_live_admin *a, dm_view name, dm_view id, int64_t limit,
                        int64_t window, struct dm_live_hit *ret, struct dm_error *err)
{
    struct call c = {.work = do_hit, .a = name, .b = id, .limit = limit, .window = window};
    enum dm_code rc = ask(a, &c, err);
    if (rc == DM_OK || rc == DM_LIMIT)
        *ret = c.hit;
    return rc;
}

static enum dm_code do_bandwidth(struct call *c, dm_time now)
{
    c->bytes = dm_live_state_bandwidth(c->memory->state, c->a, c->window, now);
    return DM_OK;
}

static enum dm_code bandwidth_used(struct dm_live_admin *a, dm_view subject, int64_t window,
                                   int64_t *ret, struct dm_error *err)
{
    struct call c = {.work = do_bandwidth, .a = subject, .window = window};
    enum dm_code rc = ask(a, &c, err);
    if (rc == DM_OK)
        *ret = c.bytes;
    return rc;
}

static enum dm_code do_credits_set(struct call *c, dm_time now)
{
    return dm_live_state_credits_set(c->memory->state, c->a, c->b, c->limit, c->unless_there, now);
}

static enum dm_code credits_set(struct dm_live_admin *a, dm_view group, dm_view subject,
                                int64_t balance, bool unless_there, struct dm_error *err)
{
    struct call c = {.work = do_credits_set,
                     .a = group,
                     .b = subject,
                     .limit = balance,
                     .unless_there = unless_there};
    enum dm_code rc = ask(a, &c, err);
    if (rc == DM_INVALID)
        return DM_FAIL(err, rc, ERR_NONE, "could not set credits: name empty or too long");
    if (rc == DM_LIMIT)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                       "could not set credits: table full");
    return rc;
}

static enum dm_code do_credits_get(struct call *c, dm_time now)
{
    return dm_live_state_credits_get(c->memory->state, c->a, c->b, now, &c->bytes);
}

static enum dm_code credits_get(struct dm_live_admin *a, dm_view group, dm_view subject,
                                int64_t *ret, struct dm_error *err)
{
    struct call c = {.work = do_credits_get, .a = group, .b = subject};
    enum dm_code rc = ask(a, &c, err);
    if (rc == DM_OK)
        *ret = c.bytes;
    return rc;
}

static enum dm_code do_credits_delete(struct call *c, dm_time now)
{
    (void)now;
    dm_live_state_credits_delete(c->memory->state, c->a, c->b);
    return DM_OK;
}

static enum dm_code credits_delete(struct dm_live_admin *a, dm_view group, dm_view subject,
                                   struct dm_error *err)
{
    struct call c = {.work = do_credits_delete, .a = group, .b = subject};
    return ask(a, &c, err);
}

static enum dm_code do_clear(struct call *c, dm_time now)
{
    (void)now;
    dm_live_state_clear_counters(c->memory->state);
    return DM_OK;
}

static enum dm_code clear_counters(struct dm_live_admin *a, struct dm_error *err)
{
    struct call c = {.work = do_clear};
    return ask(a, &c, err);
}

/* The state is in this process: it cannot be away, and a probe must not wait for a turn of a loop.
 */
static enum dm_code ping(struct dm_live_admin *a, struct dm_error *err)
{
    (void)a;
    (void)err;
    return DM_OK;
}

static enum dm_code take(struct dm_live_admin *a, enum dm_stream s, struct dm_live_batch *b,
                         struct dm_error *err)
{
    (void)err;
    return live_memory_take(memory_of(a), s, b);
}

static enum dm_code done(struct dm_live_admin *a, enum dm_stream s, const struct dm_live_batch *b,
                         struct dm_error *err)
{
    (void)err;
    return live_memory_done(memory_of(a), s, b);
}

static void admin_free(struct dm_live_admin *a)
{
    dm_mem_free(DM_CONTAINER_OF(a, struct admin, base));
}

static const struct dm_live_admin_ops admin_ops = {
    .publish = publish,
    .revoke = revoke,
    .unrevoke = unrevoke,
    .is_revoked = is_revoked,
    .hit = hit,
    .bandwidth_used = bandwidth_used,
    .credits_set = credits_set,
    .credits_get = credits_get,
    .credits_delete = credits_delete,
    .clear_counters = clear_counters,
    .ping = ping,
    .take = take,
    .done = done,
    .free = admin_free,
};

struct dm_live_admin *dm_live_memory_admin(struct dm_live_memory *m)
{
    struct admin *a = DM_NEW(struct admin);
    a->base.ops = &admin_ops;
    a->memory = m;
    return &a->base;
}

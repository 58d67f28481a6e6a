#include "live_rig.h"

#include <stdio.h>

const struct live_factory *live_factory;

int rig_open(void **state)
{
    struct live_rig *r = DM_NEW(struct live_rig);
    dm_clock_manual_init(&r->clock, DM_SEC, (dm_time)RIG_START * DM_SEC);
    live_factory->open(r);
    *state = r;
    return 0;
}

int rig_close(void **state)
{
    live_factory->close(*state);
    dm_mem_free(*state);
    return 0;
}

void rig_turn_until(struct live_rig *r, const atomic_bool *done)
{
    for (int i = 0; i < 10000; i++) {
        if (atomic_load(done))
            return;
        (void)dm_loop_turn(r->loop, 10 * DM_MS);
    }
    fail_msg("nothing came");
}

/* Loops read the clock once a turn. */
void rig_step(struct live_rig *r, dm_time by)
{
    dm_clock_manual_step(&r->clock, by);
    (void)dm_loop_turn(r->loop, 0);
}

/* --- the admin's blocking calls: made by a thread of their own while this one turns the loop ---
 */

struct rig_call {
    void (*run)(struct live_rig *r, void *ctx);
    struct live_rig *rig;
    void *ctx;
    atomic_bool done;
};

static void *rig_call_thread(void *arg)
{
    struct rig_call *c = arg;
    c->run(c->rig, c->ctx);
    atomic_store(&c->done, true);
    dm_loop_wake(c->rig->loop);
    return NULL;
}

void rig_call(struct live_rig *r, void (*run)(struct live_rig *, void *), void *ctx)
{
    struct rig_call c = {.run = run, .rig = r, .ctx = ctx};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, rig_call_thread, &c), 0);
    rig_turn_until(r, &c.done);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

void rig_run_publish(struct live_rig *r, void *ctx)
{
    struct change_call *c = ctx;
    c->code = dm_live_publish(r->admin, c->changes, c->n, &c->generation, NULL);
}

uint64_t rig_publish(struct live_rig *r, const char *kind, const char *id, const char *bytes)
{
    const struct dm_live_change change = {dm_view_of(kind), dm_view_of(id), dm_view_of(bytes)};
    struct change_call c = {.changes = &change, .n = 1};
    rig_call(r, rig_run_publish, &c);
    assert_int_equal(c.code, DM_OK);
    return c.generation;
}

void rig_run_revoke(struct live_rig *r, void *ctx)
{
    struct token_call *c = ctx;
    c->code =
        dm_live_revoke(r->admin, dm_view_of(c->subject), dm_view_of(c->jti), c->expires, NULL);
}

void rig_revoke(struct live_rig *r, const char *subject, const char *jti, dm_time expires)
{
    struct token_call c = {.subject = subject, .jti = jti, .expires = expires};
    rig_call(r, rig_run_revoke, &c);
    assert_int_equal(c.code, DM_OK);
}

void rig_run_unrevoke(struct live_rig *r, void *ctx)
{
    struct token_call *c = ctx;
    c->code = dm_live_unrevoke(r->admin, dm_view_of(c->subject), NULL);
}

static void run_is_revoked(struct live_rig *r, void *ctx)
{
    struct token_call *c = ctx;
    c->code =
        dm_live_is_revoked(r->admin, dm_view_of(c->subject), dm_view_of(c->jti), &c->revoked, NULL);
}

bool rig_is_revoked(struct live_rig *r, const char *subject, const char *jti)
{
    struct token_call c = {.subject = subject, .jti = jti};
    rig_call(r, run_is_revoked, &c);
    assert_int_equal(c.code, DM_OK);
    return c.revoked;
}

void rig_run_clear(struct live_rig *r, void *ctx)
{
    *(enum dm_code *)ctx = dm_live_clear_counters(r->admin, NULL);
}

struct hit_call {
    const char *id;
    int64_t limit, window;
    struct dm_live_hit hit;
    enum dm_code code;
};

static void run_hit(struct live_rig *r, void *ctx)
{
    struct hit_call *c = ctx;
    c->code = dm_live_hit(r->admin, DM_LIT("ip_rate_limit"), dm_view_of(c->id), c->limit, c->window,
                          &c->hit, NULL);
}

void rig_assert_hit(struct live_rig *r, const char *id, enum dm_code code, int64_t count,
                    int64_t retry)
{
    struct hit_call c = {.id = id, .limit = 3, .window = 60};
    rig_call(r, run_hit, &c);
    assert_int_equal(c.code, code);
    assert_int_equal(c.hit.count, count);
    assert_int_equal(c.hit.retry_after, retry);
}

/* --- asking --- */

void rig_on_admitted(struct dm_live_wait *w, const struct dm_admit_answer *a)
{
    struct admitted *x = DM_CONTAINER_OF(w, struct admitted, wait);
    x->answer = *a;
    x->times++;
    atomic_store(&x->came, true);
}

struct dm_admit_answer rig_admit(struct live_rig *r, const char *subject, const char *jti,
                                 const struct dm_counter_ask *counters, size_t n)
{
    struct admitted x = {.times = 0};
    const struct dm_admit_ask ask = {dm_view_of(subject), dm_view_of(jti), .count = true,
                                     .counters = counters, .n_counters = n};
    dm_live_ask_admit(r->live, &ask, DM_NEVER, &x.wait, rig_on_admitted);
    assert_true(x.wait.pending);
    assert_int_equal(x.times, 0); /* never inside the ask */
    rig_turn_until(r, &x.came);
    assert_int_equal(x.times, 1);
    assert_false(x.wait.pending);
    return x.answer;
}

struct dm_counter_ask rig_rate(int64_t limit, int64_t window)
{
    return (struct dm_counter_ask){
        .kind = DM_COUNTER_RATE, .limit = limit, .window_seconds = window};
}

struct dm_counter_ask rig_throttle(int64_t limit, int64_t queue, int64_t max_delayed)
{
    return (struct dm_counter_ask){.kind = DM_COUNTER_THROTTLE,
                                   .limit = limit,
                                   .queue = queue,
                                   .max_delayed = max_delayed,
                                   .window_seconds = 60};
}

struct dm_counter_ask rig_bandwidth(int64_t limit, int64_t amount)
{
    return (struct dm_counter_ask){
        .kind = DM_COUNTER_BANDWIDTH, .limit = limit, .amount = amount, .window_seconds = 3600};
}

void rig_on_reserved(struct dm_live_wait *w, enum dm_reserve_verdict v)
{
    struct reserved *x = DM_CONTAINER_OF(w, struct reserved, wait);
    x->verdict = v;
    x->times++;
    atomic_store(&x->came, true);
}

enum dm_reserve_verdict rig_reserve(struct live_rig *r, const char *group, const char *subject,
                                    const char *id)
{
    struct reserved x = {.times = 0};
    const struct dm_reserve_ask ask = {.group = dm_view_of(group),
                                       .subject = dm_view_of(subject),
                                       .id = dm_view_of(id),
                                       .hold = 60 * DM_SEC};
    dm_live_ask_reserve(r->live, &ask, DM_NEVER, &x.wait, rig_on_reserved);
    rig_turn_until(r, &x.came);
    assert_int_equal(x.times, 1);
    return x.verdict;
}

/* What the same handle asks afterwards comes afterwards. */
void rig_settle(struct live_rig *r, const char *group, const char *subject, const char *id,
                bool spent)
{
    dm_live_settle(r->live, dm_view_of(group), dm_view_of(subject), dm_view_of(id), spent);
    (void)rig_reserve(r, "no such group", "nobody", "none");
}

void rig_run_set_credits(struct live_rig *r, void *ctx)
{
    struct credit_call *c = ctx;
    c->code = dm_live_credits_set(r->admin, dm_view_of(c->group), dm_view_of(c->subject),
                                  c->balance, c->unless_there, NULL);
}

void rig_run_delete_credits(struct live_rig *r, void *ctx)
{
    struct credit_call *c = ctx;
    c->code = dm_live_credits_delete(r->admin, dm_view_of(c->group), dm_view_of(c->subject), NULL);
}

void rig_set_credits(struct live_rig *r, const char *group, const char *subject, int64_t balance)
{
    struct credit_call c = {.group = group, .subject = subject, .balance = balance};
    rig_call(r, rig_run_set_credits, &c);
    assert_int_equal(c.code, DM_OK);
}

static void run_get_credits(struct live_rig *r, void *ctx)
{
    struct credit_call *c = ctx;
    c->code = dm_live_credits_get(r->admin, dm_view_of(c->group), dm_view_of(c->subject),
                                  &c->balance, NULL);
}

int64_t rig_credits(struct live_rig *r, const char *group, const char *subject)
{
    struct credit_call c = {.group = group, .subject = subject};
    rig_call(r, run_get_credits, &c);
    if (c.code == DM_NOT_FOUND)
        return -1;
    assert_int_equal(c.code, DM_OK);
    return c.balance;
}

void rig_on_got(struct dm_live_wait *w, const struct dm_live_object *objects, size_t n)
{
    struct got *g = DM_CONTAINER_OF(w, struct got, wait);
    g->n = n;
    for (size_t i = 0; i < n; i++) {
        g->code[i] = objects[i].code;
        g->generation[i] = objects[i].generation;
        (void)snprintf(g->bytes[i], sizeof g->bytes[i], "%.*s", DM_FMT(objects[i].bytes));
    }
    atomic_store(&g->came, true);
}

struct got rig_get(struct live_rig *r, const dm_view (*names)[2], size_t n)
{
    struct got g = {.n = 0};
    dm_live_ask_objects(r->live, names, n, DM_NEVER, &g.wait, rig_on_got);
    assert_int_equal(g.n, 0);
    rig_turn_until(r, &g.came);
    assert_int_equal(g.n, n);
    return g;
}

void rig_on_change(struct dm_live_subscriber *s, uint64_t generation,
                   const struct dm_live_change *c, size_t n)
{
    struct heard *h = DM_CONTAINER_OF(s, struct heard, subscriber);
    size_t at = 0;
    if (h->n == DM_COUNT_OF(h->generations))
        return;
    h->generations[h->n] = generation;
    h->n_changes[h->n] = n;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(h->text[h->n] + at, sizeof h->text[0] - at, "%.*s/%.*s=%.*s ",
                               DM_FMT(c[i].kind), DM_FMT(c[i].id),
                               c[i].bytes.ptr == NULL ? 1 : (int)c[i].bytes.len,
                               c[i].bytes.ptr == NULL ? "-" : c[i].bytes.ptr);
    h->n++;
    if (h->drop != NULL)
        dm_live_unsubscribe(h->drop);
    atomic_store(&h->came, true);
}

void rig_on_revoked(struct dm_live_subscriber *s, dm_view subject)
{
    struct heard *h = DM_CONTAINER_OF(s, struct heard, subscriber);
    (void)snprintf(h->revoked, sizeof h->revoked, "%.*s", DM_FMT(subject));
    atomic_store(&h->came, true);
}

void rig_hear(struct live_rig *r, struct heard *h)
{
    rig_turn_until(r, &h->came);
    atomic_store(&h->came, false);
}

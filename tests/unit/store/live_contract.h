/* What every backend of store/live must do. A test of a backend includes this, gives a factory and
 * runs live_contract_run; the list is the same for all. Windows are stepped by the rig's clock. */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/live.h"

struct live_rig {
    struct dm_clock_manual clock; /* the store's clock and the loop's */
    struct dm_loop *loop;         /* of the test's thread */
    struct dm_live *live;
    struct dm_live_admin *admin;
    void *backend;
};
struct live_factory {
    void (*open)(struct live_rig *r); /* the clock is set; an empty store */
    void (*close)(struct live_rig *r);
};

static const struct live_factory *live_factory;

enum { RIG_START = 1700000040 /* a whole minute, Unix seconds */ };
static const dm_time NEVER_LATE = DM_NEVER;

static int rig_open(void **state)
{
    struct live_rig *r = DM_NEW(struct live_rig);
    dm_clock_manual_init(&r->clock, DM_SEC, (dm_time)RIG_START * DM_SEC);
    live_factory->open(r);
    *state = r;
    return 0;
}

static int rig_close(void **state)
{
    live_factory->close(*state);
    dm_mem_free(*state);
    return 0;
}

static void rig_turn_until(struct live_rig *r, const atomic_bool *done)
{
    for (int i = 0; i < 10000; i++) {
        if (atomic_load(done))
            return;
        (void)dm_loop_turn(r->loop, 10 * DM_MS);
    }
    fail_msg("nothing came");
}

/* Loops read the clock once a turn. */
static void rig_step(struct live_rig *r, dm_time by)
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

static void rig_call(struct live_rig *r, void (*run)(struct live_rig *, void *), void *ctx)
{
    struct rig_call c = {.run = run, .rig = r, .ctx = ctx};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, rig_call_thread, &c), 0);
    rig_turn_until(r, &c.done);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

struct change_call {
    const struct dm_live_change *changes;
    size_t n;
    uint64_t generation;
    enum dm_code code;
};

static void run_publish(struct live_rig *r, void *ctx)
{
    struct change_call *c = ctx;
    c->code = dm_live_publish(r->admin, c->changes, c->n, &c->generation, NULL);
}

static uint64_t publish(struct live_rig *r, const char *kind, const char *id, const char *bytes)
{
    const struct dm_live_change change = {dm_view_of(kind), dm_view_of(id), dm_view_of(bytes)};
    struct change_call c = {.changes = &change, .n = 1};
    rig_call(r, run_publish, &c);
    assert_int_equal(c.code, DM_OK);
    return c.generation;
}

struct token_call {
    const char *subject, *jti;
    dm_time expires;
    bool revoked;
    enum dm_code code;
};

static void run_revoke(struct live_rig *r, void *ctx)
{
    struct token_call *c = ctx;
    c->code =
        dm_live_revoke(r->admin, dm_view_of(c->subject), dm_view_of(c->jti), c->expires, NULL);
}

static void revoke(struct live_rig *r, const char *subject, const char *jti, dm_time expires)
{
    struct token_call c = {.subject = subject, .jti = jti, .expires = expires};
    rig_call(r, run_revoke, &c);
    assert_int_equal(c.code, DM_OK);
}

static void run_unrevoke(struct live_rig *r, void *ctx)
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

static bool is_revoked(struct live_rig *r, const char *subject, const char *jti)
{
    struct token_call c = {.subject = subject, .jti = jti};
    rig_call(r, run_is_revoked, &c);
    assert_int_equal(c.code, DM_OK);
    return c.revoked;
}

static void run_clear(struct live_rig *r, void *ctx)
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

static void assert_hit(struct live_rig *r, const char *id, enum dm_code code, int64_t count,
                       int64_t retry)
{
    struct hit_call c = {.id = id, .limit = 3, .window = 60};
    rig_call(r, run_hit, &c);
    assert_int_equal(c.code, code);
    assert_int_equal(c.hit.count, count);
    assert_int_equal(c.hit.retry_after, retry);
}

/* --- asking --- */

struct admitted {
    struct dm_live_wait wait;
    struct dm_admit_answer answer;
    int times;
    atomic_bool came;
};

static void on_admitted(struct dm_live_wait *w, const struct dm_admit_answer *a)
{
    struct admitted *x = DM_CONTAINER_OF(w, struct admitted, wait);
    x->answer = *a;
    x->times++;
    atomic_store(&x->came, true);
}

static struct dm_admit_answer admit(struct live_rig *r, const char *subject, const char *jti,
                                    const struct dm_counter_ask *counters, size_t n)
{
    struct admitted x = {.times = 0};
    const struct dm_admit_ask ask = {dm_view_of(subject), dm_view_of(jti), .count = true,
                                     .counters = counters, .n_counters = n};
    dm_live_ask_admit(r->live, &ask, NEVER_LATE, &x.wait, on_admitted);
    assert_true(x.wait.pending);
    assert_int_equal(x.times, 0); /* never inside the ask */
    rig_turn_until(r, &x.came);
    assert_int_equal(x.times, 1);
    assert_false(x.wait.pending);
    return x.answer;
}

static struct dm_counter_ask rate(int64_t limit, int64_t window)
{
    return (struct dm_counter_ask){
        .kind = DM_COUNTER_RATE, .limit = limit, .window_seconds = window};
}

static struct dm_counter_ask throttle(int64_t limit, int64_t queue, int64_t max_delayed)
{
    return (struct dm_counter_ask){.kind = DM_COUNTER_THROTTLE,
                                   .limit = limit,
                                   .queue = queue,
                                   .max_delayed = max_delayed,
                                   .window_seconds = 60};
}

static struct dm_counter_ask bandwidth(int64_t limit, int64_t amount)
{
    return (struct dm_counter_ask){
        .kind = DM_COUNTER_BANDWIDTH, .limit = limit, .amount = amount, .window_seconds = 3600};
}

static void rate_counts_up_to_its_limit(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c = rate(2, 60);
    for (int64_t n = 1; n <= 2; n++) {
        struct dm_admit_answer a = admit(r, "ann", "t", &c, 1);
        assert_int_equal(a.verdict, DM_ADMIT_YES);
        assert_int_equal(a.count[0], n);
        assert_int_equal(a.reset_wall[0], RIG_START + 60);
        assert_int_equal(a.now_wall, (dm_time)RIG_START * DM_SEC);
    }
    for (int i = 0; i < 2; i++) {
        struct dm_admit_answer a = admit(r, "ann", "t", &c, 1);
        assert_int_equal(a.verdict, DM_ADMIT_OVER);
        assert_int_equal(a.refused_by, 0);
        assert_int_equal(a.count[0], 2); /* refused calls are not counted */
        assert_int_equal(a.reset_wall[0], RIG_START + 60);
    }
    assert_int_equal(admit(r, "bob", "t", &c, 1).verdict, DM_ADMIT_YES); /* counted per user */
}

static void windows_are_cut_by_the_clock(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c = rate(1, 60);
    rig_step(r, 59 * DM_SEC);
    assert_int_equal(admit(r, "ann", "t", &c, 1).verdict, DM_ADMIT_YES);
    assert_int_equal(admit(r, "ann", "t", &c, 1).verdict, DM_ADMIT_OVER);
    rig_step(r, DM_SEC);
    struct dm_admit_answer a = admit(r, "ann", "t", &c, 1);
    assert_int_equal(a.verdict, DM_ADMIT_YES);
    assert_int_equal(a.reset_wall[0], RIG_START + 120);
}

static void throttle_refuses_over_queue_and_over_delay(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask queue = throttle(1, 3, 100), delay = throttle(1, 100, 2);
    for (int64_t n = 1; n <= 3; n++) {
        assert_int_equal(admit(r, "ann", "t", &queue, 1).count[0], n);
        assert_int_equal(admit(r, "bob", "t", &delay, 1).count[0], n);
    }
    assert_int_equal(admit(r, "ann", "t", &queue, 1).verdict, DM_ADMIT_OVER); /* n = 4 > queue */
    assert_int_equal(admit(r, "bob", "t", &delay, 1).verdict, DM_ADMIT_OVER); /* n - L = 3 > 2 */
    const struct dm_counter_ask small =
        throttle(10, 1, 100); /* the queue caps, also below the limit */
    assert_int_equal(admit(r, "cid", "t", &small, 1).verdict, DM_ADMIT_YES);
    assert_int_equal(admit(r, "cid", "t", &small, 1).verdict, DM_ADMIT_OVER);
}

static void bandwidth_is_checked_before_and_added_after(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask none = bandwidth(100, 0), most = bandwidth(100, 60);
    struct dm_counter_ask over = bandwidth(100, 101);
    assert_int_equal(admit(r, "ann", "t", &over, 1).verdict, DM_ADMIT_OVER);
    assert_int_equal(admit(r, "ann", "t", &most, 1).verdict, DM_ADMIT_YES);
    dm_live_add_bandwidth(r->live, DM_LIT("ann"), 3600, 50);
    struct dm_admit_answer a = admit(r, "ann", "t", &most, 1); /* 50 + 60 */
    assert_int_equal(a.verdict, DM_ADMIT_OVER);
    assert_int_equal(a.count[0], 50);
    assert_int_equal(admit(r, "ann", "t", &none, 1).verdict, DM_ADMIT_YES);
    dm_live_add_bandwidth(r->live, DM_LIT("ann"), 3600, 50);
    assert_int_equal(admit(r, "ann", "t", &none, 1).verdict, DM_ADMIT_OVER); /* used up */
    dm_live_add_bandwidth(r->live, DM_LIT("ann"), 3600, INT64_MAX);
    over.amount = INT64_MAX;
    assert_int_equal(admit(r, "ann", "t", &over, 1).verdict, DM_ADMIT_OVER);
}

static void refused_call_spends_nothing_and_names_the_first_refusal(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask all[] = {rate(10, 60), throttle(1, 1, 0), bandwidth(0, 0)};
    const struct dm_counter_ask two[] = {rate(10, 60), throttle(1, 1, 0)};
    assert_int_equal(admit(r, "ann", "t", two, 2).verdict, DM_ADMIT_YES);
    struct dm_admit_answer a = admit(r, "ann", "t", all, 3);
    assert_int_equal(a.verdict, DM_ADMIT_OVER);
    assert_int_equal(a.refused_by, 1);
    a = admit(r, "bob", "t", all, 3);
    assert_int_equal(a.refused_by, 2);
    assert_int_equal(admit(r, "ann", "t", all, 1).count[0], 2); /* the rate was not spent above */
    assert_int_equal(admit(r, "bob", "t", two, 2).count[1], 1);
}

static void no_counting_where_the_local_verdict_refuses(void **state)
{
    struct live_rig *r = *state;
    struct admitted x = {.times = 0};
    const struct dm_counter_ask c = rate(1, 60);
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = false, .counters = &c,
                                     .n_counters = 1};
    dm_live_ask_admit(r->live, &ask, NEVER_LATE, &x.wait, on_admitted);
    rig_turn_until(r, &x.came);
    assert_int_equal(x.answer.verdict, DM_ADMIT_YES);
    assert_int_equal(admit(r, "ann", "t", &c, 1).count[0], 1);
}

static void revoked_token_is_told_before_limits(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c = rate(0, 60);
    revoke(r, "ann", "t1", ((dm_time)RIG_START + 100) * DM_SEC);
    assert_int_equal(admit(r, "ann", "t1", &c, 1).verdict, DM_ADMIT_REVOKED);
    assert_int_equal(admit(r, "ann", "t2", &c, 1).verdict, DM_ADMIT_OVER);
    assert_int_equal(admit(r, "bob", "t1", &c, 1).verdict, DM_ADMIT_OVER);
    assert_true(is_revoked(r, "ann", "t1"));
    assert_false(is_revoked(r, "ann", "t2"));
    rig_step(r, 100 * DM_SEC); /* the token's life is over, so is the entry's */
    assert_int_equal(admit(r, "ann", "t1", &c, 1).verdict, DM_ADMIT_OVER);
}

static void revoke_all_lasts_until_taken_back(void **state)
{
    struct live_rig *r = *state;
    struct token_call c = {.subject = "ann"};
    revoke(r, "ann", "", 0);
    rig_step(r, 1000000 * DM_SEC);
    assert_int_equal(admit(r, "ann", "any", NULL, 0).verdict, DM_ADMIT_REVOKED);
    assert_true(is_revoked(r, "ann", "other"));
    assert_int_equal(admit(r, "an", "any", NULL, 0).verdict, DM_ADMIT_YES);
    rig_call(r, run_unrevoke, &c);
    assert_int_equal(c.code, DM_OK);
    assert_int_equal(admit(r, "ann", "any", NULL, 0).verdict, DM_ADMIT_YES);
    rig_call(r, run_unrevoke, &c); /* nothing to take back: fine */
    assert_int_equal(c.code, DM_OK);
}

static void caller_without_token_is_not_asked_for_revocation(void **state)
{
    struct live_rig *r = *state;
    assert_int_equal(admit(r, "", "", NULL, 0).verdict, DM_ADMIT_YES);
}

static void names_too_long_for_a_key_are_never_admitted(void **state)
{
    struct live_rig *r = *state;
    char name[1001];
    memset(name, 'x', sizeof name);
    name[1000] = '\0';
    assert_int_equal(admit(r, name, "t", NULL, 0).verdict, DM_ADMIT_REVOKED);
    assert_int_equal(admit(r, "ann", name, NULL, 0).verdict, DM_ADMIT_REVOKED);
    assert_true(is_revoked(r, name, "t"));
    struct token_call c = {.subject = name};
    rig_call(r, run_revoke, &c);
    assert_int_equal(c.code, DM_INVALID);
    dm_live_add_bandwidth(r->live, dm_view_of(name), 60, 1);
}

static void cleared_counters_leave_revocations_and_bandwidth(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask spent[] = {rate(1, 60), throttle(1, 1, 0)}, used = bandwidth(10, 1);
    enum dm_code code = DM_BUG;
    revoke(r, "bob", "", 0);
    assert_int_equal(admit(r, "ann", "t", spent, 2).verdict, DM_ADMIT_YES);
    dm_live_add_bandwidth(r->live, DM_LIT("ann"), 3600, 10);
    assert_int_equal(admit(r, "ann", "t", spent, 2).verdict, DM_ADMIT_OVER);
    for (int i = 1; i <= 3; i++)
        assert_hit(r, "1.2.3.4", DM_OK, i, 60);
    rig_call(r, run_clear, &code);
    assert_int_equal(code, DM_OK);
    assert_int_equal(admit(r, "ann", "t", spent, 2).verdict, DM_ADMIT_YES);
    assert_int_equal(admit(r, "ann", "t", &used, 1).verdict, DM_ADMIT_OVER);
    assert_int_equal(admit(r, "bob", "t", NULL, 0).verdict, DM_ADMIT_REVOKED);
    assert_hit(r, "1.2.3.4", DM_OK, 1, 60);
}

static void attempts_slide_out_of_their_window(void **state)
{
    struct live_rig *r = *state;
    assert_hit(r, "1.2.3.4", DM_OK, 1, 60);
    rig_step(r, 20 * DM_SEC);
    assert_hit(r, "1.2.3.4", DM_OK, 2, 40);
    assert_hit(r, "1.2.3.4", DM_OK, 3, 40);
    assert_hit(r, "1.2.3.4", DM_LIMIT, 3, 40);
    assert_hit(r, "1.2.3.5", DM_OK, 1, 60);
    rig_step(r, 39 * DM_SEC + 1);
    assert_hit(r, "1.2.3.4", DM_LIMIT, 3, 1);
    rig_step(r, DM_SEC);
    assert_hit(r, "1.2.3.4", DM_OK, 3, 20); /* the first has gone, the refused ones never counted */
    assert_hit(r, "1.2.3.4", DM_LIMIT, 3, 20);
}

static void cancelled_ask_gets_no_answer(void **state)
{
    struct live_rig *r = *state;
    struct admitted x = {.times = 0}, y = {.times = 0};
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    dm_live_ask_admit(r->live, &ask, NEVER_LATE, &x.wait, on_admitted);
    dm_live_ask_admit(r->live, &ask, NEVER_LATE, &y.wait, on_admitted);
    dm_live_cancel(r->live, &x.wait);
    assert_false(x.wait.pending);
    dm_live_cancel(r->live, &x.wait); /* twice is fine */
    rig_turn_until(r, &y.came);
    assert_int_equal(x.times, 0);
    (void)admit(r, "ann", "t", NULL, 0);
    assert_int_equal(x.times, 0);
    x.times = 0;
    dm_live_ask_admit(r->live, &ask, NEVER_LATE, &x.wait,
                      on_admitted); /* the wait can be used again */
    rig_turn_until(r, &x.came);
    assert_int_equal(x.times, 1);
}

struct chained {
    struct live_rig *rig;
    struct admitted last;
    struct dm_live_wait wait;
    int left;
    int inside;
};

static void on_chained(struct dm_live_wait *w, const struct dm_admit_answer *a)
{
    struct chained *c = DM_CONTAINER_OF(w, struct chained, wait);
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    assert_int_equal(a->verdict, DM_ADMIT_YES);
    assert_int_equal(c->inside, 0);
    c->inside++;
    if (--c->left > 0)
        dm_live_ask_admit(c->rig->live, &ask, NEVER_LATE, w, on_chained);
    else
        dm_live_ask_admit(c->rig->live, &ask, NEVER_LATE, &c->last.wait, on_admitted);
    c->inside--;
}

static void callback_may_ask_again_with_the_same_wait(void **state)
{
    struct live_rig *r = *state;
    struct chained c = {.rig = r, .left = 20};
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    dm_live_ask_admit(r->live, &ask, NEVER_LATE, &c.wait, on_chained);
    rig_turn_until(r, &c.last.came);
    assert_int_equal(c.left, 0);
}

/* --- objects --- */

struct got {
    struct dm_live_wait wait;
    enum dm_code code[DM_LIVE_GET_MAX];
    char bytes[DM_LIVE_GET_MAX][64];
    uint64_t generation[DM_LIVE_GET_MAX];
    size_t n;
    atomic_bool came;
};

static void on_got(struct dm_live_wait *w, const struct dm_live_object *objects, size_t n)
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

static struct got get(struct live_rig *r, const dm_view (*names)[2], size_t n)
{
    struct got g = {.n = 0};
    dm_live_ask_objects(r->live, names, n, NEVER_LATE, &g.wait, on_got);
    assert_int_equal(g.n, 0);
    rig_turn_until(r, &g.came);
    assert_int_equal(g.n, n);
    return g;
}

static void published_object_is_read_until_deleted(void **state)
{
    struct live_rig *r = *state;
    const dm_view names[][2] = {{DM_LIT("user"), DM_LIT("ann")},
                                {DM_LIT("subscription"), DM_LIT("ann")},
                                {DM_LIT("user"), DM_LIT("bob")}};
    uint64_t first = publish(r, "user", "ann", "{\"v\":1}");
    uint64_t second = publish(r, "subscription", "ann", "{\"s\":1}");
    assert_true(first > 0 && second > first);
    struct got g = get(r, names, 3);
    assert_int_equal(g.code[0], DM_OK);
    assert_string_equal(g.bytes[0], "{\"v\":1}");
    assert_int_equal(g.generation[0], first);
    assert_string_equal(g.bytes[1], "{\"s\":1}");
    assert_int_equal(g.generation[1], second);
    assert_int_equal(g.code[2], DM_NOT_FOUND);
    (void)publish(r, "user", "ann", "{\"v\":2}");
    assert_string_equal(get(r, names, 1).bytes[0], "{\"v\":2}");
    (void)publish(r, "user", "ann", NULL);
    assert_int_equal(get(r, names, 1).code[0], DM_NOT_FOUND);
}

static void objects_with_no_or_too_long_a_name_are_refused(void **state)
{
    struct live_rig *r = *state;
    char name[1001];
    memset(name, 'x', sizeof name);
    name[1000] = '\0';
    const struct dm_live_change faulty[] = {{DM_LIT(""), DM_LIT("a"), DM_LIT("{}")},
                                            {DM_LIT("user"), DM_LIT(""), DM_LIT("{}")},
                                            {DM_LIT("user"), dm_view_of(name), DM_LIT("{}")}};
    for (size_t i = 0; i < DM_COUNT_OF(faulty); i++) {
        struct change_call c = {.changes = &faulty[i], .n = 1};
        rig_call(r, run_publish, &c);
        assert_int_equal(c.code, DM_INVALID);
    }
    const dm_view names[][2] = {{DM_LIT("user"), dm_view_of(name)}};
    assert_int_equal(get(r, names, 1).code[0], DM_NOT_FOUND);
}

struct heard {
    struct dm_live_subscriber subscriber;
    uint64_t generations[16];
    char text[16][160]; /* "kind/id=bytes " of each change, sorted by none */
    size_t n, n_changes[16];
    char revoked[64];
    atomic_bool came;
    struct dm_live_subscriber *drop; /* unsubscribed by the callback */
};

static void on_change(struct dm_live_subscriber *s, uint64_t generation,
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

static void on_revoked(struct dm_live_subscriber *s, dm_view subject)
{
    struct heard *h = DM_CONTAINER_OF(s, struct heard, subscriber);
    (void)snprintf(h->revoked, sizeof h->revoked, "%.*s", DM_FMT(subject));
    atomic_store(&h->came, true);
}

static void hear(struct live_rig *r, struct heard *h)
{
    rig_turn_until(r, &h->came);
    atomic_store(&h->came, false);
}

static void subscriber_hears_first_of_everything_even_of_nothing(void **state)
{
    struct live_rig *r = *state;
    struct heard empty = {.subscriber = {.on_change = on_change}},
                 late = {.subscriber = {.on_change = on_change}};
    dm_live_subscribe(r->live, &empty.subscriber);
    assert_int_equal(empty.n, 0);
    hear(r, &empty);
    assert_int_equal(empty.n, 1);
    assert_int_equal(empty.n_changes[0], 0);
    (void)publish(r, "api", "1", "{}");
    (void)publish(r, "user", "ann", "{}");
    (void)publish(r, "api", "2", "{}");
    uint64_t last = publish(r, "api", "1", NULL);
    dm_live_subscribe(r->live, &late.subscriber);
    hear(r, &late);
    assert_int_equal(late.n, 1);
    assert_string_equal(late.text[0], "api/2={} "); /* neither users nor what was deleted */
    assert_int_equal(late.generations[0], last);
    dm_live_unsubscribe(&empty.subscriber);
    dm_live_unsubscribe(&late.subscriber);
}

static void subscriber_hears_every_generation_in_order(void **state)
{
    struct live_rig *r = *state;
    struct heard h = {.subscriber = {.on_change = on_change, .on_revoked = on_revoked}};
    char bytes[] = "{\"v\":1}";
    const struct dm_live_change pair[] = {{DM_LIT("api"), DM_LIT("1"), dm_view_of(bytes)},
                                          {DM_LIT("user"), DM_LIT("ann"), DM_VIEW_NONE}};
    struct change_call c = {.changes = pair, .n = 2};
    dm_live_subscribe(r->live, &h.subscriber);
    hear(r, &h);
    rig_call(r, run_publish, &c);
    assert_int_equal(c.code, DM_OK);
    bytes[5] = '9'; /* the change was copied */
    uint64_t second = publish(r, "api", "1", "{\"v\":2}");
    while (h.n < 3)
        hear(r, &h);
    assert_string_equal(h.text[1], "api/1={\"v\":1} user/ann=- ");
    assert_int_equal(h.generations[1], c.generation);
    assert_string_equal(h.text[2], "api/1={\"v\":2} ");
    assert_int_equal(h.generations[2], second);
    atomic_store(&h.came, false);
    revoke(r, "ann", "", 0);
    if (h.revoked[0] == '\0')
        hear(r, &h);
    assert_string_equal(h.revoked, "ann");
    dm_live_unsubscribe(&h.subscriber);
    (void)publish(r, "api", "1", NULL);
    (void)admit(r, "x", "t", NULL, 0);
    assert_int_equal(h.n, 3);
}

static void subscriber_may_unsubscribe_itself_and_others_when_called(void **state)
{
    struct live_rig *r = *state;
    struct heard a = {.subscriber = {.on_change = on_change}},
                 b = {.subscriber = {.on_change = on_change}};
    dm_live_subscribe(r->live, &a.subscriber);
    dm_live_subscribe(r->live, &b.subscriber);
    hear(r, &a);
    hear(r, &b);
    a.drop = &b.subscriber;
    (void)publish(r, "api", "1", "{}");
    while (a.n < 2)
        hear(r, &a);
    assert_int_equal(b.n, 1);
    a.drop = &a.subscriber;
    (void)publish(r, "api", "2", "{}");
    while (a.n < 3)
        hear(r, &a);
    (void)publish(r, "api", "3", "{}");
    (void)admit(r, "x", "t", NULL, 0);
    assert_int_equal(a.n, 3);
}

static void unsubscribed_before_the_first_call_hears_nothing(void **state)
{
    struct live_rig *r = *state;
    struct heard h = {.subscriber = {.on_change = on_change}};
    dm_live_subscribe(r->live, &h.subscriber);
    dm_live_unsubscribe(&h.subscriber);
    (void)publish(r, "api", "1", "{}");
    (void)admit(r, "x", "t", NULL, 0);
    assert_int_equal(h.n, 0);
}

static void run_ping(struct live_rig *r, void *ctx)
{
    *(enum dm_code *)ctx = dm_live_ping(r->admin, NULL);
}

static void ping_answers(void **state)
{
    enum dm_code code = DM_BUG;
    rig_call(*state, run_ping, &code);
    assert_int_equal(code, DM_OK);
}

static int live_contract_run(const char *name, const struct live_factory *factory)
{
#define CONTRACT(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)
    const struct CMUnitTest tests[] = {
        CONTRACT(rate_counts_up_to_its_limit),
        CONTRACT(windows_are_cut_by_the_clock),
        CONTRACT(throttle_refuses_over_queue_and_over_delay),
        CONTRACT(bandwidth_is_checked_before_and_added_after),
        CONTRACT(refused_call_spends_nothing_and_names_the_first_refusal),
        CONTRACT(no_counting_where_the_local_verdict_refuses),
        CONTRACT(revoked_token_is_told_before_limits),
        CONTRACT(revoke_all_lasts_until_taken_back),
        CONTRACT(caller_without_token_is_not_asked_for_revocation),
        CONTRACT(names_too_long_for_a_key_are_never_admitted),
        CONTRACT(cleared_counters_leave_revocations_and_bandwidth),
        CONTRACT(attempts_slide_out_of_their_window),
        CONTRACT(cancelled_ask_gets_no_answer),
        CONTRACT(callback_may_ask_again_with_the_same_wait),
        CONTRACT(published_object_is_read_until_deleted),
        CONTRACT(objects_with_no_or_too_long_a_name_are_refused),
        CONTRACT(subscriber_hears_first_of_everything_even_of_nothing),
        CONTRACT(subscriber_hears_every_generation_in_order),
        CONTRACT(subscriber_may_unsubscribe_itself_and_others_when_called),
        CONTRACT(unsubscribed_before_the_first_call_hears_nothing),
        CONTRACT(ping_answers),
    };
#undef CONTRACT
    live_factory = factory;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

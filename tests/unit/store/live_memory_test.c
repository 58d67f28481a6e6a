#include <stdio.h>
#include <string.h>

#include "live_contract.h"

#include "store/live_delayed.h"
#include "store/live_state.h"

/* --- the same contract three times: on the owner's loop, from another loop, and delayed --- */

static void open_own(struct live_rig *r)
{
    r->loop = dm_loop_new(&r->clock.clock);
    r->backend = dm_live_memory_new(r->loop);
    r->live = dm_live_memory_handle(r->backend, r->loop);
    r->admin = dm_live_memory_admin(r->backend);
}

static void close_own(struct live_rig *r)
{
    dm_live_admin_free(r->admin);
    dm_live_free(r->live);
    dm_live_memory_free(r->backend);
    dm_loop_free(r->loop);
}

static void open_delayed(struct live_rig *r)
{
    open_own(r);
    r->live = dm_live_delayed_new(r->live, r->loop, 7, 5);
}

struct remote {
    struct dm_live_memory *memory;
    struct dm_loop *owner;
    pthread_t thread;
};

static void *run_owner(void *loop)
{
    dm_loop_run(loop);
    return NULL;
}

static void open_remote(struct live_rig *r)
{
    struct remote *x = DM_NEW(struct remote);
    x->owner = dm_loop_new(&r->clock.clock);
    x->memory = dm_live_memory_new(x->owner);
    r->backend = x;
    r->loop = dm_loop_new(&r->clock.clock);
    r->live = dm_live_memory_handle(x->memory, r->loop);
    r->admin = dm_live_memory_admin(x->memory);
    assert_int_equal(pthread_create(&x->thread, NULL, run_owner, x->owner), 0);
}

static void close_remote(struct live_rig *r)
{
    struct remote *x = r->backend;
    dm_live_free(r->live);
    dm_loop_stop(x->owner);
    assert_int_equal(pthread_join(x->thread, NULL), 0);
    dm_live_admin_free(r->admin);
    dm_live_memory_free(x->memory);
    dm_loop_free(x->owner);
    dm_loop_free(r->loop);
    dm_mem_free(x);
}

static const struct live_factory own = {open_own, close_own}, delayed = {open_delayed, close_own},
                                 remote = {open_remote, close_remote};

/* --- what only this backend promises --- */

static void steady_admission_allocates_nothing(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c[] = {
        rig_rate(1 << 20, 1), rig_throttle(1 << 20, 1 << 20, 1 << 20), rig_bandwidth(1 << 20, 1)};
    for (int i = 0; i < 3000;
         i++) { /* users come and go, windows pass: the table reaches its size */
        char name[16];
        (void)snprintf(name, sizeof name, "user-%d", i % 300);
        (void)rig_admit(r, name, "t", c, 3);
        rig_step(r, 10 * DM_MS);
    }
    uint64_t before = dm_mem_count();
    for (int i = 0; i < 3000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "user-%d", i % 300);
        (void)rig_admit(r, name, "t", c, 3);
        rig_step(r, 10 * DM_MS);
    }
    assert_int_equal(dm_mem_count(), before);
}

static void long_user_names_have_counters_of_their_own(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c = rig_rate(1, 60);
    char a[151], b[151];
    memset(a, 'x', sizeof a);
    a[150] = '\0';
    memcpy(b, a, sizeof b);
    b[149] = 'y';
    for (int round = 0; round < 3; round++) {
        assert_int_equal(rig_admit(r, a, "t", &c, 1).verdict, DM_ADMIT_YES);
        assert_int_equal(rig_admit(r, a, "t", &c, 1).verdict, DM_ADMIT_OVER);
        assert_int_equal(rig_admit(r, b, "t", &c, 1).verdict, DM_ADMIT_YES);
        rig_step(r, 60 * DM_SEC);
    }
}

struct steps {
    struct live_rig *rig;
    struct dm_live_wait wait;
    struct reserved last;
};

static void on_second(struct dm_live_wait *w, const struct dm_admit_answer *a)
{
    struct steps *s = DM_CONTAINER_OF(w, struct steps, wait);
    const struct dm_reserve_ask ask = {DM_LIT("g"), DM_LIT("ann"), DM_LIT("a"), DM_SEC};
    (void)a;
    dm_live_ask_reserve(s->rig->live, &ask, DM_NEVER, &s->last.wait, rig_on_reserved);
    assert_int_equal(s->last.times, 0);
}

static void on_first(struct dm_live_wait *w, const struct dm_live_object *o, size_t n)
{
    struct steps *s = DM_CONTAINER_OF(w, struct steps, wait);
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    (void)o;
    (void)n;
    dm_live_ask_admit(s->rig->live, &ask, DM_NEVER, w, on_second);
}

/* A turn of a busy loop may outlast the deadline of an ask: who has the answer is never late. */
static void asks_of_one_call_are_answered_in_one_turn(void **state)
{
    struct live_rig *r = *state;
    struct steps s = {.rig = r};
    const dm_view names[][2] = {{DM_LIT("user"), DM_LIT("ann")}};
    rig_set_credits(r, "g", "ann", 1);
    dm_live_ask_objects(r->live, names, 1, DM_NEVER, &s.wait, on_first);
    (void)dm_loop_turn(r->loop, 0);
    assert_int_equal(s.last.times, 1);
    assert_int_equal(s.last.verdict, DM_RESERVE_YES);
}

static void clock_set_back_counts_in_the_window_it_says(void **state)
{
    struct live_rig *r = *state;
    const struct dm_counter_ask c = rig_rate(1, 60);
    assert_int_equal(rig_admit(r, "ann", "t", &c, 1).verdict, DM_ADMIT_YES);
    dm_clock_manual_step_wall(&r->clock, -60 * DM_SEC);
    rig_step(r, 0);
    assert_int_equal(rig_admit(r, "ann", "t", &c, 1).verdict, DM_ADMIT_YES);
    dm_clock_manual_step_wall(&r->clock, 60 * DM_SEC);
    rig_step(r, 0);
    assert_int_equal(rig_admit(r, "ann", "t", &c, 1).verdict, DM_ADMIT_OVER);
}

/* The owner's loop does not run: whoever waits gets its answer by the deadline all the same. */
static void late_answer_is_unknown_and_counted_once(void **state)
{
    (void)state;
    struct live_rig r = {.backend = NULL};
    dm_clock_manual_init(&r.clock, DM_SEC, (dm_time)RIG_START * DM_SEC);
    struct dm_loop *owner = dm_loop_new(&r.clock.clock);
    struct dm_live_memory *memory = dm_live_memory_new(owner);
    r.loop = dm_loop_new(&r.clock.clock);
    r.live = dm_live_memory_handle(memory, r.loop);
    struct admitted x = {.times = 0}, unheard = {.times = 0};
    struct got g = {.n = 0};
    const dm_view names[][2] = {{DM_LIT("user"), DM_LIT("ann")}};
    const struct dm_counter_ask c = rig_rate(5, 60);
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true, .counters = &c,
                                     .n_counters = 1};
    dm_live_ask_admit(r.live, &ask, dm_loop_now(r.loop) + 50 * DM_MS, &x.wait, rig_on_admitted);
    dm_live_ask_objects(r.live, names, 1, dm_loop_now(r.loop) + 50 * DM_MS, &g.wait, rig_on_got);
    dm_live_ask_admit(r.live, &ask, DM_NEVER, &unheard.wait, rig_on_admitted);
    (void)dm_loop_turn(r.loop, 0);
    assert_int_equal(x.times, 0);
    dm_clock_manual_step(&r.clock, 51 * DM_MS);
    (void)dm_loop_turn(r.loop, 0);
    assert_int_equal(x.times, 1);
    assert_int_equal(x.answer.verdict, DM_ADMIT_UNKNOWN);
    assert_int_equal(g.code[0], DM_UNAVAILABLE);
    (void)dm_loop_turn(owner, 0); /* now it answers: nobody hears of it twice */
    (void)dm_loop_turn(r.loop, 0);
    assert_int_equal(x.times, 1);
    assert_int_equal(unheard.times, 1);
    assert_int_equal(unheard.answer.count[0], 2);
    dm_live_ask_admit(r.live, &ask, DM_NEVER, &unheard.wait, rig_on_admitted);
    dm_live_free(r.live); /* with an ask under way */
    assert_false(unheard.wait.pending);
    dm_live_memory_free(memory);
    dm_loop_free(owner);
    dm_loop_free(r.loop);
}

static void asks_beyond_the_owners_box_are_unknown(void **state)
{
    (void)state;
    enum { MANY = 9000 };
    struct live_rig r = {.backend = NULL};
    dm_clock_manual_init(&r.clock, DM_SEC, (dm_time)RIG_START * DM_SEC);
    struct dm_loop *owner = dm_loop_new(&r.clock.clock);
    struct dm_live_memory *memory = dm_live_memory_new(owner);
    r.loop = dm_loop_new(&r.clock.clock);
    r.live = dm_live_memory_handle(memory, r.loop);
    struct admitted *all = dm_mem_array(MANY, sizeof *all);
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    for (int i = 0; i < MANY; i++)
        dm_live_ask_admit(r.live, &ask, DM_NEVER, &all[i].wait, rig_on_admitted);
    struct heard h = {.subscriber = {.on_change = rig_on_change}};
    dm_live_subscribe(r.live, &h.subscriber); /* the box is full: asked again a little later */
    (void)dm_loop_turn(r.loop, 0);
    (void)dm_loop_turn(owner, 0);
    (void)dm_loop_turn(r.loop, 0);
    int unknown = 0, yes = 0;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(all[i].times, 1);
        unknown += all[i].answer.verdict == DM_ADMIT_UNKNOWN;
        yes += all[i].answer.verdict == DM_ADMIT_YES;
    }
    assert_int_equal(unknown + yes, MANY);
    assert_true(unknown > 0 && yes > 8000);
    dm_clock_manual_step(&r.clock, 10 * DM_MS);
    (void)dm_loop_turn(r.loop, 0);
    (void)dm_loop_turn(owner, 0);
    (void)dm_loop_turn(r.loop, 0);
    assert_int_equal(h.n, 1);
    dm_live_free(r.live);
    dm_live_memory_free(memory);
    dm_loop_free(owner);
    dm_loop_free(r.loop);
    dm_mem_free(all);
}

static void settles_beyond_the_owners_box_are_sent_again(void **state)
{
    (void)state;
    enum { MANY = 9000 };
    struct live_rig r = {.backend = NULL};
    dm_clock_manual_init(&r.clock, DM_SEC, (dm_time)RIG_START * DM_SEC);
    struct dm_loop *owner = dm_loop_new(&r.clock.clock);
    struct dm_live_memory *memory = dm_live_memory_new(owner);
    struct dm_live *home = dm_live_memory_handle(memory, owner);
    r.loop = dm_loop_new(&r.clock.clock);
    r.live = dm_live_memory_handle(memory, r.loop);
    struct live_rig admin = {.loop = owner, .admin = dm_live_memory_admin(memory)};
    rig_set_credits(&admin, "g", "ann", MANY);
    for (int i = 0; i < MANY; i++) { /* reserved by the owner's loop, settled by another */
        struct reserved x = {.times = 0};
        char id[16];
        (void)snprintf(id, sizeof id, "r%d", i);
        const struct dm_reserve_ask ask = {DM_LIT("g"), DM_LIT("ann"), dm_view_of(id), DM_SEC};
        dm_live_ask_reserve(home, &ask, DM_NEVER, &x.wait, rig_on_reserved);
        rig_turn_until(&admin, &x.came);
        assert_int_equal(x.verdict, DM_RESERVE_YES);
        dm_live_settle(r.live, DM_LIT("g"), DM_LIT("ann"), dm_view_of(id), i % 2 == 0);
    }
    for (int i = 0; i < 4; i++) { /* the box empties once a turn; the rest a little later */
        dm_clock_manual_step(&r.clock, 10 * DM_MS);
        (void)dm_loop_turn(r.loop, 0);
        (void)dm_loop_turn(owner, 0);
    }
    dm_clock_manual_step(&r.clock, 2 * DM_SEC); /* no hold is left that would give back */
    (void)dm_loop_turn(owner, 0);
    assert_int_equal(rig_credits(&admin, "g", "ann"), MANY / 2);
    dm_live_admin_free(admin.admin);
    dm_live_free(home);
    dm_live_free(r.live);
    dm_live_memory_free(memory);
    dm_loop_free(owner);
    dm_loop_free(r.loop);
}

static void delayed_answers_come_in_another_order(void **state)
{
    struct live_rig *r = *state;
    enum { MANY = 16 };
    struct admitted all[MANY] = {{.times = 0}};
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    int came_late = 0;
    for (int i = 0; i < MANY; i++)
        dm_live_ask_admit(r->live, &ask, DM_NEVER, &all[i].wait, rig_on_admitted);
    for (int turn = 0; turn < 20; turn++) {
        (void)dm_loop_turn(r->loop, 0);
        for (int i = 1; i < MANY; i++)
            came_late += all[i].times == 1 && all[i - 1].times == 0;
    }
    assert_true(came_late > 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(all[i].times, 1);
}

static void held_answers_wait_for_their_release(void **state)
{
    struct live_rig *r = *state;
    struct admitted x = {.times = 0}, y = {.times = 0};
    const struct dm_admit_ask ask = {DM_LIT("ann"), DM_LIT("t"), .count = true};
    dm_live_delayed_hold(r->live, true);
    dm_live_ask_admit(r->live, &ask, DM_NEVER, &x.wait, rig_on_admitted);
    dm_live_ask_admit(r->live, &ask, DM_NEVER, &y.wait, rig_on_admitted);
    for (int i = 0; i < 20; i++)
        (void)dm_loop_turn(r->loop, 0);
    assert_int_equal(x.times + y.times, 0);
    assert_int_equal(dm_live_delayed_count(r->live), 2);
    dm_live_cancel(r->live, &y.wait);
    assert_int_equal(dm_live_delayed_count(r->live), 1);
    dm_live_delayed_hold(r->live, false);
    rig_turn_until(r, &x.came);
    assert_int_equal(y.times, 0);
}

static void only_what_nobody_asks_for_on_demand_is_packed(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *bytes;
        bool packed;
    } cases[] = {
        {"endpoint", "{\"endpoint_uri\":\"/\"}", true},
        {"user", "{\"username\":\"ann\"}", false},
        {"subscription", "{\"username\":\"ann\"}", false},
        {"api", "\1\2\3", false}, /* would get longer */
        {"api", NULL, false},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        const struct dm_live_change c = {dm_view_of(cases[i].kind), DM_LIT("1"),
                                         dm_view_of(cases[i].bytes)};
        struct dm_live_item *item = dm_live_item_new(&c);
        assert_int_equal(item->packed, cases[i].packed);
        assert_int_equal(item->deleted, cases[i].bytes == NULL);
        assert_true(item->packed ? item->kept < item->len : item->kept == item->len);
        dm_live_item_unref(item);
    }
}

/* Kept packed: read by somebody who comes late, by several at once, by name. */
static void published_records_come_back_byte_for_byte(void **state)
{
    struct live_rig *r = *state;
    static const char api[] = "{\"api_id\":\"6a1f0000-0000-4000-8000-0123456789ab\"}";
    static const char odd[] = "\1\"api_id\": \2 no JSON \3";
    struct heard early = {.subscriber = {.on_change = rig_on_change}},
                 late = {.subscriber = {.on_change = rig_on_change}};
    const struct dm_live_change both[] = {{DM_LIT("api"), DM_LIT("1"), dm_view_of(api)},
                                          {DM_LIT("role"), DM_LIT("2"), dm_view_of(odd)}};
    const dm_view names[][2] = {{DM_LIT("api"), DM_LIT("1")}, {DM_LIT("role"), DM_LIT("2")}};
    struct change_call call = {.changes = both, .n = 2};
    char whole[160];
    dm_live_subscribe(r->live, &early.subscriber);
    rig_hear(r, &early);
    rig_call(r, rig_run_publish, &call);
    rig_hear(r, &early);
    (void)snprintf(whole, sizeof whole, "api/1=%s role/2=%s ", api, odd);
    assert_string_equal(early.text[1], whole);
    dm_live_subscribe(r->live, &late.subscriber);
    rig_hear(r, &late);
    assert_int_equal(late.n_changes[0], 2);
    assert_non_null(strstr(late.text[0], api));
    assert_non_null(strstr(late.text[0], odd));
    struct got g = rig_get(r, names, 2);
    assert_string_equal(g.bytes[0], api);
    assert_string_equal(g.bytes[1], odd);
    dm_live_unsubscribe(&early.subscriber);
    dm_live_unsubscribe(&late.subscriber);
}

/* --- several loops at once: every unit is given out exactly once --- */

enum { LOOPS = 4, CALLS = 2000, UNITS = 1000 };

struct caller {
    struct live_rig rig;
    pthread_t thread;
    int yes, over, reserved, kept;
    struct heard heard;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    const struct dm_counter_ask limit = rig_rate(UNITS, 3600);
    dm_live_subscribe(c->rig.live, &c->heard.subscriber);
    for (int i = 0; i < CALLS; i++) {
        struct dm_admit_answer a = rig_admit(&c->rig, "ann", "t", &limit, 1);
        c->yes += a.verdict == DM_ADMIT_YES;
        c->over += a.verdict == DM_ADMIT_OVER;
        dm_live_add_bandwidth(c->rig.live, DM_LIT("ann"), 3600, 1);
        char id[32];
        (void)snprintf(id, sizeof id, "%p-%d", (void *)c, i);
        if (rig_reserve(&c->rig, "g", "ann", id) != DM_RESERVE_YES)
            continue;
        c->reserved++;
        c->kept += i % 2; /* every other one is given back, and may be had by anybody */
        dm_live_settle(c->rig.live, DM_LIT("g"), DM_LIT("ann"), dm_view_of(id), i % 2);
    }
    while (c->heard.n < 6)
        rig_hear(&c->rig, &c->heard);
    return NULL;
}

static void many_loops_share_one_count(void **state)
{
    struct live_rig *r = *state;
    struct remote *x = r->backend;
    struct caller callers[LOOPS] = {{.yes = 0}};
    int yes = 0, over = 0, reserved = 0, kept = 0;
    rig_set_credits(r, "g", "ann", UNITS);
    for (int i = 0; i < LOOPS; i++) {
        struct caller *c = &callers[i];
        dm_clock_manual_init(&c->rig.clock, DM_SEC, (dm_time)RIG_START * DM_SEC);
        c->rig.loop = dm_loop_new(&c->rig.clock.clock);
        c->rig.live = dm_live_memory_handle(x->memory, c->rig.loop);
        c->heard.subscriber.on_change = rig_on_change;
        assert_int_equal(pthread_create(&c->thread, NULL, call_often, c), 0);
    }
    for (int i = 0; i < 5; i++) {
        (void)rig_publish(r, "api", "1", "{}");
        rig_revoke(r, "bob", "", 0);
    }
    for (int i = 0; i < 40; i++) /* enough for those who subscribed late */
        (void)rig_publish(r, "api", "1", "{}");
    for (int i = 0; i < LOOPS; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
        yes += callers[i].yes;
        over += callers[i].over;
        reserved += callers[i].reserved;
        kept += callers[i].kept;
        for (size_t k = 1; k < callers[i].heard.n; k++)
            assert_true(callers[i].heard.generations[k] == callers[i].heard.generations[k - 1] + 1);
        dm_live_free(callers[i].rig.live);
        dm_loop_free(callers[i].rig.loop);
    }
    assert_int_equal(yes, UNITS);
    assert_true(reserved >= UNITS);
    assert_int_equal(kept + rig_credits(r, "g", "ann"), UNITS);
    assert_int_equal(yes + over, LOOPS * CALLS);
    const struct dm_counter_ask used = {
        .kind = DM_COUNTER_BANDWIDTH, .limit = INT64_MAX, .window_seconds = 3600};
    assert_int_equal(rig_admit(r, "ann", "t", &used, 1).count[0], LOOPS * CALLS);
}

static int run_own(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)
    const struct CMUnitTest tests[] = {
        TEST(steady_admission_allocates_nothing),
        TEST(long_user_names_have_counters_of_their_own),
        TEST(clock_set_back_counts_in_the_window_it_says),
        TEST(asks_of_one_call_are_answered_in_one_turn),
        TEST(published_records_come_back_byte_for_byte),
        cmocka_unit_test(only_what_nobody_asks_for_on_demand_is_packed),
    };
    live_factory = &own;
    return cmocka_run_group_tests_name("live: memory", tests, NULL, NULL);
}

static int run_delayed(void)
{
    const struct CMUnitTest tests[] = {
        TEST(delayed_answers_come_in_another_order),
        TEST(held_answers_wait_for_their_release),
    };
    live_factory = &delayed;
    return cmocka_run_group_tests_name("live: delayed", tests, NULL, NULL);
}

static int run_remote(void)
{
    const struct CMUnitTest tests[] = {
        TEST(published_records_come_back_byte_for_byte),
        TEST(many_loops_share_one_count),
        cmocka_unit_test(late_answer_is_unknown_and_counted_once),
        cmocka_unit_test(asks_beyond_the_owners_box_are_unknown),
        cmocka_unit_test(settles_beyond_the_owners_box_are_sent_again),
    };
    live_factory = &remote;
    return cmocka_run_group_tests_name("live: other loops", tests, NULL, NULL);
}

int main(void)
{
    int failed = live_contract_run("live contract: memory", &own);
    failed += live_contract_run("live contract: memory from another loop", &remote);
    failed += live_contract_run("live contract: delayed", &delayed);
    return failed + run_own() + run_delayed() + run_remote();
}

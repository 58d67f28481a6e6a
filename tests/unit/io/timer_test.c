#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/timer_wheel.h"

struct world {
    struct dm_clock_manual clock;
    struct dm_loop *loop;
};

struct alarm {
    struct dm_timer timer;
    struct world *w;
    dm_time due, fired; /* fired 0: not yet */
    int count;
    void (*then)(struct alarm *a);
};

static int setup(void **state)
{
    struct world *w = dm_mem_alloc(sizeof *w);
    dm_clock_manual_init(&w->clock, 12345 * DM_SEC + 678901, DM_SEC);
    w->loop = dm_loop_new(&w->clock.clock);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    dm_loop_free(w->loop);
    dm_mem_free(w);
    return 0;
}

static void on_time(struct dm_timer *t)
{
    struct alarm *a = DM_CONTAINER_OF(t, struct alarm, timer);
    a->fired = dm_loop_now(a->w->loop);
    a->count++;
    if (a->then != NULL)
        a->then(a);
}

static void alarm_init(struct world *w, struct alarm *a)
{
    *a = (struct alarm){.w = w};
    dm_timer_init(&a->timer, on_time);
}

static void start(struct alarm *a, dm_time after)
{
    a->due = dm_loop_now(a->w->loop) + after;
    dm_timer_start(a->w->loop, &a->timer, after);
}

static void pass(struct world *w, dm_time t)
{
    dm_clock_manual_step(&w->clock, t);
    (void)dm_loop_turn(w->loop, 0);
}

static void a_timer_fires_in_the_first_turn_after_its_time_never_before(void **state)
{
    struct world *w = *state;
    struct alarm a;
    alarm_init(w, &a);
    assert_false(dm_timer_running(&a.timer));
    start(&a, 10 * DM_MS);
    assert_true(dm_timer_running(&a.timer));
    pass(w, 9 * DM_MS + 999 * DM_US);
    assert_int_equal(a.count, 0);
    pass(w, DM_MS); /* a tick is one millisecond */
    assert_int_equal(a.count, 1);
    assert_false(dm_timer_running(&a.timer));
    pass(w, DM_SEC);
    assert_int_equal(a.count, 1);
}

static void thousands_of_timers_fire_each_at_its_time(void **state)
{
    enum { MANY = 5000 };
    struct world *w = *state;
    struct alarm *all = dm_mem_array(MANY, sizeof *all);
    srand(7);
    for (int i = 0; i < MANY; i++) {
        alarm_init(w, &all[i]);
        int scale = rand() % 6; /* from milliseconds to days */
        dm_time after = rand() % 1000 * DM_MS;
        while (scale-- > 0)
            after = after * 8 + rand() % 8 * DM_US;
        start(&all[i], after);
        if (i % 5 == 0)
            dm_timer_stop(&all[i].timer);
        if (i % 7 == 0)
            start(&all[i], after / 2); /* moves it, or starts a stopped one anew */
    }
    size_t fired = 0, expected = 0;
    for (int i = 0; i < MANY; i++)
        expected += i % 5 != 0 || i % 7 == 0;
    while (fired < expected) {
        dm_time next = dm_wheel_next(dm_loop_wheel(w->loop));
        assert_true(next != DM_NEVER);
        dm_time now = dm_clock_mono(&w->clock.clock);
        pass(w, next > now ? next - now : 0);
        fired = 0;
        for (int i = 0; i < MANY; i++)
            fired += (size_t)all[i].count;
    }
    for (int i = 0; i < MANY; i++) {
        if (all[i].count == 0)
            continue;
        assert_int_equal(all[i].count, 1);
        assert_true(all[i].fired >= all[i].due);
        assert_true(all[i].fired < all[i].due + 2 * DM_MS);
    }
    assert_true(dm_wheel_next(dm_loop_wheel(w->loop)) == DM_NEVER);
    dm_mem_free(all);
}

static void a_long_leap_fires_all_that_is_due_in_order(void **state)
{
    struct world *w = *state;
    struct alarm a, b, c;
    alarm_init(w, &a);
    alarm_init(w, &b);
    alarm_init(w, &c);
    start(&a, 70 * DM_SEC);
    start(&b, 3 * DM_SEC);
    start(&c, 3 * 3600 * DM_SEC);
    pass(w, 3600 * DM_SEC);
    assert_int_equal(a.count + b.count, 2);
    assert_int_equal(c.count, 0);
    pass(w, 3 * 3600 * DM_SEC);
    assert_int_equal(c.count, 1);
}

static void again(struct alarm *a)
{
    start(a, 0);
}

static void a_timer_that_restarts_itself_at_once_does_not_hold_the_turn(void **state)
{
    struct world *w = *state;
    struct alarm a;
    alarm_init(w, &a);
    a.then = again;
    start(&a, 0);
    pass(w, DM_MS);
    int first = a.count;
    assert_true(first <= 2);
    pass(w, 2 * DM_MS);
    assert_true(a.count > first);
    dm_timer_stop(&a.timer);
    dm_timer_stop(&a.timer);
}

static struct alarm *victim;

static void stop_victim(struct alarm *a)
{
    (void)a;
    dm_timer_stop(&victim->timer);
}

static void a_timer_stopped_by_one_of_its_own_slot_does_not_fire(void **state)
{
    struct world *w = *state;
    struct alarm a, b;
    alarm_init(w, &a);
    alarm_init(w, &b);
    a.then = stop_victim;
    victim = &b;
    start(&a, 5 * DM_MS);
    start(&b, 5 * DM_MS);
    pass(w, 10 * DM_MS);
    assert_int_equal(a.count, 1);
    assert_int_equal(b.count, 0);
}

static void endless_times_are_no_overflow(void **state)
{
    struct world *w = *state;
    struct alarm a, b;
    alarm_init(w, &a);
    alarm_init(w, &b);
    dm_timer_start(w->loop, &a.timer, DM_NEVER);
    start(&b, -5);
    pass(w, 1000000 * DM_SEC);
    assert_int_equal(a.count, 0);
    assert_int_equal(b.count, 1);
    dm_timer_stop(&a.timer);
}

static void the_loop_sleeps_until_the_next_timer(void **state)
{
    struct world *w = *state;
    struct dm_loop *loop = dm_loop_new(&dm_clock_system);
    struct alarm a;
    alarm_init(w, &a);
    struct world real = {.loop = loop};
    a.w = &real;
    dm_timer_start(loop, &a.timer, 3 * DM_MS);
    for (int turns = 0; a.count == 0; turns++) {
        assert_true(turns < 5); /* waits inside a turn instead of spinning through many */
        (void)dm_loop_turn(loop, DM_NEVER);
    }
    dm_loop_free(loop);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_timer_fires_in_the_first_turn_after_its_time_never_before),
        T(thousands_of_timers_fire_each_at_its_time),
        T(a_long_leap_fires_all_that_is_due_in_order),
        T(a_timer_that_restarts_itself_at_once_does_not_hold_the_turn),
        T(a_timer_stopped_by_one_of_its_own_slot_does_not_fire),
        T(endless_times_are_no_overflow),
        T(the_loop_sleeps_until_the_next_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

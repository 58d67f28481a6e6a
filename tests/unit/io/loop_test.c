#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/loop.h"

struct world {
    struct dm_clock_manual clock;
    struct dm_loop *loop;
    char log[64];
};
static struct world *world;

static int setup(void **state)
{
    world = dm_mem_alloc(sizeof *world);
    dm_clock_manual_init(&world->clock, DM_SEC, 1700000000 * DM_SEC);
    world->loop = dm_loop_new(&world->clock.clock);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_loop_free(world->loop);
    dm_mem_free(world);
    return 0;
}

static void note(char c)
{
    size_t len = strlen(world->log);
    assert_true(len < sizeof world->log - 1);
    world->log[len] = c;
}

static void turn(void)
{
    (void)dm_loop_turn(world->loop, 0);
}

struct watched {
    struct dm_io io;
    uint32_t events;
    int count;
    struct watched *forgets;
};

static void on_event(struct dm_io *io, uint32_t events)
{
    struct watched *w = DM_CONTAINER_OF(io, struct watched, io);
    w->events |= events;
    w->count++;
    if (w->forgets != NULL)
        dm_loop_forget(world->loop, &w->forgets->io);
    note('e');
}

static void pair(struct watched *w, int *ret_other)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *w = (struct watched){.io = {.fd = fds[0], .fn = on_event}};
    *ret_other = fds[1];
}

static void an_edge_is_told_once(void **state)
{
    (void)state;
    struct watched w;
    int other;
    pair(&w, &other);
    dm_loop_watch(world->loop, &w.io);
    turn();
    w.count = 0;
    assert_int_equal(write(other, "x", 1), 1);
    turn();
    turn();
    turn();
    assert_int_equal(w.count, 1);
    assert_true(w.events & EPOLLIN);
    close(other);
    turn();
    assert_true(w.events & EPOLLRDHUP);
    dm_loop_forget(world->loop, &w.io);
    dm_loop_forget(world->loop, &w.io);
    close(w.io.fd);
}

static void a_level_is_told_until_it_is_gone_and_can_be_changed(void **state)
{
    (void)state;
    struct watched w;
    int other;
    pair(&w, &other);
    dm_loop_watch_level(world->loop, &w.io, EPOLLIN);
    assert_int_equal(write(other, "x", 1), 1);
    turn();
    turn();
    assert_int_equal(w.count, 2);
    dm_loop_watch_level(world->loop, &w.io, 0);
    turn();
    assert_int_equal(w.count, 2);
    dm_loop_watch_level(world->loop, &w.io, EPOLLIN);
    turn();
    assert_int_equal(w.count, 3);
    dm_loop_forget(world->loop, &w.io);
    close(w.io.fd);
    close(other);
}

static void forgetting_drops_what_was_not_delivered_yet(void **state)
{
    (void)state;
    struct watched a, b;
    int other_a, other_b;
    pair(&a, &other_a);
    pair(&b, &other_b);
    dm_loop_watch(world->loop, &a.io);
    dm_loop_watch(world->loop, &b.io);
    turn();
    a.count = b.count = 0;
    a.forgets = &b;
    b.forgets = &a;
    assert_int_equal(write(other_a, "x", 1), 1);
    assert_int_equal(write(other_b, "x", 1), 1);
    turn(); /* both are ready; whoever is first forgets the other */
    assert_int_equal(a.count + b.count, 1);
    dm_loop_forget(world->loop, &a.io);
    dm_loop_forget(world->loop, &b.io);
    close(a.io.fd);
    close(b.io.fd);
    close(other_a);
    close(other_b);
}

static struct dm_task first_task, second_task;

static void on_first(struct dm_task *t)
{
    note('1');
    dm_loop_post(world->loop, &second_task);
    (void)t;
}

static void on_second(struct dm_task *t)
{
    (void)t;
    note('2');
}

static void start_hook(void *ctx)
{
    (void)ctx;
    note('[');
}

static void end_hook(void *ctx)
{
    (void)ctx;
    note(']');
}

static void a_turn_has_its_order(void **state)
{
    (void)state;
    struct watched w;
    int other;
    pair(&w, &other);
    dm_task_init(&first_task, on_first);
    dm_task_init(&second_task, on_second);
    dm_loop_at_start(world->loop, start_hook, NULL);
    dm_loop_at_end(world->loop, end_hook, NULL);
    dm_loop_watch_level(world->loop, &w.io, EPOLLIN);
    assert_int_equal(write(other, "x", 1), 1);
    dm_loop_post(world->loop, &first_task);
    dm_loop_post(world->loop, &first_task); /* at most once */
    (void)dm_loop_turn(world->loop, DM_NEVER);
    assert_string_equal(world->log, "[e1]");
    dm_loop_forget(world->loop, &w.io);
    (void)dm_loop_turn(world->loop, DM_NEVER); /* a posted task keeps the loop from sleeping */
    assert_string_equal(world->log, "[e1][2]");
    dm_loop_post(world->loop, &second_task);
    dm_loop_unpost(&second_task);
    turn();
    assert_string_equal(world->log, "[e1][2][]");
    close(w.io.fd);
    close(other);
}

static void time_stands_still_inside_a_turn(void **state)
{
    (void)state;
    dm_time before = dm_loop_now(world->loop);
    dm_clock_manual_step(&world->clock, 5 * DM_SEC);
    assert_true(dm_loop_now(world->loop) == before);
    turn();
    assert_true(dm_loop_now(world->loop) == before + 5 * DM_SEC);
    assert_true(dm_loop_wall(world->loop) == 1700000005 * DM_SEC);
    assert_string_equal(dm_loop_http_date(world->loop), "Tue, 14 Nov 2023 22:13:25 GMT");
    dm_clock_manual_step(&world->clock, DM_SEC);
    turn();
    assert_string_equal(dm_loop_http_date(world->loop), "Tue, 14 Nov 2023 22:13:26 GMT");
    assert_ptr_equal(dm_loop_clock(world->loop), &world->clock.clock);
    assert_non_null(dm_loop_scratch(world->loop));
}

static void take_long(struct dm_task *t)
{
    (void)t;
    dm_clock_manual_step(&world->clock, 6 * DM_MS);
}

static void slow_turns_are_counted(void **state)
{
    (void)state;
    struct dm_metrics *m = dm_metrics_new(1);
    struct dm_task t;
    dm_loop_metrics(world->loop, m, 0);
    dm_task_init(&t, take_long);
    turn();
    assert_int_equal(dm_loop_slow_turns(world->loop), 0);
    for (int i = 0; i < 3; i++) {
        dm_loop_post(world->loop, &t);
        turn();
    }
    assert_int_equal(dm_loop_slow_turns(world->loop), 3);
    assert_int_equal(dm_metric_value(dm_metric_get(m, DM_COUNTER, "doorman_loop_slow_turns_total",
                                                   "", "", NULL, 0)),
                     3);
    dm_metrics_free(m);
}

static void *run(void *loop)
{
    dm_loop_run(loop);
    return NULL;
}

static void another_thread_wakes_and_stops_it(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, world->loop), 0);
    dm_loop_wake(world->loop);
    dm_loop_wake(world->loop);
    dm_loop_stop(world->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(dm_loop_turn(world->loop, 0));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_edge_is_told_once),
        T(a_level_is_told_until_it_is_gone_and_can_be_changed),
        T(forgetting_drops_what_was_not_delivered_yet),
        T(a_turn_has_its_order),
        T(time_stands_still_inside_a_turn),
        T(slow_turns_are_counted),
        T(another_thread_wakes_and_stops_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

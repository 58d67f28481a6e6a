#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/offload.h"

enum { JOBS = 200 };

struct gate { /* holds pool threads until the test opens it */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int waiting;
};

static struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};
static struct dm_loop *loop;
static pthread_t loop_thread;
static int done;

struct job {
    struct dm_job job;
    int number, result;
    bool right_thread;
};

static int setup(void **state)
{
    (void)state;
    loop = dm_loop_new(&dm_clock_system);
    loop_thread = pthread_self();
    done = 0;
    gate.open = false;
    gate.waiting = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_loop_free(loop);
    return 0;
}

static void square(struct dm_job *j)
{
    struct job *mine = DM_CONTAINER_OF(j, struct job, job);
    mine->result = mine->number * mine->number;
    mine->right_thread = !pthread_equal(pthread_self(), loop_thread);
}

static void wait_at_gate(struct dm_job *j)
{
    (void)j;
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.open)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void wait_for_waiters(int n)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting < n)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static void open_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void on_done(struct dm_job *j)
{
    struct job *mine = DM_CONTAINER_OF(j, struct job, job);
    mine->right_thread = mine->right_thread && pthread_equal(pthread_self(), loop_thread);
    done++;
}

static void work_runs_elsewhere_and_its_result_comes_back(void **state)
{
    (void)state;
    struct dm_mailbox *box = dm_mailbox_new(loop, JOBS);
    struct dm_offload *o = dm_offload_new(3, JOBS);
    static struct job jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.job = {.work = square, .on_done = on_done}, .number = i};
        assert_int_equal(dm_offload_ask(o, &jobs[i].job, box), DM_OK);
    }
    while (done < JOBS)
        (void)dm_loop_turn(loop, DM_SEC);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].result, i * i);
        assert_true(jobs[i].right_thread);
    }
    dm_offload_free(o);
    dm_mailbox_free(box);
}

static void a_full_queue_refuses_and_takes_no_place(void **state)
{
    (void)state;
    struct dm_mailbox *box = dm_mailbox_new(loop, 4);
    struct dm_offload *o = dm_offload_new(1, 2);
    struct job jobs[5];
    for (int i = 0; i < 5; i++)
        jobs[i] = (struct job){.job = {.work = wait_at_gate, .on_done = on_done}};
    assert_int_equal(dm_offload_ask(o, &jobs[0].job, box), DM_OK);
    wait_for_waiters(1); /* out of the queue, in the thread */
    assert_int_equal(dm_offload_ask(o, &jobs[1].job, box), DM_OK);
    assert_int_equal(dm_offload_ask(o, &jobs[2].job, box), DM_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(dm_offload_ask(o, &jobs[3].job, box), DM_LIMIT);
    assert_int_equal(dm_mailbox_reserve(box), DM_OK); /* the refused ones left its place free */
    assert_int_equal(dm_offload_ask(o, &jobs[3].job, box), DM_LIMIT);
    dm_mailbox_unreserve(box);
    open_gate();
    while (done < 3)
        (void)dm_loop_turn(loop, DM_SEC);
    dm_offload_free(o);
    dm_mailbox_free(box);
}

static void a_job_whose_answer_would_find_no_place_is_refused(void **state)
{
    (void)state;
    struct dm_mailbox *box = dm_mailbox_new(loop, 1);
    struct dm_offload *o = dm_offload_new(1, 4);
    struct job a = {.job = {.work = wait_at_gate, .on_done = on_done}}, b = a;
    assert_int_equal(dm_offload_ask(o, &a.job, box), DM_OK);
    assert_int_equal(dm_offload_ask(o, &b.job, box), DM_LIMIT);
    open_gate();
    dm_offload_free(o);
    dm_mailbox_free(box); /* delivers */
    assert_int_equal(done, 1);
}

static void what_is_queued_is_finished_at_the_end(void **state)
{
    (void)state;
    struct dm_offload *o = dm_offload_new(2, JOBS);
    static struct job jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.job = {.work = square}, .number = i};
        assert_int_equal(dm_offload_ask(o, &jobs[i].job, NULL), DM_OK); /* nobody is told */
    }
    dm_offload_free(o);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].result, i * i);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(work_runs_elsewhere_and_its_result_comes_back),
        T(a_full_queue_refuses_and_takes_no_place),
        T(a_job_whose_answer_would_find_no_place_is_refused),
        T(what_is_queued_is_finished_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

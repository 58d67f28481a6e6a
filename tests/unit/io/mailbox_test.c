#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/mailbox.h"

enum { SENDERS = 4, EACH = 500 };

struct letter {
    struct dm_letter letter;
    int sender, number;
};

struct world {
    struct dm_loop *loop;
    struct dm_mailbox *box;
    int received, last[SENDERS];
    bool out_of_order;
};
static struct world w;

static int setup(void **state)
{
    (void)state;
    w = (struct world){.loop = dm_loop_new(&dm_clock_system)};
    for (int i = 0; i < SENDERS; i++)
        w.last[i] = -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dm_mailbox_free(w.box);
    dm_loop_free(w.loop);
    return 0;
}

static void on_letter(struct dm_letter *l)
{
    struct letter *mine = DM_CONTAINER_OF(l, struct letter, letter);
    w.out_of_order |= mine->number <= w.last[mine->sender];
    w.last[mine->sender] = mine->number;
    w.received++;
    dm_mem_free(mine); /* the receiver's from here on */
}

static struct letter *letter_new(int sender, int number)
{
    struct letter *l = DM_NEW(struct letter);
    *l = (struct letter){.letter.fn = on_letter, .sender = sender, .number = number};
    return l;
}

static void letters_arrive_in_order_in_one_turn(void **state)
{
    (void)state;
    w.box = dm_mailbox_new(w.loop, 10);
    for (int i = 0; i < 5; i++)
        assert_int_equal(dm_mailbox_send(w.box, &letter_new(0, i)->letter), DM_OK);
    assert_int_equal(w.received, 0);
    (void)dm_loop_turn(w.loop, DM_SEC);
    assert_int_equal(w.received, 5);
    assert_false(w.out_of_order);
}

static void a_full_box_refuses_and_counts(void **state)
{
    (void)state;
    w.box = dm_mailbox_new(w.loop, 2);
    struct letter *third = letter_new(0, 3);
    assert_int_equal(dm_mailbox_send(w.box, &letter_new(0, 1)->letter), DM_OK);
    assert_int_equal(dm_mailbox_reserve(w.box), DM_OK);
    assert_int_equal(dm_mailbox_send(w.box, &third->letter), DM_LIMIT);
    assert_int_equal(dm_mailbox_refused(w.box), 1);
    dm_mailbox_unreserve(w.box);
    assert_int_equal(dm_mailbox_send(w.box, &third->letter), DM_OK);
    (void)dm_loop_turn(w.loop, DM_SEC);
    assert_int_equal(w.received, 2);
    assert_int_equal(dm_mailbox_reserve(w.box), DM_OK);
    dm_mailbox_send_reserved(w.box, &letter_new(0, 4)->letter);
    (void)dm_loop_turn(w.loop, DM_SEC);
    assert_int_equal(w.received, 3);
}

static void what_is_left_is_delivered_before_the_box_goes(void **state)
{
    (void)state;
    w.box = dm_mailbox_new(w.loop, 2);
    assert_int_equal(dm_mailbox_send(w.box, &letter_new(0, 1)->letter), DM_OK);
    dm_mailbox_free(w.box);
    w.box = NULL;
    assert_int_equal(w.received, 1);
}

static void *send_many(void *arg)
{
    int sender = *(int *)arg;
    for (int i = 0; i < EACH; i++)
        if (dm_mailbox_send(w.box, &letter_new(sender, i)->letter) != DM_OK)
            return &w; /* full */
    return NULL;
}

static void many_threads_send_at_once(void **state)
{
    (void)state;
    w.box = dm_mailbox_new(w.loop, SENDERS * EACH);
    pthread_t threads[SENDERS];
    int numbers[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &numbers[i]), 0);
    }
    while (w.received < SENDERS * EACH)
        (void)dm_loop_turn(w.loop, DM_SEC);
    for (int i = 0; i < SENDERS; i++) {
        void *fault;
        assert_int_equal(pthread_join(threads[i], &fault), 0);
        assert_null(fault);
    }
    assert_false(w.out_of_order);
}

struct question {
    struct dm_call call;
    struct dm_task later;
    int answer;
};

static void answer_later(struct dm_task *t)
{
    struct question *q = DM_CONTAINER_OF(t, struct question, later);
    q->answer = 42;
    dm_call_done(&q->call);
}

static void on_question(struct dm_call *c)
{
    struct question *q = DM_CONTAINER_OF(c, struct question, call);
    dm_task_init(&q->later, answer_later);
    dm_loop_post(w.loop, &q->later);
}

static _Atomic int answered;

static void *ask(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        struct question q = {.call.run = on_question};
        if (dm_mailbox_call(w.box, &q.call) != DM_OK || q.answer != 42)
            return &w; /* wrong */
        atomic_fetch_add(&answered, 1);
    }
    dm_loop_wake(w.loop);
    return NULL;
}

static void a_call_blocks_its_thread_until_the_loop_has_answered(void **state)
{
    (void)state;
    w.box = dm_mailbox_new(w.loop, SENDERS);
    pthread_t threads[SENDERS];
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, NULL), 0);
    while (atomic_load(&answered) < SENDERS * 100)
        (void)dm_loop_turn(w.loop, DM_SEC);
    for (int i = 0; i < SENDERS; i++) {
        void *fault;
        assert_int_equal(pthread_join(threads[i], &fault), 0);
        assert_null(fault);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(letters_arrive_in_order_in_one_turn),
        T(a_full_box_refuses_and_counts),
        T(what_is_left_is_delivered_before_the_box_goes),
        T(many_threads_send_at_once),
        T(a_call_blocks_its_thread_until_the_loop_has_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int n;
    struct dm_link link;
};

static int sum_in_order(struct dm_link *head)
{
    int sum = 0;
    DM_LIST_EACH_SAFE(head, l, next)
    sum = sum * 10 + DM_CONTAINER_OF(l, struct item, link)->n;
    return sum;
}

static void items_keep_their_order(void **state)
{
    (void)state;
    struct dm_link head;
    struct item a = {.n = 1}, b = {.n = 2}, c = {.n = 3};
    dm_list_init(&head);
    assert_true(dm_list_empty(&head));
    dm_list_add_tail(&head, &b.link);
    dm_list_add_tail(&head, &c.link);
    dm_list_add_head(&head, &a.link);
    assert_int_equal(sum_in_order(&head), 123);
    dm_list_remove(&b.link);
    dm_list_remove(&b.link);
    assert_int_equal(sum_in_order(&head), 13);
    assert_ptr_equal(dm_list_pop(&head), &a.link);
    assert_ptr_equal(dm_list_pop(&head), &c.link);
    assert_null(dm_list_pop(&head));
}

static void a_walk_may_remove_where_it_stands(void **state)
{
    (void)state;
    struct dm_link head;
    struct item items[4] = {{.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}};
    dm_list_init(&head);
    for (int i = 0; i < 4; i++)
        dm_list_add_tail(&head, &items[i].link);
    DM_LIST_EACH_SAFE(&head, l, next)
    {
        if (DM_CONTAINER_OF(l, struct item, link)->n % 2 == 0)
            dm_list_remove(l);
    }
    assert_int_equal(sum_in_order(&head), 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_keep_their_order),
        cmocka_unit_test(a_walk_may_remove_where_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/index.h"
#include "base/mem.h"

struct item {
    uint64_t key;
};

static bool is_key(const void *item, const void *key)
{
    return ((const struct item *)item)->key == *(const uint64_t *)key;
}

static void empty_index_finds_nothing(void **state)
{
    (void)state;
    struct dm_index ix = {0};
    uint64_t key = 1;
    struct item item = {1};
    assert_null(dm_index_find(&ix, 1, is_key, &key));
    assert_false(dm_index_remove(&ix, 1, &item));
    assert_int_equal(dm_index_places(&ix), 0);
    dm_index_done(&ix);
    dm_index_done(&ix);
}

static void items_of_one_hash_are_told_apart(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct dm_index ix = {0};
    struct item items[MANY];
    for (uint64_t i = 0; i < MANY; i++) {
        items[i].key = i;
        dm_index_put(&ix, 7, &items[i]);
    }
    for (uint64_t i = 0; i < MANY; i++)
        assert_ptr_equal(dm_index_find(&ix, 7, is_key, &i), &items[i]);
    for (uint64_t i = 0; i < MANY; i += 2)
        assert_true(dm_index_remove(&ix, 7, &items[i]));
    for (uint64_t i = 0; i < MANY; i++)
        assert_ptr_equal(dm_index_find(&ix, 7, is_key, &i), i % 2 == 0 ? NULL : &items[i]);
    assert_false(dm_index_remove(&ix, 7, &items[0]));
    dm_index_done(&ix);
}

/* Adds and removes in an order of its own, with hashes that crowd a few places, against a plain
 * list. */
static void removal_leaves_every_other_item_findable(void **state)
{
    (void)state;
    enum { MANY = 200, STEPS = 20000 };
    struct dm_index ix = {0};
    struct item items[MANY];
    bool in[MANY] = {false};
    uint64_t random = 1;
    size_t count = 0;
    for (uint64_t i = 0; i < MANY; i++)
        items[i].key = i;
    for (int step = 0; step < STEPS; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t i = (random >> 33) % MANY, hash = i % 13 * 3 + (i % 3 == 0 ? UINT64_MAX - 40 : 0);
        if (in[i])
            assert_true(dm_index_remove(&ix, hash, &items[i]));
        else
            dm_index_put(&ix, hash, &items[i]);
        in[i] = !in[i];
        count += in[i] ? 1 : (size_t)-1;
        assert_int_equal(dm_index_count(&ix), count);
        uint64_t k = (random >> 12) % MANY, other = k % 13 * 3 + (k % 3 == 0 ? UINT64_MAX - 40 : 0);
        assert_ptr_equal(dm_index_find(&ix, other, is_key, &k), in[k] ? &items[k] : NULL);
    }
    size_t seen = 0;
    for (size_t n = 0; n < dm_index_places(&ix); n++) {
        const struct item *item = dm_index_at(&ix, n);
        seen += item != NULL && in[item->key];
    }
    assert_int_equal(seen, count);
    dm_index_done(&ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_index_finds_nothing),
        cmocka_unit_test(items_of_one_hash_are_told_apart),
        cmocka_unit_test(removal_leaves_every_other_item_findable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

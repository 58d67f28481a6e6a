/* Several writers of one document, as two admins are. */
#include <pthread.h>

#include "store.h"

enum { WRITERS = 4, ROUNDS = 25 };

static enum dm_code add_one(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    (void)ctx;
    (void)err;
    dm_json_set_i64(doc, DM_LIT("n"), dm_json_i64(dm_json_get(doc, DM_LIT("n")), 0) + 1);
    return DM_OK;
}

static void *writer(void *arg)
{
    size_t *done = arg;
    struct dm_documents *d = store_again();
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    for (int i = 0; i < ROUNDS; i++) {
        enum dm_code rc = dm_documents_update(d, "users", &who, 1, add_one, NULL, NULL, NULL);
        assert_true(rc == DM_OK || rc == DM_CONFLICT);
        *done += rc == DM_OK;
    }
    dm_documents_free(d);
    return NULL;
}

static void no_update_is_lost(void **state)
{
    struct dm_documents *d = store_migrated();
    pthread_t threads[WRITERS];
    size_t done[WRITERS] = {0}, all = 0;
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    (void)state;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"n\":0}"), DM_OK);
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, writer, &done[i]), 0);
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        all += done[i];
    }
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, NULL, NULL), DM_OK);
    assert_true(all >= ROUNDS);
    assert_int_equal(dm_json_i64(dm_json_get(doc, DM_LIT("n")), -1), all);
    dm_documents_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_update_is_lost)};
    return cmocka_run_group_tests_name("writers", tests, NULL, NULL);
}

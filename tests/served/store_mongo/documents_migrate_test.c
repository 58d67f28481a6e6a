/* Schema versions, indexes, the lease, expiry. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "store.h"

static void assert_migrates(struct dm_documents *d)
{
    struct dm_error err = {0};
    if (dm_documents_mongo_migrate(d, NULL, &err) != DM_OK)
        fail_msg("%s", err.text);
}

static size_t index_count(const char *collection)
{
    char command[128];
    (void)snprintf(command, sizeof command, "{\"listIndexes\":\"%s\"}", collection);
    DM_DEFER(dm_json_freep) struct dm_json *reply = store_ask(command);
    const struct dm_json *cursor = dm_json_get(reply, DM_LIT("cursor"));
    return dm_json_len(dm_json_get(cursor, DM_LIT("firstBatch")));
}

static void migrating_twice_changes_nothing(void **state)
{
    struct dm_documents *d = store_new();
    int64_t version = 9;
    (void)state;
    assert_int_equal(dm_documents_mongo_check(d, &version, NULL), DM_OK);
    assert_int_equal(version, 0);
    assert_migrates(d);
    size_t users = index_count("users"), endpoints = index_count("endpoints");
    assert_int_equal(users, 3);     /* _id, username, email */
    assert_int_equal(endpoints, 3); /* _id, the key of four, the one for speed */
    assert_migrates(d);
    assert_int_equal(index_count("users"), users);
    assert_int_equal(index_count("endpoints"), endpoints);
    assert_int_equal(dm_documents_mongo_check(d, &version, NULL), DM_OK);
    assert_int_equal(version, DM_DOCUMENTS_SCHEMA_VERSION);
    dm_documents_free(d);
}

static void newer_schema_is_refused(void **state)
{
    struct dm_documents *d = store_new();
    struct dm_error err = {0};
    (void)state;
    store_command("{\"insert\":\"doorman_meta\",\"documents\":[{\"_id\":\"schema\","
                  "\"version\":99}]}");
    assert_int_equal(dm_documents_mongo_check(d, NULL, &err), DM_INVALID);
    assert_non_null(strstr(err.text, "99"));
    assert_int_equal(dm_documents_mongo_migrate(d, NULL, &err), DM_INVALID);
    assert_int_equal(index_count("doorman_meta"), 1); /* and left as it was */
    dm_documents_free(d);
}

static void held_lease_keeps_others_out_until_it_lapses(void **state)
{
    struct dm_documents *d = store_new();
    (void)state;
    store_command("{\"insert\":\"doorman_meta\",\"documents\":[{\"_id\":\"migration_lease\","
                  "\"owner\":\"other\",\"until\":{\"$date\":\"2199-01-01T00:00:00Z\"}}]}");
    assert_int_equal(dm_documents_mongo_migrate(d, NULL, NULL), DM_AGAIN);
    store_command("{\"update\":\"doorman_meta\",\"updates\":[{\"q\":{\"_id\":\"migration_lease\"},"
                  "\"u\":{\"$set\":{\"until\":{\"$date\":\"2001-01-01T00:00:00Z\"}}}}]}");
    assert_migrates(d);
    assert_migrates(d); /* it was given back */
    dm_documents_free(d);
}

enum { ADMINS = 4 };

static void *migrate_thread(void *arg)
{
    enum dm_code *rc = arg;
    struct dm_documents *d = store_again();
    *rc = dm_documents_mongo_migrate(d, NULL, NULL);
    dm_documents_free(d);
    return NULL;
}

static void admins_that_start_together_do_not_meet(void **state)
{
    struct dm_documents *d = store_new();
    pthread_t threads[ADMINS];
    enum dm_code rc[ADMINS];
    size_t done = 0;
    (void)state;
    for (size_t i = 0; i < ADMINS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, migrate_thread, &rc[i]), 0);
    for (size_t i = 0; i < ADMINS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(rc[i] == DM_OK || rc[i] == DM_AGAIN);
        done += rc[i] == DM_OK;
    }
    assert_true(done >= 1);
    assert_int_equal(index_count("users"), 3);
    dm_documents_free(d);
}

static void equal_documents_are_named_and_kept(void **state)
{
    struct dm_documents *d = store_new();
    struct dm_error err = {0};
    uint64_t n = 0;
    (void)state;
    store_command("{\"insert\":\"users\",\"documents\":[{\"username\":\"ann\",\"i\":1},"
                  "{\"username\":\"ann\",\"i\":2}]}");
    assert_int_equal(dm_documents_mongo_migrate(d, NULL, &err), DM_INVALID);
    assert_non_null(strstr(err.text, "username_1"));
    assert_non_null(strstr(err.text, "\"users\""));
    assert_int_equal(dm_documents_count(d, "users", NULL, 0, &n, NULL), DM_OK);
    assert_int_equal(n, 2);
    int64_t version = 9;
    assert_int_equal(dm_documents_mongo_check(d, &version, NULL), DM_OK);
    assert_int_equal(version, 0);
    dm_documents_free(d);
}

static void index_that_was_not_unique_becomes_so(void **state)
{
    struct dm_documents *d = store_new();
    (void)state;
    store_command("{\"createIndexes\":\"apis\",\"indexes\":[{\"key\":{\"api_name\":1,"
                  "\"api_version\":1},\"name\":\"api_name_1_api_version_1\"}]}");
    assert_migrates(d);
    assert_int_equal(index_count("apis"), 2);
    assert_int_equal(documents_insert(d, "apis", "{\"api_name\":\"a\",\"api_version\":\"v\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(d, "apis", "{\"api_name\":\"a\",\"api_version\":\"v\"}"),
                     DM_EXISTS);
    dm_documents_free(d);
}

static void unique_index_of_another_program_is_kept(void **state)
{
    struct dm_documents *d = store_new();
    (void)state;
    store_command("{\"createIndexes\":\"users\",\"indexes\":[{\"key\":{\"username\":1},"
                  "\"name\":\"theirs\",\"unique\":true}]}");
    assert_migrates(d);
    assert_int_equal(index_count("users"), 3);
    dm_documents_free(d);
}

static void expired_documents_go_and_others_stay(void **state)
{
    struct dm_documents *d = store_new();
    uint64_t n = 0;
    (void)state;
    store_command("{\"insert\":\"leases\",\"documents\":[{\"until\":{\"$numberLong\":\"100\"}},"
                  "{\"until\":\"5\"},{}]}"); /* by others, before we came */
    assert_migrates(d);
    assert_int_equal(documents_insert(d, "leases", "{\"until\":101}"), DM_OK);
    assert_int_equal(documents_insert(d, "leases", "{\"until\":4102444800}"), DM_OK);
    assert_int_equal(documents_insert(d, "leases", "{\"until\":0}"), DM_OK);
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"until\":1}"), DM_OK);
    DM_DEFER(dm_json_freep)
    struct dm_json *reply = store_ask("{\"count\":\"leases\",\"query\":{\"_dm_expires\":"
                                      "{\"$gte\":{\"$date\":\"1970-01-01T00:00:00Z\"}}}}");
    assert_int_equal(dm_json_i64(dm_json_get(reply, DM_LIT("n")), -1), 3);
    assert_int_equal(dm_documents_mongo_sweep(d, 101, &n, NULL), DM_OK);
    assert_int_equal(n, 2);
    assert_int_equal(dm_documents_count(d, "leases", NULL, 0, &n, NULL), DM_OK);
    assert_int_equal(n, 4);
    assert_int_equal(dm_documents_count(d, "users", NULL, 0, &n, NULL), DM_OK);
    assert_int_equal(n, 1);
    dm_documents_free(d);
}

static void sweeping_is_done_by_one_admin_a_minute(void **state)
{
    struct dm_documents *d = store_migrated(), *other = store_again();
    struct dm_error err = {0};
    uint64_t n = 9;
    (void)state;
    assert_int_equal(documents_insert(d, "leases", "{\"until\":100}"), DM_OK);
    assert_int_equal(dm_documents_mongo_sweep(d, 100, &n, NULL), DM_OK);
    assert_int_equal(n, 1);
    assert_int_equal(documents_insert(d, "leases", "{\"until\":100}"), DM_OK);
    assert_int_equal(dm_documents_mongo_sweep(other, 100, &n, &err), DM_AGAIN);
    assert_int_equal(n, 0);
    assert_int_equal(dm_documents_mongo_sweep(d, 100, &n, NULL), DM_AGAIN);
    assert_int_equal(dm_documents_count(d, "leases", NULL, 0, &n, NULL), DM_OK);
    assert_int_equal(n, 1);
    store_command("{\"update\":\"doorman_meta\",\"updates\":[{\"q\":{\"_id\":\"sweep_lease\"},"
                  "\"u\":{\"$set\":{\"until\":{\"$date\":\"2001-01-01T00:00:00Z\"}}}}]}");
    assert_int_equal(dm_documents_mongo_sweep(other, 100, &n, NULL), DM_OK);
    assert_int_equal(n, 1);
    dm_documents_free(d);
    dm_documents_free(other);
}

static void what_was_done_is_noted_and_told_once(void **state)
{
    struct dm_documents *d = store_new();
    struct dm_documents_migrated first = {0}, second = {.steps = 9};
    DM_DEFER(dm_json_freep) struct dm_json *before = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *history = NULL;
    (void)state;
    assert_int_equal(dm_documents_mongo_history(d, &before, NULL), DM_OK);
    assert_int_equal(dm_json_len(before), 0);
    assert_int_equal(dm_documents_mongo_migrate(d, &first, NULL), DM_OK);
    assert_int_equal(first.steps, 1);
    assert_int_equal(first.indexes, store_schema.n_uniques + store_schema.n_indexes);
    assert_int_equal(dm_documents_mongo_migrate(d, &second, NULL), DM_OK);
    assert_int_equal(second.steps + second.indexes + second.documents, 0);
    assert_int_equal(dm_documents_mongo_history(d, &history, NULL), DM_OK);
    assert_int_equal(dm_json_len(history), 2);
    for (struct dm_json *h = dm_json_first(history); h != NULL; h = dm_json_next(h)) {
        assert_int_equal(dm_json_str(dm_json_get(h, DM_LIT("checksum"))).len, 64);
        assert_true(dm_json_str(dm_json_get(h, DM_LIT("applied_at"))).len > 0);
    }
    dm_documents_free(d);
}

/* An index that went away comes back, and the note of it is renewed. */
static void dropped_index_is_made_again(void **state)
{
    struct dm_documents *d = store_migrated();
    struct dm_documents_migrated done = {0};
    (void)state;
    store_command("{\"dropIndexes\":\"users\",\"index\":\"username_1\"}");
    assert_int_equal(index_count("users"), 2);
    assert_int_equal(dm_documents_mongo_migrate(d, &done, NULL), DM_OK);
    assert_int_equal(done.indexes, 1);
    assert_int_equal(index_count("users"), 3);
    dm_documents_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrating_twice_changes_nothing),
        cmocka_unit_test(newer_schema_is_refused),
        cmocka_unit_test(held_lease_keeps_others_out_until_it_lapses),
        cmocka_unit_test(admins_that_start_together_do_not_meet),
        cmocka_unit_test(equal_documents_are_named_and_kept),
        cmocka_unit_test(index_that_was_not_unique_becomes_so),
        cmocka_unit_test(unique_index_of_another_program_is_kept),
        cmocka_unit_test(expired_documents_go_and_others_stay),
        cmocka_unit_test(sweeping_is_done_by_one_admin_a_minute),
        cmocka_unit_test(what_was_done_is_noted_and_told_once),
        cmocka_unit_test(dropped_index_is_made_again),
    };
    return cmocka_run_group_tests_name("migrations", tests, NULL, NULL);
}

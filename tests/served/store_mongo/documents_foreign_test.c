/* Documents that other programs wrote, the Python Doorman above all, and what they see of ours. */
#include <string.h>

#include "store.h"

static struct dm_json *find(struct dm_documents *d, const char *collection, const char *field,
                            dm_view value, uint64_t *ret_version)
{
    struct dm_json *doc = NULL;
    struct dm_error err = {0};
    const struct dm_filter key = DM_WHERE(field, value);
    if (dm_documents_find(d, collection, &key, 1, &doc, ret_version, &err) != DM_OK)
        fail_msg("%s", err.text);
    return doc;
}

static void every_type_is_read_sensibly(void **state)
{
    struct dm_documents *d = store_migrated();
    (void)state;
    store_command(
        "{\"insert\":\"users\",\"documents\":[{\"_id\":{\"$oid\":\"5f1d7f3a8b0c9d0001a2b3c4\"},"
        "\"username\":\"ann\",\"small\":{\"$numberInt\":\"7\"},"
        "\"large\":{\"$numberLong\":\"9007199254740993\"},"
        "\"half\":{\"$numberDouble\":\"1.5\"},"
        "\"when\":{\"$date\":\"2024-05-06T07:08:09.012Z\"},"
        "\"password\":{\"$binary\":{\"base64\":\"JDJiJDEyJGFiYw==\",\"subType\":\"00\"}},"
        "\"noise\":{\"$binary\":{\"base64\":\"/wD+\",\"subType\":\"00\"}},"
        "\"uuid\":{\"$binary\":{\"base64\":\"ESIzRFVmd4iZqrvM3e7/AA==\",\"subType\":\"04\"}},"
        "\"ref\":{\"$oid\":\"5f1d7f3a8b0c9d0001a2b3c5\"},\"none\":null,\"yes\":true,"
        "\"deep\":{\"list\":[1,{\"x\":\"y\"}]}}]}");
    uint64_t version = 1;
    DM_DEFER(dm_json_freep)
    struct dm_json *doc = find(d, "users", "username", DM_LIT("ann"), &version);
    documents_assert_json(
        doc, "{\"username\":\"ann\",\"small\":7,\"large\":9007199254740993,\"half\":1.5,"
             "\"when\":\"2024-05-06T07:08:09.012Z\",\"password\":\"$2b$12$abc\","
             "\"noise\":\"/wD+\",\"uuid\":\"11223344-5566-7788-99aa-bbccddeeff00\","
             "\"ref\":\"5f1d7f3a8b0c9d0001a2b3c5\",\"none\":null,\"yes\":true,"
             "\"deep\":{\"list\":[1,{\"x\":\"y\"}]}}");
    assert_int_equal(version, 0);
    dm_documents_free(d);
}

static void document_without_a_version_is_replaced_once(void **state)
{
    struct dm_documents *d = store_migrated();
    const struct dm_filter ann = DM_WHERE("username", DM_LIT("ann"));
    (void)state;
    store_command("{\"insert\":\"users\",\"documents\":[{\"username\":\"ann\",\"n\":1}]}");
    uint64_t version = 1, newer = 0;
    DM_DEFER(dm_json_freep)
    struct dm_json *doc = find(d, "users", "username", DM_LIT("ann"), &version);
    DM_DEFER(dm_json_freep) struct dm_json *again = NULL;
    dm_json_set_i64(doc, DM_LIT("n"), 2);
    assert_int_equal(dm_documents_replace(d, "users", &ann, 1, version, doc, NULL), DM_OK);
    assert_int_equal(dm_documents_replace(d, "users", &ann, 1, version, doc, NULL), DM_CONFLICT);
    again = find(d, "users", "username", DM_LIT("ann"), &newer);
    documents_assert_json(again, "{\"username\":\"ann\",\"n\":2}");
    assert_int_not_equal(newer, 0);
    dm_documents_free(d);
}

static void names_that_servers_read_as_operators_come_back(void **state)
{
    struct dm_documents *d = store_migrated();
    static const char text[] =
        "{\"username\":\"ann\",\"$set\":{\"role\":\"admin\"},\"a.b\":1,\"%24\":2,\"100%\":3,"
        "\"schema\":{\"$ref\":\"#/x\",\"enum\":[[1,[2]],[]],\"\":{\"%2E%25\":\".\"}}}";
    (void)state;
    assert_int_equal(documents_insert(d, "users", text), DM_OK);
    uint64_t version = 0;
    DM_DEFER(dm_json_freep)
    struct dm_json *doc = find(d, "users", "username", DM_LIT("ann"), &version);
    documents_assert_json(doc, text);
    const struct dm_filter ann = DM_WHERE("username", DM_LIT("ann"));
    assert_int_equal(dm_documents_replace(d, "users", &ann, 1, version, doc, NULL), DM_OK);
    DM_DEFER(dm_json_freep)
    struct dm_json *again = find(d, "users", "username", DM_LIT("ann"), &version);
    documents_assert_json(again, text);
    dm_documents_free(d);
}

static void filter_value_is_never_an_operator(void **state)
{
    struct dm_documents *d = store_migrated();
    struct dm_json *doc = NULL;
    const struct dm_filter who = DM_WHERE("username", DM_LIT("{\"$ne\":\"\"}"));
    (void)state;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\"}"), DM_OK);
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, NULL, NULL), DM_NOT_FOUND);
    dm_documents_free(d);
}

static void text_id_is_the_documents_own_and_keeps_it_apart(void **state)
{
    struct dm_documents *d = store_migrated();
    (void)state;
    assert_int_equal(documents_insert(d, "crud", "{\"_id\":\"x1\",\"v\":1}"), DM_OK);
    assert_int_equal(documents_insert(d, "crud", "{\"_id\":\"x1\",\"v\":2}"), DM_EXISTS);
    uint64_t version = 0;
    DM_DEFER(dm_json_freep)
    struct dm_json *doc = find(d, "crud", "_id", DM_LIT("x1"), &version);
    documents_assert_json(doc, "{\"_id\":\"x1\",\"v\":1}");
    dm_documents_free(d);
}

static void members_of_our_own_cannot_be_set(void **state)
{
    struct dm_documents *d = store_migrated();
    (void)state;
    assert_int_equal(
        documents_insert(d, "users",
                         "{\"username\":\"ann\",\"_dm_version\":0,\"_dm_expires\":1,\"_id\":7}"),
        DM_OK);
    uint64_t version = 0;
    DM_DEFER(dm_json_freep)
    struct dm_json *doc = find(d, "users", "username", DM_LIT("ann"), &version);
    documents_assert_json(doc, "{\"username\":\"ann\"}");
    assert_int_not_equal(version, 0);
    dm_documents_free(d);
}

static void document_over_the_limit_is_refused(void **state)
{
    enum { TOO_LARGE = 17 * 1024 * 1024 };
    struct dm_documents *d = store_migrated();
    struct dm_error err = {0};
    struct dm_buf text;
    (void)state;
    dm_buf_init(&text, TOO_LARGE);
    memset(dm_buf_reserve(&text, TOO_LARGE), 'x', TOO_LARGE);
    dm_buf_commit(&text, TOO_LARGE);
    DM_DEFER(dm_json_freep) struct dm_json *doc = dm_json_new_object();
    dm_json_set_str(doc, DM_LIT("username"), dm_buf_view(&text));
    dm_buf_done(&text);
    assert_int_equal(dm_documents_insert(d, "users", doc, &err), DM_LIMIT);
    dm_documents_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read_sensibly),
        cmocka_unit_test(document_without_a_version_is_replaced_once),
        cmocka_unit_test(names_that_servers_read_as_operators_come_back),
        cmocka_unit_test(filter_value_is_never_an_operator),
        cmocka_unit_test(text_id_is_the_documents_own_and_keeps_it_apart),
        cmocka_unit_test(members_of_our_own_cannot_be_set),
        cmocka_unit_test(document_over_the_limit_is_refused),
    };
    return cmocka_run_group_tests_name("foreign documents", tests, NULL, NULL);
}

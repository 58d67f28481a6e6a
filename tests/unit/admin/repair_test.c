#include "kit.h"

#include "admin/services/repair.h"

static void put(struct kit_app *app, const char *collection, const char *text)
{
    struct dm_json *doc = NULL;

    assert_int_equal(dm_json_parse(dm_view_of(text), NULL, &doc, NULL), DM_OK);
    assert_int_equal(dm_documents_insert(app->documents, collection, doc, NULL), DM_OK);
    dm_json_free(doc);
}

static void assert_stored(struct kit_app *app, const char *collection, const char *text)
{
    struct dm_json *docs = NULL, *wanted = NULL;
    const struct dm_query all = {0};

    assert_int_equal(dm_json_parse(dm_view_of(text), NULL, &wanted, NULL), DM_OK);
    assert_int_equal(dm_documents_list(app->documents, collection, &all, &docs, NULL), DM_OK);
    assert_true(dm_json_equal(docs, wanted));
    dm_json_free(docs);
    dm_json_free(wanted);
}

static void repair(struct kit_app *app)
{
    struct dm_error err = {0};

    if (adm_repair(app->app, &err) != DM_OK)
        fail_msg("%s", err.text);
}

static const char apis[] = "{\"api_id\":\"a1\",\"api_name\":\"here\",\"api_version\":\"v1\"}";
#define KEPT                                                                                       \
    "{\"endpoint_id\":\"e1\",\"api_id\":\"a1\",\"api_name\":\"here\",\"api_version\":\"v1\","      \
    "\"endpoint_method\":\"GET\",\"endpoint_uri\":\"/x\"}"
#define THEIRS "{\"endpoint_id\":\"e3\",\"api_name\":\"gone\",\"endpoint_uri\":\"/y\"}"

/* DELETE of an API, ended after its first write. */
static void remains_of_a_removed_api_go(void **state)
{
    struct kit_app *app = *state;

    put(app, "apis", apis);
    put(app, "endpoints", KEPT);
    put(app, "endpoints",
        "{\"endpoint_id\":\"e2\",\"api_id\":\"a0\",\"api_name\":\"gone\",\"api_version\":\"v1\","
        "\"endpoint_method\":\"GET\",\"endpoint_uri\":\"/x\"}");
    put(app, "endpoints", THEIRS); /* of the Python Doorman: belongs to no id */
    put(app, "subscriptions", "{\"username\":\"ann\",\"apis\":[\"gone/v1\",\"here/v1\"]}");
    put(app, "subscriptions", "{\"username\":\"bob\",\"apis\":[\"gone/v1\"]}");
    repair(app);
    assert_stored(app, "endpoints", "[" KEPT "," THEIRS "]");
    assert_stored(app, "subscriptions",
                  "[{\"username\":\"ann\",\"apis\":[\"here/v1\"]},"
                  "{\"username\":\"bob\",\"apis\":[]}]");
}

/* The API was made anew under its name: endpoints of the old one must not come back with it. */
static void endpoints_of_an_api_of_the_same_name_go(void **state)
{
    struct kit_app *app = *state;

    put(app, "apis", apis);
    put(app, "endpoints",
        "{\"endpoint_id\":\"e2\",\"api_id\":\"a0\",\"api_name\":\"here\",\"api_version\":\"v1\"}");
    repair(app);
    assert_stored(app, "endpoints", "[]");
}

static void whole_records_are_left_alone(void **state)
{
    struct kit_app *app = *state;

    put(app, "apis", apis);
    put(app, "endpoints", KEPT);
    put(app, "subscriptions", "{\"username\":\"ann\",\"apis\":[\"here/v1\"]}");
    repair(app);
    repair(app);
    assert_stored(app, "apis",
                  "[{\"api_id\":\"a1\",\"api_name\":\"here\",\"api_version\":\"v1\"}]");
    assert_stored(app, "endpoints", "[" KEPT "]");
    assert_stored(app, "subscriptions", "[{\"username\":\"ann\",\"apis\":[\"here/v1\"]}]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(remains_of_a_removed_api_go, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(endpoints_of_an_api_of_the_same_name_go, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(whole_records_are_left_alone, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

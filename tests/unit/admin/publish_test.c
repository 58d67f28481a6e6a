#include "kit.h"

#include "admin/services/publish.h"
#include "admin/services/records.h"

enum { ROUNDS = 800, OTHERS = 60 /* in one piece with a1: they keep its reader busy */ };

static const struct dm_filter key = {
    .field = "api_id", .op = DM_FILTER_EQ, .kind = DM_JSON_STRING, .str = DM_LIT("a1")};

static struct dm_json *parse(const char *text)
{
    struct dm_json *doc;

    assert_int_equal(dm_json_parse(dm_view_of(text), &dm_json_default, &doc, NULL), DM_OK);
    return doc;
}

static void insert_api(struct kit_app *app, const char *id)
{
    char text[256];

    snprintf(text, sizeof text,
             "{\"api_id\":\"%s\",\"api_name\":\"%s\",\"api_version\":\"v1\","
             "\"api_servers\":[\"http://a\"]}",
             id, id);
    struct dm_json *doc = parse(text);
    struct dm_error err = {0};
    struct kit_call k;

    kit_call_init(&k, app->app, app->settings);
    assert_int_equal(adm_record_insert(&k.c, &dm_record_api, doc, &err), DM_OK);
    kit_call_done(&k);
    dm_json_free(doc);
}

/* --- one change --- */

static void a_change_is_published_before_the_call_returns(void **state)
{
    struct kit_app *app = *state;
    struct dm_error err = {0};
    struct kit_call k;
    size_t n;

    insert_api(app, "a1");
    assert_non_null(strstr(kit_heard(app), "http://a"));
    kit_call_init(&k, app->app, app->settings);
    assert_int_equal(adm_record_delete(&k.c, &dm_record_api, &key, 1, &n, &err), DM_OK);
    assert_int_equal(n, 1);
    assert_string_equal(kit_heard(app), ""); /* deleted */
    kit_call_done(&k);
}

/* --- two at once --- */

static bool change(struct kit_app *app, char letter, int number)
{
    DM_DEFER(dm_json_freep) struct dm_json *patch = dm_json_new_object();
    struct dm_json *servers = dm_json_new_array();
    struct dm_error err;
    struct kit_call k;
    char server[64];

    snprintf(server, sizeof server, "http://%c%d", letter, number);
    dm_json_push(servers, dm_json_new_str(dm_view_of(server)));
    dm_json_set(patch, DM_LIT("api_servers"), servers);
    kit_call_init(&k, app->app, app->settings);
    const enum dm_code rc = adm_record_patch(&k.c, &dm_record_api, &key, 1, patch, NULL, &err);
    kit_call_done(&k);
    return rc == DM_OK;
}

static bool change_to_a(struct kit_app *app, int round)
{
    return change(app, 'a', round);
}

static bool change_to_b(struct kit_app *app, int round)
{
    return change(app, 'b', round);
}

/* All along, so that the last falls into any moment of what the other does. */
static bool change_often(struct kit_app *app, int round)
{
    bool good = true;

    for (int i = 0; i < 8; i++)
        good = change(app, 'a', round * 8 + i) && good;
    return good;
}

static bool publish_all(struct kit_app *app, int round)
{
    struct dm_error err;

    (void)round;
    return adm_publish_all(app->app, false, &err) == DM_OK;
}

static bool published_is_stored(struct kit_app *app, int round)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *heard = parse(kit_heard(app));
    struct dm_error err;
    uint64_t version;

    (void)round;
    assert_int_equal(dm_documents_find(app->documents, "apis", &key, 1, &doc, &version, &err),
                     DM_OK);
    return dm_json_equal(dm_json_get(doc, DM_LIT("api_servers")),
                         dm_json_get(heard, DM_LIT("api_servers")));
}

static void what_was_stored_last_was_published_last(void **state)
{
    insert_api(*state, "a1");
    kit_race(*state, ROUNDS, change_to_a, change_to_b, published_is_stored);
}

static void publishing_everything_brings_nothing_old_back(void **state)
{
    insert_api(*state, "a1");
    for (int i = 0; i < OTHERS; i++) {
        char id[16];
        snprintf(id, sizeof id, "x%d", i);
        insert_api(*state, id);
    }
    kit_race(*state, ROUNDS, change_often, publish_all, published_is_stored);
}

#define APP_TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(a_change_is_published_before_the_call_returns),
        APP_TEST(what_was_stored_last_was_published_last),
        APP_TEST(publishing_everything_brings_nothing_old_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

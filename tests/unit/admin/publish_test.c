#include "kit.h"

#include "admin/services/publish.h"
#include "admin/services/records.h"

enum { ROUNDS = 800, OTHERS = 60 /* in one piece with a1: they keep its reader busy */ };

static int setup(void **state)
{
    struct kit_app *k = test_calloc(1, sizeof *k);

    kit_app_init(k, NULL);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    kit_app_done(*state);
    test_free(*state);
    return 0;
}

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

struct racer {
    struct kit_app *app;
    pthread_barrier_t *line;
    const char *letter;
    int n_changes; /* in a round; 0: publishes everything instead */
    bool failed;
};

static bool change(struct racer *r, int round)
{
    DM_DEFER(dm_json_freep) struct dm_json *patch = dm_json_new_object();
    struct dm_json *servers = dm_json_new_array();
    struct dm_error err;
    struct kit_call k;
    char server[64];

    snprintf(server, sizeof server, "http://%s%d", r->letter, round);
    dm_json_push(servers, dm_json_new_str(dm_view_of(server)));
    dm_json_set(patch, DM_LIT("api_servers"), servers);
    kit_call_init(&k, r->app->app, r->app->settings);
    const enum dm_code rc = adm_record_patch(&k.c, &dm_record_api, &key, 1, patch, NULL, &err);
    kit_call_done(&k);
    return rc == DM_OK;
}

static void *run_racer(void *arg)
{
    struct racer *r = arg;
    struct dm_error err;

    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(r->line);
        if (r->n_changes == 0 && adm_publish_all(r->app->app, &err) != DM_OK)
            r->failed = true;
        for (int i = 0; i < r->n_changes; i++)
            r->failed = !change(r, round * r->n_changes + i) || r->failed;
        pthread_barrier_wait(r->line); /* now the test compares */
        pthread_barrier_wait(r->line);
    }
    return NULL;
}

static bool published_is_stored(struct kit_app *app)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *heard = parse(kit_heard(app));
    struct dm_error err;
    uint64_t version;

    assert_int_equal(dm_documents_find(app->documents, "apis", &key, 1, &doc, &version, &err),
                     DM_OK);
    return dm_json_equal(dm_json_get(doc, DM_LIT("api_servers")),
                         dm_json_get(heard, DM_LIT("api_servers")));
}

static void race(struct kit_app *app, int n_changes, int n_changes_of_other)
{
    pthread_barrier_t line;
    struct racer racers[] = {
        {.app = app, .line = &line, .letter = "a", .n_changes = n_changes},
        {.app = app, .line = &line, .letter = "b", .n_changes = n_changes_of_other}};
    pthread_t ids[DM_COUNT_OF(racers)];
    int stale = 0;

    pthread_barrier_init(&line, NULL, DM_COUNT_OF(racers) + 1);
    for (size_t i = 0; i < DM_COUNT_OF(racers); i++)
        assert_int_equal(pthread_create(&ids[i], NULL, run_racer, &racers[i]), 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&line);
        pthread_barrier_wait(&line);
        stale += !published_is_stored(app);
        pthread_barrier_wait(&line);
    }
    for (size_t i = 0; i < DM_COUNT_OF(racers); i++) {
        pthread_join(ids[i], NULL);
        assert_false(racers[i].failed);
    }
    pthread_barrier_destroy(&line);
    assert_int_equal(stale, 0);
}

static void what_was_stored_last_was_published_last(void **state)
{
    insert_api(*state, "a1");
    race(*state, 1, 1);
}

static void publishing_everything_brings_nothing_old_back(void **state)
{
    insert_api(*state, "a1");
    for (int i = 0; i < OTHERS; i++) {
        char id[16];
        snprintf(id, sizeof id, "x%d", i);
        insert_api(*state, id);
    }
    race(*state, 8, 0); /* changes all along, the last of them at any moment */
}

#define APP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(a_change_is_published_before_the_call_returns),
        APP_TEST(what_was_stored_last_was_published_last),
        APP_TEST(publishing_everything_brings_nothing_old_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

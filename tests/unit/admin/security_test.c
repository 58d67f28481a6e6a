#include "kit.h"

#include "admin/handlers.h"
#include "admin/services/security.h"

enum { ROUNDS = 800 };

struct racer {
    struct kit_app *app;
    pthread_barrier_t *line;
    bool value, failed;
};

static bool update(struct racer *r)
{
    struct kit_call k;

    kit_call_init(&k, r->app->app, r->app->settings);
    k.c.body = dm_json_new_object();
    dm_json_set_bool(k.c.body, DM_LIT("allow_localhost_bypass"), r->value);
    adm_security_update(&k.c);
    const int status = k.c.result.status;
    kit_call_done(&k);
    return status == 200;
}

static void *run_racer(void *arg)
{
    struct racer *r = arg;

    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(r->line);
        r->failed = !update(r) || r->failed;
        pthread_barrier_wait(r->line); /* now the test compares */
        pthread_barrier_wait(r->line);
    }
    return NULL;
}

static bool applied_is_stored(struct kit_app *app)
{
    const struct dm_filter key = DM_WHERE("type", DM_LIT("security_settings"));
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    struct adm_security *s = adm_security_get(app->app);
    const bool applied = s->localhost_bypass;
    struct dm_error err;
    uint64_t version;

    adm_security_unref(s);
    assert_int_equal(dm_documents_find(app->documents, "settings", &key, 1, &doc, &version, &err),
                     DM_OK);
    return applied == dm_json_bool(dm_json_get(doc, DM_LIT("allow_localhost_bypass")), false);
}

static void what_was_stored_last_is_applied(void **state)
{
    struct kit_app *app = *state;
    pthread_barrier_t line;
    struct racer racers[] = {{.app = app, .line = &line, .value = true},
                             {.app = app, .line = &line, .value = false}};
    pthread_t ids[DM_COUNT_OF(racers)];
    int stale = 0;

    pthread_barrier_init(&line, NULL, DM_COUNT_OF(racers) + 1);
    for (size_t i = 0; i < DM_COUNT_OF(racers); i++)
        assert_int_equal(pthread_create(&ids[i], NULL, run_racer, &racers[i]), 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&line);
        pthread_barrier_wait(&line);
        stale += !applied_is_stored(app);
        pthread_barrier_wait(&line);
    }
    for (size_t i = 0; i < DM_COUNT_OF(racers); i++) {
        pthread_join(ids[i], NULL);
        assert_false(racers[i].failed);
    }
    pthread_barrier_destroy(&line);
    assert_int_equal(stale, 0);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_stored_last_is_applied, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

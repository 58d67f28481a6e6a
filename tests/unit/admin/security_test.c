#include "kit.h"

#include "admin/handlers.h"
#include "admin/services/security.h"

enum { ROUNDS = 800 };

static bool update(struct kit_app *app, bool value)
{
    struct kit_call k;

    kit_call_init(&k, app->app, app->settings);
    k.c.body = dm_json_new_object();
    dm_json_set_bool(k.c.body, DM_LIT("allow_localhost_bypass"), value);
    adm_security_update(&k.c);
    const int status = k.c.result.status;
    kit_call_done(&k);
    return status == 200;
}

static bool allow(struct kit_app *app, int round)
{
    (void)round;
    return update(app, true);
}

static bool forbid(struct kit_app *app, int round)
{
    (void)round;
    return update(app, false);
}

static bool applied_is_stored(struct kit_app *app, int round)
{
    const struct dm_filter key = DM_WHERE("type", DM_LIT("security_settings"));
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    struct adm_security *s = adm_security_get(app->app);
    const bool applied = s->localhost_bypass;
    struct dm_error err;
    uint64_t version;

    (void)round;
    adm_security_unref(s);
    assert_int_equal(dm_documents_find(app->documents, "settings", &key, 1, &doc, &version, &err),
                     DM_OK);
    return applied == dm_json_bool(dm_json_get(doc, DM_LIT("allow_localhost_bypass")), false);
}

static void what_was_stored_last_is_applied(void **state)
{
    kit_race(*state, ROUNDS, allow, forbid, applied_is_stored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_stored_last_is_applied, kit_setup, kit_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

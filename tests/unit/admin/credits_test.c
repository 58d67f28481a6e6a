/* Balances in two places: the live store runs them, documents keep them, and neither is left with
 * what the other does not know. */
#include "kit.h"

#include "admin/services/credits.h"

enum { ROUNDS = 200 };

static void save(struct kit_app *k, const char *entries)
{
    DM_DEFER(dm_json_freep) struct dm_json *map = NULL;
    struct dm_error err;

    assert_int_equal(dm_json_parse(dm_view_of(entries), &dm_json_default, &map, NULL), DM_OK);
    assert_int_equal(adm_credits_save(k->app, DM_LIT("bob"), map, &err), DM_OK);
}

static void save_balance(struct kit_app *k, const char *group, int64_t n)
{
    char text[256];

    snprintf(text, sizeof text, "{\"%s\":{\"tier_name\":\"t\",\"available_credits\":%lld}}", group,
             (long long)n);
    save(k, text);
}

static int64_t running(struct kit_app *k, const char *group)
{
    struct dm_error err;
    int64_t n;
    enum dm_code rc = dm_live_credits_get(k->live, dm_view_of(group), DM_LIT("bob"), &n, &err);

    if (rc == DM_NOT_FOUND)
        return -1;
    assert_int_equal(rc, DM_OK);
    return n;
}

static void run_to(struct kit_app *k, const char *group, int64_t n)
{
    struct dm_error err;

    assert_int_equal(dm_live_credits_set(k->live, dm_view_of(group), DM_LIT("bob"), n, false, &err),
                     DM_OK);
}

/* What lies in the documents, untouched by a look at it. */
static int64_t kept(struct kit_app *k, const char *group)
{
    const struct dm_filter key = DM_WHERE("username", DM_LIT("bob"));
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    struct dm_error err;
    uint64_t version;

    if (dm_documents_find(k->documents, "user_credits", &key, 1, &doc, &version, &err) != DM_OK)
        return -1;
    const struct dm_json *entry =
        dm_json_get(dm_json_get(doc, DM_LIT("users_credits")), dm_view_of(group));
    return dm_json_i64(dm_json_get(entry, DM_LIT("available_credits")), -1);
}

static void saving_sets_both(void **state)
{
    save_balance(*state, "g", 7);
    assert_int_equal(running(*state, "g"), 7);
    assert_int_equal(kept(*state, "g"), 7);
    save_balance(*state, "h", 1); /* the whole map: g is gone, with its balance */
    assert_int_equal(running(*state, "g"), -1);
    assert_int_equal(kept(*state, "g"), -1);
    assert_int_equal(running(*state, "h"), 1);
}

static void what_was_spent_reaches_the_document_when_it_is_shown(void **state)
{
    struct kit_app *k = *state;
    struct dm_json *doc = NULL;
    struct dm_error err;

    save_balance(k, "g", 7);
    run_to(k, "g", 4);
    assert_int_equal(kept(k, "g"), 7);
    assert_int_equal(adm_credits_find(k->app, DM_LIT("bob"), &doc, &err), DM_OK);
    dm_json_free(doc);
    assert_int_equal(kept(k, "g"), 4);
    assert_int_equal(adm_credits_find(k->app, DM_LIT("nobody"), &doc, &err), DM_NOT_FOUND);
}

static void what_was_spent_reaches_the_document_before_a_dump(void **state)
{
    struct kit_app *k = *state;

    save_balance(k, "g", 7);
    run_to(k, "g", 3);
    DM_DEFER(dm_json_freep) struct dm_json *all = adm_app_export(k->app);
    assert_non_null(dm_json_get(all, DM_LIT("user_credits")));
    assert_int_equal(kept(k, "g"), 3);
}

static void a_store_that_lost_a_balance_gets_it_back(void **state)
{
    struct kit_app *k = *state;
    struct dm_error err;

    save_balance(k, "g", 7);
    assert_int_equal(dm_live_credits_delete(k->live, DM_LIT("g"), DM_LIT("bob"), &err), DM_OK);
    assert_int_equal(adm_credits_reconcile(k->app, &err), DM_OK);
    assert_int_equal(running(k, "g"), 7);
    run_to(k, "g", 2);
    assert_int_equal(adm_credits_restore(k->app, &err), DM_OK);
    assert_int_equal(running(k, "g"), 2); /* one that runs is the truth */
}

static void a_removed_user_leaves_nothing(void **state)
{
    struct kit_app *k = *state;
    struct dm_error err;

    save_balance(k, "g", 7);
    assert_int_equal(adm_credits_remove(k->app, DM_LIT("bob"), &err), DM_OK);
    assert_int_equal(adm_credits_remove(k->app, DM_LIT("bob"), &err), DM_OK);
    assert_int_equal(running(k, "g"), -1);
    assert_int_equal(kept(k, "g"), -1);
    assert_int_equal(adm_credits_restore(k->app, &err), DM_OK);
    assert_int_equal(running(k, "g"), -1);
}

static void the_data_plane_gets_keys_alone(void **state)
{
    (void)state;
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    struct dm_buf text;

    assert_int_equal(
        dm_json_parse(DM_LIT("{\"username\":\"bob\",\"_id\":\"x\",\"users_credits\":{"
                             "\"g\":{\"available_credits\":5,\"user_api_key\":\"enc:1\"},"
                             "\"h\":{\"available_credits\":5,\"user_api_key\":null},\"i\":7}}"),
                      &dm_json_default, &doc, NULL),
        DM_OK);
    DM_DEFER(dm_json_freep) struct dm_json *out = adm_credits_project(doc);
    dm_buf_init(&text, 1024);
    dm_json_write(out, &text);
    assert_view(dm_buf_view(&text), "{\"username\":\"bob\",\"keys\":{\"g\":\"enc:1\"}}");
    dm_buf_done(&text);
}

/* Saving and looking at once: a look never puts back what a save replaced. */
static bool save_round(struct kit_app *k, int round)
{
    save_balance(k, "g", round + 1000);
    return true;
}

static bool look_round(struct kit_app *k, int round)
{
    struct dm_json *doc = NULL;
    struct dm_error err;
    enum dm_code rc = adm_credits_find(k->app, DM_LIT("bob"), &doc, &err);

    (void)round;
    dm_json_free(doc);
    return rc == DM_OK || rc == DM_NOT_FOUND;
}

static bool both_agree(struct kit_app *k, int round)
{
    return running(k, "g") == round + 1000 && kept(k, "g") == round + 1000;
}

static void a_look_never_undoes_a_save(void **state)
{
    kit_race(*state, ROUNDS, save_round, look_round, both_agree);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, kit_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(saving_sets_both),
        TEST(what_was_spent_reaches_the_document_when_it_is_shown),
        TEST(what_was_spent_reaches_the_document_before_a_dump),
        TEST(a_store_that_lost_a_balance_gets_it_back),
        TEST(a_removed_user_leaves_nothing),
        TEST(a_look_never_undoes_a_save),
        cmocka_unit_test(the_data_plane_gets_keys_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

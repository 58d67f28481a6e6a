#include "kit.h"

#include "admin/services/revocation.h"

enum { ROUNDS = 800 };

static bool revoke(struct kit_app *app, int round)
{
    struct dm_error err;

    (void)round;
    return adm_revoke_user(app->app, DM_LIT("bob"), &err) == DM_OK;
}

static bool unrevoke(struct kit_app *app, int round)
{
    struct dm_error err;

    (void)round;
    return adm_unrevoke_user(app->app, DM_LIT("bob"), &err) == DM_OK;
}

static bool is_revoked(struct kit_app *app, dm_view jti)
{
    struct dm_error err;
    bool revoked;

    assert_int_equal(dm_live_is_revoked(app->live, DM_LIT("bob"), jti, &revoked, &err), DM_OK);
    return revoked;
}

static bool live_is_durable(struct kit_app *app, int round)
{
    const struct dm_filter key = DM_WHERE("username", DM_LIT("bob"));
    struct dm_error err;
    uint64_t n;

    (void)round;
    assert_int_equal(dm_documents_count(app->documents, "revocations", &key, 1, &n, &err), DM_OK);
    return is_revoked(app, DM_LIT("j")) == (n > 0);
}

static void a_revoked_user_stays_so_until_unrevoked(void **state)
{
    assert_true(revoke(*state, 0));
    assert_true(revoke(*state, 0)); /* twice is fine */
    assert_true(is_revoked(*state, DM_LIT("j")));
    assert_true(live_is_durable(*state, 0));
    assert_true(unrevoke(*state, 0));
    assert_false(is_revoked(*state, DM_LIT("j")));
    assert_true(live_is_durable(*state, 0));
}

static void a_revoked_token_takes_no_other_with_it(void **state)
{
    struct kit_app *app = *state;
    const int64_t exp = dm_clock_wall(&app->clock.clock) / DM_SEC + 60;
    struct dm_error err;

    assert_int_equal(adm_revoke_token(app->app, DM_LIT("bob"), DM_LIT("j"), exp, &err), DM_OK);
    assert_true(is_revoked(app, DM_LIT("j")));
    assert_false(is_revoked(app, DM_LIT("k")));
}

/* Else a restart would bring back what was lifted, or lift what holds. */
static void live_and_durable_agree_whatever_happens_at_once(void **state)
{
    kit_race(*state, ROUNDS, revoke, unrevoke, live_is_durable);
}

#define APP_TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(a_revoked_user_stays_so_until_unrevoked),
        APP_TEST(a_revoked_token_takes_no_other_with_it),
        APP_TEST(live_and_durable_agree_whatever_happens_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "kit.h"

#include "admin/session/tokens.h"
#include "crypto/jwt.h"

#define ENV(...) ((const char *const[]){__VA_ARGS__, NULL})

static int setup(void **state)
{
    return kit_setup_with(state,
                          ENV("AUTH_EXPIRE_TIME=15", "AUTH_EXPIRE_TIME_FREQ=minutes",
                              "AUTH_REFRESH_EXPIRE_TIME=2", "AUTH_REFRESH_EXPIRE_FREQ=days"),
                          NULL);
}

static void issue(struct kit_app *app, struct kit_call *k, struct adm_tokens *t)
{
    kit_call_init(k, app->app, app->settings);
    assert_int_equal(adm_tokens_issue(&k->c, DM_LIT("bob"), DM_LIT("user"), NULL, t), DM_OK);
}

static struct dm_jwt_claims verified(struct kit_app *app, struct kit_call *k, dm_view token,
                                     enum dm_jwt_use use)
{
    struct dm_jwt_claims claims = {.exp = 0};

    assert_int_equal(
        dm_jwt_verify(app->keys, token, use, dm_clock_wall(&app->clock.clock), &k->arena, &claims),
        DM_JWT_OK);
    return claims;
}

/* --- tokens --- */

static void each_token_opens_its_own_door_for_its_own_time(void **state)
{
    struct kit_app *app = *state;
    const int64_t now = dm_clock_wall(&app->clock.clock) / DM_SEC;
    struct dm_jwt_claims unused;
    struct adm_tokens t;
    struct kit_call k;

    issue(app, &k, &t);
    const struct dm_jwt_claims access = verified(app, &k, t.access, DM_JWT_ACCESS);
    const struct dm_jwt_claims refresh = verified(app, &k, t.refresh, DM_JWT_REFRESH);
    assert_view(access.sub, "bob");
    assert_view(access.role, "user");
    assert_view(access.token_use, "access");
    assert_int_equal(access.iat, now);
    assert_int_equal(access.nbf, now);
    assert_int_equal(access.exp, now + 15 * 60);
    assert_int_equal(refresh.exp, now + 2 * 86400);
    assert_false(dm_view_eq(access.jti, refresh.jti));
    assert_int_equal(
        dm_jwt_verify(app->keys, t.refresh, DM_JWT_ACCESS, now * DM_SEC, &k.arena, &unused),
        DM_JWT_WRONG_USE);
    assert_int_equal(
        dm_jwt_verify(app->keys, t.access, DM_JWT_REFRESH, now * DM_SEC, &k.arena, &unused),
        DM_JWT_WRONG_USE);
    kit_call_done(&k);
}

/* --- CSRF --- */

static void a_csrf_value_fits_its_own_session_only(void **state)
{
    struct kit_app *app = *state;
    struct adm_tokens t, other;
    struct kit_call k, k2;

    issue(app, &k, &t);
    issue(app, &k2, &other);
    const dm_view jti = verified(app, &k, t.access, DM_JWT_ACCESS).jti;
    const dm_view refresh_jti = verified(app, &k, t.refresh, DM_JWT_REFRESH).jti;
    assert_true(adm_csrf_token_fits(app->app, t.csrf, jti));
    assert_false(adm_csrf_token_fits(app->app, other.csrf, jti));
    assert_false(adm_csrf_token_fits(app->app, t.csrf, refresh_jti));
    assert_false(adm_csrf_token_fits(app->app, t.csrf, DM_LIT("")));
    kit_call_done(&k);
    kit_call_done(&k2);
}

static void a_csrf_value_changed_in_any_byte_does_not_fit(void **state)
{
    struct kit_app *app = *state;
    struct adm_tokens t;
    struct kit_call k;
    char value[256];

    issue(app, &k, &t);
    const dm_view jti = verified(app, &k, t.access, DM_JWT_ACCESS).jti;
    assert_true(t.csrf.len < sizeof value);
    for (size_t i = 0; i < t.csrf.len; i++) {
        memcpy(value, t.csrf.ptr, t.csrf.len);
        value[i] = value[i] == 'A' ? 'B' : 'A';
        assert_false(adm_csrf_token_fits(app->app, dm_view_make(value, t.csrf.len), jti));
        assert_false(adm_csrf_token_fits(app->app, dm_view_make(t.csrf.ptr, i), jti));
    }
    assert_false(adm_csrf_token_fits(app->app, DM_LIT(""), jti));
    assert_false(adm_csrf_token_fits(app->app, DM_LIT("."), jti));
    assert_false(adm_csrf_token_fits(app->app, DM_LIT(".abc"), jti));
    assert_false(adm_csrf_token_fits(app->app, DM_LIT("abc."), jti));
    kit_call_done(&k);
}

static void a_csrf_value_of_another_process_does_not_fit(void **state)
{
    struct kit_app *app = *state, *other = test_calloc(1, sizeof *other);
    struct adm_tokens t;
    struct kit_call k;

    kit_app_init(other, NULL); /* the same JWT secret, another server key */
    issue(app, &k, &t);
    const dm_view jti = verified(app, &k, t.access, DM_JWT_ACCESS).jti;
    assert_false(adm_csrf_token_fits(other->app, t.csrf, jti));
    kit_call_done(&k);
    kit_app_done(other);
    test_free(other);
}

/* --- cookies --- */

/* The n-th Set-Cookie; ptr NULL past the last. */
static dm_view cookie_at(const struct kit_call *k, size_t n)
{
    for (size_t i = 0; i < k->rs.fields.count; i++) {
        if (dm_view_eq_nocase(k->rs.fields.items[i].name, DM_LIT("Set-Cookie")) && n-- == 0)
            return k->rs.fields.items[i].value;
    }
    return DM_VIEW_NONE;
}

static bool has(dm_view text, const char *part)
{
    return dm_view_find(text, dm_view_of(part)) < text.len;
}

static const struct adm_tokens plain = {
    .access = DM_LIT("a.b.c"), .refresh = DM_LIT("d.e.f"), .csrf = DM_LIT("g.h")};

static void set_cookies(struct kit_call *k, struct dm_settings *s, const char *host, bool https)
{
    kit_call_init(k, NULL, s);
    k->rq.host = dm_view_of(host);
    k->rq.https = https;
    adm_cookies_set(&k->c, &plain);
}

static void cookies_are_written_as_the_contract_says(void **state) /* platform-access.md §5.4 */
{
    struct kit_app *app = *state;
    struct kit_call k;

    set_cookies(&k, app->settings, "localhost:5001", false);
    assert_true(has(cookie_at(&k, 0), "access_token_cookie=\"\"; expires="));
    assert_view(cookie_at(&k, 1), "csrf_token=g.h; Max-Age=900; Path=/; SameSite=strict");
    assert_view(cookie_at(&k, 2),
                "access_token_cookie=a.b.c; HttpOnly; Max-Age=900; Path=/; SameSite=strict");
    assert_view(cookie_at(&k, 3), "refresh_token_cookie=d.e.f; HttpOnly; Max-Age=172800; "
                                  "Path=/platform/authorization; SameSite=strict");
    assert_null(cookie_at(&k, 4).ptr);
    kit_call_done(&k);
}

static void clearing_ends_every_cookie_at_its_own_path(void **state)
{
    struct kit_app *app = *state;
    struct kit_call k;

    kit_call_init(&k, NULL, app->settings);
    adm_cookies_clear(&k.c);
    for (size_t i = 0; i < 3; i++) {
        assert_true(has(cookie_at(&k, i), "=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT"));
        assert_true(has(cookie_at(&k, i), "; Max-Age=0; "));
    }
    assert_true(has(cookie_at(&k, 1), "refresh_token_cookie="));
    assert_true(has(cookie_at(&k, 1), "; Path=/platform/authorization; "));
    kit_call_done(&k);
}

static void assert_domain(struct dm_settings *s, const char *host, bool stands)
{
    struct kit_call k;

    set_cookies(&k, s, host, false);
    for (size_t i = 0; i < 4; i++) {
        if (has(cookie_at(&k, i), "; Domain=example.com;") != stands ||
            has(cookie_at(&k, i), "Domain") != stands)
            fail_msg("host \"%s\": \"%.*s\"", host, DM_FMT(cookie_at(&k, i)));
    }
    kit_call_done(&k);
}

static void a_domain_is_set_only_where_the_host_is_in_it(void **state) /* operations.md §8.9 */
{
    struct dm_settings *s = kit_settings(ENV("COOKIE_DOMAIN=example.com"));
    struct dm_settings *dotless = kit_settings(ENV("COOKIE_DOMAIN=localhost"));

    (void)state;
    assert_domain(s, "example.com", true);
    assert_domain(s, "example.com:5001", true);
    assert_domain(s, "Admin.Example.COM", true);
    assert_domain(s, "a.b.example.com:5001", true);
    assert_domain(s, "evilexample.com", false);
    assert_domain(s, "example.com.evil", false);
    assert_domain(s, ".example.com", false);
    assert_domain(s, "localhost:5001", false);
    assert_domain(s, "127.0.0.1", false);
    assert_domain(s, "[::1]:5001", false);
    assert_domain(s, "", false);
    assert_domain(dotless, "localhost", false);
    dm_settings_unref(s);
    dm_settings_unref(dotless);
}

static void assert_secure(const char *const *env, bool https, bool secure)
{
    struct dm_settings *s = kit_settings(env);
    struct kit_call k;

    set_cookies(&k, s, "localhost", https);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(has(cookie_at(&k, i), "; Secure"), secure);
    kit_call_done(&k);
    dm_settings_unref(s);
}

static void secure_follows_the_setting_then_the_scheme(void **state)
{
    (void)state;
    assert_secure(NULL, false, false);
    assert_secure(NULL, true, true);
    assert_secure(ENV("HTTPS_ONLY=true"), false, true);
    assert_secure(ENV("COOKIE_SECURE=true"), false, true);
    assert_secure(ENV("COOKIE_SECURE=false"), true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_opens_its_own_door_for_its_own_time),
        cmocka_unit_test(a_csrf_value_fits_its_own_session_only),
        cmocka_unit_test(a_csrf_value_changed_in_any_byte_does_not_fit),
        cmocka_unit_test(a_csrf_value_of_another_process_does_not_fit),
        cmocka_unit_test(cookies_are_written_as_the_contract_says),
        cmocka_unit_test(clearing_ends_every_cookie_at_its_own_path),
        cmocka_unit_test(a_domain_is_set_only_where_the_host_is_in_it),
        cmocka_unit_test(secure_follows_the_setting_then_the_scheme),
    };

    return cmocka_run_group_tests(tests, setup, kit_teardown);
}

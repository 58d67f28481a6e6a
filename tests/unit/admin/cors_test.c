#include "kit.h"

#include "admin/answer.h"
#include "admin/cors.h"
#include "admin/handlers.h"

#define ENV(...) ((const char *const[]){__VA_ARGS__, NULL})

static bool allowed(const char *const *env, const char *origin)
{
    struct dm_settings *s = kit_settings(env);
    const bool yes = adm_cors_origin_allowed(s, dm_view_of(origin));

    dm_settings_unref(s);
    return yes;
}

/* --- the table of operations.md §8.10.1 --- */

static void a_listed_origin_is_allowed_exactly(void **state)
{
    const char *const *env = ENV("ALLOWED_ORIGINS=https://a.example,http://b.example:81");

    (void)state;
    assert_true(allowed(env, "https://a.example"));
    assert_true(allowed(env, "http://b.example:81"));
    assert_false(allowed(env, "http://a.example"));
    assert_false(allowed(env, "https://a.example.evil"));
    assert_false(allowed(env, "https://a.example:443"));
    assert_false(allowed(env, "http://b.example"));
    assert_false(allowed(env, "null"));
    assert_false(allowed(env, ""));
}

static void a_wildcard_that_is_not_strict_allows_all(void **state)
{
    const char *const *env =
        ENV("ALLOWED_ORIGINS=*", "ALLOW_CREDENTIALS=true", "CORS_STRICT=false");

    (void)state;
    assert_true(allowed(env, "https://anybody.example"));
    assert_false(allowed(env, ""));
}

static void a_strict_wildcard_with_credentials_allows_this_machine_only(void **state)
{
    const char *const *env = ENV("ALLOWED_ORIGINS=*", "ALLOW_CREDENTIALS=true", "CORS_STRICT=true");

    (void)state;
    assert_true(allowed(env, "http://localhost"));
    assert_true(allowed(env, "https://localhost:3000"));
    assert_true(allowed(env, "http://127.0.0.1:8080"));
    assert_false(allowed(env, "http://localhost.evil.example"));
    assert_false(allowed(env, "http://127.0.0.1.evil.example"));
    assert_false(allowed(env, "http://localhost:3000.evil.example"));
    assert_false(allowed(env, "http://localhost:70000"));
    assert_false(allowed(env, "http://localhost:"));
    assert_false(allowed(env, "http://localhost@evil.example"));
    assert_false(allowed(env, "ftp://localhost"));
    assert_false(allowed(env, "https://anybody.example"));
}

static void a_strict_wildcard_without_credentials_allows_all(void **state)
{
    (void)state;
    assert_true(allowed(ENV("ALLOWED_ORIGINS=*", "ALLOW_CREDENTIALS=false", "CORS_STRICT=true"),
                        "https://anybody.example"));
}

/* --- the live path --- */

static void preflight(struct kit_call *k, struct dm_settings *s, const char *origin)
{
    kit_call_init(k, NULL, s);
    k->rq.method = DM_LIT("OPTIONS");
    k->rq.target = DM_LIT("/platform/user");
    if (origin != NULL)
        kit_field(k, "Origin", origin);
    adm_answer_preflight(&k->c);
    assert_int_equal(k->rs.status, 204);
    assert_view(kit_answer_field(k, "Vary"), "Origin");
}

static void a_preflight_echoes_an_allowed_origin_and_never_a_star(void **state)
{
    struct dm_settings *s = kit_settings(
        ENV("ALLOWED_ORIGINS=*", "ALLOW_CREDENTIALS=true", "CORS_STRICT=false", "CORS_MAX_AGE=77"));
    struct kit_call k;

    (void)state;
    preflight(&k, s, "https://anybody.example");
    assert_view(kit_answer_field(&k, "Access-Control-Allow-Origin"), "https://anybody.example");
    assert_view(kit_answer_field(&k, "Access-Control-Allow-Credentials"), "true");
    assert_view(kit_answer_field(&k, "Access-Control-Max-Age"), "77");
    kit_call_done(&k);
    preflight(&k, s, NULL);
    assert_null(kit_answer_field(&k, "Access-Control-Allow-Origin").ptr);
    kit_call_done(&k);
    dm_settings_unref(s);
}

static void an_answer_to_a_foreign_origin_only_lacks_the_header(void **state)
{
    struct dm_settings *s =
        kit_settings(ENV("ALLOWED_ORIGINS=https://a.example", "ALLOW_CREDENTIALS=false"));
    struct kit_call k;

    (void)state;
    kit_call_init(&k, NULL, s);
    k.rq.target = DM_LIT("/platform/user");
    kit_field(&k, "Origin", "https://b.example");
    adm_ok_message(&k.c, 200, "fine");
    adm_answer(&k.c);
    assert_int_equal(k.rs.status, 200);
    assert_null(kit_answer_field(&k, "Access-Control-Allow-Origin").ptr);
    assert_null(kit_answer_field(&k, "Access-Control-Allow-Credentials").ptr);
    assert_view(kit_answer_field(&k, "Access-Control-Expose-Headers"),
                "X-Request-ID, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset");
    kit_call_done(&k);
    dm_settings_unref(s);
}

static void a_wildcard_of_headers_is_sent_as_a_list(void **state)
{
    struct dm_settings *s = kit_settings(ENV("ALLOW_HEADERS=*", "ALLOW_METHODS=GET,POST"));
    struct kit_call k;

    (void)state;
    preflight(&k, s, NULL);
    assert_view(kit_answer_field(&k, "Access-Control-Allow-Headers"),
                "Accept, Content-Type, X-CSRF-Token, Authorization, X-Requested-With");
    assert_view(kit_answer_field(&k, "Access-Control-Allow-Methods"), "GET, POST, OPTIONS");
    kit_call_done(&k);
    dm_settings_unref(s);
}

/* --- the checker says what the live path does (operations.md §8.10.3) --- */

enum { ROUNDS = 400 };

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

#define PICK(seed, list) (list)[draw(seed) % DM_COUNT_OF(list)]

static struct dm_settings *draw_settings(uint64_t *seed)
{
    static const char *const origins[] = {
        "ALLOWED_ORIGINS=*", "ALLOWED_ORIGINS=https://a.example",
        "ALLOWED_ORIGINS=https://a.example,http://localhost:3000"};
    static const char *const methods[] = {"ALLOW_METHODS=*", "ALLOW_METHODS=GET,POST",
                                          "ALLOW_METHODS=DELETE,OPTIONS"};
    static const char *const headers[] = {"ALLOW_HEADERS=*", "ALLOW_HEADERS=X-One,Content-Type"};
    static const char *const credentials[] = {"ALLOW_CREDENTIALS=true", "ALLOW_CREDENTIALS=false"};
    static const char *const strict[] = {"CORS_STRICT=true", "CORS_STRICT=false"};

    return kit_settings(ENV(PICK(seed, origins), PICK(seed, methods), PICK(seed, headers),
                            PICK(seed, credentials), PICK(seed, strict)));
}

struct question {
    const char *origin, *method, *header;
};

static struct question draw_question(uint64_t *seed)
{
    static const char *const origins[] = {"https://a.example", "http://localhost:3000",
                                          "http://localhost.evil.example", "https://b.example",
                                          "null"};
    static const char *const methods[] = {"GET",     "POST",  "PUT", "DELETE",
                                          "OPTIONS", "PATCH", "HEAD"};
    static const char *const headers[] = {"x-one", "Content-Type", "authorization", "X-Two"};

    return (struct question){PICK(seed, origins), PICK(seed, methods), PICK(seed, headers)};
}

static void ask_checker(struct kit_call *k, struct dm_settings *s, const struct question *q)
{
    struct dm_json *headers = dm_json_new_array();

    kit_call_init(k, NULL, s);
    k->c.body = dm_json_new_object();
    dm_json_set_str(k->c.body, DM_LIT("origin"), dm_view_of(q->origin));
    dm_json_set_str(k->c.body, DM_LIT("method"), dm_view_of(q->method));
    dm_json_push(headers, dm_json_new_str(dm_view_of(q->header)));
    dm_json_set(k->c.body, DM_LIT("request_headers"), headers);
    adm_tools_cors_check(&k->c);
    assert_int_equal(k->c.result.status, 200);
}

/* What a browser makes of the live answer (Fetch, "CORS-preflight fetch"). */
static bool browser_passes(const struct kit_call *live, const struct question *q)
{
    const dm_view origin = kit_answer_field(live, "Access-Control-Allow-Origin");

    return dm_view_eq(origin, dm_view_of(q->origin)) &&
           dm_list_has_token(kit_answer_field(live, "Access-Control-Allow-Methods"),
                             dm_view_of(q->method)) &&
           dm_list_has_token(kit_answer_field(live, "Access-Control-Allow-Headers"),
                             dm_view_of(q->header));
}

static void assert_same(const struct dm_json *headers, const struct kit_call *live,
                        const char *name)
{
    const dm_view told = dm_json_str(dm_json_get(headers, dm_view_of(name)));
    const dm_view sent = kit_answer_field(live, name);

    if (!dm_view_eq(told, sent))
        fail_msg("%s: the checker tells \"%.*s\", the live path sends \"%.*s\"", name, DM_FMT(told),
                 DM_FMT(sent));
}

static void compare(struct dm_settings *s, const struct question *q)
{
    struct kit_call checker, live;

    ask_checker(&checker, s, q);
    preflight(&live, s, q->origin);
    const struct dm_json *told = dm_json_get(checker.c.result.response, DM_LIT("preflight"));
    const struct dm_json *headers = dm_json_get(told, DM_LIT("response_headers"));
    assert_same(headers, &live, "Access-Control-Allow-Origin");
    assert_same(headers, &live, "Access-Control-Allow-Methods");
    assert_same(headers, &live, "Access-Control-Allow-Headers");
    assert_int_equal(
        dm_view_eq(dm_json_str(dm_json_get(headers, DM_LIT("Access-Control-Allow-Credentials"))),
                   DM_LIT("true")),
        kit_answer_field(&live, "Access-Control-Allow-Credentials").ptr != NULL);
    assert_int_equal(dm_json_bool(dm_json_get(told, DM_LIT("allowed")), false),
                     browser_passes(&live, q));
    kit_call_done(&checker);
    kit_call_done(&live);
}

static void the_checker_tells_what_the_live_path_does(void **state)
{
    uint64_t seed = 20240115;

    (void)state;
    for (int i = 0; i < ROUNDS / 10; i++) {
        struct dm_settings *s = draw_settings(&seed);

        for (int k = 0; k < 10; k++) {
            const struct question q = draw_question(&seed);
            compare(s, &q);
        }
        dm_settings_unref(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listed_origin_is_allowed_exactly),
        cmocka_unit_test(a_wildcard_that_is_not_strict_allows_all),
        cmocka_unit_test(a_strict_wildcard_with_credentials_allows_this_machine_only),
        cmocka_unit_test(a_strict_wildcard_without_credentials_allows_all),
        cmocka_unit_test(a_preflight_echoes_an_allowed_origin_and_never_a_star),
        cmocka_unit_test(an_answer_to_a_foreign_origin_only_lacks_the_header),
        cmocka_unit_test(a_wildcard_of_headers_is_sent_as_a_list),
        cmocka_unit_test(the_checker_tells_what_the_live_path_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

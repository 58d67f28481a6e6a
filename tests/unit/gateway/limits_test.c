/* Identity and admission: tokens, revocation, rate, throttle, bandwidth, and the store that does
 * not answer. */
#include <stdio.h>
#include <unistd.h>

#include "rig.h"
#include "store/live_outage.h"

#define ITEMS "/api/rest/demo/v1/items"

RIG_SETUP(setup_fail_open, "REVOCATION_FAIL_MODE=open")
RIG_SETUP(setup_short_throttle, "THROTTLE_MAX_WAIT_SECONDS=1.5")

static size_t upstream_calls(const struct rig *r)
{
    return r->up[0].n_requests + r->up[1].n_requests;
}

/* --- tokens --- */

static int get_with(struct rig *r, const char *field)
{
    return rig_get_anonymous(r, ITEMS, field);
}

static void a_token_comes_by_bearer_bare_or_cookie(void **state)
{
    struct rig *r = *state;
    char field[4096];
    const char *const forms[] = {"Authorization: Bearer %s\r\n", "authorization: bearer %s\r\n",
                                 "Authorization: %s\r\n",
                                 "Cookie: a=b; access_token_cookie=%s\r\n"};

    for (size_t i = 0; i < DM_COUNT_OF(forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(field, sizeof field, forms[i], rig_token(r, "bob", ""));
#pragma GCC diagnostic pop
        assert_int_equal(get_with(r, field), 200);
    }
}

static void a_bad_cookie_is_final(void **state)
{
    struct rig *r = *state;
    char field[4096];

    snprintf(field, sizeof field, "Authorization: Bearer %s\r\nCookie: access_token_cookie=bad\r\n",
             rig_token(r, "bob", ""));
    assert_int_equal(get_with(r, field), 401);
}

static void three_words_are_no_token(void **state)
{
    struct rig *r = *state;
    char field[4096];

    snprintf(field, sizeof field, "Authorization: Bearer %s x\r\n", rig_token(r, "bob", ""));
    assert_int_equal(get_with(r, field), 401);
    snprintf(field, sizeof field, "Authorization: Basic %s\r\n", rig_token(r, "bob", ""));
    assert_int_equal(get_with(r, field), 401);
    assert_int_equal(rig_count(r, GW_COUNT_AUTH_MISSING), 2);
}

static void a_refresh_token_opens_nothing(void **state)
{
    struct rig *r = *state;
    char field[4096], payload[512];
    struct dm_buf token;

    snprintf(payload, sizeof payload,
             "{\"sub\":\"bob\",\"jti\":\"j\",\"token_use\":\"refresh\",\"exp\":1700086400}");
    dm_buf_init(&token, 4096);
    assert_int_equal(dm_jwt_sign(dm_keyset_signer(r->keys), dm_view_of(payload), &token), DM_OK);
    snprintf(field, sizeof field, "Authorization: Bearer %.*s\r\n", DM_FMT(dm_buf_view(&token)));
    dm_buf_done(&token);
    assert_int_equal(get_with(r, field), 401);
    assert_int_equal(rig_count(r, GW_COUNT_AUTH_FAULT_FIRST + 7), 1);
}

static void a_name_that_would_split_a_head_is_no_name(void **state)
{
    struct rig *r = *state;
    char field[4096];

    rig_user(r, "eve", "");
    snprintf(field, sizeof field, "Authorization: Bearer %s\r\n",
             rig_token(r, "eve\\r\\nX-Doorman-User: admin", ""));
    assert_int_equal(get_with(r, field), 401);
    assert_int_equal(upstream_calls(r), 0);
    assert_int_equal(rig_count(r, GW_COUNT_AUTH_FAULT_FIRST + 6), 1);
}

static void a_token_expires(void **state)
{
    struct rig *r = *state;

    rig_pass(r, 86400 * DM_SEC);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_pass(r, DM_SEC);
    assert_int_equal(rig_get(r, ITEMS, ""), 401);
    assert_non_null(
        strstr(r->body, "{\"error_code\":\"Unauthorized\",\"error_message\":\"Unauthorized\"}"));
}

static void a_token_of_nobody_is_refused(void **state)
{
    struct rig *r = *state;
    char field[4096];

    snprintf(field, sizeof field, "Authorization: Bearer %s\r\n", rig_token(r, "mallory", ""));
    assert_int_equal(get_with(r, field), 401);
    assert_int_equal(rig_count(r, GW_COUNT_AUTH_UNKNOWN_USER), 1);
}

/* --- revocation --- */

static void a_revoked_token_is_refused_at_once(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_revoke(r, "bob", "j-bob");
    assert_int_equal(rig_get(r, ITEMS, ""), 401);
    assert_true(rig_answered(r, "X-Doorman-Reason: token\r\n"));
    assert_int_equal(upstream_calls(r), 1);
    assert_int_equal(rig_count(r, GW_COUNT_AUTH_REVOKED), 1);
}

static void revoked_speaks_before_a_local_refusal(void **state)
{
    struct rig *r = *state;

    rig_publish(r, "subscription", "bob", "{\"username\":\"bob\",\"apis\":[]}");
    assert_int_equal(rig_get(r, ITEMS, ""), 403);
    rig_revoke(r, "bob", "");
    assert_int_equal(rig_get(r, ITEMS, ""), 401);
}

static void a_public_api_serves_a_revoked_caller_as_nobody(void **state)
{
    struct rig *r = *state;

    rig_api(r, "\"api_public\":true,");
    rig_user(r, "bob", "\"bandwidth_limit_enabled\":true,\"bandwidth_limit_bytes\":1000000,");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    const int64_t counted = r->live.bandwidth;
    assert_true(counted > 0);
    rig_revoke(r, "bob", "");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(r->live.bandwidth, counted);
}

/* --- counters --- */

static void the_call_over_the_rate_is_refused(void **state)
{
    struct rig *r = *state;

    rig_user(r, "bob",
             "\"rate_limit_enabled\":true,\"rate_limit_duration\":1,\"rate_limit_duration_type\":"
             "\"minute\",");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_get(r, ITEMS, ""), 429);
    assert_non_null(strstr(r->body, "\"error_code\":\"Rate limit exceeded\""));
    assert_true(rig_answered(r, "X-Doorman-Reason: rate limit; user\r\n"));
    assert_true(rig_answered(r, "Retry-After: 40\r\n")); /* 1700000000 is second 20 of its minute */
    assert_true(
        rig_answered(r, "RateLimit-Limit: 1\r\nRateLimit-Remaining: 0\r\nRateLimit-Reset: 40\r\n"));
    assert_true(rig_answered(
        r,
        "X-RateLimit-Limit: 1\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1700000040\r\n"));
    assert_int_equal(rig_count(r, GW_COUNT_LIMITED_RATE), 1);
    assert_int_equal(rig_count(r, GW_COUNT_LIMIT_CHECK), 2);
    rig_pass(r, 40 * DM_SEC);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
}

static void refused_calls_are_not_counted(void **state) /* vector 50 */
{
    struct rig *r = *state;

    rig_user(r, "bob",
             "\"rate_limit_enabled\":true,\"rate_limit_duration\":2,\"rate_limit_duration_type\":"
             "\"minute\",");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_api(r, "\"api_allowed_roles\":[\"ops\"],");
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_get(r, ITEMS, ""), 403);
    rig_api(r, "");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_get(r, ITEMS, ""), 429);
}

#define THROTTLED                                                                                  \
    "\"throttle_enabled\":true,\"throttle_duration\":1,\"throttle_duration_type\":\"second\","     \
    "\"throttle_queue_limit\":3,\"throttle_wait_duration\":1,\"throttle_wait_duration_type\":"     \
    "\"second\","

/* Sends without waiting for the answer, on a connection of its own. */
static int send_call(struct rig *r)
{
    char request[4096];
    const int fd = rig_connect(r);

    snprintf(request, sizeof request,
             "GET " ITEMS " HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n\r\n",
             rig_token(r, "bob", ""));
    rig_send(r, fd, request, strlen(request));
    rig_settle(r);
    return fd;
}

static void a_throttle_delays_call_by_call(void **state) /* vector 11 */
{
    struct rig *r = *state;
    int fds[4];

    rig_user(r, "bob", THROTTLED);
    for (int i = 0; i < 4; i++)
        fds[i] = send_call(r);
    assert_int_equal(upstream_calls(r), 1);
    assert_int_equal(rig_count(r, GW_COUNT_LIMITED_THROTTLE), 1); /* the fourth */
    rig_pass(r, 999 * DM_MS);
    assert_int_equal(upstream_calls(r), 1);
    rig_pass(r, 2 * DM_MS);
    assert_int_equal(upstream_calls(r), 2);
    rig_pass(r, DM_SEC);
    assert_int_equal(upstream_calls(r), 3);
    r->answer_len = 0;
    rig_receive(r, fds[3]);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 429);
    assert_non_null(strstr(r->body, "Throttle queue limit exceeded"));
    assert_true(rig_answered(r, "Retry-After: 1\r\n"));
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    rig_settle(r);
}

static void a_delay_past_the_cap_is_a_refusal(void **state)
{
    struct rig *r = *state;
    int fds[3];

    rig_user(r, "bob", THROTTLED);
    for (int i = 0; i < 3; i++)
        fds[i] = send_call(r); /* the third would wait 2 s, the cap is 1.5 */
    assert_int_equal(rig_count(r, GW_COUNT_LIMITED_THROTTLE), 1);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    rig_settle(r);
}

static void bandwidth_counts_real_bytes_and_then_refuses(void **state) /* vector 12 */
{
    struct rig *r = *state;

    rig_user(r, "bob",
             "\"bandwidth_limit_enabled\":true,\"bandwidth_limit_bytes\":1,\"bandwidth_limit_"
             "window\":\"day\",");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_true(r->live.bandwidth >= (int64_t)r->answer_len);
    assert_int_equal(rig_get(r, ITEMS, ""), 429);
    assert_non_null(strstr(r->body, "Bandwidth limit exceeded"));
    assert_int_equal(rig_count(r, GW_COUNT_LIMITED_BANDWIDTH), 1);
    const int64_t counted = r->live.bandwidth;
    assert_int_equal(rig_get(r, ITEMS, ""), 429);
    assert_int_equal(r->live.bandwidth, counted); /* a refused call moves nothing */
}

/* --- without the store --- */

static int call_without_store(struct rig *r)
{
    const int fd = send_call(r);

    assert_non_null(rig_waiting(r, GW_WAIT_ADMISSION));
    rig_release(r, DM_ADMIT_UNKNOWN);
    r->answer_len = 0;
    rig_settle(r);
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    close(fd);
    rig_settle(r);
    return r->status;
}

static void revocation_that_cannot_be_told_is_503(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_hold(r, true, false);
    assert_int_equal(call_without_store(r), 503);
    assert_non_null(strstr(r->body, "STORE001"));
    assert_true(rig_answered(r, "Retry-After: 1\r\n"));
    assert_true(rig_answered(r, "X-Doorman-Reason: revocation\r\n"));
}

static void fail_open_leaves_the_limits_to_their_own_mode(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *api;
        int status;
    } modes[] = {{"\"api_limit_on_store_down\":\"deny\",", 503},
                 {"\"api_limit_on_store_down\":\"allow\",", 200},
                 {"\"api_limit_on_store_down\":\"local\",", 503}};

    rig_user(r, "bob", "\"rate_limit_enabled\":true,\"rate_limit_duration\":100,");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    for (size_t i = 0; i < DM_COUNT_OF(modes); i++) {
        rig_api(r, modes[i].api);
        rig_hold(r, true, false);
        assert_int_equal(call_without_store(r), modes[i].status);
        assert_int_equal(rig_count(r, GW_COUNT_STORE_DOWN_DENY + i), 1);
    }
    assert_int_equal(rig_count(r, GW_COUNT_FAILOPEN), 1);
}

static void fail_open_without_limits_passes(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_hold(r, true, false);
    assert_int_equal(call_without_store(r), 200);
}

/* --- without the store, with what the process can tell by itself --- */

static struct dm_live_outage *give_mirror(struct rig *r, const char *revoked)
{
    struct dm_live_outage *o = dm_live_outage_new(&r->clock.clock);

    dm_live_outage_load_begin(o);
    dm_live_outage_loaded(o, dm_view_of(revoked), DM_VIEW_NONE, DM_NEVER);
    dm_live_outage_load_end(o, true);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    r->live.base.outage = o;
    rig_hold(r, true, false);
    return o;
}

static void take_mirror(struct rig *r, struct dm_live_outage *o)
{
    r->live.base.outage = NULL;
    dm_live_outage_free(o);
}

static void a_young_mirror_decides_and_an_old_one_does_not(void **state)
{
    struct rig *r = *state;
    struct dm_live_outage *o = give_mirror(r, "eve");

    assert_int_equal(call_without_store(r), 200);
    dm_clock_manual_step(&r->clock, 60 * DM_SEC);
    assert_int_equal(call_without_store(r), 200);
    dm_clock_manual_step(&r->clock, DM_SEC);
    assert_int_equal(call_without_store(r), 503);
    assert_true(rig_answered(r, "X-Doorman-Reason: revocation\r\n"));
    take_mirror(r, o);
}

static void the_mirror_refuses_who_is_revoked_in_it(void **state)
{
    struct rig *r = *state;
    struct dm_live_outage *o = give_mirror(r, "bob");

    assert_int_equal(call_without_store(r), 401);
    assert_int_equal(rig_count(r, GW_COUNT_AUTH_REVOKED), 1);
    take_mirror(r, o);
}

static void this_replica_lets_its_share_pass(void **state)
{
    struct rig *r = *state;
    struct dm_live_outage *o;

    rig_user(r, "bob",
             "\"rate_limit_enabled\":true,\"rate_limit_duration\":7,"
             "\"rate_limit_duration_type\":\"hour\",");
    o = give_mirror(r, "eve");
    dm_live_outage_peers(o, 3);
    assert_int_equal(call_without_store(r), 200);
    assert_int_equal(call_without_store(r), 200); /* 7 / 3 */
    assert_int_equal(call_without_store(r), 429);
    assert_true(rig_answered(r, "Retry-After: "));
    assert_int_equal(rig_count(r, GW_COUNT_STORE_DOWN_LOCAL), 3);
    assert_int_equal(rig_count(r, GW_COUNT_LIMITED_RATE), 1);
    dm_live_outage_peers(o, 100); /* at least 1: but one has passed already */
    assert_int_equal(call_without_store(r), 429);
    take_mirror(r, o);
}

static void a_late_store_is_an_absent_one(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_hold(r, true, false);
    const int fd = send_call(r);
    rig_pass(r, 49 * DM_MS);
    assert_non_null(rig_waiting(r, GW_WAIT_ADMISSION));
    r->answer_len = 0;
    rig_pass(r, 3 * DM_MS);
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 503);
    assert_null(r->live.wait); /* cancelled: a late answer finds nobody */
    close(fd);
    rig_settle(r);
}

static void a_user_who_cannot_be_told_is_503(void **state)
{
    struct rig *r = *state;

    rig_hold(r, false, true);
    const int fd = send_call(r);
    assert_non_null(rig_waiting(r, GW_WAIT_PRINCIPAL));
    r->answer_len = 0;
    rig_pass(r, 60 * DM_MS);
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 503);
    assert_true(rig_answered(r, "X-Doorman-Reason: user\r\n"));
    close(fd);
    rig_settle(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_token_comes_by_bearer_bare_or_cookie, rig_setup),
        RIG_TEST(a_bad_cookie_is_final, rig_setup),
        RIG_TEST(three_words_are_no_token, rig_setup),
        RIG_TEST(a_refresh_token_opens_nothing, rig_setup),
        RIG_TEST(a_name_that_would_split_a_head_is_no_name, rig_setup),
        RIG_TEST(a_token_expires, rig_setup),
        RIG_TEST(a_token_of_nobody_is_refused, rig_setup),
        RIG_TEST(a_revoked_token_is_refused_at_once, rig_setup),
        RIG_TEST(revoked_speaks_before_a_local_refusal, rig_setup),
        RIG_TEST(a_public_api_serves_a_revoked_caller_as_nobody, rig_setup),
        RIG_TEST(the_call_over_the_rate_is_refused, rig_setup),
        RIG_TEST(refused_calls_are_not_counted, rig_setup),
        RIG_TEST(a_throttle_delays_call_by_call, rig_setup),
        RIG_TEST(a_delay_past_the_cap_is_a_refusal, setup_short_throttle),
        RIG_TEST(bandwidth_counts_real_bytes_and_then_refuses, rig_setup),
        RIG_TEST(revocation_that_cannot_be_told_is_503, rig_setup),
        RIG_TEST(fail_open_leaves_the_limits_to_their_own_mode, setup_fail_open),
        RIG_TEST(fail_open_without_limits_passes, setup_fail_open),
        RIG_TEST(a_young_mirror_decides_and_an_old_one_does_not, rig_setup),
        RIG_TEST(the_mirror_refuses_who_is_revoked_in_it, rig_setup),
        RIG_TEST(this_replica_lets_its_share_pass, rig_setup),
        RIG_TEST(a_late_store_is_an_absent_one, rig_setup),
        RIG_TEST(a_user_who_cannot_be_told_is_503, rig_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

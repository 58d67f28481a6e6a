/* Credits and the keys they bring (gateway.md §11, O1): what a call costs by how it ended, whose
 * key goes up, and that nothing leaves without it. */
#include <stdio.h>
#include <unistd.h>

#include "crypto/sealed.h"

#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"
#define CREDITS "\"api_credits_enabled\":true,\"api_credit_group\":\"g\","
#define DEFINED(key) "{\"api_credit_group\":\"g\",\"api_key_header\":\"X-Partner-Key\"," key "}"
#define PLAIN DEFINED("\"api_key\":\"k1\"")

/* Server A alone, group g with `definition` (NULL: none), bob with ten credits. */
static void with_credits(struct rig *r, const char *more_api, const char *definition)
{
    char more[512];

    snprintf(more, sizeof more, CREDITS "%s", more_api);
    rig_one_server(r, more);
    if (definition != NULL)
        rig_publish(r, "credit_def", "g", definition);
    rig_set_credits(r, "bob", 10);
}

static void sealed(const char *setting, const char *key, char *out, size_t size)
{
    struct dm_secret secret = {0};
    struct dm_buf buf;

    dm_secret_set(&secret, dm_view_of(setting));
    struct dm_sealing *s = dm_sealing_new(&secret);
    dm_buf_init(&buf, size - 1);
    dm_seal(s, dm_view_of(key), 1700000000 * DM_SEC, &buf);
    snprintf(out, size, "%.*s", DM_FMT(dm_buf_view(&buf)));
    dm_buf_done(&buf);
    dm_sealing_unref(s);
    dm_secret_done(&secret);
}

/* --- what a call costs --- */

struct outcome {
    const char *what, *answer; /* of the upstream; NULL: nobody listens */
    int status;
    int64_t costs;
};

static const struct outcome outcomes[] = {
    {"answered", RIG_OK, 200, 1},
    {"not found upstream", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 404, 1},
    {"refused upstream", "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 401, 1},
    {"redirected", "HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, 1},
    {"failed upstream", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 500, 0},
    {"busy upstream", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 503, 0},
    {"odd failure upstream", "HTTP/1.1 599 No\r\nContent-Length: 0\r\n\r\n", 599, 0},
    {"hung up", RIG_HANG_UP, 502, 0},
    {"no HTTP", "220 smtp ready\r\n", 502, 0},
    {"unreachable", NULL, 502, 0},
};

static void a_call_costs_one_credit_if_it_was_answered_below_500(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(outcomes); i++) {
        const struct outcome *o = &outcomes[i];
        struct rig *r = test_calloc(1, sizeof *r);
        rig_init(r, NULL);
        rig_demo(r);
        with_credits(r, "", PLAIN);
        if (o->answer == NULL)
            rig_close_upstream(r, 0);
        else
            rig_script(r, 0, o->answer);
        assert_int_equal(rig_get(r, ITEMS, ""), o->status);
        rig_settle(r);
        if (rig_credits(r, "bob") != 10 - o->costs || r->live.n_reserves != 1 ||
            r->live.n_spent != (size_t)o->costs || r->live.n_spent + r->live.n_given_back != 1)
            fail_msg("%s", o->what);
        rig_done(r);
        test_free(r);
    }
}

static void the_last_credit_is_the_last_call(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    rig_set_credits(r, "bob", 2);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_get(r, ITEMS, ""), 401);
    assert_non_null(strstr(r->body, "\"error_code\":\"GTW008\",\"error_message\":\"User does not "
                                    "have any credits\""));
    assert_int_equal(r->up[0].n_requests, 2);
    assert_int_equal(rig_credits(r, "bob"), 0);
}

static void all_attempts_share_one_credit(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_allowed_retry_count\":2,", PLAIN);
    rig_script(r, 0, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    rig_script(r, 0, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    rig_script(r, 0, RIG_OK);
    char request[4096];
    const int fd = rig_connect(r);
    snprintf(request, sizeof request,
             "GET " ITEMS " HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n\r\n",
             rig_token(r, "bob", ""));
    rig_send(r, fd, request, strlen(request));
    for (int i = 0; i < 4; i++)
        rig_pass(r, 2 * DM_SEC);
    assert_int_equal(r->up[0].n_requests, 3);
    assert_int_equal(r->live.n_reserves, 1);
    assert_int_equal(r->live.n_spent, 1);
    assert_int_equal(rig_credits(r, "bob"), 9);
    close(fd);
}

static void a_timed_out_call_costs_nothing(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    const int fd = rig_begin(r, RIG_SILENT);
    assert_int_equal(rig_credits(r, "bob"), 9);
    rig_pass(r, 31 * DM_SEC);
    assert_int_equal(rig_credits(r, "bob"), 10);
    assert_int_equal(r->live.n_given_back, 1);
    close(fd);
}

RIG_SETUP(setup_circuit, "CIRCUIT_BREAKER_THRESHOLD=1")

static void an_open_circuit_costs_nothing(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    rig_script(r, 0, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(rig_get(r, ITEMS, ""), 500);
    assert_int_equal(rig_get(r, ITEMS, ""), 503);
    assert_non_null(strstr(r->body, "GTW999"));
    rig_settle(r);
    assert_int_equal(rig_credits(r, "bob"), 10);
    assert_int_equal(r->up[0].n_requests, 1);
}

RIG_SETUP(setup_small_bodies, "MAX_BODY_SIZE_BYTES=1024")

static void a_body_that_turns_out_too_large_costs_nothing(void **state)
{
    struct rig *r = *state;
    char request[8192];
    const int fd = rig_connect(r);

    with_credits(r, "", PLAIN);
    int at = snprintf(request, sizeof request,
                      "POST " ITEMS " HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n800\r\n",
                      rig_token(r, "bob", ""));
    memset(request + at, 'x', 2048);
    rig_send(r, fd, request, (size_t)at + 2048);
    rig_settle(r);
    assert_int_equal(rig_credits(r, "bob"), 10);
    assert_int_equal(r->live.n_given_back, 1);
    close(fd);
}

/* --- who leaves, when --- */

static void leave(struct rig *r, int fd, int64_t costs)
{
    close(fd);
    rig_until(r, gw_worker_inflight(r->worker) == 0);
    rig_settle(r);
    assert_int_equal(r->live.n_spent, costs);
    assert_int_equal(r->live.n_given_back, 1 - costs);
    assert_int_equal(rig_credits(r, "bob"), 10 - costs);
}

static void leaving_an_upstream_at_work_costs_a_credit(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    const int fd = rig_begin(r, RIG_SILENT);
    assert_int_equal(r->up[0].n_requests, 1);
    leave(r, fd, 1);
}

static void leaving_while_the_answer_comes_costs_a_credit(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    leave(r, rig_begin(r, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!"), 1);
}

static void leaving_while_a_failure_comes_costs_nothing(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    leave(r, rig_begin(r, "HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\nfive!"), 0);
}

static void leaving_between_attempts_costs_nothing(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_allowed_retry_count\":3,", PLAIN);
    leave(r, rig_begin(r, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), 0);
}

static void leaving_before_the_credit_was_answered_costs_nothing(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    r->live.holds_reserve = true;
    leave(r, rig_begin(r, RIG_OK), 0);
}

RIG_SETUP(setup_one_connection, "HTTP_MAX_CONNECTIONS=1", "HTTP_MAX_KEEPALIVE=1")

static void leaving_before_anything_was_sent_costs_nothing(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    const int first = rig_begin(r, RIG_SILENT), second = rig_begin(r, RIG_SILENT);
    assert_int_equal(r->up[0].n_requests, 1); /* the second waits for a connection */
    assert_int_equal(rig_credits(r, "bob"), 8);
    close(second);
    rig_until(r, gw_worker_inflight(r->worker) == 1);
    assert_int_equal(r->live.n_given_back, 1);
    assert_int_equal(rig_credits(r, "bob"), 9);
    close(first);
}

/* --- without the store --- */

static void a_late_store_is_503_and_the_credit_comes_back(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_limit_on_store_down\":\"allow\",", PLAIN);
    r->live.holds_reserve = true;
    const int fd = rig_begin(r, RIG_OK);
    assert_non_null(rig_waiting(r, GW_WAIT_RESERVE));
    rig_pass(r, 51 * DM_MS);
    rig_receive(r, fd);
    assert_true(rig_answered(r, "HTTP/1.1 503 "));
    assert_true(rig_answered(r, "X-Doorman-Reason: credits; store\r\n"));
    assert_true(rig_answered(r, "Retry-After: "));
    assert_non_null(strstr(r->answer, "\"error_code\":\"STORE001\""));
    assert_int_equal(rig_credits(r, "bob"), 10);
    assert_int_equal(r->up[0].n_requests, 0);
    close(fd);
}

RIG_SETUP(setup_budget, "GATEWAY_TIMEOUT=7")

static void a_credit_is_held_as_long_as_the_call_may_take(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(r->live.hold, 37 * DM_SEC);
}

static void a_credit_is_held_for_all_attempts(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_read_timeout\":100,", PLAIN);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    const dm_time once = r->live.hold;
    assert_true(once > 165 * DM_SEC);
    with_credits(r, "\"api_read_timeout\":100,\"api_allowed_retry_count\":2,", PLAIN);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_true(r->live.hold > 3 * once - 120 * DM_SEC);
}

/* --- who pays --- */

static void an_optional_login_pays_and_nobody_does_not_pass(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_auth_required\":false,", PLAIN);
    assert_int_equal(rig_get_anonymous(r, ITEMS, ""), 401);
    assert_non_null(strstr(r->body, "\"error_code\":\"GTW008\""));
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_credits(r, "bob"), 9);
    rig_revoke(r, "bob", "");
    assert_int_equal(rig_get(r, ITEMS, ""), 401); /* nobody any more */
    assert_int_equal(rig_credits(r, "bob"), 9);
    assert_int_equal(r->up[0].n_requests, 1);
}

static void who_cannot_be_known_is_not_told_of_credits(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_auth_required\":false,", PLAIN);
    rig_hold(r, false, true);
    const int fd = rig_begin(r, RIG_OK); /* bob's record does not come */
    rig_pass(r, 51 * DM_MS);
    rig_receive(r, fd);
    assert_true(rig_answered(r, "HTTP/1.1 503 "));
    assert_non_null(strstr(r->answer, "STORE001"));
    close(fd);
}

static void whose_token_cannot_be_judged_is_not_told_of_credits(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_auth_required\":false,", PLAIN);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_hold(r, true, false);
    const int fd = rig_begin(r, RIG_OK);
    rig_release(r, DM_ADMIT_UNKNOWN);
    rig_settle(r);
    rig_receive(r, fd);
    assert_true(rig_answered(r, "HTTP/1.1 503 "));
    assert_int_equal(rig_credits(r, "bob"), 9);
    close(fd);
}

static void a_public_api_takes_no_credit_and_gets_no_key(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_public\":true,", PLAIN);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_credits(r, "bob"), 10);
    assert_false(rig_has(rig_seen(r, 0), "X-Partner-Key"));
    assert_int_equal(r->live.n_reserves, 0);
}

static void a_group_without_definition_costs_and_brings_no_key(void **state)
{
    struct rig *r = *state;

    with_credits(r, "\"api_allowed_headers\":[\"*\"],", NULL);
    assert_int_equal(rig_get(r, ITEMS, "X-Partner-Key: mine\r\n"), 200);
    assert_true(rig_has(rig_seen(r, 0), "X-Partner-Key: mine\r\n"));
    assert_int_equal(rig_credits(r, "bob"), 9);
    assert_int_equal(rig_count(r, GW_COUNT_CREDIT_NO_DEFINITION), 1);
}

/* --- whose key --- */

struct key_row {
    const char *what, *api, *definition, *user, *sent;
    const char *seen, *unseen; /* unseen may be NULL */
};

static const struct key_row keys[] = {
    {"the group's key", "", PLAIN, NULL, "", "\r\nX-Partner-Key: k1\r\n", NULL},
    {"instead of the client's, in any case of letters", "\"api_allowed_headers\":[\"*\"],", PLAIN,
     NULL, "x-partner-KEY: mine\r\n", "\r\nX-Partner-Key: k1\r\n", "mine"},
    {"the user's own key before the group's", "", PLAIN,
     "{\"username\":\"bob\",\"keys\":{\"h\":"
     "\"other\",\"g\":\"own\"}}",
     "", "\r\nX-Partner-Key: own\r\n", "k1"},
    {"the user's key of another group is no key", "", PLAIN,
     "{\"username\":\"bob\",\"keys\":{\"h\":\"other\"}}", "", "\r\nX-Partner-Key: k1\r\n", "other"},
    {"the new key while a rotation is open", "",
     DEFINED("\"api_key\":\"k1\",\"api_key_new\":\"k2\",\"api_key_rotation_expires\":"
             "\"2100-01-01T00:00:00Z\""),
     NULL, "", "\r\nX-Partner-Key: k2\r\n", "k1"},
    {"the new key after a rotation", "",
     DEFINED("\"api_key\":\"k1\",\"api_key_new\":\"k2\",\"api_key_rotation_expires\":"
             "\"2000-01-01T00:00:00Z\""),
     NULL, "", "\r\nX-Partner-Key: k2\r\n", "k1"},
    {"a new key without a rotation is not in force", "",
     DEFINED("\"api_key\":\"k1\",\"api_key_new\":\"k2\",\"api_key_rotation_expires\":null"), NULL,
     "", "\r\nX-Partner-Key: k1\r\n", "k2"},
    {"a key that is the Authorization", "",
     "{\"api_credit_group\":\"g\",\"api_key_header\":\"authorization\",\"api_key\":\"Key k1\"}",
     NULL, "", "\r\nAuthorization: Key k1\r\n", "Bearer"},
    {"a swap after the key",
     "\"api_authorization_field_swap\":\"X-Auth\","
     "\"api_allowed_headers\":[\"x-auth\"],",
     "{\"api_credit_group\":\"g\",\"api_key_header\":\"Authorization\",\"api_key\":\"Key k1\"}",
     NULL, "X-Auth: swapped\r\n", "\r\nAuthorization: swapped\r\n", "k1"},
    {"a swap that finds nothing leaves the key", "\"api_authorization_field_swap\":\"X-Auth\",",
     "{\"api_credit_group\":\"g\",\"api_key_header\":\"Authorization\",\"api_key\":\"Key k1\"}",
     NULL, "", "\r\nAuthorization: Key k1\r\n", "Bearer"},
    {"a swap of the key's own header", "\"api_authorization_field_swap\":\"x-partner-key\",", PLAIN,
     NULL, "", "\r\nAuthorization: k1\r\n", "Bearer"},
};

static void the_upstream_sees_the_key_in_force(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(keys); i++) {
        struct rig *r = test_calloc(1, sizeof *r);
        rig_init(r, NULL);
        rig_demo(r);
        with_credits(r, keys[i].api, keys[i].definition);
        if (keys[i].user != NULL)
            rig_publish(r, "user_credits", "bob", keys[i].user);
        assert_int_equal(rig_get(r, ITEMS, keys[i].sent), 200);
        if (!rig_has(rig_seen(r, 0), keys[i].seen) ||
            (keys[i].unseen != NULL && rig_has(rig_seen(r, 0), keys[i].unseen)))
            fail_msg("%s:\n%.*s", keys[i].what, DM_FMT(rig_seen(r, 0)));
        rig_done(r);
        test_free(r);
    }
}

static void a_key_follows_its_changes(void **state)
{
    struct rig *r = *state;

    with_credits(r, "", PLAIN);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_publish(r, "credit_def", "g", DEFINED("\"api_key\":\"k9\""));
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_true(rig_has(rig_seen(r, 0), "X-Partner-Key: k9"));
    rig_publish(r, "user_credits", "bob", "{\"username\":\"bob\",\"keys\":{\"g\":\"own\"}}");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_true(rig_has(rig_seen(r, 0), "X-Partner-Key: own"));
    rig_publish(r, "user_credits", "bob", NULL);
    rig_publish(r, "credit_def", "g", NULL);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_int_equal(rig_count(r, GW_COUNT_CREDIT_NO_DEFINITION), 1);
    assert_int_equal(rig_credits(r, "bob"), 6);
}

RIG_SETUP(setup_keys, "TOKEN_ENCRYPTION_KEY=the new one,the old one")

static void open_key_sealed_by(struct rig *r, const char *setting)
{
    char text[512], definition[1024];

    sealed(setting, "top secret", text, sizeof text);
    assert_memory_equal(text, "enc:gAAAAA", 10);
    snprintf(definition, sizeof definition, DEFINED("\"api_key\":\"%s\""), text);
    with_credits(r, "", definition);
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_true(rig_has(rig_seen(r, 0), "\r\nX-Partner-Key: top secret\r\n"));
}

static void keys_sealed_by_any_of_the_list_are_opened(void **state)
{
    open_key_sealed_by(*state, "the old one");
}

static void keys_sealed_by_the_dumps_key_are_opened_where_no_other_is_set(void **state)
{
    open_key_sealed_by(*state, "not-a-secret-of-anybody"); /* the rig's MEM_ENCRYPTION_KEY */
}

/* Under another key, spoilt, empty, or of a form that would end the line: 502, nothing leaves and
 * nothing is taken. */
static void a_call_never_leaves_without_its_key(void **state)
{
    struct rig *r = *state;
    char text[512];
    char definition[1024];
    static const char *const faulty[] = {
        DEFINED("\"api_key\":\"enc:gAAAAABn\""),
        DEFINED("\"api_key\":\"enc:\""),
        DEFINED("\"api_key\":\"\""),
        DEFINED("\"api_key\":null"),
        DEFINED("\"api_key\":\"a\\r\\nX-Evil: 1\""),
        "{\"api_credit_group\":\"g\",\"api_key_header\":\"Content-Length\",\"api_key\":\"k\"}",
        "{\"api_credit_group\":\"g\",\"api_key_header\":\"X-Doorman-User\",\"api_key\":\"k\"}",
        "{\"api_credit_group\":\"g\",\"api_key_header\":\"a b\",\"api_key\":\"k\"}",
        "{\"api_credit_group\":\"g\",\"api_key\":\"k\"}",
    };

    sealed("nobody's", "k", text, sizeof text);
    snprintf(definition, sizeof definition, DEFINED("\"api_key\":\"%s\""), text);
    with_credits(r, "", definition);
    for (size_t i = 0;; i++) {
        assert_int_equal(rig_get(r, ITEMS, ""), 502);
        assert_non_null(strstr(r->body, "\"error_code\":\"GTW006\",\"error_message\":\"Upstream "
                                        "credential unavailable\""));
        if (i == DM_COUNT_OF(faulty))
            break;
        rig_publish(r, "credit_def", "g", faulty[i]);
    }
    rig_publish(r, "credit_def", "g", PLAIN);
    rig_publish(r, "user_credits", "bob",
                "{\"username\":\"bob\",\"keys\":{\"g\":\"enc:gAAAAABn\"}}");
    assert_int_equal(rig_get(r, ITEMS, ""), 502); /* not the group's instead */
    assert_int_equal(rig_credits(r, "bob"), 10);
    assert_int_equal(r->up[0].n_requests, 0);
    assert_int_equal(rig_count(r, GW_COUNT_CREDIT_NO_KEY), (int64_t)DM_COUNT_OF(faulty) + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_costs_one_credit_if_it_was_answered_below_500),
        RIG_TEST(the_last_credit_is_the_last_call, rig_setup),
        RIG_TEST(all_attempts_share_one_credit, rig_setup),
        RIG_TEST(a_timed_out_call_costs_nothing, rig_setup),
        RIG_TEST(an_open_circuit_costs_nothing, setup_circuit),
        RIG_TEST(a_body_that_turns_out_too_large_costs_nothing, setup_small_bodies),
        RIG_TEST(leaving_an_upstream_at_work_costs_a_credit, rig_setup),
        RIG_TEST(leaving_while_the_answer_comes_costs_a_credit, rig_setup),
        RIG_TEST(leaving_while_a_failure_comes_costs_nothing, rig_setup),
        RIG_TEST(leaving_between_attempts_costs_nothing, rig_setup),
        RIG_TEST(leaving_before_the_credit_was_answered_costs_nothing, rig_setup),
        RIG_TEST(leaving_before_anything_was_sent_costs_nothing, setup_one_connection),
        RIG_TEST(a_late_store_is_503_and_the_credit_comes_back, rig_setup),
        RIG_TEST(a_credit_is_held_as_long_as_the_call_may_take, setup_budget),
        RIG_TEST(a_credit_is_held_for_all_attempts, rig_setup),
        RIG_TEST(an_optional_login_pays_and_nobody_does_not_pass, rig_setup),
        RIG_TEST(who_cannot_be_known_is_not_told_of_credits, rig_setup),
        RIG_TEST(whose_token_cannot_be_judged_is_not_told_of_credits, rig_setup),
        RIG_TEST(a_public_api_takes_no_credit_and_gets_no_key, rig_setup),
        RIG_TEST(a_group_without_definition_costs_and_brings_no_key, rig_setup),
        cmocka_unit_test(the_upstream_sees_the_key_in_force),
        RIG_TEST(a_key_follows_its_changes, rig_setup),
        RIG_TEST(keys_sealed_by_any_of_the_list_are_opened, setup_keys),
        RIG_TEST(keys_sealed_by_the_dumps_key_are_opened_where_no_other_is_set, rig_setup),
        RIG_TEST(a_call_never_leaves_without_its_key, setup_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

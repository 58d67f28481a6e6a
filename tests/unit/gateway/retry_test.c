/* What is tried again, and how often (R5, gateway.md §14.2). */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"
#define STATUS(line) "HTTP/1.1 " line "\r\nContent-Length: 0\r\n\r\n"

/* --- trying again --- */

static void a_get_is_tried_again(void **state) /* vector 19 */
{
    struct rig *r = *state;

    rig_one_server(r, "\"api_allowed_retry_count\":2,");
    rig_script(r, 0, STATUS("503 Busy"));
    rig_script(r, 0, STATUS("503 Busy"));
    rig_script(r, 0, RIG_OK);
    const int fd = rig_begin(r, RIG_OK);
    assert_int_equal(r->up[0].n_requests, 1);
    assert_non_null(rig_waiting(r, GW_WAIT_BACKOFF));
    rig_pass(r, 251 * DM_MS); /* uniform up to 0.25 s */
    assert_int_equal(r->up[0].n_requests, 2);
    rig_pass(r, 501 * DM_MS);
    assert_int_equal(r->up[0].n_requests, 3);
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 200);
    assert_int_equal(rig_count(r, GW_COUNT_RETRY), 2);
    close(fd);
    rig_settle(r);
}

static void the_last_answer_passes_as_it_is(void **state)
{
    struct rig *r = *state;

    rig_script(r, 0, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    assert_int_equal(rig_get(r, ITEMS, ""), 503);
    assert_string_equal(r->body, "busy");
    assert_int_equal(rig_count(r, GW_COUNT_RETRY), 0);
}

static void a_post_is_not_repeated_without_consent(void **state) /* vector 48 */
{
    struct rig *r = *state;

    rig_one_server(r, "\"api_allowed_retry_count\":2,");
    rig_script(r, 0, STATUS("503 Busy"));
    rig_script(r, 0, RIG_OK);
    assert_int_equal(rig_call(r, "POST", ITEMS, "", "x"), 503);
    assert_int_equal(r->up[0].n_requests, 1);
}

static void a_post_is_repeated_with_consent(void **state)
{
    struct rig *r = *state;
    char request[4096];

    rig_one_server(r, "\"api_allowed_retry_count\":2,\"api_retry_non_idempotent\":true,");
    rig_script(r, 0, STATUS("503 Busy"));
    rig_script(r, 0, RIG_OK);
    const int fd = rig_connect(r);
    snprintf(request, sizeof request,
             "POST " ITEMS
             " HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\nContent-Length: 4\r\n\r\nbody",
             rig_token(r, "bob", ""));
    rig_send(r, fd, request, strlen(request));
    rig_settle(r);
    rig_pass(r, 251 * DM_MS);
    assert_int_equal(r->up[0].n_requests, 2);
    r->answer_len = 0;
    rig_receive(r, fd);
    assert_true(rig_complete(r));
    assert_int_equal(r->status, 200);
    const dm_view seen = rig_seen(r, 0);
    assert_true(dm_view_ends(seen, DM_LIT("\r\n\r\nbody"))); /* the second attempt carries it too */
    close(fd);
    rig_settle(r);
}

/* --- the rule alone --- */

static const struct gw_retry_rule safe = {
    .attempts = 3, .repeatable = true, .base = DM_SEC, .cap = 3 * DM_SEC};
static const struct gw_retry_rule unsafe = {.attempts = 3, .repeatable = false};

static void what_may_be_tried_again(void **state)
{
    static const struct {
        const char *what;
        const struct gw_retry_rule *rule;
        unsigned made;
        struct gw_attempt attempt;
        bool again;
    } rows[] = {
        {"500", &safe, 1, {.answered = true, .status = 500, .sent_any = true}, true},
        {"502", &safe, 1, {.answered = true, .status = 502, .sent_any = true}, true},
        {"503", &safe, 1, {.answered = true, .status = 503, .sent_any = true}, true},
        {"504", &safe, 1, {.answered = true, .status = 504, .sent_any = true}, true},
        {"501", &safe, 1, {.answered = true, .status = 501, .sent_any = true}, false},
        {"404", &safe, 1, {.answered = true, .status = 404, .sent_any = true}, false},
        {"429", &safe, 1, {.answered = true, .status = 429, .sent_any = true}, false},
        {"last", &safe, 3, {.answered = true, .status = 503, .sent_any = true}, false},
        {"refused", &safe, 1, {.end = DM_HTTP_UNREACHABLE}, true},
        {"connect", &safe, 1, {.end = DM_HTTP_CONNECT_TIMEOUT}, true},
        {"pool", &safe, 1, {.end = DM_HTTP_POOL_TIMEOUT}, true},
        {"read", &safe, 1, {.end = DM_HTTP_READ_TIMEOUT, .sent_any = true}, true},
        {"write", &safe, 1, {.end = DM_HTTP_WRITE_TIMEOUT, .sent_any = true}, true},
        {"budget", &safe, 1, {.end = DM_HTTP_TOTAL_TIMEOUT, .sent_any = true}, false},
        {"no HTTP", &safe, 1, {.end = DM_HTTP_BROKEN, .sent_any = true}, false},
        {"streamed",
         &safe,
         1,
         {.end = DM_HTTP_UNREACHABLE, .sent_any = true, .body_gone = true},
         false},
        {"POST sent", &unsafe, 1, {.end = DM_HTTP_UNREACHABLE, .sent_any = true}, false},
        {"POST answered", &unsafe, 1, {.answered = true, .status = 503, .sent_any = true}, false},
        {"POST never left", &unsafe, 1, {.end = DM_HTTP_UNREACHABLE}, true},
    };

    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++)
        if (gw_retry_allowed(rows[i].rule, rows[i].made, &rows[i].attempt) != rows[i].again)
            fail_msg("%s", rows[i].what);
}

static void the_smaller_count_wins(void **state)
{
    struct dm_settings s = {.retry_enabled = true,
                            .retry_max_attempts = 3,
                            .retry_backoff = 2.0,
                            .http_retry_base_delay = DM_SEC};
    struct dm_policy_api api = {.retries = 2};

    (void)state;
    assert_int_equal(gw_retry_rule(&api, &s, true, false).attempts, 3);
    api.retries = 9;
    assert_int_equal(gw_retry_rule(&api, &s, true, false).attempts, 4);
    assert_int_equal(gw_retry_rule(&api, &s, true, false).base, 2 * DM_SEC);
    s.retry_enabled = false;
    assert_int_equal(gw_retry_rule(&api, &s, true, false).attempts, 1);
}

static void consent_comes_by_method_field_or_protocol(void **state)
{
    const struct dm_settings s = {.retry_enabled = true, .retry_max_attempts = 3};
    const struct dm_policy_api plain = {.retries = 1},
                               consenting = {.retries = 1, .retry_non_idempotent = true},
                               none = {.retries = 0};

    (void)state;
    assert_true(gw_retry_rule(&plain, &s, true, false).repeatable);
    assert_false(gw_retry_rule(&plain, &s, false, false).repeatable);
    assert_true(gw_retry_rule(&consenting, &s, false, false).repeatable);
    assert_true(gw_retry_rule(&plain, &s, false, true).repeatable);
    assert_false(gw_retry_rule(&none, &s, false, true).repeatable); /* no count, no consent */
}

static void the_delay_doubles_up_to_its_cap(void **state)
{
    static const dm_time most[] = {DM_SEC, 2 * DM_SEC, 3 * DM_SEC, 3 * DM_SEC};
    const struct gw_retry_rule at_once = {.attempts = 3};

    (void)state;
    for (unsigned made = 1; made <= DM_COUNT_OF(most); made++) {
        assert_int_equal(gw_retry_delay(&safe, made, 0), 0);
        assert_int_equal(gw_retry_delay(&safe, made, (uint64_t)most[made - 1]), most[made - 1]);
        assert_int_equal(gw_retry_delay(&safe, made, (uint64_t)most[made - 1] + 1), 0);
    }
    assert_int_equal(gw_retry_delay(&at_once, 1, 12345), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_get_is_tried_again, rig_setup),
        RIG_TEST(the_last_answer_passes_as_it_is, rig_setup),
        RIG_TEST(a_post_is_not_repeated_without_consent, rig_setup),
        RIG_TEST(a_post_is_repeated_with_consent, rig_setup),
        cmocka_unit_test(what_may_be_tried_again),
        cmocka_unit_test(the_smaller_count_wins),
        cmocka_unit_test(consent_comes_by_method_field_or_protocol),
        cmocka_unit_test(the_delay_doubles_up_to_its_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

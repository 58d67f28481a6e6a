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
             "POST " ITEMS " HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\nContent-Length: 4\r\n\r\nbody",
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_get_is_tried_again, rig_setup),
        RIG_TEST(the_last_answer_passes_as_it_is, rig_setup),
        RIG_TEST(a_post_is_not_repeated_without_consent, rig_setup),
        RIG_TEST(a_post_is_repeated_with_consent, rig_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

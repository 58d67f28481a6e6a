/* The n-th allocation of a request fails, for every n: each ends in an answer or a closed
 * connection, and nothing is left over. */
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"

static int setup(void **state)
{
    rig_arena_chunk = 256;
    return rig_setup(state);
}

static int teardown(void **state)
{
    rig_arena_chunk = RIG_ARENA_CHUNK;
    return rig_teardown(state);
}

enum { FAULTS = 60 };

static size_t statuses[600];

/* What a request may end in when memory is short; never in what would blame the caller's token.
 * 0: the connection ended. */
static void ends_well(struct rig *r, int status, int n)
{
    static const int good[] = {200, 413, 431, 502};

    for (size_t i = 0; i < DM_COUNT_OF(good); i++)
        if (status == good[i] || status == 0) {
            statuses[status]++;
            assert_int_equal(gw_worker_inflight(r->worker), 0);
            return;
        }
    fail_msg("allocation %d: %d\n%s", n, status, r->answer);
}

/* As rig_ask, but the connection may end without an answer. */
static int ask(struct rig *r, const char *request)
{
    if (r->client < 0)
        r->client = rig_connect(r);
    r->answer_len = 0;
    r->answer[0] = '\0';
    r->status = 0;
    rig_send(r, r->client, request, strlen(request));
    for (;;) {
        rig_turn(r);
        const bool open = rig_receive(r, r->client);
        if (rig_complete(r) && open && !rig_answered(r, "Connection: close"))
            break;
        if (!open) {
            close(r->client);
            r->client = -1;
            break;
        }
    }
    rig_settle(r);
    return r->status;
}

static void with_faults(struct rig *r, const char *request)
{
    memset(statuses, 0, sizeof statuses);
    for (int n = 1; n <= FAULTS; n++) {
        dm_fault_set(DM_FAULT_ALLOC, (uint64_t)n);
        const int status = ask(r, request);
        dm_fault_set(DM_FAULT_ALLOC, 0);
        ends_well(r, status, n);
    }
    assert_true(statuses[413] > 0);  /* some fault was met */
    assert_true(statuses[200] > 10); /* and the last ones came after the request */
    assert_int_equal(ask(r, request), 200);
}

static void every_allocation_of_a_get_may_fail(void **state)
{
    struct rig *r = *state;
    char request[4096];

    rig_api(r, "\"api_allowed_headers\":[\"*\"],\"api_allowed_retry_count\":0,");
    snprintf(request, sizeof request,
             "GET " ITEMS
             "/a%%20b?x=y HTTP/1.1\r\nHost: gw\r\nOrigin: https://x.test\r\nX-One: 1\r\n"
             "X-Two: 2\r\nAuthorization: Bearer %s\r\n\r\n",
             rig_token(r, "bob", ""));
    with_faults(r, request);
}

static void every_allocation_of_a_post_may_fail(void **state)
{
    struct rig *r = *state;
    char request[4096];

    snprintf(request, sizeof request,
             "POST " ITEMS " HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n"
             "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
             rig_token(r, "bob", ""));
    with_faults(r, request);
}

static void every_allocation_of_a_refusal_may_fail(void **state)
{
    struct rig *r = *state;

    for (int n = 1; n <= FAULTS; n++) {
        dm_fault_set(DM_FAULT_ALLOC, (uint64_t)n);
        const int status =
            ask(r, "GET " ITEMS " HTTP/1.1\r\nHost: gw\r\nOrigin: https://x.test\r\n\r\n");
        dm_fault_set(DM_FAULT_ALLOC, 0);
        assert_true(status == 401 || status == 413 || status == 431);
        assert_int_equal(gw_worker_inflight(r->worker), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_allocation_of_a_get_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_of_a_post_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_of_a_refusal_may_fail, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A request may end in every state it can wait in, in every way: the client leaves, the listener is
 * cut. Nothing is left over then: no request, no call, no pin on a world, no wait at the store. */
#include <stdio.h>
#include <unistd.h>

#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"

/* Each brings a request into its state and gives its connection. */

static int until_principal(struct rig *r)
{
    rig_hold(r, false, true);
    return rig_begin(r, RIG_OK);
}

static int until_admission(struct rig *r)
{
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    rig_hold(r, true, false);
    return rig_begin(r, RIG_OK);
}

static int until_throttle(struct rig *r)
{
    rig_user(r, "bob",
             "\"throttle_enabled\":true,\"throttle_duration\":1,\"throttle_queue_limit\":5,");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    return rig_begin(r, RIG_OK);
}

static int until_reserve(struct rig *r)
{
    rig_one_server(r, "\"api_credits_enabled\":true,\"api_credit_group\":\"g\",");
    rig_set_credits(r, "bob", 1);
    r->live.holds_reserve = true;
    return rig_begin(r, RIG_OK);
}

static int until_upstream(struct rig *r)
{
    rig_one_server(r, "");
    return rig_begin(r, RIG_SILENT);
}

static int until_backoff(struct rig *r)
{
    rig_one_server(r, "\"api_allowed_retry_count\":3,");
    return rig_begin(r, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
}

static int until_answer(struct rig *r)
{
    return rig_begin(r, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!");
}

static int until_held_answer(struct rig *r)
{
    rig_one_server(r, "\"api_strict_envelope\":true,");
    return rig_begin(
        r, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n[1,2,");
}

/* Half of a body is up, the rest never comes. */
static int until_upload(struct rig *r)
{
    char request[4096];
    const int fd = rig_connect(r);

    snprintf(request, sizeof request,
             "POST " ITEMS
             " HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\nhalf",
             rig_token(r, "bob", ""));
    rig_send(r, fd, request, strlen(request));
    rig_settle(r);
    return fd;
}

static const struct state {
    const char *what;
    enum gw_wait_on on;
    int (*reach)(struct rig *r);
} states[] = {
    {"principal", GW_WAIT_PRINCIPAL, until_principal},
    {"admission", GW_WAIT_ADMISSION, until_admission},
    {"throttle", GW_WAIT_THROTTLE, until_throttle},
    {"reserve", GW_WAIT_RESERVE, until_reserve},
    {"upstream", GW_WAIT_UPSTREAM, until_upstream},
    {"upload", GW_WAIT_UPSTREAM, until_upload},
    {"backoff", GW_WAIT_BACKOFF, until_backoff},
    {"answer", GW_WAIT_ANSWER, until_answer},
    {"held answer", GW_WAIT_ANSWER, until_held_answer},
};

enum { UPSTREAM = 4 }; /* the row */

static struct rig *begin(const struct state *s, int *ret_fd)
{
    struct rig *r = test_calloc(1, sizeof *r);

    rig_init(r, NULL);
    rig_demo(r);
    *ret_fd = s->reach(r);
    if (rig_waiting(r, s->on) == NULL)
        fail_msg("%s: not reached", s->what);
    return r;
}

/* Every world but the one in force is gone, and the store holds nobody (a user's fetch goes on: it
 * is shared by all who ask, and has its own deadline). */
static void nothing_is_left(struct rig *r, const struct state *s)
{
    if (gw_worker_inflight(r->worker) != 0 || gw_snapshot_held(r->worker->reader) != 1 ||
        (r->live.wait != NULL && s->on != GW_WAIT_PRINCIPAL))
        fail_msg("%s: something is left", s->what);
}

static void end(struct rig *r)
{
    rig_done(r);
    test_free(r);
}

static void the_client_may_leave_in_every_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(states); i++) {
        int fd;
        struct rig *r = begin(&states[i], &fd);
        rig_api(r, "\"active\":false,"); /* the request pins the world before this one */
        close(fd);
        rig_until(r, gw_worker_inflight(r->worker) == 0);
        nothing_is_left(r, &states[i]);
        rig_pass(r, 60 * DM_SEC); /* no timer finds the slot */
        end(r);
    }
}

static void the_listener_may_be_cut_in_every_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(states); i++) {
        int fd;
        struct rig *r = begin(&states[i], &fd);
        dm_listener_free(r->listener);
        r->listener = NULL;
        nothing_is_left(r, &states[i]);
        rig_pass(r, 60 * DM_SEC);
        close(fd);
        end(r);
    }
}

/* What the world in force says later does not matter: a request ends in the one it began with. */
static void a_request_finishes_in_its_own_world(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(states); i++) {
        int fd;
        struct rig *r = begin(&states[i], &fd);
        rig_publish(r, "api", "a1", NULL);
        rig_publish(r, "endpoint", "e1", NULL);
        if (states[i].on == GW_WAIT_ADMISSION)
            rig_release(r, DM_ADMIT_YES);
        rig_pass(r, 100 * DM_MS);
        close(fd);
        rig_until(r, gw_worker_inflight(r->worker) == 0);
        nothing_is_left(r, &states[i]);
        end(r);
    }
}

static void an_upstream_call_ends_with_its_client(void **state)
{
    int fd;
    struct rig *r = begin(&states[UPSTREAM], &fd);

    (void)state;
    assert_true(r->up[0].conns[0].fd >= 0);
    close(fd);
    rig_until(r, r->up[0].conns[0].fd < 0); /* the abort reached the upstream */
    end(r);
}

static void a_stale_handle_finds_nobody(void **state)
{
    int fd;
    struct rig *r = begin(&states[UPSTREAM], &fd);
    const struct gw_request *rq = rig_waiting(r, GW_WAIT_UPSTREAM);
    const struct gw_handle handle = rq->handle;

    (void)state;
    assert_ptr_equal(gw_request_find(r->worker, handle), rq);
    close(fd);
    rig_until(r, gw_worker_inflight(r->worker) == 0);
    assert_null(gw_request_find(r->worker, handle));
    gw_request_resume(r->worker, handle, GW_WAIT_UPSTREAM);
    fd = rig_begin(r, RIG_SILENT); /* the slot is taken again, by somebody else */
    rq = rig_waiting(r, GW_WAIT_UPSTREAM);
    assert_int_equal(rq->handle.slot, handle.slot);
    gw_request_resume(r->worker, handle, GW_WAIT_UPSTREAM);
    assert_ptr_equal(rig_waiting(r, GW_WAIT_UPSTREAM), rq);
    close(fd);
    rig_until(r, gw_worker_inflight(r->worker) == 0);
    end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_may_leave_in_every_state),
        cmocka_unit_test(the_listener_may_be_cut_in_every_state),
        cmocka_unit_test(a_request_finishes_in_its_own_world),
        cmocka_unit_test(an_upstream_call_ends_with_its_client),
        cmocka_unit_test(a_stale_handle_finds_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

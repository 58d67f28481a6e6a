/* Four workers on threads of their own, many clients at each at once: changes of everything under
 * them, limits, revocation, and the way down. What a race would break, ThreadSanitizer sees here.
 */
#include "plane_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS = 2 * PLANE_WORKERS,
    ROUNDS = 60, /* of changes, while clients call */
    LIMIT = 20,
    CALLS_EACH = 10 /* CLIENTS * CALLS_EACH is far over LIMIT */
};

/* --- many clients at once, two at each worker --- */

struct crowd {
    struct plane_rig *rig;
    struct plane_client clients[CLIENTS];
    pthread_t ids[CLIENTS];
    size_t calls_each; /* of each client; 0: until told to stop */
    _Atomic bool stop, revoked;
    _Atomic size_t n_ok, n_limited, n_unauthorized, n_other, n_late_ok;
    _Atomic size_t calls[CLIENTS];
};

struct crowd_member {
    struct crowd *crowd;
    size_t index;
};

static void count_status(struct crowd *w, int status)
{
    atomic_fetch_add(status == 200   ? &w->n_ok
                     : status == 429 ? &w->n_limited
                     : status == 401 ? &w->n_unauthorized
                                     : &w->n_other,
                     1);
}

static void *run_client(void *arg)
{
    struct crowd_member *m = arg;
    struct crowd *w = m->crowd;

    for (size_t i = 0; w->calls_each == 0 ? !atomic_load(&w->stop) : i < w->calls_each; i++) {
        const bool revoked = atomic_load(&w->revoked); /* before the call was begun */
        const int status = plane_client_call(&w->clients[m->index]);
        count_status(w, status);
        if (revoked && status == 200)
            atomic_fetch_add(&w->n_late_ok, 1);
        atomic_fetch_add(&w->calls[m->index], 1);
        if (status == 0 || (revoked && w->calls_each == 0))
            break;
    }
    return NULL;
}

static void crowd_connect(struct crowd *w, struct plane_rig *r, const char *username)
{
    w->rig = r;
    for (size_t i = 0; i < CLIENTS; i++)
        plane_client_open_at(&w->clients[i], r, username, i % PLANE_WORKERS);
}

static void crowd_start(struct crowd *w, struct crowd_member members[CLIENTS], size_t calls_each)
{
    w->calls_each = calls_each;
    for (size_t i = 0; i < CLIENTS; i++) {
        members[i] = (struct crowd_member){w, i};
        assert_int_equal(pthread_create(&w->ids[i], NULL, run_client, &members[i]), 0);
    }
}

static void crowd_wait_calls(struct crowd *w)
{
    for (size_t i = 0; i < CLIENTS; i++)
        while (atomic_load(&w->calls[i]) == 0)
            sched_yield();
}

static void crowd_join(struct crowd *w)
{
    for (size_t i = 0; i < CLIENTS; i++)
        pthread_join(w->ids[i], NULL);
}

static void crowd_close(struct crowd *w)
{
    for (size_t i = 0; i < CLIENTS; i++)
        plane_client_close(&w->clients[i]);
}

static void crowd_call(struct crowd *w, size_t calls_each)
{
    struct crowd_member members[CLIENTS];

    crowd_start(w, members, calls_each);
    crowd_join(w);
}

/* --- what may change while calls run --- */

static void swap_settings(struct plane_rig *r, int round)
{
    static const char *const fewer[] = {"FORWARD_CLIENT_IP=false", NULL};
    struct dm_settings *s = rig_settings(round % 2 == 0 ? fewer : NULL);
    struct dm_keyset *k = rig_keys(s);

    gw_snapshot_publish_settings(r->cell, s, k);
    dm_keyset_unref(k);
    dm_settings_unref(s);
}

static void change_users(struct plane_rig *r, int round)
{
    char name[32];

    plane_rig_user(r, "bob", round % 2 == 0 ? "\"ui_access\":true," : "");
    snprintf(name, sizeof name, "extra%d", round);
    plane_rig_user(r, name, "");
    plane_rig_publish(r, "user", name, NULL);
    plane_rig_publish(r, "subscription", "bob",
                      round % 2 == 0 ? "{\"username\":\"bob\",\"apis\":[\"demo/v1\",\"a/v1\"]}"
                                     : "{\"username\":\"bob\",\"apis\":[\"demo/v1\"]}");
}

static void change_policy(struct plane_rig *r, int round)
{
    static const char other[] = "{\"endpoint_id\":\"e2\",\"api_id\":\"a1\","
                                "\"endpoint_method\":\"GET\",\"endpoint_uri\":\"/other/{id}\"}";

    plane_rig_api(r, round % 2 == 0 ? "\"api_allowed_headers\":[\"x-one\"]," : "");
    plane_rig_publish(r, "endpoint", "e2", round % 2 == 0 ? other : NULL);
}

static void look_at_metrics(struct plane_rig *r)
{
    struct dm_buf page;

    dm_buf_init(&page, 1024 * 1024);
    dm_metrics_write(r->metrics, &page);
    assert_true(dm_buf_ok(&page));
    dm_buf_done(&page);
    assert_true(gw_plane_inflight(r->plane) <= CLIENTS);
}

static void every_call_passes_while_everything_changes(void **state)
{
    struct plane_rig *r = *state;
    struct crowd w = {.rig = r};
    struct crowd_member members[CLIENTS];

    crowd_connect(&w, r, "bob");
    const size_t before = plane_rig_requests(r);
    crowd_start(&w, members, 0);
    for (int round = 0; round < ROUNDS; round++) {
        change_policy(r, round);
        change_users(r, round);
        swap_settings(r, round);
        gw_plane_forget(r->plane);
        look_at_metrics(r);
    }
    crowd_wait_calls(&w);
    atomic_store(&w.stop, true);
    crowd_join(&w);
    assert_int_equal(w.n_other + w.n_limited + w.n_unauthorized, 0);
    assert_int_equal(plane_rig_requests(r) - before, w.n_ok);
    crowd_close(&w);
}

/* --- short connections, which come to any worker --- */

enum { VISITORS = 8, VISITS = 20, SWITCHES = 30 };

struct visitor {
    struct plane_rig *rig;
    pthread_t id;
    size_t served, refused, other;
};

static void *visit(void *arg)
{
    struct visitor *v = arg;

    for (int i = 0; i < VISITS; i++) {
        struct plane_client c;
        const int status = plane_client_open(&c, v->rig, "bob") ? plane_client_call(&c) : 0;
        v->served += status == 200;
        v->refused += status == 403;
        v->other += status != 200 && status != 403;
        plane_client_close(&c);
    }
    return NULL;
}

static int64_t counted(struct plane_rig *r, const char *labels)
{
    return dm_metric_value(dm_metric_get(r->metrics, DM_COUNTER, "doorman_http_requests_total",
                                         labels, "Proxied requests by status.", NULL, 0));
}

static void a_change_is_in_force_on_every_worker_and_each_call_counts_once(void **state)
{
    struct plane_rig *r = *state;
    struct visitor visitors[VISITORS] = {{0}}, last = {.rig = r};
    size_t served = 0, refused = 0;

    for (size_t i = 0; i < VISITORS; i++) {
        visitors[i].rig = r;
        assert_int_equal(pthread_create(&visitors[i].id, NULL, visit, &visitors[i]), 0);
    }
    for (int i = 0; i < SWITCHES; i++)
        plane_rig_api(r, i % 2 == 0 ? "\"active\":false," : "");
    for (size_t i = 0; i < VISITORS; i++) {
        pthread_join(visitors[i].id, NULL);
        served += visitors[i].served;
        refused += visitors[i].refused;
        assert_int_equal(visitors[i].other, 0);
    }
    assert_int_equal(served + refused, VISITORS * VISITS);
    plane_rig_api(r, "\"active\":false,");
    (void)visit(&last);
    assert_int_equal(last.refused, VISITS);
    gw_plane_stop(r->plane); /* a request is counted after its last byte left */
    assert_int_equal(counted(r, "code=\"200\""), served);
    assert_int_equal(counted(r, "code=\"403\""), refused + VISITS);
}

static void a_limit_is_exact_across_workers(void **state)
{
    struct plane_rig *r = *state;
    struct crowd w = {.rig = r};
    size_t admits[PLANE_WORKERS];

    plane_rig_user(r, "eve",
                   "\"rate_limit_enabled\":true,\"rate_limit_duration\":20,"
                   "\"rate_limit_duration_type\":\"minute\",");
    crowd_connect(&w, r, "eve");
    for (size_t i = 0; i < PLANE_WORKERS; i++)
        admits[i] = atomic_load(&r->taps[i].n_admits);
    const size_t before = plane_rig_requests(r);
    crowd_call(&w, CALLS_EACH);
    assert_int_equal(w.n_ok, LIMIT);
    assert_int_equal(w.n_limited, CLIENTS * CALLS_EACH - LIMIT);
    assert_int_equal(plane_rig_requests(r) - before, LIMIT);
    for (size_t i = 0; i < PLANE_WORKERS; i++)
        assert_int_equal(r->taps[i].n_admits - admits[i], CLIENTS / PLANE_WORKERS * CALLS_EACH);
    crowd_close(&w);
}

static void no_call_begun_after_a_revocation_passes(void **state)
{
    struct plane_rig *r = *state;
    struct crowd w = {.rig = r};
    struct crowd_member members[CLIENTS];

    crowd_connect(&w, r, "eve");
    crowd_start(&w, members, 0);
    crowd_wait_calls(&w);
    assert_int_equal(dm_live_revoke(r->admin, DM_LIT("eve"), DM_VIEW_NONE, 0, NULL), DM_OK);
    atomic_store(&w.revoked, true);
    crowd_join(&w);
    assert_true(w.n_ok >= CLIENTS);
    assert_int_equal(w.n_late_ok, 0);
    assert_true(w.n_unauthorized >= CLIENTS);
    assert_int_equal(w.n_other + w.n_limited, 0);
    crowd_close(&w);
}

/* --- the way down --- */

/* Every client of the crowd has a call at the upstream, which keeps it. */
static void crowd_hold(struct crowd *w)
{
    const size_t before = plane_rig_requests(w->rig);

    plane_rig_hold(w->rig, true);
    for (size_t i = 0; i < CLIENTS; i++)
        plane_client_send(&w->clients[i]);
    plane_rig_wait_requests(w->rig, before + CLIENTS);
}

static void a_drain_lets_what_runs_end(void **state)
{
    struct plane_rig *r = *state;
    struct crowd w = {.rig = r};
    struct plane_client idle[PLANE_WORKERS], late;

    crowd_connect(&w, r, "bob");
    for (size_t i = 0; i < PLANE_WORKERS; i++)
        plane_client_open_at(&idle[i], r, "bob", i);
    crowd_hold(&w);
    gw_plane_drain(r->plane);
    gw_plane_drain(r->plane); /* said twice, meant once */
    for (size_t i = 0; i < PLANE_WORKERS; i++)
        assert_true(plane_client_closed(&idle[i]));
    assert_false(plane_client_open(&late, r, "bob"));
    assert_int_equal(gw_plane_inflight(r->plane), CLIENTS);
    assert_int_equal(atomic_load(&r->n_drained), 0);
    plane_rig_hold(r, false);
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(plane_client_receive(&w.clients[i]), 200);
        assert_true(w.clients[i].last);
        assert_true(plane_client_closed(&w.clients[i]));
    }
    while (sem_wait(&r->drained) != 0)
        assert_int_equal(errno, EINTR);
    gw_plane_stop(r->plane);
    assert_int_equal(atomic_load(&r->n_drained), 1);
    for (size_t i = 0; i < PLANE_WORKERS; i++)
        plane_client_close(&idle[i]);
    crowd_close(&w);
}

static void a_drain_without_connections_ends_at_once(void **state)
{
    struct plane_rig *r = *state;

    gw_plane_drain(r->plane);
    while (sem_wait(&r->drained) != 0)
        assert_int_equal(errno, EINTR);
    gw_plane_stop(r->plane);
    assert_int_equal(atomic_load(&r->n_drained), 1);
}

static void a_drain_before_the_port_is_open_ends_too(void **state)
{
    struct plane_rig *r = test_calloc(1, sizeof *r);

    (void)state;
    plane_rig_init(r, 0);
    gw_plane_drain(r->plane);
    while (sem_wait(&r->drained) != 0)
        assert_int_equal(errno, EINTR);
    plane_rig_done(r);
    test_free(r);
}

static void a_stop_during_a_drain_cuts_too(void **state)
{
    struct plane_rig *r = *state;
    struct crowd w = {.rig = r};

    crowd_connect(&w, r, "bob");
    crowd_hold(&w);
    gw_plane_drain(r->plane);
    gw_plane_stop(r->plane);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_not_equal(plane_client_receive(&w.clients[i]), 200);
    crowd_close(&w);
}

static void a_stop_cuts_what_runs(void **state)
{
    struct plane_rig *r = *state;
    struct crowd w = {.rig = r};

    crowd_connect(&w, r, "bob");
    crowd_hold(&w);
    gw_plane_stop(r->plane);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(plane_client_receive(&w.clients[i]), 0);
    crowd_close(&w);
}

/* --- ports --- */

static void a_taken_port_is_refused(void **state)
{
    struct plane_rig *r = test_calloc(1, sizeof *r);
    struct dm_error err = {0};
    uint16_t port;
    const int taken = plane_rig_port(&port);

    (void)state;
    plane_rig_init(r, port);
    assert_int_not_equal(gw_plane_listen(r->plane, &err), DM_OK);
    assert_true(err.text[0] != '\0');
    close(taken);
    plane_rig_done(r);
    test_free(r);
}

/* Leaves this process room for two more descriptors. */
static struct rlimit leave_two_descriptors(void)
{
    struct rlimit old, tight;
    const int first = dup(STDIN_FILENO), second = dup(STDIN_FILENO);

    assert_true(first >= 0 && second > first);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)second + 1;
    close(first);
    close(second);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    return old;
}

static void all_workers_listen_or_none(void **state)
{
    struct plane_rig *r = test_calloc(1, sizeof *r);
    struct plane_client client;
    struct dm_error err = {0};

    (void)state;
    plane_rig_init(r, 0);
    const struct rlimit old = leave_two_descriptors();
    const enum dm_code rc = gw_plane_listen(r->plane, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_not_equal(rc, DM_OK);
    assert_int_not_equal(gw_plane_port(r->plane), 0); /* the first two did open it */
    assert_false(plane_client_open(&client, r, "bob"));
    assert_int_equal(gw_plane_listen(r->plane, &err), DM_OK);
    plane_client_open_at(&client, r, "bob", PLANE_WORKERS - 1);
    plane_client_close(&client);
    plane_rig_done(r);
    test_free(r);
}

#define PLANE_TEST(name) cmocka_unit_test_setup_teardown(name, plane_rig_setup, plane_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLANE_TEST(every_call_passes_while_everything_changes),
        PLANE_TEST(a_change_is_in_force_on_every_worker_and_each_call_counts_once),
        PLANE_TEST(a_limit_is_exact_across_workers),
        PLANE_TEST(no_call_begun_after_a_revocation_passes),
        PLANE_TEST(a_drain_lets_what_runs_end),
        PLANE_TEST(a_drain_without_connections_ends_at_once),
        cmocka_unit_test(a_drain_before_the_port_is_open_ends_too),
        PLANE_TEST(a_stop_during_a_drain_cuts_too),
        PLANE_TEST(a_stop_cuts_what_runs),
        cmocka_unit_test(a_taken_port_is_refused),
        cmocka_unit_test(all_workers_listen_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

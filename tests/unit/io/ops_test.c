/* Probes and /metrics, asked over a real connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "front_support.h"
#include "io/ops.h"

static struct front front;
static struct dm_ops ops;
static bool status_port;
static int scrapes;

static void serve(struct front *f, int fd, const char *rq)
{
    front_send(f, fd, rq);
    struct dm_exchange *x = f->asked[f->n_asked - 1].x;
    assert_non_null(x);
    if (!dm_ops_serve(&ops, x, x->head.target, status_port))
        dm_exchange_refuse(x, ERR_NOT_FOUND, DM_VIEW_NONE);
    front_settle(f);
}

/* The answer without the changing lines; static. */
static const char *ask_as(const char *method, const char *path, const char *fields,
                          const char *address)
{
    int fds[2];
    char rq[1024];
    struct dm_address peer = {.unix_socket = true};
    if (address != NULL)
        assert_true(dm_address_parse(dm_view_of(address), &peer));
    peer.unix_socket = address == NULL;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    dm_listener_adopt(front.listener, fds[1], &peer);
    snprintf(rq, sizeof rq, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, path, fields);
    serve(&front, fds[0], rq);
    const char *answer = front_plain(front_read(&front, fds[0], NULL));
    close(fds[0]);
    front_settle(&front);
    front.n_asked--;
    dm_buf_done(&front.asked[front.n_asked].body);
    return answer;
}

static const char *ask(const char *path)
{
    return ask_as("GET", path, "", "127.0.0.1");
}

static void on_scrape(void *ctx)
{
    assert_ptr_equal(ctx, &scrapes);
    scrapes++;
}

static void start(const char *const *env)
{
    front_init(&front, env, 0);
    front.mode = FRONT_HOLD;
    memset(&ops, 0, sizeof ops);
    ops.clock = &front.clock.clock;
    ops.mode = "memory";
    ops.metrics = front.metrics;
    ops.before_scrape = on_scrape;
    ops.ctx = &scrapes;
    status_port = false;
    scrapes = 0;
}

static int setup(void **state)
{
    (void)state;
    start(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    front_done(&front);
    return 0;
}

static void expect(const char *answer, int status, const char *body)
{
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    const char *text = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, line, strlen(line)) != 0 || text == NULL || strcmp(text + 4, body) != 0)
        fail_msg("expected %d %s, got %s", status, body, answer);
    assert_non_null(strstr(answer, "Cache-Control: no-store\r\n"));
}

static void liveness_says_alive_whatever_depends(void **state)
{
    (void)state;
    expect(ask("/platform/monitor/liveness"), 200, "{\"status\":\"alive\"}");
    expect(ask("/healthz"), 200, "{\"ok\":true}");
    atomic_store(&ops.draining, true);
    expect(ask("/healthz"), 200, "{\"ok\":true}");
}

static void a_stuck_loop_is_dead(void **state)
{
    (void)state;
    dm_ops_beat(&ops, 0, dm_clock_mono(ops.clock));
    dm_ops_beat(&ops, 3, dm_clock_mono(ops.clock));
    front_pass(&front, 6 * DM_SEC);
    dm_ops_beat(&ops, 0, dm_clock_mono(ops.clock));
    expect(ask("/healthz"), 200, "{\"ok\":true}");
    front_pass(&front, 5 * DM_SEC);
    expect(ask("/healthz"), 503, "{\"ok\":false,\"status\":\"stuck\"}");
    expect(ask("/platform/monitor/liveness"), 503, "{\"status\":\"stuck\"}");
    dm_ops_beat(&ops, 3, dm_clock_mono(ops.clock));
    expect(ask("/healthz"), 200, "{\"ok\":true}");
}

static const char *disconnected(void *ctx)
{
    (void)ctx;
    return "disconnected";
}

static void readiness_follows_its_state(void **state)
{
    (void)state;
    static const char ready[] = "{\"status\":\"%s\",\"mongodb\":\"memory\",\"redis\":\"memory\"}";
    char body[128];
    atomic_store(&ops.generation, 7);
    snprintf(body, sizeof body, ready, "degraded");
    expect(ask("/platform/monitor/readiness"), 503, body);
    expect(ask("/readyz"), 503, "{\"ok\":false,\"status\":\"degraded\"}");
    expect(ask("/health"), 503, "{\"status\":\"degraded\"}");
    atomic_store(&ops.ready, true);
    snprintf(body, sizeof body, ready, "ready");
    expect(ask("/platform/monitor/readiness"), 200, body);
    expect(ask("/readyz"), 200, "{\"ok\":true,\"generation\":7}");
    expect(ask("/health"), 200, "{\"status\":\"ok\"}");
    atomic_store(&ops.draining, true);
    snprintf(body, sizeof body, ready, "draining");
    expect(ask("/platform/monitor/readiness"), 503, body);
    expect(ask("/readyz"), 503, "{\"ok\":false,\"status\":\"draining\"}");
}

static void an_outage_that_leaves_verdicts_right_is_degraded_and_ready(void **state)
{
    (void)state;
    atomic_store(&ops.ready, true);
    atomic_store(&ops.degraded, true);
    ops.redis = disconnected;
    expect(ask("/platform/monitor/readiness"), 200,
           "{\"status\":\"degraded\",\"mongodb\":\"memory\",\"redis\":\"disconnected\"}");
    expect(ask("/health"), 200, "{\"status\":\"ok\"}");
}

static void dependencies_are_named_only_where_that_is_public(void **state)
{
    static const char *const hidden[] = {"READINESS_PUBLIC_DETAIL=false", NULL};
    (void)state;
    front_done(&front);
    start(hidden);
    ops.redis = disconnected;
    atomic_store(&ops.degraded, true);
    expect(ask("/platform/monitor/readiness"), 503, "{\"status\":\"degraded\"}");
    atomic_store(&ops.ready, true);
    expect(ask("/platform/monitor/readiness"), 200, "{\"status\":\"degraded\"}");
    status_port = true;
    expect(ask("/platform/monitor/readiness"), 200, "{\"status\":\"degraded\"}");
}

static enum dm_ops_health health_told;

static enum dm_ops_health told(void *ctx)
{
    (void)ctx;
    return health_told;
}

static void a_program_that_cannot_do_its_work_is_not_ready(void **state)
{
    (void)state;
    ops.redis = disconnected;
    ops.health = told;
    health_told = DM_OPS_GOOD;
    expect(ask("/health"), 503, "{\"status\":\"degraded\"}"); /* it has not started yet */
    atomic_store(&ops.ready, true);
    expect(ask("/health"), 200, "{\"status\":\"ok\"}");
    health_told = DM_OPS_DEGRADED;
    expect(ask("/platform/monitor/readiness"), 200,
           "{\"status\":\"degraded\",\"mongodb\":\"memory\",\"redis\":\"disconnected\"}");
    health_told = DM_OPS_BAD;
    expect(ask("/platform/monitor/readiness"), 503,
           "{\"status\":\"degraded\",\"mongodb\":\"memory\",\"redis\":\"disconnected\"}");
    expect(ask("/readyz"), 503, "{\"ok\":false,\"status\":\"degraded\"}");
    expect(ask("/healthz"), 200, "{\"ok\":true}");
}

static void the_gateways_own_health_is_online(void **state)
{
    (void)state;
    expect(ask("/api/health"), 200, "{\"status\":\"online\"}");
    expect(ask("/api/rest/health"), 200, "{\"status\":\"online\"}");
}

static void probes_have_head_and_get_only(void **state)
{
    (void)state;
    expect(ask_as("HEAD", "/healthz", "", NULL), 200, "");
    static const char *const others[] = {"POST", "OPTIONS", "DELETE"};
    for (size_t i = 0; i < DM_COUNT_OF(others); i++) {
        const char *answer = ask_as(others[i], i == 0 ? "/metrics" : "/api/health", "", NULL);
        expect(answer, 405,
               "{\"detail\":\"Method Not Allowed\",\"error_code\":\"GTW405\","
               "\"error_message\":\"Method Not Allowed\"}");
        assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
    }
}

static void only_its_own_paths_are_answered(void **state)
{
    (void)state;
    static const char *const own[] = {"/healthz",
                                      "/readyz",
                                      "/health",
                                      "/metrics",
                                      "/api/health",
                                      "/api/rest/health",
                                      "/platform/monitor/liveness",
                                      "/platform/monitor/readiness"};
    static const char *const others[] = {"/",           "/healthz/",         "/health/detailed",
                                         "/api/status", "/api/rest/healthy", "/metric"};
    for (size_t i = 0; i < DM_COUNT_OF(own); i++)
        assert_true(dm_ops_owns(dm_view_of(own[i])));
    for (size_t i = 0; i < DM_COUNT_OF(others); i++) {
        assert_false(dm_ops_owns(dm_view_of(others[i])));
        assert_non_null(strstr(ask(others[i]), "404"));
    }
}

/* What /metrics said: 200, 403 or 503, checked with its text. */
static int scrape(const char *fields, const char *address)
{
    const char *answer = ask_as("GET", "/metrics", fields, address);
    if (strstr(answer, "HTTP/1.1 200 ") == answer) {
        assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
        assert_non_null(strstr(answer, "# TYPE doorman_client_connections_total counter"));
        return 200;
    }
    if (strstr(answer, "HTTP/1.1 503 ") == answer) {
        assert_non_null(strstr(answer, "\r\n\r\nprometheus_disabled 1\n"));
        return 503;
    }
    expect(answer, 403, "prometheus_forbidden 1\n");
    return 403;
}

static void metrics_of_the_main_port_are_for_loopback(void **state)
{
    (void)state;
    assert_int_equal(scrape("", "127.0.0.1"), 200);
    assert_int_equal(scrapes, 1);
    assert_int_equal(scrape("", "::1"), 200);
    assert_int_equal(scrape("", NULL), 200);
    assert_int_equal(scrape("", "10.0.0.1"), 403);
    /* a proxy on this host does not make its clients local */
    assert_int_equal(scrape("X-Forwarded-For: 10.0.0.1\r\n", "127.0.0.1"), 403);
    assert_int_equal(scrape("Forwarded: for=10.0.0.1\r\n", "127.0.0.1"), 403);
    status_port = true;
    assert_int_equal(scrape("", "10.0.0.1"), 200);
}

static void restart(const char *const *env)
{
    front_done(&front);
    start(env);
}

static void a_token_opens_them_and_is_then_required(void **state)
{
    (void)state;
    static const char *const env[] = {"PROMETHEUS_BEARER_TOKEN=s3cret-token", NULL};
    restart(env);
    for (int i = 0; i < 2; i++) {
        status_port = i == 1;
        assert_int_equal(scrape("", "127.0.0.1"), 403);
        assert_int_equal(scrape("Authorization: Bearer s3cret-toke\r\n", "127.0.0.1"), 403);
        assert_int_equal(scrape("Authorization: Basic s3cret-token\r\n", "127.0.0.1"), 403);
        assert_int_equal(scrape("X-Prometheus-Token: wrong\r\n", "127.0.0.1"), 403);
        assert_int_equal(scrape("Authorization: bearer s3cret-token\r\n", "10.0.0.1"), 200);
        assert_int_equal(scrape("X-Prometheus-Token: s3cret-token\r\n", "10.0.0.1"), 200);
    }
}

static void an_allow_list_admits_by_address(void **state)
{
    (void)state;
    static const char *const env[] = {"PROMETHEUS_ALLOWLIST=10.0.0.0/8", NULL};
    restart(env);
    for (int i = 0; i < 2; i++) {
        status_port = i == 1;
        assert_int_equal(scrape("", "10.1.2.3"), 200);
        assert_int_equal(scrape("", "127.0.0.1"), 403);
        assert_int_equal(scrape("X-Forwarded-For: 10.1.2.3\r\n", "127.0.0.1"), 403);
    }
    static const char *const trusting[] = {"PROMETHEUS_ALLOWLIST=10.0.0.0/8",
                                           "PROMETHEUS_TRUST_XFF=true", NULL};
    restart(trusting);
    assert_int_equal(scrape("X-Forwarded-For: 10.1.2.3\r\n", "127.0.0.1"), 200);
    assert_int_equal(scrape("X-Forwarded-For: 11.1.2.3\r\n", "127.0.0.1"), 403);
}

static void public_metrics_skip_every_check(void **state)
{
    (void)state;
    static const char *const env[] = {"PROMETHEUS_PUBLIC=true",
                                      "PROMETHEUS_BEARER_TOKEN=s3cret-token", NULL};
    restart(env);
    assert_int_equal(scrape("", "10.0.0.1"), 200);
    status_port = true; /* the status port knows no such switch */
    assert_int_equal(scrape("", "10.0.0.1"), 403);
}

static void metrics_can_be_switched_off(void **state)
{
    (void)state;
    static const char *const env[] = {"PROMETHEUS_ENABLED=false", "PROMETHEUS_PUBLIC=true", NULL};
    restart(env);
    assert_int_equal(scrape("", "127.0.0.1"), 503);
    status_port = true;
    assert_int_equal(scrape("", "127.0.0.1"), 503);
    assert_int_equal(scrapes, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(liveness_says_alive_whatever_depends),
        T(a_stuck_loop_is_dead),
        T(readiness_follows_its_state),
        T(dependencies_are_named_only_where_that_is_public),
        T(an_outage_that_leaves_verdicts_right_is_degraded_and_ready),
        T(a_program_that_cannot_do_its_work_is_not_ready),
        T(the_gateways_own_health_is_online),
        T(probes_have_head_and_get_only),
        T(only_its_own_paths_are_answered),
        T(metrics_of_the_main_port_are_for_loopback),
        T(a_token_opens_them_and_is_then_required),
        T(an_allow_list_admits_by_address),
        T(public_metrics_skip_every_check),
        T(metrics_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

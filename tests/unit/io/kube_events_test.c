/* Events: what they say, what they need, and that a server that misbehaves is bounded. Over real
 * TLS: tests/integration/test_kube_events.py. */
#include "upstream_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/json.h"
#include "io/kube_events.h"

#define SENT "doorman_kube_events_total{result=\"sent\"}"
#define FAILED "doorman_kube_events_total{result=\"failed\"}"
#define NOON (1700000000 * DM_SEC) /* 2023-11-14T22:13:20Z */

static const char ca[] = "-----BEGIN CERTIFICATE-----\n"
                         "MIIBdTCCARugAwIBAgIUBgUlqKguazemME7uU+Jx8ghVnRwwCgYIKoZIzj0EAwIw\n"
                         "DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExOTQzNDFaGA8yMTI2MTAyODE5NDM0\n"
                         "MVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDpU\n"
                         "VuS2z8H7ePxk+3LLvB4QEyElCrAD5p47CJUWmg/MYqhxOkIpmG9g8KhGE5ezkdfr\n"
                         "SW9VAsAorfOvCTgwmNGjUzBRMB0GA1UdDgQWBBR0wmLvfCKXhRoUJvpbXRD2ePPr\n"
                         "yjAfBgNVHSMEGDAWgBR0wmLvfCKXhRoUJvpbXRD2ePPryjAPBgNVHRMBAf8EBTAD\n"
                         "AQH/MAoGCCqGSM49BAMCA0gAMEUCIAPeLvKsMDwSqbtmBI391+eswzgpKwqtdXjz\n"
                         "aVglkDzMAiEA9vUMwYIYIAO9+jsBnGaYWWIxGvvmeGYCX//S1fE5sDc=\n"
                         "-----END CERTIFICATE-----\n";

/* A pod: its account's folder, and what stands for the API server. */
struct pod {
    struct up u;
    char folder[64], port[8];
    struct dm_kube_config config;
    struct dm_kube_events *events;
};

static const char *path_of(const struct pod *p, const char *file)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", p->folder, file);
    return path;
}

static void put(const struct pod *p, const char *file, const char *text)
{
    FILE *f = fopen(path_of(p, file), "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void pod_init(struct pod *p)
{
    *p = (struct pod){.folder = "/tmp/doorman-test-XXXXXX"};
    up_init(&p->u, NULL);
    assert_non_null(mkdtemp(p->folder));
    put(p, "token", "aaa.bbb.ccc\n");
    put(p, "namespace", "shop");
    put(p, "ca.crt", ca);
    (void)snprintf(p->port, sizeof p->port, "%u", (unsigned)p->u.port);
    p->config = (struct dm_kube_config){.loop = p->u.loop,
                                        .account = dm_view_of(p->folder),
                                        .host = DM_LIT("127.0.0.1"),
                                        .port = dm_view_of(p->port),
                                        .pod = DM_LIT("orders-7c9f-abcde"),
                                        .uid = DM_LIT("1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
                                        .program = DM_LIT("doorman-gateway"),
                                        .metrics = p->u.metrics};
}

static void pod_start(struct pod *p)
{
    pod_init(p);
    assert_int_equal(dm_kube_events_new(&p->config, &p->events, NULL), DM_OK);
}

static void pod_done(struct pod *p)
{
    static const char *const files[] = {"token", "namespace", "ca.crt"};
    dm_kube_events_free(p->events);
    for (size_t i = 0; i < DM_COUNT_OF(files); i++)
        (void)unlink(path_of(p, files[i]));
    assert_int_equal(rmdir(p->folder), 0);
    up_done(&p->u);
}

static struct dm_kube_event *event(struct pod *p, const char *message)
{
    return dm_kube_event_new(p->events, "ConfigReloadFailed", dm_view_of(message), NOON);
}

static void send_one(struct pod *p)
{
    dm_kube_events_send(p->events, event(p, "m"));
}

/* --- what it says --- */

static const char *member(const struct dm_json *o, const char *object, const char *name)
{
    static char text[2048];
    const struct dm_json *in = object[0] == '\0' ? o : dm_json_get(o, dm_view_of(object));
    const dm_view v = dm_json_str(dm_json_get(in, dm_view_of(name)));
    (void)snprintf(text, sizeof text, "%.*s", DM_FMT(v));
    return text;
}

static void an_event_names_its_pod_the_reason_and_the_time(void **state)
{
    (void)state;
    static const char *const wanted[][3] = {
        {"", "apiVersion", "v1"},
        {"", "kind", "Event"},
        {"metadata", "generateName", "orders-7c9f-abcde."},
        {"metadata", "namespace", "shop"},
        {"involvedObject", "apiVersion", "v1"},
        {"involvedObject", "kind", "Pod"},
        {"involvedObject", "name", "orders-7c9f-abcde"},
        {"involvedObject", "namespace", "shop"},
        {"involvedObject", "uid", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"},
        {"", "reason", "ConfigReloadFailed"},
        {"", "message", "f:3:10: LOG_LEVEL: \"LOUD\""},
        {"", "type", "Warning"},
        {"source", "component", "doorman-gateway"},
        {"", "reportingComponent", "doorman-gateway"},
        {"", "reportingInstance", "orders-7c9f-abcde"},
        {"", "firstTimestamp", "2023-11-14T22:13:20Z"},
        {"", "lastTimestamp", "2023-11-14T22:13:20Z"},
    };
    struct pod p;
    struct dm_json *o;
    pod_start(&p);
    struct dm_kube_event *e = event(&p, "f:3:10: LOG_LEVEL: \"LOUD\"");
    assert_int_equal(dm_json_parse(dm_kube_event_body(e), &dm_json_default, &o, NULL), DM_OK);
    for (size_t i = 0; i < DM_COUNT_OF(wanted); i++)
        assert_string_equal(member(o, wanted[i][0], wanted[i][1]), wanted[i][2]);
    assert_int_equal(dm_json_i64(dm_json_get(o, DM_LIT("count")), 0), 1);
    assert_int_equal(dm_view_find(dm_kube_event_body(e), DM_LIT("aaa.bbb.ccc")),
                     dm_kube_event_body(e).len);
    dm_json_free(o);
    dm_kube_event_free(e);
    pod_done(&p);
}

static void an_unknown_uid_is_left_out(void **state)
{
    (void)state;
    struct pod p;
    pod_init(&p);
    p.config.uid = DM_VIEW_NONE;
    assert_int_equal(dm_kube_events_new(&p.config, &p.events, NULL), DM_OK);
    struct dm_kube_event *e = event(&p, "m");
    assert_true(dm_kube_event_body(e).len > 0);
    assert_int_equal(dm_view_find(dm_kube_event_body(e), DM_LIT("\"uid\"")),
                     dm_kube_event_body(e).len);
    dm_kube_event_free(e);
    pod_done(&p);
}

static void a_long_message_is_cut_between_code_points(void **state)
{
    (void)state;
    struct pod p;
    struct dm_json *o;
    char message[1501];
    pod_start(&p);
    message[0] = 'x'; /* then the limit falls into a code point of three bytes */
    for (size_t i = 1; i + 3 < sizeof message; i += 3)
        memcpy(message + i, "\xe2\x82\xac", 4);
    struct dm_kube_event *e = event(&p, message);
    assert_int_equal(dm_json_parse(dm_kube_event_body(e), &dm_json_default, &o, NULL), DM_OK);
    const char *said = member(o, "", "message");
    assert_int_equal(strlen(said), 1024);
    assert_memory_equal(said, message, 1024);
    dm_json_free(o);
    dm_kube_event_free(e);
    pod_done(&p);
}

static void a_message_of_the_worst_bytes_has_room(void **state)
{
    (void)state;
    struct pod p;
    char message[3000];
    pod_start(&p);
    memset(message, 0x01, sizeof message - 1); /* six bytes each in JSON */
    message[sizeof message - 1] = '\0';
    struct dm_kube_event *e = event(&p, message);
    assert_int_equal(dm_json_check(dm_kube_event_body(e), &dm_json_default, NULL), DM_OK);
    dm_kube_event_free(e);
    pod_done(&p);
}

/* --- what it needs --- */

static void refused(struct pod *p, const char *why)
{
    struct dm_error err = {0};
    assert_int_equal(dm_kube_events_new(&p->config, &p->events, &err), DM_UNAVAILABLE);
    if (strstr(err.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    assert_null(strstr(err.text, "aaa.bbb"));
}

static void no_api_server_is_told_at_the_start(void **state)
{
    (void)state;
    static const char *const odd[][2] = {{"", "443"},       {"a b", "443"}, {"a\r\nb", "443"},
                                         {"127.0.0.1", ""}, {"::1", "0"},   {"::1", "65536"},
                                         {"127.0.0.1", "x"}};
    struct pod p;
    pod_init(&p);
    for (size_t i = 0; i < DM_COUNT_OF(odd); i++) {
        p.config.host = dm_view_of(odd[i][0]);
        p.config.port = dm_view_of(odd[i][1]);
        refused(&p, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT");
    }
    pod_done(&p);
}

static void a_name_that_is_no_pods_is_told_at_the_start(void **state)
{
    (void)state;
    struct pod p;
    pod_init(&p);
    p.config.pod = DM_LIT("a/b");
    refused(&p, "POD_NAME");
    p.config.pod = DM_VIEW_NONE;
    refused(&p, "POD_NAME");
    p.config.pod = DM_LIT("a");
    p.config.uid = DM_LIT("1\"2");
    refused(&p, "POD_UID");
    pod_done(&p);
}

static void an_account_that_cannot_be_used_is_told_at_the_start(void **state)
{
    (void)state;
    static const char *const odd[][3] = {{"token", "", "token: it is none"},
                                         {"token", "aaa.bbb\r\nX: y", "token: it is none"},
                                         {"token", "aaa bbb", "token: it is none"},
                                         {"namespace", "", "namespace"},
                                         {"namespace", "a/../b", "namespace"},
                                         {"namespace", "a\nb", "namespace"},
                                         {"ca.crt", "", "could not use the CA file"},
                                         {"ca.crt", "no certificate", "could not use the CA file"}};
    static const char *const good[][2] = {
        {"token", "aaa.bbb.ccc"}, {"namespace", "shop"}, {"ca.crt", ca}};
    struct pod p;
    pod_init(&p);
    for (size_t i = 0; i < DM_COUNT_OF(odd); i++) {
        put(&p, odd[i][0], odd[i][1]);
        refused(&p, odd[i][2]);
        for (size_t n = 0; n < DM_COUNT_OF(good); n++)
            put(&p, good[n][0], good[n][1]);
    }
    for (size_t n = 0; n < DM_COUNT_OF(good); n++) {
        assert_int_equal(unlink(path_of(&p, good[n][0])), 0);
        refused(&p, "could not");
        put(&p, good[n][0], good[n][1]);
    }
    pod_done(&p);
}

static void a_token_or_namespace_without_end_is_not_read(void **state)
{
    (void)state;
    struct pod p;
    static char text[32 * 1024];
    memset(text, 'a', sizeof text - 1);
    pod_init(&p);
    put(&p, "token", text);
    refused(&p, "too long");
    put(&p, "token", "a");
    put(&p, "namespace", text);
    refused(&p, "too long");
    pod_done(&p);
}

static void an_account_that_vanished_costs_one_event(void **state)
{
    (void)state;
    struct pod p;
    pod_start(&p);
    assert_int_equal(unlink(path_of(&p, "token")), 0);
    send_one(&p);
    assert_int_equal(up_metric(&p.u, FAILED), 1);
    assert_true(up_no_connection(&p.u));
    put(&p, "token", "ddd");
    send_one(&p);
    int fd = up_accept(&p.u);
    assert_int_equal(up_metric(&p.u, FAILED), 1);
    (void)close(fd);
    pod_done(&p);
}

/* --- on the way --- */

static void a_server_that_never_answers_is_given_up(void **state)
{
    (void)state;
    struct pod p;
    pod_start(&p);
    send_one(&p);
    int fd = up_accept(&p.u);
    dm_clock_manual_step(&p.u.clock, 5100 * DM_MS);
    up_settle(&p.u);
    assert_int_equal(up_metric(&p.u, FAILED), 1);
    assert_true(up_gone(&p.u, fd));
    (void)close(fd);
    pod_done(&p);
}

static void the_token_is_not_shown_to_a_server_without_tls(void **state)
{
    (void)state;
    struct pod p;
    char hello[4096];
    pod_start(&p);
    send_one(&p);
    int fd = up_accept(&p.u);
    up_say(fd, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    up_settle(&p.u);
    assert_int_equal(up_metric(&p.u, FAILED), 1);
    assert_int_equal(up_metric(&p.u, SENT), 0);
    ssize_t n = read(fd, hello, sizeof hello);
    assert_true(n > 0 && hello[0] == 0x16);
    assert_null(memmem(hello, (size_t)n, "aaa.bbb", 7));
    (void)close(fd);
    pod_done(&p);
}

static void one_waits_and_gives_way_to_a_newer_one(void **state)
{
    (void)state;
    struct pod p;
    pod_start(&p);
    for (int i = 0; i < 3; i++)
        send_one(&p);
    assert_int_equal(up_metric(&p.u, FAILED), 1); /* the second one */
    int fd = up_accept(&p.u);
    assert_true(up_no_connection(&p.u)); /* one at a time */
    up_hang_up(&fd);
    fd = up_accept(&p.u); /* the third one */
    assert_int_equal(up_metric(&p.u, FAILED), 2);
    up_hang_up(&fd);
    up_settle(&p.u);
    assert_int_equal(up_metric(&p.u, FAILED), 3);
    assert_true(up_no_connection(&p.u));
    pod_done(&p);
}

static void what_is_under_way_can_be_given_up(void **state)
{
    (void)state;
    struct pod p;
    pod_start(&p);
    send_one(&p);
    send_one(&p);
    int fd = up_accept(&p.u);
    dm_kube_events_free(DM_TAKE(p.events));
    assert_true(up_gone(&p.u, fd));
    (void)close(fd);
    pod_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_names_its_pod_the_reason_and_the_time),
        cmocka_unit_test(an_unknown_uid_is_left_out),
        cmocka_unit_test(a_long_message_is_cut_between_code_points),
        cmocka_unit_test(a_message_of_the_worst_bytes_has_room),
        cmocka_unit_test(no_api_server_is_told_at_the_start),
        cmocka_unit_test(a_name_that_is_no_pods_is_told_at_the_start),
        cmocka_unit_test(an_account_that_cannot_be_used_is_told_at_the_start),
        cmocka_unit_test(a_token_or_namespace_without_end_is_not_read),
        cmocka_unit_test(an_account_that_vanished_costs_one_event),
        cmocka_unit_test(a_server_that_never_answers_is_given_up),
        cmocka_unit_test(the_token_is_not_shown_to_a_server_without_tls),
        cmocka_unit_test(one_waits_and_gives_way_to_a_newer_one),
        cmocka_unit_test(what_is_under_way_can_be_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

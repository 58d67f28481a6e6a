/* CORS of an API: preflights and actual answers, refusals included (gateway.md §7, O15). */
#include <stdio.h>
#include <unistd.h>

#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"
#define LISTED "\"api_cors_allow_origins\":[\"https://a.test\",\"https://*.b.test\"],"
#define ASKS "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-one\r\n"

struct row {
    const char *what, *api, *target, *fields;
    const char *has[3], *lacks[3]; /* lines of the answer's head */
};

static const struct row preflights[] = {
    {"no lists: any origin",
     "",
     ITEMS,
     "Origin: https://x.test\r\n" ASKS,
     {"Access-Control-Allow-Origin: https://x.test\r\n", "Vary: Origin\r\n",
      "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS\r\n"},
     {"Allow-Credentials", "Max-Age", "Expose"}},
    {"any header is a star",
     "",
     ITEMS,
     "Origin: https://x.test\r\n" ASKS,
     {"Access-Control-Allow-Headers: *\r\n"},
     {NULL}},
    {"a listed origin",
     LISTED,
     ITEMS,
     "Origin: https://a.test\r\n" ASKS,
     {"Access-Control-Allow-Origin: https://a.test\r\n"},
     {NULL}},
    {"a subdomain",
     LISTED,
     ITEMS,
     "Origin: https://c.b.test\r\n" ASKS,
     {"Access-Control-Allow-Origin: https://c.b.test\r\n"},
     {NULL}},
    {"the domain itself is no subdomain",
     LISTED,
     ITEMS,
     "Origin: https://b.test\r\n" ASKS,
     {"Vary: Origin\r\n"},
     {"Access-Control-Allow-Origin"}},
    {"an unlisted origin",
     LISTED,
     ITEMS,
     "Origin: https://x.test\r\n" ASKS,
     {"Vary: Origin\r\n"},
     {"Access-Control-Allow-Origin"}},
    {"an unlisted method",
     "\"api_cors_allow_methods\":[\"POST\"],",
     ITEMS,
     "Origin: https://x.test\r\n" ASKS,
     {"Access-Control-Allow-Methods: POST, OPTIONS\r\n"},
     {"Access-Control-Allow-Origin"}},
    {"an unlisted header",
     "\"api_cors_allow_headers\":[\"X-Two\"],",
     ITEMS,
     "Origin: https://x.test\r\n" ASKS,
     {"Access-Control-Allow-Headers: X-Two\r\n"},
     {"Access-Control-Allow-Origin"}},
    {"a listed header in any case",
     "\"api_cors_allow_headers\":[\"X-One\"],",
     ITEMS,
     "Origin: https://x.test\r\n" ASKS,
     {"Access-Control-Allow-Origin: https://x.test\r\n"},
     {NULL}},
    {"credentials",
     "\"api_cors_allow_credentials\":true,",
     ITEMS,
     "Origin: https://x.test\r\n" ASKS,
     {"Access-Control-Allow-Credentials: true\r\n",
      "Access-Control-Allow-Origin: https://x.test\r\n"},
     {NULL}},
    {"no origin at all", "", ITEMS, ASKS, {NULL}, {"Access-Control-Allow-Origin", "Vary"}},
    {"an unknown API",
     "",
     "/api/rest/none/v1/x",
     "Origin: https://x.test\r\n" ASKS,
     {NULL},
     {"Access-Control", "Vary"}},
    {"an unknown endpoint",
     "",
     "/api/rest/demo/v1/none",
     "Origin: https://x.test\r\n" ASKS,
     {"Access-Control-Allow-Origin: https://x.test\r\n"},
     {NULL}},
};

static void check_lines(struct rig *r, const struct row *row)
{
    for (size_t i = 0; i < DM_COUNT_OF(row->has); i++) {
        if (row->has[i] != NULL && !rig_answered(r, row->has[i]))
            fail_msg("%s: no %s\n%s", row->what, row->has[i], r->answer);
        if (row->lacks[i] != NULL && rig_answered(r, row->lacks[i]))
            fail_msg("%s: %s\n%s", row->what, row->lacks[i], r->answer);
    }
}

static int preflight(struct rig *r, const char *target, const char *fields)
{
    char request[2048];

    snprintf(request, sizeof request, "OPTIONS %s HTTP/1.1\r\nHost: gw\r\n%s\r\n", target, fields);
    return rig_ask(r, request);
}

static void a_preflight_is_answered_on_the_spot(void **state) /* vectors 28, 29, 57 */
{
    struct rig *r = *state;

    for (size_t i = 0; i < DM_COUNT_OF(preflights); i++) {
        rig_api(r, preflights[i].api);
        assert_int_equal(preflight(r, preflights[i].target, preflights[i].fields), 204);
        check_lines(r, &preflights[i]);
    }
    assert_int_equal(r->up[0].n_requests + r->up[1].n_requests, 0);
}

RIG_SETUP(setup_strict, "STRICT_OPTIONS_405=true")

static void strict_preflights_know_the_endpoints(void **state)
{
    struct rig *r = *state;

    assert_int_equal(preflight(r, ITEMS, "Origin: https://x.test\r\n"), 204);
    assert_int_equal(preflight(r, "/api/rest/demo/v1/none", "Origin: https://x.test\r\n"), 405);
    assert_non_null(strstr(r->body, "GTW405"));
    assert_true(rig_answered(r, "Access-Control-Allow-Origin: https://x.test\r\n"));
}

static const struct row answers[] = {
    {"an answer by origin alone",
     LISTED "\"api_cors_expose_headers\":[\"X-A\",\"X-B\"],",
     ITEMS,
     "Origin: https://a.test\r\n",
     {"Access-Control-Allow-Origin: https://a.test\r\n", "Vary: Origin\r\n",
      "Access-Control-Expose-Headers: X-A, X-B\r\n"},
     {"Allow-Methods", "Allow-Headers"}},
    {"an unlisted origin",
     LISTED,
     ITEMS,
     "Origin: https://x.test\r\n",
     {"Vary: Origin\r\n"},
     {"Access-Control-Allow-Origin"}},
    {"no origin, a list", LISTED, ITEMS, "", {"Vary: Origin\r\n"}, {"Access-Control"}},
    {"no origin, no list", "", ITEMS, "", {NULL}, {"Access-Control", "Vary"}},
};

static void answers_and_refusals_carry_it_alike(void **state)
{
    struct rig *r = *state;

    for (size_t i = 0; i < DM_COUNT_OF(answers); i++) {
        rig_api(r, answers[i].api);
        assert_int_equal(rig_get(r, answers[i].target, answers[i].fields), 200);
        check_lines(r, &answers[i]);
        assert_int_equal(rig_get_anonymous(r, answers[i].target, answers[i].fields), 401);
        check_lines(r, &answers[i]);
    }
    assert_int_equal(rig_get_anonymous(r, "/api/rest/demo/v1/nope", "Origin: https://a.test\r\n"),
                     404);
    assert_true(rig_answered(r, "Access-Control-Allow-Origin: https://a.test\r\n"));
}

static void ours_replace_the_upstreams(void **state)
{
    struct rig *r = *state;

    rig_one_server(r, "\"api_allowed_headers\":[\"*\"],");
    rig_script(
        r, 0,
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://evil.test\r\nVary: Accept\r\n"
        "Content-Length: 0\r\n\r\n");
    assert_int_equal(rig_get(r, ITEMS, "Origin: https://x.test\r\n"), 200);
    assert_true(rig_answered(r, "Access-Control-Allow-Origin: https://x.test\r\n"));
    assert_false(rig_answered(r, "evil"));
    assert_true(rig_answered(r, "Vary: Accept\r\n") && rig_answered(r, "Vary: Origin\r\n"));
}

/* No head that large leaves; what matters is that the request ends, and that nobody is left
 * waiting. */
static void fields_past_the_carriers_room_end_the_request(void **state)
{
    struct rig *r = *state;
    static char json[256 * 1024];
    static const char request[] =
        "OPTIONS " ITEMS " HTTP/1.1\r\nHost: gw\r\nOrigin: https://x.test\r\n" ASKS "\r\n";
    size_t len = (size_t)snprintf(
        json, sizeof json,
        "{\"api_id\":\"a1\",\"api_name\":\"demo\",\"api_version\":\"v1\","
        "\"api_path\":\"/demo/v1\",\"api_servers\":[],\"api_cors_allow_headers\":[\"x-one\"");
    while (len < 120 * 1024)
        len += (size_t)snprintf(json + len, sizeof json - len, ",\"x-%zu\"", len);
    snprintf(json + len, sizeof json - len, "]}");
    rig_publish(r, "api", "a1", json);
    const int fd = rig_connect(r);
    rig_send(r, fd, request, sizeof request - 1);
    r->answer_len = 0;
    rig_until(r, !rig_receive(r, fd));
    assert_int_equal(r->answer_len, 0);
    close(fd);
    assert_int_equal(gw_worker_inflight(r->worker), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_preflight_is_answered_on_the_spot, rig_setup),
        RIG_TEST(strict_preflights_know_the_endpoints, setup_strict),
        RIG_TEST(answers_and_refusals_carry_it_alike, rig_setup),
        RIG_TEST(ours_replace_the_upstreams, rig_setup),
        RIG_TEST(fields_past_the_carriers_room_end_the_request, rig_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

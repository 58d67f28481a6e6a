/* Which fields pass, both ways (R15, gateway.md §13.1, §15), and what the upstream is told of the
 * caller. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"
#define ALLOW(list) "\"api_allowed_headers\":[" list "],"

/* --- what it sees --- */

static void the_upstream_is_told_who_calls(void **state)
{
    struct rig *r = *state;
    char expected[256];

    assert_int_equal(rig_get(r, ITEMS, "X-Request-ID: abc\r\n"), 200); /* vector 3 */
    assert_true(rig_answered(r, "X-Request-ID: abc\r\nrequest_id: abc\r\n"));
    const dm_view seen = rig_seen(r, 0);
    snprintf(expected, sizeof expected, "\r\nHost: 127.0.0.1:%u\r\n", r->up[0].port);
    assert_true(rig_has(seen, expected));
    assert_true(rig_has(seen, "\r\nX-Request-ID: abc\r\n"));
    assert_true(rig_has(seen, "\r\nX-User-Email: bob\r\nX-Doorman-User: bob\r\n"));
    assert_true(rig_has(seen, "\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
                              "X-Forwarded-Host: gw.test\r\n"));
    assert_false(rig_has(seen, "Authorization"));
}

static void a_client_cannot_say_who_it_is(void **state)
{
    struct rig *r = *state;

    rig_api(
        r,
        "\"api_allowed_headers\":[\"*\",\"x-doorman-user\",\"x-user-email\",\"x-forwarded-for\"],");
    assert_int_equal(
        rig_get(r, ITEMS,
                "X-Doorman-User: eve\r\nX-User-Email: eve\r\nX-Forwarded-For: 6.6.6.6\r\n"),
        200);
    assert_false(rig_has(rig_seen(r, 0), "eve"));
    assert_false(rig_has(rig_seen(r, 0), "6.6.6.6"));
}

RIG_SETUP(setup_the_address_may_be_k, "FORWARD_CLIENT_IP=false")

static void the_address_may_be_kept_back(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_false(rig_has(rig_seen(r, 0), "X-Forwarded"));
}

static void a_public_api_is_told_of_no_user(void **state)
{
    struct rig *r = *state;

    rig_api(r, "\"api_public\":true,");
    assert_int_equal(rig_get(r, ITEMS, ""), 200);
    assert_false(rig_has(rig_seen(r, 0), "X-Doorman-User"));
}

struct header_row {
    const char *allowed; /* api_allowed_headers, or the swap */
    const char *sent;    /* by the client, besides bob's bearer token */
    const char *seen;    /* NULL: nothing of `sent` */
};

static const struct header_row upward[] = {
    {"", "Accept: a/b\r\n", "\r\nAccept: a/b\r\n"},
    {"", "Content-Type: a/b\r\n", "\r\nContent-Type: a/b\r\n"},
    {"", "User-Agent: u\r\n", "\r\nUser-Agent: u\r\n"},
    {"", "If-None-Match: \"x\"\r\n", "\r\nIf-None-Match: \"x\"\r\n"},
    {"", "traceparent: 00-1-2-01\r\n", "\r\ntraceparent: 00-1-2-01\r\n"},
    {"", "X-Custom: 1\r\n", NULL},
    {ALLOW("\"x-custom\""), "X-CUSTOM: 1\r\nx-custom: 2\r\n", "\r\nX-CUSTOM: 1\r\nx-custom: 2\r\n"},
    {ALLOW("\"*\""), "X-Custom: <a> \t;b\r\n", "\r\nX-Custom: <a> \t;b\r\n"},
    {ALLOW("\"*\""), "X-Api-Key: k\r\n", NULL},
    {ALLOW("\"x-api-key\""), "X-Api-Key: k\r\n", NULL},
    {ALLOW("\"*\""), "Cookie: a=b\r\n", NULL},
    {ALLOW("\"cookie\""), "Cookie: a=b; csrf_token=c;d=e\r\n", "\r\nCookie: a=b; d=e\r\n"},
    {ALLOW("\"cookie\""), "Cookie: refresh_token_cookie=c\r\n", NULL},
    {ALLOW("\"authorization\""), "",
     "Authorization"}, /* see below: the credential itself never passes */
    {ALLOW("\"*\""), "Proxy-Authorization: x\r\n", NULL},
    {ALLOW("\"x-hop\""), "Connection: x-hop\r\nX-Hop: 1\r\n", NULL},
    {ALLOW("\"te\",\"keep-alive\""), "Keep-Alive: 5\r\n", NULL},
    {ALLOW("\"x-token\"") "\"api_authorization_field_swap\":\"X-Token\",", "X-Token: Basic zz\r\n",
     "\r\nX-Token: Basic zz\r\nAuthorization: Basic zz\r\n"},
    {"\"api_authorization_field_swap\":\"X-Token\",", "X-Token: Basic zz\r\n",
     NULL}, /* not allowed up */
    {ALLOW("\"x-token\"") "\"api_authorization_field_swap\":\"X-Token\",", "", "Authorization"},
};

static void fields_go_up_by_the_rule(void **state)
{
    struct rig *r = *state;

    for (size_t i = 0; i < DM_COUNT_OF(upward); i++) {
        const struct header_row *row = &upward[i];
        rig_one_server(r, row->allowed);
        r->up[0].seen_len = 0;
        assert_int_equal(rig_get(r, ITEMS, row->sent), 200);
        const dm_view seen = rig_seen(r, 0);
        bool good;
        if (row->seen != NULL && row->sent[0] == '\0') /* the gateway's own credential */
            good = !rig_has(seen, row->seen);
        else if (row->seen != NULL)
            good = rig_has(seen, row->seen);
        else { /* not a word of it: neither name nor value */
            char name[64];
            snprintf(name, sizeof name, "%.*s",
                     (int)strcspn(strrchr(row->sent, ':') == NULL ? row->sent : row->sent, ":"),
                     row->sent);
            good = !rig_has(seen, name) && !rig_has(seen, "X-Hop");
        }
        if (!good)
            fail_msg("row %zu: %s%s\n%.*s", i, row->allowed, row->sent, DM_FMT(seen));
    }
}

static void with_a_cookie_the_header_is_the_clients_own(void **state)
{
    struct rig *r = *state;
    char fields[4096];

    rig_one_server(r, ALLOW("\"authorization\",\"cookie\""));
    snprintf(fields, sizeof fields,
             "Cookie: access_token_cookie=%s; own=1\r\nAuthorization: Basic aa\r\n",
             rig_token(r, "bob", ""));
    assert_int_equal(rig_get_anonymous(r, ITEMS, fields), 200);
    assert_true(rig_has(rig_seen(r, 0), "\r\nCookie: own=1\r\n"));
    assert_true(rig_has(rig_seen(r, 0), "\r\nAuthorization: Basic aa\r\n"));
}

static void paths_are_matched_decoded_and_sent_encoded(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, "/api/rest/demo/v1//items/a%20b/?q=%2f", ""), 200);
    assert_true(rig_has(rig_seen(r, 0), "GET /items/a%20b?q=%2f HTTP/1.1\r\n"));
}

static void a_client_uri_is_rewritten(void **state)
{
    struct rig *r = *state;

    rig_publish(r, "endpoint", "e4",
                "{\"endpoint_id\":\"e4\",\"api_id\":\"a1\",\"endpoint_method\":\"GET\","
                "\"client_uri\":\"/c/{x}/{y}\",\"endpoint_uri\":\"/u/{y}/{x}\"}");
    assert_int_equal(rig_get(r, "/api/rest/demo/v1/c/1/2", ""), 200);
    assert_true(rig_has(rig_seen(r, 0), "GET /u/2/1 HTTP/1.1\r\n"));
}

static void a_version_may_come_by_header(void **state) /* vector 55 */
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, "/api/rest/demo/items", "X-API-Version: v1\r\n"), 200);
    assert_true(rig_has(rig_seen(r, 0), "GET /items HTTP/1.1\r\n"));
}

static void fields_come_down_by_the_rule(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *allowed, *sent;
        bool passes;
    } rows[] = {
        {"", "ETag: \"1\"", true},
        {"", "Vary: Accept", true},
        {"", "Retry-After: 7", true},
        {"", "X-Custom: 1", false},
        {ALLOW("\"x-custom\""), "X-Custom: 1", true},
        {ALLOW("\"*\""), "X-Custom: 1", true},
        {"", "Set-Cookie: a=b", false},
        {ALLOW("\"*\""), "Set-Cookie: a=b", false},
        {ALLOW("\"set-cookie\""), "Set-Cookie: a=b", true},
        {ALLOW("\"set-cookie\""), "Set-Cookie: access_token_cookie=b", false},
        {"", "X-Frame-Options: SAMEORIGIN", false},
        {ALLOW("\"x-frame-options\""), "X-Frame-Options: SAMEORIGIN", true},
        {ALLOW("\"*\""), "X-Request-ID: theirs", false},
        {ALLOW("\"*\""), "request_id: theirs", false},
        {ALLOW("\"*\""), "WWW-Authenticate: Basic", false},
        {ALLOW("\"x-hop\""), "Connection: x-hop\r\nX-Hop: 1", false},
        {ALLOW("\"*\""), "Access-Control-Allow-Origin: *", true},
    };

    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        char answer[512], line[256];
        rig_one_server(r, rows[i].allowed);
        snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 0\r\n\r\n",
                 rows[i].sent);
        snprintf(line, sizeof line, "\r\n%s\r\n",
                 strrchr(rows[i].sent, '\n') == NULL ? rows[i].sent
                                                     : strrchr(rows[i].sent, '\n') + 1);
        r->up[0].n_script = r->up[0].answered = 0;
        rig_script(r, 0, answer);
        assert_int_equal(rig_get(r, ITEMS, ""), 200);
        if (rig_answered(r, line) != rows[i].passes)
            fail_msg("row %zu: %s %s\n%s", i, rows[i].allowed, rows[i].sent, r->answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(the_upstream_is_told_who_calls, rig_setup),
        RIG_TEST(a_client_cannot_say_who_it_is, rig_setup),
        RIG_TEST(the_address_may_be_kept_back, setup_the_address_may_be_k),
        RIG_TEST(a_public_api_is_told_of_no_user, rig_setup),
        RIG_TEST(fields_go_up_by_the_rule, rig_setup),
        RIG_TEST(with_a_cookie_the_header_is_the_clients_own, rig_setup),
        RIG_TEST(paths_are_matched_decoded_and_sent_encoded, rig_setup),
        RIG_TEST(a_client_uri_is_rewritten, rig_setup),
        RIG_TEST(a_version_may_come_by_header, rig_setup),
        RIG_TEST(fields_come_down_by_the_rule, rig_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The check order of REST (gateway.md §18), row by row: what refuses, with which code and reason,
 * and that the upstream saw nothing of a refused call. */
#include <stdio.h>

#include "rig.h"

#define TOKEN "{bob}" /* in a row's fields: bob's valid token */

struct row {
    const char *what;
    const char *api, *user,
        *subscription; /* documents that differ from the demo's; NULL: the demo's */
    const char *request;
    int status; /* 200: the upstream answered */
    const char *code, *reason;
};

#define GET_ITEMS "GET /api/rest/demo/v1/items"
#define NO_SUBSCRIPTION "{\"username\":\"bob\",\"apis\":[]}"

static const struct row rows[] = {
    {"a known caller passes", .request = GET_ITEMS TOKEN, .status = 200},
    {"no token", .request = GET_ITEMS, .status = 401, .code = "Unauthorized", .reason = "token"},
    {"unknown endpoint comes before the token", .request = "GET /api/rest/demo/v1/nope",
     .status = 404, .code = "GTW003", .reason = "endpoint"},
    {"method without an endpoint", .request = "DELETE /api/rest/demo/v1/items" TOKEN, .status = 404,
     .code = "GTW003", .reason = "endpoint"},
    {"unknown API", .request = "GET /api/rest/none/v1/x", .status = 404, .code = "GTW001",
     .reason = "api"},
    {"unknown version", .request = "GET /api/rest/demo/v2/items", .status = 404, .code = "GTW001",
     .reason = "api"},
    {"no version at all", .request = "GET /api/rest/demo", .status = 404, .code = "GTW001",
     .reason = "api"},
    {"not subscribed", .subscription = NO_SUBSCRIPTION, .request = GET_ITEMS TOKEN, .status = 403,
     .code = "You are not subscribed to this resource", .reason = "subscription"},
    {"an administrator needs no subscription", .user = "\"role\":\"Platform Admin\",",
     .subscription = NO_SUBSCRIPTION, .request = GET_ITEMS TOKEN, .status = 200},
    {"no group in common", .user = "\"groups\":[\"OTHER\"],", .request = GET_ITEMS TOKEN,
     .status = 401, .code = "You do not have the correct group for this", .reason = "group"},
    {"no group allowed", .api = "\"api_allowed_groups\":[],", .request = GET_ITEMS TOKEN,
     .status = 401, .code = "You do not have the correct group for this", .reason = "group"},
    {"subscription comes before group", .user = "\"groups\":[],", .subscription = NO_SUBSCRIPTION,
     .request = GET_ITEMS TOKEN, .status = 403, .code = "You are not subscribed to this resource",
     .reason = "subscription"},
    {"role not allowed", .api = "\"api_allowed_roles\":[\"ops\"],", .request = GET_ITEMS TOKEN,
     .status = 403, .code = "GTW014", .reason = "role"},
    {"an administrator's role is checked like others", .api = "\"api_allowed_roles\":[\"ops\"],",
     .user = "\"role\":\"admin\",", .request = GET_ITEMS TOKEN, .status = 403, .code = "GTW014",
     .reason = "role"},
    {"group comes before role", .api = "\"api_allowed_roles\":[\"ops\"],", .user = "\"groups\":[],",
     .request = GET_ITEMS TOKEN, .status = 401,
     .code = "You do not have the correct group for this", .reason = "group"},
    {"a disabled API", .api = "\"active\":false,", .request = GET_ITEMS TOKEN, .status = 403,
     .code = "GTW012", .reason = "api; disabled"},
    {"role comes before the disabled API",
     .api = "\"active\":false,\"api_allowed_roles\":[\"ops\"],", .request = GET_ITEMS TOKEN,
     .status = 403, .code = "GTW014", .reason = "role"},
    {"a disabled public API", .api = "\"active\":false,\"api_public\":true,", .request = GET_ITEMS,
     .status = 403, .code = "GTW012", .reason = "api; disabled"},
    {"no servers", .api = "\"api_servers\":[],", .request = GET_ITEMS TOKEN, .status = 404,
     .code = "GTW001", .reason = "servers"},
    {"disabled comes before no servers", .api = "\"api_servers\":[],\"active\":false,",
     .request = GET_ITEMS TOKEN, .status = 403, .code = "GTW012", .reason = "api; disabled"},
    {"a public API needs no token", .api = "\"api_public\":true,", .request = GET_ITEMS,
     .status = 200},
    {"a public API does not mind a bad token", .api = "\"api_public\":true,",
     .request = GET_ITEMS "{bad}", .status = 200},
    {"an API without authentication", .api = "\"api_auth_required\":false,", .request = GET_ITEMS,
     .status = 200},
    {"credits and nobody to charge",
     .api = "\"api_auth_required\":false,\"api_credits_enabled\":true,", .request = GET_ITEMS,
     .status = 401, .code = "GTW008", .reason = "credits; anonymous"},
    {"an inactive user", .user = "\"active\":false,", .request = GET_ITEMS TOKEN, .status = 401,
     .code = "Unauthorized", .reason = "token"},
    {"a dot segment in disguise", .request = "GET /api/rest/demo/v1/items/..%2fadmin" TOKEN,
     .status = 400, .code = "GTW011", .reason = "path"},
    {"an encoded dot segment", .request = "GET /api/rest/demo/v1/%2e%2e/items" TOKEN, .status = 400,
     .code = "GTW011", .reason = "path"},
    {"an upgrade", .request = GET_ITEMS TOKEN "{upgrade}", .status = 403, .code = "GTW403",
     .reason = "upgrade"},
    {"a path of nobody", .request = "GET /api/nope", .status = 404, .code = "GTW404",
     .reason = "route"},
    {"a method that GraphQL does not know", .request = "PUT /api/graphql/demo", .status = 405,
     .code = "GTW405", .reason = "route; method"},
    {"a protocol without a module", .request = "POST /api/graphql/demo", .status = 404,
     .code = "GTW404", .reason = "route"},
    {"a gRPC-Web path", .request = "POST /grpc-web/demo/S/M", .status = 404, .code = "GTW404",
     .reason = "route"},
    {"a method that REST does not know", .request = "REPORT /api/rest/demo/v1/items", .status = 405,
     .code = "GTW405", .reason = "route; method"},
    {"no credits", .api = "\"api_credits_enabled\":true,\"api_credit_group\":\"g\",",
     .request = GET_ITEMS TOKEN, .status = 401, .code = "GTW008", .reason = "credits"},
    {"credits of no group", .api = "\"api_credits_enabled\":true,", .request = GET_ITEMS TOKEN,
     .status = 401, .code = "GTW008", .reason = "credits; no group"},
    {"not subscribed comes before no credits",
     .api = "\"api_credits_enabled\":true,\"api_credit_group\":\"g\",",
     .subscription = NO_SUBSCRIPTION, .request = GET_ITEMS TOKEN, .status = 403,
     .code = "You are not subscribed to this resource", .reason = "subscription"},
    {"a public API takes no credits",
     .api = "\"api_public\":true,\"api_credits_enabled\":true,\"api_credit_group\":\"g\",",
     .request = GET_ITEMS, .status = 200},
    {"a transform that cannot be done yet",
     .api = "\"api_request_transform\":{\"headers\":{\"remove\":[\"x\"]}},",
     .request = GET_ITEMS TOKEN, .status = 503, .code = "GTW006", .reason = "transform"},
    {"a CRUD API without the admin", .api = "\"api_is_crud\":true,\"api_servers\":[],",
     .request = GET_ITEMS TOKEN, .status = 503, .code = "GTW006", .reason = "crud"},
};

/* The request line, Host, and what the marks stand for. */
static void write_request(struct rig *r, const struct row *row, char *out, size_t size)
{
    const char *marks = strchr(row->request, '{');
    const int line = marks != NULL ? (int)(marks - row->request) : (int)strlen(row->request);
    const bool token = strstr(row->request, TOKEN) != NULL,
               bad = strstr(row->request, "{bad}") != NULL;

    snprintf(out, size, "%.*s HTTP/1.1\r\nHost: gw.test\r\n%s%s%s%s\r\n", line, row->request,
             token || bad ? "Authorization: Bearer " : "",
             token ? rig_token(r, "bob", "")
             : bad ? "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"
                   : "",
             token || bad ? "\r\n" : "",
             strstr(row->request, "{upgrade}") != NULL
                 ? "Connection: upgrade\r\nUpgrade: websocket\r\n"
                 : "");
}

static void check(struct rig *r, const struct row *row)
{
    char request[4096], code[256], reason[256];

    if (row->api != NULL)
        rig_api(r, row->api);
    if (row->user != NULL)
        rig_user(r, "bob", row->user);
    if (row->subscription != NULL)
        rig_publish(r, "subscription", "bob", row->subscription);
    write_request(r, row, request, sizeof request);
    rig_ask(r, request);
    snprintf(code, sizeof code, "\"error_code\":\"%s\"", row->code != NULL ? row->code : "");
    snprintf(reason, sizeof reason, "X-Doorman-Reason: %s\r\n",
             row->reason != NULL ? row->reason : "");
    const bool good = r->status == row->status &&
                      (row->code == NULL || strstr(r->body, code) != NULL) &&
                      (row->reason == NULL || rig_answered(r, reason));
    if (!good)
        fail_msg("%s:\n%s\n%s", row->what, request, r->answer);
    assert_true(rig_answered(r, "X-Request-ID: ") && rig_answered(r, "request_id: "));
    assert_int_equal(r->up[0].n_requests + r->up[1].n_requests, row->status == 200);
}

static void every_row_of_the_check_order_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        struct rig *r = test_calloc(1, sizeof *r);
        rig_init(r, NULL);
        rig_demo(r);
        check(r, &rows[i]);
        rig_done(r);
        test_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_check_order_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

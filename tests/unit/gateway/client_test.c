/* Addresses: the effective one, global lists, an API's lists, the bypass (gateway.md §3,
 * operations.md §8.11). */
#include <stdio.h>

#include "rig.h"

#define ITEMS "/api/rest/demo/v1/items"
#define TRUST                                                                                      \
    "\"trust_x_forwarded_for\":true,\"xff_trusted_proxies\":[\"127.0.0.0/8\",\"10.0.0.0/8\"],"

RIG_SETUP(no_bypass, "LOCAL_HOST_IP_BYPASS=false")

struct row {
    const char *what;
    const char *security, *api; /* documents; NULL: none */
    const char *fields;
    int status;
    const char *code, *reason;
};

static const struct row rows[] = {
    {"no lists", NULL, NULL, "", 200, NULL, NULL},
    {"blacklisted", "\"ip_blacklist\":[\"127.0.0.0/8\"]", NULL, "", 403, "SEC011", "ip; blacklist"},
    {"not in the whitelist", "\"ip_whitelist\":[\"1.2.3.4\"]", NULL, "", 403, "SEC010",
     "ip; whitelist"},
    {"in the whitelist", "\"ip_whitelist\":[\"127.0.0.1\"]", NULL, "", 200, NULL, NULL},
    {"blacklist first", "\"ip_blacklist\":[\"127.0.0.1\"],\"ip_whitelist\":[\"127.0.0.1\"]", NULL,
     "", 403, "SEC011", "ip; blacklist"},
    {"forwarded from a trusted proxy", TRUST "\"ip_blacklist\":[\"1.2.3.4\"]", NULL,
     "X-Forwarded-For: 1.2.3.4\r\n", 403, "SEC011", "ip; blacklist"},
    {"from the right, over trusted hops", TRUST "\"ip_blacklist\":[\"1.2.3.4\"]", NULL,
     "X-Forwarded-For: 9.9.9.9, 1.2.3.4, 10.0.0.7\r\n", 403, "SEC011", "ip; blacklist"},
    {"a forged first entry does not count", TRUST "\"ip_blacklist\":[\"1.2.3.4\"]", NULL,
     "X-Forwarded-For: 1.2.3.4, 9.9.9.9\r\n", 200, NULL, NULL},
    {"forwarded without trust", "\"ip_blacklist\":[\"1.2.3.4\"]", NULL,
     "X-Forwarded-For: 1.2.3.4\r\n", 200, NULL, NULL},
    {"an API's blacklist", NULL, "\"api_ip_blacklist\":[\"127.0.0.1\"],", "", 403, "API011",
     "api ip; blacklist"},
    {"an API's empty whitelist admits nobody", NULL,
     "\"api_ip_mode\":\"whitelist\",\"api_ip_whitelist\":[],", "", 403, "API010",
     "api ip; whitelist"}, /* vector 41 */
    {"an API's whitelist", NULL,
     "\"api_ip_mode\":\"whitelist\",\"api_ip_whitelist\":[\"127.0.0.1\"],", "", 200, NULL, NULL},
    {"an API trusts on its own", "\"xff_trusted_proxies\":[\"127.0.0.1\"]",
     "\"api_trust_x_forwarded_for\":true,\"api_ip_blacklist\":[\"1.2.3.4\"],",
     "X-Forwarded-For: 1.2.3.4\r\n", 403, "API011", "api ip; blacklist"},
    {"an API distrusts on its own", TRUST "\"x\":0",
     "\"api_trust_x_forwarded_for\":false,\"api_ip_blacklist\":[\"1.2.3.4\"],",
     "X-Forwarded-For: 1.2.3.4\r\n", 200, NULL, NULL},
    {"the API's lists come before its endpoints and tokens", NULL,
     "\"api_ip_blacklist\":[\"127.0.0.1\"],", "Authorization: x\r\n", 403, "API011",
     "api ip; blacklist"},
};

static void publish(struct rig *r, const struct row *row)
{
    char json[1024];

    if (row->security != NULL) {
        snprintf(json, sizeof json, "{%s}", row->security);
        rig_publish(r, "security_settings", "security_settings", json);
    }
    if (row->api != NULL)
        rig_api(r, row->api);
}

static void lists_admit_and_refuse_by_the_effective_address(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        const struct row *row = &rows[i];
        void *own;
        char text[128];
        no_bypass(&own);
        struct rig *r = own;
        publish(r, row);
        if (strstr(row->fields, "Authorization") != NULL)
            rig_get_anonymous(r, "/api/rest/demo/v1/nope", row->fields);
        else
            rig_get(r, ITEMS, row->fields);
        snprintf(text, sizeof text, "\"error_code\":\"%s\"", row->code != NULL ? row->code : "");
        if (r->status != row->status || (row->code != NULL && strstr(r->body, text) == NULL))
            fail_msg("%s\n%s", row->what, r->answer);
        snprintf(text, sizeof text, "X-Doorman-Reason: %s\r\n",
                 row->reason != NULL ? row->reason : "");
        assert_true(row->reason == NULL || rig_answered(r, text));
        rig_teardown(&own);
    }
}

static void a_global_refusal_names_its_status(void **state) /* vector 40 */
{
    struct rig *r = *state;

    rig_publish(r, "security_settings", "security_settings", "{\"ip_blacklist\":[\"127.0.0.1\"]}");
    assert_int_equal(rig_get(r, ITEMS, ""), 403);
    assert_string_equal(
        r->body,
        "{\"status_code\":403,\"error_code\":\"SEC011\",\"error_message\":\"IP blocked\"}");
    assert_int_equal(rig_count(r, GW_COUNT_IP_GLOBAL_BLACKLIST), 1);
}

RIG_SETUP(with_bypass, "LOCAL_HOST_IP_BYPASS=true")

static void loopback_bypasses_unless_it_forwards(void **state)
{
    struct rig *r = *state;

    rig_publish(r, "security_settings", "security_settings",
                "{\"ip_blacklist\":[\"127.0.0.1\"],\"allow_localhost_bypass\":false}");
    rig_api(r, "\"api_ip_blacklist\":[\"127.0.0.1\"],");
    assert_int_equal(rig_get(r, ITEMS, ""), 200); /* a set value locks the stored one */
    assert_int_equal(rig_get(r, ITEMS, "X-Real-IP: 127.0.0.1\r\n"), 403);
}

static void the_upstream_learns_the_effective_client(void **state)
{
    struct rig *r = *state;

    rig_publish(r, "security_settings", "security_settings", "{" TRUST "\"x\":0}");
    assert_int_equal(rig_get(r, ITEMS,
                             "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
                             "X-Forwarded-Host: outer.test\r\n"),
                     200);
    assert_true(rig_has(rig_seen(r, 0), "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
                                        "X-Forwarded-Host: outer.test\r\n"));
}

static void an_untrusted_peer_tells_nothing(void **state)
{
    struct rig *r = *state;

    assert_int_equal(rig_get(r, ITEMS,
                             "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
                             "X-Forwarded-Host: outer.test\r\n"),
                     200);
    assert_true(rig_has(rig_seen(r, 0), "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
                                        "X-Forwarded-Host: gw.test\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_admit_and_refuse_by_the_effective_address),
        RIG_TEST(a_global_refusal_names_its_status, no_bypass),
        RIG_TEST(loopback_bypasses_unless_it_forwards, with_bypass),
        RIG_TEST(the_upstream_learns_the_effective_client, rig_setup),
        RIG_TEST(an_untrusted_peer_tells_nothing, rig_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

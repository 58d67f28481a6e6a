#include "gateway/metrics.h"

#include "base/assert.h"
#include "base/map.h"
#include "crypto/jwt.h"

enum { CREDIT_GROUPS_MAX = 256 }; /* series of their own: what a scrape can carry */

_Static_assert(GW_COUNT_AUTH_FAULT_LAST - GW_COUNT_AUTH_FAULT_FIRST ==
                   DM_JWT_WRONG_USE - DM_JWT_MALFORMED,
               "one series per fault of a token");

/* clang-format off */
#define AUTH(reason) \
    {"doorman_auth_failures_total", "reason=\"" reason "\"", "Refused credentials."}
#define LIMITED(kind) \
    {"doorman_rate_limit_rejections_total", "kind=\"" kind "\"", "Calls refused by a counter."}
#define IP(scope, reason) \
    {"doorman_ip_denied_total", "scope=\"" scope "\",reason=\"" reason "\"", \
     "Calls refused by address."}
#define BODY(scope) \
    {"doorman_body_limit_rejections_total", "scope=\"" scope "\"", \
     "Calls refused for the size of a body."}
#define DOWN(mode) \
    {"doorman_limit_store_down_total", "mode=\"" mode "\"", \
     "Admissions decided without the live store."}
/* clang-format on */

static const struct {
    const char *name, *labels, *help;
} table[GW_COUNTS] = {
    [GW_COUNT_RETRY] = {"doorman_http_retries_total", "", "Extra attempts at upstreams."},
    [GW_COUNT_TOKEN_CHECK] = {"doorman_token_checks_total", "", "Tokens verified or refused."},
    [GW_COUNT_LIMIT_CHECK] = {"doorman_limit_checks_total", "",
                              "Admissions that asked the counters."},
    [GW_COUNT_AUTH_MISSING] = AUTH("missing"),
    [GW_COUNT_AUTH_FAULT_FIRST + 0] = AUTH("malformed"),
    [GW_COUNT_AUTH_FAULT_FIRST + 1] = AUTH("unknown_key"),
    [GW_COUNT_AUTH_FAULT_FIRST + 2] = AUTH("bad_alg"),
    [GW_COUNT_AUTH_FAULT_FIRST + 3] = AUTH("bad_signature"),
    [GW_COUNT_AUTH_FAULT_FIRST + 4] = AUTH("expired"),
    [GW_COUNT_AUTH_FAULT_FIRST + 5] = AUTH("not_yet"),
    [GW_COUNT_AUTH_FAULT_FIRST + 6] = AUTH("bad_claims"),
    [GW_COUNT_AUTH_FAULT_FIRST + 7] = AUTH("wrong_use"),
    [GW_COUNT_AUTH_REVOKED] = AUTH("revoked"),
    [GW_COUNT_AUTH_UNKNOWN_USER] = AUTH("unknown_user"),
    [GW_COUNT_AUTH_INACTIVE] = AUTH("inactive"),
    [GW_COUNT_LIMITED_RATE] = LIMITED("rate"),
    [GW_COUNT_LIMITED_THROTTLE] = LIMITED("throttle"),
    [GW_COUNT_LIMITED_BANDWIDTH] = LIMITED("bandwidth"),
    [GW_COUNT_IP_GLOBAL_BLACKLIST] = IP("global", "blacklisted"),
    [GW_COUNT_IP_GLOBAL_WHITELIST] = IP("global", "not_in_whitelist"),
    [GW_COUNT_IP_API_BLACKLIST] = IP("api", "blacklisted"),
    [GW_COUNT_IP_API_WHITELIST] = IP("api", "not_in_whitelist"),
    [GW_COUNT_BODY_REST] = BODY("rest"),
    [GW_COUNT_BODY_SOAP] = BODY("soap"),
    [GW_COUNT_BODY_GRAPHQL] = BODY("graphql"),
    [GW_COUNT_BODY_GRPC] = BODY("grpc"),
    [GW_COUNT_BODY_OTHER] = BODY("other"),
    [GW_COUNT_STORE_DOWN_DENY] = DOWN("deny"),
    [GW_COUNT_STORE_DOWN_ALLOW] = DOWN("allow"),
    [GW_COUNT_STORE_DOWN_LOCAL] = DOWN("local"),
    [GW_COUNT_FAILOPEN] = {"doorman_rate_limit_failopen_total", "",
                           "Calls that passed uncounted while the live store was away."},
    [GW_COUNT_CREDIT_NO_DEFINITION] = {"doorman_credit_definition_missing_total", "",
                                       "Calls that paid but had no key to put in."},
    [GW_COUNT_CREDIT_NO_KEY] = {"doorman_credit_key_failures_total", "",
                                "Calls refused because their upstream key could not be had."},
    [GW_COUNT_LOST_METRICS] = {"doorman_stream_lost_total", "stream=\"metrics\"",
                               "Records for the admin that were lost while nobody took them."},
    [GW_COUNT_LOST_AUDIT] = {"doorman_stream_lost_total", "stream=\"audit\"",
                             "Records for the admin that were lost while nobody took them."},
};

static const double buckets[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

static struct dm_metric *by_status(struct gw_metrics *m, int status)
{
    char labels[] = "code=\"000\"";

    if (m->by_status[status] == NULL) {
        labels[6] = (char)('0' + status / 100);
        labels[7] = (char)('0' + status / 10 % 10);
        labels[8] = (char)('0' + status % 10);
        m->by_status[status] = dm_metric_get(m->registry, DM_COUNTER, "doorman_http_requests_total",
                                             labels, "Proxied requests by status.", NULL, 0);
    }
    return m->by_status[status];
}

void gw_metrics_init(struct gw_metrics *m, struct dm_metrics *registry, size_t shard)
{
    m->registry = registry;
    m->shard = shard;
    m->duration =
        dm_metric_get(registry, DM_HISTOGRAM, "doorman_http_request_duration_seconds", "",
                      "Proxied requests, until the last byte.", buckets, DM_COUNT_OF(buckets));
    m->inflight = dm_metric_get(registry, DM_GAUGE, "doorman_inflight_requests", "",
                                "Requests in the pipeline.", NULL, 0);
    for (size_t i = 0; i < GW_COUNTS; i++)
        m->counts[i] = dm_metric_get(registry, DM_COUNTER, table[i].name, table[i].labels,
                                     table[i].help, NULL, 0);
    by_status(m, 200); /* rate() needs them from the start */
    by_status(m, 500);
}

void gw_metrics_count(struct gw_metrics *m, enum gw_count which)
{
    dm_metric_add(m->counts[which], m->shard, 1);
}

void gw_metrics_count_by(struct gw_metrics *m, enum gw_count which, size_t by)
{
    dm_metric_add(m->counts[which], m->shard, (int64_t)by);
}

void gw_metrics_request(struct gw_metrics *m, int status, dm_time took)
{
    DM_REQUIRE(status >= 100 && status < GW_STATUS_MAX);
    dm_metric_add(by_status(m, status), m->shard, 1);
    dm_metric_observe(m->duration, m->shard, took);
}

void gw_metrics_inflight(struct gw_metrics *m, int by)
{
    dm_metric_add(m->inflight, m->shard, by);
}

static struct dm_metric *credit_series(struct gw_metrics *m, dm_view group)
{
    struct dm_buf labels;
    struct dm_metric *series = NULL;

    dm_buf_init(&labels, 1024);
    dm_metric_label(&labels, "api_credit_group", group);
    const char *text = dm_buf_cstr(&labels);
    if (text != NULL)
        series = dm_metric_get(m->registry, DM_COUNTER, "doorman_credits_used_total", text,
                               "Credits spent.", NULL, 0);
    dm_buf_done(&labels);
    return series;
}

void gw_metrics_credit(struct gw_metrics *m, dm_view group)
{
    if (m->credits == NULL)
        m->credits = dm_map_new(NULL);
    if (dm_map_get(m->credits, group) == NULL && dm_map_count(m->credits) >= CREDIT_GROUPS_MAX)
        group = DM_LIT("(other)");
    struct dm_metric *series = dm_map_get(m->credits, group);
    if (series == NULL) {
        series = credit_series(m, group);
        if (series == NULL)
            return;
        dm_map_put(m->credits, group, series);
    }
    dm_metric_add(series, m->shard, 1);
}

void gw_metrics_done(struct gw_metrics *m)
{
    dm_map_free(m->credits);
    m->credits = NULL;
}

void gw_metrics_circuit(struct gw_metrics *m, dm_view api, int state)
{
    struct dm_buf labels;

    dm_buf_init(&labels, 1024);
    dm_metric_label(&labels, "api", api);
    const char *text = dm_buf_cstr(&labels);
    if (text != NULL)
        dm_metric_set(dm_metric_get(m->registry, DM_GAUGE, "doorman_circuit_state", text,
                                    "Circuit of an API: 0 closed, 1 half-open, 2 open.", NULL, 0),
                      state);
    dm_buf_done(&labels);
}

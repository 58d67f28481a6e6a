/* The gateway's series (operations.md §8.3): registered when a worker starts, counted by array
 * index. One struct per worker over the process's shared registry. Loop thread of the worker. */
#pragma once

#include "base/clock.h"
#include "base/metrics.h"

enum gw_count {
    GW_COUNT_RETRY = 0,
    GW_COUNT_TOKEN_CHECK,
    GW_COUNT_LIMIT_CHECK,
    /* refused tokens: in the order of enum dm_jwt_fault, then what only the gateway knows */
    GW_COUNT_AUTH_MISSING,
    GW_COUNT_AUTH_FAULT_FIRST,
    GW_COUNT_AUTH_FAULT_LAST = GW_COUNT_AUTH_FAULT_FIRST + 7,
    GW_COUNT_AUTH_REVOKED,
    GW_COUNT_AUTH_UNKNOWN_USER,
    GW_COUNT_AUTH_INACTIVE,
    GW_COUNT_LIMITED_RATE, /* in the order of enum dm_counter_kind */
    GW_COUNT_LIMITED_THROTTLE,
    GW_COUNT_LIMITED_BANDWIDTH,
    GW_COUNT_IP_GLOBAL_BLACKLIST,
    GW_COUNT_IP_GLOBAL_WHITELIST,
    GW_COUNT_IP_API_BLACKLIST,
    GW_COUNT_IP_API_WHITELIST,
    GW_COUNT_BODY_REST, /* in the order of the protocols' table */
    GW_COUNT_BODY_SOAP,
    GW_COUNT_BODY_GRAPHQL,
    GW_COUNT_BODY_GRPC,
    GW_COUNT_BODY_OTHER,
    GW_COUNT_STORE_DOWN_DENY, /* in the order of LIMIT_ON_STORE_DOWN's words */
    GW_COUNT_STORE_DOWN_ALLOW,
    GW_COUNT_STORE_DOWN_LOCAL,
    GW_COUNT_FAILOPEN,
    GW_COUNT_CREDIT_NO_DEFINITION,
    GW_COUNT_CREDIT_NO_KEY,
    GW_COUNT_LOST_METRICS, /* in the order of enum dm_stream */
    GW_COUNT_LOST_AUDIT,
    GW_COUNTS
};

enum { GW_STATUS_MAX = 600 };

struct gw_metrics {
    struct dm_metrics *registry;
    size_t shard;
    struct dm_metric *counts[GW_COUNTS];
    struct dm_metric *duration, *inflight;
    struct dm_metric *by_status[GW_STATUS_MAX]; /* filled on first use */
    struct dm_map *credits;                     /* by group, filled on first use */
};

void gw_metrics_init(struct gw_metrics *m, struct dm_metrics *registry, size_t shard);
void gw_metrics_count(struct gw_metrics *m, enum gw_count which);
void gw_metrics_count_by(struct gw_metrics *m, enum gw_count which, size_t by);
void gw_metrics_request(struct gw_metrics *m, int status, dm_time took);
void gw_metrics_inflight(struct gw_metrics *m, int by);
/* One credit spent. Groups are the administrator's own words; beyond the first few hundred they
 * share one series. */
void gw_metrics_credit(struct gw_metrics *m, dm_view group);
void gw_metrics_done(struct gw_metrics *m);
/* On a change only: takes a lock. */
void gw_metrics_circuit(struct gw_metrics *m, dm_view api, int state);

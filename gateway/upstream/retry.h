/* Whether an attempt that failed may be made again, and when (R5, gateway.md §14.2). Pure. */
#pragma once

#include "io/http_client.h"
#include "model/policy.h"

struct gw_retry_rule { /* of one call */
    unsigned attempts; /* at most, the first included */
    bool repeatable;   /* the method is idempotent, or the API says that repeating is fine */
    dm_time base, cap; /* of the back-off */
};
struct gw_attempt { /* how it ended */
    bool answered;  /* status is the upstream's */
    int status;
    enum dm_http_end end;
    bool sent_any;  /* a byte of it reached a socket */
    bool body_gone; /* part of a streamed body left the gateway: cannot be sent again */
};

struct gw_retry_rule gw_retry_rule(const struct dm_policy_api *api, const struct dm_settings *s,
                                   bool idempotent, bool count_is_consent);
/* 500 502 503 504, time-outs and network faults: what counts against the circuit and may be
 * retried. An answer that is not HTTP fails, and is not retried. */
bool gw_attempt_failed(const struct gw_attempt *a);
bool gw_retry_allowed(const struct gw_retry_rule *r, unsigned attempts_made,
                      const struct gw_attempt *a);
/* Full jitter: uniform in [0, min(cap, base * 2^(n-1))] before attempt n+1. */
dm_time gw_retry_delay(const struct gw_retry_rule *r, unsigned attempts_made, uint64_t random);
bool gw_http_timed_out(enum dm_http_end end);

#include "gateway/upstream/retry.h"

struct gw_retry_rule gw_retry_rule(const struct dm_policy_api *api, const struct dm_settings *s,
                                   bool idempotent, bool count_is_consent)
{
    const unsigned most = (unsigned)s->retry_max_attempts;
    const unsigned extra = !s->retry_enabled ? 0 : api->retries < most ? api->retries : most;

    return (struct gw_retry_rule){
        .attempts = 1 + extra,
        .repeatable = idempotent || api->retry_non_idempotent || (count_is_consent && extra > 0),
        .base = (dm_time)((double)s->http_retry_base_delay * s->retry_backoff),
        .cap = s->http_retry_max_delay,
    };
}

bool gw_http_timed_out(enum dm_http_end end)
{
    switch (end) {
    case DM_HTTP_CONNECT_TIMEOUT:
    case DM_HTTP_READ_TIMEOUT:
    case DM_HTTP_WRITE_TIMEOUT:
    case DM_HTTP_POOL_TIMEOUT:
    case DM_HTTP_TOTAL_TIMEOUT:
        return true;
    case DM_HTTP_COMPLETE:
    case DM_HTTP_UNREACHABLE:
    case DM_HTTP_BROKEN:
        break;
    }
    return false;
}

bool gw_attempt_failed(const struct gw_attempt *a)
{
    if (a->answered)
        return a->status == 500 || (a->status >= 502 && a->status <= 504);
    return true;
}

bool gw_retry_allowed(const struct gw_retry_rule *r, unsigned attempts_made,
                      const struct gw_attempt *a)
{
    if (attempts_made >= r->attempts || a->body_gone || !gw_attempt_failed(a))
        return false;
    if (!a->answered && (a->end == DM_HTTP_BROKEN || a->end == DM_HTTP_TOTAL_TIMEOUT))
        return false; /* it would lie again; the budget of all attempts is spent */
    return r->repeatable || !a->sent_any;
}

dm_time gw_retry_delay(const struct gw_retry_rule *r, unsigned attempts_made, uint64_t random)
{
    dm_time most = r->base;

    for (unsigned i = 1; i < attempts_made && most < r->cap; i++)
        most *= 2;
    if (most > r->cap)
        most = r->cap;
    return most > 0 ? (dm_time)(random % ((uint64_t)most + 1)) : 0;
}

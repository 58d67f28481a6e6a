#include "gateway/client.h"

#include "gateway/audit.h"
#include "gateway/worker.h"

void gw_client_forwarding(const struct dm_fields *fields, struct dm_forwarding *ret)
{
    *ret = (struct dm_forwarding){.x_forwarded_for = DM_VIEW_NONE};
    for (size_t i = 0; i < fields->count; i++) {
        const struct dm_field_line *f = &fields->items[i];
        dm_view *value = f->id == DM_HDR_X_FORWARDED_FOR    ? &ret->x_forwarded_for
                         : f->id == DM_HDR_X_REAL_IP        ? &ret->x_real_ip
                         : f->id == DM_HDR_CF_CONNECTING_IP ? &ret->cf_connecting_ip
                         : f->id == DM_HDR_FORWARDED        ? &ret->forwarded
                                                            : NULL;
        if (value != NULL)
            *value = f->value;
    }
}

bool gw_client_trust(const struct gw_request *rq, const struct dm_policy_api *api)
{
    if (api != NULL && api->trust_xff >= 0)
        return api->trust_xff != 0;
    return gw_policy(rq)->security.trust_xff;
}

static bool from_trusted_proxy(const struct gw_request *rq)
{
    return dm_address_trusted(gw_policy(rq)->security.proxies, &rq->x->peer);
}

void gw_client_address(const struct gw_request *rq, bool trust, struct dm_address *ret)
{
    *ret = rq->x->peer;
    if (!trust || !dm_forwarding_any(&rq->in.forwarding))
        return;
    if (from_trusted_proxy(rq))
        dm_address_effective(&rq->x->peer, true, gw_policy(rq)->security.proxies,
                             &rq->in.forwarding, ret);
    else
        gw_audit_watch(rq, DM_WATCH_FORWARDING, &rq->x->peer);
}

bool gw_client_bypasses_lists(const struct gw_request *rq)
{
    const struct dm_settings *s = gw_settings(rq);

    if (!dm_address_loopback(&rq->x->peer) || dm_forwarding_any(&rq->in.forwarding))
        return false;
    const char *origin = dm_settings_origin(s, DM_LIT("LOCAL_HOST_IP_BYPASS"));
    if (origin != NULL && !dm_view_eq(dm_view_of(origin), DM_LIT("default")))
        return s->local_host_ip_bypass; /* a set value locks allow_localhost_bypass */
    return gw_policy(rq)->security.localhost_bypass;
}

static bool through_trusted_proxy(const struct gw_request *rq)
{
    return gw_client_trust(rq, rq->route.api) && from_trusted_proxy(rq);
}

dm_view gw_client_scheme(const struct gw_request *rq)
{
    const dm_view told = gw_field(rq, DM_HDR_X_FORWARDED_PROTO);

    if (told.len > 0 && through_trusted_proxy(rq)) {
        if (dm_view_eq_nocase(told, DM_LIT("https")))
            return DM_LIT("https");
        if (dm_view_eq_nocase(told, DM_LIT("http")))
            return DM_LIT("http");
    }
    return rq->x->scheme_https ? DM_LIT("https") : DM_LIT("http");
}

dm_view gw_client_host(const struct gw_request *rq)
{
    const dm_view told = gw_field(rq, DM_HDR_X_FORWARDED_HOST);

    if (told.len > 0 && dm_host_valid(told) && through_trusted_proxy(rq))
        return told;
    return rq->x->head.host;
}

/* What needs no policy of an API: a readable path, a welcome address, a body that is not too large,
 * and no upgrade (gateway.md §1.2 L2-L9, in that order). */
#include "gateway/audit.h"
#include "gateway/client.h"
#include "gateway/pipeline.h"
#include "gateway/protocols/protocol.h"
#include "gateway/worker.h"

static enum gw_method method_of(dm_view name)
{
    static const struct {
        dm_view name;
        enum gw_method method;
    } methods[] = {
        {DM_LIT("GET"), GW_GET},         {DM_LIT("POST"), GW_POST},   {DM_LIT("PUT"), GW_PUT},
        {DM_LIT("HEAD"), GW_HEAD},       {DM_LIT("PATCH"), GW_PATCH}, {DM_LIT("DELETE"), GW_DELETE},
        {DM_LIT("OPTIONS"), GW_OPTIONS},
    };

    for (size_t i = 0; i < DM_COUNT_OF(methods); i++)
        if (dm_view_eq(name, methods[i].name))
            return methods[i].method;
    return GW_OTHER;
}

/* Blacklist first, then whitelist, by the effective address (gateway.md §3.2). */
static enum gw_next check_address(struct gw_request *rq)
{
    const struct dm_policy_security *lists = &gw_policy(rq)->security;

    gw_client_address(rq, gw_client_trust(rq, NULL), &rq->in.client);
    if ((lists->blacklist == NULL && lists->whitelist == NULL) || gw_client_bypasses_lists(rq))
        return GW_NEXT;
    if (dm_address_set_has(lists->blacklist, &rq->in.client)) {
        gw_metrics_count(&rq->worker->metrics, GW_COUNT_IP_GLOBAL_BLACKLIST);
        gw_audit_blocked(rq, "ip.global_deny", DM_VIEW_NONE, "blacklisted");
        return gw_refuse(rq, ERR_IP_BLOCKED, "ip; blacklist");
    }
    if (lists->whitelist != NULL && !dm_address_set_has(lists->whitelist, &rq->in.client)) {
        gw_metrics_count(&rq->worker->metrics, GW_COUNT_IP_GLOBAL_WHITELIST);
        gw_audit_blocked(rq, "ip.global_deny", DM_VIEW_NONE, "not_in_whitelist");
        return gw_refuse(rq, ERR_IP_NOT_ALLOWED, "ip; whitelist");
    }
    return GW_NEXT;
}

static bool excluded(const struct dm_strs *paths, dm_view path)
{
    for (size_t i = 0; i < paths->count; i++) {
        const dm_view p = paths->items[i];
        const bool prefix = dm_view_ends(p, DM_LIT("*"));
        if (prefix ? dm_view_starts(path, dm_view_sub(p, 0, p.len - 1)) : dm_view_eq(path, p))
            return true;
    }
    return false;
}

/* A known length over the limit is refused before a byte is read; an unknown one is counted as it
 * streams. */
static enum gw_next check_body_size(struct gw_request *rq)
{
    const struct dm_settings *s = gw_settings(rq);

    rq->in.body_limit = rq->in.proto != NULL ? (uint64_t)rq->in.proto->body_limit(s)
                                             : (uint64_t)s->max_body_size_bytes;
    if (s->disable_body_size_limit || excluded(&s->body_limit_exclude_paths, rq->target.raw_path))
        rq->in.body_limit = UINT64_MAX;
    if (rq->x->head.has_length && rq->x->head.length > rq->in.body_limit)
        return gw_refuse_body(rq);
    return GW_NEXT;
}

/* Reads the head as received. Writes target, in. Never waits. */
enum gw_next step_guard(struct gw_request *rq)
{
    struct dm_exchange *x = rq->x;
    dm_view authority;

    if (gw_policy(rq) == NULL)
        return gw_refuse(rq, ERR_STORE_LIVE_AWAY,
                         "policy"); /* cold start: never an empty policy (§29.4) */
    switch (dm_target_parse(x->head.target, x->arena, &rq->target, &authority)) {
    case DM_OK:
        break;
    case DM_LIMIT:
        return gw_refuse(rq, ERR_TOO_MUCH_MEMORY, "memory");
    default:
        return gw_refuse(rq, ERR_BAD_PATH, "path");
    }
    rq->in.method = method_of(x->head.method);
    rq->in.proto = rq->target.n_segments > 1 ? gw_protocol_find(rq->target.segments[1]) : NULL;
    gw_client_forwarding(&x->head.fields, &rq->in.forwarding);
    if (check_address(rq) != GW_NEXT || check_body_size(rq) != GW_NEXT)
        return GW_REPLY;
    if (x->head.upgrade)
        return gw_refuse(rq, ERR_UPGRADE_REFUSED, "upgrade");
    return GW_NEXT;
}

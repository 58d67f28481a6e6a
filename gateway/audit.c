#include "gateway/audit.h"

#include "base/log.h"
#include "gateway/worker.h"

struct addresses {
    char peer[DM_ADDRESS_TEXT], effective[DM_ADDRESS_TEXT];
    dm_view peer_text, effective_text;
};

static void write_addresses(const struct gw_request *rq, struct addresses *a)
{
    a->peer_text = dm_view_make(a->peer, dm_address_write(&rq->x->peer, a->peer));
    a->effective_text = dm_view_make(a->effective, dm_address_write(gw_client(rq), a->effective));
}

static dm_view username(const struct gw_request *rq)
{
    return rq->who.verified ? rq->who.claims.sub : DM_VIEW_NONE;
}

void gw_audit_blocked(const struct gw_request *rq, const char *action, dm_view target,
                      const char *reason)
{
    struct addresses a;

    if (!gw_settings(rq)->audit_enabled)
        return;
    write_addresses(rq, &a);
    DM_LOG(DM_LOG_AUDIT, rq->x->request_id, action, DM_FC("action", action),
           DM_FC("event_type", action), DM_F("username", username(rq)),
           DM_F("target", target.len > 0 ? target : a.effective_text), DM_FC("status", "blocked"),
           DM_FC("reason", reason), DM_F("client_ip", a.peer_text),
           DM_F("effective_ip", a.effective_text), DM_F("xff", rq->in.forwarding.x_forwarded_for));
}

void gw_audit_body_size(const struct gw_request *rq)
{
    const struct dm_request_head *head = &rq->x->head;
    const char *action = "request.body_size_exceeded";
    struct addresses a;

    if (!gw_settings(rq)->audit_enabled)
        return;
    write_addresses(rq, &a);
    DM_LOG(DM_LOG_AUDIT, rq->x->request_id, action, DM_FC("action", action),
           DM_FC("event_type", action), DM_F("username", username(rq)),
           DM_F("target", rq->target.raw_path), DM_FC("status", "blocked"),
           DM_FI(head->has_length ? "content_length" : "bytes_received",
                 head->has_length ? head->length : rq->x->bytes_in),
           DM_FI("limit", rq->in.body_limit),
           DM_F("content_type", gw_field(rq, DM_HDR_CONTENT_TYPE)),
           DM_FC("transfer_encoding", head->chunked ? "chunked" : ""),
           DM_F("client_ip", a.peer_text), DM_F("effective_ip", a.effective_text));
}

static void suspicious(const struct gw_request *rq, dm_view target, const char *status,
                       const char *reason)
{
    const char *action = "auth.suspicious";
    struct addresses a;

    if (!gw_settings(rq)->audit_enabled)
        return;
    write_addresses(rq, &a);
    DM_LOG(DM_LOG_AUDIT, rq->x->request_id, "suspicious-activity", DM_FC("action", action),
           DM_FC("event_type", action), DM_F("username", username(rq)),
           DM_F("target", target.len > 0 ? target : a.effective_text), DM_FC("status", status),
           DM_FC("reason", reason), DM_F("client_ip", a.peer_text),
           DM_F("effective_ip", a.effective_text));
}

void gw_audit_revoked_token(const struct gw_request *rq)
{
    suspicious(rq, username(rq), "blocked", "revoked token");
}

void gw_audit_watch(const struct gw_request *rq, enum dm_watch_kind kind,
                    const struct dm_address *who)
{
    if (!dm_watch_count(rq->worker->watch, kind, dm_address_view(who), gw_now(rq)))
        return;
    if (kind == DM_WATCH_BAD_SIGNATURE)
        suspicious(rq, DM_VIEW_NONE, "blocked", "bad signatures");
    else
        suspicious(rq, DM_VIEW_NONE, "success", "forwarding field of an untrusted peer");
}

#include "gateway/audit.h"

#include "base/log.h"
#include "codec/json.h"
#include "gateway/worker.h"

enum {
    TEXT_MAX = 1024,        /* of a path, of a forwarding field: then cut, as in the access line */
    RECORD_MAX = 64 * 1024, /* nothing but escapes fits: nobody's length keeps an event away */
    EXTRA_MAX = 4,
    BASE = 7
};

struct event {
    const char *message, *action;
    dm_view target; /* empty: the effective address */
    const char *status;
    struct dm_log_field extra[EXTRA_MAX]; /* details; absent ones have no key */
};

static dm_view username(const struct gw_request *rq)
{
    return rq->who.verified ? rq->who.claims.sub : DM_VIEW_NONE;
}

/* --- on its way to the admin's trail (operations.md §8.5) --- */

static void write_text(struct dm_buf *out, dm_view value)
{
    dm_json_write_str(dm_view_sub(value, 0, TEXT_MAX), out);
}

static void write_str(struct dm_buf *out, const char *key, dm_view value)
{
    dm_buf_addf(out, ",\"%s\":", key);
    write_text(out, value);
}

static void write_details(struct dm_buf *out, const struct event *e)
{
    dm_buf_add(out, DM_LIT(",\"details\":{"));
    for (size_t i = 0, n = 0; i < EXTRA_MAX; i++) {
        const struct dm_log_field *f = &e->extra[i];
        if (f->key == NULL || (f->kind == DM_LOG_STR && f->str.ptr == NULL))
            continue;
        dm_buf_addf(out, n++ == 0 ? "\"%s\":" : ",\"%s\":", f->key);
        if (f->kind == DM_LOG_I64)
            dm_buf_add_i64(out, f->num);
        else
            write_text(out, f->str);
    }
    dm_buf_add_byte(out, '}');
}

static void send(const struct gw_request *rq, const struct event *e, dm_view peer,
                 dm_view effective)
{
    char now[DM_ISO_LEN + 1];
    struct dm_buf out;

    dm_time_iso(dm_loop_wall(rq->worker->loop), now);
    dm_buf_init(&out, RECORD_MAX);
    dm_buf_addf(&out, "{\"timestamp\":\"%s\"", now);
    write_str(&out, "request_id", rq->x->request_id);
    write_str(&out, "username", username(rq));
    write_str(&out, "action", dm_view_of(e->action));
    write_str(&out, "target", e->target.len > 0 ? e->target : effective);
    write_str(&out, "status", dm_view_of(e->status));
    write_str(&out, "client_ip", peer);
    write_str(&out, "effective_ip", effective);
    write_details(&out, e);
    dm_buf_add_byte(&out, '}');
    if (dm_buf_ok(&out))
        gw_tally_audit(rq->worker->tally, dm_buf_view(&out));
    else
        gw_metrics_count(&rq->worker->metrics, GW_COUNT_LOST_AUDIT);
    dm_buf_done(&out);
}

static void tell(const struct gw_request *rq, const struct event *e)
{
    char peer[DM_ADDRESS_TEXT], effective[DM_ADDRESS_TEXT];
    const dm_view peer_text = dm_view_make(peer, dm_address_write(&rq->x->peer, peer));
    const dm_view effective_text =
        dm_view_make(effective, dm_address_write(gw_client(rq), effective));
    struct dm_log_field fields[BASE + EXTRA_MAX] = {
        DM_FC("action", e->action),
        DM_FC("event_type", e->action),
        DM_F("username", username(rq)),
        DM_F("target", e->target.len > 0 ? e->target : effective_text),
        DM_FC("status", e->status),
        DM_F("client_ip", peer_text),
        DM_F("effective_ip", effective_text)};
    size_t n = BASE;

    if (!gw_settings(rq)->audit_enabled)
        return;
    for (size_t i = 0; i < EXTRA_MAX; i++) {
        if (e->extra[i].key != NULL)
            fields[n++] = e->extra[i];
    }
    dm_log(DM_LOG_AUDIT, rq->x->request_id, dm_view_of(e->message), fields, n);
    send(rq, e, peer_text, effective_text);
}

/* --- events --- */

void gw_audit_blocked(const struct gw_request *rq, const char *action, dm_view target,
                      const char *reason)
{
    const struct event e = {
        action,
        action,
        target,
        "blocked",
        {DM_FC("reason", reason), DM_F("xff", rq->in.forwarding.x_forwarded_for)}};

    tell(rq, &e);
}

void gw_audit_body_size(const struct gw_request *rq)
{
    const struct dm_request_head *head = &rq->x->head;
    const char *action = "request.body_size_exceeded";
    const struct event e = {action,
                            action,
                            rq->target.raw_path,
                            "blocked",
                            {DM_FI(head->has_length ? "content_length" : "bytes_received",
                                   head->has_length ? head->length : rq->x->bytes_in),
                             DM_FI("limit", rq->in.body_limit),
                             DM_F("content_type", gw_field(rq, DM_HDR_CONTENT_TYPE)),
                             DM_FC("transfer_encoding", head->chunked ? "chunked" : "")}};

    tell(rq, &e);
}

static void suspicious(const struct gw_request *rq, dm_view target, const char *status,
                       const char *reason)
{
    const struct event e = {
        "suspicious-activity", "auth.suspicious", target, status, {DM_FC("reason", reason)}};

    tell(rq, &e);
}

void gw_audit_revoked_token(const struct gw_request *rq)
{
    if (dm_watch_count(rq->worker->watch, DM_WATCH_REVOKED_TOKEN, username(rq), gw_now(rq)))
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

#include "admin/audit.h"

#include "admin/app.h"
#include "base/log.h"
#include "base/redact.h"

/* Secrets by key or by shape never reach the trail. Depth is that of details: one level of members.
 */
static struct dm_json *sanitised(const struct dm_json *details)
{
    struct dm_json *o = dm_json_new_object();

    for (struct dm_json *m = dm_json_first(details); m != NULL; m = dm_json_next(m)) {
        dm_view name = dm_json_name(m), text = dm_json_str(m);

        if (dm_redact_key(name) || (text.ptr != NULL && dm_redact_value(text)))
            dm_json_set_str(o, name, DM_LIT("[REDACTED]"));
        else
            dm_json_set(o, name, dm_json_clone(m));
    }
    return o;
}

void adm_audit_suspicious(struct adm_call *c, dm_view target, const char *reason)
{
    char client[DM_ADDRESS_TEXT], effective[DM_ADDRESS_TEXT];
    const dm_view client_view = dm_view_make(client, dm_address_write(&c->rq->peer, client));
    const dm_view effective_view = dm_view_make(effective, dm_address_write(&c->client, effective));

    dm_log(DM_LOG_AUDIT, c->rq->request_id, DM_LIT("suspicious-activity"),
           (const struct dm_log_field[]){
               DM_F("username", c->caller.username),
               DM_FC("action", "auth.suspicious"),
               DM_FC("event_type", "auth.suspicious"),
               DM_F("target", target.len > 0 ? target : effective_view),
               DM_FC("status", "blocked"),
               DM_FC("reason", reason),
               DM_F("client_ip", client_view),
               DM_F("effective_ip", effective_view),
           },
           8);
}

void adm_audit_watch(struct adm_call *c, enum dm_watch_kind kind, dm_view who, dm_view target)
{
    static const char *const reasons[DM_WATCH_KINDS_] = {
        [DM_WATCH_BAD_SIGNATURE] = "bad signatures",
        [DM_WATCH_FAILED_LOGIN] = "failed logins",
        [DM_WATCH_FORWARDING] = "forwarding field of an untrusted peer"};

    if (adm_app_watch(c->app, kind, who))
        adm_audit_suspicious(c, target, reasons[kind]);
}

void adm_audit_write(struct adm_call *c, dm_view action, const char *status)
{
    char client[DM_ADDRESS_TEXT], effective[DM_ADDRESS_TEXT];
    dm_view client_view = dm_view_make(client, dm_address_write(&c->rq->peer, client));
    dm_view effective_view = dm_view_make(effective, dm_address_write(&c->client, effective));
    struct dm_buf details;
    dm_view shown; /* left out when there is none */

    dm_buf_init(&details, DM_LOG_JSON_MAX);
    if (c->audit.details != NULL) {
        DM_DEFER(dm_json_freep) struct dm_json *clean = sanitised(c->audit.details);
        dm_json_write(clean, &details);
    }
    shown =
        dm_buf_ok(&details) && dm_buf_view(&details).len > 0 ? dm_buf_view(&details) : DM_VIEW_NONE;
    dm_log(DM_LOG_AUDIT, c->rq->request_id, action,
           (const struct dm_log_field[]){
               DM_F("username", c->caller.username),
               DM_F("action", action),
               DM_F("event_type", action),
               DM_F("target", c->audit.target),
               DM_FC("status", status),
               DM_F("client_ip", client_view),
               DM_F("effective_ip", effective_view),
               DM_FJ("details", shown),
           },
           8);
    dm_buf_done(&details);
}

#include "admin/audit.h"

#include "admin/app.h"
#include "admin/services/trail.h"
#include "base/log.h"

struct event {
    dm_view message, action, target;
    const char *status;
    const struct dm_json *details; /* sanitised; NULL: none */
    dm_view reason;                /* of details, for the log */
};

struct addresses {
    char client[DM_ADDRESS_TEXT], effective[DM_ADDRESS_TEXT];
    dm_view client_ip, effective_ip;
};

static void write_addresses(const struct adm_call *c, struct addresses *a)
{
    a->client_ip = dm_view_make(a->client, dm_address_write(&c->rq->peer, a->client));
    a->effective_ip = dm_view_make(a->effective, dm_address_write(&c->client, a->effective));
}

static void write_log(const struct adm_call *c, const struct event *e, const struct addresses *a)
{
    struct dm_buf details;
    dm_view shown; /* left out when there is none */

    dm_buf_init(&details, DM_LOG_JSON_MAX);
    if (e->details != NULL)
        dm_json_write(e->details, &details);
    shown =
        dm_buf_ok(&details) && dm_buf_view(&details).len > 0 ? dm_buf_view(&details) : DM_VIEW_NONE;
    dm_log(DM_LOG_AUDIT, c->rq->request_id, e->message,
           (const struct dm_log_field[]){
               DM_F("username", c->caller.username),
               DM_F("action", e->action),
               DM_F("event_type", e->action),
               DM_F("target", e->target),
               DM_FC("status", e->status),
               DM_F("reason", e->reason),
               DM_F("client_ip", a->client_ip),
               DM_F("effective_ip", a->effective_ip),
               DM_FJ("details", shown),
           },
           9);
    dm_buf_done(&details);
}

static enum dm_code store(struct adm_call *c, const struct event *e, const struct addresses *a,
                          struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *record = dm_json_new_object();
    char now[DM_ISO_LEN + 1];
    enum dm_code rc;

    dm_time_iso(dm_clock_wall(adm_clock(c->app)), now);
    dm_json_set_str(record, DM_LIT("timestamp"), dm_view_of(now));
    dm_json_set_str(record, DM_LIT("request_id"), c->rq->request_id);
    dm_json_set_str(record, DM_LIT("username"), c->caller.username);
    dm_json_set_str(record, DM_LIT("action"), e->action);
    dm_json_set_str(record, DM_LIT("target"), e->target);
    dm_json_set_str(record, DM_LIT("status"), dm_view_of(e->status));
    dm_json_set_str(record, DM_LIT("client_ip"), a->client_ip);
    dm_json_set_str(record, DM_LIT("effective_ip"), a->effective_ip);
    if (e->details != NULL)
        dm_json_set(record, DM_LIT("details"), dm_json_clone(e->details));
    rc = adm_trail_append(c->app, record, DM_VIEW_NONE, err);
    if (rc != DM_OK)
        DM_LOG(DM_LOG_ERROR, c->rq->request_id, "audit.store.failed", DM_F("action", e->action),
               DM_FC("reason", err->text));
    return rc;
}

static enum dm_code tell(struct adm_call *c, const struct event *e, struct dm_error *err)
{
    struct addresses a;

    if (!c->settings->audit_enabled)
        return DM_OK;
    write_addresses(c, &a);
    write_log(c, e, &a);
    return store(c, e, &a, err);
}

void adm_audit_suspicious(struct adm_call *c, dm_view target, const char *reason)
{
    DM_DEFER(dm_json_freep) struct dm_json *details = dm_json_new_object();
    struct event e = {DM_LIT("suspicious-activity"),
                      DM_LIT("auth.suspicious"),
                      target,
                      "blocked",
                      details,
                      dm_view_of(reason)};
    struct addresses a;
    struct dm_error err;

    write_addresses(c, &a);
    if (target.len == 0)
        e.target = a.effective_ip;
    dm_json_set_str(details, DM_LIT("reason"), dm_view_of(reason));
    (void)tell(c, &e, &err);
}

void adm_audit_watch(struct adm_call *c, enum dm_watch_kind kind, dm_view who, dm_view target)
{
    static const char *const reasons[DM_WATCH_KINDS_] = {
        [DM_WATCH_BAD_SIGNATURE] = "bad signatures",
        [DM_WATCH_FAILED_LOGIN] = "failed logins",
        [DM_WATCH_FORWARDING] = "forwarding field of an untrusted peer",
        [DM_WATCH_REVOKED_TOKEN] = "revoked token"};

    if (adm_app_watch(c->app, kind, who))
        adm_audit_suspicious(c, target, reasons[kind]);
}

enum dm_code adm_audit_write(struct adm_call *c, dm_view action, const char *status,
                             struct dm_error *err)
{
    DM_DEFER(dm_json_freep)
    struct dm_json *details =
        c->audit.details == NULL ? NULL : adm_trail_sanitised(c->audit.details);
    const struct event e = {action, action, c->audit.target, status, details, DM_VIEW_NONE};

    return tell(c, &e, err);
}

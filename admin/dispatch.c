/* The life of an admin call, in the order of platform-access.md §1.1 and platform-apis.md §0.1:
 * address, preflight, route, body, identity, permission, rate, handler, audit, answer. */
#include "admin/answer.h"
#include "admin/app.h"
#include "admin/audit.h"
#include "admin/handlers.h"
#include "admin/login_limit.h"
#include "admin/router.h"
#include "admin/services/security.h"
#include "admin/session/auth.h"
#include "base/log.h"

static bool answered(const struct adm_call *c)
{
    return c->result.status != 0;
}

static dm_view path_of(dm_view target)
{
    return dm_view_sub(target, 0, dm_view_find_byte(target, '?', 0));
}

/* The one path of ours outside /platform whose refusals take the gateway's form (O14). */
static bool on_caches(const struct adm_call *c)
{
    return dm_view_eq(path_of(c->rq->target), DM_LIT("/api/caches"));
}

static void check_address(struct adm_call *c)
{
    struct dm_error err;
    enum dm_err verdict;

    adm_client_address(c, &c->client);
    if (c->route != NULL && (c->route->flags & ADM_IP_EXEMPT) != 0)
        return;
    verdict = adm_ip_verdict(c, &c->client);
    if (verdict == ERR_NONE)
        return;
    adm_fail_err(c, verdict);
    c->result.bare = c->result.status_in_body = true;
    adm_header(c, "X-Doorman-Reason",
               verdict == ERR_IP_BLOCKED ? DM_LIT("ip; blacklist") : DM_LIT("ip; whitelist"));
    c->audit.target = c->rq->target;
    (void)adm_audit_write(c, DM_LIT("ip.global_deny"), "blocked", &err);
}

static void check_route(struct adm_call *c, dm_view allow)
{
    if (c->route != NULL)
        return;
    if (allow.len > 0)
        adm_fail(c, 405, on_caches(c) ? "GTW405" : "", "Method Not Allowed");
    else
        adm_fail(c, 404, "", "Not Found");
    c->result.bare = c->result.detail = true;
    if (allow.len > 0)
        adm_header(c, "Allow", allow);
    if (on_caches(c))
        adm_header(c, "X-Doorman-Reason", DM_LIT("route; method"));
}

static bool json_type(dm_view type)
{
    dm_view media = dm_view_trim(dm_view_sub(type, 0, dm_view_find_byte(type, ';', 0)));

    return media.len == 0 || dm_view_eq_nocase(media, DM_LIT("application/json")) ||
           (media.len > 17 &&
            dm_view_eq_nocase(dm_view_sub(media, 0, 12), DM_LIT("application/")) &&
            dm_view_eq_nocase(dm_view_sub(media, media.len - 5, 5), DM_LIT("+json")));
}

/* Typed validation comes before authentication: an anonymous caller with a bad body sees 422. */
static void check_body(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    struct dm_error err;
    enum dm_code rc;

    if (c->route->body == ADM_BODY_NONE || c->route->body == ADM_BODY_RAW)
        return;
    if (c->route->body == ADM_BODY_OPTIONAL && c->rq->body.len == 0)
        return;
    if (!json_type(dm_fields_get(c->rq->fields, DM_HDR_CONTENT_TYPE)) ||
        dm_json_parse(c->rq->body, &dm_json_default, &doc, &err) != DM_OK) {
        adm_fail_invalid(c);
        return;
    }
    if (c->route->body == ADM_BODY_OPTIONAL && dm_json_is(doc, DM_JSON_NULL))
        return;
    if (!dm_json_is(doc, DM_JSON_OBJECT)) {
        adm_fail_invalid(c);
        return;
    }
    if (c->route->body == ADM_BODY_JSON) {
        c->body = DM_TAKE(doc);
        return;
    }
    rc = c->route->body == ADM_BODY_CREATE
             ? dm_record_create(c->route->record, doc, &c->body, &err)
             : dm_record_update(c->route->record, doc, &c->body, &err);
    if (rc == DM_OK)
        return;
    DM_LOG(DM_LOG_DEBUG, c->rq->request_id, "admin.body.invalid", DM_FC("reason", err.text));
    adm_fail_invalid(c);
}

static void refuse_unauthenticated(struct adm_call *c)
{
    static const struct {
        const char *code, *message;
        bool detail;
    } forms[] = {
        [ADM_UNAUTH_A] = {"", "Unauthorized", true},
        [ADM_UNAUTH_B] = {"GTW998", "Unauthorized", false},
        [ADM_UNAUTH_C1] = {"AUTH005", "Unauthorized", false},
        [ADM_UNAUTH_C2] = {"AUTH003", "Unable to validate credentials", false},
        [ADM_UNAUTH_GEN1] = {"GEN001", "Unauthorized", false},
        [ADM_UNAUTH_GEN2] = {"GEN002", "Unauthorized", false},
        [ADM_UNAUTH_API] = {"API_AUTH", "Unauthorized", false},
        [ADM_UNAUTH_CACHES] = {"Unauthorized", "Unauthorized", true},
        [ADM_UNAUTH_STATUS] = {"GTW401", "Unauthorized", false},
    };

    adm_fail(c, 401, forms[c->route->unauth].code, forms[c->route->unauth].message);
    c->result.detail = c->result.bare = forms[c->route->unauth].detail;
    adm_header(c, "X-Doorman-Reason", DM_LIT("token"));
}

static void check_identity(struct adm_call *c)
{
    if (c->route->unauth == ADM_PUBLIC)
        return;
    switch (adm_authenticate(c, c->route->flags & ADM_REFRESH ? DM_JWT_ANY : DM_JWT_ACCESS)) {
    case ADM_AUTH_OK:
        if (c->caller.must_change_password && c->route->record != &adm_body_password)
            adm_fail(c, 403, "AUTH011", "Password must be changed first");
        return;
    case ADM_AUTH_UNAUTHORIZED:
        refuse_unauthenticated(c);
        return;
    case ADM_AUTH_CSRF:
        adm_fail_err(c, ERR_CSRF);
        adm_header(c, "X-Doorman-Reason", DM_LIT("csrf"));
        return;
    case ADM_AUTH_ANSWERED:
        return;
    }
}

static void check_permission(struct adm_call *c)
{
    if (c->route->permission == ADM_PERM_NONE || (c->route->flags & ADM_OWN_CHECK) != 0)
        return;
    if (adm_may(c, c->route->permission))
        return;
    adm_fail(c, 403, c->route->denied_code, c->route->denied_message);
    c->result.detail = c->route->denied_code[0] == '\0';
    adm_header(c, "X-Doorman-Reason",
               adm_text(c, "permission; %s", adm_permission_name(c->route->permission)));
}

static void run_handler(struct adm_call *c)
{
    c->route->handler(c);
    if (answered(c))
        return;
    DM_LOG(DM_LOG_ERROR, c->rq->request_id, "admin.handler.silent", DM_FC("route", c->route->path));
    adm_fail_err(c, ERR_UNEXPECTED);
}

/* One event per mutating call, and one for every refusal of permission. */
static void write_audit(struct adm_call *c)
{
    bool denied = c->result.status == 403;
    dm_view action = c->audit.action;
    struct dm_error err;

    if (c->route == NULL || c->audit.skip || (action.len == 0 && !denied))
        return;
    if (c->audit.target.ptr == NULL)
        c->audit.target = path_of(c->rq->target);
    if (adm_audit_write(c, action.len > 0 ? action : DM_LIT("platform.request"),
                        denied                   ? "blocked"
                        : c->result.status < 300 ? "success"
                                                 : "failure",
                        &err) == DM_OK)
        return;
    /* Nothing is told that left no trace: no token, no cookie of it either. */
    dm_json_free(c->result.response);
    c->result = (struct adm_result){0};
    c->rs->fields = (struct dm_fields){0};
    adm_fail_store(c, &err);
}

static void walk(struct adm_call *c, dm_view allow)
{
    static void (*const checks[])(struct adm_call *) = {
        check_body, check_identity, check_permission, adm_login_limit, run_handler};

    check_address(c);
    if (!answered(c))
        check_route(c, allow);
    for (size_t i = 0; i < DM_COUNT_OF(checks) && !answered(c); i++)
        checks[i](c);
    if (c->route != NULL && (c->route->flags & ADM_BARE) != 0)
        c->result.bare = true;
    write_audit(c);
}

static void log_call(struct adm_call *c, dm_time started)
{
    char address[DM_ADDRESS_TEXT];
    int64_t took = dm_clock_mono(adm_clock(c->app)) - started;
    enum dm_log_level level = c->rs->status >= 500   ? DM_LOG_ERROR
                              : c->rs->status >= 400 ? DM_LOG_WARNING
                                                     : DM_LOG_INFO;
    dm_view path = path_of(c->rq->target);
    dm_view message = adm_text(c, "%.*s %.*s - %d - %lldms", DM_FMT(c->rq->method), DM_FMT(path),
                               c->rs->status, (long long)(took / DM_MS));

    if (!dm_log_enabled(level))
        return;
    dm_log(level, c->rq->request_id, message,
           (const struct dm_log_field[]){
               DM_F("username", c->caller.username),
               DM_F("client_ip", dm_view_make(address, dm_address_write(&c->client, address))),
               DM_F("method", c->rq->method), DM_F("path", path),
               DM_FI("status_code", c->rs->status), DM_FI("response_time_ms", took / DM_MS),
               DM_F("error_code", c->result.error_code)},
           7);
}

void adm_handle(void *app, struct dm_admin_request *rq, struct dm_admin_response *rs)
{
    struct adm_call c = {.app = app, .rq = rq, .rs = rs, .arena = rq->arena};
    size_t question = dm_view_find_byte(rq->target, '?', 0);
    dm_view allow = DM_VIEW_NONE;
    dm_time started = dm_clock_mono(adm_clock(app));

    adm_app_pin(app, &c.settings, &c.keys);
    c.query = question < rq->target.len ? dm_view_sub(rq->target, question + 1, rq->target.len)
                                        : DM_VIEW_NONE;
    c.route =
        adm_route_find(rq->method, path_of(rq->target), c.arena, c.params, &c.n_params, &allow);
    if (c.route != NULL && c.route->audit != NULL)
        c.audit.action = dm_view_of(c.route->audit);
    if (dm_view_eq(rq->method, DM_LIT("OPTIONS")) &&
        (dm_view_starts(rq->target, DM_LIT("/platform")) || on_caches(&c))) {
        adm_client_address(&c, &c.client);
        adm_answer_preflight(&c);
    } else {
        walk(&c, allow);
        adm_answer(&c);
    }
    log_call(&c, started);
    dm_json_free(c.body);
    dm_json_free(c.result.response);
    dm_json_free(c.result.data);
    dm_json_free(c.audit.details);
    dm_keyset_unref(c.keys);
    dm_settings_unref(c.settings);
}

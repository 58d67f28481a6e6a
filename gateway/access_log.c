#include "gateway/access_log.h"

#include "base/log.h"
#include "gateway/worker.h"

enum { SHOWN_MAX = 1024 }; /* of a path, referrer or agent: a line stays a line */

static enum dm_log_level level_of(int status)
{
    return status >= 500 ? DM_LOG_ERROR : status >= 400 ? DM_LOG_WARNING : DM_LOG_INFO; /* C23 */
}

static dm_view username(const struct gw_request *rq)
{
    return rq->who.verified ? rq->who.claims.sub : DM_VIEW_NONE;
}

/* Clients' bytes inside quotes: a quote, a backslash or a control byte must not end them. */
static void add_quoted(struct dm_buf *out, dm_view v)
{
    v = dm_view_sub(v, 0, SHOWN_MAX);
    size_t clean = 0;
    for (size_t i = 0; i < v.len; i++) {
        const unsigned char c = (unsigned char)v.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
            continue;
        dm_buf_add(out, dm_view_sub(v, clean, i - clean));
        dm_buf_addf(out, "\\x%02x", c);
        clean = i + 1;
    }
    dm_buf_add(out, dm_view_sub(v, clean, SIZE_MAX));
}

static void add_or_dash(struct dm_buf *out, dm_view v)
{
    if (v.len == 0)
        dm_buf_add_byte(out, '-');
    else
        add_quoted(out, v);
}

/* addr - user [time] "METHOD path HTTP/1.1" status bytes "referrer" "agent" id took */
static void log_combined(struct gw_request *rq, int status, dm_time took)
{
    struct dm_buf *out = &rq->worker->scratch;
    char address[DM_ADDRESS_TEXT];

    dm_buf_clear(out);
    dm_buf_add(out, dm_view_make(address, dm_address_write(gw_client(rq), address)));
    dm_buf_add(out, DM_LIT(" - "));
    add_or_dash(out, username(rq));
    dm_buf_add(out, DM_LIT(" ["));
    dm_buf_add(out, gw_worker_log_time(rq->worker));
    dm_buf_add(out, DM_LIT("] \""));
    add_quoted(out, rq->x->head.method);
    dm_buf_add_byte(out, ' ');
    add_quoted(out, gw_access_path(rq));
    dm_buf_add(out, rq->x->head.minor == 0 ? DM_LIT(" HTTP/1.0\" ") : DM_LIT(" HTTP/1.1\" "));
    dm_buf_add_i64(out, status);
    dm_buf_add_byte(out, ' ');
    dm_buf_add_u64(out, rq->x->bytes_out);
    dm_buf_add(out, DM_LIT(" \""));
    add_or_dash(out, gw_field(rq, DM_HDR_REFERER));
    dm_buf_add(out, DM_LIT("\" \""));
    add_or_dash(out, gw_field(rq, DM_HDR_USER_AGENT));
    dm_buf_add(out, DM_LIT("\" "));
    dm_buf_add(out, rq->x->request_id);
    dm_buf_add_byte(out, ' ');
    dm_buf_add_i64(out, took / DM_MS);
    dm_buf_add(out, DM_LIT("ms"));
    if (dm_buf_ok(out))
        dm_log_raw(level_of(status), dm_buf_view(out));
}

static void log_json(struct gw_request *rq, int status, dm_time took)
{
    struct dm_buf *message = &rq->worker->scratch;
    char peer[DM_ADDRESS_TEXT], effective[DM_ADDRESS_TEXT];
    const dm_view path = dm_view_sub(gw_access_path(rq), 0, SHOWN_MAX);
    const struct dm_policy_api *api = rq->route.api;
    const struct dm_policy *policy = rq->world->policy; /* NULL: none has come yet */
    const dm_view code =
        rq->out.refusal != ERR_NONE ? dm_err_info(rq->out.refusal)->code : DM_VIEW_NONE;

    dm_buf_clear(message);
    dm_buf_addf(message, "%.*s %.*s - %d - %lldms", DM_FMT(rq->x->head.method), DM_FMT(path),
                status, (long long)(took / DM_MS));
    const struct dm_log_field fields[] = {
        DM_F("username", username(rq)),
        DM_F("client_ip", dm_view_make(peer, dm_address_write(&rq->x->peer, peer))),
        DM_F("effective_ip", dm_view_make(effective, dm_address_write(gw_client(rq), effective))),
        DM_F("method", rq->x->head.method),
        DM_F("path", path),
        DM_FI("status_code", status),
        DM_FI("response_time_ms", took / DM_MS),
        DM_F("api", api != NULL ? api->nv : DM_VIEW_NONE),
        DM_F("upstream", rq->up.server != NULL ? rq->up.server->key : DM_VIEW_NONE),
        DM_F("error_code", code),
        DM_FI("policy_generation", policy != NULL ? (int64_t)policy->generation : 0),
    };
    if (dm_buf_ok(message))
        dm_log(level_of(status), rq->x->request_id, dm_buf_view(message), fields,
               DM_COUNT_OF(fields));
}

dm_view gw_access_path(const struct gw_request *rq)
{
    const dm_view target = rq->x->head.target;
    return dm_view_sub(target, 0, dm_view_find_byte(target, '?', 0));
}

static void warn(struct gw_request *rq, const char *event, dm_time took)
{
    DM_LOG(DM_LOG_WARNING, rq->x->request_id, event, DM_F("method", rq->x->head.method),
           DM_F("path", dm_view_sub(gw_access_path(rq), 0, SHOWN_MAX)),
           DM_FI("response_time_ms", took / DM_MS), DM_FI("bytes_out", rq->x->bytes_out));
}

void gw_access_log(struct gw_request *rq, int status, dm_time took)
{
    const struct dm_settings *s = gw_settings(rq);

    if (rq->gone || rq->out.cut)
        warn(rq, "http.request.incomplete", took);
    if (s->request_log_slow_ms > 0 && took >= s->request_log_slow_ms * DM_MS)
        warn(rq, "http.request.slow", took);
    if (s->access_log == DM_ACCESS_LOG_OFF || !dm_log_enabled(level_of(status)))
        return;
    if (s->access_log == DM_ACCESS_LOG_COMBINED)
        log_combined(rq, status, took);
    else
        log_json(rq, status, took);
}

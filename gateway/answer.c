#include "gateway/answer.h"

#include "base/log.h"
#include "codec/json.h"
#include "gateway/steps/cors.h"
#include "gateway/worker.h"
#include <stdio.h>

/* --- refusals --- */

/* The one sentence with a figure; all others are plain (errors.def). */
static dm_view sentence(struct gw_request *rq)
{
    const dm_view text = dm_err_info(rq->out.refusal)->sentence;

    if (rq->out.refusal != ERR_BODY_TOO_LARGE)
        return text;
    return dm_arena_fmt(rq->x->arena, "Request entity too large (max: %llu bytes)",
                        (unsigned long long)rq->out.number);
}

dm_view gw_answer_refusal(struct gw_request *rq)
{
    const struct dm_err_info *e = dm_err_info(rq->out.refusal);
    const dm_view text = sentence(rq);
    struct dm_arena *a = rq->x->arena;

    switch (rq->out.refusal) {
    case ERR_NOT_FOUND:
    case ERR_METHOD_NOT_ALLOWED: /* the router's (O14) */
        return dm_arena_fmt(
            a, "{\"detail\":\"%.*s\",\"error_code\":\"%.*s\",\"error_message\":\"%.*s\"}",
            DM_FMT(text), DM_FMT(e->code), DM_FMT(text));
    case ERR_IP_BLOCKED:
    case ERR_IP_NOT_ALLOWED:
        return dm_arena_fmt(
            a, "{\"status_code\":%d,\"error_code\":\"%.*s\",\"error_message\":\"%.*s\"}", e->status,
            DM_FMT(e->code), DM_FMT(text));
    default:
        break;
    }
    if (rq->route.api != NULL && rq->route.api->strict_envelope)
        return dm_arena_fmt(
            a, "{\"status_code\":%d,\"error_code\":\"%.*s\",\"error_message\":\"%.*s\"}", e->status,
            DM_FMT(e->code), DM_FMT(text));
    return dm_arena_fmt(a, "{\"error_code\":\"%.*s\",\"error_message\":\"%.*s\"}", DM_FMT(e->code),
                        DM_FMT(text));
}

static bool add(struct gw_request *rq, struct dm_fields *out, enum dm_header_id id, dm_view value)
{
    return value.ptr != NULL && dm_fields_add(out, rq->x->arena, id, dm_header_name(id), value);
}

static bool add_named(struct gw_request *rq, struct dm_fields *out, dm_view name, dm_view value)
{
    return value.ptr != NULL && dm_fields_add(out, rq->x->arena, DM_HDR_OTHER, name, value);
}

/* By hand: two of these are on every answer, and printf costs more than all steps before it. */
dm_view gw_answer_number(struct gw_request *rq, int64_t n)
{
    enum { DIGITS = 20 };
    char *end = dm_arena_alloc(rq->x->arena, DIGITS);
    uint64_t left = n < 0 ? 0 : (uint64_t)n;

    if (end == NULL)
        return DM_VIEW_NONE;
    end += DIGITS;
    char *at = end;
    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    return dm_view_make(at, (size_t)(end - at));
}

/* RateLimit-* count from now (IETF draft), X-RateLimit-* name the moment (the reference). */
static bool add_limits(struct gw_request *rq, struct dm_fields *out)
{
    const struct dm_counter_ask *c = rq->out.limit;

    if (c == NULL)
        return true;
    const int64_t most = c->kind == DM_COUNTER_THROTTLE ? c->queue : c->limit;
    return add(rq, out, DM_HDR_RATELIMIT_LIMIT, gw_answer_number(rq, most)) &&
           add(rq, out, DM_HDR_RATELIMIT_REMAINING, gw_answer_number(rq, rq->out.remaining)) &&
           add(rq, out, DM_HDR_RATELIMIT_RESET, gw_answer_number(rq, rq->out.retry_after)) &&
           add_named(rq, out, DM_LIT("X-RateLimit-Limit"), gw_answer_number(rq, most)) &&
           add_named(rq, out, DM_LIT("X-RateLimit-Remaining"),
                     gw_answer_number(rq, rq->out.remaining)) &&
           add_named(rq, out, DM_LIT("X-RateLimit-Reset"),
                     gw_answer_number(rq, rq->out.reset_wall));
}

/* Where waiting helps (R6): always with 429 and 503, at least a second. */
static bool add_retry_after(struct gw_request *rq, struct dm_fields *out)
{
    const int status = dm_err_info(rq->out.refusal)->status;

    if (status != 429 && status != 503)
        return true;
    return add(rq, out, DM_HDR_RETRY_AFTER,
               gw_answer_number(rq, rq->out.retry_after > 1 ? rq->out.retry_after : 1));
}

static bool add_refusals(struct gw_request *rq, struct dm_fields *out)
{
    return rq->out.refusal == ERR_NONE ||
           (add(rq, out, DM_HDR_X_DOORMAN_REASON, dm_view_of(rq->out.reason)) &&
            add_retry_after(rq, out) && add_limits(rq, out));
}

bool gw_answer_fields(struct gw_request *rq, dm_view body, struct dm_fields *out)
{
    const bool preflight = rq->in.method == GW_OPTIONS;

    *out = (struct dm_fields){0};
    return (body.len == 0 ||
            (add(rq, out, DM_HDR_CONTENT_TYPE, DM_LIT("application/json")) &&
             add(rq, out, DM_HDR_X_BODY_LENGTH, gw_answer_number(rq, (int64_t)body.len)))) &&
           add_refusals(rq, out) &&
           (rq->out.allow.ptr == NULL || add(rq, out, DM_HDR_ALLOW, rq->out.allow)) &&
           (rq->out.location.ptr == NULL || add(rq, out, DM_HDR_LOCATION, rq->out.location)) &&
           (preflight ? gw_cors_preflight(rq, out) : gw_cors_actual(rq, out));
}

/* --- the envelope of api_strict_envelope (§2.4) --- */

/* Where MAX_RESPONSE_SIZE is off: what the JSON reader takes at most. */
enum { HELD_MAX = 16 * 1024 * 1024 };

static bool is_json(dm_view type)
{
    const dm_view media = dm_view_trim(dm_view_sub(type, 0, dm_view_find_byte(type, ';', 0)));
    const size_t suffix = media.len > 5 ? media.len - 5 : 0;

    return dm_view_eq_nocase(media, DM_LIT("application/json")) ||
           dm_view_eq_nocase(dm_view_sub(media, suffix, SIZE_MAX), DM_LIT("+json"));
}

bool gw_answer_wants_envelope(const struct gw_request *rq)
{
    return rq->route.api->strict_envelope && !rq->up.bodyless && rq->up.length != 0 &&
           rq->up.status != 206 && is_json(dm_fields_get(rq->up.fields, DM_HDR_CONTENT_TYPE));
}

size_t gw_answer_held_max(const struct dm_settings *s)
{
    return s->max_response_size > 0 ? (size_t)s->max_response_size : HELD_MAX;
}

/* access_token and refresh_token of an object are repeated beside it. */
static void add_token(struct dm_buf *out, dm_view value, dm_view name)
{
    dm_view raw;

    if (value.ptr[0] != '{' || !dm_json_raw_member(value, name, &raw))
        return;
    dm_buf_addf(out, ",\"%.*s\":", DM_FMT(name));
    dm_buf_add(out, raw);
}

dm_view gw_answer_envelope(struct gw_request *rq)
{
    const dm_view value = dm_view_trim(dm_buf_view(&rq->out.whole));
    struct dm_error err = {0};
    struct dm_buf wrapped;

    if (dm_fields_get(rq->up.fields, DM_HDR_CONTENT_ENCODING).len > 0 ||
        dm_json_check(value, &dm_json_default, &err) != DM_OK) {
        DM_LOG(DM_LOG_WARNING, rq->x->request_id, "answer not wrapped",
               DM_F("api", rq->route.api->nv), DM_FC("why", err.text));
        return dm_buf_view(&rq->out.whole);
    }
    dm_buf_init(&wrapped, 2 * value.len + 64); /* both tokens once more, and the members' names */
    dm_buf_addf(&wrapped, "{\"status_code\":%d,\"response\":", rq->up.status);
    dm_buf_add(&wrapped, value);
    add_token(&wrapped, value, DM_LIT("access_token"));
    add_token(&wrapped, value, DM_LIT("refresh_token"));
    dm_buf_add_byte(&wrapped, '}');
    dm_buf_done(&rq->out.whole);
    rq->out.whole = wrapped;
    return dm_buf_view(&rq->out.whole);
}

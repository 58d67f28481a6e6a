#include "admin/answer.h"

#include "admin/cors.h"
#include "admin/router.h"
#include "base/log.h"
#include "crypto/digest.h"

enum {
    HEADER_CAP = 8192,            /* one header value */
    TEXT_MAX = 255,               /* code points of message and error_message (O9) */
    ANSWER_CAP = 64 * 1024 * 1024 /* the largest listing; past it the answer becomes an error */
};

static bool is_error(const struct adm_result *r)
{
    return r->status >= 300 || r->error_code.len > 0 || r->error_message.len > 0;
}

static dm_view cut(dm_view text)
{
    return dm_utf8_valid(text) ? dm_utf8_cut(text, TEXT_MAX) : DM_LIT("Request failed");
}

static void set_text(struct dm_json *o, dm_view name, dm_view text)
{
    if (text.len > 0)
        dm_json_set_str(o, name, cut(text));
}

/* RFC 9457 for a client that asks for it (R9). */
static struct dm_json *problem(struct adm_call *c)
{
    struct adm_result *r = &c->result;
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("type"), DM_LIT("about:blank"));
    dm_json_set_i64(o, DM_LIT("status"), r->status);
    dm_json_set_str(o, DM_LIT("title"),
                    cut(r->error_message.len > 0 ? r->error_message : r->error_code));
    set_text(o, DM_LIT("error_code"), r->error_code);
    dm_json_set_str(o, DM_LIT("instance"), c->rq->request_id);
    if (r->data != NULL)
        dm_json_set(o, DM_LIT("data"), DM_TAKE(r->data));
    return o;
}

static struct dm_json *error_body(struct adm_result *r, bool strict)
{
    struct dm_json *o = dm_json_new_object();

    if (strict || r->status_in_body)
        dm_json_set_i64(o, DM_LIT("status_code"), r->status);
    if (r->detail)
        dm_json_set_str(o, DM_LIT("detail"), cut(r->error_message));
    if (r->detail && r->error_code.len == 0)
        return o;
    set_text(o, DM_LIT("error_code"), r->error_code);
    set_text(o, DM_LIT("error_message"), r->error_message);
    if (r->error_code.len == 0 && r->error_message.len == 0)
        dm_json_set_str(o, DM_LIT("error_message"), DM_LIT("Request failed"));
    if (r->data != NULL)
        dm_json_set(o, DM_LIT("data"), DM_TAKE(r->data));
    return o;
}

static void repeat_token(struct dm_json *o, const struct dm_json *response, dm_view name)
{
    const struct dm_json *token = dm_json_get(response, name);

    if (token != NULL)
        dm_json_set(o, name, dm_json_clone(token));
}

static struct dm_json *success_body(struct adm_result *r, bool strict)
{
    struct dm_json *o;

    if (!strict && r->response != NULL)
        return DM_TAKE(r->response);
    o = dm_json_new_object();
    if (strict)
        dm_json_set_i64(o, DM_LIT("status_code"), r->status);
    if (r->response != NULL) {
        repeat_token(o, r->response, DM_LIT("access_token"));
        repeat_token(o, r->response, DM_LIT("refresh_token"));
        dm_json_set(o, DM_LIT("response"), DM_TAKE(r->response));
    } else {
        set_text(o, DM_LIT("message"), r->message);
    }
    return o;
}

static void write_body(struct adm_call *c)
{
    struct adm_result *r = &c->result;
    bool strict = c->settings->strict_response_envelope && !r->bare;
    dm_view accept = dm_fields_get(c->rq->fields, DM_HDR_ACCEPT);
    bool as_problem = is_error(r) && dm_list_has_token(accept, DM_LIT("application/problem+json"));
    struct dm_json *body = as_problem    ? problem(c)
                           : is_error(r) ? error_body(r, strict)
                                         : success_body(r, strict);

    dm_buf_init(&c->rs->body, ANSWER_CAP);
    dm_json_write(body, &c->rs->body);
    dm_json_free(body);
    adm_header(c, "Content-Type",
               as_problem ? DM_LIT("application/problem+json") : DM_LIT("application/json"));
    if (!r->bare)
        adm_header(c, "X-Body-Length", adm_text(c, "%zu", dm_buf_view(&c->rs->body).len));
}

/* A strong validator of what was read; If-None-Match answers 304 without the body (RFC 9110
 * §13.1.2). */
static void apply_etag(struct adm_call *c)
{
    unsigned char digest[DM_SHA256_LEN];
    uint64_t head = 0;
    dm_view etag;

    if (c->route == NULL || (c->route->flags & ADM_ETAG) == 0 || c->result.status != 200)
        return;
    dm_sha256(dm_buf_view(&c->rs->body), digest);
    for (size_t i = 0; i < sizeof(head); i++)
        head = head << 8 | digest[i];
    etag = adm_text(c, "\"%016llx\"", (unsigned long long)head);
    adm_header(c, "ETag", etag);
    if (dm_list_has_token(dm_fields_get(c->rq->fields, DM_HDR_IF_NONE_MATCH), etag)) {
        c->rs->status = 304;
        dm_buf_clear(&c->rs->body);
    }
}

static bool on_platform(const struct adm_call *c)
{
    return dm_view_starts(c->rq->target, DM_LIT("/platform"));
}

static void add_cors(struct adm_call *c)
{
    dm_view origin = dm_fields_get(c->rq->fields, DM_HDR_ORIGIN);

    if (c->settings->allow_credentials)
        adm_header(c, "Access-Control-Allow-Credentials", DM_LIT("true"));
    if (adm_cors_origin_allowed(c->settings, origin))
        adm_header(c, "Access-Control-Allow-Origin", origin);
    adm_header(c, "Vary", DM_LIT("Origin"));
}

void adm_answer(struct adm_call *c)
{
    c->rs->status = c->result.status;
    if (!c->result.no_body)
        write_body(c);
    if (!c->result.no_body && !dm_buf_ok(&c->rs->body)) {
        DM_LOG(DM_LOG_ERROR, c->rq->request_id, "admin.answer.too_large");
        dm_buf_clear(&c->rs->body);
        dm_buf_add(&c->rs->body, DM_LIT("{\"error_message\":\"Unable to process response\"}"));
        c->rs->status = 500;
    }
    apply_etag(c);
    add_cors(c);
    if (on_platform(c) && c->rs->status < 400)
        adm_header(
            c, "Access-Control-Expose-Headers",
            DM_LIT("X-Request-ID, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"));
}

void adm_answer_preflight(struct adm_call *c)
{
    struct dm_buf value;

    dm_buf_init(&value, HEADER_CAP);
    adm_cors_methods(c->settings, &value);
    adm_header(c, "Access-Control-Allow-Methods", dm_buf_view(&value));
    dm_buf_clear(&value);
    adm_cors_headers(c->settings, &value);
    adm_header(c, "Access-Control-Allow-Headers", dm_buf_view(&value));
    dm_buf_done(&value);
    adm_header(c, "Access-Control-Max-Age",
               adm_text(c, "%lld", (long long)c->settings->cors_max_age));
    add_cors(c);
    c->rs->status = 204;
}

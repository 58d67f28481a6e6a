#include "gateway/upstream/call.h"

#include "base/assert.h"
#include "gateway/pipeline.h"
#include "gateway/steps/reply.h"
#include "gateway/upstream/headers.h"
#include "gateway/worker.h"

/* Whoever waits: forward for the head, reply for the rest. */
static void wake(struct gw_request *rq)
{
    gw_request_resume(rq->worker, rq->handle, rq->wait.on);
}

static void on_room(struct dm_http_call *c, void *ctx)
{
    struct gw_request *rq = ctx;

    (void)c;
    if (rq->up.upload == GW_UPLOAD_IDLE)
        rq->up.upload = GW_UPLOAD_RUNNING; /* from the first byte on there is no second attempt */
    gw_call_upload(rq);
}

static void on_inform(struct dm_http_call *c, void *ctx, int status, const struct dm_fields *f)
{
    struct gw_request *rq = ctx;

    (void)c;
    gw_reply_inform(rq, status, f);
}

static void on_head(struct dm_http_call *c, void *ctx, const struct dm_http_answer_head *h)
{
    struct gw_request *rq = ctx;

    (void)c;
    rq->up.got_head = true;
    rq->up.status = h->status;
    rq->up.fields = h->fields;
    rq->up.length = h->length;
    rq->up.bodyless = h->bodyless;
    wake(rq);
}

static size_t on_body(struct dm_http_call *c, void *ctx, dm_view bytes)
{
    (void)c;
    return gw_reply_bytes(ctx, bytes);
}

static void on_end(struct dm_http_call *c, void *ctx, const struct dm_http_end_info *info)
{
    struct gw_request *rq = ctx;

    rq->up.ended = true;
    rq->up.end = *info;
    rq->up.trailers = info->end == DM_HTTP_COMPLETE ? dm_http_trailers(c) : NULL;
    rq->up.call = NULL;
    wake(rq);
}

static const struct dm_http_handler handler = {
    .on_room = on_room,
    .on_inform = on_inform,
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
};

bool gw_call_can_reach(const struct dm_policy_server *server)
{
    const dm_view scheme = server->url.scheme;

    return server->url.bare || dm_view_eq(scheme, DM_LIT("http")) ||
           dm_view_eq(scheme, DM_LIT("unix"));
}

static dm_time either(dm_time of_api, dm_time of_settings)
{
    return of_api > 0 ? of_api : of_settings;
}

static struct dm_http_timeouts timeouts(const struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;
    const struct dm_settings *s = gw_settings(rq);
    const dm_time left = rq->times.deadline == DM_NEVER ? 0 : rq->times.deadline - gw_now(rq);

    return (struct dm_http_timeouts){
        .connect = either(api->connect_timeout, s->http_connect_timeout),
        .read = either(api->read_timeout, s->http_read_timeout),
        .write = either(api->write_timeout, s->http_write_timeout),
        .pool = either(api->pool_timeout, s->http_timeout),
        .total = rq->times.deadline == DM_NEVER || left > 0 ? left : 1, /* 0 means none */
    };
}

static int64_t body_length(const struct gw_request *rq)
{
    const struct dm_request_head *head = &rq->x->head;

    switch (rq->body.form) {
    case GW_BODY_WHOLE:
        return (int64_t)rq->body.bytes.len;
    case GW_BODY_STREAM:
        return head->has_length ? (int64_t)head->length : DM_LENGTH_UNKNOWN;
    case GW_BODY_NONE:
        break;
    }
    return 0;
}

void gw_call_start(struct gw_request *rq)
{
    const struct dm_policy_server *server = rq->up.server;
    const struct dm_http_ask ask = {
        .server = {.key = server->key,
                   .host = server->url.host,
                   .port = server->url.port,
                   .unix_path = dm_view_eq(server->url.scheme, DM_LIT("unix")) ? server->url.host
                                                                               : DM_VIEW_NONE},
        .timeouts = timeouts(rq),
        .head = rq->up.head,
        .head_method = rq->in.method == GW_HEAD,
        .safe_to_resend = rq->up.retry.repeatable && rq->body.form != GW_BODY_STREAM,
        .body_length = body_length(rq),
        .body = rq->body.bytes,
        .no_reuse = !gw_settings(rq)->enable_httpx_client_cache,
    };

    DM_REQUIRE(rq->up.call == NULL);
    rq->up.got_head = rq->up.ended = rq->up.reached = false;
    rq->up.call = dm_http_ask(rq->worker->client, &ask, &handler, rq);
}

void gw_call_cancel(struct gw_request *rq)
{
    if (rq->up.call == NULL)
        return;
    rq->up.reached = dm_http_sent_any(rq->up.call);
    dm_http_cancel(DM_TAKE(rq->up.call));
}

static void upload_ended(struct gw_request *rq)
{
    rq->up.upload = GW_UPLOAD_ENDED;
    gw_headers_trailers(rq, dm_exchange_trailers(rq->x), DM_HF_REQUEST, &rq->up.sent_trailers);
    dm_http_push_end(rq->up.call, &rq->up.sent_trailers);
}

/* Moves what is there from the client to the upstream, as far as the upstream takes it. */
void gw_call_upload(struct gw_request *rq)
{
    while (rq->up.upload == GW_UPLOAD_RUNNING && rq->up.call != NULL) {
        dm_view bytes;
        switch (dm_exchange_pull(rq->x, &bytes)) {
        case DM_OK: {
            const size_t taken = dm_http_push(rq->up.call, bytes);
            dm_exchange_consume(rq->x, taken);
            rq->up.uploaded_any = rq->up.uploaded_any || taken > 0;
            if (taken < bytes.len)
                return; /* on_room */
            break;
        }
        case DM_EOF:
            upload_ended(rq);
            return;
        case DM_LIMIT: /* at the first byte over: the upstream call ends, whatever it was about to
                          say */
            rq->up.upload = GW_UPLOAD_OVER;
            gw_call_cancel(rq);
            wake(rq);
            return;
        default: /* DM_AGAIN: on_body; anything else: on_gone is on its way */
            return;
        }
    }
}

void gw_call_room(struct gw_request *rq)
{
    if (rq->up.call != NULL)
        dm_http_resume(rq->up.call);
}

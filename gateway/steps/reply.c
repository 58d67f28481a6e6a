/* The only place that writes to the client: the upstream's answer as it comes, or one of our own,
 * whole. */
#include "gateway/steps/reply.h"

#include "base/assert.h"
#include "gateway/answer.h"
#include "gateway/pipeline.h"
#include "gateway/upstream/call.h"
#include "gateway/upstream/headers.h"
#include "gateway/worker.h"

/* The carrier reports the last byte (on_done): account comes then. */
static enum gw_next finish(struct gw_request *rq)
{
    dm_exchange_finish(rq->x);
    return gw_wait(rq, GW_WAIT_ANSWER, DM_NEVER); /* the carrier's write deadline */
}

static enum gw_next cut(struct gw_request *rq)
{
    gw_call_cancel(rq);
    rq->out.cut = true;
    return GW_NEXT;
}

/* --- answers of our own --- */

static enum gw_next reply_whole(struct gw_request *rq, int status, bool close, dm_view body)
{
    const struct dm_answer a = {
        .status = status, .fields = &rq->out.fields, .length = (int64_t)body.len, .close = close};

    rq->out.answered = true;
    dm_exchange_reply(rq->x, &a, body);
    return gw_wait(rq, GW_WAIT_ANSWER, DM_NEVER);
}

/* The arena is used up: the carrier has a refusal that needs none of it. */
static enum gw_next reply_without_memory(struct gw_request *rq)
{
    rq->out.answered = true;
    dm_exchange_refuse(rq->x, ERR_TOO_MUCH_MEMORY, DM_LIT("memory"));
    return gw_wait(rq, GW_WAIT_ANSWER, DM_NEVER);
}

static enum gw_next reply_ours(struct gw_request *rq)
{
    const bool refused = rq->out.refusal != ERR_NONE;
    const int status = refused ? dm_err_info(rq->out.refusal)->status : rq->out.status;
    const dm_view body = refused ? gw_answer_refusal(rq) : rq->out.body;

    gw_call_cancel(rq);
    if ((refused && body.ptr == NULL) || !gw_answer_fields(rq, body, &rq->out.fields))
        return reply_without_memory(rq);
    return reply_whole(rq, status, rq->out.refusal == ERR_BODY_TOO_LARGE, body);
}

/* --- the upstream's answer --- */

static enum gw_next begin_relay(struct gw_request *rq)
{
    if (!gw_headers_down(rq, &rq->out.fields)) {
        gw_refuse(rq, ERR_TOO_MUCH_MEMORY, "memory");
        return reply_ours(rq);
    }
    if (gw_answer_wants_envelope(rq)) {
        rq->out.held = true;
        dm_buf_init(&rq->out.whole, gw_answer_held_max(gw_settings(rq)));
    } else {
        const struct dm_answer a = {
            .status = rq->up.status, .fields = &rq->out.fields, .length = rq->up.length};
        dm_exchange_answer(rq->x, &a);
        rq->out.answered = true;
    }
    /* the call's read deadline, the carrier's write deadline */
    return gw_wait(rq, GW_WAIT_ANSWER, DM_NEVER);
}

static enum gw_next end_held(struct gw_request *rq)
{
    if (rq->up.end.end != DM_HTTP_COMPLETE || !rq->up.ended || !dm_buf_ok(&rq->out.whole)) {
        const bool late = gw_http_timed_out(rq->up.end.end);
        gw_refuse(rq, late ? ERR_UPSTREAM_TIMEOUT : ERR_UPSTREAM_UNREACHABLE, "upstream; answer");
        return reply_ours(rq);
    }
    return reply_whole(rq, rq->up.status, false, gw_answer_envelope(rq));
}

static enum gw_next end_relay(struct gw_request *rq)
{
    struct dm_fields trailers;

    if (rq->up.end.end != DM_HTTP_COMPLETE)
        return cut(rq);
    gw_headers_trailers(rq, rq->up.trailers, DM_HF_RESPONSE, &trailers);
    for (size_t i = 0; i < trailers.count; i++)
        dm_exchange_trailer(rq->x, trailers.items[i].name, trailers.items[i].value);
    return finish(rq);
}

size_t gw_reply_bytes(struct gw_request *rq, dm_view bytes)
{
    if (!rq->out.held)
        return dm_exchange_push(rq->x, bytes);
    dm_buf_add(&rq->out.whole, bytes);
    if (!dm_buf_ok(&rq->out.whole))
        gw_request_resume(rq->worker, rq->handle, GW_WAIT_ANSWER);
    return bytes.len;
}

void gw_reply_inform(struct gw_request *rq, int status, const struct dm_fields *f)
{
    struct dm_fields passing = {0};

    for (size_t i = 0; i < f->count; i++)
        if (gw_header_passes(rq->route.api, f, &f->items[i], DM_HF_RESPONSE) &&
            !dm_fields_add(&passing, rq->x->arena, f->items[i].id, f->items[i].name,
                           f->items[i].value))
            return; /* a hint that finds no memory is left out */
    dm_exchange_inform(rq->x, status, &passing);
}

/* Reads up, out. Writes out. Waits for the rest of the answer and for the client to take it. */
enum gw_next step_reply(struct gw_request *rq)
{
    if (rq->out.refusal != ERR_NONE || rq->out.status != 0)
        return reply_ours(rq);
    if (!rq->out.answered && !rq->out.held)
        return begin_relay(rq);
    if (rq->up.upload == GW_UPLOAD_OVER) {
        if (rq->out.answered)
            return cut(rq);
        gw_refuse_body(rq);
        return reply_ours(rq);
    }
    if (rq->out.held)
        return end_held(rq);
    return rq->up.ended ? end_relay(rq) : gw_wait(rq, GW_WAIT_ANSWER, DM_NEVER);
}

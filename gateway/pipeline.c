/* The whole life of a request: the list of steps, the only loop that calls them, and the only
 * places where a request starts, waits, goes on, is cancelled and ends. */
#include "gateway/pipeline.h"

#include "base/assert.h"
#include "gateway/audit.h"
#include "gateway/limit/credits.h"
#include "gateway/protocols/protocol.h"
#include "gateway/upstream/call.h"
#include "gateway/worker.h"

static const struct {
    const char *name;
    gw_step_fn run;
} pipeline[] = {
    /* clang-format off */
    {"guard",    step_guard},    /* refuse what is ambiguous, unwelcome or too large */
    {"resolve",  step_resolve},  /* API, version, address policy, endpoint */
    {"cors",     step_cors},     /* preflight ends here */
    {"identify", step_identify}, /* who: cookie, bearer token, or nobody */
    {"permit",   step_permit},   /* may they: subscription, group, role; keeps its verdict */
    {"admit",    step_admit},    /* one question: revoked? and, only if permitted, the counters */
    {"body",     step_body},     /* whole only where that helps; else it streams */
    {"validate", step_validate}, /* body against the endpoint's schema, transforms */
    {"reserve",  step_reserve},  /* credits, where the API has them */
    {"forward",  step_forward},  /* choose, send, retry what is safe; leaves an answer to stream */
    {"reply",    step_reply},    /* the only place that writes to the client */
    {"account",  step_account},  /* counters, bandwidth, access log: after the last byte */
    /* clang-format on */
};
enum { STEP_REPLY = 10, STEP_ACCOUNT = 11, STEPS = DM_COUNT_OF(pipeline) };
_Static_assert(STEPS == STEP_ACCOUNT + 1, "reply and account are the last two steps");

static void run(struct gw_request *rq)
{
    do {
        dm_assert_context(pipeline[rq->at].name);
        switch (pipeline[rq->at].run(rq)) {
        case GW_NEXT:
            rq->at++;
            break;
        case GW_REPLY:
            DM_ASSERT(rq->at < STEP_REPLY);
            rq->at = STEP_REPLY;
            break;
        case GW_WAIT:
            dm_assert_context(NULL);
            return;
        }
    } while (rq->at < STEPS);
    dm_assert_context(NULL);
    gw_request_free(rq);
}

static void go_to_account(struct gw_request *rq)
{
    dm_timer_stop(&rq->wait.timer);
    rq->wait.on = GW_WAIT_NOTHING;
    rq->at = STEP_ACCOUNT;
    run(rq);
}

/* --- starting, waiting, going on --- */

static void wait_is_over(struct dm_timer *t)
{
    struct gw_request *rq = DM_CONTAINER_OF(t, struct gw_request, wait.timer);

    rq->wait.late = true;
    gw_request_resume(rq->worker, rq->handle, rq->wait.on);
}

void gw_pipeline_start(struct gw_worker *w, struct dm_exchange *x)
{
    struct gw_request *rq = gw_request_new(w, x);

    dm_timer_init(&rq->wait.timer, wait_is_over);
    x->handler = &gw_pipeline_handler;
    x->server = rq;
    run(rq);
}

enum gw_next gw_wait(struct gw_request *rq, enum gw_wait_on on, dm_time until)
{
    DM_REQUIRE(on != GW_WAIT_NOTHING && rq->wait.on == GW_WAIT_NOTHING);
    rq->wait.on = on;
    rq->wait.late = false;
    if (until != DM_NEVER) {
        const dm_time left = until - gw_now(rq);
        dm_timer_start(rq->worker->loop, &rq->wait.timer, left > 0 ? left : 0);
    }
    return GW_WAIT;
}

void gw_request_resume(struct gw_worker *w, struct gw_handle handle, enum gw_wait_on on)
{
    struct gw_request *rq = gw_request_find(w, handle);

    if (rq == NULL || on == GW_WAIT_NOTHING || rq->wait.on != on)
        return; /* ended meanwhile, or answered twice */
    dm_timer_stop(&rq->wait.timer);
    rq->wait.on = GW_WAIT_NOTHING;
    run(rq);
}

void gw_request_cancel(struct gw_request *rq, enum dm_gone why)
{
    switch (rq->wait.on) {
    case GW_WAIT_PRINCIPAL:
        gw_principals_cancel(rq->worker->principals, &rq->who.wait);
        break;
    case GW_WAIT_ADMISSION:
        dm_live_cancel(rq->worker->live, &rq->limit.wait);
        break;
    case GW_WAIT_RESERVE:
        gw_credits_cancel(rq);
        break;
    case GW_WAIT_UPSTREAM:
    case GW_WAIT_ANSWER:
        gw_call_cancel(rq);
        break;
    case GW_WAIT_NOTHING: /* inside a step: nothing is out */
    case GW_WAIT_THROTTLE:
    case GW_WAIT_BACKOFF: /* the timer alone, stopped below */
        break;
    }
    rq->gone = true;
    rq->why = why;
    go_to_account(rq);
}

/* --- the verbs that end the way down --- */

enum gw_next gw_refuse(struct gw_request *rq, enum dm_err err, const char *reason)
{
    rq->out.refusal = err;
    rq->out.reason = reason;
    return GW_REPLY;
}

enum gw_next gw_refuse_body(struct gw_request *rq)
{
    const enum gw_count count =
        rq->in.proto != NULL ? rq->in.proto->body_refused : GW_COUNT_BODY_OTHER;

    gw_metrics_count(&rq->worker->metrics, count);
    gw_audit_body_size(rq);
    rq->out.number = rq->in.body_limit;
    return gw_refuse(rq, ERR_BODY_TOO_LARGE, "body; size");
}

enum gw_next gw_answer(struct gw_request *rq, int status, dm_view body)
{
    rq->out.status = status;
    rq->out.body = body;
    return GW_REPLY;
}

/* --- what the carrier reports --- */

static void on_head(void *app, struct dm_exchange *x)
{
    gw_serve(app, x);
}

static void on_body(struct dm_exchange *x)
{
    gw_call_upload(x->server);
}

static void on_room(struct dm_exchange *x)
{
    gw_call_room(x->server);
}

static void on_gone(struct dm_exchange *x, enum dm_gone why)
{
    gw_request_cancel(x->server, why);
}

static void on_done(struct dm_exchange *x)
{
    go_to_account(x->server);
}

const struct dm_exchange_handler gw_pipeline_handler = {
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_gone,
    .on_done = on_done,
};

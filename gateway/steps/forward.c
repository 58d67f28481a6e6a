/* Chooses a server, asks the circuit, sends, and sends again where that is safe and promises
 * something (gateway.md §12-§14). Passes on once an answer has begun; reply streams the rest. */
#include "base/assert.h"
#include "base/log.h"
#include "crypto/random.h"
#include "gateway/fixed.h"
#include "gateway/limit/credits.h"
#include "gateway/pipeline.h"
#include "gateway/protocols/protocol.h"
#include "gateway/upstream/balance.h"
#include "gateway/upstream/call.h"
#include "gateway/upstream/headers.h"
#include "gateway/worker.h"

enum { IDEMPOTENT = GW_GET | GW_HEAD | GW_PUT | GW_DELETE | GW_OPTIONS }; /* RFC 9110 §9.2.2 */

/* --- the circuit --- */

static struct gw_breaker *breaker(const struct gw_request *rq)
{
    return &gw_worker_slot(rq->worker, rq->route.api->slot)->breaker;
}

static struct gw_breaker_rule breaker_rule(const struct dm_settings *s)
{
    return (struct gw_breaker_rule){s->circuit_breaker_threshold, s->circuit_breaker_timeout};
}

static enum gw_next ask_circuit(struct gw_request *rq)
{
    const struct gw_breaker_rule rule = breaker_rule(gw_settings(rq));
    dm_time left;

    if (!gw_settings(rq)->circuit_breaker_enabled ||
        gw_breaker_admit(breaker(rq), &rule, gw_now(rq), &rq->up.probe, &left))
        return GW_NEXT;
    rq->out.retry_after = (left + DM_SEC - 1) / DM_SEC;
    return gw_refuse(rq, ERR_CIRCUIT_OPEN, "circuit");
}

static void report(struct gw_request *rq, bool success)
{
    const struct gw_breaker_rule rule = breaker_rule(gw_settings(rq));
    struct gw_breaker *b = breaker(rq);

    if (!gw_settings(rq)->circuit_breaker_enabled)
        return;
    if (gw_breaker_report(b, &rule, success, DM_TAKE(rq->up.probe), gw_now(rq)))
        gw_metrics_circuit(&rq->worker->metrics, rq->route.api->nv, b->state);
}

/* --- attempts --- */

static enum gw_next attempt(struct gw_request *rq)
{
    rq->up.attempts++;
    rq->up.upload = GW_UPLOAD_IDLE;
    rq->up.state = GW_UP_CALLING;
    gw_call_start(rq);
    return gw_wait(rq, GW_WAIT_UPSTREAM,
                   DM_NEVER); /* the call has its own deadlines, each of them finite */
}

static enum gw_next begin(struct gw_request *rq)
{
    const struct dm_settings *s = gw_settings(rq);
    const struct dm_policy_api *api = rq->route.api;

    if (api->is_crud)
        return gw_refuse(rq, ERR_ADMIN_AWAY, "crud");
    rq->times.forwarded = gw_now(rq);
    if (s->gateway_timeout > 0)
        rq->times.deadline = rq->times.begun + s->gateway_timeout;
    rq->up.retry =
        gw_retry_rule(api, s, rq->in.method & IDEMPOTENT, rq->in.proto->count_is_consent);
    rq->up.server = gw_balance_next(rq->worker, rq->permit.pool);
    if (!gw_call_can_reach(rq->up.server))
        return gw_refuse(rq, ERR_UPSTREAM_UNREACHABLE, "upstream; scheme");
    if (!gw_headers_up(rq))
        return gw_refuse(rq, ERR_TOO_MUCH_MEMORY, "memory");
    if (ask_circuit(rq) != GW_NEXT)
        return GW_REPLY;
    return attempt(rq);
}

static enum gw_next rest(struct gw_request *rq)
{
    const dm_time until =
        gw_now(rq) + gw_retry_delay(&rq->up.retry, rq->up.attempts, dm_random_u64());

    gw_call_cancel(rq);
    rq->up.reached = false; /* that attempt failed, whatever left */
    if (until >= rq->times.deadline)
        return gw_refuse(rq, ERR_UPSTREAM_TIMEOUT, "upstream; budget");
    gw_metrics_count(&rq->worker->metrics, GW_COUNT_RETRY);
    rq->up.state = GW_UP_RESTING;
    return gw_wait(rq, GW_WAIT_BACKOFF, until);
}

static enum gw_next fail(struct gw_request *rq)
{
    DM_LOG(DM_LOG_DEBUG, rq->x->request_id, "upstream attempt failed",
           DM_F("api", rq->route.api->nv), DM_F("upstream", rq->up.server->key),
           DM_FC("why", rq->up.end.why), DM_FI("attempts", rq->up.attempts));
    if (gw_http_timed_out(rq->up.end.end))
        return gw_refuse(rq, ERR_UPSTREAM_TIMEOUT, "upstream; timeout");
    return gw_refuse(rq, ERR_UPSTREAM_UNREACHABLE, "upstream; unreachable");
}

/* Any status after the last attempt is an answer like another (R1). */
static enum gw_next judge(struct gw_request *rq)
{
    const struct gw_attempt a = {
        .answered = rq->up.got_head,
        .status = rq->up.status,
        .end = rq->up.end.end,
        .sent_any = rq->up.got_head || rq->up.end.sent_any,
        .body_gone = rq->up.uploaded_any,
    };

    DM_ASSERT(rq->up.got_head || rq->up.ended);
    report(rq, !gw_attempt_failed(&a));
    if (gw_retry_allowed(&rq->up.retry, rq->up.attempts, &a))
        return rest(rq);
    rq->times.backend = gw_now(rq) - rq->times.forwarded;
    if (a.answered && a.status < 500) /* as soon as it is known: a stream may outlast the hold */
        gw_credits_settle(rq, true);
    return a.answered ? GW_NEXT : fail(rq);
}

/* Reads everything before it. Writes up, times. Waits for the upstream and between attempts. */
enum gw_next step_forward(struct gw_request *rq)
{
    switch (rq->up.state) {
    case GW_UP_NEW:
        return rq->route.fixed != NULL ? rq->route.fixed->answer(rq) : begin(rq);
    case GW_UP_CALLING:
        return rq->up.upload == GW_UPLOAD_OVER ? gw_refuse_body(rq) : judge(rq);
    case GW_UP_RESTING:
        return attempt(rq);
    }
    DM_UNREACHABLE();
}

/* One credit, reserved before the call and settled after it (O1): the key first, which costs
 * nothing to look for, then one round trip. Without the store credits always deny (R4). */
#include "base/assert.h"
#include "gateway/limit/credits.h"
#include "gateway/pipeline.h"
#include "gateway/worker.h"

static void store_answered(struct dm_live_wait *wait, enum dm_reserve_verdict verdict)
{
    struct gw_request *rq = DM_CONTAINER_OF(wait, struct gw_request, credit.wait);

    rq->credit.state = GW_CREDIT_ANSWERED;
    rq->credit.verdict = verdict;
    gw_request_resume(rq->worker, rq->handle, GW_WAIT_RESERVE);
}

static enum gw_next ask(struct gw_request *rq)
{
    const dm_time until = gw_now(rq) + gw_settings(rq)->redis_admission_timeout_ms * DM_MS;

    dm_random_uuid(rq->credit.id); /* the request's own id may be a client's */
    const struct dm_reserve_ask question = {
        .group = rq->route.api->credit_group,
        .subject = rq->who.user->username,
        .id = dm_view_of(rq->credit.id),
        .hold = gw_credits_hold(rq),
    };
    rq->credit.state = GW_CREDIT_ASKED;
    dm_live_ask_reserve(rq->worker->live, &question, until, &rq->credit.wait, store_answered);
    return gw_wait(rq, GW_WAIT_RESERVE, until);
}

static enum gw_next begin(struct gw_request *rq)
{
    if (!gw_credits_apply(rq))
        return GW_NEXT;
    if (!rq->who.verified || rq->who.user == NULL)
        return gw_refuse(rq, gw_credits_nobody(rq), "credits; anonymous");
    if (!gw_credits_find_key(rq))
        return gw_refuse(rq, ERR_UPSTREAM_CREDENTIAL, "credits; key");
    if (rq->route.api->credit_group.len == 0)
        return gw_refuse(rq, ERR_NO_CREDITS, "credits; no group");
    return ask(rq);
}

static enum gw_next answered(struct gw_request *rq)
{
    switch (rq->credit.verdict) {
    case DM_RESERVE_YES:
        rq->credit.state = GW_CREDIT_HELD;
        return GW_NEXT;
    case DM_RESERVE_NONE:
        rq->credit.state = GW_CREDIT_NONE;
        return gw_refuse(rq, ERR_NO_CREDITS, "credits");
    case DM_RESERVE_UNKNOWN: /* perhaps taken */
        gw_credits_cancel(rq);
        return gw_refuse(rq, ERR_STORE_LIVE_AWAY, "credits; store");
    case DM_RESERVE_AWAY:
        rq->credit.state = GW_CREDIT_NONE;
        return gw_refuse(rq, ERR_STORE_LIVE_AWAY, "credits; store");
    }
    DM_UNREACHABLE();
}

/* Reads route, who, limit, body. Writes credit. Waits on the live store. */
enum gw_next step_reserve(struct gw_request *rq)
{
    switch (rq->credit.state) {
    case GW_CREDIT_NONE:
        return begin(rq);
    case GW_CREDIT_ASKED: /* late */
        gw_credits_cancel(rq);
        return gw_refuse(rq, ERR_STORE_LIVE_AWAY, "credits; store");
    case GW_CREDIT_ANSWERED:
        return answered(rq);
    case GW_CREDIT_HELD:
        break;
    }
    DM_UNREACHABLE();
}

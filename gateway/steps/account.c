/* After the last byte, whatever became of the request: counters, bandwidth, the access line. */
#include "gateway/access_log.h"
#include "gateway/limit/credits.h"
#include "gateway/pipeline.h"
#include "gateway/upstream/call.h"
#include "gateway/worker.h"

enum { CLIENT_GONE = 499 }; /* nobody saw a status: the code nginx gave this case */

/* What the client got; where it left before that, what the carrier answers, or nobody saw. */
static int status_of(const struct gw_request *rq)
{
    if (rq->x->status != 0)
        return rq->x->status;
    return rq->why == DM_GONE_DEADLINE ? 408 : rq->why == DM_GONE_PROTOCOL ? 400 : CLIENT_GONE;
}

/* Bytes of an admitted call of a known user, where a limit watches them (gateway.md §25.3). */
static void add_bandwidth(struct gw_request *rq)
{
    const struct dm_policy_user *user = rq->who.user;

    if (rq->limit.admitted && rq->who.verified && user != NULL && user->bandwidth.enabled)
        dm_live_add_bandwidth(rq->worker->live, user->username, user->bandwidth.window_seconds,
                              (int64_t)(rq->x->bytes_in + rq->x->bytes_out));
}

/* Reads all. Never waits. The exchange is valid until here, no longer. */
enum gw_next step_account(struct gw_request *rq)
{
    const int status = status_of(rq);
    const dm_time took = gw_now(rq) - rq->x->started;

    gw_call_cancel(rq);
    gw_credits_finish(rq);
    if (rq->up.probe) /* taken, never reported: the next call may probe */
        gw_breaker_release(&gw_worker_slot(rq->worker, rq->route.api->slot)->breaker);
    add_bandwidth(rq);
    gw_metrics_request(&rq->worker->metrics, status, took);
    gw_access_log(rq, status, took);
    if (rq->out.cut)
        dm_exchange_abort(rq->x);
    return GW_NEXT;
}

/* After the last byte, whatever became of the request: counters, bandwidth, the access line. */
#include "gateway/access_log.h"
#include "gateway/pipeline.h"
#include "gateway/upstream/call.h"
#include "gateway/worker.h"

enum { CLIENT_GONE = 499 }; /* nobody saw a status: the code nginx gave this case */

/* Bytes of an admitted call of a known user, where a limit watches them (gateway.md §10.3, §25.3). */
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
    const int status = rq->x->status != 0 ? rq->x->status : CLIENT_GONE;
    const dm_time took = gw_now(rq) - rq->x->started;

    gw_call_cancel(rq);
    if (rq->up.probe) /* taken, never reported: the next call may probe */
        gw_breaker_release(&gw_worker_slot(rq->worker, rq->route.api->slot)->breaker);
    add_bandwidth(rq);
    gw_metrics_request(&rq->worker->metrics, status, took);
    gw_access_log(rq, status, took);
    if (rq->out.cut)
        dm_exchange_abort(rq->x);
    return GW_NEXT;
}

/* After the last byte, whatever became of the request: counters, bandwidth, the access line. */
#include "gateway/access_log.h"
#include "gateway/limit/credits.h"
#include "gateway/pipeline.h"
#include "gateway/protocols/protocol.h"
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

static bool marked(dm_view value)
{
    static const dm_view yes[] = {DM_LIT("1"), DM_LIT("true"), DM_LIT("yes"), DM_LIT("on")};

    for (size_t i = 0; value.len > 0 && i < DM_COUNT_OF(yes); i++) {
        if (dm_view_eq_nocase(value, yes[i]))
            return true;
    }
    return false;
}

/* Only ever raises a figure of its own: whoever calls can set these. */
static bool is_test(const struct gw_request *rq)
{
    const struct dm_fields *fields = &rq->x->head.fields;

    return gw_settings(rq)->allow_test_markers &&
           (marked(gw_field(rq, DM_HDR_X_IS_TEST)) ||
            marked(dm_fields_get_name(fields, DM_LIT("X-Doorman-Test"))) ||
            marked(dm_fields_get_name(fields, DM_LIT("X-Test-Request"))));
}

/* Each call of the four protocols once (operations.md §8.2); paths of our own are none. */
static void count_for_admin(struct gw_request *rq, int status, dm_time took)
{
    const struct dm_settings *s = gw_settings(rq);
    const struct dm_policy_api *api = rq->route.api;
    struct gw_tally_call call = {.status = status,
                                 .refusal = rq->out.refusal,
                                 .took = took,
                                 .bytes_in = rq->x->bytes_in,
                                 .bytes_out = rq->x->bytes_out};

    if (!s->metrics_enabled || rq->in.proto == NULL || rq->route.fixed != NULL)
        return;
    call.protocol = rq->in.proto->prefix;
    if (api != NULL) {
        call.api = api->nv;
        call.api_slot = api->slot;
    }
    if (rq->who.verified)
        call.user = rq->who.claims.sub;
    call.test = is_test(rq);
    call.upstream_timeout = rq->out.refusal == ERR_UPSTREAM_TIMEOUT;
    call.retries = rq->up.attempts > 1 ? rq->up.attempts - 1 : 0;
    gw_tally_add(rq->worker->tally, &call, s->metrics_flush_ms * DM_MS);
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
    count_for_admin(rq, status, took);
    gw_access_log(rq, status, took);
    if (rq->out.cut)
        dm_exchange_abort(rq->x);
    return GW_NEXT;
}

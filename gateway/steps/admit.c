/* One question to the live store: is the token revoked, and, only if the verdict allows, do the
 * counters pass. Refused calls spend nothing (O17, O20); without the store the policy's own mode
 * decides (R4). */
#include "base/assert.h"
#include "gateway/audit.h"
#include "gateway/fixed.h"
#include "gateway/limit/counters.h"
#include "gateway/pipeline.h"
#include "gateway/worker.h"

static void store_answered(struct dm_live_wait *wait, const struct dm_admit_answer *a)
{
    struct gw_request *rq = DM_CONTAINER_OF(wait, struct gw_request, limit.wait);

    rq->limit.state = GW_LIMIT_ANSWERED;
    rq->figures.answer = *a;
    gw_request_resume(rq->worker, rq->handle, GW_WAIT_ADMISSION);
}

static enum gw_next ask(struct gw_request *rq)
{
    const struct dm_settings *s = gw_settings(rq);
    const dm_time until = gw_now(rq) + s->redis_admission_timeout_ms * DM_MS;
    const bool count =
        rq->permit.refusal == ERR_NONE && rq->route.guarded && rq->route.fixed == NULL;
    struct gw_limit *limit = &rq->limit;

    if (count)
        limit->n_counters = gw_counters_of(rq->who.user, rq->x->head.length,
                                           s->throttle_max_wait_seconds, rq->figures.counters);
    const struct dm_admit_ask question = {
        .subject = rq->who.claims.sub,
        .jti = rq->who.claims.jti,
        .count = count,
        .counters = rq->figures.counters,
        .n_counters = limit->n_counters,
    };
    limit->state = GW_LIMIT_ASKED;
    if (limit->n_counters > 0)
        gw_metrics_count(&rq->worker->metrics, GW_COUNT_LIMIT_CHECK);
    dm_live_ask_admit(rq->worker->live, &question, until, &limit->wait, store_answered);
    return gw_wait(rq, GW_WAIT_ADMISSION, until);
}

/* The verdict kept by permit, now that nothing goes before it. */
static enum gw_next speak(struct gw_request *rq)
{
    if (rq->permit.refusal != ERR_NONE)
        return gw_refuse(rq, rq->permit.refusal, rq->permit.reason);
    rq->limit.admitted = true;
    return GW_NEXT;
}

static enum gw_next revoked(struct gw_request *rq)
{
    gw_metrics_count(&rq->worker->metrics, GW_COUNT_AUTH_REVOKED);
    gw_audit_revoked_token(rq);
    if (rq->route.guarded)
        return gw_refuse(rq, rq->route.fixed != NULL ? ERR_STATUS_UNAUTHORIZED : ERR_UNAUTHORIZED,
                         "token");
    rq->who.verified = false; /* a public API serves them as nobody */
    return speak(rq);
}

static enum gw_next over(struct gw_request *rq)
{
    static const struct {
        enum dm_err err;
        const char *reason;
    } refusals[] = {
        [DM_COUNTER_RATE] = {ERR_RATE_LIMITED, "rate limit; user"},
        [DM_COUNTER_THROTTLE] = {ERR_THROTTLED, "throttle; user"},
        [DM_COUNTER_BANDWIDTH] = {ERR_BANDWIDTH, "bandwidth; user"},
    };
    const struct dm_admit_answer *a = &rq->figures.answer;
    const size_t by = a->refused_by;

    DM_REQUIRE(by < rq->limit.n_counters);
    const struct dm_counter_ask *counter = &rq->figures.counters[by];
    rq->out.limit = counter;
    rq->out.remaining = gw_counters_remaining(counter, a->count[by]);
    rq->out.reset_wall = a->reset_wall[by];
    rq->out.retry_after = gw_counters_retry_after(a->reset_wall[by], a->now_wall);
    gw_metrics_count(&rq->worker->metrics, GW_COUNT_LIMITED_RATE + counter->kind);
    return gw_refuse(rq, refusals[counter->kind].err, refusals[counter->kind].reason);
}

static enum gw_next delay(struct gw_request *rq)
{
    const dm_time wait = rq->limit.n_counters == 0
                             ? 0
                             : gw_counters_delay(rq->who.user, rq->figures.counters,
                                                 rq->limit.n_counters, &rq->figures.answer);

    if (wait == 0)
        return speak(rq);
    rq->limit.state = GW_LIMIT_DELAYED;
    return gw_wait(rq, GW_WAIT_THROTTLE, gw_now(rq) + wait);
}

/* LIMIT_ON_STORE_DOWN=local: this replica's share of every limit, counted in this process. */
static enum gw_next alone(struct gw_request *rq, unsigned peers)
{
    struct gw_figures *f = &rq->figures;
    const struct dm_admit_ask ask = {.subject = rq->who.claims.sub,
                                     .jti = rq->who.claims.jti,
                                     .count = true,
                                     .counters = f->counters,
                                     .n_counters = rq->limit.n_counters};

    gw_counters_share(f->counters, rq->limit.n_counters, peers);
    dm_live_admit_alone(rq->worker->live, &ask, &f->answer);
    switch (f->answer.verdict) {
    case DM_ADMIT_YES:
        return delay(rq);
    case DM_ADMIT_OVER:
        return over(rq);
    case DM_ADMIT_REVOKED: /* not asked: only a name that no store could hold */
    case DM_ADMIT_UNKNOWN:
        break;
    }
    return gw_refuse(rq, ERR_STORE_LIVE_AWAY, "limits; store");
}

static enum gw_next limits_without_store(struct gw_request *rq, unsigned peers)
{
    const struct dm_policy_api *api = rq->route.api;
    const int mode = api != NULL && api->limit_on_store_down >= 0
                         ? api->limit_on_store_down
                         : gw_settings(rq)->limit_on_store_down;

    gw_metrics_count(&rq->worker->metrics, GW_COUNT_STORE_DOWN_DENY + mode);
    switch (mode) {
    case DM_LIMIT_ON_STORE_DOWN_ALLOW:
        gw_metrics_count(&rq->worker->metrics, GW_COUNT_FAILOPEN);
        return speak(rq);
    case DM_LIMIT_ON_STORE_DOWN_LOCAL:
        return alone(rq, peers);
    default:
        return gw_refuse(rq, ERR_STORE_LIVE_AWAY, "limits; store");
    }
}

/* Revocation is decided before the limits: the mirror speaks while it is young enough (or
 * fail-open was chosen); past that 503, whatever the limits' mode says, also to those it holds for
 * revoked: that may have been taken back. */
static enum gw_next without_store(struct gw_request *rq)
{
    const struct dm_settings *s = gw_settings(rq);
    struct dm_live_outlook outlook;

    dm_live_look(rq->worker->live, rq->who.claims.sub, rq->who.claims.jti, &outlook);
    if (outlook.mirror_age > s->revocation_max_stale * DM_SEC &&
        s->revocation_fail_mode != DM_REVOCATION_FAIL_MODE_OPEN) {
        if (rq->route.guarded)
            return gw_refuse(rq, ERR_STORE_LIVE_AWAY, "revocation");
        rq->who.verified = false; /* a public API serves them as nobody */
        return speak(rq);
    }
    if (outlook.revoked)
        return revoked(rq);
    if (rq->permit.refusal != ERR_NONE || rq->limit.n_counters == 0)
        return speak(rq);
    return limits_without_store(rq, outlook.peers);
}

/* Reads who, route, permit. Writes limit. Waits on the live store, and for a throttle's delay. */
enum gw_next step_admit(struct gw_request *rq)
{
    switch (rq->limit.state) {
    case GW_LIMIT_UNASKED:
        return rq->who.verified ? ask(rq) : speak(rq);
    case GW_LIMIT_ASKED: /* late */
        dm_live_cancel(rq->worker->live, &rq->limit.wait);
        rq->limit.state = GW_LIMIT_ANSWERED;
        rq->figures.answer.verdict = DM_ADMIT_UNKNOWN;
        break;
    case GW_LIMIT_ANSWERED:
        break;
    case GW_LIMIT_DELAYED:
        return speak(rq);
    }
    switch (rq->figures.answer.verdict) {
    case DM_ADMIT_YES:
        return delay(rq);
    case DM_ADMIT_REVOKED:
        return revoked(rq);
    case DM_ADMIT_OVER:
        return over(rq);
    case DM_ADMIT_UNKNOWN:
        return without_store(rq);
    }
    DM_UNREACHABLE();
}

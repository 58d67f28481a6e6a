#include "gateway/limit/credits.h"

#include "base/log.h"
#include "crypto/sealed.h"
#include "gateway/protocols/protocol.h"
#include "gateway/upstream/retry.h"
#include "gateway/worker.h"
#include "io/http_guard.h"

/* Beyond the waits that have limits: turns of the loop, sending of what is small. */
static const dm_time MARGIN = 30 * DM_SEC;
/* Of a streamed body where CLIENT_BODY_DEADLINE_SECONDS is off: a hold must end some time. */
static const dm_time UPLOAD_MAX = 3600 * DM_SEC;

bool gw_credits_apply(const struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;

    return api != NULL && rq->route.fixed == NULL && api->credits_enabled && !api->is_public &&
           (!api->is_crud || rq->in.proto->crud_costs_credit);
}

enum dm_err gw_credits_nobody(const struct gw_request *rq)
{
    const bool untold =
        (rq->who.asked && rq->who.user == NULL && rq->who.found != DM_NOT_FOUND) ||
        (rq->limit.state == GW_LIMIT_ANSWERED && rq->figures.answer.verdict == DM_ADMIT_UNKNOWN);

    return untold ? ERR_STORE_LIVE_AWAY : ERR_NO_CREDITS;
}

/* --- the key --- */

static void tell_no_definition(struct gw_request *rq)
{
    struct gw_worker *w = rq->worker;
    const dm_time now = gw_now(rq);

    gw_metrics_count(&w->metrics, GW_COUNT_CREDIT_NO_DEFINITION);
    if (w->told_no_definition != 0 && now - w->told_no_definition < DM_SEC)
        return;
    w->told_no_definition = now;
    DM_LOG(DM_LOG_WARNING, rq->x->request_id, "credits.no_definition",
           DM_F("group", rq->route.api->credit_group), DM_F("api", rq->route.api->nv));
}

static enum dm_code open_key(struct gw_request *rq, dm_view stored)
{
    struct dm_buf *plain = &rq->worker->scratch;

    dm_buf_clear(plain);
    enum dm_code rc = dm_unseal(rq->worker->sealing, stored, plain);
    if (rc != DM_OK)
        return rc;
    /* It becomes a field: what would end the line must not get there. */
    if (!dm_http_value_ok(dm_buf_view(plain)) || dm_view_trim(dm_buf_view(plain)).len == 0)
        return DM_INVALID;
    rq->credit.key = dm_arena_copy(rq->x->arena, dm_buf_view(plain));
    return rq->credit.key.ptr != NULL ? DM_OK : DM_LIMIT;
}

bool gw_credits_find_key(struct gw_request *rq)
{
    const struct dm_policy_credit *def =
        dm_policy_credit(gw_policy(rq), rq->route.api->credit_group);
    enum dm_code rc = DM_INVALID;

    if (def == NULL) { /* without one nobody knows the header, whosever the key */
        tell_no_definition(rq);
        return true;
    }
    const dm_view own = dm_policy_user_key(rq->who.user, def->group);
    if (dm_header_may_inject(def->header))
        rc = open_key(rq, own.ptr != NULL ? own : def->key);
    if (rc != DM_OK) {
        gw_metrics_count(&rq->worker->metrics, GW_COUNT_CREDIT_NO_KEY);
        DM_LOG(DM_LOG_ERROR, rq->x->request_id, "credits.no_key", DM_F("group", def->group),
               DM_FC("whose", own.ptr != NULL ? "user" : "group"));
        return false;
    }
    rq->credit.header = def->header;
    return true;
}

/* --- the reservation --- */

static dm_time longer(dm_time of_api, dm_time of_settings)
{
    return of_api > 0 ? of_api : of_settings;
}

dm_time gw_credits_hold(const struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;
    const struct dm_settings *s = gw_settings(rq);
    const struct gw_retry_rule rule = gw_retry_rule(api, s, true, true);
    dm_time hold = MARGIN;

    if (s->gateway_timeout > 0)
        return hold + s->gateway_timeout;
    hold += rule.attempts * (longer(api->pool_timeout, s->http_timeout) +
                             longer(api->connect_timeout, s->http_connect_timeout) +
                             longer(api->write_timeout, s->http_write_timeout) +
                             longer(api->read_timeout, s->http_read_timeout) + rule.cap);
    if (rq->body.form == GW_BODY_STREAM)
        hold += s->client_body_deadline_seconds > 0 ? s->client_body_deadline_seconds : UPLOAD_MAX;
    return hold;
}

static void settle(struct gw_request *rq, bool spent)
{
    dm_live_settle(rq->worker->live, rq->route.api->credit_group, rq->who.user->username,
                   dm_view_of(rq->credit.id), spent);
}

void gw_credits_settle(struct gw_request *rq, bool spent)
{
    if (rq->credit.state != GW_CREDIT_HELD)
        return;
    rq->credit.state = GW_CREDIT_NONE;
    settle(rq, spent);
    if (spent)
        gw_metrics_credit(&rq->worker->metrics, rq->route.api->credit_group);
}

void gw_credits_cancel(struct gw_request *rq)
{
    dm_live_cancel(rq->worker->live, &rq->credit.wait);
    rq->credit.state = GW_CREDIT_NONE;
    settle(rq, false);
}

void gw_credits_finish(struct gw_request *rq)
{
    const bool left = rq->gone && rq->why != DM_GONE_DRAIN && rq->out.refusal == ERR_NONE;

    gw_credits_settle(rq, left && rq->up.reached && !rq->up.got_head);
}

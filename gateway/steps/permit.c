/* May they, by what this process knows: subscription, group, role, an active API with a server. The
 * verdict is kept, not spoken: a revoked token answers 401 before a local 403 (O20). */
#include "gateway/fixed.h"
#include "gateway/limit/credits.h"
#include "gateway/pipeline.h"
#include "gateway/upstream/balance.h"
#include "gateway/worker.h"

static void keep(struct gw_request *rq, enum dm_err refusal, const char *reason)
{
    rq->permit.refusal = refusal;
    rq->permit.reason = reason;
}

/* A role may make an administrator, and so do two names, even without a record (gateway.md §9). */
static bool is_admin(const struct gw_request *rq)
{
    const dm_view name = rq->who.user->role;
    const struct dm_policy_role *role = dm_policy_role(gw_policy(rq), name);

    return (role != NULL && role->platform_admin) || dm_view_eq_nocase(name, DM_LIT("admin")) ||
           dm_view_eq_nocase(name, DM_LIT("platform admin"));
}

static bool subscribed(const struct gw_request *rq)
{
    return dm_strs_has(&rq->who.user->apis, rq->route.api->nv) ||
           (!gw_settings(rq)->enforce_admin_subscription && is_admin(rq));
}

static bool shares_group(const struct dm_policy_user *user, const struct dm_policy_api *api)
{
    for (size_t i = 0; i < user->groups.count; i++)
        if (dm_strs_has(&api->groups, user->groups.items[i]))
            return true;
    return false;
}

static void judge_caller(struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;

    if (!subscribed(rq))
        keep(rq, ERR_NOT_SUBSCRIBED, "subscription");
    else if (!shares_group(rq->who.user, api))
        keep(rq, ERR_WRONG_GROUP, "group");
    else if (api->roles.count > 0 && !dm_strs_has(&api->roles, rq->who.user->role))
        keep(rq, ERR_ROLE_NOT_ALLOWED, "role");
}

static void judge_api(struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;

    rq->permit.pool = gw_balance_pool(rq);
    if (!api->active)
        keep(rq, ERR_API_DISABLED, "api; disabled");
    else if (rq->permit.pool == NULL && !api->is_crud)
        keep(rq, ERR_NO_SERVERS, "servers");
}

static void judge_fixed(struct gw_request *rq)
{
    const struct dm_policy_role *role = dm_policy_role(gw_policy(rq), rq->who.user->role);

    if (role == NULL || !role->manage_gateway)
        keep(rq, ERR_STATUS_FORBIDDEN, "permission");
}

/* Reads route, who. Writes permit. Never waits. */
enum gw_next step_permit(struct gw_request *rq)
{
    if (rq->route.fixed != NULL) {
        judge_fixed(rq);
        return GW_NEXT;
    }
    if (rq->route.guarded)
        judge_caller(rq);
    else if (gw_credits_apply(rq) && !rq->who.verified)
        keep(rq, gw_credits_nobody(rq), "credits; anonymous"); /* O1 */
    if (rq->permit.refusal == ERR_NONE)
        judge_api(rq);
    return GW_NEXT;
}

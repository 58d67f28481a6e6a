/* Who calls: the cookie's token, else the header's, else nobody (gateway.md §8). Verifies what
 * needs no store and fetches the user on first use; whether the token was revoked is asked at
 * admission. */
#include "base/assert.h"
#include "gateway/audit.h"
#include "gateway/pipeline.h"
#include "gateway/worker.h"
#include "io/http_guard.h"

static const dm_view ACCESS_COOKIE = DM_LIT("access_token_cookie");

static bool find_cookie(const struct dm_fields *fields, dm_view name, dm_view *ret_value)
{
    for (size_t i = 0; i < fields->count; i++) {
        dm_view rest = fields->items[i].value, pair;
        if (fields->items[i].id != DM_HDR_COOKIE)
            continue;
        while (dm_view_split(&rest, ';', &pair)) {
            pair = dm_view_trim(pair);
            if (pair.len > name.len && pair.ptr[name.len] == '=' && dm_view_starts(pair, name)) {
                *ret_value = dm_view_sub(pair, name.len + 1, SIZE_MAX);
                return true;
            }
        }
    }
    return false;
}

/* "Bearer <token>" or the bare token: one word or exactly two. */
static dm_view header_token(dm_view value)
{
    dm_view word, rest = dm_view_trim(value);

    if (rest.len == 0)
        return DM_VIEW_NONE;
    const size_t blank = dm_view_find_byte(rest, ' ', 0);
    if (blank == rest.len)
        return rest;
    word = dm_view_sub(rest, 0, blank);
    rest = dm_view_trim(dm_view_sub(rest, blank, SIZE_MAX));
    if (!dm_view_eq_nocase(word, DM_LIT("Bearer")) || dm_view_find_byte(rest, ' ', 0) != rest.len)
        return DM_VIEW_NONE;
    return rest;
}

/* A cookie is final: a bad one is not rescued by a good header (§8.2). */
static dm_view take_credential(struct gw_request *rq)
{
    dm_view token;

    if (find_cookie(&rq->x->head.fields, ACCESS_COOKIE, &token)) {
        rq->who.credential = GW_CREDENTIAL_COOKIE;
        return token;
    }
    token = header_token(gw_field(rq, DM_HDR_AUTHORIZATION));
    if (token.len > 0)
        rq->who.credential = GW_CREDENTIAL_HEADER;
    return token;
}

static enum gw_next refuse(struct gw_request *rq, enum gw_count count)
{
    gw_metrics_count(&rq->worker->metrics, count);
    return gw_refuse(rq, rq->route.fixed != NULL ? ERR_STATUS_UNAUTHORIZED : ERR_UNAUTHORIZED,
                     "token");
}

/* Nobody is somebody too where the API asks for no one. */
static enum gw_next nobody(struct gw_request *rq, enum gw_count count)
{
    rq->who.verified = false;
    return rq->route.guarded ? refuse(rq, count) : GW_NEXT;
}

static enum dm_jwt_fault verify(struct gw_request *rq, dm_view token)
{
    struct gw_worker *w = rq->worker;

    gw_metrics_count(&w->metrics, GW_COUNT_TOKEN_CHECK);
    const enum dm_jwt_fault fault =
        dm_jwt_cache_verify(w->tokens, rq->world->keyset, token, DM_JWT_ACCESS,
                            dm_loop_wall(w->loop), rq->x->arena, &rq->who.claims);
    if (fault == DM_JWT_OK && !dm_http_value_ok(rq->who.claims.sub))
        return DM_JWT_BAD_CLAIMS; /* it becomes a field of the upstream's request */
    return fault;
}

static void principal_known(struct gw_principals_wait *wait, enum dm_code code)
{
    struct gw_request *rq = DM_CONTAINER_OF(wait, struct gw_request, who.wait);

    rq->who.answered = true;
    rq->who.found = code;
    gw_request_resume(rq->worker, rq->handle, GW_WAIT_PRINCIPAL);
}

static enum gw_next ask_for_user(struct gw_request *rq)
{
    const dm_time until = gw_now(rq) + gw_settings(rq)->redis_admission_timeout_ms * DM_MS;

    rq->who.asked = true;
    gw_principals_ask(rq->worker->principals, rq->who.claims.sub, until, &rq->who.wait,
                      principal_known);
    return gw_wait(rq, GW_WAIT_PRINCIPAL, until);
}

static enum gw_next without_user(struct gw_request *rq)
{
    if (rq->wait.late)
        gw_principals_cancel(rq->worker->principals, &rq->who.wait);
    if (rq->who.answered && rq->who.found == DM_NOT_FOUND)
        return nobody(rq, GW_COUNT_AUTH_UNKNOWN_USER);
    if (rq->route.guarded)
        return gw_refuse(rq, ERR_STORE_LIVE_AWAY, "user");
    rq->who.verified = false; /* a public API goes on without knowing who */
    return GW_NEXT;
}

/* Reads route. Writes who. May wait for the user's record on its first use in this process. */
enum gw_next step_identify(struct gw_request *rq)
{
    if (!rq->who.verified) {
        const dm_view token = take_credential(rq);
        if (token.len == 0)
            return nobody(rq, GW_COUNT_AUTH_MISSING);
        const enum dm_jwt_fault fault = verify(rq, token);
        if (fault == DM_JWT_NO_ROOM)
            return gw_refuse(rq, ERR_TOO_MUCH_MEMORY, "memory");
        if (fault == DM_JWT_BAD_SIGNATURE)
            gw_audit_watch(rq, DM_WATCH_BAD_SIGNATURE, gw_client(rq));
        if (fault != DM_JWT_OK)
            return nobody(rq, GW_COUNT_AUTH_FAULT_FIRST + (fault - DM_JWT_MALFORMED));
        rq->who.verified = true;
    }
    struct dm_policy_user *user = gw_principals_get(rq->worker->principals, rq->who.claims.sub);
    if (user == NULL)
        return rq->who.asked ? without_user(rq) : ask_for_user(rq);
    rq->who.user = dm_policy_user_ref(user);
    return user->active ? GW_NEXT : nobody(rq, GW_COUNT_AUTH_INACTIVE);
}

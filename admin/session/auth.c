#include "admin/session/auth.h"

#include "admin/app.h"
#include "admin/audit.h"
#include "admin/services/lookup.h"
#include "admin/session/tokens.h"
#include "base/log.h"
#include "crypto/equal.h"

dm_view adm_cookie(struct adm_call *c, dm_view name)
{
    for (size_t i = 0; i < c->rq->fields->count; i++) {
        dm_view rest, pair;

        if (c->rq->fields->items[i].id != DM_HDR_COOKIE)
            continue;
        rest = c->rq->fields->items[i].value;
        while (rest.ptr != NULL && dm_view_split(&rest, ';', &pair)) {
            size_t eq;

            pair = dm_view_trim(pair);
            eq = dm_view_find_byte(pair, '=', 0);
            if (eq < pair.len && dm_view_eq(dm_view_sub(pair, 0, eq), name))
                return dm_view_sub(pair, eq + 1, pair.len);
        }
    }
    return DM_VIEW_NONE;
}

/* "Bearer <t>" (any case) or a bare "<t>"; anything with more parts is no token (§5.1). */
static dm_view header_token(dm_view value)
{
    size_t blank;

    value = dm_view_trim(value);
    blank = dm_view_find_byte(value, ' ', 0);
    if (blank == value.len)
        return value;
    if (!dm_view_eq_nocase(dm_view_sub(value, 0, blank), DM_LIT("Bearer")))
        return DM_VIEW_NONE;
    value = dm_view_trim(dm_view_sub(value, blank, value.len));
    return dm_view_find_byte(value, ' ', 0) == value.len ? value : DM_VIEW_NONE;
}

static dm_view find_token(struct adm_call *c, enum dm_jwt_use use)
{
    dm_view token = adm_cookie(c, DM_LIT("access_token_cookie"));

    c->caller.from_cookie = true;
    if (token.len > 0)
        return token; /* final: a bad cookie is not rescued by a good header */
    if (use != DM_JWT_ACCESS) {
        token = adm_cookie(c, DM_LIT("refresh_token_cookie"));
        if (token.len > 0)
            return token;
    }
    c->caller.from_cookie = false;
    return header_token(dm_fields_get(c->rq->fields, DM_HDR_AUTHORIZATION));
}

static enum adm_auth_outcome store_away(struct adm_call *c, const struct dm_error *err)
{
    adm_fail_store(c, err);
    return ADM_AUTH_ANSWERED;
}

/* The user's current record and role decide, never the token's claims (§6.1). */
static enum adm_auth_outcome load_caller(struct adm_call *c, dm_view username)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *role = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_user(c->app, username, &user, &err);

    if (rc == DM_NOT_FOUND)
        return ADM_AUTH_UNAUTHORIZED;
    if (rc != DM_OK)
        return store_away(c, &err);
    if (!dm_json_bool(dm_json_get(user, DM_LIT("active")), true))
        return ADM_AUTH_UNAUTHORIZED;
    c->caller.username =
        dm_arena_copy(c->arena, dm_json_str(dm_json_get(user, DM_LIT("username"))));
    c->caller.role = dm_arena_copy(c->arena, dm_json_str(dm_json_get(user, DM_LIT("role"))));
    c->caller.must_change_password =
        dm_json_bool(dm_json_get(user, DM_LIT("force_password_reset")), false);
    rc = adm_find_role(c->app, c->caller.role, &role, &err);
    if (rc != DM_OK && rc != DM_NOT_FOUND)
        return store_away(c, &err);
    c->caller.permissions = adm_permissions_of(role);
    c->caller.is_admin = adm_role_is_admin(c->caller.role, role);
    return ADM_AUTH_OK;
}

enum adm_auth_outcome adm_authenticate(struct adm_call *c, enum dm_jwt_use use)
{
    struct dm_jwt_claims claims;
    struct dm_error err;
    enum dm_jwt_fault fault;
    bool revoked;
    dm_view token = find_token(c, use);
    enum adm_auth_outcome outcome;

    if (token.len == 0)
        return ADM_AUTH_UNAUTHORIZED;
    fault = dm_jwt_verify(c->keys, token, use, dm_clock_wall(adm_clock(c->app)), c->arena,
                          &claims);
    if (fault == DM_JWT_NO_ROOM) {
        adm_fail_err(c, ERR_TOO_MUCH_MEMORY);
        return ADM_AUTH_ANSWERED;
    }
    if (fault != DM_JWT_OK) {
        if (fault == DM_JWT_BAD_SIGNATURE)
            adm_audit_watch(c, DM_WATCH_BAD_SIGNATURE, dm_address_view(&c->client), DM_VIEW_NONE);
        DM_LOG(DM_LOG_DEBUG, c->rq->request_id, "auth.token.refused",
               DM_FC("reason", dm_jwt_fault_name(fault)));
        return ADM_AUTH_UNAUTHORIZED;
    }
    if (dm_live_is_revoked(adm_live(c->app), claims.sub, claims.jti, &revoked, &err) != DM_OK)
        return store_away(c, &err);
    if (revoked) {
        adm_audit_watch(c, DM_WATCH_REVOKED_TOKEN, claims.sub, claims.sub);
        return ADM_AUTH_UNAUTHORIZED;
    }
    outcome = load_caller(c, claims.sub);
    if (outcome != ADM_AUTH_OK)
        return outcome;
    c->caller.jti = claims.jti;
    c->caller.token_exp = claims.exp;
    if ((c->route->flags & ADM_CSRF_EXEMPT) == 0 && !adm_csrf_ok(c))
        return ADM_AUTH_CSRF;
    return ADM_AUTH_OK;
}

static bool mutates(dm_view method)
{
    return dm_view_eq(method, DM_LIT("POST")) || dm_view_eq(method, DM_LIT("PUT")) ||
           dm_view_eq(method, DM_LIT("PATCH")) || dm_view_eq(method, DM_LIT("DELETE"));
}

bool adm_csrf_ok(struct adm_call *c)
{
    dm_view header, cookie;

    if (!c->settings->secure_mode || !mutates(c->rq->method) || !c->caller.from_cookie)
        return true;
    header = dm_fields_get_name(c->rq->fields, DM_LIT("x-csrf-token"));
    cookie = adm_cookie(c, DM_LIT("csrf_token"));
    return header.len > 0 && dm_equal_secret(header, cookie) &&
           adm_csrf_token_fits(c->app, cookie, c->caller.jti);
}

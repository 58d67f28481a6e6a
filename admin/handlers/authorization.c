/* /platform/authorization: login, registration, refresh, revocation (platform-access.md §8.1). */
#include "admin/app.h"
#include "admin/audit.h"
#include "admin/handlers.h"
#include "admin/router.h"
#include "admin/services/lookup.h"
#include "admin/services/passwords.h"
#include "admin/services/records.h"
#include "admin/services/revocation.h"
#include "admin/session/auth.h"
#include "admin/session/tokens.h"
#include "base/log.h"
#include "crypto/password.h"

/* Login and registration parse their body themselves: AUTH004 and AUTH001 instead of 422. */
static bool credentials(struct adm_call *c, dm_view *ret_email, dm_view *ret_password)
{
    struct dm_error err;

    if (dm_json_parse(c->rq->body, &dm_json_default, &c->body, &err) != DM_OK ||
        !dm_json_is(c->body, DM_JSON_OBJECT)) {
        adm_fail(c, 400, "AUTH004", "Invalid JSON payload");
        return false;
    }
    *ret_email = dm_json_str(dm_json_get(c->body, DM_LIT("email")));
    *ret_password = dm_json_str(dm_json_get(c->body, DM_LIT("password")));
    if (ret_email->len > 0 && ret_password->len > 0)
        return true;
    adm_fail(c, 400, "AUTH001", "Missing email or password");
    return false;
}

static enum dm_code find_login(struct adm_call *c, dm_view email, struct dm_json **ret,
                               struct dm_error *err)
{
    enum dm_code rc = adm_find_user_by_email(c->app, email, ret, err);

    return rc == DM_NOT_FOUND ? adm_find_user(c->app, email, ret, err) : rc;
}

/* A bcrypt hash of the Python Doorman becomes Argon2id (O16). A failure costs nothing but a later
 * try. */
static void rehash(struct adm_call *c, dm_view username, dm_view password)
{
    struct dm_error err;

    if (adm_password_store(c, username, password, &err) != DM_OK)
        DM_LOG(DM_LOG_WARNING, c->rq->request_id, "auth.rehash.failed", DM_FC("reason", err.text));
}

static bool issue(struct adm_call *c, const struct dm_json *user, struct adm_tokens *ret)
{
    dm_view role_name = dm_json_str(dm_json_get(user, DM_LIT("role")));
    DM_DEFER(dm_json_freep) struct dm_json *role = NULL;
    struct dm_error err;
    enum dm_code rc = adm_find_role(c->app, role_name, &role, &err);

    if (rc != DM_OK && rc != DM_NOT_FOUND) {
        adm_fail_store(c, &err);
        return false;
    }
    if (adm_tokens_issue(c, dm_json_str(dm_json_get(user, DM_LIT("username"))), role_name, role,
                         ret) != DM_OK) {
        adm_fail_err(c, ERR_UNEXPECTED);
        return false;
    }
    adm_cookies_set(c, ret);
    return true;
}

static void answer_token(struct adm_call *c, dm_view name, dm_view token)
{
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, name, token);
    adm_ok(c, 200, o);
}

static void failed_login(struct adm_call *c, const struct dm_json *user)
{
    dm_view username = dm_json_str(dm_json_get(user, DM_LIT("username")));

    adm_audit_watch(c, DM_WATCH_FAILED_LOGIN, username, username);
}

void adm_auth_login(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    dm_view email, password, username;
    struct adm_tokens tokens;
    struct dm_error err;
    bool old_hash = false;
    enum dm_code rc;

    if (!credentials(c, &email, &password))
        return;
    adm_audit(c, email, NULL);
    adm_app_wait_seeded(c->app);
    rc = find_login(c, email, &user, &err);
    if (rc != DM_OK && rc != DM_NOT_FOUND) {
        adm_fail_store(c, &err);
        return;
    }
    /* An unknown user costs the same as a wrong password: the empty hash is compared all the same.
     */
    if (!dm_password_verify(password, dm_json_str(dm_json_get(user, DM_LIT("password"))),
                            &old_hash)) {
        if (user != NULL)
            failed_login(c, user);
        adm_fail(c, 400, "AUTH002", "Invalid email or password");
        return;
    }
    if (!dm_json_bool(dm_json_get(user, DM_LIT("active")), true)) {
        adm_fail(c, 400, "AUTH007", "User is not active");
        return;
    }
    username = dm_json_str(dm_json_get(user, DM_LIT("username")));
    c->caller.username = dm_arena_copy(c->arena, username);
    if (old_hash)
        rehash(c, username, password);
    if (issue(c, user, &tokens))
        answer_token(c, DM_LIT("access_token"), tokens.access);
}

/* The body of a user creation from the two values a stranger may choose. */
static struct dm_json *registration(dm_view email, dm_view password)
{
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("username"), dm_view_sub(email, 0, dm_view_find_byte(email, '@', 0)));
    dm_json_set_str(o, DM_LIT("email"), email);
    dm_json_set_str(o, DM_LIT("password"), password);
    dm_json_set_str(o, DM_LIT("role"), DM_LIT("user"));
    return o;
}

void adm_auth_register(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *body = NULL;
    dm_view email, password;
    struct dm_json *doc = NULL;
    struct dm_error err;

    if (!c->settings->allow_self_registration) {
        adm_fail(c, 403, "AUTH900", "Self registration is disabled");
        return;
    }
    if (!credentials(c, &email, &password))
        return;
    adm_audit(c, email, NULL);
    if (!adm_password_strong(password)) {
        adm_fail_weak_password(c);
        return;
    }
    body = registration(email, password);
    if (dm_record_create(&dm_record_user, body, &doc, &err) != DM_OK) {
        adm_fail_invalid(c);
        return;
    }
    adm_user_insert(c, doc);
    dm_json_free(doc);
}

void adm_auth_refresh(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    struct adm_tokens tokens;
    struct dm_error err;

    adm_audit(c, c->caller.username, NULL);
    if (adm_find_user(c->app, c->caller.username, &user, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    if (issue(c, user, &tokens))
        answer_token(c, DM_LIT("refresh_token"), tokens.refresh);
}

void adm_auth_status(struct adm_call *c)
{
    adm_ok_message(c, 200, "Token is valid");
}

void adm_auth_mode(struct adm_call *c)
{
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("auth_mode"), DM_LIT("doorman"));
    adm_ok(c, 200, o);
}

static void revoke_all(struct adm_call *c, dm_view username)
{
    struct dm_error err;

    if (adm_revoke_user(c->app, username, &err) != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_messagef(c, 200, "All tokens revoked for %.*s", DM_FMT(username));
}

/* 403/404 set and false when the caller may not touch this user's tokens. */
static bool target_allowed(struct adm_call *c, dm_view username, bool protect_super)
{
    struct dm_error err;
    bool admin = false;

    if (adm_user_is_admin(c->app, username, &admin, &err) != DM_OK) {
        adm_fail_store(c, &err);
        return false;
    }
    if (admin && !c->caller.is_admin) {
        adm_fail(c, 404, "", "User not found");
        return false;
    }
    if (protect_super && dm_view_eq(username, DM_LIT("admin"))) {
        adm_fail(c, 403, "USR020", "Super admin user cannot be modified");
        return false;
    }
    return true;
}

/* {"username": other} in the body: the effect of admin/revoke, with its permission (C16). */
static void invalidate_other(struct adm_call *c, dm_view username)
{
    c->audit.action = DM_LIT("auth.revoke");
    adm_audit(c, username, NULL);
    if (!adm_csrf_ok(c)) {
        adm_fail_err(c, ERR_CSRF);
        return;
    }
    if (!adm_may(c, ADM_PERM_MANAGE_AUTH)) {
        adm_fail(c, 403, "AUTH900", "You do not have permission to manage auth");
        return;
    }
    if (target_allowed(c, username, true))
        revoke_all(c, username);
}

void adm_auth_invalidate(struct adm_call *c)
{
    struct dm_error err;
    dm_view other;

    if (c->rq->body.len > 0 &&
        dm_json_parse(c->rq->body, &dm_json_default, &c->body, &err) != DM_OK) {
        adm_fail_invalid(c);
        return;
    }
    other = dm_json_str(dm_json_get(c->body, DM_LIT("username")));
    if (other.len > 0 && !adm_self(c, other)) {
        invalidate_other(c, other);
        return;
    }
    adm_audit(c, c->caller.username, NULL);
    if (adm_revoke_token(c->app, c->caller.username, c->caller.jti, c->caller.token_exp, &err) !=
        DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    adm_cookies_clear(c);
    adm_ok_message(c, 200, "Your token has been invalidated");
}

void adm_auth_admin_revoke(struct adm_call *c)
{
    adm_audit(c, c->params[0], NULL);
    if (target_allowed(c, c->params[0], true))
        revoke_all(c, c->params[0]);
}

void adm_auth_admin_unrevoke(struct adm_call *c)
{
    struct dm_error err;

    adm_audit(c, c->params[0], NULL);
    if (!target_allowed(c, c->params[0], false))
        return;
    if (adm_unrevoke_user(c->app, c->params[0], &err) != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_messagef(c, 200, "Token revocation cleared for %.*s", DM_FMT(c->params[0]));
}

/* An unknown user still answers 200: the revocation holds for a later one of that name. */
static bool set_active(struct adm_call *c, dm_view username, bool active)
{
    const struct dm_filter key = DM_WHERE("username", username);
    DM_DEFER(dm_json_freep) struct dm_json *patch = dm_json_new_object();
    struct dm_error err;
    enum dm_code rc;

    dm_json_set_bool(patch, DM_LIT("active"), active);
    rc = adm_record_patch(c, &dm_record_user, &key, 1, patch, NULL, &err);
    if (rc == DM_OK || rc == DM_NOT_FOUND)
        return true;
    adm_fail_store(c, &err);
    return false;
}

void adm_auth_admin_disable(struct adm_call *c)
{
    dm_view username = c->params[0];
    struct dm_error err;

    adm_audit(c, username, NULL);
    if (!target_allowed(c, username, true) || !set_active(c, username, false))
        return;
    if (adm_revoke_user(c->app, username, &err) != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_messagef(c, 200, "User %.*s disabled and tokens revoked", DM_FMT(username));
}

void adm_auth_admin_enable(struct adm_call *c)
{
    dm_view username = c->params[0];
    struct dm_error err;

    adm_audit(c, username, NULL);
    if (!target_allowed(c, username, false) || !set_active(c, username, true))
        return;
    if (adm_unrevoke_user(c->app, username, &err) != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_messagef(c, 200, "User %.*s enabled", DM_FMT(username));
}

void adm_auth_admin_status(struct adm_call *c)
{
    DM_DEFER(dm_json_freep) struct dm_json *user = NULL;
    struct dm_error err;
    struct dm_json *o;
    bool revoked = false;
    enum dm_code rc;

    if (!target_allowed(c, c->params[0], false))
        return;
    rc = adm_find_user(c->app, c->params[0], &user, &err);
    if (rc == DM_NOT_FOUND) {
        adm_fail(c, 404, "USR002", "User not found");
        return;
    }
    if (rc == DM_OK)
        rc = dm_live_is_revoked(adm_live(c->app), c->params[0], DM_VIEW_NONE, &revoked, &err);
    if (rc != DM_OK) {
        adm_fail_store(c, &err);
        return;
    }
    o = dm_json_new_object();
    dm_json_set_bool(o, DM_LIT("active"), dm_json_bool(dm_json_get(user, DM_LIT("active")), true));
    dm_json_set_bool(o, DM_LIT("revoked"), revoked);
    adm_ok(c, 200, o);
}

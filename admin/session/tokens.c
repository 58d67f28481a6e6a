#include "admin/session/tokens.h"

#include "admin/app.h"
#include "codec/base64.h"
#include "crypto/digest.h"
#include "crypto/equal.h"
#include "crypto/jwt.h"
#include "crypto/random.h"

enum {
    TOKEN_CAP = 8192, /* a token of ours is below 2 KB; dm_jwt_verify refuses more anyway */
    CSRF_RANDOM = 16, /* bytes: the 128 bits of §5.4 */
    CSRF_MAC = 16,    /* bytes of the HMAC kept: 128 bits */
    COOKIE_CAP = 4096 /* what browsers keep of one cookie */
};

static int64_t life_seconds(int64_t amount, int unit)
{
    static const int64_t seconds[] = {
        [DM_AUTH_EXPIRE_TIME_FREQ_SECONDS] = 1,    [DM_AUTH_EXPIRE_TIME_FREQ_MINUTES] = 60,
        [DM_AUTH_EXPIRE_TIME_FREQ_HOURS] = 3600,   [DM_AUTH_EXPIRE_TIME_FREQ_DAYS] = 86400,
        [DM_AUTH_EXPIRE_TIME_FREQ_WEEKS] = 604800,
    };

    return amount * seconds[unit];
}

static int64_t access_life(const struct dm_settings *s)
{
    return life_seconds(s->auth_expire_time, s->auth_expire_time_freq);
}

static int64_t refresh_life(const struct dm_settings *s)
{
    return life_seconds(s->auth_refresh_expire_time, s->auth_refresh_expire_freq);
}

static struct dm_json *accesses(const struct dm_json *role)
{
    struct dm_json *o = dm_json_new_object();
    uint32_t bits = adm_permissions_of(role);

    dm_json_set_bool(o, DM_LIT("ui_access"), true);
    for (int p = ADM_PERM_NONE + 1; p < ADM_PERM_COUNT_; p++)
        dm_json_set_bool(o, dm_view_of(adm_permission_name(p)), (bits >> p) & 1U);
    return o;
}

static enum dm_code sign(struct adm_call *c, dm_view username, dm_view role_name,
                         const struct dm_json *role, const char *use, int64_t life,
                         dm_view *ret_jti, dm_view *ret)
{
    const struct dm_key *signer = dm_keyset_signer(c->keys);
    int64_t now = dm_clock_wall(adm_clock(c->app)) / DM_SEC;
    struct dm_json *claims;
    struct dm_buf payload, token;
    char jti[DM_UUID_LEN + 1];
    enum dm_code rc;

    if (signer == NULL)
        return DM_BUG; /* G2 refuses such a start */
    dm_random_uuid(jti);
    claims = dm_json_new_object();
    dm_json_set_str(claims, DM_LIT("sub"), username);
    dm_json_set_str(claims, DM_LIT("role"), role_name);
    dm_json_set_i64(claims, DM_LIT("exp"), now + life);
    dm_json_set_i64(claims, DM_LIT("iat"), now);
    dm_json_set_i64(claims, DM_LIT("nbf"), now);
    dm_json_set_str(claims, DM_LIT("token_use"), dm_view_of(use));
    dm_json_set_str(claims, DM_LIT("jti"), dm_view_of(jti));
    dm_json_set(claims, DM_LIT("accesses"), accesses(role));
    dm_buf_init(&payload, TOKEN_CAP);
    dm_buf_init(&token, TOKEN_CAP);
    dm_json_write(claims, &payload);
    rc = dm_jwt_sign(signer, dm_buf_view(&payload), &token);
    *ret = dm_arena_copy(c->arena, dm_buf_view(&token));
    *ret_jti = dm_arena_copy(c->arena, dm_view_of(jti));
    dm_json_free(claims);
    dm_buf_done(&payload);
    dm_buf_done(&token);
    return rc;
}

/* base64url(random) "." base64url(HMAC(server key, random || jti)): signed double submit, no store.
 */
static void csrf_mac(struct adm_app *app, dm_view random, dm_view jti,
                     unsigned char out[DM_SHA256_LEN])
{
    struct dm_buf text;

    dm_buf_init(&text, COOKIE_CAP);
    dm_buf_add(&text, random);
    dm_buf_add_byte(&text, '.');
    dm_buf_add(&text, jti);
    dm_hmac_sha256(adm_csrf_key(app), dm_buf_view(&text), out);
    dm_buf_done(&text);
}

static dm_view csrf_value(struct adm_call *c, dm_view jti)
{
    unsigned char mac[DM_SHA256_LEN];
    struct dm_buf value;
    dm_view v;

    dm_buf_init(&value, COOKIE_CAP);
    dm_random_token(CSRF_RANDOM, &value);
    csrf_mac(c->app, dm_buf_view(&value), jti, mac);
    dm_buf_add_byte(&value, '.');
    dm_base64url_encode(dm_view_make((const char *)mac, CSRF_MAC), false, &value);
    v = dm_arena_copy(c->arena, dm_buf_view(&value));
    dm_buf_done(&value);
    return v;
}

bool adm_csrf_token_fits(struct adm_app *app, dm_view value, dm_view jti)
{
    unsigned char mac[DM_SHA256_LEN];
    size_t dot = dm_view_find_byte(value, '.', 0);
    struct dm_buf expected;
    bool fits;

    if (dot == 0 || dot >= value.len)
        return false;
    csrf_mac(app, dm_view_sub(value, 0, dot), jti, mac);
    dm_buf_init(&expected, COOKIE_CAP);
    dm_base64url_encode(dm_view_make((const char *)mac, CSRF_MAC), false, &expected);
    fits = dm_equal_secret(dm_buf_view(&expected), dm_view_sub(value, dot + 1, value.len));
    dm_buf_done(&expected);
    return fits;
}

enum dm_code adm_tokens_issue(struct adm_call *c, dm_view username, dm_view role_name,
                              const struct dm_json *role, struct adm_tokens *ret)
{
    dm_view jti, unused;
    enum dm_code rc =
        sign(c, username, role_name, role, "access", access_life(c->settings), &jti, &ret->access);

    if (rc == DM_OK)
        rc = sign(c, username, role_name, role, "refresh", refresh_life(c->settings), &unused,
                  &ret->refresh);
    if (rc == DM_OK)
        ret->csrf = csrf_value(c, jti);
    return rc;
}

/* Only when the setting has a dot and the host is it or lies under it (operations.md §8.9). */
static bool domain_applies(dm_view domain, dm_view host)
{
    size_t colon = dm_view_find_byte(host, ':', 0);
    dm_view name = dm_view_sub(host, 0, colon);

    if (domain.len == 0 || dm_view_find_byte(domain, '.', 0) == domain.len)
        return false;
    if (dm_view_eq_nocase(name, domain))
        return true;
    return name.len > domain.len + 1 && name.ptr[name.len - domain.len - 1] == '.' &&
           dm_view_eq_nocase(dm_view_sub(name, name.len - domain.len, domain.len), domain);
}

static void set_cookie(struct adm_call *c, const char *name, dm_view value, const char *path,
                       bool http_only, int64_t max_age)
{
    static const char *const same_site[] = {[DM_COOKIE_SAMESITE_STRICT] = "strict",
                                            [DM_COOKIE_SAMESITE_LAX] = "lax",
                                            [DM_COOKIE_SAMESITE_NONE] = "none"};
    const struct dm_settings *s = c->settings;
    bool secure = s->cookie_secure >= 0 ? s->cookie_secure == 1 : (s->secure_mode || c->rq->https);
    struct dm_buf b;

    dm_buf_init(&b, TOKEN_CAP);
    dm_buf_addf(&b, "%s=", name);
    if (value.len > 0)
        dm_buf_add(&b, value);
    else
        dm_buf_add(&b, DM_LIT("\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT"));
    if (domain_applies(s->cookie_domain, c->rq->host)) {
        dm_buf_add(&b, DM_LIT("; Domain="));
        dm_buf_add(&b, s->cookie_domain);
    }
    if (http_only)
        dm_buf_add(&b, DM_LIT("; HttpOnly"));
    dm_buf_addf(&b, "; Max-Age=%lld; Path=%s; SameSite=%s", (long long)max_age, path,
                same_site[s->cookie_samesite]);
    if (secure)
        dm_buf_add(&b, DM_LIT("; Secure"));
    adm_header(c, "Set-Cookie", dm_buf_view(&b));
    dm_buf_done(&b);
}

void adm_cookies_set(struct adm_call *c, const struct adm_tokens *t)
{
    set_cookie(c, "access_token_cookie", DM_VIEW_NONE, "/", true, 0); /* clear first (§5.4) */
    set_cookie(c, "csrf_token", t->csrf, "/", false, access_life(c->settings));
    set_cookie(c, "access_token_cookie", t->access, "/", true, access_life(c->settings));
    set_cookie(c, "refresh_token_cookie", t->refresh, "/platform/authorization", true,
               refresh_life(c->settings));
}

void adm_cookies_clear(struct adm_call *c)
{
    set_cookie(c, "access_token_cookie", DM_VIEW_NONE, "/", true, 0);
    set_cookie(c, "refresh_token_cookie", DM_VIEW_NONE, "/platform/authorization", true, 0);
    set_cookie(c, "csrf_token", DM_VIEW_NONE, "/", false, 0);
}

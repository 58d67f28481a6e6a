/* Keys without which nothing starts, and the guards of production (configuration.md §3, G1-G31). A
 * guard refuses or warns; PRODUCTION_STRICT turns its warnings into refusals, but for those that
 * cannot be obeyed without another product shape (G8, G27, G29). */
#include "model/settings_load.h"

#include "base/assert.h"
#include "crypto/keyset.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/poison.h"

/* S001: shorter keys can be searched. */
enum { KEY_CHARS_MIN = 32, FAULTS_MAX = 65536 };

static size_t chars(const struct dm_secret *s)
{
    dm_view v = dm_secret_view(s);
    return v.len > 0 && dm_utf8_valid(v) ? dm_utf8_count(v) : v.len;
}

static bool listed(const struct dm_secret *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (dm_view_eq(dm_secret_view(s), dm_view_of(list[i])))
            return true;
    }
    return false;
}

/* A warning of production; with PRODUCTION_STRICT a refusal. */
static void discourage(struct dm_settings_loading *l, const char *key, const char *reason,
                       const char *expected)
{
    if (!l->s->production)
        return;
    if (l->in->first != NULL ? l->in->first->production_strict : l->s->production_strict)
        dm_setting_refuse(l, key, reason, expected);
    else if (!dm_setting_bad(l, key))
        dm_setting_warn(l, "%s: %s", key, reason);
}

/* ---- keys of tokens and policy ---- */

/* G2, G29, G31, and whatever is wrong inside the keys, told by those who build them. */
static void guard_token_keys(struct dm_settings_loading *l)
{
    static const char *const keys[] = {"JWT_KEYS", "JWT_SECRET_KEY", "JWT_PRIVATE_KEY",
                                       "JWT_PUBLIC_KEY"};
    const struct dm_settings *s = l->s;
    bool sidecar = l->in->role == DM_ROLE_GATEWAY;
    for (size_t i = 0; i < DM_COUNT_OF(keys); i++) {
        if (dm_setting_bad(l, keys[i]))
            return;
    }
    struct dm_keyset_source source = {.jwt_keys = dm_secret_view(&s->jwt_keys),
                                      .secret = dm_secret_view(&s->jwt_secret_key),
                                      .private_pem = dm_secret_view(&s->jwt_private_key),
                                      .public_pem = s->jwt_public_key,
                                      .sidecar = sidecar};
    if (source.jwt_keys.len + source.secret.len + source.private_pem.len + source.public_pem.len ==
        0) {
        dm_setting_required(
            l, "JWT_SECRET_KEY",
            sidecar
                ? "JWT_SECRET_KEY environment variable is required (or JWT_KEYS, or JWT_PUBLIC_KEY)"
                : "JWT_SECRET_KEY environment variable is required (or JWT_KEYS, or "
                  "JWT_PRIVATE_KEY and "
                  "JWT_PUBLIC_KEY)");
        return;
    }
    struct dm_keyset *built = NULL;
    struct dm_buf faults;
    dm_buf_init(&faults, FAULTS_MAX);
    if (dm_keyset_build(&source, &built, &faults) != DM_OK) {
        dm_view rest = dm_buf_view(&faults), line;
        while (dm_view_split(&rest, '\n', &line)) {
            dm_view key = dm_view_sub(line, 0, dm_view_find_byte(line, ':', 0));
            if (line.len > 0)
                dm_setting_fault_at(l, &(struct dm_settings_fault){.key = key, .reason = line},
                                    line);
        }
    } else if (sidecar && l->s->production && dm_keyset_has_hmac(built)) {
        dm_setting_warn(
            l, "JWT_SECRET_KEY: every sidecar with an HS256 key could mint tokens; use RS256 or "
               "ES256 with the public key only");
    }
    dm_buf_done(&faults);
    dm_keyset_unref(built);
}

static void guard_policy_keys(struct dm_settings_loading *l)
{
    const struct dm_settings *s = l->s;
    bool derivable = !dm_secret_empty(&s->jwt_secret_key);
    if (l->in->role == DM_ROLE_GATEWAY && !dm_secret_empty(&s->policy_signing_key)) /* G31 */
        dm_setting_refuse(l, "POLICY_SIGNING_KEY", "a private key has no place in a gateway",
                          "POLICY_VERIFY_KEY only");
    if (l->in->role == DM_ROLE_GATEWAY && s->policy_verify_key.len == 0 && !derivable &&
        !dm_setting_bad(l, "POLICY_VERIFY_KEY") && !dm_setting_bad(l, "JWT_SECRET_KEY")) /* G30 */
        dm_setting_required(l, "POLICY_VERIFY_KEY",
                            "POLICY_VERIFY_KEY environment variable is required "
                            "(or JWT_SECRET_KEY, from which it is derived)");
    if (l->in->role == DM_ROLE_ADMIN && dm_secret_empty(&s->policy_signing_key) && !derivable &&
        !dm_setting_bad(l, "POLICY_SIGNING_KEY") && !dm_setting_bad(l, "JWT_SECRET_KEY"))
        dm_setting_required(l, "POLICY_SIGNING_KEY",
                            "POLICY_SIGNING_KEY environment variable is required "
                            "(or JWT_SECRET_KEY, from which it is derived)");
}

static void guard_secret_strength(struct dm_settings_loading *l) /* G3, G11, G12 */
{
    static const char *const samples[] = {"please-change-me",
                                          "test-secret-key",
                                          "test-secret-key-please-change",
                                          "insecure-test-key",
                                          "strong-random-secret-change-this-in-production",
                                          "change-this-to-a-strong-secret-key"};
    struct dm_settings *s = l->s;
    if (!s->production)
        return;
    if (listed(&s->jwt_secret_key, samples, DM_COUNT_OF(samples)))
        dm_setting_refuse(l, "JWT_SECRET_KEY", "a documented sample",
                          "a random key of at least 32 characters");
    else if (!dm_secret_empty(&s->jwt_secret_key) && chars(&s->jwt_secret_key) < KEY_CHARS_MIN)
        dm_setting_refuse(l, "JWT_SECRET_KEY", "too short for production",
                          "at least 32 characters");
    if (!dm_setting_given(l, "TOKEN_ENCRYPTION_KEY")) {
        discourage(l, "TOKEN_ENCRYPTION_KEY",
                   "not set: API keys are stored under MEM_ENCRYPTION_KEY or as they are",
                   "a key of at least 32 characters");
        return;
    }
    dm_view rest = dm_secret_view(&s->token_encryption_key), item;
    while (dm_view_split(&rest, ',', &item)) {
        item = dm_view_trim(item);
        if (item.len > 0 &&
            (dm_utf8_valid(item) ? dm_utf8_count(item) : item.len) < KEY_CHARS_MIN) {
            dm_setting_refuse(l, "TOKEN_ENCRYPTION_KEY", "an item is too short for production",
                              "at least 32 characters each");
            return;
        }
    }
}

/* ---- the administrator and other ways in ---- */

static void guard_admin_password(struct dm_settings_loading *l) /* G4, G5 */
{
    static const char *const samples[] = {"please-change-me", "DemoPassword123!",
                                          "YourStrongPassword123!", "test-only-password-12chars"};
    struct dm_settings *s = l->s;
    if (l->in->role == DM_ROLE_ALL && dm_secret_empty(&s->doorman_admin_password) &&
        !dm_setting_bad(l, "DOORMAN_ADMIN_PASSWORD"))
        dm_setting_required(l, "DOORMAN_ADMIN_PASSWORD",
                            "DOORMAN_ADMIN_PASSWORD environment variable is required");
    if (s->production && l->in->role != DM_ROLE_GATEWAY &&
        listed(&s->doorman_admin_password, samples, DM_COUNT_OF(samples)))
        dm_setting_refuse(l, "DOORMAN_ADMIN_PASSWORD", "a documented sample",
                          "a password of your own");
}

static void guard_auth_mode(struct dm_settings_loading *l) /* G26 */
{
    static const char *const placeholders[] = {"change-me", "changeme", "replace-me",
                                               "replace-with-strong-random-token"};
    struct dm_settings *s = l->s;
    if (l->in->role == DM_ROLE_GATEWAY)
        return;
    if (listed(&s->local_auth_token, placeholders, DM_COUNT_OF(placeholders)))
        dm_setting_refuse(l, "LOCAL_AUTH_TOKEN", "a placeholder",
                          "a random token of at least 50 characters");
    if (s->auth_mode == DM_AUTH_MODE_LOCAL && dm_secret_empty(&s->local_auth_token) &&
        !dm_setting_bad(l, "LOCAL_AUTH_TOKEN"))
        dm_setting_required(l, "LOCAL_AUTH_TOKEN",
                            "LOCAL_AUTH_TOKEN environment variable is required");
    if (s->auth_mode == DM_AUTH_MODE_CLERK && dm_secret_empty(&s->clerk_secret_key) &&
        !dm_setting_bad(l, "CLERK_SECRET_KEY"))
        dm_setting_required(l, "CLERK_SECRET_KEY",
                            "CLERK_SECRET_KEY environment variable is required");
}

/* ---- stores ---- */

static bool url_has_user(dm_view url)
{
    return dm_view_find_byte(url, '@', 0) < url.len;
}

static void guard_stores(struct dm_settings_loading *l) /* G7-G10, G20, G21 */
{
    struct dm_settings *s = l->s;
    bool admin = l->in->role != DM_ROLE_GATEWAY;
    if (l->in->role == DM_ROLE_ALL) {
        if (!s->production)
            return;
        dm_setting_warn(l, "MEM_OR_EXTERNAL: memory mode is a single node");
        if (dm_secret_empty(&s->mem_encryption_key) && !dm_setting_bad(l, "MEM_ENCRYPTION_KEY"))
            dm_setting_required(l, "MEM_ENCRYPTION_KEY",
                                "MEM_ENCRYPTION_KEY environment variable is required");
        else if (chars(&s->mem_encryption_key) < KEY_CHARS_MIN)
            dm_setting_refuse(l, "MEM_ENCRYPTION_KEY", "too short for production",
                              "at least 32 characters");
        return;
    }
    if (s->redis_host.count == 0 && s->redis_url.len == 0 && s->redis_sentinel_hosts.count == 0 &&
        !dm_setting_bad(l, "REDIS_HOST") && !dm_setting_bad(l, "REDIS_URL") &&
        !dm_setting_bad(l, "REDIS_SENTINEL_HOSTS"))
        dm_setting_required(l, "REDIS_URL",
                            "REDIS_URL environment variable is required (or REDIS_HOST)");
    if (dm_secret_empty(&s->redis_password) && !url_has_user(s->redis_url)) {
        if (s->production)
            discourage(l, "REDIS_PASSWORD", "not set", "a password");
        else
            dm_setting_warn(l, "REDIS_PASSWORD: not set");
    }
    if (!admin)
        return;
    if (s->mongo_db_hosts.count == 0 && s->mongo_db_uri.len == 0 &&
        !dm_setting_bad(l, "MONGO_DB_HOSTS") && !dm_setting_bad(l, "MONGO_DB_URI"))
        dm_setting_required(l, "DATABASE_URL",
                            "DATABASE_URL environment variable is required (or MONGO_DB_HOSTS)");
    if (dm_secret_empty(&s->mongo_db_password) && !url_has_user(s->mongo_db_uri))
        discourage(l, "MONGO_DB_PASSWORD", "not set", "a user and a password");
    if (s->mongo_replica_set_name.len == 0 &&
        dm_view_find(s->mongo_db_uri, DM_LIT("replicaSet=")) == s->mongo_db_uri.len)
        discourage(l, "MONGO_REPLICA_SET_NAME", "not set: no replica set",
                   "the name of the replica set");
}

/* ---- transport, origins, switches ---- */

static void guard_tls(struct dm_settings_loading *l) /* G1, G27, G28 */
{
    struct dm_settings *s = l->s;
    struct stat st;
    if (s->production && !s->secure_mode && !dm_setting_bad(l, "HTTPS_ONLY") &&
        !dm_setting_bad(l, "HTTPS_ENABLED"))
        dm_setting_refuse(l, "HTTPS_ONLY", "neither HTTPS_ONLY nor HTTPS_ENABLED is true",
                          "HTTPS_ONLY=true or HTTPS_ENABLED=true");
    if (s->production && s->https_only && s->ssl_certfile.len == 0)
        dm_setting_note(l, "HTTPS_ONLY: no certificate files, TLS is expected at the proxy");
    if (!s->production || s->ssl_keyfile.len == 0)
        return;
    char *path = dm_mem_text(s->ssl_keyfile);
    if (stat(path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)) != 0)
        dm_setting_warn(l, "SSL_KEYFILE: others may read it");
    dm_mem_free(path);
}

static bool any_origin(const struct dm_settings *s)
{
    for (size_t i = 0; i < s->allowed_origins.count; i++) {
        if (dm_view_eq(s->allowed_origins.items[i], DM_LIT("*")))
            return true;
    }
    return false;
}

static void guard_browsers(struct dm_settings_loading *l) /* G13-G15, G23 */
{
    struct dm_settings *s = l->s;
    if (!s->production || l->in->role == DM_ROLE_GATEWAY)
        return;
    if (any_origin(s) && s->allow_credentials && !s->cors_strict)
        dm_setting_refuse(l, "ALLOWED_ORIGINS",
                          "any origin with ALLOW_CREDENTIALS and without CORS_STRICT",
                          "a list of origins, or CORS_STRICT=true");
    if (!s->cors_strict)
        discourage(l, "CORS_STRICT", "false", "true");
    if (s->cookie_domain.len == 0)
        discourage(l, "COOKIE_DOMAIN", "not set", "the domain of the cookies");
    if (s->cookie_secure == 0)
        dm_setting_refuse(l, "COOKIE_SECURE", "false in production", "true, or unset");
}

static void guard_switches(struct dm_settings_loading *l) /* G24: one line per switch */
{
    const struct dm_settings *s = l->s;
    const struct {
        const char *key;
        bool wrong;
        const char *expected;
    } switches[] = {
        {"DISABLE_BODY_SIZE_LIMIT", s->disable_body_size_limit, "false"},
        {"SKIP_TIER_RATE_LIMIT", s->skip_tier_rate_limit, "false"},
        {"LOGIN_IP_RATE_DISABLED", s->login_ip_rate_disabled, "false"},
        {"ENABLE_LATENCY_INJECTION", s->enable_latency_injection, "false"},
        {"DEMO_SEED", s->demo_seed, "false"},
        {"DEMO_MODE", s->demo_mode, "false"},
        {"DEV_RELOAD", s->dev_reload, "false"},
        {"PROMETHEUS_PUBLIC", s->prometheus_public, "false"},
        {"GATEWAY_VERIFY_SSL", !s->gateway_verify_ssl, "true"},
        {"AUDIT_ENABLED", !s->audit_enabled, "true"},
        {"LOCAL_HOST_IP_BYPASS", s->local_host_ip_bypass, "false"}, /* G16 */
        {"WEBHOOK_ALLOW_PRIVATE", s->webhook_allow_private, "false"},
    };
    for (size_t i = 0; s->production && i < DM_COUNT_OF(switches); i++) {
        if (switches[i].wrong)
            dm_setting_refuse(l, switches[i].key, "not allowed in production",
                              switches[i].expected);
    }
}

static void guard_rest(struct dm_settings_loading *l) /* G18, G25, R4, §2.13.1 */
{
    struct dm_settings *s = l->s;
    if (s->log_format == DM_LOG_FORMAT_PLAIN)
        discourage(l, "LOG_FORMAT", "plain lines", "json");
    if (l->in->role != DM_ROLE_GATEWAY &&
        s->login_ip_rate_limit * 300 > s->login_ip_rate_window * 100)
        discourage(l, "LOGIN_IP_RATE_LIMIT", "more than 100 logins per 300 s", "fewer");
    if (l->in->role != DM_ROLE_ADMIN && s->revocation_fail_mode == DM_REVOCATION_FAIL_MODE_OPEN)
        discourage(l, "REVOCATION_FAIL_MODE", "open: revoked tokens may pass while Redis is away",
                   "closed");
    if (s->production && dm_setting_given(l, "OIDC_ISSUER") &&
        !dm_view_starts(s->oidc_issuer, DM_LIT("https://")))
        dm_setting_refuse(l, "OIDC_ISSUER", "not https", "https in production");
}

void dm_settings_check_guards(struct dm_settings_loading *l)
{
    guard_token_keys(l);
    guard_policy_keys(l);
    guard_secret_strength(l);
    guard_admin_password(l);
    guard_auth_mode(l);
    guard_stores(l);
    guard_tls(l);
    guard_browsers(l);
    guard_switches(l);
    guard_rest(l);
}

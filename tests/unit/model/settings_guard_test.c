/* Rules across keys and the guards of production: configuration.md §2, §3. One row per rule: an
 * environment that breaks it, and what is then said. */
#include "settings_help.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { ENTRIES_MAX = 4 };
enum kind { REFUSED = 0, WARNED, NOTED, FINE };

struct rule {
    enum dm_role role;
    const char *entries[ENTRIES_MAX];
    enum kind kind;
    const char *says;
};

/* A production that starts; the rows then break one thing. */
static void production(struct loaded *l, enum dm_role role)
{
    loaded_init(l, role);
    loaded_env(l, "ENV=production");
    loaded_env(l, "HTTPS_ENABLED=true");
    loaded_env(l, "REDIS_HOST=redis");
    loaded_env(l, "MONGO_DB_HOSTS=mongo");
    loaded_env(l, "CORS_STRICT=true");
    if (role == DM_ROLE_ALL)
        loaded_env(l, "MEM_ENCRYPTION_KEY=a-key-of-more-than-32-characters-for-tests");
}

static void check_rule(const struct rule *r, bool in_production)
{
    struct loaded l;
    if (in_production)
        production(&l, r->role);
    else
        loaded_init(&l, r->role);
    for (size_t i = 0; i < ENTRIES_MAX && r->entries[i] != NULL; i++)
        loaded_env(&l, r->entries[i]);
    loaded_run(&l);
    const struct dm_buf *where = r->kind == REFUSED  ? &l.faults
                                 : r->kind == WARNED ? &l.warnings
                                                     : &l.notes;
    if (r->kind != REFUSED)
        loaded_expect_ok(&l);
    else if (loaded_faults(&l) != 1)
        fail_msg("%s: %zu faults:\n%.*s", r->says, loaded_faults(&l),
                 DM_FMT(dm_buf_view(&l.faults)));
    if (r->kind != FINE && !loaded_said(where, r->says))
        fail_msg("nobody said \"%s\":\n%.*s%.*s", r->says, DM_FMT(dm_buf_view(&l.faults)),
                 DM_FMT(dm_buf_view(&l.warnings)));
    loaded_done(&l);
}

#define G DM_ROLE_GATEWAY
#define A DM_ROLE_ADMIN
#define ALL DM_ROLE_ALL

static const struct rule everywhere[] = {
    {G,
     {"DOORMAN_ROLE=admin"},
     REFUSED,
     "DOORMAN_ROLE: not the role of this program; got admin; expected: gateway;"},
    {G,
     {"MEM_OR_EXTERNAL=MEM"},
     REFUSED,
     "MEM_OR_EXTERNAL: memory mode needs the program doorman; got MEM;"},
    {A, {"DOORMAN_MEMORY_MODE=true"}, REFUSED, "memory mode needs the program doorman"},
    {ALL,
     {"MEM_OR_EXTERNAL=REDIS"},
     REFUSED,
     "MEM_OR_EXTERNAL: needs doorman-gateway and doorman-admin; got REDIS;"},
    {ALL, {"MEM_OR_REDIS=external"}, REFUSED, "needs doorman-gateway and doorman-admin"},
    {ALL,
     {"THREADS=2"},
     REFUSED,
     "THREADS: memory mode is one worker; got 2; expected: 1; from env"}, /* G6 */
    {ALL, {"ASYNC_WORKERS=1"}, FINE, ""},
    {ALL, {"METRICS_PORT=5001"}, REFUSED, "METRICS_PORT: the same as PORT"},
    {ALL, {"RATE_LIMIT_BACKEND=redis"}, REFUSED, "RATE_LIMIT_BACKEND: memory mode has no Redis"},
    {G, {"REDIS_HOST=a,b", "REDIS_DB=1"}, REFUSED, "REDIS_DB: a cluster has only database 0"},
    {G, {"REDIS_MODE=cluster", "REDIS_DB=1"}, REFUSED, "REDIS_DB: a cluster has only database 0"},
    {G,
     {"REDIS_URL=redis://h", "REDIS_HOST=other"},
     WARNED,
     "REDIS_HOST: set together with REDIS_URL, which wins"},
    {G,
     {"REDIS_TLS_CERT_FILE=/etc/passwd"},
     REFUSED,
     "REDIS_TLS_CERT_FILE: set without REDIS_TLS_KEY_FILE"},
    {G, {NULL}, WARNED, "REDIS_PASSWORD: not set"},
    {G, {"MONGO_DB_HOSTS=m"}, WARNED, "MONGO_DB_HOSTS: has no place in a gateway"},
    {A, {"MONGO_DB_USER=u"}, REFUSED, "MONGO_DB_USER: set without MONGO_DB_PASSWORD"},
    {A,
     {"MONGO_DB_PASSWORD=u"},
     REFUSED,
     "MONGO_DB_PASSWORD: set without MONGO_DB_USER; got [REDACTED] (length 1)"},
    {A,
     {"MONGO_DB_HOSTS=a,b"},
     REFUSED,
     "MONGO_DB_HOSTS: several hosts and no MONGO_REPLICA_SET_NAME"}, /* G19 */
    {A, {"MONGO_DB_HOSTS=a,b", "MONGO_REPLICA_SET_NAME=rs0"}, FINE, ""},
    {A,
     {"DB_POOL_MIN_SIZE=9", "DB_POOL_MAX_SIZE=8"},
     REFUSED,
     "DB_POOL_MIN_SIZE: more than DB_POOL_MAX_SIZE; got 9; expected: at most 8"},
    {G,
     {"HTTP_RETRY_BASE_DELAY=3"},
     REFUSED,
     "HTTP_RETRY_BASE_DELAY: more than HTTP_RETRY_MAX_DELAY; got 3; expected: at most 2"},
    {G,
     {"GRPC_RETRY_MAX_MS=99"},
     REFUSED,
     "GRPC_RETRY_BASE_MS: more than GRPC_RETRY_MAX_MS; got 100; expected: at most 99; from "
     "default"},
    {G,
     {"MAX_URI_BYTES=9000", "MAX_HEADER_BYTES=8999"},
     REFUSED,
     "MAX_URI_BYTES: more than MAX_HEADER_BYTES"},
    {G, {"SSL_CERTFILE=/etc/passwd"}, REFUSED, "SSL_CERTFILE: set without SSL_KEYFILE"},
    {A,
     {"COOKIE_SAMESITE=none"},
     REFUSED,
     "COOKIE_SAMESITE: None needs HTTPS_ONLY or HTTPS_ENABLED"}, /* G23 */
    {A, {"COOKIE_SAMESITE=none", "HTTPS_ENABLED=true"}, FINE, ""},
    {A,
     {"AUTH_EXPIRE_TIME=8", "AUTH_EXPIRE_TIME_FREQ=days"},
     REFUSED,
     "AUTH_REFRESH_EXPIRE_TIME: shorter than the life of an access token"},
    {A,
     {"AUTH_REFRESH_EXPIRE_TIME=9999", "AUTH_REFRESH_EXPIRE_FREQ=w"},
     REFUSED,
     "AUTH_REFRESH_EXPIRE_TIME: longer than a century"},
    {G, {"HTTP_ENABLE_HTTP2=true"}, WARNED, "HTTP_ENABLE_HTTP2: accepted without effect"},
    {A,
     {"JWT_PUBLIC_KEY=-----BEGIN PUBLIC KEY-----\\nAA\\n-----END PUBLIC KEY-----"},
     REFUSED,
     "JWT_PRIVATE_KEY and JWT_PUBLIC_KEY environment variables are required"},
    {G,
     {"JWT_KEYS=[{\"kid\":\"a\",\"algorithm\":\"RS256\",\"active\":true,\"private_key\":\"x\"}]"},
     REFUSED,
     "JWT_KEYS"}, /* G31 */
    {G,
     {"POLICY_SIGNING_KEY=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
     REFUSED,
     "POLICY_SIGNING_KEY: a private key has no place in a gateway; got [REDACTED]"}, /* G31 */
    {A,
     {"DOORMAN_ADMIN_PASSWORD=short"},
     REFUSED,
     "DOORMAN_ADMIN_PASSWORD: too short; got [REDACTED] (length 5)"}, /* G4 */
    {A,
     {"AUTH_MODE=local"},
     REFUSED,
     "LOCAL_AUTH_TOKEN environment variable is required"}, /* G26 */
    {A, {"AUTH_MODE=clerk"}, REFUSED, "CLERK_SECRET_KEY environment variable is required"},
    {G, {"AUTH_MODE=clerk"}, FINE, ""},
};

static const struct rule guards[] = {
    {G, {NULL}, FINE, ""},
    {A, {NULL}, FINE, ""},
    {ALL, {NULL}, WARNED, "MEM_OR_EXTERNAL: memory mode is a single node"}, /* G8 */
    {A,
     {"HTTPS_ENABLED=false"},
     REFUSED,
     "HTTPS_ONLY: neither HTTPS_ONLY nor HTTPS_ENABLED is true"}, /* G1 */
    {A,
     {"JWT_SECRET_KEY=strong-random-secret-change-this-in-production"},
     REFUSED,
     "JWT_SECRET_KEY: a documented sample"}, /* G3 */
    {A,
     {"JWT_SECRET_KEY=only-31-characters-are-in-here."},
     REFUSED,
     "JWT_SECRET_KEY: too short for production"},
    {A,
     {"DOORMAN_ADMIN_PASSWORD=DemoPassword123!"},
     REFUSED,
     "DOORMAN_ADMIN_PASSWORD: a documented sample"}, /* G5 */
    {ALL,
     {"MEM_ENCRYPTION_KEY="},
     REFUSED,
     "MEM_ENCRYPTION_KEY environment variable is required"}, /* G7 */
    {ALL,
     {"MEM_ENCRYPTION_KEY=shorter-than-32"},
     REFUSED,
     "MEM_ENCRYPTION_KEY: too short for production"},
    {G,
     {"REDIS_HOST="},
     REFUSED,
     "REDIS_URL environment variable is required (or REDIS_HOST)"}, /* G9 */
    {G, {"REDIS_HOST=", "REDIS_URL=rediss://r"}, FINE, ""},
    {A,
     {"MONGO_DB_HOSTS="},
     REFUSED,
     "DATABASE_URL environment variable is required (or MONGO_DB_HOSTS)"}, /* G10 */
    {A, {"MONGO_DB_HOSTS=", "MONGO_URI=mongodb://m/d"}, FINE, ""},
    {G, {NULL}, WARNED, "TOKEN_ENCRYPTION_KEY: not set"}, /* G11 */
    {G,
     {"TOKEN_ENCRYPTION_KEY=a-key-of-more-than-32-characters-here,short"},
     REFUSED,
     "TOKEN_ENCRYPTION_KEY: an item is too short"}, /* G12 */
    {A,
     {"ALLOWED_ORIGINS=*", "CORS_STRICT=false"},
     REFUSED,
     "ALLOWED_ORIGINS: any origin with ALLOW_CREDENTIALS"},   /* G13 */
    {A, {"CORS_STRICT=false"}, WARNED, "CORS_STRICT: false"}, /* G14 */
    {A, {NULL}, WARNED, "COOKIE_DOMAIN: not set"},            /* G15 */
    {G,
     {"LOCAL_HOST_IP_BYPASS=true"},
     REFUSED,
     "LOCAL_HOST_IP_BYPASS: not allowed in production"},          /* G16 */
    {G, {"LOG_FORMAT=plain"}, WARNED, "LOG_FORMAT: plain lines"}, /* G18 */
    {A, {NULL}, WARNED, "MONGO_REPLICA_SET_NAME: not set"},       /* G20 */
    {A, {NULL}, WARNED, "MONGO_DB_PASSWORD: not set"},            /* G21 */
    {G, {NULL}, WARNED, "REDIS_PASSWORD: not set"},
    {A, {"COOKIE_SECURE=false"}, REFUSED, "COOKIE_SECURE: false in production"}, /* G23 */
    {A,
     {"DISABLE_BODY_SIZE_LIMIT=1"},
     REFUSED,
     "DISABLE_BODY_SIZE_LIMIT: not allowed in production"}, /* G24 */
    {A, {"SKIP_TIER_RATE_LIMIT=1"}, REFUSED, "SKIP_TIER_RATE_LIMIT: not allowed"},
    {A, {"LOGIN_IP_RATE_DISABLED=1"}, REFUSED, "LOGIN_IP_RATE_DISABLED: not allowed"},
    {A, {"ENABLE_LATENCY_INJECTION=1"}, REFUSED, "ENABLE_LATENCY_INJECTION: not allowed"},
    {A, {"DEMO_SEED=1"}, REFUSED, "DEMO_SEED: not allowed"},
    {A, {"DEMO_MODE=1"}, REFUSED, "DEMO_MODE: not allowed"},
    {A, {"DEV_RELOAD=1"}, REFUSED, "DEV_RELOAD: not allowed"},
    {A, {"PROMETHEUS_PUBLIC=1"}, REFUSED, "PROMETHEUS_PUBLIC: not allowed"},
    {A, {"GATEWAY_VERIFY_SSL=0"}, REFUSED, "GATEWAY_VERIFY_SSL: not allowed"},
    {A, {"AUDIT_ENABLED=off"}, REFUSED, "AUDIT_ENABLED: not allowed"},
    {A, {"WEBHOOK_ALLOW_PRIVATE=on"}, REFUSED, "WEBHOOK_ALLOW_PRIVATE: not allowed"},
    {A, {"LOGIN_IP_RATE_LIMIT=101"}, WARNED, "LOGIN_IP_RATE_LIMIT: more than 100"},        /* G25 */
    {A, {"HTTPS_ENABLED=", "HTTPS_ONLY=true"}, NOTED, "HTTPS_ONLY: no certificate files"}, /* G28 */
    {G,
     {NULL},
     WARNED,
     "JWT_SECRET_KEY: every sidecar with an HS256 key could mint tokens"}, /* G29 */
    {G, {"REVOCATION_FAIL_MODE=open"}, WARNED, "REVOCATION_FAIL_MODE: open"},
    {A, {"OIDC_ISSUER=http://issuer"}, REFUSED, "OIDC_ISSUER: not https"},
    {A, {"DEBUG=true"}, FINE, ""},
};

static void rules_hold_in_every_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(everywhere); i++)
        check_rule(&everywhere[i], false);
}

static void guards_hold_in_production(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(guards); i++)
        check_rule(&guards[i], true);
}

static void guards_are_silent_elsewhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(guards); i++) {
        struct loaded l;
        if (guards[i].kind != REFUSED || strstr(guards[i].says, "required") != NULL)
            continue;
        production(&l, guards[i].role);
        for (size_t e = 0; e < ENTRIES_MAX && guards[i].entries[e] != NULL; e++)
            loaded_env(&l, guards[i].entries[e]);
        loaded_env(&l, "ENV=test");
        loaded_run(&l);
        loaded_expect_ok(&l);
        loaded_done(&l);
    }
}

static void strict_production_refuses_what_it_else_warns_about(void **state)
{
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(guards); i++) {
        struct loaded l;
        const struct rule *r = &guards[i];
        if (r->kind != WARNED)
            continue;
        production(&l, r->role);
        for (size_t e = 0; e < ENTRIES_MAX && r->entries[e] != NULL; e++)
            loaded_env(&l, r->entries[e]);
        loaded_env(&l, "PRODUCTION_STRICT=true");
        loaded_run(&l);
        bool exempt = strstr(r->says, "single node") != NULL ||
                      strstr(r->says, "mint tokens") != NULL; /* G8, G29 */
        if (loaded_said(&l.warnings, r->says) != exempt ||
            loaded_said(&l.faults, r->says) == exempt)
            fail_msg("%s:\n%.*s", r->says, DM_FMT(dm_buf_view(&l.faults)));
        loaded_done(&l);
    }
}

static void without_any_key_nothing_starts(void **state) /* G2, G30 */
{
    (void)state;
    struct loaded l;
    loaded_bare(&l, DM_ROLE_GATEWAY);
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 2);
    loaded_expect_fault(
        &l, "JWT_SECRET_KEY environment variable is required (or JWT_KEYS, or JWT_PUBLIC_KEY)\n");
    loaded_expect_fault(&l, "POLICY_VERIFY_KEY environment variable is required");
    loaded_done(&l);
}

/* CN=doorman.test, P-256, valid from 2026-11-21T12:00:06Z to 2036-11-18T12:00:06Z. Made for this
 * test. */
static const char pair[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIBgjCCASmgAwIBAgIUUcs1o8JqCQJ/ZoidJ5GsjRD8IIUwCgYIKoZIzj0EAwIw\n"
                           "FzEVMBMGA1UEAwwMZG9vcm1hbi50ZXN0MB4XDTI2MTEyMTEyMDAwNloXDTM2MTEx\n"
                           "ODEyMDAwNlowFzEVMBMGA1UEAwwMZG9vcm1hbi50ZXN0MFkwEwYHKoZIzj0CAQYI\n"
                           "KoZIzj0DAQcDQgAE7RcKOdJ/QpA70b3fYmwwtv1pWIyHqJjz5kRBv03yfwaZ3p/4\n"
                           "nPXehDuX33d2cmzUMsKeDj3fHp16XNFlaNcAG6NTMFEwHQYDVR0OBBYEFK1VfbAj\n"
                           "dcV2EniCDOPUZ1xhkO2LMB8GA1UdIwQYMBaAFK1VfbAjdcV2EniCDOPUZ1xhkO2L\n"
                           "MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgYxVLzJaTENyWUZ6O\n"
                           "H2nFznX6LyTpxHb6GfrRWvlnG/0CIAobZJrgiuEkrjklLEgvNvaV4gGIsYAmayvB\n"
                           "7gV3gSvP\n"
                           "-----END CERTIFICATE-----\n"
                           "-----BEGIN PRIVATE KEY-----\n"
                           "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGnvUt8A5bFtVfLFC\n"
                           "PkDch9gaP6Fx++coHQ73qpFvAUWhRANCAATtFwo50n9CkDvRvd9ibDC2/WlYjIeo\n"
                           "mPPmREG/TfJ/Bpnen/ic9d6EO5ffd3ZybNQywp4OPd8enXpc0WVo1wAb\n"
                           "-----END PRIVATE KEY-----\n";

/* A gateway that ends TLS itself, at a time of our choice. */
static void with_certificate(struct loaded *l, struct dm_clock_manual *clock, const char *now)
{
    static char cert[128], key[128];
    const char *path = scratch_file("pair.pem", pair);
    dm_time wall;
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(dm_time_from_iso(dm_view_of(now), &wall));
    dm_clock_manual_init(clock, 0, wall);
    (void)snprintf(cert, sizeof(cert), "SSL_CERTFILE=%s", path);
    (void)snprintf(key, sizeof(key), "SSL_KEYFILE=%s", path);
    production(l, DM_ROLE_GATEWAY);
    l->in.clock = &clock->clock;
    loaded_env(l, "HTTPS_ENABLED=false");
    loaded_env(l, "HTTPS_ONLY=true");
    loaded_env(l, cert);
    loaded_env(l, key);
    loaded_run(l);
}

static void certificates_are_checked_before_anything_listens(void **state) /* G27 */
{
    (void)state;
    struct loaded l;
    struct dm_clock_manual clock;
    with_certificate(&l, &clock, "2030-01-01T00:00:00Z");
    loaded_expect_ok(&l);
    assert_true(loaded_said(&l.warnings, "SSL_CERTFILE: checked, but without effect"));
    assert_false(loaded_said(&l.warnings, "SSL_CERTFILE: the") ||
                 loaded_said(&l.warnings, "SSL_KEYFILE"));
    assert_int_equal(chmod(l.s->ssl_keyfile.ptr, 0644), 0);
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(loaded_said(&l.warnings, "SSL_KEYFILE: others may read it"));
    loaded_done(&l);

    with_certificate(&l, &clock, "2036-11-05T00:00:00Z");
    loaded_expect_ok(&l);
    assert_true(loaded_said(&l.warnings, "SSL_CERTFILE: the certificate ends within 14 days"));
    loaded_done(&l);

    with_certificate(&l, &clock, "2036-11-19T00:00:00Z");
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(&l, "SSL_CERTFILE: the certificate has expired; got ");
    loaded_env(&l, "HTTPS_ENABLED=true");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 2);
    loaded_expect_fault(
        &l, "HTTPS_ENABLED: says that a proxy ends TLS while SSL_CERTFILE is set; got true;");
    loaded_env(&l, "HTTPS_ENABLED=false");
    loaded_env(&l, "SSL_CERTFILE=/etc/passwd");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(
        &l, "SSL_CERTFILE: no certificate can be read from it; got /etc/passwd; expected: a PEM "
            "chain, and its key in SSL_KEYFILE; from env");
    loaded_done(&l);
}

static void values_follow_from_others(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ADMIN);
    loaded_env(&l, "REDIS_URL=rediss://r:1");
    loaded_env(&l, "REDIS_RATE_LIMIT_ENABLED=false");
    loaded_env(&l, "MEM_ENCRYPTION_KEY=some-key-of-mine");
    loaded_env(&l, "RQ_REDIS_URL=redis://queue:1");
    loaded_env(&l, "BASE_URL=https://doorman.example/");
    loaded_env(&l, "MAX_BODY_SIZE_BYTES=77");
    loaded_env(&l, "HTTPS_ENABLED=on");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(l.s->redis_tls && l.s->secure_mode && !l.s->production);
    assert_int_equal(l.s->rate_limit_backend, DM_RATE_LIMIT_BACKEND_MEMORY);
    assert_true(dm_view_eq(dm_secret_view(&l.s->token_encryption_key), DM_LIT("some-key-of-mine")));
    assert_true(dm_view_eq(l.s->rate_limit_redis_url, DM_LIT("redis://queue:1")));
    assert_true(dm_view_eq(l.s->base_url, DM_LIT("https://doorman.example")));
    assert_int_equal(l.s->max_body_size_bytes_rest, 77);
    loaded_done(&l);
}

static void a_check_for_production_needs_no_production(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ADMIN);
    loaded_env(&l, "ENV=development");
    l.in.force_env = "production";
    loaded_run(&l);
    loaded_expect_fault(&l, "HTTPS_ONLY: neither");
    l.in.force_env = "prodution";
    loaded_run(&l);
    loaded_expect_fault(&l, "ENV: unknown word; got prodution;");
    loaded_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hold_in_every_environment),
        cmocka_unit_test(guards_hold_in_production),
        cmocka_unit_test(guards_are_silent_elsewhere),
        cmocka_unit_test(strict_production_refuses_what_it_else_warns_about),
        cmocka_unit_test(without_any_key_nothing_starts),
        cmocka_unit_test(certificates_are_checked_before_anything_listens),
        cmocka_unit_test(values_follow_from_others),
        cmocka_unit_test(a_check_for_production_needs_no_production),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The configuration file: configuration.md §4. */
#include "settings_help.h"

#include <stdio.h>

/* The layout that the contract calls canonical and the chart renders. */
static const char canonical[] =
    "schema: 1\n"
    "env: production\n"
    "production_strict: true\n"
    "threads: 4\n"
    "base_url: \"\"\n"
    "admin_upstream_url: \"\"\n"
    "startup:  { timeout_seconds: 30 }\n"
    "shutdown: { delay_seconds: 0, timeout_seconds: 30 }\n"
    "config:   { watch: true, debounce_ms: 300, poll_seconds: 30 }\n"
    "https:  { only: true, enabled: false }\n"
    "ssl:    { certfile: \"\", keyfile: \"\", min_version: TLSv1.2 }\n"
    "cookie: { domain: example.com, samesite: Strict, secure: null }\n"
    "mem_or_external: REDIS\n"
    "mem:    { dump_path: generated/memory_dump.bin, dump_format: fernet, dump_keep: 10,\n"
    "          auto_save_enabled: false, auto_save_freq: 900 }\n"
    "cache:  { max_size: 10000, ttl: 300 }\n"
    "redis:  { host: redis, port: 6379, db: 0, mode: auto, sentinel_hosts: [], sentinel_master: "
    "mymaster,\n"
    "          tls: false, tls_ca_file: \"\", max_connections: 50, socket_timeout: 5, "
    "socket_connect_timeout: 5,\n"
    "          admission_timeout_ms: 50 }\n"
    "limit:      { on_store_down: local }\n"
    "revocation: { max_stale: 60, fail_mode: closed }\n"
    "snapshot:   { max_age: 300, file: policy.snapshot }\n"
    "mongo:  { db_hosts: [mongo-0:27017, mongo-1:27017, mongo-2:27017], replica_set_name: rs0, "
    "db_name: doorman,\n"
    "          db_user: \"\", tls: false, server_selection_timeout_ms: 5000 }\n"
    "db:     { pool_min_size: 5, pool_max_size: 100, auto_migrate: false }\n"
    "allowed_origins: [https://admin.example.com]\n"
    "allow:  { credentials: true, methods: [GET, POST, PUT, DELETE, OPTIONS, PATCH, HEAD],\n"
    "          headers: [Accept, Content-Type, X-CSRF-Token, Authorization, X-Requested-With] }\n"
    "cors:   { strict: true, max_age: 600 }\n"
    "local_host_ip_bypass: false\n"
    "trusted_proxies: []\n"
    "content_security_policy: \"\"\n"
    "security_header:\n"
    "  x_content_type_options: nosniff\n"
    "  x_frame_options: DENY\n"
    "  referrer_policy: no-referrer\n"
    "  permissions_policy: \"geolocation=(), microphone=(), camera=()\"\n"
    "  strict_transport_security: \"max-age=15552000; includeSubDomains; preload\"\n"
    "max:\n"
    "  body_size_bytes: 1048576\n"
    "  body_size_bytes_rest: 1048576\n"
    "  body_size_bytes_soap: 2097152\n"
    "  body_size_bytes_graphql: 524288\n"
    "  body_size_bytes_grpc: 1048576\n"
    "  multipart_size_bytes: 10485760\n"
    "  proto_size_bytes: 1048576\n"
    "  page_size: 100\n"
    "  connections: 20000\n"
    "  header_bytes: 32768\n"
    "  header_count: 128\n"
    "  uri_bytes: 8192\n"
    "client: { header_timeout_seconds: 10, body_timeout_seconds: 60, body_deadline_seconds: 300,\n"
    "          idle_timeout_seconds: 75 }\n"
    "webhook: { max_payload_bytes: 1048576, ingest_rate_limit: 60, ingest_rate_limit_window: 60 }\n"
    "agent:   { auth_rate_limit: 20, auth_rate_limit_window: 60 }\n"
    "login_ip:    { rate_limit: 5, rate_window: 300 }\n"
    "register_ip: { rate_limit: 5, rate_window: 3600 }\n"
    "rate_limit:  { enabled: true, requests: 100, window_ms: 60000, backend: redis, rules_enabled: "
    "true }\n"
    "tier:        { free_calls_per_day: 1000 }\n"
    "http:   { connect_timeout: 5.0, read_timeout: 30.0, write_timeout: 30.0, timeout: 30.0,\n"
    "          max_connections: 100, max_keepalive: 50, keepalive_expiry: 30.0, enable_http2: "
    "false,\n"
    "          retry_base_delay: 0.25, retry_max_delay: 2.0 }\n"
    "gateway: { timeout: 0, verify_ssl: true, follow_redirects: false, max_redirects: 5 }\n"
    "retry:  { enabled: true, max_attempts: 3, backoff: 1.0 }\n"
    "circuit_breaker: { enabled: true, threshold: 5, timeout: 30 }\n"
    "grpc:   { max_retries: 0, retry_base_ms: 100, retry_max_ms: 1000 }\n"
    "compression: { enabled: true, minimum_size: 500, level: 1 }\n"
    "websockets_enabled: false\n"
    "log:    { level: INFO, format: json, max_bytes: 10485760, backup_count: 5 }\n"
    "access_log: json\n"
    "request_log: { slow_ms: 1000, include_health: false }\n"
    "audit:  { enabled: true, log_requests: true, log_responses: false, chain_enabled: true }\n"
    "metrics: { enabled: true, interval: 60, flush_ms: 1000, max_series: 10000 }\n"
    "prometheus: { enabled: true, allowlist: [], trust_xff: false }\n"
    "auth:   { mode: doorman, expire_time: 30, expire_time_freq: minutes,\n"
    "          refresh_expire_time: 7, refresh_expire_freq: days }\n"
    "strict_response_envelope: true\n"
    "analytics:  { enabled: true }\n"
    "compliance: { enabled: true }\n"
    "feature: { request_replay: false, ab_testing: false, cost_analytics: false }\n"
    "readiness: { public_detail: true }\n";

static void the_canonical_file_loads_in_every_program_that_it_is_for(void **state)
{
    (void)state;
    for (enum dm_role role = DM_ROLE_GATEWAY; role <= DM_ROLE_ADMIN; role++) {
        struct loaded l;
        loaded_init(&l, role);
        loaded_file(&l, canonical);
        loaded_env(&l, "PRODUCTION_STRICT=false"); /* its passwords come from the environment */
        loaded_run(&l);
        loaded_expect_ok(&l);
        assert_true(l.s->production && l.s->secure_mode && l.s->cors_strict);
        assert_int_equal(l.s->mongo_db_hosts.count, 3);
        assert_int_equal(l.s->max_body_size_bytes_graphql, 524288);
        assert_int_equal(l.s->agent_auth_rate_limit_window, 60);
        assert_int_equal(l.s->cookie_secure, -1);
        assert_int_equal(l.s->allow_headers.count, 5);
        assert_true(l.s->shutdown_timeout_seconds == 30 * DM_SEC);
        assert_true(dm_view_eq(l.s->oidc_issuer, role == DM_ROLE_ADMIN
                                                     ? DM_LIT("http://localhost:3001")
                                                     : DM_LIT("http://localhost:5001")));
        loaded_done(&l);
    }
}

static void flat_nested_and_shouted_names_are_the_same(void **state)
{
    (void)state;
    static const char *const files[] = {"log_level: ERROR\n", "log: { level: ERROR }\n",
                                        "LOG_LEVEL: ERROR\n",
                                        "{\"log\": {\"level\": \"ERROR\"}}\n"};
    for (size_t i = 0; i < DM_COUNT_OF(files); i++) {
        struct loaded l;
        loaded_init(&l, DM_ROLE_ALL);
        loaded_file(&l, files[i]);
        loaded_run(&l);
        loaded_expect_ok(&l);
        assert_int_equal(l.s->log_level, DM_LOG_LEVEL_ERROR);
        loaded_done(&l);
    }
}

static void scalars_mean_what_the_key_says_and_not_what_yaml_guesses(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_GATEWAY);
    loaded_file(&l,
                "mongo_db_name: no\nredis_username: 1.10\nretry_backoff: 1.10\ncors_strict: yes\n"
                "redis_db: 0x10\n");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(&l, "REDIS_DB: not an integer; got 0x10;");
    loaded_file(&l,
                "mongo_db_name: no\nredis_username: 1.10\nretry_backoff: 1.10\ncors_strict: yes\n");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(dm_view_eq(l.s->mongo_db_name, DM_LIT("no")));
    assert_true(dm_view_eq(l.s->redis_username, DM_LIT("1.10")));
    assert_true(l.s->cors_strict);
    loaded_done(&l);
}

static void lists_may_be_lists_or_comma_separated(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "allow:\n  methods: [GET, ' POST ', '']\n  headers: A,, B ,\ntrusted_proxies: "
                    "[10.0.0.0/8, '::1']\n"
                    "prometheus: { allowlist: [] }\n");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_int_equal(l.s->allow_methods.count, 2);
    assert_true(dm_view_eq(l.s->allow_methods.items[1], DM_LIT("POST")));
    assert_int_equal(l.s->allow_headers.count, 2);
    assert_int_equal(dm_address_set_count(l.s->trusted_proxies), 2);
    assert_null(l.s->prometheus_allowlist);
    loaded_done(&l);
}

static void a_list_where_one_value_belongs_is_a_fault(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "log_level: [INFO]\nallow_methods: [[GET]]\ncache_ttl: { x: 1 }\n");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 3);
    loaded_expect_fault(&l, "LOG_LEVEL: not a single value; got INFO;");
    loaded_expect_fault(&l, "ALLOW_METHODS: a list within a list");
    loaded_expect_fault(&l, "unknown key cache_ttl.x;");
    loaded_done(&l);
}

static void a_long_list_does_not_drown_its_fault(void **state)
{
    (void)state;
    static char yaml[1 << 16];
    struct loaded l;
    size_t len = (size_t)snprintf(yaml, sizeof(yaml), "trusted_proxies: [nonsense");
    for (int i = 0; i < 500; i++)
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len,
                                ", 'item-number-%d-of-many-more-to-come'", i);
    (void)snprintf(yaml + len, sizeof(yaml) - len, "]\n");
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, yaml);
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(
        &l, "item \"nonsense\" is neither an address nor a CIDR; got nonsense,item-number-0-of");
    loaded_expect_fault(&l,
                        ",...; expected: IPv4 or IPv6 addresses or CIDRs, comma-separated; from ");
    assert_true(dm_buf_view(&l.faults).len < 1000);
    loaded_done(&l);
}

static void two_paths_to_one_key_are_told_with_both_places(void **state)
{
    (void)state;
    struct loaded l;
    char want[256];
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "log_level: INFO\nlog:\n  level: INFO\n");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    (void)snprintf(want, sizeof(want),
                   "Error: %s:3:3: LOG_LEVEL: given twice, first at %s:1:1; expected: once\n",
                   l.file, l.file);
    loaded_expect_fault(&l, want);
    loaded_done(&l);
}

static void names_that_are_no_settings_pass(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l,
                "schema: 1\n$comment: of mine\nx-anchors: { a: [1, 2] }\nredis:\nprometheus: {}\n"
                "redis_host: ~\n");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_string_equal(dm_settings_origin(l.s, DM_LIT("REDIS_HOST")), "default");
    loaded_file(&l, "schema: 2\nnope: {}\nnada:\n");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 3);
    loaded_expect_fault(&l, "schema: unknown format of the file; expected: 1");
    loaded_expect_fault(&l, ":2:1: unknown key nope;");
    loaded_expect_fault(&l, ":3:1: unknown key nada;");
    loaded_done(&l);
}

static void secrets_in_the_file_are_warned_about_and_in_production_refused(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "vault_key: some-secret-value\nprometheus: { token: other-secret }\n");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(dm_view_eq(dm_secret_view(&l.s->vault_key), DM_LIT("some-secret-value")));
    assert_true(loaded_said(&l.warnings,
                            "VAULT_KEY: secrets must come from the environment or VAULT_KEY_FILE"));
    loaded_env(&l, "ENV=production");
    loaded_run(&l);
    loaded_expect_fault(
        &l,
        ":1:1: VAULT_KEY: secrets must come from the environment or VAULT_KEY_FILE, not from the "
        "config file\n");
    loaded_expect_fault(&l, ":2:15: PROMETHEUS_TOKEN: secrets must come from the environment");
    assert_false(loaded_said(&l.faults, "some-secret") || loaded_said(&l.faults, "other-secret"));
    loaded_done(&l);
}

static void keys_of_tokens_may_be_a_native_list_in_development(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "jwt_keys:\n  - { kid: one, algorithm: HS256, active: true, "
                    "secret: 0123456789abcdef0123456789abcdef }\n");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(dm_view_eq(dm_secret_view(&l.s->jwt_keys),
                           DM_LIT("[{\"kid\":\"one\",\"algorithm\":\"HS256\",\"active\":true,"
                                  "\"secret\":\"0123456789abcdef0123456789abcdef\"}]")));
    loaded_done(&l);
}

static void a_file_that_cannot_be_read_is_a_fault(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    l.in.config_file = "/no/such/doorman.yaml";
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(
        &l, "Error: /no/such/doorman.yaml: could not be read: No such file or directory");
    l.in.config_file = "/tmp";
    loaded_run(&l);
    loaded_expect_fault(&l, "not a regular file");
    l.in.config_file = NULL;
    loaded_env(&l, "DOORMAN_CONFIG_FILE=/no/such/doorman.yaml");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_env(&l, "DOORMAN_CONFIG_FILE=/etc/passwd");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(
        &l, "DOORMAN_CONFIG_FILE: has an unknown extension; got /etc/passwd; expected: a readable "
            "file ending in .yaml, .yml or .json; from env");
    loaded_done(&l);
}

static void broken_yaml_is_told_with_its_place(void **state)
{
    (void)state;
    struct loaded l;
    char want[128];
    static const char *const files[] = {"log: [\n", "- a\n- b\n", "just text\n", "a: 1\na: 2\n"};
    for (size_t i = 0; i < DM_COUNT_OF(files); i++) {
        loaded_init(&l, DM_ROLE_ALL);
        loaded_file(&l, files[i]);
        loaded_run(&l);
        assert_int_equal(loaded_faults(&l), 1);
        (void)snprintf(want, sizeof(want), "Error: %s:%d", l.file, i == 0 || i == 3 ? 2 : 1);
        loaded_expect_fault(&l, want);
        loaded_done(&l);
    }
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "# nothing\n");
    loaded_run(&l);
    loaded_expect_ok(&l);
    loaded_done(&l);
}

static void names_longer_than_any_key_are_unknown(void **state)
{
    (void)state;
    struct loaded l;
    char yaml[2048] = "";
    size_t len = 0;
    for (int i = 0; i < 30; i++)
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "{ looooooooooooooooooong%d: ", i);
    len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "1");
    for (int i = 0; i < 30; i++)
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, " }");
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, yaml);
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(&l, "unknown key looo");
    loaded_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canonical_file_loads_in_every_program_that_it_is_for),
        cmocka_unit_test(flat_nested_and_shouted_names_are_the_same),
        cmocka_unit_test(scalars_mean_what_the_key_says_and_not_what_yaml_guesses),
        cmocka_unit_test(lists_may_be_lists_or_comma_separated),
        cmocka_unit_test(a_list_where_one_value_belongs_is_a_fault),
        cmocka_unit_test(a_long_list_does_not_drown_its_fault),
        cmocka_unit_test(two_paths_to_one_key_are_told_with_both_places),
        cmocka_unit_test(names_that_are_no_settings_pass),
        cmocka_unit_test(secrets_in_the_file_are_warned_about_and_in_production_refused),
        cmocka_unit_test(keys_of_tokens_may_be_a_native_list_in_development),
        cmocka_unit_test(a_file_that_cannot_be_read_is_a_fault),
        cmocka_unit_test(broken_yaml_is_told_with_its_place),
        cmocka_unit_test(names_longer_than_any_key_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

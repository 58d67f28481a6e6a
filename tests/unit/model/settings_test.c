/* Ranks, aliases, files of secrets, wording: configuration.md §0. */
#include "settings_help.h"

#include <stdio.h>

static void every_role_starts_with_the_least_it_needs(void **state)
{
    (void)state;
    for (enum dm_role role = DM_ROLE_ALL; role <= DM_ROLE_ADMIN; role++) {
        struct loaded l;
        loaded_init(&l, role);
        loaded_run(&l);
        loaded_expect_ok(&l);
        assert_int_equal(l.s->role, role);
        loaded_done(&l);
    }
}

static void defaults_follow_program_environment_and_mode(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_int_equal(l.s->mem_or_external, DM_MEM_OR_EXTERNAL_MEM);
    assert_int_equal(l.s->threads, 1);
    assert_int_equal(l.s->port, 5001);
    assert_int_equal(l.s->log_format, DM_LOG_FORMAT_PLAIN);
    assert_int_equal(l.s->access_log, DM_ACCESS_LOG_COMBINED);
    assert_int_equal(l.s->rate_limit_backend, DM_RATE_LIMIT_BACKEND_MEMORY);
    assert_true(l.s->local_host_ip_bypass && l.s->db_auto_migrate && l.s->forward_client_ip);
    assert_int_equal(l.s->cookie_secure, -1);
    assert_int_equal(l.s->max_body_size_bytes_soap, 1048576);
    assert_true(l.s->http_connect_timeout == 5 * DM_SEC &&
                l.s->shutdown_timeout_seconds == 8 * DM_SEC);
    assert_true(dm_view_eq(l.s->oidc_issuer, DM_LIT("http://localhost:5001")));
    assert_true(dm_view_eq(l.s->token_audience, DM_LIT("http://localhost:5001")));
    assert_true(dm_view_eq(l.s->log_file, DM_LIT("logs/doorman.log")));
    assert_string_equal(dm_settings_origin(l.s, DM_LIT("PORT")), "default");
    loaded_done(&l);

    loaded_init(&l, DM_ROLE_ADMIN);
    loaded_env(&l, "ENV=test");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_int_equal(l.s->mem_or_external, DM_MEM_OR_EXTERNAL_REDIS);
    assert_int_equal(l.s->port, 3001);
    assert_int_equal(l.s->threads, 4);
    assert_int_equal(l.s->access_log, DM_ACCESS_LOG_OFF);
    assert_int_equal(l.s->redis_host.count, 1);
    assert_false(l.s->db_auto_migrate);
    loaded_done(&l);
}

static void environment_beats_file_beats_default(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "log: { level: ERROR }\ncache:\n  ttl: 7\n");
    loaded_env(&l, "LOG_LEVEL=debug");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_int_equal(l.s->log_level, DM_LOG_LEVEL_DEBUG);
    assert_int_equal(l.s->cache_ttl, 7);
    assert_string_equal(dm_settings_origin(l.s, DM_LIT("LOG_LEVEL")), "env");
    assert_string_equal(dm_settings_origin(l.s, DM_LIT("CACHE_TTL")), "file");
    assert_string_equal(dm_settings_origin(l.s, DM_LIT("THREADS")), "default");
    assert_null(dm_settings_origin(l.s, DM_LIT("NO_SUCH_KEY")));
    assert_true(dm_view_eq(dm_settings_file(l.s), dm_view_of(l.file)));
    loaded_done(&l);
}

static void empty_is_unset_but_for_security_headers(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "log_level: ERROR\nsecurity_header: { x_frame_options: '' }\n"
                    "content_security_policy: ''\n");
    loaded_env(&l, "LOG_LEVEL=");
    loaded_env(&l, "SECURITY_HEADER_REFERRER_POLICY=");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_int_equal(l.s->log_level, DM_LOG_LEVEL_ERROR);
    assert_int_equal(l.s->security_header_x_frame_options.len, 0);
    assert_int_equal(l.s->security_header_referrer_policy.len, 0);
    assert_true(l.s->content_security_policy.len > 20);
    loaded_done(&l);
}

static void an_alias_counts_where_its_key_is_unset_at_the_same_level(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_GATEWAY);
    loaded_file(&l, "http_read_timeout: 3\nrate_limit_window_ms: 2000\nhttp: { pool_size: 9 }\n");
    loaded_env(&l, "UPSTREAM_TIMEOUT=4");
    loaded_env(&l, "RATE_LIMIT_WINDOW=90");
    loaded_env(&l, "REVOCATION_FAIL_OPEN=yes");
    loaded_env(&l, "DEBUG=true");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(l.s->http_read_timeout == 4 * DM_SEC);
    assert_int_equal(l.s->rate_limit_window_ms, 90000);
    assert_int_equal(l.s->http_max_keepalive, 9);
    assert_int_equal(l.s->revocation_fail_mode, DM_REVOCATION_FAIL_MODE_OPEN);
    assert_int_equal(l.s->log_level, DM_LOG_LEVEL_DEBUG);
    assert_true(loaded_said(&l.notes, "HTTP_READ_TIMEOUT: taken from its alias UPSTREAM_TIMEOUT"));
    loaded_done(&l);
}

static void a_key_wins_over_its_alias_with_a_warning(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_env(&l, "ENV=test");
    loaded_env(&l, "NODE_ENV=development");
    loaded_env(&l, "ACCESS_TOKEN_EXPIRES_MINUTES=3");
    loaded_env(&l, "ENABLE_STARLETTE_CORS=1");
    loaded_env(&l, "DEBUG=app:*"); /* somebody else's: says nothing here */
    loaded_env(&l, "SOME_OTHER_PROGRAM=x");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_int_equal(l.s->env, DM_ENV_TEST);
    assert_int_equal(l.s->log_level, DM_LOG_LEVEL_INFO);
    assert_true(loaded_said(&l.warnings, "ENV: differs from its alias NODE_ENV; ENV wins"));
    assert_true(loaded_said(&l.warnings, "ACCESS_TOKEN_EXPIRES_MINUTES: accepted without effect"));
    assert_true(loaded_said(&l.notes, "ENABLE_STARLETTE_CORS: accepted and ignored"));
    loaded_done(&l);
}

static void a_secret_comes_from_the_file_its_key_file_names(void **state)
{
    (void)state;
    struct loaded l;
    char entry[128];
    (void)snprintf(entry, sizeof(entry), "REDIS_PASSWORD_FILE=%s",
                   scratch_file("redis", "p4ss word\n"));
    loaded_init(&l, DM_ROLE_GATEWAY);
    loaded_env(&l, entry);
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(dm_view_eq(dm_secret_view(&l.s->redis_password), DM_LIT("p4ss word")));
    dm_view watched;
    assert_true(dm_settings_watched(l.s, 0, &watched));
    assert_false(dm_settings_watched(l.s, 1, &watched));

    loaded_env(&l, "REDIS_PASSWORD=other");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(&l, "REDIS_PASSWORD and REDIS_PASSWORD_FILE are both set");
    loaded_done(&l);

    loaded_bare(&l, DM_ROLE_GATEWAY);
    loaded_env(&l, "JWT_SECRET_KEY_FILE=/no/such/file");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1); /* and is not asked for once more */
    loaded_done(&l);

    loaded_init(&l, DM_ROLE_GATEWAY);
    loaded_env(&l, "REDIS_PASSWORD_FILE=/no/such/file");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(
        &l, "REDIS_PASSWORD: REDIS_PASSWORD_FILE names \"/no/such/file\": No such file");
    loaded_done(&l);
}

static void a_key_file_of_a_key_that_is_no_secret_is_somebody_elses(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_env(&l, "PORT_FILE=/no/such/file");
    loaded_run(&l);
    loaded_expect_ok(&l);
    loaded_done(&l);
}

#define KEYS_WITH_ESCAPES                                                                          \
    "[{\"kid\":\"a\",\"algorithm\":\"HS256\",\"secret\":\"-----BEGIN\\n0123456789abcdef0123456\"}" \
    "]"

static void a_json_secret_keeps_its_own_escapes(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_env(&l, "JWT_KEYS=" KEYS_WITH_ESCAPES);
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(dm_view_eq(dm_secret_view(&l.s->jwt_keys), DM_LIT(KEYS_WITH_ESCAPES)));
    loaded_done(&l);
}

static void relative_paths_lie_under_the_data_directory(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_env(&l, "DOORMAN_DATA_DIR=/tmp");
    loaded_env(&l, "LOGS_DIR=/var/log/doorman");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(dm_view_eq(l.s->mem_dump_path, DM_LIT("/tmp/generated/memory_dump.bin")));
    assert_true(dm_view_eq(l.s->pid_file, DM_LIT("/tmp/doorman.pid")));
    assert_true(dm_view_eq(l.s->log_file, DM_LIT("/var/log/doorman/doorman.log")));
    loaded_done(&l);
}

static void a_fault_reads_as_the_contract_says(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "# a comment\nlog:\n  level: LOUD\nmax: { page_sise: 3 }\nport: 99\n");
    loaded_env(&l, "METRICS_PORT=70000");
    loaded_env(&l, "NODE_ENV=staging");
    loaded_env(&l, "LOCAL_AUTH_TOKEN=short-and-secret");
    loaded_run(&l);
    char line[512];
    loaded_expect_fault(
        &l, "Failed to start server: Error: METRICS_PORT: out of range; got 70000; expected: "
            "an integer from 0 to 65535; from env\n");
    loaded_expect_fault(
        &l, "Failed to start server: Error: NODE_ENV: unknown word; got staging; expected: "
            "development, test, production; from env (alias of ENV)\n");
    loaded_expect_fault(
        &l, "Failed to start server: Error: LOCAL_AUTH_TOKEN: too short; got [REDACTED] (length "
            "16); expected: 50 to 4096 characters; from env\n");
    (void)snprintf(line, sizeof(line),
                   "Error: LOG_LEVEL: unknown word; got LOUD; expected: TRACE, DEBUG, INFO, "
                   "WARNING, ERROR, CRITICAL; from %s:3:10\n",
                   l.file);
    loaded_expect_fault(&l, line);
    (void)snprintf(line, sizeof(line),
                   "Error: %s:4:8: unknown key max.page_sise; did you mean max_page_size?\n",
                   l.file);
    loaded_expect_fault(&l, line);
    (void)snprintf(line, sizeof(line),
                   "Error: %s:5:1: PORT: not allowed in the config file; expected in the "
                   "environment or as a flag\n",
                   l.file);
    loaded_expect_fault(&l, line);
    assert_int_equal(loaded_faults(&l), 6);
    loaded_done(&l);
}

static void required_keys_are_asked_for_in_the_words_of_the_contract(void **state)
{
    (void)state;
    struct loaded l;
    loaded_bare(&l, DM_ROLE_ALL);
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 2);
    loaded_expect_fault(
        &l, "Failed to start server: Error: JWT_SECRET_KEY environment variable is required");
    loaded_expect_fault(
        &l, "Failed to start server: Error: DOORMAN_ADMIN_PASSWORD environment variable is "
            "required\n");
    loaded_done(&l);

    loaded_bare(&l, DM_ROLE_ADMIN);
    loaded_env(&l, "ENV=production");
    loaded_env(&l, "HTTPS_ONLY=true");
    loaded_run(&l);
    loaded_expect_fault(&l, "Error: REDIS_URL environment variable is required (or REDIS_HOST)\n");
    loaded_expect_fault(
        &l, "Error: DATABASE_URL environment variable is required (or MONGO_DB_HOSTS)\n");
    loaded_expect_fault(&l, "Error: POLICY_SIGNING_KEY environment variable is required");
    assert_int_equal(loaded_faults(&l), 4);
    loaded_done(&l);
}

static void a_foreign_database_is_refused_by_name_without_its_password(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ADMIN);
    loaded_env(&l, "DATABASE_URL=postgres://ann:hunter2@db:5432/x?password=hunter3");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(
        &l, "Error: DATABASE_URL: scheme postgres is not supported; this product stores data in "
            "MongoDB; got postgres://[REDACTED]@db:5432/x?[REDACTED]; expected: ");
    assert_false(loaded_said(&l.faults, "hunter"));
    loaded_done(&l);
}

static void collect(void *ctx, const struct dm_settings_fault *f)
{
    dm_buf_addf(ctx, "%.*s|%.*s|%u:%u\n", DM_FMT(f->key), DM_FMT(f->expected), f->line, f->column);
}

static void faults_are_also_given_in_pieces(void **state)
{
    (void)state;
    struct loaded l;
    struct dm_buf seen;
    dm_buf_init(&seen, 4096);
    loaded_init(&l, DM_ROLE_ALL);
    l.in.on_fault = collect;
    l.in.ctx = &seen;
    loaded_file(&l, "cache: { ttl: x }\nnope: 1\n");
    loaded_run(&l);
    assert_true(loaded_said(&seen, "CACHE_TTL|an integer from 0 to 86400|1:15\n"));
    assert_true(loaded_said(&seen, "nope|"));
    assert_int_equal(loaded_faults(&l), 2);
    dm_buf_done(&seen);
    loaded_done(&l);
}

static void lifetimes_are_counted_in_their_unit(void **state)
{
    (void)state;
    assert_int_equal(dm_settings_seconds(30, DM_AUTH_EXPIRE_TIME_FREQ_MINUTES), 1800);
    assert_int_equal(dm_settings_seconds(7, DM_AUTH_REFRESH_EXPIRE_FREQ_DAYS), 604800);
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_env(&l, "AUTH_EXPIRE_TIME=2");
    loaded_env(&l, "AUTH_EXPIRE_TIME_FREQ=w");
    loaded_run(&l);
    assert_int_equal(loaded_faults(&l), 1);
    loaded_expect_fault(
        &l, "AUTH_REFRESH_EXPIRE_TIME: shorter than the life of an access token; got 7; ");
    loaded_done(&l);
}

static void print_shows_origins_and_no_secret(void **state)
{
    (void)state;
    struct loaded l;
    struct dm_buf out;
    dm_buf_init(&out, LOADED_TEXT_MAX);
    loaded_init(&l, DM_ROLE_ALL);
    loaded_env(&l, "LOG_LEVEL=warn");
    loaded_env(&l, "RQ_REDIS_URL=redis://u:hunter2@r:1/0");
    loaded_env(&l, "TRUSTED_PROXIES=10.0.0.0/8, ::1");
    loaded_env(&l, "HTTP_CONNECT_TIMEOUT=0.25");
    loaded_run(&l);
    loaded_expect_ok(&l);
    dm_settings_print(l.s, false, &out);
    assert_true(loaded_said(&out, "LOG_LEVEL = WARNING (env)\n"));
    assert_true(loaded_said(&out, "JWT_SECRET_KEY = [REDACTED] (env)\n"));
    assert_true(loaded_said(&out, "RQ_REDIS_URL = redis://[REDACTED]@r:1/0 (env)\n"));
    assert_true(loaded_said(&out, "TRUSTED_PROXIES = 10.0.0.0/8,::1 (env)\n"));
    assert_true(loaded_said(&out, "HTTP_CONNECT_TIMEOUT = 0.25 (env)\n"));
    assert_false(loaded_said(&out, "hunter2"));
    assert_false(loaded_said(&out, "a-test-key"));
    dm_buf_clear(&out);
    dm_settings_print(l.s, true, &out);
    assert_true(loaded_said(&out, "\"LOG_LEVEL\":\"WARNING\""));
    assert_true(loaded_said(&out, "\"MAX_PAGE_SIZE\":100,"));
    assert_true(loaded_said(&out, "\"VAULT_KEY\":null"));
    assert_false(loaded_said(&out, "hunter2"));
    dm_buf_done(&out);
    loaded_done(&l);
}

static void a_change_is_seen_by_value(void **state)
{
    (void)state;
    struct loaded one, two;
    size_t n, changed = 0;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    loaded_init(&one, DM_ROLE_ALL);
    loaded_init(&two, DM_ROLE_ALL);
    loaded_env(&one, "CACHE_TTL=300"); /* the default */
    loaded_env(&two, "VAULT_KEY=abc");
    loaded_env(&two, "PROMETHEUS_ALLOWLIST=10.0.0.1");
    loaded_run(&one);
    loaded_run(&two);
    for (size_t i = 0; i < n; i++)
        changed += !dm_settings_same(one.s, two.s, &rows[i]);
    assert_int_equal(changed, 2);
    loaded_done(&one);
    loaded_done(&two);
}

static void settings_live_as_long_as_somebody_holds_them(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_run(&l);
    struct dm_settings *held = dm_settings_ref(l.s);
    loaded_done(&l);
    assert_int_equal(held->port, 5001);
    dm_settings_unref(held);
    dm_settings_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_starts_with_the_least_it_needs),
        cmocka_unit_test(defaults_follow_program_environment_and_mode),
        cmocka_unit_test(environment_beats_file_beats_default),
        cmocka_unit_test(empty_is_unset_but_for_security_headers),
        cmocka_unit_test(an_alias_counts_where_its_key_is_unset_at_the_same_level),
        cmocka_unit_test(a_key_wins_over_its_alias_with_a_warning),
        cmocka_unit_test(a_secret_comes_from_the_file_its_key_file_names),
        cmocka_unit_test(a_key_file_of_a_key_that_is_no_secret_is_somebody_elses),
        cmocka_unit_test(a_json_secret_keeps_its_own_escapes),
        cmocka_unit_test(relative_paths_lie_under_the_data_directory),
        cmocka_unit_test(a_fault_reads_as_the_contract_says),
        cmocka_unit_test(required_keys_are_asked_for_in_the_words_of_the_contract),
        cmocka_unit_test(a_foreign_database_is_refused_by_name_without_its_password),
        cmocka_unit_test(faults_are_also_given_in_pieces),
        cmocka_unit_test(lifetimes_are_counted_in_their_unit),
        cmocka_unit_test(print_shows_origins_and_no_secret),
        cmocka_unit_test(a_change_is_seen_by_value),
        cmocka_unit_test(settings_live_as_long_as_somebody_holds_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

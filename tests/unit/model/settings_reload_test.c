/* What a reload compares: digests of files, values that only a restart changes, what the
 * environment keeps from the file (configuration.md §0.2, §5). */
#include "settings_help.h"

#include "codec/json.h"
#include "crypto/digest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char public_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEM6e2X0pScjvXYJ343HPXn0SVKU8D\n"
    "4TJcPdL4GUkRFLjaBK3bu1ZOV4S69zBnTH4MUY7hEFx14ZkmbHBMLsDLkQ==\n"
    "-----END PUBLIC KEY-----\n";

static const struct dm_setting_row *row(const char *key)
{
    const struct dm_setting_row *r = dm_setting_find(dm_view_of(key));

    assert_non_null(r);
    return r;
}

/* --- what only a restart changes --- */

/* Loads `yaml` on top of `first`, keeps what needs a restart; gives how many values. */
static size_t reload(struct loaded *l, struct dm_settings *first, const char *yaml, bool **ret_kept)
{
    size_t n;

    loaded_file(l, yaml);
    loaded_run(l);
    loaded_expect_ok(l);
    dm_setting_rows(&n);
    *ret_kept = dm_mem_array(n, sizeof **ret_kept);
    return dm_settings_keep_restart_only(l->s, first, *ret_kept);
}

static bool is_kept(const bool *kept, const char *key)
{
    size_t n;

    return kept[row(key) - dm_setting_rows(&n)];
}

static void hot_values_change_and_others_stay_and_are_named(void **state)
{
    (void)state;
    struct loaded l;
    bool *kept;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "max_page_size: 5\nredis_host: [one]\nlogs_dir: here\nmax_connections: 100\n");
    loaded_run(&l);
    struct dm_settings *first = dm_settings_ref(l.s);
    assert_int_equal(reload(&l, first,
                            "max_page_size: 6\nredis_host: [two, three]\nlogs_dir: there\n"
                            "max_connections: 200\n",
                            &kept),
                     3);
    assert_true(is_kept(kept, "REDIS_HOST") && is_kept(kept, "LOGS_DIR") &&
                is_kept(kept, "MAX_CONNECTIONS") && !is_kept(kept, "MAX_PAGE_SIZE"));
    assert_int_equal(l.s->max_page_size, 6);
    assert_int_equal(l.s->max_connections, 100);
    assert_true(dm_settings_same(l.s, first, row("REDIS_HOST")));
    assert_true(dm_settings_same(l.s, first, row("LOGS_DIR")));
    dm_settings_unref(first); /* what was kept lives on with its new owner */
    assert_int_equal(l.s->redis_host.count, 1);
    assert_true(dm_view_eq(l.s->redis_host.items[0], DM_LIT("one")));
    dm_mem_free(kept);
    loaded_done(&l);
}

static void a_secret_that_needs_a_restart_is_kept_too(void **state)
{
    (void)state;
    struct loaded l;
    bool *kept;
    loaded_init(&l, DM_ROLE_ADMIN);
    loaded_env(&l, "MONGO_DB_USER=doorman");
    loaded_env(&l, "MONGO_DB_PASSWORD=first-password");
    loaded_file(&l, "");
    loaded_run(&l);
    loaded_expect_ok(&l);
    struct dm_settings *first = dm_settings_ref(l.s);
    loaded_env(&l, "MONGO_DB_PASSWORD=second-password");
    assert_int_equal(reload(&l, first, "", &kept), 1);
    assert_true(is_kept(kept, "MONGO_DB_PASSWORD"));
    assert_true(dm_view_eq(dm_secret_view(&l.s->mongo_db_password), DM_LIT("first-password")));
    dm_settings_unref(first);
    dm_mem_free(kept);
    loaded_done(&l);
}

static void keys_of_another_program_are_nobodys_business(void **state)
{
    (void)state;
    struct loaded l;
    bool *kept;
    loaded_init(&l, DM_ROLE_GATEWAY);
    loaded_file(&l, "");
    loaded_run(&l);
    struct dm_settings *first = dm_settings_ref(l.s);
    assert_int_equal(reload(&l, first, "mongo_db_name: another\n", &kept), 0);
    dm_settings_unref(first);
    dm_mem_free(kept);
    loaded_done(&l);
}

static void put_back_nothing_needs_a_restart(void **state)
{
    (void)state;
    struct loaded l;
    bool *kept;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "max_connections: 100\n");
    loaded_run(&l);
    struct dm_settings *first = dm_settings_ref(l.s);
    assert_int_equal(reload(&l, first, "max_connections: 200\n", &kept), 1);
    dm_mem_free(kept);
    assert_int_equal(reload(&l, first, "max_connections: 100\n", &kept), 0);
    dm_mem_free(kept);
    dm_settings_unref(first);
    loaded_done(&l);
}

/* Else an edit of ENV would switch guards and safe defaults off in a process of production. */
static void the_environment_in_force_decides_about_defaults_and_guards(void **state)
{
    (void)state;
    struct loaded l;
    bool *kept;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_file(&l, "env: development\n");
    loaded_run(&l);
    struct dm_settings *first = dm_settings_ref(l.s);
    assert_true(l.s->chaos_enabled);
    first->env = DM_ENV_PRODUCTION; /* as if it had begun so: a whole set of production is long */
    first->production = true;
    l.in.first = first;
    loaded_file(&l, "env: development\n");
    loaded_run(&l);
    loaded_expect_fault(&l, "HTTPS_ONLY");
    dm_settings_unref(first);
    l.in.first = NULL;
    loaded_file(&l, "env: test\n");
    loaded_run(&l);
    first = dm_settings_ref(l.s);
    l.in.first = first;
    assert_int_equal(reload(&l, first, "env: production\n", &kept), 1);
    assert_true(is_kept(kept, "ENV") && l.s->env == DM_ENV_TEST && !l.s->production);
    assert_true(l.s->chaos_enabled);
    dm_settings_unref(first);
    dm_mem_free(kept);
    loaded_done(&l);
}

/* Copying a value needs its size: an owner that cannot be copied would end the process. */
static void every_key_that_needs_a_restart_can_be_kept(void **state)
{
    (void)state;
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);

    for (size_t i = 0; i < n; i++) {
        if (rows[i].reload != 'H' && rows[i].reload != 'F')
            assert_int_not_equal(rows[i].type, DM_SETTING_CIDRS);
    }
}

/* --- the environment wins --- */

static void what_the_environment_overrides_is_told(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, DM_ROLE_ALL);
    loaded_env(&l, "MAX_PAGE_SIZE=7");
    loaded_env(&l, "COMPRESSION_LEVEL=2");
    loaded_env(&l, "HTTP_CONNECT_TIMEOUT=3");
    loaded_file(&l, "max_page_size: 8\nlog_level: DEBUG\nconnection_timeout: 4\n");
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(dm_settings_overridden(l.s, row("MAX_PAGE_SIZE")));
    assert_true(dm_settings_overridden(l.s, row("HTTP_CONNECT_TIMEOUT"))); /* by its alias */
    assert_false(dm_settings_overridden(l.s, row("COMPRESSION_LEVEL")));   /* not in the file */
    assert_false(dm_settings_overridden(l.s, row("LOG_LEVEL")));
    loaded_done(&l);
}

/* --- digests --- */

struct digest {
    unsigned char bytes[DM_SHA256_LEN];
};

static struct digest digest_of(const struct loaded *l)
{
    struct digest d;

    dm_settings_digest(l->s, d.bytes);
    return d;
}

static bool same(struct digest a, struct digest b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static void a_digest_is_of_what_the_files_hold_now(void **state)
{
    (void)state;
    struct loaded l;
    char entry[128];
    loaded_init(&l, DM_ROLE_ALL);
    (void)snprintf(entry, sizeof entry, "VAULT_KEY_FILE=%s", scratch_file("vault", "secret one"));
    loaded_env(&l, entry);
    loaded_file(&l, "max_page_size: 5\n");
    loaded_run(&l);
    loaded_expect_ok(&l);
    const struct digest before = digest_of(&l);
    assert_true(same(before, digest_of(&l)));
    scratch_file("doorman.yaml", "max_page_size: 6\n");
    const struct digest edited = digest_of(&l);
    assert_false(same(before, edited));
    scratch_file("doorman.yaml", "max_page_size: 5\n");
    assert_true(same(before, digest_of(&l)));
    scratch_file("vault", "secret two");
    assert_false(same(before, digest_of(&l)));
    scratch_file("vault", "");
    const struct digest empty = digest_of(&l);
    assert_int_equal(unlink(scratch_file("vault", "")), 0);
    assert_false(same(empty, digest_of(&l))); /* gone is not empty */
    loaded_done(&l);
}

static bool watched(const struct dm_settings *s, const char *wanted)
{
    dm_view path;

    for (size_t i = 0; dm_settings_watched(s, i, &path); i++) {
        if (dm_view_eq(path, dm_view_of(wanted)))
            return true;
    }
    return false;
}

static void every_file_behind_a_value_is_watched(void **state)
{
    (void)state;
    struct loaded l;
    char entry[128], keys[512];
    const char *secret = scratch_file("vault", "secret one");
    const char *pem = scratch_file("key.pem", public_pem);
    loaded_init(&l, DM_ROLE_GATEWAY);
    (void)snprintf(entry, sizeof entry, "REDIS_PASSWORD_FILE=%s", secret);
    loaded_env(&l, entry);
    (void)snprintf(keys, sizeof keys,
                   "JWT_KEYS=[{\"kid\":\"a\",\"algorithm\":\"ES256\","
                   "\"public_key_path\":\"%s\"}]",
                   pem);
    loaded_env(&l, keys);
    loaded_run(&l);
    loaded_expect_ok(&l);
    assert_true(watched(l.s, secret) && watched(l.s, pem));
    assert_false(watched(l.s, "/elsewhere"));
    loaded_done(&l);
}

/* --- for those who only ask where things are --- */

static void lenient_settings_come_with_faults_and_defaults(void **state)
{
    (void)state;
    struct loaded l;
    loaded_bare(&l, DM_ROLE_ALL); /* without the secrets that a start needs */
    loaded_env(&l, "PID_FILE=/run/other.pid");
    loaded_env(&l, "METRICS_PORT=none");
    l.env[l.n_env] = NULL;
    l.in.environ_ = l.env;
    l.in.lenient = true;
    assert_int_equal(dm_settings_load(&l.in, &l.s, &l.faults, &l.warnings), DM_INVALID);
    assert_non_null(l.s);
    assert_true(dm_view_eq(l.s->pid_file, DM_LIT("/run/other.pid")));
    assert_int_equal(l.s->metrics_port, 9464);
    loaded_expect_fault(&l, "METRICS_PORT");
    loaded_done(&l);
}

/* --- faults in pieces --- */

struct told {
    char key[64], reason[256], expected[256];
    unsigned line, column;
    size_t n;
};

static void on_fault(void *ctx, const struct dm_settings_fault *f)
{
    struct told *t = ctx;

    t->n++;
    (void)snprintf(t->key, sizeof t->key, "%.*s", DM_FMT(f->key));
    (void)snprintf(t->reason, sizeof t->reason, "%.*s", DM_FMT(f->reason));
    (void)snprintf(t->expected, sizeof t->expected, "%.*s", DM_FMT(f->expected));
    t->line = f->line;
    t->column = f->column;
}

static void faults_of_the_file_as_a_whole_have_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        unsigned line, column;
        const char *key;
    } cases[] = {{"max_page_size: 5\n- list\n", 2, 1, "DOORMAN_CONFIG_FILE"},
                 {"[1, 2]\n", 1, 1, "DOORMAN_CONFIG_FILE"},
                 {"log_level: INFO\nlog_level: DEBUG\n", 2, 1, "DOORMAN_CONFIG_FILE"},
                 {"max_page_size: none\n", 1, 16, "MAX_PAGE_SIZE"},
                 {"\nnosuch: 1\n", 2, 1, "nosuch"},
                 {"host: 127.0.0.1\n", 1, 1, "HOST"}};
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct loaded l;
        struct told told = {.n = 0};
        loaded_init(&l, DM_ROLE_ALL);
        loaded_file(&l, cases[i].yaml);
        l.in.on_fault = on_fault;
        l.in.ctx = &told;
        loaded_run(&l);
        assert_int_equal(told.n, 1);
        assert_string_equal(told.key, cases[i].key);
        assert_int_equal(told.line, cases[i].line);
        assert_int_equal(told.column, cases[i].column);
        assert_true(told.reason[0] > ' ' && told.expected[0] > ' ');
        loaded_done(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hot_values_change_and_others_stay_and_are_named),
        cmocka_unit_test(a_secret_that_needs_a_restart_is_kept_too),
        cmocka_unit_test(keys_of_another_program_are_nobodys_business),
        cmocka_unit_test(put_back_nothing_needs_a_restart),
        cmocka_unit_test(the_environment_in_force_decides_about_defaults_and_guards),
        cmocka_unit_test(every_key_that_needs_a_restart_can_be_kept),
        cmocka_unit_test(what_the_environment_overrides_is_told),
        cmocka_unit_test(a_digest_is_of_what_the_files_hold_now),
        cmocka_unit_test(every_file_behind_a_value_is_watched),
        cmocka_unit_test(lenient_settings_come_with_faults_and_defaults),
        cmocka_unit_test(faults_of_the_file_as_a_whole_have_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

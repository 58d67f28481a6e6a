#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/redis/redis_internal.h"

static enum dm_code load(const char *const *set, struct dm_settings **ret_settings,
                         struct dm_redis_config *ret, struct dm_error *err)
{
    const char *environ_[16] = {"ENV=test",
                                "JWT_SECRET_KEY=test-secret-0123456789abcdef0123456789"};
    struct dm_buf faults, warnings;
    size_t n = 2;
    for (; *set != NULL; set++)
        environ_[n++] = *set;
    dm_buf_init(&faults, 65536);
    dm_buf_init(&warnings, 65536);
    const struct dm_settings_input in = {
        .role = DM_ROLE_GATEWAY, .environ_ = environ_, .no_files = true};
    if (dm_settings_load(&in, ret_settings, &faults, &warnings) != DM_OK)
        fail_msg("%.*s", DM_FMT(dm_buf_view(&faults)));
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    return dm_redis_config_of(*ret_settings, ret, err);
}

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

static void the_mode_follows_from_what_is_set(void **state)
{
    (void)state;
    static const struct {
        const char *const set[3];
        enum dm_redis_mode mode;
        size_t hosts;
    } cases[] = {
        {{"REDIS_HOST=one"}, DM_REDIS_STANDALONE, 1},
        {{"REDIS_HOST=one,two:7000"}, DM_REDIS_CLUSTER, 2},
        {{"REDIS_HOST=one", "REDIS_MODE=cluster"}, DM_REDIS_CLUSTER, 1},
        {{"REDIS_HOST=one", "REDIS_SENTINEL_HOSTS=a,b,c"}, DM_REDIS_SENTINEL, 3},
        {{"REDIS_HOST=one,two", "REDIS_URL=redis://three"}, DM_REDIS_STANDALONE, 1},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct dm_settings *s;
        struct dm_redis_config c;
        assert_int_equal(load(cases[i].set, &s, &c, NULL), DM_OK);
        assert_int_equal(c.mode, cases[i].mode);
        assert_int_equal(c.n_hosts, cases[i].hosts);
        dm_settings_unref(s);
    }
}

static void an_url_wins_over_the_rest(void **state)
{
    (void)state;
    struct dm_settings *s;
    struct dm_redis_config c;
    assert_int_equal(load(SET("REDIS_URL=rediss://us%40er:p:a@ss@red.is:7000/5", "REDIS_HOST=x",
                              "REDIS_PASSWORD=other", "REDIS_DB=2"),
                          &s, &c, NULL),
                     DM_OK);
    assert_true(dm_view_eq(c.hosts[0], DM_LIT("red.is:7000")));
    assert_true(dm_view_eq(c.username, DM_LIT("us%40er")));
    assert_true(dm_view_eq(c.password, DM_LIT("p:a@ss")));
    assert_true(c.encoded && c.tls);
    assert_int_equal(c.db, 5);
    dm_settings_unref(s);
    assert_int_equal(load(SET("REDIS_URL=unix:///run/r.sock?db=7"), &s, &c, NULL), DM_OK);
    assert_true(dm_view_eq(c.hosts[0], DM_LIT("/run/r.sock")));
    assert_int_equal(c.db, 7);
    dm_settings_unref(s);
}

static void what_cannot_work_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *const set[4];
        const char *said;
    } cases[] = {
        {{"REDIS_HOST=one,two", "REDIS_MODE=standalone"}, "standalone takes one"},
        {{"REDIS_HOST=one", "REDIS_MODE=sentinel"}, "REDIS_SENTINEL_HOSTS"},
        {{"REDIS_HOST=one", "REDIS_USERNAME=a"}, "REDIS_PASSWORD"},
        {{"REDIS_URL=redis://a/x"}, "database number"},
        {{"REDIS_URL=redis://a/256"}, "database number"},
        {{"REDIS_URL=unix:///a?password=x"}, "only db="},
        {{"REDIS_URL=redis://a:99999"}, "no address"},
        {{"REDIS_URL=unix:///a", "REDIS_TLS=true"}, "Unix socket"},
        {{"REDIS_URL=redis://a/1", "REDIS_MODE=cluster"}, "database 0"},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        struct dm_settings *s;
        struct dm_redis_config c;
        struct dm_error err;
        assert_int_equal(load(cases[i].set, &s, &c, &err), DM_INVALID);
        if (strstr(err.text, cases[i].said) == NULL)
            fail_msg("\"%s\" says nothing of \"%s\"", err.text, cases[i].said);
        dm_settings_unref(s);
    }
}

static void tls_files_that_cannot_be_used_stop_the_start(void **state)
{
    (void)state;
    struct dm_loop *loop = dm_loop_new(&dm_clock_system);
    struct dm_redis *r = NULL;
    struct dm_error err;
    struct dm_redis_config c = {.hosts = {DM_LIT("localhost")},
                                .n_hosts = 1,
                                .tls = true,
                                .tls_ca_file = DM_LIT("/no/such/file.pem")};
    assert_int_equal(dm_redis_new(loop, NULL, &c, &r, &err), DM_INVALID);
    assert_non_null(strstr(err.text, "/no/such/file.pem"));
    c.tls_ca_file = DM_VIEW_NONE;
    c.tls_cert_file = DM_LIT("/some/cert.pem");
    assert_int_equal(dm_redis_new(loop, NULL, &c, &r, &err), DM_INVALID);
    c.tls = false;
    c.tls_cert_file = DM_VIEW_NONE;
    c.encoded = true;
    c.password = DM_LIT("bad%zz");
    assert_int_equal(dm_redis_new(loop, NULL, &c, &r, &err), DM_INVALID);
    assert_null(strstr(err.text, "bad"));
    dm_loop_free(loop);
}

static void addresses_are_read_in_every_form(void **state)
{
    (void)state;
    struct dm_redis_address a;
    assert_true(dm_redis_address_parse(DM_LIT("host"), 6379, &a));
    assert_string_equal(a.host, "host");
    assert_int_equal(a.port, 6379);
    assert_true(dm_redis_address_parse(DM_LIT("[::1]:7000"), 6379, &a));
    assert_string_equal(a.host, "[::1]");
    assert_int_equal(a.port, 7000);
    assert_true(dm_redis_address_parse(DM_LIT("[::1]"), 6379, &a));
    assert_true(dm_redis_address_parse(DM_LIT("/run/a:b"), 6379, &a));
    assert_string_equal(a.host, "/run/a:b");
    static const char *const wrong[] = {"", ":1", "a:", "a:0", "a:65536", "a:b", "[::1]x", "[::1"};
    for (size_t i = 0; i < DM_COUNT_OF(wrong); i++)
        assert_false(dm_redis_address_parse(dm_view_of(wrong[i]), 6379, &a));
    /* A reply may not lead us to a socket of this machine. */
    assert_false(dm_redis_address_set(DM_LIT("/run/secret.sock"), 6379, &a));
    assert_false(dm_redis_address_set(DM_LIT("a"), 0, &a));
    assert_false(dm_redis_address_set(DM_LIT("a"), 65536, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mode_follows_from_what_is_set),
        cmocka_unit_test(an_url_wins_over_the_rest),
        cmocka_unit_test(what_cannot_work_is_refused_with_its_reason),
        cmocka_unit_test(tls_files_that_cannot_be_used_stop_the_start),
        cmocka_unit_test(addresses_are_read_in_every_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

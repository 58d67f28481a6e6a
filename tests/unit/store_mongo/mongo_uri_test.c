#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "store/mongo/mongo_internal.h"

static mongoc_uri_t *build(const struct dm_mongo_config *c)
{
    mongoc_uri_t *uri = NULL;
    struct dm_error err = {0};
    dm_mongo_driver_start();
    if (dm_mongo_uri_build(c, &uri, &err) != DM_OK)
        fail_msg("%s", err.text);
    return uri;
}

static void assert_database(const struct dm_mongo_config *c, const mongoc_uri_t *uri,
                            const char *wanted)
{
    char *name = dm_mongo_database(c, uri);
    assert_string_equal(name, wanted);
    dm_mem_free(name);
}

static int option(const mongoc_uri_t *uri, const char *name)
{
    return mongoc_uri_get_option_as_int32(uri, name, -1);
}

static void parts_make_an_address(void **state)
{
    const dm_view hosts[] = {DM_LIT("m-0.db"), DM_LIT("[::1]:27018")};
    const struct dm_mongo_config c = {.hosts = hosts,
                                      .n_hosts = 2,
                                      .replica_set = DM_LIT("rs0"),
                                      .user = DM_LIT("us/er"),
                                      .password = DM_LIT("p@:%/word"),
                                      .database = DM_LIT("doorman_x"),
                                      .tls = true,
                                      .selection_timeout_ms = 700,
                                      .pool_max = 9,
                                      .pool_wait_ms = 800};
    (void)state;
    mongoc_uri_t *uri = build(&c);
    const mongoc_host_list_t *h = mongoc_uri_get_hosts(uri);
    assert_string_equal(h->host_and_port, "m-0.db:27017");
    assert_string_equal(h->next->host, "::1");
    assert_int_equal(h->next->port, 27018);
    assert_string_equal(mongoc_uri_get_username(uri), "us/er");
    assert_string_equal(mongoc_uri_get_password(uri), "p@:%/word");
    assert_string_equal(mongoc_uri_get_auth_source(uri), "admin");
    assert_database(&c, uri, "doorman_x");
    assert_string_equal(mongoc_uri_get_replica_set(uri), "rs0");
    assert_true(mongoc_uri_get_tls(uri));
    assert_int_equal(option(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS), 700);
    assert_int_equal(option(uri, MONGOC_URI_MAXPOOLSIZE), 9);
    assert_int_equal(option(uri, MONGOC_URI_WAITQUEUETIMEOUTMS), 800);
    assert_int_equal(option(uri, MONGOC_URI_SOCKETTIMEOUTMS), 5000);
    assert_true(mongoc_write_concern_get_wmajority(mongoc_uri_get_write_concern(uri)));
    mongoc_uri_destroy(uri);
}

static void address_wins_over_the_parts(void **state)
{
    const dm_view host = DM_LIT("other");
    const struct dm_mongo_config c = {
        .uri = DM_LIT("mongodb://u:p@a,b/own?authSource=x&replicaSet=rs&socketTimeoutMS=77&w=1"),
        .hosts = &host,
        .n_hosts = 1,
        .user = DM_LIT("nobody"),
        .password = DM_LIT("nothing"),
        .replica_set = DM_LIT("no"),
        .database = DM_LIT("unused"),
        .selection_timeout_ms = 700};
    (void)state;
    mongoc_uri_t *uri = build(&c);
    assert_string_equal(mongoc_uri_get_hosts(uri)->host, "a");
    assert_string_equal(mongoc_uri_get_username(uri), "u");
    assert_database(&c, uri, "own");
    assert_string_equal(mongoc_uri_get_auth_source(uri), "x");
    assert_string_equal(mongoc_uri_get_replica_set(uri), "rs");
    assert_int_equal(option(uri, MONGOC_URI_SOCKETTIMEOUTMS), 77);
    assert_int_equal(option(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS), 700);
    assert_int_equal(mongoc_write_concern_get_w(mongoc_uri_get_write_concern(uri)), 1);
    mongoc_uri_destroy(uri);
}

static void database_of_a_setting_is_not_where_users_are_looked_up(void **state)
{
    const struct dm_mongo_config c = {.uri = DM_LIT("mongodb://u:p@a/"),
                                      .database = DM_LIT("doorman")};
    (void)state;
    mongoc_uri_t *uri = build(&c);
    assert_database(&c, uri, "doorman");
    assert_string_equal(mongoc_uri_get_auth_source(uri), "admin");
    mongoc_uri_destroy(uri);
}

static void unusable_addresses_are_refused_without_their_password(void **state)
{
    static const char *const bad[] = {"mongodb://", "http://u:Pa55@h/", "mongodb://u:Pa55@h:99999/",
                                      "mongodb://u:Pa:55@h:1", "mongodb://u:Pa55"};
    const dm_view hosts[] = {DM_LIT("h/x?tls=false"), DM_LIT("u:p@h"), DM_LIT(""), DM_LIT("a,b"),
                             DM_LIT("h\0x")};
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(bad) + DM_COUNT_OF(hosts); i++) {
        mongoc_uri_t *uri = NULL;
        struct dm_error err = {0};
        struct dm_mongo_config c = {.n_hosts = 1};
        if (i < DM_COUNT_OF(bad))
            c.uri = dm_view_of(bad[i]);
        else
            c.hosts = &hosts[i - DM_COUNT_OF(bad)];
        assert_int_equal(dm_mongo_uri_build(&c, &uri, &err), DM_INVALID);
        assert_null(strstr(err.text, "Pa55"));
        assert_null(uri);
    }
}

static void open_contacts_nobody(void **state)
{
    static const struct dm_documents_schema schema = {0};
    const dm_view host = DM_LIT("127.0.0.1:1");
    const struct dm_mongo_config c = {.hosts = &host,
                                      .n_hosts = 1,
                                      .replica_set = DM_LIT("rs0"),
                                      .selection_timeout_ms = 100,
                                      .schema = &schema};
    struct dm_documents *d = NULL;
    struct dm_error err = {0};
    (void)state;
    assert_int_equal(dm_documents_mongo_open(&c, &d, &err), DM_OK);
    assert_int_equal(dm_documents_ping(d, &err), DM_UNAVAILABLE);
    assert_int_equal(err.err, ERR_STORE_DOCUMENTS_AWAY);
    dm_documents_free(d);
}

static void errors_say_who_is_to_blame(void **state)
{
    static const struct {
        uint32_t domain, code;
        enum dm_code rc;
        bool away;
    } cases[] = {
        {MONGOC_ERROR_SERVER_SELECTION, 13053, DM_UNAVAILABLE, true},
        {MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_SOCKET, DM_UNAVAILABLE, true},
        {MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT, DM_UNAVAILABLE, true},
        {MONGOC_ERROR_CLIENT, MONGOC_ERROR_CLIENT_AUTHENTICATE, DM_UNAVAILABLE, true},
        {MONGOC_ERROR_SERVER, 10107, DM_UNAVAILABLE, true}, /* not primary */
        {MONGOC_ERROR_SERVER, 11602, DM_UNAVAILABLE, true}, /* stepping down */
        {MONGOC_ERROR_SERVER, 91, DM_UNAVAILABLE, true},    /* shutting down */
        {MONGOC_ERROR_SERVER, 50, DM_UNAVAILABLE, false},   /* one slow command */
        {MONGOC_ERROR_SERVER, 13, DM_UNAVAILABLE, false},   /* not allowed */
        {MONGOC_ERROR_WRITE_CONCERN, 64, DM_UNAVAILABLE, false},
        {MONGOC_ERROR_SERVER, 11000, DM_EXISTS, false},
        {MONGOC_ERROR_SERVER, 66, DM_INVALID, false}, /* _id changed */
        {MONGOC_ERROR_SERVER, 10334, DM_LIMIT, false},
    };
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++) {
        const bson_error_t e = {.domain = cases[i].domain, .code = cases[i].code};
        struct dm_error err = {0};
        bool away = !cases[i].away;
        assert_int_equal(dm_mongo_error(&e, "ask", "users", &away, &err), cases[i].rc);
        assert_int_equal(away, cases[i].away);
        assert_int_equal(err.err == ERR_STORE_DOCUMENTS_AWAY, cases[i].rc == DM_UNAVAILABLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_make_an_address),
        cmocka_unit_test(address_wins_over_the_parts),
        cmocka_unit_test(database_of_a_setting_is_not_where_users_are_looked_up),
        cmocka_unit_test(unusable_addresses_are_refused_without_their_password),
        cmocka_unit_test(open_contacts_nobody),
        cmocka_unit_test(errors_say_who_is_to_blame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

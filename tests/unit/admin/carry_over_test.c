/* What the Python Doorman stored in other forms, document by document, in the memory store. */
#include "kit.h"

#include "admin/services/carry_over.h"
#include "admin/services/seed.h"
#include "crypto/random.h"

static struct dm_documents *store(void)
{
    size_t n;
    const struct dm_documents_unique *uniques = adm_uniques(&n);

    return dm_documents_memory_new(uniques, n);
}

static void put(struct dm_documents *d, const char *collection, const char *text)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;

    assert_int_equal(dm_json_parse(dm_view_of(text), &dm_json_default, &doc, NULL), DM_OK);
    assert_int_equal(dm_documents_insert(d, collection, doc, NULL), DM_OK);
}

/* Everything of a collection, as text. */
static void assert_holds(struct dm_documents *d, const char *collection, const char *wanted)
{
    DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *expected = NULL;
    const struct dm_query all = {0};
    struct dm_buf text;

    assert_int_equal(dm_documents_list(d, collection, &all, &docs, NULL), DM_OK);
    assert_int_equal(dm_json_parse(dm_view_of(wanted), &dm_json_default, &expected, NULL), DM_OK);
    dm_buf_init(&text, 64 * 1024);
    dm_json_write(docs, &text);
    if (!dm_json_equal(docs, expected))
        fail_msg("%s holds %s", collection, dm_buf_cstr(&text));
    dm_buf_done(&text);
}

/* Twice: the second time nothing is left to do. */
static void carry(struct dm_documents *d, uint64_t changes)
{
    struct dm_error err = {0};
    uint64_t n = 99;

    if (adm_carry_over(d, &n, &err) != DM_OK)
        fail_msg("%s", err.text);
    assert_int_equal(n, changes);
    assert_int_equal(adm_carry_over(d, &n, &err), DM_OK);
    assert_int_equal(n, 0);
}

static void entries_that_are_no_addresses_go(void **state)
{
    struct dm_documents *d = store();

    (void)state;
    put(d, "settings",
        "{\"type\":\"security_settings\",\"ip_blacklist\":[\"1.2.3.4\",\"x\",7,\"\",\" ::1 \"],"
        "\"ip_whitelist\":[],\"xff_trusted_proxies\":[\"proxy\"]}");
    carry(d, 4);
    assert_holds(d, "settings",
                 "[{\"type\":\"security_settings\",\"ip_blacklist\":[\"1.2.3.4\",\" ::1 \"],"
                 "\"ip_whitelist\":[],\"xff_trusted_proxies\":[]}]");
    dm_documents_free(d);
}

/* An empty whitelist admits everybody, which nobody asked for who wrote one. */
static void whitelist_that_loses_all_entries_does_not_open(void **state)
{
    struct dm_documents *d = store();

    (void)state;
    put(d, "settings",
        "{\"type\":\"security_settings\",\"ip_whitelist\":[\"office\",\"10.0.0.0/99\"]}");
    carry(d, 2);
    assert_holds(d, "settings",
                 "[{\"type\":\"security_settings\",\"ip_whitelist\":[\"255.255.255.255\"]}]");
    dm_documents_free(d);
}

static void lists_of_apis_are_cleaned_each(void **state)
{
    struct dm_documents *d = store();

    (void)state;
    put(d, "apis",
        "{\"api_name\":\"a\",\"api_version\":\"v1\",\"api_id\":\"1\",\"api_path\":\"/a/v1\","
        "\"api_ip_whitelist\":[\"x\"],\"api_ip_blacklist\":[\"10.0.0.0/8\",\"y\"]}");
    put(d, "apis",
        "{\"api_name\":\"b\",\"api_version\":\"v1\",\"api_id\":\"2\",\"api_path\":\"/b/v1\","
        "\"api_ip_whitelist\":null,\"api_ip_blacklist\":\"text\"}");
    carry(d, 2);
    assert_holds(d, "apis",
                 "[{\"api_name\":\"a\",\"api_version\":\"v1\",\"api_id\":\"1\","
                 "\"api_path\":\"/a/v1\",\"api_ip_whitelist\":[],"
                 "\"api_ip_blacklist\":[\"10.0.0.0/8\"]},"
                 "{\"api_name\":\"b\",\"api_version\":\"v1\",\"api_id\":\"2\","
                 "\"api_path\":\"/b/v1\",\"api_ip_whitelist\":null,"
                 "\"api_ip_blacklist\":\"text\"}]");
    dm_documents_free(d);
}

static void endpoint_is_bound_to_the_api_it_names(void **state)
{
    struct dm_documents *d = store();

    (void)state;
    put(d, "apis",
        "{\"api_name\":\"a\",\"api_version\":\"v1\",\"api_id\":\"one\",\"api_path\":\"/a/v1\"}");
    put(d, "endpoints",
        "{\"api_name\":\"a\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
        "\"endpoint_uri\":\"/x\",\"endpoint_id\":\"e1\",\"api_id\":null}");
    /* Of an API that is gone; of another one; and one that its key does not find. */
    put(d, "endpoints",
        "{\"api_name\":\"b\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
        "\"endpoint_uri\":\"/x\",\"endpoint_id\":\"e2\"}");
    put(d, "endpoints",
        "{\"api_name\":\"a\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
        "\"endpoint_uri\":\"/y\",\"endpoint_id\":\"e3\",\"api_id\":\"other\"}");
    put(d, "endpoints", "{\"api_name\":\"a\",\"endpoint_id\":\"e4\"}");
    carry(d, 1);
    assert_holds(d, "endpoints",
                 "[{\"api_name\":\"a\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
                 "\"endpoint_uri\":\"/x\",\"endpoint_id\":\"e1\",\"api_id\":\"one\"},"
                 "{\"api_name\":\"b\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
                 "\"endpoint_uri\":\"/x\",\"endpoint_id\":\"e2\"},"
                 "{\"api_name\":\"a\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
                 "\"endpoint_uri\":\"/y\",\"endpoint_id\":\"e3\",\"api_id\":\"other\"},"
                 "{\"api_name\":\"a\",\"endpoint_id\":\"e4\"}]");
    dm_documents_free(d);
}

static void records_without_an_id_get_one(void **state)
{
    struct dm_documents *d = store();
    const struct dm_filter api[] = {DM_WHERE("api_name", DM_LIT("a")),
                                    DM_WHERE("api_version", DM_LIT("v1"))};
    DM_DEFER(dm_json_freep) struct dm_json *a = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *e = NULL;

    (void)state;
    put(d, "apis", "{\"api_name\":\"a\",\"api_version\":\"v1\"}");
    put(d, "endpoints",
        "{\"api_name\":\"a\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
        "\"endpoint_uri\":\"/x\"}");
    carry(d, 4); /* two ids, a path, and what binds them */
    assert_int_equal(dm_documents_find(d, "apis", api, 2, &a, NULL, NULL), DM_OK);
    assert_int_equal(dm_documents_find(d, "endpoints", api, 2, &e, NULL, NULL), DM_OK);
    assert_true(dm_view_eq(dm_json_str(dm_json_get(a, DM_LIT("api_path"))), DM_LIT("/a/v1")));
    assert_int_equal(dm_json_str(dm_json_get(a, DM_LIT("api_id"))).len, DM_UUID_LEN);
    assert_int_equal(dm_json_str(dm_json_get(e, DM_LIT("endpoint_id"))).len, DM_UUID_LEN);
    assert_true(dm_json_equal(dm_json_get(a, DM_LIT("api_id")), dm_json_get(e, DM_LIT("api_id"))));
    dm_documents_free(d);
}

static void revocations_of_a_dump_get_our_form(void **state)
{
    struct dm_documents *d = store();

    (void)state;
    put(d, "revocations", "{\"type\":\"revoke_all\",\"username\":\"bob\",\"revoked\":true}");
    put(d, "revocations",
        "{\"type\":\"jti\",\"username\":\"ann\",\"jti\":\"j1\",\"expires_at\":4102444800.5}");
    put(d, "revocations",
        "{\"type\":\"jti\",\"username\":\"ann\",\"jti\":\"j2\","
        "\"expires_at\":\"2100-01-01T00:00:00.000Z\"}");
    put(d, "revocations", "{\"type\":\"jti\",\"username\":\"ann\",\"jti\":\"j3\"}");
    put(d, "revocations",
        "{\"type\":\"jti\",\"username\":\"ann\",\"jti\":\"j4\",\"expires_at\":1e300}");
    /* Ours, and what names nobody. */
    put(d, "revocations", "{\"id\":\"eve:\",\"username\":\"eve\",\"jti\":\"\",\"expires\":0}");
    put(d, "revocations", "{\"type\":\"jti\",\"username\":\"ann\"}");
    put(d, "revocations", "{\"type\":\"revoke_all\"}");
    carry(d, 5);
    assert_holds(d, "revocations",
                 "[{\"id\":\"eve:\",\"username\":\"eve\",\"jti\":\"\",\"expires\":0},"
                 "{\"type\":\"jti\",\"username\":\"ann\"},{\"type\":\"revoke_all\"},"
                 "{\"id\":\"bob:\",\"username\":\"bob\",\"jti\":\"\",\"expires\":0},"
                 "{\"id\":\"ann:j1\",\"username\":\"ann\",\"jti\":\"j1\",\"expires\":4102444801},"
                 "{\"id\":\"ann:j2\",\"username\":\"ann\",\"jti\":\"j2\",\"expires\":4102444801},"
                 "{\"id\":\"ann:j3\",\"username\":\"ann\",\"jti\":\"j3\",\"expires\":0},"
                 "{\"id\":\"ann:j4\",\"username\":\"ann\",\"jti\":\"j4\",\"expires\":0}]");
    dm_documents_free(d);
}

/* A start that ended between the two writes of a revocation: the old form is still there. */
static void half_rewritten_revocation_is_finished(void **state)
{
    struct dm_documents *d = store();

    (void)state;
    put(d, "revocations", "{\"id\":\"bob:\",\"username\":\"bob\",\"jti\":\"\",\"expires\":0}");
    put(d, "revocations", "{\"type\":\"revoke_all\",\"username\":\"bob\"}");
    carry(d, 1);
    assert_holds(d, "revocations",
                 "[{\"id\":\"bob:\",\"username\":\"bob\",\"jti\":\"\",\"expires\":0}]");
    dm_documents_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_that_are_no_addresses_go),
        cmocka_unit_test(whitelist_that_loses_all_entries_does_not_open),
        cmocka_unit_test(lists_of_apis_are_cleaned_each),
        cmocka_unit_test(endpoint_is_bound_to_the_api_it_names),
        cmocka_unit_test(records_without_an_id_get_one),
        cmocka_unit_test(revocations_of_a_dump_get_our_form),
        cmocka_unit_test(half_rewritten_revocation_is_finished),
    };

    return cmocka_run_group_tests_name("carry-over", tests, NULL, NULL);
}

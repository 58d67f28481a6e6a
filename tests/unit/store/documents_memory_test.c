#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "documents_contract.h"

#include "base/fault.h"

static struct dm_documents *open_memory(void)
{
    return dm_documents_memory_new(documents_uniques, DOCUMENTS_UNIQUES);
}

static const struct documents_factory memory = {open_memory, dm_documents_free};

/* Documents of {collection: [documents]}, one after the other. */
struct source {
    const struct dm_json *collection, *next;
    bool begun;
};

static bool next_of(void *ctx, dm_view *ret_collection, struct dm_json **ret_doc)
{
    struct source *s = ctx;
    *ret_doc = NULL;
    while (s->collection != NULL) {
        *ret_collection = dm_json_name(s->collection);
        if (!s->begun) {
            s->begun = true;
            s->next = dm_json_first(s->collection);
            return true;
        }
        if (s->next != NULL) {
            *ret_doc = dm_json_clone(s->next);
            s->next = dm_json_next(s->next);
            return true;
        }
        s->collection = dm_json_next(s->collection);
        s->begun = false;
    }
    return false;
}

static enum dm_code import(struct dm_documents *d, const struct dm_json *data)
{
    struct source s = {.collection = dm_json_first(data)};
    return dm_documents_memory_import(d, next_of, &s, NULL);
}

static void exported_data_comes_back(void **state)
{
    (void)state;
    struct dm_documents *from = open_memory(), *to = open_memory();
    assert_int_equal(documents_insert(from, "users", "{\"username\":\"b\",\"email\":\"1\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(from, "users", "{\"username\":\"a\",\"email\":\"2\"}"),
                     DM_OK);
    assert_int_equal(documents_insert(from, "settings", "{\"type\":\"x\",\"n\":1}"), DM_OK);
    assert_int_equal(documents_insert(from, "apis", "{\"api_id\":\"1\"}"), DM_OK);
    assert_int_equal(
        dm_documents_delete(from, "apis", &DM_WHERE("api_id", DM_LIT("1")), 1, NULL, NULL), DM_OK);
    DM_DEFER(dm_json_freep) struct dm_json *data = dm_documents_memory_export(from);
    documents_assert_json(
        data,
        "{\"users\":[{\"username\":\"b\",\"email\":\"1\"},{\"username\":\"a\",\"email\":\"2\"}],"
        "\"settings\":[{\"type\":\"x\",\"n\":1}],\"apis\":[]}");
    assert_int_equal(import(to, data), DM_OK);
    DM_DEFER(dm_json_freep) struct dm_json *again = dm_documents_memory_export(to);
    assert_true(dm_json_equal(data, again));
    assert_int_equal(documents_insert(to, "users", "{\"username\":\"a\",\"email\":\"3\"}"),
                     DM_EXISTS);
    assert_int_equal(import(to, data), DM_INVALID); /* not empty */
    dm_documents_free(from);
    dm_documents_free(to);
}

static void faulty_import_is_refused_and_leaves_the_store_empty(void **state)
{
    (void)state;
    static const char *const faulty[] = {
        "{\"settings\":[{}],\"users\":[3]}",
        "{\"users\":[{\"username\":\"a\"},{\"username\":\"a\"}]}",
    };
    for (size_t i = 0; i < DM_COUNT_OF(faulty); i++) {
        struct dm_documents *d = open_memory();
        DM_DEFER(dm_json_freep) struct dm_json *data = documents_json(faulty[i]);
        assert_int_equal(import(d, data), DM_INVALID);
        DM_DEFER(dm_json_freep) struct dm_json *left = dm_documents_memory_export(d);
        documents_assert_json(left, "{}");
        dm_documents_free(d);
    }
}

static void every_write_asks_the_fault_point(void **state)
{
    (void)state;
    for (int nth = 1; nth <= 4; nth++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct dm_documents *d = open_memory();
            const struct dm_filter who = DM_WHERE("username", DM_LIT("a"));
            struct dm_json *doc = NULL;
            uint64_t version, n;
            dm_fault_set(DM_FAULT_STORE_WRITE_EXIT, (uint64_t)nth);
            (void)documents_insert(d, "users", "{\"username\":\"a\"}");
            (void)documents_insert(d, "users", "{\"username\":\"a\"}"); /* refused: no write */
            (void)!dm_documents_find(d, "users", &who, 1, &doc, &version, NULL);
            (void)!dm_documents_replace(d, "users", &who, 1, version, doc, NULL);
            (void)!dm_documents_delete(d, "users", &who, 1, &n, NULL);
            (void)!dm_documents_delete(d, "users", &who, 1, &n, NULL); /* nothing to delete */
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), nth <= 3 ? 137 : 0);
    }
}

static void ten_thousand_endpoints_fit_in_five_halves_of_a_megabyte(void **state)
{
    (void)state;
    static const struct dm_documents_unique uniques[] = {
        {"endpoints", {"endpoint_id"}},
        {"endpoints", {"api_id", "endpoint_method", "endpoint_uri"}}};
    struct dm_documents *d = dm_documents_memory_new(uniques, DM_COUNT_OF(uniques));
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 10000; i++) {
        char text[512];
        (void)snprintf(
            text, sizeof text,
            "{\"api_name\":\"api%04d\",\"api_version\":\"v1\",\"endpoint_method\":\"GET\","
            "\"endpoint_uri\":\"/res/%d/{id}\",\"endpoint_description\":\"Reads one resource\","
            "\"endpoint_servers\":null,\"client_uri\":null,"
            "\"api_id\":\"6a1f0000-0000-4000-8000-%012d\",\"endpoint_id\":\"7b2f0000-0000-4000-"
            "8000-%012d\"}",
            i / 10, i % 10, i / 10, i);
        assert_int_equal(documents_insert(d, "endpoints", text), DM_OK);
    }
    size_t used = mallinfo2().uordblks - before;
    print_message("10,000 endpoints: %zu bytes\n", used);
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* their own bookkeeping is not ours */
    assert_true(used > 0 && used < 5 * 512 * 1024);
#endif
    dm_documents_free(d);
}

/* Names that the field tables know and UUIDs are packed; the searched value may be either, or in a
 * list, or a text that looks like one. */
static void packed_documents_are_found_by_any_value(void **state)
{
    (void)state;
    static const char id[] = "6a1f0000-0000-4000-8000-0123456789ab";
    struct dm_documents *d = open_memory();
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"api_name\":\"api_id\",\"owner\":\"%s\",\"groups\":[\"x\",\"%s\"],"
                   "\"note\":\"a \\\"api_name\\\": \\u0001 \\\"%s\",\"active\":true}",
                   id, id, id);
    assert_int_equal(documents_insert(d, "things", text), DM_OK);
    assert_int_equal(documents_insert(d, "things", "{\"api_name\":\"other\"}"), DM_OK);
    (void)snprintf(text, sizeof text, "a \"api_name\": \1 \"%s", id);
    const struct dm_filter filters[] = {
        DM_WHERE("api_name", DM_LIT("api_id")),
        DM_WHERE("owner", dm_view_of(id)),
        DM_WHERE("note", dm_view_of(text)),
        {"groups", DM_FILTER_HAS, DM_JSON_STRING, dm_view_of(id), 0},
        {"groups", DM_FILTER_HAS, DM_JSON_STRING, DM_LIT("x"), 0},
        {"active", DM_FILTER_EQ, DM_JSON_BOOL, DM_VIEW_NONE, 1},
        {"api_name", DM_FILTER_NE, DM_JSON_STRING, DM_LIT("other"), 0},
    };
    for (size_t i = 0; i < DM_COUNT_OF(filters); i++) {
        uint64_t n = 0;
        assert_int_equal(dm_documents_count(d, "things", &filters[i], 1, &n, NULL), DM_OK);
        assert_int_equal(n, 1);
    }
    dm_documents_free(d);
}

enum { THREADS = 4, ROUNDS = 200 };

static enum dm_code count_up(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    (void)ctx;
    (void)err;
    dm_json_set_i64(doc, DM_LIT("n"), dm_json_i64(dm_json_get(doc, DM_LIT("n")), 0) + 1);
    return DM_OK;
}

static void *write_and_read(void *ctx)
{
    struct dm_documents *d = ctx;
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    intptr_t done = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct dm_json *list = NULL;
        done += dm_documents_update(d, "users", &who, 1, count_up, NULL, NULL, NULL) == DM_OK;
        if (dm_documents_list(d, "users", &(struct dm_query){.sort = "username"}, &list, NULL) ==
            DM_OK)
            dm_json_free(list);
    }
    return (void *)done; /* NOLINT: a count */
}

static void concurrent_updates_are_all_kept(void **state)
{
    (void)state;
    struct dm_documents *d = open_memory();
    pthread_t threads[THREADS];
    int64_t done = 0;
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\",\"n\":0}"), DM_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_and_read, d), 0);
    for (int i = 0; i < THREADS; i++) {
        void *own = NULL;
        assert_int_equal(pthread_join(threads[i], &own), 0);
        done += (intptr_t)own;
    }
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    assert_int_equal(dm_documents_find(d, "users", &who, 1, &doc, NULL, NULL), DM_OK);
    assert_true(done > 0);
    assert_int_equal(dm_json_i64(dm_json_get(doc, DM_LIT("n")), -1), done);
    dm_documents_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exported_data_comes_back),
        cmocka_unit_test(faulty_import_is_refused_and_leaves_the_store_empty),
        cmocka_unit_test(every_write_asks_the_fault_point),
        cmocka_unit_test(ten_thousand_endpoints_fit_in_five_halves_of_a_megabyte),
        cmocka_unit_test(packed_documents_are_found_by_any_value),
        cmocka_unit_test(concurrent_updates_are_all_kept),
    };
    int failed = documents_contract_run("documents: memory", &memory);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}

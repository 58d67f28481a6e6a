/* A server that is not there, stops answering, comes back. DOORMAN_TEST_MONGO_PID: its process. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store.h"

/* The stores here wait 1 s for a server and 1 s for an answer, 2 s for a connection; a read is
 * tried twice. Far from the 30 s and more of the driver's own defaults. */
enum { PATIENCE_MS = 1000 };
static const dm_time WAIT_MAX = 8 * DM_SEC;
/* A refusal that waits for nothing, on a loaded machine: whoever waits does so for a second. */
static const dm_time AT_ONCE = 900 * DM_MS;

/* Some of its threads may run on for a while after the signal was sent. */
static bool is_stopped(uint64_t pid)
{
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[n] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && strncmp(name_end, ") T", 3) == 0;
}

static void signal_server(int number)
{
    const char *text = getenv("DOORMAN_TEST_MONGO_PID");
    uint64_t pid = 0;
    assert_non_null(text);
    assert_true(dm_parse_u64(dm_view_of(text), INT32_MAX, &pid));
    assert_int_equal(kill((pid_t)pid, number), 0);
    while (number == SIGSTOP && !is_stopped(pid))
        (void)sched_yield();
}

static enum dm_code find(struct dm_documents *d, struct dm_error *err, dm_time *ret_took)
{
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    struct dm_json *doc = NULL;
    dm_time from = dm_clock_mono(&dm_clock_system);
    enum dm_code rc = dm_documents_find(d, "users", &who, 1, &doc, NULL, err);
    *ret_took = dm_clock_mono(&dm_clock_system) - from;
    dm_json_free(doc);
    return rc;
}

static void assert_away(struct dm_documents *d)
{
    struct dm_error err = {0};
    dm_time took;
    assert_int_equal(find(d, &err, &took), DM_UNAVAILABLE);
    assert_int_equal(err.err, ERR_STORE_DOCUMENTS_AWAY);
    assert_true(took < WAIT_MAX);
}

/* Every kind of call, each bounded by itself. */
static void assert_all_away(struct dm_documents *d)
{
    struct dm_error err = {0};
    const struct dm_query all = {0};
    const struct dm_filter who = DM_WHERE("username", DM_LIT("ann"));
    struct dm_json *list = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *doc = documents_json("{\"username\":\"bob\"}");
    uint64_t n;
    assert_away(d);
    assert_int_equal(dm_documents_list(d, "users", &all, &list, &err), DM_UNAVAILABLE);
    assert_int_equal(dm_documents_count(d, "users", NULL, 0, &n, &err), DM_UNAVAILABLE);
    assert_int_equal(dm_documents_insert(d, "users", doc, &err), DM_UNAVAILABLE);
    assert_int_equal(dm_documents_replace(d, "users", &who, 1, 1, doc, &err), DM_UNAVAILABLE);
    assert_int_equal(dm_documents_delete(d, "users", &who, 1, &n, &err), DM_UNAVAILABLE);
    assert_int_equal(dm_documents_ping(d, &err), DM_UNAVAILABLE);
    assert_int_equal(dm_documents_mongo_check(d, NULL, &err), DM_UNAVAILABLE);
    assert_int_equal(dm_documents_mongo_sweep(d, 1, &n, &err), DM_UNAVAILABLE);
    assert_int_equal(err.err, ERR_STORE_DOCUMENTS_AWAY);
}

static void absent_server_is_unavailable(void **state)
{
    (void)state;
    struct dm_documents *d = store_at("mongodb://127.0.0.1:1/"); /* nobody listens on tcpmux */
    struct dm_mongo_stats stats;
    struct dm_error err = {0};
    assert_all_away(d);
    assert_int_equal(dm_documents_mongo_migrate(d, NULL, &err), DM_UNAVAILABLE);
    assert_int_equal(err.err, ERR_STORE_DOCUMENTS_AWAY);
    dm_documents_mongo_stats(d, &stats);
    assert_false(stats.up);
    assert_int_equal(stats.active, 0);
    dm_documents_free(d);
}

enum { HANDLERS = 8 };

struct handler {
    pthread_t thread;
    struct dm_documents *d;
    enum dm_code rc;
    dm_time took;
};

static void *handle(void *arg)
{
    struct handler *h = arg;
    h->rc = find(h->d, NULL, &h->took);
    return NULL;
}

static struct dm_documents *impatient(void)
{
    store_patience_ms = 20 * PATIENCE_MS; /* until there is something to find */
    struct dm_documents *d = store_migrated();
    assert_int_equal(documents_insert(d, "users", "{\"username\":\"ann\"}"), DM_OK);
    dm_documents_free(d);
    store_patience_ms = PATIENCE_MS;
    return store_again();
}

static void halted_server_holds_up_one_handler_and_answers_again(void **state)
{
    struct dm_documents *d = impatient();
    struct dm_error err = {0};
    struct handler handlers[HANDLERS];
    size_t at_once = 0;
    dm_time took;
    (void)state;
    signal_server(SIGSTOP);
    assert_away(d);
    for (size_t i = 0; i < HANDLERS; i++) {
        handlers[i].d = d;
        assert_int_equal(pthread_create(&handlers[i].thread, NULL, handle, &handlers[i]), 0);
    }
    for (size_t i = 0; i < HANDLERS; i++) {
        assert_int_equal(pthread_join(handlers[i].thread, NULL), 0);
        assert_int_equal(handlers[i].rc, DM_UNAVAILABLE);
        assert_true(handlers[i].took < WAIT_MAX);
        at_once += handlers[i].took < AT_ONCE;
    }
    signal_server(SIGCONT);
    assert_true(at_once >= HANDLERS - 2); /* one tries, perhaps one more after it */
    enum dm_code rc = DM_UNAVAILABLE;
    for (int i = 0; i < 20 && rc != DM_OK; i++) /* each waits up to a second for the server */
        rc = find(d, &err, &took);
    if (rc != DM_OK)
        fail_msg("%s", err.text);
    dm_documents_free(d);
}

static void password_is_in_no_error(void **state)
{
    struct dm_error err = {0};
    struct dm_documents *d = NULL;
    (void)state;
    d = store_at("mongodb://someone:Pa55word@127.0.0.1:1/");
    assert_int_equal(dm_documents_ping(d, &err), DM_UNAVAILABLE);
    assert_null(strstr(err.text, "Pa55word"));
    dm_documents_free(d);
}

int main(void)
{
    store_patience_ms = PATIENCE_MS;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_server_is_unavailable),
        cmocka_unit_test(halted_server_holds_up_one_handler_and_answers_again),
        cmocka_unit_test(password_is_in_no_error),
    };
    return cmocka_run_group_tests_name("outages", tests, NULL, NULL);
}

/* Records of gateways on their way into the documents: what was emitted is stored once the admin
 * flushed, what cannot be used is dropped, counted and holds nothing up. */
#include "kit.h"

#include <sched.h>
#include <stdatomic.h>

#include "admin/services/trail.h"
#include "store/documents_backend.h"
#include "store/live_stream.h"

#define FIGURES                                                                                    \
    "{\"minute\":28333333,\"count\":2,\"errors\":0,\"us\":10,\"tests\":0,\"bytes_in\":0,"          \
    "\"bytes_out\":0,\"timeouts\":0,\"retries\":0,\"latency\":[2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"   \
    "0,0,0,0,0,0,0,0],\"statuses\":{},\"codes\":{},\"apis\":{},\"users\":{},\"other_users\":0}"
#define EVENT                                                                                      \
    "{\"timestamp\":\"t\",\"request_id\":\"r\",\"username\":\"\",\"action\":\"ip.api_deny\","      \
    "\"target\":\"x\",\"status\":\"blocked\",\"client_ip\":\"c\",\"effective_ip\":\"e\","          \
    "\"details\":{\"reason\":\"ip\"}}"

static const struct dm_documents_ops *real;
static struct dm_documents_ops picky;
static atomic_bool refusing;

static enum dm_code insert(struct dm_documents *d, const char *collection,
                           const struct dm_json *doc, struct dm_error *err)
{
    if (!refusing || strcmp(collection, "audit_log") != 0)
        return real->insert(d, collection, doc, err);
    return DM_FAIL(err, DM_LIMIT, ERR_NONE, "too large");
}

static void tap(struct kit_app *k)
{
    real = kit_tap_documents(k, &picky);
    picky.insert = insert;
}

static int setup(void **state)
{
    return kit_setup_with(state, NULL, tap);
}

static void emit(struct kit_app *k, enum dm_stream s, const char *id, const char *record)
{
    assert_int_equal(dm_live_emit(k->handle, s, dm_view_of(id), dm_view_of(record)), 0);
}

static int64_t metric(struct kit_app *k, const char *name, enum dm_stream s)
{
    const char *labels = s == DM_STREAM_METRICS ? "stream=\"metrics\"" : "stream=\"audit\"";

    return dm_metric_value(
        dm_metric_get(k->metrics, DM_COUNTER, name, labels, "as the collector made it", NULL, 0));
}

static size_t n_of(struct kit_app *k, const char *collection)
{
    uint64_t n = 0;

    assert_int_equal(dm_documents_count(k->documents, collection, NULL, 0, &n, NULL), DM_OK);
    return (size_t)n;
}

static int64_t counted(struct kit_app *k)
{
    const struct dm_query q = {.sort = "slot"};
    DM_DEFER(dm_json_freep) struct dm_json *list = NULL;
    int64_t sum = 0;

    assert_int_equal(dm_documents_list(k->documents, "metrics_minutes", &q, &list, NULL), DM_OK);
    for (struct dm_json *j = dm_json_first(list); j != NULL; j = dm_json_next(j))
        sum += dm_json_i64(dm_json_get(j, DM_LIT("count")), 0);
    return sum;
}

/* As a dump does: afterwards nothing waits. */
static void flush(struct kit_app *k)
{
    dm_json_free(adm_app_export(k->app));
}

static void what_was_emitted_is_stored_before_a_dump(void **state)
{
    struct kit_app *k = *state;
    char id[16];

    for (int i = 0; i < 2 * DM_STREAM_TAKE_MAX; i++) {
        snprintf(id, sizeof id, "a-%d", i + 1);
        emit(k, DM_STREAM_METRICS, id, FIGURES);
    }
    emit(k, DM_STREAM_AUDIT, "a-1", EVENT);
    flush(k);
    assert_int_equal(counted(k), 2 * 2 * DM_STREAM_TAKE_MAX);
    assert_int_equal(n_of(k, "audit_log"), 1);
    assert_int_equal(metric(k, "doorman_stream_records_total", DM_STREAM_METRICS),
                     2 * DM_STREAM_TAKE_MAX);
    assert_int_equal(metric(k, "doorman_stream_records_total", DM_STREAM_AUDIT), 1);
    assert_int_equal(metric(k, "doorman_stream_dropped_total", DM_STREAM_METRICS), 0);
}

static void what_cannot_be_used_is_counted_and_holds_nothing_up(void **state)
{
    struct kit_app *k = *state;

    emit(k, DM_STREAM_METRICS, "a-1", "{}");
    emit(k, DM_STREAM_METRICS, "no number", FIGURES);
    emit(k, DM_STREAM_METRICS, "a-2", FIGURES);
    emit(k, DM_STREAM_AUDIT, "a-1", "no JSON");
    emit(k, DM_STREAM_AUDIT, "a-2", EVENT);
    emit(k, DM_STREAM_AUDIT, "a-2", EVENT);
    flush(k);
    assert_int_equal(counted(k), 2);
    assert_int_equal(n_of(k, "audit_log"), 1);
    assert_int_equal(metric(k, "doorman_stream_dropped_total", DM_STREAM_METRICS), 2);
    assert_int_equal(metric(k, "doorman_stream_dropped_total", DM_STREAM_AUDIT), 1);
}

static void an_event_that_the_store_never_takes_is_dropped(void **state)
{
    struct kit_app *k = *state;

    refusing = true;
    emit(k, DM_STREAM_AUDIT, "a-1", EVENT);
    while (metric(k, "doorman_stream_dropped_total", DM_STREAM_AUDIT) == 0) /* its thread looks */
        sched_yield();
    refusing = false;
    emit(k, DM_STREAM_AUDIT, "a-2", EVENT);
    flush(k);
    assert_int_equal(n_of(k, "audit_log"), 1);
}

static void the_trail_of_memory_mode_keeps_the_newest(void **state)
{
    enum { KEPT = 1000, MORE = 3 };
    struct kit_app *k = *state;
    DM_DEFER(dm_json_freep) struct dm_json *event = dm_json_new_object();
    struct adm_trail_walk w = {0};
    struct dm_error err;

    for (int i = 0; i < KEPT + MORE; i++)
        assert_int_equal(adm_trail_append(k->app, event, DM_VIEW_NONE, &err), DM_OK);
    assert_int_equal(n_of(k, "audit_log"), KEPT);
    assert_int_equal(adm_trail_verify(k->app, &w, KEPT + 1, &err), DM_OK);
    assert_true(w.ended && !w.broken);
    assert_int_equal(w.checked, KEPT);
}

#define RIG(f) cmocka_unit_test_setup_teardown(f, setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG(what_was_emitted_is_stored_before_a_dump),
        RIG(what_cannot_be_used_is_counted_and_holds_nothing_up),
        RIG(an_event_that_the_store_never_takes_is_dropped),
        RIG(the_trail_of_memory_mode_keeps_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Figures of gateways: each record once however often it comes, hostile ones not at all, buckets
 * that grow coarser without losing a call, and the report over them. */
#include "kit.h"

#include <stdatomic.h>

#include "admin/services/figures.h"
#include "admin/services/figures_report.h"
#include "store/documents_backend.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 24 * HOUR, NOW = 1700000000 / DAY * DAY + 12 * HOUR + 30 };
#define LATENCY_NONE "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"
#define LATENCY_FOUR "0,2,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,1" /* 2 <= 1 ms, 1 <= 30 ms */

static const struct dm_documents_ops *real;
static struct dm_documents_ops tapped;
static atomic_int inserts_left = -1; /* then one fails; -1: none does */
static atomic_bool removes_fail;

static enum dm_code insert(struct dm_documents *d, const char *collection,
                           const struct dm_json *doc, struct dm_error *err)
{
    if (inserts_left == 0)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY, "gone");
    if (inserts_left > 0)
        inserts_left--;
    return real->insert(d, collection, doc, err);
}

static enum dm_code remove_them(struct dm_documents *d, const char *collection,
                                const struct dm_filter *filters, size_t n, uint64_t *ret,
                                struct dm_error *err)
{
    if (removes_fail)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY, "gone");
    return real->remove(d, collection, filters, n, ret, err);
}

static void tap(struct kit_app *k)
{
    real = kit_tap_documents(k, &tapped);
    tapped.insert = insert;
    tapped.remove = remove_them;
}

static int setup(void **state)
{
    return kit_setup_with(state, NULL, tap);
}

struct record {
    char text[4096];
};

/* Four calls, one of them refused, one test. */
static dm_view record_of(int64_t minute, struct record *r)
{
    const int len = snprintf(
        r->text, sizeof r->text,
        "{\"minute\":%lld,\"count\":4,\"errors\":1,\"us\":8000,\"tests\":1,\"bytes_in\":400,"
        "\"bytes_out\":4000,\"timeouts\":1,\"retries\":2,\"latency\":[" LATENCY_FOUR "],"
        "\"statuses\":{\"200\":3,\"403\":1},\"codes\":{\"API_DISABLED\":1},"
        "\"apis\":{\"rest:orders/v1\":[3,0,6000," LATENCY_FOUR "],"
        "\"soap:orders/v2\":[1,1,2000," LATENCY_NONE "]},"
        "\"users\":{\"ann\":3,\"bob\":1},\"other_users\":0}",
        (long long)minute);

    return dm_view_make(r->text, (size_t)len);
}

static void put(struct dm_live_batch *b, const char *id, dm_view record)
{
    assert_true(b->n < DM_STREAM_TAKE_MAX);
    b->entries[b->n++] = (struct dm_live_entry){.id = dm_view_of(id), .record = record};
}

/* Gives how many were dropped. */
static size_t apply(struct kit_app *k, const struct dm_live_batch *b)
{
    struct dm_error err = {0};
    size_t dropped = 0;

    if (adm_figures_apply(k->app, b, NOW, &dropped, &err) != DM_OK)
        fail_msg("%s", err.text);
    return dropped;
}

static void apply_one(struct kit_app *k, const char *id, int64_t minute)
{
    struct dm_live_batch b = {0};
    struct record r;

    put(&b, id, record_of(minute, &r));
    assert_int_equal(apply(k, &b), 0);
}

static struct dm_json *report(struct kit_app *k, int64_t now, int64_t seconds, bool by_day,
                              bool descending)
{
    const struct adm_figures_question q = {.now = now,
                                           .seconds = seconds,
                                           .period = DM_LIT("24h"),
                                           .by_day = by_day,
                                           .descending = descending};
    struct dm_json *o = NULL;
    struct dm_error err = {0};

    if (adm_figures_report(k->app, &q, &o, &err) != DM_OK)
        fail_msg("%s", err.text);
    return o;
}

static int64_t total(struct kit_app *k, int64_t now, int64_t seconds)
{
    DM_DEFER(dm_json_freep) struct dm_json *o = report(k, now, seconds, false, false);

    return dm_json_i64(dm_json_get(o, DM_LIT("total_requests")), -1);
}

static void assert_json(const struct dm_json *o, const char *name, const char *want)
{
    const struct dm_json *value = dm_json_get(o, dm_view_of(name));
    DM_DEFER(dm_json_freep) struct dm_json *wanted = NULL;
    struct dm_buf out;

    assert_int_equal(dm_json_parse(dm_view_of(want), &dm_json_default, &wanted, NULL), DM_OK);
    if (value != NULL && dm_json_equal(value, wanted))
        return;
    dm_buf_init(&out, 64 * 1024);
    if (value != NULL)
        dm_json_write(value, &out);
    fail_msg("%s: %.*s, want %s", name, DM_FMT(dm_buf_view(&out)), want);
}

/* --- records --- */

static void a_record_is_counted_once_however_often_it_comes(void **state)
{
    struct kit_app *k = *state;
    struct dm_live_batch b = {0};
    struct record r;
    const dm_view record = record_of(NOW / MINUTE, &r);

    put(&b, "a-1", record);
    put(&b, "a-2", record);
    put(&b, "b-1", record);
    put(&b, "a-1", record);
    for (int i = 0; i < 3; i++)
        assert_int_equal(apply(k, &b), 0);
    apply_one(k, "a-2", NOW / MINUTE);
    assert_int_equal(total(k, NOW, HOUR), 3 * 4);
    apply_one(k, "a-3", NOW / MINUTE);
    assert_int_equal(total(k, NOW, HOUR), 4 * 4);
}

static void numbers_may_come_in_any_order(void **state)
{
    static const int order[] = {5, 1, 9, 3, 7, 2, 8, 4, 6, 10};
    struct kit_app *k = *state;
    char id[16];

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < DM_COUNT_OF(order); i++) {
            snprintf(id, sizeof id, "a-%d", order[i]);
            apply_one(k, id, NOW / MINUTE);
        }
    }
    assert_int_equal(total(k, NOW, HOUR), 10 * 4);
    const struct dm_query q = {.sort = "slot"};
    DM_DEFER(dm_json_freep) struct dm_json *list = NULL;
    assert_int_equal(dm_documents_list(k->documents, "metrics_minutes", &q, &list, NULL), DM_OK);
    assert_int_equal(dm_json_len(list), 1);
    assert_json(dm_json_get(dm_json_at(list, 0), DM_LIT("seen")), "a", "[1,10]");
}

static void a_batch_that_failed_half_way_is_counted_once_when_it_comes_again(void **state)
{
    struct kit_app *k = *state;
    struct dm_live_batch b = {0};
    struct record now, before;
    struct dm_error err;
    size_t dropped;

    put(&b, "a-1", record_of(NOW / MINUTE - 1, &before));
    put(&b, "a-2", record_of(NOW / MINUTE, &now));
    inserts_left = 1;
    assert_int_equal(adm_figures_apply(k->app, &b, NOW, &dropped, &err), DM_UNAVAILABLE);
    inserts_left = -1;
    assert_int_equal(total(k, NOW, HOUR), 4);
    assert_int_equal(apply(k, &b), 0);
    assert_int_equal(total(k, NOW, HOUR), 2 * 4);
}

static void what_is_no_record_is_dropped_and_counted(void **state)
{
    struct kit_app *k = *state;
    static const struct {
        const char *find, *put;
    } changes[] = {
        {"\"count\":4", "\"count\":-4"},
        {"\"count\":4", "\"count\":9007199254740993"},
        {"\"count\":4", "\"count\":0.5"},
        {"\"count\":4", "\"count\":\"4\""},
        {"\"count\":4,", ""},
        {"\"latency\":[0,", "\"latency\":["},
        {"\"latency\":[0,", "\"latency\":[0,0,"},
        {"\"200\":3", "\"200\":{}"},
        {"\"200\":3", "\"\":3"},
        {"\"ann\":3", "\"ann\":3,\"ann\":3"},
        {"[3,0,6000,", "[3,0,"},
        {"\"apis\":{", "\"apis\":[],\"x\":{"},
        {"\"other_users\":0}", "\"other_users\":0"},
    };
    static const char *const ids[] = {"",
                                      "a",
                                      "-1",
                                      "a-",
                                      "a-0",
                                      "a--1",
                                      "a-x",
                                      "a-9007199254740993",
                                      "012345678901234567890123456789012-1"};
    struct dm_live_batch b = {0};
    struct record good;
    char bad[DM_COUNT_OF(changes)][4096], long_name[4096 + 1100];

    (void)record_of(NOW / MINUTE, &good);
    for (size_t i = 0; i < DM_COUNT_OF(changes); i++) {
        const char *at = strstr(good.text, changes[i].find);
        assert_non_null(at);
        snprintf(bad[i], sizeof bad[i], "%.*s%s%s", (int)(at - good.text), good.text,
                 changes[i].put, at + strlen(changes[i].find));
        put(&b, "a-1", dm_view_of(bad[i]));
    }
    snprintf(long_name, sizeof long_name, "%.*s\"%01100d\":1,%s",
             (int)(strstr(good.text, "\"ann\"") - good.text), good.text, 0,
             strstr(good.text, "\"ann\""));
    put(&b, "a-1", dm_view_of(long_name));
    put(&b, "a-1", DM_LIT(""));
    put(&b, "a-1", DM_LIT("null"));
    for (size_t i = 0; i < DM_COUNT_OF(ids); i++)
        put(&b, ids[i], dm_view_of(good.text));
    assert_int_equal(apply(k, &b), b.n);
    assert_int_equal(total(k, NOW, HOUR), 0);
    put(&b, "a-1", dm_view_of(good.text)); /* and the rest of the batch counts */
    assert_int_equal(apply(k, &b), b.n - 1);
    assert_int_equal(total(k, NOW, HOUR), 4);
}

static void a_time_that_is_not_counted_is_dropped(void **state)
{
    struct kit_app *k = *state;
    static const int64_t minutes[] = {0, -1, NOW / MINUTE - 24 * 60, NOW / MINUTE + 11,
                                      (int64_t)1 << 53};
    struct record records[DM_COUNT_OF(minutes)];
    struct dm_live_batch b = {0};

    for (size_t i = 0; i < DM_COUNT_OF(minutes); i++)
        put(&b, "a-1", record_of(minutes[i], &records[i]));
    assert_int_equal(apply(k, &b), b.n);
    apply_one(k, "a-1", NOW / MINUTE - 23 * 60);
    apply_one(k, "a-2", NOW / MINUTE + 9); /* a clock that runs before ours */
    assert_int_equal(total(k, NOW, DAY), 2 * 4);
}

/* Whoever writes to Redis can make up names: a bucket keeps its bound, no call is lost. */
static void names_beyond_what_a_bucket_holds_count_together(void **state)
{
    struct kit_app *k = *state;
    enum { MANY = 700 };
    static char text[64 * 1024];
    struct dm_live_batch b = {0};
    size_t len;

    len = (size_t)snprintf(
        text, sizeof text,
        "{\"minute\":%d,\"count\":%d,\"errors\":0,\"us\":0,\"tests\":0,\"bytes_in\":0,"
        "\"bytes_out\":0,\"timeouts\":0,\"retries\":0,\"latency\":[" LATENCY_NONE "],"
        "\"statuses\":{},\"codes\":{},\"apis\":{},\"other_users\":0,\"users\":{\"u\":0",
        NOW / MINUTE, MANY);
    for (int i = 0; i < MANY; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",\"u%d\":1", i);
    len += (size_t)snprintf(text + len, sizeof text - len, "}}");
    put(&b, "a-1", dm_view_make(text, len));
    assert_int_equal(apply(k, &b), 0);
    DM_DEFER(dm_json_freep) struct dm_json *o = report(k, NOW, HOUR, false, false);
    assert_int_equal(dm_json_i64(dm_json_get(o, DM_LIT("unique_users")), 0), 501);
    const struct dm_json *first = dm_json_at(dm_json_get(o, DM_LIT("top_users")), 0);
    assert_view(dm_json_str(dm_json_at(first, 0)), "other");
    assert_int_equal(dm_json_i64(dm_json_at(first, 1), 0), MANY + 1 - 500);
}

/* --- rolling up --- */

static size_t n_of(struct kit_app *k, const char *collection)
{
    uint64_t n = 0;

    assert_int_equal(dm_documents_count(k->documents, collection, NULL, 0, &n, NULL), DM_OK);
    return (size_t)n;
}

static void roll_up(struct kit_app *k, int64_t now)
{
    struct dm_error err = {0};

    if (adm_figures_roll_up(k->app, now, &err) != DM_OK)
        fail_msg("%s", err.text);
}

static void old_buckets_grow_coarser_and_lose_no_call(void **state)
{
    struct kit_app *k = *state;
    enum { MINUTES = 30 };
    char id[16];

    for (int i = 0; i < MINUTES; i++) {
        snprintf(id, sizeof id, "a-%d", i + 1);
        apply_one(k, id, NOW / MINUTE / 60 * 60 - MINUTES + i);
    }
    roll_up(k, NOW);
    assert_int_equal(n_of(k, "metrics_minutes"), MINUTES);
    roll_up(k, NOW + 2 * DAY);
    assert_int_equal(n_of(k, "metrics_minutes"), 0);
    assert_int_equal(n_of(k, "metrics_five_minutes"), MINUTES / 5);
    assert_int_equal(total(k, NOW + 2 * DAY, 7 * DAY), MINUTES * 4);
    roll_up(k, NOW + 9 * DAY);
    assert_int_equal(n_of(k, "metrics_five_minutes"), 0);
    assert_int_equal(n_of(k, "metrics_hours"), 1);
    assert_int_equal(total(k, NOW + 9 * DAY, 30 * DAY), MINUTES * 4);
    roll_up(k, NOW + 40 * DAY);
    assert_int_equal(n_of(k, "metrics_hours"), 0);
    assert_int_equal(n_of(k, "metrics_days"), 1);
    roll_up(k, NOW + 100 * DAY);
    assert_int_equal(n_of(k, "metrics_days"), 0);
}

/* Killed after the coarse bucket was written: its parts are still there. */
static void a_roll_up_that_was_cut_counts_nothing_twice(void **state)
{
    struct kit_app *k = *state;
    struct dm_error err;

    for (int i = 0; i < 5; i++) {
        const char id[] = {'a', '-', (char)('1' + i), '\0'};
        apply_one(k, id, NOW / MINUTE / 5 * 5 - 5 + i);
    }
    removes_fail = true;
    assert_int_equal(adm_figures_roll_up(k->app, NOW + 2 * DAY, &err), DM_UNAVAILABLE);
    removes_fail = false;
    assert_int_equal(n_of(k, "metrics_minutes"), 5);
    assert_int_equal(n_of(k, "metrics_five_minutes"), 1);
    assert_int_equal(total(k, NOW + 2 * DAY, 7 * DAY), 5 * 4);
    roll_up(k, NOW + 2 * DAY);
    assert_int_equal(n_of(k, "metrics_minutes"), 0);
    assert_int_equal(total(k, NOW + 2 * DAY, 7 * DAY), 5 * 4);
}

static bool roll_up_again(struct kit_app *k, int round)
{
    struct dm_error err = {0};

    return adm_figures_roll_up(k->app, NOW + round * DAY, &err) == DM_OK;
}

static bool all_there(struct kit_app *k, int round)
{
    return total(k, NOW + round * DAY, 30 * DAY) == 60 * 4;
}

static void two_admins_roll_up_at_once(void **state)
{
    struct kit_app *k = *state;
    char id[16];

    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "a-%d", i + 1);
        apply_one(k, id, NOW / MINUTE - 60 + i);
    }
    kit_race(k, 20, roll_up_again, roll_up_again, all_there);
}

/* --- the report --- */

static void the_report_has_every_member_of_the_contract(void **state)
{
    struct kit_app *k = *state;
    char point[512];

    apply_one(k, "a-1", NOW / MINUTE);
    DM_DEFER(dm_json_freep) struct dm_json *o = report(k, NOW, HOUR, false, false);
    assert_json(o, "period", "\"24h\"");
    assert_json(o, "start_time", "\"2023-11-14T11:00:30Z\"");
    assert_json(o, "end_time", "\"2023-11-14T12:00:30Z\"");
    assert_json(o, "total_requests", "4");
    assert_json(o, "total_errors", "1");
    assert_json(o, "error_rate", "0.25");
    assert_json(o, "avg_response_time_ms", "2");
    assert_json(o, "p50_response_time_ms", "1");
    assert_json(o, "p95_response_time_ms", "60000");
    assert_json(o, "p99_response_time_ms", "60000");
    assert_json(o, "total_test_requests", "1");
    assert_json(o, "avg_response_ms", "2");
    assert_json(o, "total_bytes_in", "400");
    assert_json(o, "total_bytes_out", "4000");
    assert_json(o, "total_upstream_timeouts", "1");
    assert_json(o, "total_retries", "2");
    assert_json(o, "unique_users", "2");
    assert_json(o, "apis",
                "{\"orders/v1\":{\"requests\":3,\"errors\":0,\"avg_response_time_ms\":2},"
                "\"orders/v2\":{\"requests\":1,\"errors\":1,\"avg_response_time_ms\":2}}");
    assert_json(o, "by_api",
                "{\"orders/v1\":{\"requests\":3,\"errors\":0,\"avg_response_time_ms\":2,"
                "\"error_rate\":0,\"p95_response_time_ms\":60000},"
                "\"orders/v2\":{\"requests\":1,\"errors\":1,\"avg_response_time_ms\":2,"
                "\"error_rate\":1,\"p95_response_time_ms\":0}}");
    assert_json(o, "by_status_code", "{\"200\":3,\"403\":1}");
    assert_json(o, "status_counts", "{\"200\":3,\"403\":1}");
    assert_json(o, "top_users", "[[\"ann\",3],[\"bob\",1]]");
    assert_json(o, "top_apis", "[[\"rest:orders\",3],[\"soap:orders\",1]]");
    assert_json(o, "top_errors",
                "[{\"error_code\":\"GTW012\",\"count\":1,\"message\":\"API is disabled\"}]");
    snprintf(point, sizeof point,
             "[{\"timestamp\":%d,\"count\":4,\"test_count\":1,\"error_count\":1,\"avg_ms\":2,"
             "\"p95_ms\":60000,\"bytes_in\":400,\"bytes_out\":4000,\"error_rate\":0.25,"
             "\"upstream_timeouts\":1,\"retries\":2}]",
             NOW / MINUTE * MINUTE);
    assert_json(o, "series", point);
}

static void an_empty_report_has_the_members_too(void **state)
{
    DM_DEFER(dm_json_freep) struct dm_json *o = report(*state, NOW, HOUR, false, false);

    assert_json(o, "total_requests", "0");
    assert_json(o, "error_rate", "0");
    assert_json(o, "apis", "{}");
    assert_json(o, "top_apis", "[]");
    assert_json(o, "series", "[]");
}

static void calls_of_no_api_are_told_as_unknown(void **state)
{
    struct kit_app *k = *state;
    struct dm_live_batch b = {0};
    struct record r;
    char text[4096];
    const char *apis;

    (void)record_of(NOW / MINUTE, &r);
    apis = strstr(r.text, "\"apis\":{");
    snprintf(text, sizeof text, "%.*s\"apis\":{},%s", (int)(apis - r.text), r.text,
             strstr(r.text, "\"users\""));
    put(&b, "a-1", dm_view_of(text));
    assert_int_equal(apply(k, &b), 0);
    DM_DEFER(dm_json_freep) struct dm_json *o = report(k, NOW, HOUR, false, false);
    assert_json(o, "top_apis", "[[\"rest:unknown\",4]]");
}

static void days_come_in_the_order_asked_for(void **state)
{
    struct kit_app *k = *state;
    char want[512];
    const int today = NOW / DAY * DAY;

    apply_one(k, "a-1", NOW / MINUTE);
    apply_one(k, "a-2", NOW / MINUTE - 10);
    apply_one(k, "a-3", NOW / MINUTE - 13 * 60);
    DM_DEFER(dm_json_freep) struct dm_json *o = report(k, NOW, DAY, true, true);
#define POINT                                                                                      \
    "{\"timestamp\":%d,\"count\":%d,\"error_count\":%d,\"avg_ms\":2,\"bytes_in\":%d,"              \
    "\"bytes_out\":%d,\"error_rate\":0.25}"
    snprintf(want, sizeof want, "[" POINT "," POINT "]", today, 8, 2, 800, 8000, today - DAY, 4, 1,
             400, 4000);
    assert_json(o, "series", want);
}

static void only_the_range_counts(void **state)
{
    struct kit_app *k = *state;

    apply_one(k, "a-1", NOW / MINUTE);
    apply_one(k, "a-2", NOW / MINUTE - 61);
    apply_one(k, "a-3", NOW / MINUTE - 10 * 60);
    assert_int_equal(total(k, NOW, HOUR), 4);
    assert_int_equal(total(k, NOW, DAY), 3 * 4);
}

#define RIG(f) cmocka_unit_test_setup_teardown(f, setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG(a_record_is_counted_once_however_often_it_comes),
        RIG(numbers_may_come_in_any_order),
        RIG(a_batch_that_failed_half_way_is_counted_once_when_it_comes_again),
        RIG(what_is_no_record_is_dropped_and_counted),
        RIG(a_time_that_is_not_counted_is_dropped),
        RIG(names_beyond_what_a_bucket_holds_count_together),
        RIG(old_buckets_grow_coarser_and_lose_no_call),
        RIG(a_roll_up_that_was_cut_counts_nothing_twice),
        RIG(two_admins_roll_up_at_once),
        RIG(the_report_has_every_member_of_the_contract),
        RIG(an_empty_report_has_the_members_too),
        RIG(calls_of_no_api_are_told_as_unknown),
        RIG(days_come_in_the_order_asked_for),
        RIG(only_the_range_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

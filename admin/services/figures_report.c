#include "admin/services/figures_report.h"

#include "admin/services/figures.h"
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 100, /* buckets in memory at once */
    DAY = 24 * 3600,
    TOP = 10,
    TRIES = 3 /* of a report during which nothing is rolled up */
};

struct report {
    const struct adm_figures_question *q;
    struct adm_app *app;
    struct dm_json *all;    /* a bucket: the sum of all */
    struct dm_json *series; /* array of points, in the order of time but for levels */
    struct dm_json *day;    /* by_day: the bucket of the day that is summed up now; or NULL */
    /* Coarse buckets that were added: parts of them that are still there count no more. */
    int64_t *starts;
    size_t n_starts, n_coarser, size;
};

static int64_t figure(const struct dm_json *bucket, const char *name)
{
    return dm_json_i64(dm_json_get(bucket, dm_view_of(name)), 0);
}

static double ratio(int64_t part, int64_t of)
{
    return of == 0 ? 0 : (double)part / (double)of;
}

/* Three decimals: what a reader can use. */
static struct dm_json *number(double n)
{
    return dm_json_new_f64((double)(int64_t)(n * 1000 + 0.5) / 1000);
}

static void set_number(struct dm_json *o, const char *name, double n)
{
    dm_json_set(o, dm_view_of(name), number(n));
}

static void set_figure(struct dm_json *o, const char *name, const struct dm_json *bucket,
                       const char *figure_name)
{
    dm_json_set_i64(o, dm_view_of(name), figure(bucket, figure_name));
}

/* `skip` numbers stand before the buckets. */
static double quantile(const struct dm_json *list, size_t skip, double share)
{
    int64_t counts[DM_LATENCY_BUCKETS] = {0};
    size_t at = 0;

    for (const struct dm_json *j = dm_json_first(list); j != NULL; j = dm_json_next(j), at++) {
        if (at >= skip && at - skip < DM_LATENCY_BUCKETS)
            counts[at - skip] = dm_json_i64(j, 0);
    }
    return dm_latency_quantile(counts, share);
}

static double latency(const struct dm_json *bucket, double share)
{
    return quantile(dm_json_get(bucket, DM_LIT("latency")), 0, share);
}

static double average(int64_t us, int64_t count)
{
    return ratio(us, count) / 1000;
}

/* --- buckets --- */

static void push_point(struct report *r, const struct dm_json *bucket)
{
    struct dm_json *p = dm_json_new_object();
    const int64_t count = figure(bucket, "count"), errors = figure(bucket, "errors");
    const bool whole = !r->q->by_day; /* days have fewer members (platform-access.md §8.9) */

    set_figure(p, "timestamp", bucket, "start");
    dm_json_set_i64(p, DM_LIT("count"), count);
    if (whole)
        set_figure(p, "test_count", bucket, "tests");
    dm_json_set_i64(p, DM_LIT("error_count"), errors);
    set_number(p, "avg_ms", average(figure(bucket, "us"), count));
    if (whole)
        set_number(p, "p95_ms", latency(bucket, 0.95));
    set_figure(p, "bytes_in", bucket, "bytes_in");
    set_figure(p, "bytes_out", bucket, "bytes_out");
    set_number(p, "error_rate", ratio(errors, count));
    if (whole) {
        set_figure(p, "upstream_timeouts", bucket, "timeouts");
        set_figure(p, "retries", bucket, "retries");
    }
    dm_json_push(r->series, p);
}

static void end_day(struct report *r)
{
    if (r->day != NULL)
        push_point(r, r->day);
    dm_json_free(DM_TAKE(r->day));
}

static void add_point(struct report *r, const struct dm_json *bucket)
{
    const int64_t day = figure(bucket, "start") / DAY * DAY;

    if (!r->q->by_day) {
        push_point(r, bucket);
        return;
    }
    if (r->day != NULL && figure(r->day, "start") != day)
        end_day(r);
    if (r->day == NULL)
        r->day = adm_figures_bucket(ADM_DAYS, day);
    adm_figures_add(r->day, bucket);
}

static bool in_coarser(const struct report *r, enum adm_level l, int64_t start)
{
    int64_t width;

    if (l + 1 >= ADM_LEVELS)
        return false;
    width = adm_figures_width(l + 1);
    for (size_t i = 0; i < r->n_coarser; i++) {
        if (r->starts[i] == start / width * width)
            return true;
    }
    return false;
}

static void add_bucket(struct report *r, enum adm_level l, const struct dm_json *bucket)
{
    const int64_t start = figure(bucket, "start");

    if (start + adm_figures_width(l) <= r->q->now - r->q->seconds || start > r->q->now + DAY ||
        !adm_figures_check_bucket(bucket) || in_coarser(r, l, start))
        return;
    adm_figures_add(r->all, bucket);
    add_point(r, bucket);
    if (r->n_starts == r->size) {
        r->size = 2 * r->size + 64;
        r->starts = dm_mem_grow(r->starts, r->size, sizeof *r->starts);
    }
    r->starts[r->n_starts++] = start;
}

/* The last ones, as many as the range can hold; page by page. */
static enum dm_code add_level(struct report *r, enum adm_level l, struct dm_error *err)
{
    struct dm_documents *d = adm_documents(r->app);
    const uint64_t most = (uint64_t)(r->q->seconds / adm_figures_width(l)) + 30;
    uint64_t n = 0, at;
    enum dm_code rc = dm_documents_count(d, adm_figures_collection(l), NULL, 0, &n, err);

    for (at = n > most ? n - most : 0; rc == DM_OK && at < n; at += PAGE) {
        const struct dm_query page = {.sort = "slot", .skip = (size_t)at, .limit = PAGE};
        DM_DEFER(dm_json_freep) struct dm_json *list = NULL;

        rc = dm_documents_list(d, adm_figures_collection(l), &page, &list, err);
        for (struct dm_json *j = rc == DM_OK ? dm_json_first(list) : NULL; j != NULL;
             j = dm_json_next(j))
            add_bucket(r, l, j);
    }
    return rc;
}

/* From the oldest: a coarse bucket stands for its parts. */
static enum dm_code add_all(struct report *r, struct dm_error *err)
{
    enum dm_code rc = DM_OK;

    for (int l = ADM_LEVELS - 1; l >= 0 && rc == DM_OK; l--) {
        const size_t before = r->n_starts;
        rc = add_level(r, (enum adm_level)l, err);
        /* Keep this level's starts alone for the next one. */
        for (size_t i = before; i < r->n_starts; i++)
            r->starts[i - before] = r->starts[i];
        r->n_coarser = r->n_starts -= before;
    }
    end_day(r);
    return rc;
}

/* --- the answer --- */

struct ranked {
    dm_view name;
    int64_t count;
};

static int by_count(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    return x->count != y->count ? (x->count < y->count ? 1 : -1) : dm_view_cmp(x->name, y->name);
}

/* The members with the highest figures; *ret_n of them, to be freed. */
static struct ranked *rank(const struct dm_json *map, size_t *ret_n)
{
    struct ranked *list = dm_mem_alloc((dm_json_len(map) + 1) * sizeof *list);
    size_t n = 0;

    for (struct dm_json *j = dm_json_first(map); j != NULL; j = dm_json_next(j))
        list[n++] = (struct ranked){dm_json_name(j), dm_json_i64(j, 0)};
    qsort(list, n, sizeof *list, by_count);
    *ret_n = n < TOP ? n : TOP;
    return list;
}

static struct dm_json *top(const struct dm_json *map)
{
    struct dm_json *list = dm_json_new_array();
    size_t n;
    struct ranked *ranked = rank(map, &n);

    for (size_t i = 0; i < n; i++) {
        struct dm_json *pair = dm_json_new_array();
        dm_json_push(pair, dm_json_new_str(ranked[i].name));
        dm_json_push(pair, dm_json_new_i64(ranked[i].count));
        dm_json_push(list, pair);
    }
    dm_mem_free(ranked);
    return list;
}

static enum dm_err error_named(dm_view name)
{
    for (int i = 1; i < ERR_COUNT_; i++) {
        if (dm_view_eq(dm_view_of(dm_err_info((enum dm_err)i)->name), name))
            return (enum dm_err)i;
    }
    return ERR_NONE;
}

static struct dm_json *top_errors(const struct dm_json *codes)
{
    struct dm_json *list = dm_json_new_array();
    size_t n;
    struct ranked *ranked = rank(codes, &n);

    for (size_t i = 0; i < n; i++) {
        const enum dm_err e = error_named(ranked[i].name);
        struct dm_json *o = dm_json_new_object();
        /* A gateway of another version may know codes that we do not. */
        dm_json_set_str(o, DM_LIT("error_code"),
                        e == ERR_NONE ? ranked[i].name : dm_err_info(e)->code);
        dm_json_set_i64(o, DM_LIT("count"), ranked[i].count);
        dm_json_set_str(o, DM_LIT("message"),
                        e == ERR_NONE ? DM_LIT("") : dm_err_info(e)->sentence);
        dm_json_push(list, o);
    }
    dm_mem_free(ranked);
    return list;
}

/* "rest:orders/v1" in three parts. */
static dm_view without_protocol(dm_view key)
{
    return dm_view_sub(key, dm_view_find_byte(key, ':', 0) + 1, key.len);
}

static dm_view without_version(dm_view key)
{
    return dm_view_sub(key, 0, dm_view_find_byte(key, '/', 0));
}

/* Sums of all protocols under "name/version": lists as the buckets have them. */
static struct dm_json *by_name(const struct dm_json *apis)
{
    struct dm_json *sums = dm_json_new_object();

    for (struct dm_json *a = dm_json_first(apis); a != NULL; a = dm_json_next(a)) {
        const dm_view key = dm_json_name(a),
                      name = dm_view_eq(key, DM_LIT("other")) ? key : without_protocol(key);
        dm_json_set(sums, name, adm_figures_sum(dm_json_get(sums, name), a));
    }
    return sums;
}

static struct dm_json *apis_of(const struct dm_json *sums, bool whole)
{
    struct dm_json *o = dm_json_new_object();

    for (struct dm_json *a = dm_json_first(sums); a != NULL; a = dm_json_next(a)) {
        struct dm_json *one = dm_json_new_object();
        const int64_t count = dm_json_i64(dm_json_at(a, 0), 0),
                      errors = dm_json_i64(dm_json_at(a, 1), 0);
        dm_json_set_i64(one, DM_LIT("requests"), count);
        dm_json_set_i64(one, DM_LIT("errors"), errors);
        set_number(one, "avg_response_time_ms", average(dm_json_i64(dm_json_at(a, 2), 0), count));
        if (whole) {
            set_number(one, "error_rate", ratio(errors, count));
            set_number(one, "p95_response_time_ms", quantile(a, 3, 0.95));
        }
        dm_json_set(o, dm_json_name(a), one);
    }
    return o;
}

static struct dm_json *top_apis(const struct dm_json *apis, int64_t all)
{
    DM_DEFER(dm_json_freep) struct dm_json *counts = dm_json_new_object();

    if (dm_json_len(apis) == 0 && all > 0)
        dm_json_set_i64(counts, DM_LIT("rest:unknown"), all);
    for (struct dm_json *a = dm_json_first(apis); a != NULL; a = dm_json_next(a)) {
        const dm_view name = without_version(dm_json_name(a));
        dm_json_set_i64(counts, name,
                        dm_json_i64(dm_json_get(counts, name), 0) +
                            dm_json_i64(dm_json_at(a, 0), 0));
    }
    return top(counts);
}

static void set_time(struct dm_json *o, const char *name, int64_t seconds)
{
    char text[DM_ISO_LEN + 1];

    dm_time_iso(seconds * DM_SEC, text);
    dm_json_set_str(o, dm_view_of(name), dm_view_of(text));
}

static void set_totals(struct dm_json *o, const struct dm_json *all)
{
    const int64_t count = figure(all, "count"), errors = figure(all, "errors");
    const double avg = average(figure(all, "us"), count);

    dm_json_set_i64(o, DM_LIT("total_requests"), count);
    dm_json_set_i64(o, DM_LIT("total_errors"), errors);
    set_number(o, "error_rate", ratio(errors, count));
    set_number(o, "avg_response_time_ms", avg);
    set_number(o, "p50_response_time_ms", latency(all, 0.50));
    set_number(o, "p95_response_time_ms", latency(all, 0.95));
    set_number(o, "p99_response_time_ms", latency(all, 0.99));
    set_figure(o, "total_test_requests", all, "tests");
    set_number(o, "avg_response_ms", avg);
    set_figure(o, "total_bytes_in", all, "bytes_in");
    set_figure(o, "total_bytes_out", all, "bytes_out");
    set_figure(o, "total_upstream_timeouts", all, "timeouts");
    set_figure(o, "total_retries", all, "retries");
}

static struct dm_json *in_order(const struct report *r)
{
    struct dm_json *list;

    if (!r->q->descending)
        return dm_json_clone(r->series);
    list = dm_json_new_array();
    for (size_t n = dm_json_len(r->series); n-- > 0;)
        dm_json_push(list, dm_json_clone(dm_json_at(r->series, n)));
    return list;
}

static struct dm_json *build(const struct report *r)
{
    struct dm_json *o = dm_json_new_object();
    const struct dm_json *apis = dm_json_get(r->all, DM_LIT("apis")),
                         *statuses = dm_json_get(r->all, DM_LIT("statuses")),
                         *users = dm_json_get(r->all, DM_LIT("users"));
    DM_DEFER(dm_json_freep) struct dm_json *sums = by_name(apis);

    dm_json_set_str(o, DM_LIT("period"), r->q->period);
    set_time(o, "start_time", r->q->now - r->q->seconds);
    set_time(o, "end_time", r->q->now);
    set_totals(o, r->all);
    dm_json_set_i64(o, DM_LIT("unique_users"), (int64_t)dm_json_len(users));
    dm_json_set(o, DM_LIT("apis"), apis_of(sums, false));
    dm_json_set(o, DM_LIT("by_api"), apis_of(sums, true));
    dm_json_set(o, DM_LIT("by_status_code"), dm_json_clone(statuses));
    dm_json_set(o, DM_LIT("status_counts"), dm_json_clone(statuses));
    dm_json_set(o, DM_LIT("top_errors"), top_errors(dm_json_get(r->all, DM_LIT("codes"))));
    dm_json_set(o, DM_LIT("top_users"), top(users));
    dm_json_set(o, DM_LIT("top_apis"), top_apis(apis, figure(r->all, "count")));
    dm_json_set(o, DM_LIT("series"), in_order(r));
    return o;
}

/* Where each level begins: what was moved on meanwhile moved that. */
static enum dm_code find_fronts(struct adm_app *app, int64_t fronts[ADM_LEVELS],
                                struct dm_error *err)
{
    enum dm_code rc = DM_OK;

    for (int l = 0; l < ADM_LEVELS && rc == DM_OK; l++) {
        const struct dm_query first = {.sort = "slot", .limit = 1};
        DM_DEFER(dm_json_freep) struct dm_json *list = NULL;

        rc = dm_documents_list(adm_documents(app), adm_figures_collection((enum adm_level)l),
                               &first, &list, err);
        fronts[l] = figure(rc == DM_OK ? dm_json_at(list, 0) : NULL, "start");
    }
    return rc;
}

static void free_report(struct report *r)
{
    dm_json_free(r->all);
    dm_json_free(r->series);
    dm_json_free(r->day);
    dm_mem_free(r->starts);
}

static enum dm_code try_report(struct report *r, bool *ret_moved, struct dm_error *err)
{
    int64_t before[ADM_LEVELS], after[ADM_LEVELS];
    enum dm_code rc = find_fronts(r->app, before, err);

    r->all = adm_figures_bucket(ADM_MINUTES, 0);
    adm_figures_add(r->all, NULL); /* every member is there */
    r->series = dm_json_new_array();
    if (rc == DM_OK)
        rc = add_all(r, err);
    if (rc == DM_OK)
        rc = find_fronts(r->app, after, err);
    *ret_moved = rc == DM_OK && memcmp(before, after, sizeof before) != 0;
    return rc;
}

enum dm_code adm_figures_report(struct adm_app *app, const struct adm_figures_question *q,
                                struct dm_json **ret, struct dm_error *err)
{
    enum dm_code rc = DM_OK;
    bool moved = true;

    for (int tries = 0; moved && rc == DM_OK; tries++) { /* moving takes moments, once a minute */
        struct report r = {.q = q, .app = app};

        rc = try_report(&r, &moved, err);
        if (tries == TRIES)
            moved = false;
        if (rc == DM_OK && !moved)
            *ret = build(&r);
        free_report(&r);
    }
    return rc;
}

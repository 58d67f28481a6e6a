#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics_process.h"

#include "base/poison.h"

enum {
    CACHE_LINE = 64,
    DEFAULT_MAX_SERIES = 10000, /* METRICS_MAX_SERIES */
    LABELS_MAX = 4096           /* of one series; Prometheus itself stores far less */
};

/* One value of one shard; a histogram has its sum, then one per bucket, the last is +Inf. */
typedef _Atomic int64_t cell;

struct family {
    char *name, *help;
    enum dm_metric_kind kind;
    size_t n_buckets;
    double bounds[DM_METRIC_BUCKETS];
    int64_t bounds_ns[DM_METRIC_BUCKETS];
    struct dm_map *series; /* labels -> struct dm_metric */
};

struct dm_metric {
    const struct family *family;
    char *memory;  /* what the cells were carved from */
    cell *cells;   /* cache-line aligned: shards * stride */
    size_t stride; /* cells from one shard to the next, whole cache lines */
    size_t n_shards;
    _Atomic uint64_t set_bits; /* gauges: the double of dm_metric_set */
};

struct dm_metrics {
    pthread_mutex_t lock; /* registration and writing; never taken to count */
    size_t n_shards, max_series;
    struct dm_map *families;
};

static void series_free(void *value)
{
    struct dm_metric *s = value;
    dm_mem_free(s->memory);
    dm_mem_free(s);
}

static void family_free(void *value)
{
    struct family *f = value;
    dm_map_free(f->series);
    dm_mem_free(f->name);
    dm_mem_free(f->help);
    dm_mem_free(f);
}

struct dm_metrics *dm_metrics_new(size_t shards)
{
    DM_REQUIRE(shards > 0);
    struct dm_metrics *m = DM_NEW(struct dm_metrics);
    pthread_mutex_init(&m->lock, NULL);
    m->n_shards = shards;
    m->max_series = DEFAULT_MAX_SERIES;
    m->families = dm_map_new(family_free);
    return m;
}

void dm_metrics_free(struct dm_metrics *m)
{
    if (m == NULL)
        return;
    dm_map_free(m->families);
    pthread_mutex_destroy(&m->lock);
    dm_mem_free(m);
}

void dm_metrics_limit(struct dm_metrics *m, size_t max_series)
{
    DM_REQUIRE(max_series > 0);
    pthread_mutex_lock(&m->lock);
    m->max_series = max_series;
    pthread_mutex_unlock(&m->lock);
}

static struct family *family_get(struct dm_metrics *m, enum dm_metric_kind kind, const char *name,
                                 const char *help, const double *buckets, size_t n_buckets)
{
    struct family *f = dm_map_get(m->families, dm_view_of(name));
    if (f != NULL) {
        DM_REQUIRE(f->kind == kind && f->n_buckets == n_buckets);
        return f;
    }
    DM_REQUIRE(n_buckets <= DM_METRIC_BUCKETS && (n_buckets == 0 || kind == DM_HISTOGRAM));
    f = DM_NEW(struct family);
    f->name = dm_mem_text(dm_view_of(name));
    f->help = dm_mem_text(dm_view_of(help));
    f->kind = kind;
    f->n_buckets = n_buckets;
    for (size_t i = 0; i < n_buckets; i++) {
        DM_REQUIRE(i == 0 || buckets[i] > buckets[i - 1]);
        f->bounds[i] = buckets[i];
        f->bounds_ns[i] = (int64_t)(buckets[i] * (double)DM_SEC + 0.5);
    }
    f->series = dm_map_new(series_free);
    dm_map_put(m->families, dm_view_of(name), f);
    return f;
}

static struct dm_metric *series_new(const struct dm_metrics *m, const struct family *f)
{
    struct dm_metric *s = DM_NEW(struct dm_metric);
    size_t n_cells = f->kind == DM_HISTOGRAM ? f->n_buckets + 2 : 1;
    size_t per_line = CACHE_LINE / sizeof(cell);
    s->family = f;
    s->n_shards = m->n_shards;
    s->stride = (n_cells + per_line - 1) / per_line * per_line;
    s->memory = dm_mem_alloc(s->stride * s->n_shards * sizeof(cell) + CACHE_LINE);
    uintptr_t gap = CACHE_LINE - (uintptr_t)s->memory % CACHE_LINE;
    s->cells = (cell *)(void *)(s->memory + gap);
    return s;
}

/* `a="1",b="2"` becomes `a="other",b="other"`: one series takes all that came too late. */
static void fold_labels(dm_view labels, struct dm_buf *out)
{
    bool in_value = false;
    for (size_t i = 0; i < labels.len; i++) {
        char c = labels.ptr[i];
        if (in_value && c == '\\') {
            i++;
        } else if (c == '"') {
            in_value = !in_value;
            dm_buf_add(out, in_value ? DM_LIT("\"other") : DM_LIT("\""));
        } else if (!in_value) {
            dm_buf_add_byte(out, c);
        }
    }
}

static struct dm_metric *series_get(struct dm_metrics *m, struct family *f, dm_view labels)
{
    struct dm_metric *s = dm_map_get(f->series, labels);
    if (s != NULL)
        return s;
    DM_DEFER(dm_buf_done) struct dm_buf folded;
    dm_buf_init(&folded, LABELS_MAX * 2);
    /* the last place is kept for "other" itself */
    if (labels.len > LABELS_MAX || dm_map_count(f->series) + 1 >= m->max_series) {
        fold_labels(labels, &folded);
        labels = dm_buf_ok(&folded) ? dm_buf_view(&folded) : DM_LIT("labels=\"other\"");
        s = dm_map_get(f->series, labels);
    }
    if (s == NULL) {
        s = series_new(m, f);
        dm_map_put(f->series, labels, s);
    }
    return s;
}

void dm_metrics_declare(struct dm_metrics *m, enum dm_metric_kind kind, const char *name,
                        const char *help, const double *buckets, size_t n_buckets)
{
    pthread_mutex_lock(&m->lock);
    (void)family_get(m, kind, name, help, buckets, n_buckets);
    pthread_mutex_unlock(&m->lock);
}

struct dm_metric *dm_metric_get(struct dm_metrics *m, enum dm_metric_kind kind, const char *name,
                                const char *labels, const char *help, const double *buckets,
                                size_t n_buckets)
{
    pthread_mutex_lock(&m->lock);
    struct family *f = family_get(m, kind, name, help, buckets, n_buckets);
    struct dm_metric *s = series_get(m, f, dm_view_of(labels));
    pthread_mutex_unlock(&m->lock);
    return s;
}

static void add_escaped(struct dm_buf *out, dm_view text, bool quotes)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\' || (quotes && c == '"'))
            dm_buf_add_byte(out, '\\');
        if (c == '\n')
            dm_buf_add(out, DM_LIT("\\n"));
        else
            dm_buf_add_byte(out, c);
    }
}

void dm_metric_label(struct dm_buf *labels, const char *key, dm_view value)
{
    if (dm_buf_view(labels).len > 0)
        dm_buf_add_byte(labels, ',');
    dm_buf_addf(labels, "%s=\"", key);
    /* the format wants UTF-8; whatever is not could only be rejected by the scraper, whole page */
    add_escaped(labels, dm_utf8_valid(value) ? value : DM_LIT("other"), true);
    dm_buf_add_byte(labels, '"');
}

void dm_metric_add(struct dm_metric *s, size_t shard, int64_t by)
{
    DM_REQUIRE(shard < s->n_shards && s->family->kind != DM_HISTOGRAM);
    DM_REQUIRE(by >= 0 || s->family->kind == DM_GAUGE);
    atomic_fetch_add_explicit(&s->cells[shard * s->stride], by, memory_order_relaxed);
}

void dm_metric_set(struct dm_metric *s, double value)
{
    uint64_t bits;
    DM_REQUIRE(s->family->kind == DM_GAUGE);
    memcpy(&bits, &value, sizeof bits);
    atomic_store_explicit(&s->set_bits, bits, memory_order_relaxed);
}

void dm_metric_observe(struct dm_metric *s, size_t shard, int64_t ns)
{
    const struct family *f = s->family;
    DM_REQUIRE(shard < s->n_shards && f->kind == DM_HISTOGRAM);
    cell *cells = &s->cells[shard * s->stride];
    size_t bucket = 0;
    while (bucket < f->n_buckets && ns > f->bounds_ns[bucket])
        bucket++;
    atomic_fetch_add_explicit(&cells[0], ns > 0 ? ns : 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&cells[1 + bucket], 1, memory_order_relaxed);
}

static int64_t sum_of(const struct dm_metric *s, size_t index)
{
    int64_t sum = 0;
    for (size_t shard = 0; shard < s->n_shards; shard++)
        sum += atomic_load_explicit(&s->cells[shard * s->stride + index], memory_order_relaxed);
    return sum;
}

static double gauge_of(const struct dm_metric *s)
{
    double set;
    uint64_t bits = atomic_load_explicit(&s->set_bits, memory_order_relaxed);
    memcpy(&set, &bits, sizeof set);
    return set + (double)sum_of(s, 0);
}

int64_t dm_metric_value(const struct dm_metric *s)
{
    int64_t count = 0;
    switch (s->family->kind) {
    case DM_COUNTER:
        return sum_of(s, 0);
    case DM_GAUGE:
        return (int64_t)gauge_of(s);
    case DM_HISTOGRAM:
        for (size_t i = 0; i <= s->family->n_buckets; i++)
            count += sum_of(s, 1 + i);
        return count;
    }
    DM_UNREACHABLE();
}

static void add_number(struct dm_buf *out, double n)
{
    if (__builtin_isnan(n))
        dm_buf_add(out, DM_LIT("NaN"));
    else if (__builtin_isinf(n))
        dm_buf_add(out, n > 0 ? DM_LIT("+Inf") : DM_LIT("-Inf"));
    else if (n > -1e15 && n < 1e15 && n == (double)(int64_t)n)
        dm_buf_add_i64(out, (int64_t)n);
    else
        dm_buf_addf(out, "%.15g", n);
}

static void add_name(struct dm_buf *out, const struct family *f, const char *suffix, dm_view labels,
                     dm_view bound)
{
    dm_buf_addf(out, "%s%s", f->name, suffix);
    if (labels.len + bound.len > 0) {
        dm_buf_add_byte(out, '{');
        dm_buf_add(out, labels);
        if (bound.len > 0) {
            dm_buf_add(out, labels.len > 0 ? DM_LIT(",le=\"") : DM_LIT("le=\""));
            dm_buf_add(out, bound);
            dm_buf_add_byte(out, '"');
        }
        dm_buf_add_byte(out, '}');
    }
    dm_buf_add_byte(out, ' ');
}

static void write_histogram(struct dm_buf *out, const struct dm_metric *s, dm_view labels)
{
    const struct family *f = s->family;
    int64_t sum_ns = sum_of(s, 0), count = 0;
    for (size_t i = 0; i <= f->n_buckets; i++) {
        DM_DEFER(dm_buf_done) struct dm_buf bound;
        dm_buf_init(&bound, 32); /* "%g" of a double */
        if (i < f->n_buckets)
            dm_buf_addf(&bound, "%g", f->bounds[i]);
        else
            dm_buf_add(&bound, DM_LIT("+Inf"));
        count += sum_of(s, 1 + i);
        add_name(out, f, "_bucket", labels, dm_buf_view(&bound));
        dm_buf_addf(out, "%lld\n", (long long)count);
    }
    add_name(out, f, "_sum", labels, DM_VIEW_NONE);
    dm_buf_addf(out, "%lld.%09lld\n", (long long)(sum_ns / DM_SEC), (long long)(sum_ns % DM_SEC));
    add_name(out, f, "_count", labels, DM_VIEW_NONE);
    dm_buf_addf(out, "%lld\n", (long long)count);
}

static bool write_series(void *ctx, dm_view labels, void *value)
{
    struct dm_buf *out = ctx;
    const struct dm_metric *s = value;
    if (s->family->kind == DM_HISTOGRAM) {
        write_histogram(out, s, labels);
        return dm_buf_ok(out);
    }
    add_name(out, s->family, "", labels, DM_VIEW_NONE);
    if (s->family->kind == DM_COUNTER)
        dm_buf_add_i64(out, sum_of(s, 0));
    else
        add_number(out, gauge_of(s));
    dm_buf_add_byte(out, '\n');
    return dm_buf_ok(out);
}

static bool write_family(void *ctx, dm_view name, void *value)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct dm_buf *out = ctx;
    const struct family *f = value;
    dm_buf_addf(out, "# HELP %.*s ", DM_FMT(name));
    add_escaped(out, dm_view_of(f->help), false);
    dm_buf_addf(out, "\n# TYPE %.*s %s\n", DM_FMT(name), types[f->kind]);
    dm_map_each(f->series, write_series, out);
    return dm_buf_ok(out);
}

void dm_metrics_write(struct dm_metrics *m, struct dm_buf *out)
{
    pthread_mutex_lock(&m->lock);
    dm_map_each(m->families, write_family, out);
    pthread_mutex_unlock(&m->lock);
    dm_metrics_process_write(out);
}

/* Counters, gauges and histograms in the Prometheus text format 0.0.4. One shard per worker, so
 * that workers never write the same cache line; cells are relaxed atomics, summed when read. Label
 * values come from closed sets, never from a path, a user or an id; past the limit of label sets
 * per name they fold into "other". Pointers to series live as long as the struct dm_metrics. Any
 * thread. */
#pragma once

#include "base/buf.h"

enum dm_metric_kind { DM_COUNTER = 0, DM_GAUGE, DM_HISTOGRAM };
enum { DM_METRIC_BUCKETS = 12 };

struct dm_metric; /* one series: a name and one set of labels */
struct dm_metrics;

struct dm_metrics *dm_metrics_new(size_t shards);
void dm_metrics_free(struct dm_metrics *m);
/* label sets per name; 10000 at first */
void dm_metrics_limit(struct dm_metrics *m, size_t max_series);
/* Declares a name, so that its HELP and TYPE are shown before it has any series. buckets: rising
 * upper bounds in seconds, histograms only, at most 12 (+Inf is added); copied, as are the
 * texts. */
void dm_metrics_declare(struct dm_metrics *m, enum dm_metric_kind kind, const char *name,
                        const char *help, const double *buckets, size_t n_buckets);
/* Registers (or finds) the series, and declares its name. labels: `code="200"`, or "" for none.
 * Takes a lock: at start, or rarely, not per request. */
struct dm_metric *dm_metric_get(struct dm_metrics *m, enum dm_metric_kind kind, const char *name,
                                const char *labels, const char *help, const double *buckets,
                                size_t n_buckets);
/* Appends one `key="value"` to a text of labels, with its comma and escapes. */
void dm_metric_label(struct dm_buf *labels, const char *key, dm_view value);

/* counters (by >= 0), gauges */
void dm_metric_add(struct dm_metric *s, size_t shard, int64_t by);
void dm_metric_set(struct dm_metric *s, double value);                 /* gauges: whole process */
void dm_metric_observe(struct dm_metric *s, size_t shard, int64_t ns); /* histograms */
/* sum of shards; histogram: count; gauge: whole part */
int64_t dm_metric_value(const struct dm_metric *s);
/* HELP and TYPE once per name, then its series, in order of registration; then the standard
 * process_* metrics, read from the system at that moment. */
void dm_metrics_write(struct dm_metrics *m, struct dm_buf *out);

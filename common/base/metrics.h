/* Counters, gauges and histograms in the Prometheus text format 0.0.4. One shard per worker, written
 * only by its worker with relaxed atomics, summed when read. Series are registered at start from closed
 * label sets, never from a path, a user or an id. */
#pragma once

#include "base/buf.h"

enum dm_metric_kind { DM_COUNTER = 0, DM_GAUGE, DM_HISTOGRAM };
enum { DM_METRIC_BUCKETS = 12 };

struct dm_metric; /* one series: a name and one set of labels */
struct dm_metrics;

struct dm_metrics *dm_metrics_new(size_t shards);
void dm_metrics_free(struct dm_metrics *m);
/* Registers (or finds) the series. labels: `code="200"`, or "" for none. buckets: upper bounds in seconds,
 * histograms only, at most 12 (+Inf is added). Takes a lock: at start, or rarely, not per request. */
struct dm_metric *dm_metric_get(struct dm_metrics *m, enum dm_metric_kind kind, const char *name,
                                const char *labels, const char *help, const double *buckets,
                                size_t n_buckets);
void dm_metric_add(struct dm_metric *s, size_t shard, int64_t by);
void dm_metric_set(struct dm_metric *s, double value);                   /* gauges: whole process */
void dm_metric_observe(struct dm_metric *s, size_t shard, int64_t ns);   /* histograms */
int64_t dm_metric_value(const struct dm_metric *s);                      /* sum of shards; histogram: count */
/* HELP and TYPE once per name, then its series; names in order of registration. */
void dm_metrics_write(struct dm_metrics *m, struct dm_buf *out);

/* The fixed buckets in which gateways count how long calls took, and what the admin reads out of
 * merged ones (operations.md §8.2). Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { DM_LATENCY_BUCKETS = 24 }; /* the last one has no upper bound */
size_t dm_latency_bucket(int64_t us);
/* Milliseconds below which `share` (0 to 1) of the calls stayed, linear within a bucket: off by
 * less than the width of one. The open bucket gives its lower bound. No calls: 0. */
double dm_latency_quantile(const int64_t counts[DM_LATENCY_BUCKETS], double share);

#include "model/latency.h"

/* Upper bounds in microseconds: finer where services live. */
static const int64_t bounds[DM_LATENCY_BUCKETS - 1] = {
    500,    1000,    2000,    3000,    5000,     7500,     10000,   15000,
    20000,  30000,   50000,   75000,   100000,   150000,   250000,  400000,
    600000, 1000000, 2000000, 5000000, 10000000, 30000000, 60000000};

size_t dm_latency_bucket(int64_t us)
{
    size_t low = 0, high = DM_LATENCY_BUCKETS - 1;

    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (us <= bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static double lower(size_t bucket)
{
    return bucket == 0 ? 0.0 : (double)bounds[bucket - 1];
}

double dm_latency_quantile(const int64_t counts[DM_LATENCY_BUCKETS], double share)
{
    double all = 0, below = 0, want;
    size_t at = 0;

    for (size_t i = 0; i < DM_LATENCY_BUCKETS; i++)
        all += (double)counts[i];
    if (all <= 0)
        return 0;
    want = share * all;
    while (at < DM_LATENCY_BUCKETS - 1 && below + (double)counts[at] < want)
        below += (double)counts[at++];
    if (at == DM_LATENCY_BUCKETS - 1 || counts[at] == 0)
        return lower(at) / 1000;
    return (lower(at) + (want - below) / (double)counts[at] * ((double)bounds[at] - lower(at))) /
           1000;
}

#include "gateway/fixed.h"

#include "gateway/client.h"
#include "gateway/worker.h"
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* --- /api/status (C5) --- */

struct memory {
    long rss_bytes, total_bytes;
};

static struct memory read_memory(void)
{
    struct memory m = {0, 1};
    struct sysinfo si;
    FILE *f = fopen("/proc/self/statm", "re"); /* in memory: does not block */
    long pages = 0;

    if (f != NULL) {
        if (fscanf(f, "%*d %ld", &pages) == 1)
            m.rss_bytes = pages * sysconf(_SC_PAGESIZE);
        fclose(f);
    }
    if (sysinfo(&si) == 0)
        m.total_bytes = (long)si.totalram * (long)si.mem_unit;
    return m;
}

static dm_view uptime_text(struct dm_arena *a, int64_t seconds)
{
    const int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

    if (days > 0)
        return dm_arena_fmt(a, "%lldd %lldh %lldm", (long long)days, (long long)(hours % 24),
                            (long long)(minutes % 60));
    if (hours > 0)
        return dm_arena_fmt(a, "%lldh %lldm", (long long)hours, (long long)(minutes % 60));
    return dm_arena_fmt(a, "%lldm %llds", (long long)minutes, (long long)(seconds % 60));
}

static enum gw_next status(struct gw_request *rq)
{
    const bool memory_mode = gw_settings(rq)->mem_or_external == DM_MEM_OR_EXTERNAL_MEM;
    /* This call's own admission is the newest there is to know. */
    const bool answered = rq->figures.answer.verdict != DM_ADMIT_UNKNOWN;
    const struct memory m = read_memory();
    const int64_t up = (gw_now(rq) - rq->worker->started) / DM_SEC;
    const dm_view body = dm_arena_fmt(
        rq->x->arena,
        "{\"status\":\"ok\",\"uptime_seconds\":%lld,\"memory_usage_mb\":%ld,\"mode\":\"%s\","
        "\"mongodb\":\"%s\",\"redis\":\"%s\",\"memory_usage\":\"%.1f%%\",\"active_connections\":%"
        "zu,"
        "\"uptime\":\"%.*s\"}",
        (long long)up, m.rss_bytes >> 20, memory_mode ? "memory" : "redis",
        memory_mode ? "memory" : "not_used",
        memory_mode ? "memory"
        : answered  ? "connected"
                    : "disconnected",
        100.0 * (double)m.rss_bytes / (double)m.total_bytes, gw_worker_inflight(rq->worker),
        DM_FMT(uptime_text(rq->x->arena, up)));

    return body.ptr != NULL ? gw_answer(rq, 200, body)
                            : gw_refuse(rq, ERR_TOO_MUCH_MEMORY, "memory");
}

/* --- routes --- */

static const struct gw_fixed table[] = {
    {DM_LIT("/api/status"), GW_GET, DM_LIT("GET"), status},
};

/* Paths that exist with the slash that this one lacks, or without the one it has: 307. */
static const struct {
    dm_view from, to;
} slashes[] = {
    {DM_LIT("/api/health/"), DM_LIT("/api/health")},
    {DM_LIT("/api/status/"), DM_LIT("/api/status")},
    {DM_LIT("/api/caches/"), DM_LIT("/api/caches")},
    {DM_LIT("/api/rest"), DM_LIT("/api/rest/")},
    {DM_LIT("/api/soap"), DM_LIT("/api/soap/")},
    {DM_LIT("/api/graphql"), DM_LIT("/api/graphql/")},
    {DM_LIT("/api/grpc"), DM_LIT("/api/grpc/")},
};

static enum gw_next redirect(struct gw_request *rq, dm_view path)
{
    const dm_view scheme = gw_client_scheme(rq), host = gw_client_host(rq),
                  query = rq->target.raw_query;

    rq->out.location =
        dm_arena_fmt(rq->x->arena, "%.*s://%.*s%.*s%s%.*s", DM_FMT(scheme), DM_FMT(host),
                     DM_FMT(path), query.ptr != NULL ? "?" : "", DM_FMT(query));
    if (rq->out.location.ptr == NULL)
        return gw_refuse(rq, ERR_TOO_MUCH_MEMORY, "memory");
    return gw_answer(rq, 307, DM_VIEW_NONE);
}

enum gw_next gw_fixed_resolve(struct gw_request *rq)
{
    const dm_view path = rq->target.raw_path;

    for (size_t i = 0; i < DM_COUNT_OF(table); i++) {
        if (!dm_view_eq(path, table[i].path))
            continue;
        if (!(table[i].methods & rq->in.method)) {
            rq->out.allow = table[i].allow;
            return gw_refuse(rq, ERR_METHOD_NOT_ALLOWED, "route; method");
        }
        rq->route.fixed = &table[i];
        rq->route.guarded = true;
        return GW_NEXT;
    }
    for (size_t i = 0; i < DM_COUNT_OF(slashes); i++)
        if (dm_view_eq(path, slashes[i].from))
            return redirect(rq, slashes[i].to);
    return gw_refuse(rq, ERR_NOT_FOUND, "route");
}

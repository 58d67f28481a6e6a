#include "gateway/fixed.h"

#include "gateway/client.h"
#include "gateway/worker.h"
#include "io/ops_status.h"

/* --- /api/status (C5) --- */

static enum gw_next status(struct gw_request *rq)
{
    const bool memory_mode = gw_settings(rq)->mem_or_external == DM_MEM_OR_EXTERNAL_MEM;
    /* This call's own admission is the newest there is to know. */
    const bool answered = rq->figures.answer.verdict != DM_ADMIT_UNKNOWN;
    const char *redis = answered ? "connected" : "disconnected";
    const struct dm_ops_status s = {.mode = memory_mode ? "memory" : "redis",
                                    .mongodb = memory_mode ? "memory" : "not_used",
                                    .redis = memory_mode ? "memory" : redis,
                                    .up = gw_now(rq) - rq->worker->started,
                                    .active = gw_worker_inflight(rq->worker)};
    char text[DM_OPS_STATUS_MAX];
    const dm_view body = dm_arena_fmt(rq->x->arena, "%.*s", DM_FMT(dm_ops_status_text(&s, text)));

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

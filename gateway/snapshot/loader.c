#include "gateway/snapshot/loader.h"

#include "base/log.h"
#include "store/live_keys.h"
#include <stdatomic.h>

struct gw_loader {
    struct gw_loader_config config;
    struct dm_live_subscriber subscriber;
    struct dm_policy_builder *builder;
    struct dm_metric *rejected;
};

static enum dm_code put(struct gw_loader *l, const struct dm_live_change *c, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    enum dm_code rc;

    if (c->bytes.ptr == NULL)
        return dm_policy_builder_put(l->builder, c->kind, c->id, NULL, err);
    rc = dm_json_parse(c->bytes, &dm_json_default, &doc, err);
    return rc == DM_OK ? dm_policy_builder_put(l->builder, c->kind, c->id, doc, err) : rc;
}

static void on_change(struct dm_live_subscriber *s, uint64_t generation,
                      const struct dm_live_change *changes, size_t n)
{
    struct gw_loader *l = DM_CONTAINER_OF(s, struct gw_loader, subscriber);
    struct dm_error err;

    if (generation == 0)
        return; /* nothing was published yet: no policy, which is not an empty one */
    for (size_t i = 0; i < n; i++) {
        if (dm_live_kind_on_demand(changes[i].kind) || /* principals.h */
            put(l, &changes[i], &err) == DM_OK)
            continue;
        dm_metric_add(l->rejected, l->config.shard, 1);
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "policy.object.refused", DM_F("kind", changes[i].kind),
               DM_F("id", changes[i].id), DM_FC("reason", err.text));
    }
    gw_snapshot_publish_policy(
        l->config.cell,
        dm_policy_builder_build(l->builder, generation, dm_loop_wall(l->config.loop)));
    atomic_store(&l->config.ops->generation, generation);
}

struct gw_loader *gw_loader_new(const struct gw_loader_config *c)
{
    struct gw_loader *l = DM_NEW(struct gw_loader);

    l->config = *c;
    l->builder = dm_policy_builder_new();
    l->rejected = dm_metric_get(c->metrics, DM_COUNTER, "doorman_policy_rejected_total",
                                "reason=\"invalid\"", "Policy objects refused", NULL, 0);
    l->subscriber.on_change = on_change;
    dm_live_subscribe(c->live, &l->subscriber);
    return l;
}

void gw_loader_free(struct gw_loader *l)
{
    if (l == NULL)
        return;
    dm_live_unsubscribe(&l->subscriber);
    dm_policy_builder_free(l->builder);
    dm_mem_free(l);
}

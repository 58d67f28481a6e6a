#include "programs/admin/stores.h"

#include "admin/services/carry_over.h"
#include "admin/services/seed.h"
#include "base/log.h"
#include "crypto/ed25519.h"
#include "programs/process/program.h"
#include "programs/process/reload.h"
#include "store/mongo/documents_mongo.h"
#include <stdio.h>
#include <sysexits.h>

enum { KEY_CAP = 64 * 1024 }; /* POLICY_SIGNING_KEY's own maximum */
/* configuration.md §2.1: back-off 1 s, 2 s, 4 s, …; no longer, so that a store that comes back is
 * noticed. The lease of another admin's migration is asked for more often. */
static const dm_time first_pause = DM_SEC, longest_pause = 8 * DM_SEC, lease_pause = 200 * DM_MS;

static const struct dm_documents_schema *schema(void)
{
    static const struct dm_documents_expiry expiries[] = {{"revocations", "expires"}};
    /* platform-access.md §9, platform-apis.md §14; docs/data-model.md */
    static const struct dm_documents_index indexes[] = {
        {"endpoints", {"api_id"}},
        {"vault_entries", {"username"}},
        {"tiers", {"name"}},
        {"user_tier_assignments", {"tier_id"}},
        {"rate_limit_rules", {"rule_type", "target_identifier"}},
        {"config_snapshots", {"timestamp"}},
    };
    static struct dm_documents_schema s;

    s.uniques = adm_uniques(&s.n_uniques);
    s.expiries = expiries;
    s.n_expiries = DM_COUNT_OF(expiries);
    s.indexes = indexes;
    s.n_indexes = DM_COUNT_OF(indexes);
    s.adapt = adm_carry_over;
    return &s;
}

static int refuse(const char *what, const struct dm_error *err, int code)
{
    process_fail(err, what);
    return code;
}

int stores_open_documents(const struct dm_settings *settings, struct dm_documents **ret)
{
    struct dm_mongo_config c;
    struct dm_error err;

    dm_mongo_config_from(settings, schema(), &c);
    switch (dm_documents_mongo_open(&c, ret, &err)) {
    case DM_OK:
        return 0;
    case DM_INVALID:
        return refuse("MongoDB", &err, EX_CONFIG);
    default:
        return refuse("MongoDB", &err, EX_UNAVAILABLE);
    }
}

/* One question to a store, again until it is answered. DM_INVALID ends it. */
static int insist(const char *what, enum dm_code (*ask)(void *store, struct dm_error *err),
                  void *store, struct process *p)
{
    const dm_time start = dm_clock_mono(&dm_clock_system);
    dm_time wait = first_pause;

    for (;;) {
        struct dm_error err;
        const enum dm_code rc = ask(store, &err);

        if (rc == DM_OK)
            return 0;
        if (rc == DM_INVALID)
            return refuse(what, &err, EX_CONFIG);
        if (p == NULL)
            return refuse(what, &err, rc == DM_AGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE);
        if (dm_clock_mono(&dm_clock_system) - start >= p->settings->startup_timeout_seconds)
            return refuse(what, &err, EX_UNAVAILABLE);
        if (rc != DM_AGAIN)
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "store not reached yet", DM_FC("store", what),
                   DM_FC("reason", err.text));
        if (!process_pause(p, rc == DM_AGAIN ? lease_pause : wait))
            return EX_UNAVAILABLE; /* told to stop: the code does not count */
        if (rc != DM_AGAIN && wait < longest_pause)
            wait *= 2;
    }
}

struct migrating {
    struct dm_documents *documents;
    struct dm_documents_migrated *done;
};

static enum dm_code migrate(void *ctx, struct dm_error *err)
{
    const struct migrating *m = ctx;

    return dm_documents_mongo_migrate(m->documents, m->done, err);
}

int stores_migrate(struct dm_documents *d, struct process *p, struct dm_documents_migrated *ret)
{
    struct migrating m = {d, ret};

    return insist("MongoDB", migrate, &m, p);
}

static enum dm_code history(void *ctx, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *done = NULL;
    int64_t version;
    enum dm_code rc = dm_documents_mongo_check(ctx, &version, err);

    if (rc == DM_OK)
        rc = dm_documents_mongo_history(ctx, &done, err);
    if (rc != DM_OK)
        return rc;
    printf("schema is at version %lld, this program's is %d\n", (long long)version,
           DM_DOCUMENTS_SCHEMA_VERSION);
    for (struct dm_json *s = dm_json_first(done); s != NULL; s = dm_json_next(s))
        printf("%.*s  %-12.*s %.*s\n", DM_FMT(dm_json_str(dm_json_get(s, DM_LIT("applied_at")))),
               DM_FMT(dm_json_str(dm_json_get(s, DM_LIT("name")))),
               DM_FMT(dm_json_str(dm_json_get(s, DM_LIT("checksum")))));
    return DM_OK;
}

int stores_history(struct dm_documents *d)
{
    return insist("MongoDB", history, d, NULL);
}

static enum dm_code ping_live(void *store, struct dm_error *err)
{
    return dm_live_ping(store, err);
}

/* POLICY_SIGNING_KEY, or what both programs derive from the same JWT_SECRET_KEY. */
static void find_signing_key(struct stores *s, const struct dm_settings *settings)
{
    dm_buf_init(&s->signing_key, KEY_CAP);
    if (!dm_secret_empty(&settings->policy_signing_key))
        dm_buf_add(&s->signing_key, dm_secret_view(&settings->policy_signing_key));
    else
        dm_ed25519_derive(dm_secret_view(&settings->jwt_secret_key), &s->signing_key);
}

static void on_event(void *ctx, dm_view event)
{
    const struct process *p = ctx;

    reload_hear(p->reload, event);
}

static int open_live(struct stores *s, struct process *p)
{
    const struct dm_settings *settings = p->settings;
    struct dm_error err;

    s->redis.metrics = p->metrics;
    s->redis.on_event = on_event;
    s->redis.event_ctx = p;
    find_signing_key(s, settings);
    s->redis.policy_signing_key = dm_buf_view(&s->signing_key);
    if (dm_redis_config_of(settings, &s->redis.redis, &err) != DM_OK)
        return refuse("Redis", &err, EX_CONFIG);
    s->redis.redis.name = p->program->name;
    switch (dm_live_redis_admin(&s->redis, settings->redis_socket_timeout, &s->live, &err)) {
    case DM_OK:
        return 0;
    case DM_INVALID:
        return refuse("Redis", &err, EX_CONFIG);
    default:
        return refuse("Redis", &err, EX_UNAVAILABLE);
    }
}

/* operations.md §8.15.2: what is evicted is gone for everybody, revocations and policy alike. */
static void warn_of_eviction(struct dm_live_admin *live)
{
    struct dm_live_eviction e;
    struct dm_error err;

    if (dm_live_redis_eviction(live, &e, &err) == DM_OK && !e.safe)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
               "Redis may evict policy and revocations: set maxmemory-policy to noeviction",
               DM_FC("maxmemory_policy", e.policy));
}

int stores_open(struct stores *s, struct process *p)
{
    int code = stores_open_documents(p->settings, &s->documents);

    if (code == 0)
        code = stores_migrate(s->documents, p, NULL);
    if (code != 0)
        return code;
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "MongoDB connection verified");
    code = open_live(s, p);
    if (code == 0)
        code = insist("Redis", ping_live, s->live, p);
    if (code == 0) {
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Redis connection verified");
        warn_of_eviction(s->live);
    }
    return code;
}

void stores_take_over(struct stores *s, const struct dm_settings *settings)
{
    struct dm_redis_config redis;
    struct dm_error err;

    if (dm_redis_config_of(settings, &redis, &err) != DM_OK ||
        dm_live_redis_admin_set_passwords(s->live, &redis, &err) != DM_OK)
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "the password of Redis was not taken over",
               DM_FC("reason", err.text));
}

void stores_free(struct stores *s)
{
    dm_view key = dm_buf_view(&s->signing_key);

    if (s->live != NULL)
        dm_live_admin_free(s->live);
    dm_documents_free(s->documents);
    if (key.len > 0)
        dm_mem_wipe((void *)(uintptr_t)key.ptr, key.len);
    dm_buf_done(&s->signing_key);
}

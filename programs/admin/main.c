/* doorman-admin: the admin part over MongoDB and Redis, behind a front door of its own. */
#include "base/fault.h"
#include "base/log.h"
#include "programs/admin/door.h"
#include "programs/admin/inject.h"
#include "programs/admin/part.h"
#include "programs/admin/stores.h"
#include "programs/admin/watch.h"
#include "programs/process/commands.h"
#include "programs/process/program.h"
#include "programs/process/reload.h"
#include "programs/smoke/smoke.h"
#include "store/mongo/documents_mongo.h"
#include <stdatomic.h>
#include <stdio.h>
#include <sysexits.h>

struct admin {
    struct process process; /* first: programs are handed it */
    struct stores stores;
    struct admin_part part;
    struct dm_front *front;
    struct watch mongodb, redis;
    struct dm_metric *mongo_up, *redis_up;
};

static struct admin *admin_of(struct process *p)
{
    return DM_CONTAINER_OF(p, struct admin, process);
}

/* --- the stores, watched (R12) --- */

static enum dm_code ask_mongodb(void *ctx, struct dm_error *err)
{
    struct admin *a = ctx;
    int64_t version = 0;
    enum dm_code rc = dm_documents_mongo_check(a->stores.documents, &version, err);

    if (rc == DM_OK && version != DM_DOCUMENTS_SCHEMA_VERSION) /* operations.md §8.1: current */
        rc = DM_FAIL(err, DM_INVALID, ERR_NONE,
                     "the document store has schema version %lld and this program %d",
                     (long long)version, DM_DOCUMENTS_SCHEMA_VERSION);
    return rc;
}

static enum dm_code ask_redis(void *ctx, struct dm_error *err)
{
    struct admin *a = ctx;

    return dm_live_ping(a->stores.live, err);
}

static bool start_watches(struct admin *a)
{
    a->mongodb.name = "MongoDB";
    a->mongodb.ask = ask_mongodb;
    a->redis.name = "Redis";
    a->redis.ask = ask_redis;
    a->mongodb.ctx = a->redis.ctx = a;
    return watch_start(&a->mongodb) && watch_start(&a->redis);
}

static const char *state_of(struct watch *w)
{
    return watch_up(w) ? "connected" : "disconnected";
}

static const char *mongodb_state(void *ctx)
{
    return state_of(&admin_of(ctx)->mongodb);
}

static const char *redis_state(void *ctx)
{
    return state_of(&admin_of(ctx)->redis);
}

static enum dm_ops_health health(void *ctx)
{
    struct admin *a = admin_of(ctx);

    return watch_up(&a->mongodb) && watch_up(&a->redis) ? DM_OPS_GOOD : DM_OPS_BAD;
}

static void prepare(struct process *p)
{
    struct admin *a = admin_of(p);

    p->ops.mongodb = mongodb_state;
    p->ops.redis = redis_state;
    p->ops.health = health;
    a->mongo_up = dm_metric_get(p->metrics, DM_GAUGE, "doorman_mongo_up", "",
                                "1 while MongoDB answers", NULL, 0);
    a->redis_up = dm_metric_get(p->metrics, DM_GAUGE, "doorman_redis_up", "",
                                "1 while Redis answers", NULL, 0);
}

static void gauges(struct process *p)
{
    struct admin *a = admin_of(p);

    dm_metric_set(a->mongo_up, watch_up(&a->mongodb));
    dm_metric_set(a->redis_up, watch_up(&a->redis));
}

/* --- the program --- */

static void on_published(void *ctx, uint64_t generation)
{
    struct process *p = ctx;
    uint64_t known = atomic_load(&p->ops.generation);

    while (known < generation &&
           !atomic_compare_exchange_weak(&p->ops.generation, &known, generation))
        continue;
}

static enum dm_code sweep(void *ctx, struct dm_error *err)
{
    struct admin *a = admin_of(ctx);
    uint64_t deleted;

    return dm_documents_mongo_sweep(a->stores.documents, dm_clock_wall(&dm_clock_system) / DM_SEC,
                                    &deleted, err);
}

/* What every admin of a deployment has: the first of the keys that sign its tokens. */
static dm_view shared_secret(const struct dm_settings *s)
{
    if (!dm_secret_empty(&s->jwt_secret_key))
        return dm_secret_view(&s->jwt_secret_key);
    if (!dm_secret_empty(&s->jwt_private_key))
        return dm_secret_view(&s->jwt_private_key);
    return dm_secret_view(&s->jwt_keys);
}

/* By order over HTTP: first here; when that was good, everywhere. */
static struct dm_json *reload_all(void *ctx)
{
    struct process *p = ctx;
    struct dm_json *report = reload_and_wait(p->reload, RELOAD_HTTP);
    struct dm_error err;

    if (dm_json_bool(dm_json_get(report, DM_LIT("ok")), false) &&
        dm_live_redis_announce(admin_of(p)->stores.live, reload_announcement(p->reload), &err) !=
            DM_OK)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "the other processes were not told to reload",
               DM_FC("reason", err.text));
    return report;
}

static size_t inflight(const struct process *p)
{
    return dm_front_inflight(DM_CONTAINER_OF(p, const struct admin, process)->front);
}

static void status(void *ctx, struct dm_ops_status *ret)
{
    const struct process *p = ctx;

    *ret = (struct dm_ops_status){.mode = p->ops.mode,
                                  .mongodb = mongodb_state(ctx),
                                  .redis = redis_state(ctx),
                                  .up = dm_clock_wall(&dm_clock_system) - p->ops.started_wall,
                                  .active = inflight(p)};
}

static int start(struct process *p)
{
    struct admin *a = admin_of(p);
    struct admin_part_config part = {.wait_applied = on_published,
                                     .status = status,
                                     .sweep = sweep,
                                     .reload = reload_all,
                                     .ctx = p};
    struct dm_error err;
    int code;

    if (!admin_part_make_socket(&a->part))
        return EX_OSERR;
    code = stores_open(&a->stores, p);
    if (code != 0)
        return code;
    part.documents = a->stores.documents;
    part.live = a->stores.live;
    part.shared_secret = shared_secret(p->settings);
    if (!start_watches(a) || !door_make(p, a->part.socket_path, &a->front))
        return EX_OSERR;
    if (admin_part_start(&a->part, p, &part, &err) != DM_OK) {
        process_fail(&err, "admin part");
        return err.kind == DM_UNAVAILABLE ? EX_UNAVAILABLE : EX_SOFTWARE;
    }
    if (dm_front_listen(a->front, &err) != DM_OK) {
        process_fail(&err, "main port");
        return EX_UNAVAILABLE;
    }
    return 0;
}

static uint16_t port(const struct process *p)
{
    return dm_front_port(DM_CONTAINER_OF(p, const struct admin, process)->front);
}

static void drain(struct process *p)
{
    dm_front_drain(admin_of(p)->front);
}

static void take_over(struct process *p, struct dm_settings *s, struct dm_keyset *keys)
{
    admin_part_take_over(&admin_of(p)->part, s, keys);
    stores_take_over(&admin_of(p)->stores, s);
}

static void record(struct process *p, dm_view entry)
{
    struct dm_error err;

    if (dm_live_redis_admin_record(admin_of(p)->stores.live, entry, &err) != DM_OK)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "an event could not be recorded",
               DM_FC("reason", err.text));
}

static void end(struct process *p, bool served)
{
    struct admin *a = admin_of(p);

    (void)served;
    admin_part_close(&a->part);
    admin_part_free(&a->part);
    if (a->front != NULL)
        dm_front_free(a->front);
    watch_stop(&a->mongodb);
    watch_stop(&a->redis);
    stores_free(&a->stores);
}

/* --- doorman-admin migrate --- */

static void tell_migrated(const struct dm_documents_migrated *done)
{
    if (done->steps + done->indexes + done->documents == 0)
        printf("nothing to do: schema is at version %d\n", DM_DOCUMENTS_SCHEMA_VERSION);
    else
        printf("schema is at version %d: %llu steps, %llu indexes, %llu documents changed\n",
               DM_DOCUMENTS_SCHEMA_VERSION, (unsigned long long)done->steps,
               (unsigned long long)done->indexes, (unsigned long long)done->documents);
}

static int command_migrate(const struct program *program, struct process *p,
                           const struct options *o)
{
    struct dm_settings *settings = load_settings(program, o, NULL);
    struct dm_documents *d = NULL;
    struct dm_documents_migrated done = {0};
    int code;

    (void)p;
    if (settings == NULL)
        return EX_CONFIG;
    dm_fault_from_env();
    code = stores_open_documents(settings, &d);
    if (code == 0)
        code = o->status ? stores_history(d) : stores_migrate(d, NULL, &done);
    if (code == 0 && !o->status)
        tell_migrated(&done);
    dm_documents_free(d);
    dm_settings_unref(settings);
    return code;
}

static const struct command commands[] = {{"migrate", command_migrate, NULL},
                                          {"smoke", command_smoke, NULL},
                                          {"inject", inject_unplaced, command_inject}};

static const struct program program = {
    .name = "doorman-admin",
    .role = DM_ROLE_ADMIN,
    .help = "Doorman " DOORMAN_VERSION ": the admin deployment, over MongoDB and Redis.\n"
            "\n"
            "usage: doorman-admin [COMMAND] [OPTION...]\n"
            "\n" OPTIONS_HELP "  migrate        bring the database to the schema of this version, "
            "exit 0, 69, 75 (another one\n"
            "                 is at it) or 78\n" SMOKE_HELP INJECT_HELP OPTIONS_HELP_FLAGS
            "Needed: MONGO_DB_HOSTS or MONGO_DB_URI, REDIS_HOST or REDIS_URL,\n"
            "DOORMAN_ADMIN_PASSWORD, and JWT_SECRET_KEY (or JWT_KEYS).\n"
            "\n"
            "signals: TERM, INT  drain, exit 0     USR2  not ready any more\n"
            "         HUP  read the settings again, reopen the log files\n" OPTIONS_HELP_EXIT,
    .commands = commands,
    .n_commands = DM_COUNT_OF(commands),
    .prepare = prepare,
    .start = start,
    .port = port,
    .drain = drain,
    .inflight = inflight,
    .end = end,
    .take_over = take_over,
    .record = record,
    .gauges = gauges,
};

int main(int argc, char **argv)
{
    static struct admin admin;

    return program_main(&program, &admin.process, argc, argv);
}

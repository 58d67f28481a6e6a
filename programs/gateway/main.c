/* doorman-gateway, the sidecar: the data plane over Redis, stateless (design.md §1). */
#include "base/log.h"
#include "crypto/ed25519.h"
#include "programs/gateway/part.h"
#include "programs/process/program.h"
#include "programs/process/reload.h"
#include "store/redis/live_redis.h"
#include <stdatomic.h>
#include <stdio.h>
#include <sysexits.h>

enum {
    KEY_CAP = 64 * 1024, /* POLICY_VERIFY_KEY's own maximum */
    ORIGIN_MAX = 300     /* a host name of 255 and a port */
};
/* The first looks come quickly: with Redis at hand it is ready within milliseconds. */
static const dm_time first_look = 2 * DM_MS, last_look = 50 * DM_MS;
/* Redis says nothing for so long: away, though the connection stands. */
static const dm_time silence = 4 * DM_SEC;

struct gateway {
    struct process process; /* first: programs are handed it */
    struct gateway_part part;
    /* the live store: this is the one place that chooses its backend */
    struct dm_live_redis_config config;
    struct dm_live_redis *hub;
    struct dm_live *live; /* of the first worker: what it knows of revocations */
    struct dm_buf verify_key;
    struct dm_admin_origin origin; /* ADMIN_UPSTREAM_URL */
    char origin_key[ORIGIN_MAX];
    struct dm_metric *redis_up, *breakers_open, *revocation_age;
    _Atomic bool made; /* everything that health() looks at is there */
};

static struct gateway *gateway_of(struct process *p)
{
    return DM_CONTAINER_OF(p, struct gateway, process);
}

/* --- what the probes ask (R12): any thread --- */

static dm_time mirror_age(struct gateway *g)
{
    struct dm_live_outlook outlook;

    dm_live_look(g->live, DM_VIEW_NONE, DM_VIEW_NONE, &outlook);
    return outlook.mirror_age;
}

/* The connection stands, no worker decides without it, and what is said over it is answered: the
 * mirror of revocations is confirmed every second. Before it is loaded only the first two count. */
static bool connected(struct gateway *g)
{
    if (!atomic_load(&g->made) || !dm_live_redis_connected(g->hub) ||
        dm_live_redis_deciding_alone(g->hub) > 0)
        return false;
    const dm_time age = mirror_age(g);
    return age == DM_NEVER || age <= silence;
}

/* Able to give right verdicts: a policy is in force, and it can tell who is revoked. */
static enum dm_ops_health health(void *ctx)
{
    struct gateway *g = gateway_of(ctx);

    if (!atomic_load(&g->made) || atomic_load(&g->process.ops.generation) == 0)
        return DM_OPS_BAD;
    if (connected(g))
        return DM_OPS_GOOD;
    struct dm_settings *s = process_settings(&g->process);
    const bool good = s->revocation_fail_mode == DM_REVOCATION_FAIL_MODE_OPEN ||
                      mirror_age(g) <= s->revocation_max_stale * DM_SEC;
    dm_settings_unref(s);
    return good ? DM_OPS_DEGRADED : DM_OPS_BAD;
}

static const char *redis_state(void *ctx)
{
    return connected(gateway_of(ctx)) ? "connected" : "disconnected";
}

static const char *mongodb_state(void *ctx)
{
    (void)ctx;
    return "not_used";
}

static void gauges(struct process *p)
{
    struct gateway *g = gateway_of(p);

    if (!atomic_load(&g->made))
        return;
    dm_metric_set(g->redis_up, connected(g));
    dm_metric_set(g->breakers_open, dm_live_redis_deciding_alone(g->hub));
    const dm_time age = mirror_age(g);
    dm_metric_set(g->revocation_age, age == DM_NEVER ? -1 : (double)age / DM_SEC);
}

static void prepare(struct process *p)
{
    struct gateway *g = gateway_of(p);

    p->ops.mongodb = mongodb_state;
    p->ops.redis = redis_state;
    p->ops.health = health;
    g->redis_up = dm_metric_get(g->process.metrics, DM_GAUGE, "doorman_redis_up", "",
                                "1 while Redis answers", NULL, 0);
    g->breakers_open = dm_metric_get(g->process.metrics, DM_GAUGE, "doorman_redis_breakers_open",
                                     "", "Workers that decide without Redis now", NULL, 0);
    g->revocation_age = dm_metric_get(
        g->process.metrics, DM_GAUGE, "doorman_revocation_mirror_age_seconds", "",
        "Since the local mirror of revocations was known to be right; -1: never", NULL, 0);
}

/* --- Redis --- */

/* POLICY_VERIFY_KEY, or the public half of what the admin derives from the same JWT_SECRET_KEY. */
static bool find_verify_key(struct gateway *g, struct dm_error *err)
{
    const struct dm_settings *s = g->process.settings;
    struct dm_ed25519_signer *signer = NULL;
    struct dm_buf seed;
    bool good;

    dm_buf_init(&g->verify_key, KEY_CAP);
    if (s->policy_verify_key.len > 0) {
        dm_buf_add(&g->verify_key, s->policy_verify_key);
        return true;
    }
    dm_buf_init(&seed, KEY_CAP);
    dm_ed25519_derive(dm_secret_view(&s->jwt_secret_key), &seed);
    good = dm_ed25519_signer_new(dm_buf_view(&seed), &signer, err) == DM_OK;
    if (good)
        dm_ed25519_public(signer, &g->verify_key);
    dm_ed25519_signer_free(signer);
    dm_mem_wipe((void *)(uintptr_t)dm_buf_view(&seed).ptr, dm_buf_view(&seed).len);
    dm_buf_done(&seed);
    return good;
}

static void on_event(void *ctx, dm_view event)
{
    const struct process *p = ctx;

    reload_hear(p->reload, event);
}

static bool make_hub(struct gateway *g)
{
    const struct dm_settings *s = g->process.settings;
    struct dm_error err;

    g->config = (struct dm_live_redis_config){.snapshot_file = s->snapshot_file,
                                              .snapshot_max_age = s->snapshot_max_age * DM_SEC,
                                              .metrics = g->process.metrics,
                                              .on_event = on_event,
                                              .event_ctx = &g->process};
    if (!find_verify_key(g, &err))
        return process_fail(&err, "policy keys");
    g->config.policy_verify_keys = dm_buf_view(&g->verify_key);
    if (dm_redis_config_of(s, &g->config.redis, &err) != DM_OK)
        return process_fail(&err, "Redis");
    g->config.redis.name = g->process.program->name;
    if (dm_live_redis_new(&g->config, &g->hub, &err) != DM_OK)
        return process_fail(&err, "Redis");
    return true;
}

static struct dm_live *live_of_loop(void *ctx, size_t worker, struct dm_loop *loop)
{
    struct gateway *g = gateway_of(ctx);
    struct dm_live *live = dm_live_redis_handle(g->hub, loop);

    if (worker == 0)
        g->live = live;
    return live;
}

static void live_done(void *ctx)
{
    struct gateway *g = gateway_of(ctx);

    atomic_store(&g->made, false);
    dm_live_redis_free(DM_TAKE(g->hub));
}

/* Until Redis answered or the last good copy was read; 0, or the exit code. */
static int wait_for_policy(struct gateway *g)
{
    struct process *p = &g->process;
    const dm_time until = dm_clock_mono(&dm_clock_system) + p->settings->startup_timeout_seconds;
    dm_time pause = first_look;

    while (!dm_live_redis_connected(g->hub) && atomic_load(&p->ops.generation) == 0) {
        if (dm_clock_mono(&dm_clock_system) >= until) {
            fputs("Failed to start server: Error: Redis could not be reached within "
                  "STARTUP_TIMEOUT_SECONDS, and SNAPSHOT_FILE holds no policy\n",
                  stderr);
            return EX_UNAVAILABLE;
        }
        if (!process_pause(p, pause))
            return EX_UNAVAILABLE; /* told to stop: the code does not count */
        pause = 2 * pause < last_look ? 2 * pause : last_look;
    }
    if (dm_live_redis_connected(g->hub))
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Redis connection verified");
    else
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "Redis is away: starting on the last good policy",
               DM_F("file", p->settings->snapshot_file));
    return 0;
}

/* --- the program --- */

static bool find_origin(struct gateway *g)
{
    const struct dm_settings *s = g->process.settings;
    struct dm_url url;
    struct dm_error err;

    if (s->admin_upstream_url.len == 0)
        return true;
    if (dm_url_parse(s->admin_upstream_url, &url, &err) != DM_OK)
        return process_fail(&err, "ADMIN_UPSTREAM_URL");
    if (!dm_view_eq(url.scheme, DM_LIT("http")) || url.path.len > 0) {
        fputs("Failed to start server: Error: ADMIN_UPSTREAM_URL: only http:// and no path can be "
              "forwarded to\n",
              stderr);
        return false;
    }
    g->origin = (struct dm_admin_origin){.host = url.host, .port = url.port};
    snprintf(g->origin_key, sizeof g->origin_key, "%.*s:%u", DM_FMT(url.host), url.port);
    g->origin.key = dm_view_of(g->origin_key);
    return true;
}

static int start(struct process *p)
{
    struct gateway *g = gateway_of(p);
    const struct gateway_part_config config = {
        .live = live_of_loop,
        .live_done = live_done,
        .ctx = p,
        .admin_origin = p->settings->admin_upstream_url.len > 0 ? &g->origin : NULL};
    int code;

    if (!find_origin(g) || !make_hub(g))
        return EX_CONFIG;
    if (!gateway_part_make(&g->part, p, &config))
        return EX_SOFTWARE;
    atomic_store(&g->made, true);
    code = wait_for_policy(g);
    if (code != 0)
        return code;
    return gateway_part_listen(&g->part) ? 0 : EX_UNAVAILABLE;
}

static uint16_t port(const struct process *p)
{
    return gw_plane_port(DM_CONTAINER_OF(p, const struct gateway, process)->part.plane);
}

static void drain(struct process *p)
{
    gw_plane_drain(gateway_of(p)->part.plane);
}

static size_t inflight(const struct process *p)
{
    return gw_plane_inflight(DM_CONTAINER_OF(p, const struct gateway, process)->part.plane);
}

struct passwords {
    struct dm_call call;
    struct dm_live *live;
    const struct dm_redis_config *redis;
    struct dm_error err;
    enum dm_code rc;
};

static void run_passwords(struct dm_call *c)
{
    struct passwords *w = DM_CONTAINER_OF(c, struct passwords, call);

    w->rc = dm_live_redis_set_passwords(w->live, w->redis, &w->err);
    dm_call_done(c);
}

/* On every worker's loop; connections that stand keep theirs. */
static void set_passwords(struct gateway *g, const struct dm_settings *s)
{
    struct dm_redis_config redis;
    struct passwords w = {.call = {.run = run_passwords}, .redis = &redis};

    w.rc = dm_redis_config_of(s, &redis, &w.err);
    for (size_t i = 0; w.rc == DM_OK && i < (size_t)g->process.settings->threads; i++) {
        w.live = gw_plane_live(g->part.plane, i);
        if (dm_mailbox_call(gw_plane_mailbox(g->part.plane, i), &w.call) != DM_OK)
            w.rc = DM_FAIL(&w.err, DM_LIMIT, ERR_NONE, "could not tell a worker");
    }
    if (w.rc != DM_OK)
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "the password of Redis was not taken over",
               DM_FC("reason", w.err.text));
}

static void take_over(struct process *p, struct dm_settings *s, struct dm_keyset *keys)
{
    gateway_part_take_over(&gateway_of(p)->part, s, keys);
    set_passwords(gateway_of(p), s);
}

/* --- what an operator should hear --- */

struct entry {
    struct dm_call call;
    struct dm_live *live;
    dm_view text;
};

static void run_record(struct dm_call *c)
{
    const struct entry *e = DM_CONTAINER_OF(c, struct entry, call);

    dm_live_redis_record(e->live, e->text);
    dm_call_done(c);
}

static void record(struct process *p, dm_view text)
{
    struct gateway *g = gateway_of(p);
    struct entry e = {.call = {.run = run_record}, .live = g->live, .text = text};

    if (dm_mailbox_call(gw_plane_mailbox(g->part.plane, 0), &e.call) != DM_OK)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "an event could not be recorded");
}

static void end(struct process *p, bool served)
{
    struct gateway *g = gateway_of(p);

    (void)served;
    gateway_part_stop(&g->part);
    gateway_part_free(&g->part);
    if (g->hub != NULL) /* no plane was made over it */
        dm_live_redis_free(g->hub);
    dm_buf_done(&g->verify_key);
}

static const struct program program = {
    .name = "doorman-gateway",
    .role = DM_ROLE_GATEWAY,
    .help = "Doorman " DOORMAN_VERSION ": the gateway, a stateless sidecar over Redis.\n"
            "\n"
            "usage: doorman-gateway [COMMAND] [OPTION...]\n"
            "\n" OPTIONS_HELP OPTIONS_HELP_FLAGS
            "Needed: REDIS_HOST or REDIS_URL, and the keys that tokens are verified with\n"
            "(JWT_KEYS with public halves, or JWT_SECRET_KEY as the admin has it).\n"
            "\n"
            "signals: TERM, INT  drain, exit 0     USR2  not ready any more\n"
            "         HUP  read the settings again, reopen the log files\n" OPTIONS_HELP_EXIT,
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
    static struct gateway gateway;

    return program_main(&program, &gateway.process, argc, argv);
}

/* From settings to a serving process, and back: every part is born here, in the order of what needs
 * what. */
#include "admin/services/seed.h"
#include "base/fault.h"
#include "base/log.h"
#include "standalone/commands.h"
#include "standalone/doorman.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    FDS_OF_OUR_OWN = 512,    /* upstreams, admin threads, logs, eventfds */
    LETTERS = 64,            /* from workers to the control loop */
    STATUS_CONNECTIONS = 64, /* scrapers and probes */
    ADMIN_THREADS = 64,      /* admin handlers at once; more wait in the socket's backlog */
    ARENA_CHUNK = 8 * 1024,
    ARENA_KEEP = 4,
    FAULTS_CAP = 64 * 1024
};

static bool fail(const struct dm_error *err, const char *what)
{
    DM_LOG(DM_LOG_CRITICAL, DM_VIEW_NONE, what, DM_FC("reason", err->text));
    fprintf(stderr, "Failed to start server: Error: %s: %s\n", what, err->text);
    return false;
}

static void start_log(struct doorman *d)
{
    const struct dm_settings *s = d->settings;

    d->log_dir = dm_mem_text(s->logs_dir);
    d->log_file = dm_mem_text(s->log_file);
    const struct dm_log_config config = {.level = (enum dm_log_level)s->log_level,
                                         .json = s->log_format == DM_LOG_FORMAT_JSON,
                                         .utc = s->log_use_utc,
                                         .process = "doorman",
                                         .dir = d->log_dir,
                                         .file = d->log_file,
                                         .max_bytes = (size_t)s->log_max_bytes,
                                         .backup_count = (int)s->log_backup_count,
                                         .fd = STDOUT_FILENO};

    dm_log_start(&config);
}

static bool make_keys(struct doorman *d)
{
    const struct dm_settings *s = d->settings;
    const struct dm_keyset_source source = {.jwt_keys = dm_secret_view(&s->jwt_keys),
                                            .secret = dm_secret_view(&s->jwt_secret_key),
                                            .private_pem = dm_secret_view(&s->jwt_private_key),
                                            .public_pem = s->jwt_public_key};
    struct dm_buf faults;
    bool good;

    dm_buf_init(&faults, FAULTS_CAP);
    good = dm_keyset_build(&source, &d->keys, &faults) == DM_OK;
    if (!good)
        fprintf(stderr, "%.*s", DM_FMT(dm_buf_view(&faults)));
    dm_buf_done(&faults);
    return good;
}

static struct dm_live *live_of_loop(void *ctx, size_t worker, struct dm_loop *loop)
{
    struct doorman *d = ctx;

    if (worker == 0) /* the state lives on the first worker's thread */
        d->live_memory = dm_live_memory_new(loop);
    return dm_live_memory_handle(d->live_memory, loop);
}

static void live_done(void *ctx)
{
    struct doorman *d = ctx;

    dm_live_memory_free(d->live_memory);
}

static void clear_caches(void *ctx)
{
    struct doorman *d = ctx;

    gw_plane_forget(d->plane);
}

static bool make_plane(struct doorman *d)
{
    const struct dm_settings *s = d->settings;
    const struct gw_plane_config config = {.n_workers = (size_t)s->threads,
                                           .host = d->host,
                                           .port = (uint16_t)s->port,
                                           .max_connections = d->max_connections,
                                           .cell = d->cell,
                                           .settings = s,
                                           .metrics = d->metrics,
                                           .ops = &d->ops,
                                           .clock = &dm_clock_system,
                                           .live = live_of_loop,
                                           .live_done = live_done,
                                           .admin_socket = d->socket_path,
                                           .is_admin = adm_owns_api_path,
                                           .on_drained = doorman_on_drained,
                                           .ctx = d};
    struct gw_loader_config loader = {
        .cell = d->cell, .ops = &d->ops, .metrics = d->metrics, .shard = (size_t)s->threads};
    struct dm_error err;

    if (gw_plane_new(&config, &d->plane, &err) != DM_OK)
        return fail(&err, "workers");
    loader.loop = gw_plane_loop(d->plane, 0);
    loader.live = gw_plane_live(d->plane, 0);
    d->loader = gw_loader_new(&loader);
    d->live_admin = dm_live_memory_admin(d->live_memory);
    return gw_plane_start(d->plane, &err) == DM_OK || fail(&err, "workers");
}

static bool make_admin(struct doorman *d)
{
    const struct adm_app_config app = {.settings = d->settings,
                                       .keys = d->keys,
                                       .documents = d->documents,
                                       .live = d->live_admin,
                                       .clock = &dm_clock_system,
                                       .metrics = d->metrics,
                                       .memory_mode = true,
                                       .clear_caches = clear_caches,
                                       .ctx = d};
    struct dm_admin_server_config server = {.socket_path = d->socket_path,
                                            .max_threads = ADMIN_THREADS,
                                            .max_head = (size_t)d->settings->max_header_bytes,
                                            .body_limit = adm_body_limit,
                                            .handle = adm_handle};
    struct dm_error err;

    if (adm_app_start(&app, &d->app, &err) != DM_OK)
        return fail(&err, "admin part");
    server.app = d->app;
    if (dm_admin_server_start(&server, &d->server, &err) != DM_OK)
        return fail(&err, "admin server");
    return true;
}

/* Private to this user: whoever may write here could speak to the admin part with any address it
 * likes. */
static bool make_socket_dir(struct doorman *d)
{
    snprintf(d->socket_dir, sizeof(d->socket_dir), "/tmp/doorman-XXXXXX");
    if (mkdtemp(d->socket_dir) == NULL) {
        perror("doorman: could not make a private directory under /tmp");
        d->socket_dir[0] = '\0';
        return false;
    }
    snprintf(d->socket_path, sizeof(d->socket_path), "%s/admin.sock", d->socket_dir);
    return true;
}

static void make_stores(struct doorman *d)
{
    size_t n;
    const struct dm_documents_unique *uniques = adm_uniques(&n);

    d->documents = dm_documents_memory_new(uniques, n);
    d->dump_path = dm_mem_text(d->settings->mem_dump_path);
}

static void status_head(void *app, struct dm_exchange *x)
{
    struct doorman *d = app;
    dm_view path = dm_view_sub(x->head.target, 0, dm_view_find_byte(x->head.target, '?', 0));

    if (!dm_ops_owns(path) || !dm_ops_serve(&d->ops, x, path, true))
        dm_exchange_refuse(x, ERR_NOT_FOUND, DM_LIT("route"));
}

static const struct dm_settings *status_settings(void *app)
{
    struct doorman *d = app;

    return d->settings;
}

static bool open_status(struct doorman *d)
{
    static const struct dm_exchange_handler handler = {.on_head = status_head,
                                                       .on_body = dm_exchange_ignore,
                                                       .on_room = dm_exchange_ignore,
                                                       .on_gone = dm_exchange_ignore_gone,
                                                       .on_done = dm_exchange_ignore};
    const struct dm_listener_config config = {.loop = d->control,
                                              .host = d->host,
                                              .port = (uint16_t)d->settings->metrics_port,
                                              .arenas = d->arenas,
                                              .limits = d->status_limits,
                                              .settings = status_settings,
                                              .handler = &handler,
                                              .app = d};
    struct dm_error err;

    if (d->settings->metrics_port == 0)
        return true;
    return dm_listener_open(&config, &d->status, &err) == DM_OK || fail(&err, "status port");
}

static bool open_ports(struct doorman *d)
{
    struct dm_error err;

    if (gw_plane_listen(d->plane, &err) != DM_OK)
        return fail(&err, "main port");
    return open_status(d);
}

static void make_control(struct doorman *d)
{
    d->control = dm_loop_new(&dm_clock_system);
    d->control_box = dm_mailbox_new(d->control, LETTERS);
    d->arenas = dm_arena_pool_new(ARENA_CHUNK, ARENA_KEEP);
    d->status_limits = dm_listener_limits_new(STATUS_CONNECTIONS);
    d->metrics = dm_metrics_new((size_t)d->settings->threads + 1);
    d->ops.mode = "memory";
    d->ops.role = DM_ROLE_ALL;
    d->ops.clock = &dm_clock_system;
    d->ops.started_wall = dm_clock_wall(&dm_clock_system);
    d->ops.metrics = d->metrics;
    d->ops.before_scrape = doorman_gauges_read;
    d->ops.ctx = d;
    dm_metrics_limit(d->metrics, (size_t)d->settings->metrics_max_series);
    doorman_gauges_init(d);
}

/* Raises the descriptor limit as far as the system lets us. What was asked for explicitly must fit;
 * the default gives way, with a warning, to a smaller machine. */
static bool fd_limit_good(struct doorman *d)
{
    const rlim_t wanted = (rlim_t)d->settings->max_connections + FDS_OF_OUR_OWN;
    const char *origin = dm_settings_origin(d->settings, DM_LIT("MAX_CONNECTIONS"));
    struct rlimit limit;

    d->max_connections = (size_t)d->settings->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return true;
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return true;
    if (limit.rlim_cur > 2 * FDS_OF_OUR_OWN && origin != NULL && strcmp(origin, "default") == 0) {
        d->max_connections = limit.rlim_cur - FDS_OF_OUR_OWN;
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
               "fewer connections than MAX_CONNECTIONS: the descriptor limit is lower",
               DM_FI("connections", d->max_connections), DM_FI("descriptors", limit.rlim_cur));
        return true;
    }
    fprintf(stderr,
            "Failed to start server: Error: MAX_CONNECTIONS: more than the file-descriptor limit "
            "allows; got "
            "%lld; expected: at most %lld\n",
            (long long)d->settings->max_connections, (long long)limit.rlim_cur - FDS_OF_OUR_OWN);
    return false;
}

/* 0, or the exit code for the part that did not come up. */
static int start(struct doorman *d)
{
    if (!fd_limit_good(d))
        return EX_CONFIG;
    if (d->settings->production)
        prctl(PR_SET_DUMPABLE, 0); /* no core with secrets in it (operations.md §8.13.7) */
    make_control(d);
    if (!doorman_watch_signals(d) || !make_socket_dir(d))
        return EX_OSERR;
    if (!make_keys(d))
        return EX_CONFIG;
    make_stores(d);
    if (!doorman_restore(d))
        return EX_CONFIG;
    d->cell = gw_snapshot_cell_new(d->settings, d->keys);
    if (!make_plane(d) || !make_admin(d))
        return EX_SOFTWARE;
    return open_ports(d) ? 0 : EX_UNAVAILABLE;
}

static void serve(struct doorman *d)
{
    char line[128];

    dm_mem_trim();
    atomic_store(&d->ops.ready, true);
    snprintf(line, sizeof(line), "Doorman all listening on port %u", gw_plane_port(d->plane));
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, line);
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Application startup complete");
    dm_loop_run(d->control);
    atomic_store(&d->ops.ready, false);
}

static void remove_socket_dir(struct doorman *d)
{
    if (d->socket_dir[0] == '\0')
        return;
    unlink(d->socket_path);
    rmdir(d->socket_dir);
}

/* Everything that may be half-built: each part's free takes NULL. Admin handlers may wait for the
 * plane's loops, so they end first; the dump is written once nothing changes any more. */
static void end(struct doorman *d, bool served)
{
    dm_admin_server_stop(d->server);
    if (served)
        doorman_dump(d);
    adm_app_stop(d->app);
    if (d->plane != NULL)
        gw_plane_stop(d->plane);
    gw_loader_free(d->loader);
    dm_live_admin_free(d->live_admin);
    gw_plane_free(d->plane);
    gw_snapshot_cell_free(d->cell);
    dm_documents_free(d->documents);
    dm_listener_free(d->status);
    dm_listener_limits_free(d->status_limits);
    dm_mailbox_free(d->control_box);
    if (d->control != NULL)
        dm_loop_forget(d->control, &d->signals);
    if (d->signals.fd > 0)
        close(d->signals.fd);
    dm_loop_free(d->control);
    dm_arena_pool_free(d->arenas);
    remove_socket_dir(d);
    dm_keyset_unref(d->keys);
    dm_log_stop();
    dm_metrics_free(d->metrics);
    dm_settings_unref(d->settings);
    dm_mem_free(d->dump_path);
    dm_mem_free(d->host);
    dm_mem_free(d->log_dir);
    dm_mem_free(d->log_file);
}

int command_run(const struct options *o)
{
    struct doorman d = {0};
    int code;

    dm_fault_from_env();
    d.settings = load_settings(o);
    if (d.settings == NULL)
        return EX_CONFIG;
    d.host = dm_mem_text(d.settings->host);
    start_log(&d);
    code = start(&d);
    if (code == 0)
        serve(&d);
    end(&d, code == 0);
    return code;
}

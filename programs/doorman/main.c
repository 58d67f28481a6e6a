/* doorman: both parts wired together over the memory backends of the stores. */
#include "admin/services/seed.h"
#include "programs/doorman/doorman.h"
#include "programs/process/program.h"
#include "programs/smoke/smoke.h"
#include <sysexits.h>

static struct dm_live *live_of_loop(void *ctx, size_t worker, struct dm_loop *loop)
{
    struct doorman *d = doorman_of(ctx);

    if (worker == 0) /* the state lives on the first worker's thread */
        d->live_memory = dm_live_memory_new(loop);
    return dm_live_memory_handle(d->live_memory, loop);
}

static void live_done(void *ctx)
{
    dm_live_memory_free(doorman_of(ctx)->live_memory);
}

static void clear_caches(void *ctx)
{
    gw_plane_forget(doorman_of(ctx)->gateway.plane);
}

static bool make_gateway(struct doorman *d)
{
    const struct gateway_part_config config = {.live = live_of_loop,
                                               .live_done = live_done,
                                               .ctx = &d->process,
                                               .admin_socket = d->admin.socket_path,
                                               .is_admin = adm_owns_api_path};

    if (!gateway_part_make(&d->gateway, &d->process, &config))
        return false;
    d->live_admin = dm_live_memory_admin(d->live_memory);
    return true;
}

static bool make_admin(struct doorman *d)
{
    const struct admin_part_config config = {.documents = d->documents,
                                             .live = d->live_admin,
                                             .memory_mode = true,
                                             .clear_caches = clear_caches,
                                             .ctx = &d->process};
    struct dm_error err;

    return admin_part_start(&d->admin, &d->process, &config, &err) == DM_OK ||
           process_fail(&err, "admin part");
}

static int start(struct process *p)
{
    struct doorman *d = doorman_of(p);
    size_t n;
    const struct dm_documents_unique *uniques = adm_uniques(&n);

    if (!admin_part_make_socket(&d->admin))
        return EX_OSERR;
    d->documents = dm_documents_memory_new(uniques, n);
    d->dump_path = dm_mem_text(p->settings->mem_dump_path);
    if (!doorman_restore(d))
        return EX_CONFIG;
    if (!make_gateway(d) || !make_admin(d))
        return EX_SOFTWARE;
    return gateway_part_listen(&d->gateway) ? 0 : EX_UNAVAILABLE;
}

static uint16_t port(const struct process *p)
{
    return gw_plane_port(DM_CONTAINER_OF(p, const struct doorman, process)->gateway.plane);
}

static void drain(struct process *p)
{
    gw_plane_drain(doorman_of(p)->gateway.plane);
}

static size_t inflight(const struct process *p)
{
    return gw_plane_inflight(DM_CONTAINER_OF(p, const struct doorman, process)->gateway.plane);
}

static void take_over(struct process *p, struct dm_settings *s, struct dm_keyset *keys)
{
    gateway_part_take_over(&doorman_of(p)->gateway, s, keys);
    admin_part_take_over(&doorman_of(p)->admin, s, keys);
}

/* Admin handlers may wait for the plane's loops, so they end first; the dump is written once
 * nothing changes any more. */
static void end(struct process *p, bool served)
{
    struct doorman *d = doorman_of(p);

    admin_part_close(&d->admin);
    if (served)
        doorman_dump(p);
    admin_part_free(&d->admin);
    gateway_part_stop(&d->gateway);
    dm_live_admin_free(d->live_admin);
    gateway_part_free(&d->gateway);
    dm_documents_free(d->documents);
    dm_mem_free(d->dump_path);
}

static const struct command commands[] = {{"smoke", command_smoke, NULL}};

static const struct program program = {
    .name = "doorman",
    .role = DM_ROLE_ALL,
    .help = "Doorman " DOORMAN_VERSION ": API gateway and admin API in one process, in memory.\n"
            "\n"
            "usage: doorman [COMMAND] [OPTION...]\n"
            "\n" OPTIONS_HELP SMOKE_HELP OPTIONS_HELP_FLAGS
            "Needed: DOORMAN_ADMIN_PASSWORD and JWT_SECRET_KEY (or JWT_KEYS).\n"
            "\n"
            "signals: TERM, INT  drain, dump, exit 0     USR1  write a dump now     USR2  not "
            "ready any more\n"
            "         HUP  read the settings again, reopen the log files\n" OPTIONS_HELP_EXIT,
    .commands = commands,
    .n_commands = DM_COUNT_OF(commands),
    .start = start,
    .port = port,
    .drain = drain,
    .inflight = inflight,
    .end = end,
    .take_over = take_over,
    .dump = doorman_dump,
};

int main(int argc, char **argv)
{
    static struct doorman doorman;

    return program_main(&program, &doorman.process, argc, argv);
}

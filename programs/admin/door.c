#include "programs/admin/door.h"

static bool serve(void *guest, struct dm_exchange *x, dm_view path)
{
    (void)guest;
    /* /api/status, with or without a slash, is told by each program of itself. */
    if (!dm_path_is_data_plane(path) || dm_view_eq(path, DM_LIT("/api/status")) ||
        dm_view_eq(path, DM_LIT("/api/status/")))
        return false;
    dm_exchange_refuse(x, ERR_NOT_FOUND, DM_LIT("route")); /* served by gateways */
    return true;
}

static const struct dm_settings *settings_of(void *guest)
{
    const struct process_seat *seat = guest;

    return seat->settings;
}

static void on_turn_start(void *guest)
{
    process_seat_refresh(guest);
}

static enum dm_code make_guest(void *ctx, const struct dm_front_seat *front_seat, void **ret_guest,
                               struct dm_error *err)
{
    struct process_seat *seat = DM_NEW(struct process_seat);

    (void)front_seat;
    (void)err;
    process_seat_init(seat, ctx);
    *ret_guest = seat;
    return DM_OK;
}

static void free_guest(void *guest)
{
    process_seat_done(guest);
    dm_mem_free(guest);
}

bool door_make(struct process *p, const char *socket_path, struct dm_front **ret)
{
    static const struct dm_front_guest nobody = {
        .serve = serve, .settings = settings_of, .on_turn_start = on_turn_start};
    const struct dm_front_config config = {.n_workers = (size_t)p->settings->threads,
                                           .host = p->host,
                                           .port = (uint16_t)p->settings->port,
                                           .max_connections = p->max_connections,
                                           .metrics = p->metrics,
                                           .ops = &p->ops,
                                           .clock = &dm_clock_system,
                                           .guest = &nobody,
                                           .make_guest = make_guest,
                                           .free_guest = free_guest,
                                           .admin_socket = socket_path,
                                           .on_drained = process_drained,
                                           .ctx = p};
    struct dm_error err;

    return (dm_front_new(&config, ret, &err) == DM_OK && dm_front_start(*ret, &err) == DM_OK) ||
           process_fail(&err, "workers");
}

/* The admin part in a program: the app over its stores, and the admin server on a Unix socket in a
 * private directory. Shared by doorman-admin and doorman. */
#pragma once

#include "admin/app.h"
#include "io/admin_server.h"
#include "programs/process/process.h"

struct admin_part {
    struct adm_app *app;
    struct dm_admin_server *server;
    char socket_dir[64], socket_path[96];
};

struct admin_part_config {
    struct dm_documents *documents; /* borrowed, outlive the part */
    struct dm_live_admin *live;
    bool memory_mode;
    dm_view shared_secret;                                /* see adm_app_config */
    void (*wait_applied)(void *ctx, uint64_t generation); /* see adm_app_config */
    void (*clear_caches)(void *ctx);
    void (*status)(void *ctx, struct dm_ops_status *ret); /* see adm_app_config */
    struct dm_json *(*reload)(void *ctx);                 /* NULL: of this process alone */
    enum dm_code (*sweep)(void *ctx, struct dm_error *err);
    void *ctx;
};

/* Private to this user: whoever may write there could speak to the admin part with any address it
 * likes. False: a sentence was printed. */
bool admin_part_make_socket(struct admin_part *a);
/* Seeds, publishes, serves on the socket. */
enum dm_code admin_part_start(struct admin_part *a, struct process *p,
                              const struct admin_part_config *c, struct dm_error *err) DM_MUST_USE;
void admin_part_take_over(struct admin_part *a, struct dm_settings *s, struct dm_keyset *keys);
void admin_part_close(struct admin_part *a); /* waits for running handlers; nothing changes after */
void admin_part_free(struct admin_part *a);

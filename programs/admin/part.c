#include "programs/admin/part.h"

#include "programs/process/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ADMIN_THREADS = 64 }; /* admin handlers at once; more wait in the socket's backlog */

bool admin_part_make_socket(struct admin_part *a)
{
    snprintf(a->socket_dir, sizeof(a->socket_dir), "/tmp/doorman-XXXXXX");
    if (mkdtemp(a->socket_dir) == NULL) {
        perror("doorman: could not make a private directory under /tmp");
        a->socket_dir[0] = '\0';
        return false;
    }
    snprintf(a->socket_path, sizeof(a->socket_path), "%s/admin.sock", a->socket_dir);
    return true;
}

/* ctx is the process, in both programs that have this part. */
static struct dm_json *reload(void *ctx)
{
    const struct process *p = ctx;

    return reload_and_wait(p->reload, RELOAD_HTTP);
}

static struct dm_json *report(void *ctx)
{
    const struct process *p = ctx;

    return reload_report(p->reload);
}

enum dm_code admin_part_start(struct admin_part *a, struct process *p,
                              const struct admin_part_config *c, struct dm_error *err)
{
    const struct adm_app_config app = {.settings = p->settings,
                                       .keys = p->keys,
                                       .documents = c->documents,
                                       .live = c->live,
                                       .clock = &dm_clock_system,
                                       .metrics = p->metrics,
                                       .memory_mode = c->memory_mode,
                                       .shared_secret = c->shared_secret,
                                       .wait_applied = c->wait_applied,
                                       .clear_caches = c->clear_caches,
                                       .reload = c->reload != NULL ? c->reload : reload,
                                       .reload_report = report,
                                       .status = c->status,
                                       .sweep = c->sweep,
                                       .ctx = c->ctx};
    struct dm_admin_server_config server = {.socket_path = a->socket_path,
                                            .max_threads = ADMIN_THREADS,
                                            .max_head = (size_t)p->settings->max_header_bytes,
                                            .body_limit = adm_body_limit,
                                            .handle = adm_handle};
    enum dm_code rc = adm_app_start(&app, &a->app, err);

    if (rc != DM_OK)
        return rc;
    server.app = a->app;
    return dm_admin_server_start(&server, &a->server, err);
}

void admin_part_take_over(struct admin_part *a, struct dm_settings *s, struct dm_keyset *keys)
{
    adm_app_set_settings(a->app, s, keys);
}

void admin_part_close(struct admin_part *a)
{
    dm_admin_server_stop(DM_TAKE(a->server));
}

void admin_part_free(struct admin_part *a)
{
    admin_part_close(a);
    adm_app_stop(DM_TAKE(a->app));
    if (a->socket_dir[0] == '\0')
        return;
    unlink(a->socket_path);
    rmdir(a->socket_dir);
    a->socket_dir[0] = '\0';
}

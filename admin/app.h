/* The admin part of a program: stores, keys, settings, and the handler behind the admin server.
 * Calls run on the admin server's threads; everything here is safe for any thread unless said
 * otherwise. */
#pragma once

#include "admin/call.h"
#include "base/metrics.h"
#include "crypto/keyset.h"
#include "crypto/sealed.h"
#include "io/ops_status.h"
#include "model/settings.h"
#include "model/watch.h"
#include "store/documents.h"
#include "store/live.h"
#include <pthread.h>

struct adm_app_config {
    struct dm_settings *settings;   /* a reference of its own is taken */
    struct dm_keyset *keys;         /* likewise */
    struct dm_documents *documents; /* borrowed, outlive the app */
    struct dm_live_admin *live;
    const struct dm_clock *clock;
    struct dm_metrics *metrics;
    bool memory_mode;
    /* What several admins behind one address have in common, so that each takes the CSRF tokens of
     * the others; empty: a random key of this process. Borrowed until adm_app_start returns. */
    dm_view shared_secret;
    /* Told of a generation that was published, before the answer leaves; may wait until the data
     * plane of this process has it in force. NULL: nobody wants to know. */
    void (*wait_applied)(void *ctx, uint64_t generation);
    void (*clear_caches)(
        void *ctx); /* DELETE /api/caches reaches the data plane of this process; NULL: none */
    /* Reads the settings again and waits for the outcome; what is in force, and the last outcome.
     * Reports as programs/process/reload.h says, owned by the caller; reload: NULL when the process
     * ends. */
    struct dm_json *(*reload)(void *ctx);
    struct dm_json *(*reload_report)(void *ctx);
    /* GET /api/status; NULL where the gateway of the same process answers it. */
    void (*status)(void *ctx, struct dm_ops_status *ret);
    /* Once at start and every minute, on a thread of the app's: documents that expired go.
     * DM_AGAIN: another admin did it. NULL: the store needs no sweeping. */
    enum dm_code (*sweep)(void *ctx, struct dm_error *err);
    void *ctx;
};

struct adm_app;

/* Seeds what is absent (platform-access.md §6.3), publishes every policy object once. The admin
 * password's hash is made on a thread of its own; logins wait for it. */
enum dm_code adm_app_start(const struct adm_app_config *c, struct adm_app **ret,
                           struct dm_error *err) DM_MUST_USE;
void adm_app_stop(struct adm_app *app); /* after the admin server stopped */
/* For dm_admin_server_config. */
void adm_handle(void *app, struct dm_admin_request *rq, struct dm_admin_response *rs);
uint64_t adm_body_limit(void *app, dm_view method, dm_view target);
bool adm_owns_api_path(dm_view method, dm_view path); /* DELETE and OPTIONS of /api/caches */
/* Swaps settings and keys (reload), references of its own; running calls keep theirs. */
void adm_app_set_settings(struct adm_app *app, struct dm_settings *s, struct dm_keyset *keys);
struct dm_settings *adm_app_settings(struct adm_app *app); /* a reference: unref it */
/* Both of one moment; references: unref them. */
void adm_app_pin(struct adm_app *app, struct dm_settings **ret_s, struct dm_keyset **ret_keys);
void adm_app_wait_seeded(struct adm_app *app);             /* until the admin password is set */
/* All documents as the dump wants them (memory mode): waits for the seed. Owned by the caller. */
struct dm_json *adm_app_export(struct adm_app *app);

/* dm_watch_count of this app's watch. */
bool adm_app_watch(struct adm_app *app, enum dm_watch_kind kind, dm_view who);

/* API keys at rest. A reference: unref it. */
struct dm_sealing *adm_sealing(struct adm_app *app);

struct adm_trail;
struct adm_trail *adm_app_trail(struct adm_app *app);

struct adm_security;
void adm_app_swap_security(struct adm_app *app, struct adm_security *s); /* takes the reference */
/* Around storing a record and publishing it, and around reading records to publish them: else two
 * changes of one record could be published in another order than stored. The same for revocations.
 * Of all admins one at a time: DM_UNAVAILABLE while the live store is away, or lost what was
 * published and gets it anew; then nothing may be stored. Not recursive. */
enum dm_code adm_app_publish_lock(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
/* The same, also where only publishing everything can help: to do just that, and for what is no
 * policy (revocations, balances). */
enum dm_code adm_app_restore_lock(struct adm_app *app, struct dm_error *err) DM_MUST_USE;
void adm_app_publish_unlock(struct adm_app *app);
/* The same after a change; rc: how it went. A store that did not answer may have done what it was
 * asked all the same, so once it answers everything is compared. */
void adm_app_publish_end(struct adm_app *app, enum dm_code rc);
void adm_app_unpublished(struct adm_app *app); /* a stored change is not: restored soon */
/* Generations up to this one may be used, also after the live store lost count: noted in the
 * documents before. Under the lock. */
enum dm_code adm_app_reserve(struct adm_app *app, uint64_t generation,
                             struct dm_error *err) DM_MUST_USE;
enum dm_code adm_app_reserved(struct adm_app *app, uint64_t *ret, struct dm_error *err) DM_MUST_USE;
struct dm_documents *adm_documents(struct adm_app *app);
struct dm_live_admin *adm_live(struct adm_app *app);
dm_view adm_csrf_key(struct adm_app *app); /* random at start, where admins share no secret */
const struct dm_clock *adm_clock(struct adm_app *app);
const struct adm_app_config *adm_config(struct adm_app *app);

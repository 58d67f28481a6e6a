#include "admin/app.h"

#include "admin/router.h"
#include "admin/services/credits.h"
#include "admin/services/publish.h"
#include "admin/services/repair.h"
#include "admin/services/revocation.h"
#include "admin/services/security.h"
#include "admin/services/seed.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include <errno.h>
#include <stdatomic.h>
#include <time.h>

enum {
    CSRF_KEY_LEN = 32,     /* bytes: as long as the HMAC's digest */
    RECONCILE_SECONDS = 60 /* what a live store that is lost may take with it */
};

struct adm_app {
    struct adm_app_config config;
    pthread_mutex_t
        lock; /* settings, security, seeded: pointers are swapped under it, never used; watch */
    pthread_mutex_t publish_lock; /* held while a change is stored and published */
    pthread_cond_t seeded_cond;
    struct dm_settings *settings;
    struct adm_security *security;
    struct dm_watch *watch;
    bool seeded;
    pthread_t seeder;
    char csrf_key[CSRF_KEY_LEN];
    struct dm_sealing *sealing;
    pthread_t reconciler;
    pthread_cond_t stop_cond;
    bool stopping; /* under lock */
};

bool adm_app_watch(struct adm_app *app, enum dm_watch_kind kind, dm_view who)
{
    const dm_time now = dm_clock_mono(app->config.clock);

    pthread_mutex_lock(&app->lock);
    const bool too_many = dm_watch_count(app->watch, kind, who, now);
    pthread_mutex_unlock(&app->lock);
    return too_many;
}

struct dm_documents *adm_documents(struct adm_app *app)
{
    return app->config.documents;
}

struct dm_live_admin *adm_live(struct adm_app *app)
{
    return app->config.live;
}

struct dm_keyset *adm_keys(struct adm_app *app)
{
    return app->config.keys;
}

const struct dm_clock *adm_clock(struct adm_app *app)
{
    return app->config.clock;
}

const struct adm_app_config *adm_config(struct adm_app *app)
{
    return &app->config;
}

dm_view adm_csrf_key(struct adm_app *app)
{
    return dm_view_make(app->csrf_key, CSRF_KEY_LEN);
}

const struct dm_sealing *adm_sealing(struct adm_app *app)
{
    return app->sealing;
}

struct dm_settings *adm_app_settings(struct adm_app *app)
{
    pthread_mutex_lock(&app->lock);
    struct dm_settings *s = dm_settings_ref(app->settings);
    pthread_mutex_unlock(&app->lock);
    return s;
}

void adm_app_set_settings(struct adm_app *app, struct dm_settings *s)
{
    pthread_mutex_lock(&app->lock);
    struct dm_settings *old = app->settings;
    app->settings = dm_settings_ref(s);
    pthread_mutex_unlock(&app->lock);
    dm_settings_unref(old);
}

struct adm_security *adm_security_get(struct adm_app *app)
{
    pthread_mutex_lock(&app->lock);
    struct adm_security *s = app->security;
    atomic_fetch_add_explicit(&s->refs_, 1, memory_order_relaxed);
    pthread_mutex_unlock(&app->lock);
    return s;
}

void adm_app_swap_security(struct adm_app *app, struct adm_security *s)
{
    pthread_mutex_lock(&app->lock);
    struct adm_security *old = app->security;
    app->security = s;
    pthread_mutex_unlock(&app->lock);
    adm_security_unref(old);
}

void adm_app_publish_lock(struct adm_app *app)
{
    pthread_mutex_lock(&app->publish_lock);
}

void adm_app_publish_unlock(struct adm_app *app)
{
    pthread_mutex_unlock(&app->publish_lock);
}

void adm_app_wait_seeded(struct adm_app *app)
{
    pthread_mutex_lock(&app->lock);
    while (!app->seeded)
        pthread_cond_wait(&app->seeded_cond, &app->lock);
    pthread_mutex_unlock(&app->lock);
}

/* Hashing takes tens of milliseconds: it must not delay readiness, only the first login. */
static void *seed_password(void *arg)
{
    struct adm_app *app = arg;
    struct dm_error err;

    if (adm_seed_password(app, &err) != DM_OK)
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "admin.seed.failed", DM_FC("reason", err.text));
    pthread_mutex_lock(&app->lock);
    app->seeded = true;
    pthread_cond_broadcast(&app->seeded_cond);
    pthread_mutex_unlock(&app->lock);
    return NULL;
}

/* Credits spent since the last round go to the documents; a store that is away is asked again in
 * the next. */
static void *reconcile(void *arg)
{
    struct adm_app *app = arg;

    pthread_mutex_lock(&app->lock);
    while (!app->stopping) {
        struct timespec until;
        struct dm_error err;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += RECONCILE_SECONDS;
        if (pthread_cond_timedwait(&app->stop_cond, &app->lock, &until) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&app->lock);
        if (adm_credits_reconcile(app, &err) != DM_OK)
            DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "credits.reconcile.failed",
                   DM_FC("reason", err.text));
        pthread_mutex_lock(&app->lock);
    }
    pthread_mutex_unlock(&app->lock);
    return NULL;
}

static enum dm_code start_reconciler(struct adm_app *app, struct dm_error *err)
{
    if (pthread_create(&app->reconciler, NULL, reconcile, app) == 0)
        return DM_OK;
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_UNEXPECTED,
                   "could not start the thread that reconciles credits");
}

static void stop_reconciler(struct adm_app *app)
{
    pthread_mutex_lock(&app->lock);
    app->stopping = true;
    pthread_cond_broadcast(&app->stop_cond);
    pthread_mutex_unlock(&app->lock);
    pthread_join(app->reconciler, NULL);
}

static void init_stop_cond(struct adm_app *app)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&app->stop_cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void free_app(struct adm_app *app)
{
    dm_sealing_free(app->sealing);
    pthread_cond_destroy(&app->stop_cond);
    adm_security_unref(app->security);
    dm_settings_unref(app->settings);
    dm_watch_free(app->watch);
    dm_keyset_unref(app->config.keys);
    pthread_cond_destroy(&app->seeded_cond);
    pthread_mutex_destroy(&app->publish_lock);
    pthread_mutex_destroy(&app->lock);
    dm_mem_wipe(app->csrf_key, sizeof(app->csrf_key));
    dm_mem_free(app);
}

static void make_csrf_key(struct adm_app *app, dm_view shared_secret)
{
    if (shared_secret.len == 0)
        dm_random_bytes(app->csrf_key, CSRF_KEY_LEN);
    else
        dm_hmac_sha256(shared_secret, DM_LIT("doorman CSRF tokens"),
                       (unsigned char *)app->csrf_key);
}

enum dm_code adm_app_start(const struct adm_app_config *c, struct adm_app **ret,
                           struct dm_error *err)
{
    struct adm_app *app = DM_NEW(struct adm_app);
    enum dm_code rc;

    app->config = *c;
    app->config.keys = dm_keyset_ref(c->keys);
    app->settings = dm_settings_ref(c->settings);
    app->watch = dm_watch_new();
    pthread_mutex_init(&app->lock, NULL);
    pthread_mutex_init(&app->publish_lock, NULL);
    pthread_cond_init(&app->seeded_cond, NULL);
    init_stop_cond(app);
    app->sealing = dm_sealing_new(&c->settings->token_encryption_key);
    make_csrf_key(app, c->shared_secret);
    rc = adm_seed(app, err);
    if (rc == DM_OK)
        rc = adm_repair(app, err);
    if (rc == DM_OK)
        rc = adm_revocations_restore(app, err);
    if (rc == DM_OK)
        rc = adm_publish_all(app, err);
    if (rc == DM_OK)
        rc = start_reconciler(app, err);
    if (rc == DM_OK && pthread_create(&app->seeder, NULL, seed_password, app) != 0) {
        stop_reconciler(app);
        rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_UNEXPECTED, "could not start the seeding thread");
    }
    if (rc != DM_OK) {
        free_app(app);
        return rc;
    }
    *ret = app;
    return DM_OK;
}

void adm_app_stop(struct adm_app *app)
{
    if (app == NULL)
        return;
    stop_reconciler(app);
    pthread_join(app->seeder, NULL);
    free_app(app);
}

uint64_t adm_body_limit(void *arg, dm_view method, dm_view target)
{
    struct dm_settings *s = adm_app_settings(arg);
    uint64_t limit = s->disable_body_size_limit ? UINT64_MAX : (uint64_t)s->max_body_size_bytes;

    (void)method;
    (void)target;
    dm_settings_unref(s);
    return limit;
}

bool adm_owns_api_path(dm_view method, dm_view path)
{
    return dm_view_eq(path, DM_LIT("/api/caches")) &&
           (dm_view_eq(method, DM_LIT("DELETE")) || dm_view_eq(method, DM_LIT("OPTIONS")));
}

struct dm_json *adm_app_export(struct adm_app *app)
{
    struct dm_error err;

    adm_app_wait_seeded(app);
    if (adm_credits_reconcile(app, &err) != DM_OK) /* the documents' balances are worth a dump */
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "credits.reconcile.failed", DM_FC("reason", err.text));
    return dm_documents_memory_export(app->config.documents);
}

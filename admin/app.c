#include "admin/app.h"

#include "admin/jobs/collector.h"
#include "admin/jobs/restorer.h"
#include "admin/router.h"
#include "admin/services/credits.h"
#include "admin/services/publish.h"
#include "admin/services/security.h"
#include "admin/services/seed.h"
#include "admin/services/trail.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include <errno.h>
#include <stdatomic.h>
#include <time.h>

enum {
    CSRF_KEY_LEN = 32,      /* bytes: as long as the HMAC's digest */
    RECONCILE_SECONDS = 60, /* what a live store that is lost may take with it */
    MARK_BLOCK = 1000       /* generations reserved by one write to the documents */
};

struct adm_app {
    struct adm_app_config config;
    /* settings, keys, sealing, security, seeded: swapped under it, never used; watch */
    pthread_mutex_t lock;
    pthread_mutex_t publish_lock; /* held while a change is stored and published; guards mark */
    uint64_t mark;                /* generations below it are reserved, as far as we know */
    struct adm_restorer *restorer;
    struct adm_collector *collector;
    struct adm_trail *trail;
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

struct dm_sealing *adm_sealing(struct adm_app *app)
{
    pthread_mutex_lock(&app->lock);
    struct dm_sealing *s = dm_sealing_ref(app->sealing);
    pthread_mutex_unlock(&app->lock);
    return s;
}

struct adm_trail *adm_app_trail(struct adm_app *app)
{
    return app->trail;
}

struct dm_settings *adm_app_settings(struct adm_app *app)
{
    pthread_mutex_lock(&app->lock);
    struct dm_settings *s = dm_settings_ref(app->settings);
    pthread_mutex_unlock(&app->lock);
    return s;
}

void adm_app_pin(struct adm_app *app, struct dm_settings **ret_s, struct dm_keyset **ret_keys)
{
    pthread_mutex_lock(&app->lock);
    *ret_s = dm_settings_ref(app->settings);
    *ret_keys = dm_keyset_ref(app->config.keys);
    pthread_mutex_unlock(&app->lock);
}

void adm_app_set_settings(struct adm_app *app, struct dm_settings *s, struct dm_keyset *keys)
{
    struct dm_sealing *sealing = dm_sealing_new(&s->token_encryption_key);

    pthread_mutex_lock(&app->lock);
    struct dm_settings *old = app->settings;
    struct dm_keyset *old_keys = app->config.keys;
    struct dm_sealing *old_sealing = app->sealing;
    app->settings = dm_settings_ref(s);
    app->config.keys = dm_keyset_ref(keys);
    app->sealing = sealing;
    pthread_mutex_unlock(&app->lock);
    dm_settings_unref(old);
    dm_keyset_unref(old_keys);
    dm_sealing_unref(old_sealing);
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

enum dm_code adm_app_restore_lock(struct adm_app *app, struct dm_error *err)
{
    pthread_mutex_lock(&app->publish_lock);
    enum dm_code rc = dm_live_publish_lock(app->config.live, err);
    if (rc != DM_OK)
        pthread_mutex_unlock(&app->publish_lock);
    return rc;
}

enum dm_code adm_app_publish_lock(struct adm_app *app, struct dm_error *err)
{
    struct dm_live_published published;
    enum dm_code rc = adm_app_restore_lock(app, err);

    if (rc != DM_OK)
        return rc;
    dm_live_published(app->config.live, &published);
    if (!published.lost)
        return DM_OK;
    adm_app_publish_unlock(app);
    adm_app_unpublished(app);
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_LIVE_AWAY,
                   "the live store lost what was published, it is published anew");
}

void adm_app_publish_unlock(struct adm_app *app)
{
    dm_live_publish_unlock(app->config.live);
    pthread_mutex_unlock(&app->publish_lock);
}

void adm_app_publish_end(struct adm_app *app, enum dm_code rc)
{
    adm_app_publish_unlock(app);
    if (rc == DM_UNAVAILABLE)
        adm_app_unpublished(app);
}

void adm_app_unpublished(struct adm_app *app)
{
    adm_restorer_dirty(app->restorer);
}

/* --- generations that are reserved: one document, {id, mark} --- */

static const struct dm_filter mark_key[] = {
    {.field = "id", .kind = DM_JSON_STRING, .str = {"generation", sizeof("generation") - 1}}};

static uint64_t mark_of(const struct dm_json *doc)
{
    int64_t mark = dm_json_i64(dm_json_get(doc, DM_LIT("mark")), 0);

    return mark > 0 ? (uint64_t)mark : 0;
}

enum dm_code adm_app_reserved(struct adm_app *app, uint64_t *ret, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *doc = NULL;
    enum dm_code rc = dm_documents_find(app->config.documents, ADM_POLICY_COLLECTION, mark_key,
                                        DM_COUNT_OF(mark_key), &doc, NULL, err);

    if (rc == DM_OK && mark_of(doc) > app->mark)
        app->mark = mark_of(doc);
    *ret = app->mark;
    return rc == DM_NOT_FOUND ? DM_OK : rc;
}

static enum dm_code raise_mark(void *ctx, struct dm_json *doc, struct dm_error *err)
{
    const uint64_t *mark = ctx;

    (void)err;
    if (mark_of(doc) < *mark)
        dm_json_set_i64(doc, DM_LIT("mark"), (int64_t)*mark);
    return DM_OK;
}

enum dm_code adm_app_reserve(struct adm_app *app, uint64_t generation, struct dm_error *err)
{
    uint64_t mark = generation + MARK_BLOCK;
    enum dm_code rc;

    if (app->config.memory_mode || generation < app->mark)
        return DM_OK; /* in one process generations end with it */
    rc = dm_documents_update(app->config.documents, ADM_POLICY_COLLECTION, mark_key,
                             DM_COUNT_OF(mark_key), raise_mark, &mark, NULL, err);
    if (rc == DM_NOT_FOUND) {
        DM_DEFER(dm_json_freep) struct dm_json *doc = dm_json_new_object();
        dm_json_set_str(doc, DM_LIT("id"), mark_key[0].str);
        dm_json_set_i64(doc, DM_LIT("mark"), (int64_t)mark);
        rc = dm_documents_insert(app->config.documents, ADM_POLICY_COLLECTION, doc, err);
    }
    if (rc == DM_OK)
        app->mark = mark;
    return rc;
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

static void sweep(struct adm_app *app)
{
    struct dm_error err;
    enum dm_code rc;

    if (app->config.sweep == NULL)
        return;
    rc = app->config.sweep(app->config.ctx, &err);
    if (rc != DM_OK && rc != DM_AGAIN)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "documents.sweep.failed", DM_FC("reason", err.text));
}

/* Credits spent since the last round go to the documents, what expired goes from them; a store that
 * is away is asked again in the next. */
static void *reconcile(void *arg)
{
    struct adm_app *app = arg;

    sweep(app);
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
        sweep(app);
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
    dm_sealing_unref(app->sealing);
    adm_trail_free(app->trail);
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
    app->trail = adm_trail_new();
    pthread_mutex_init(&app->lock, NULL);
    pthread_mutex_init(&app->publish_lock, NULL);
    pthread_cond_init(&app->seeded_cond, NULL);
    init_stop_cond(app);
    app->sealing = dm_sealing_new(&c->settings->token_encryption_key);
    make_csrf_key(app, c->shared_secret);
    rc = adm_seed(app, err);
    if (rc == DM_OK)
        rc = adm_restore(app, err);
    if (rc == DM_OK)
        rc = adm_restorer_start(app, &app->restorer, err);
    if (rc == DM_OK)
        rc = adm_collector_start(app, &app->collector, err);
    if (rc == DM_OK)
        rc = start_reconciler(app, err);
    if (rc == DM_OK && pthread_create(&app->seeder, NULL, seed_password, app) != 0) {
        stop_reconciler(app);
        rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_UNEXPECTED, "could not start the seeding thread");
    }
    if (rc != DM_OK) {
        adm_collector_stop(DM_TAKE(app->collector));
        adm_restorer_stop(DM_TAKE(app->restorer));
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
    adm_collector_stop(DM_TAKE(app->collector));
    stop_reconciler(app);
    pthread_join(app->seeder, NULL);
    adm_restorer_stop(DM_TAKE(app->restorer));
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
    adm_collector_flush(app->collector);
    if (adm_credits_reconcile(app, &err) != DM_OK) /* the documents' balances are worth a dump */
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "credits.reconcile.failed", DM_FC("reason", err.text));
    return dm_documents_memory_export(app->config.documents);
}

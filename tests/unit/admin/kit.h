/* What the tests of admin/ share: settings from an environment, a call made by hand, and a whole
 * admin part over memory stores (its loop runs on a thread, as the blocking side needs). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/app.h"
#include "admin/router.h"

struct kit_call { /* a call with an arena of its own; settings are borrowed */
    struct dm_arena_pool *pool;
    struct dm_arena arena;
    struct dm_fields fields;
    struct dm_admin_request rq;
    struct dm_admin_response rs;
    struct adm_call c;
};

struct kit_app {
    struct dm_settings *settings;
    struct dm_keyset *keys;
    struct dm_clock_manual clock;
    struct dm_loop *loop;
    struct dm_live_memory *memory;
    struct dm_live_admin *live;
    struct dm_documents *documents;
    struct dm_metrics *metrics;
    pthread_t thread;
    struct adm_app *app;
    struct dm_live *handle;
    struct dm_live_subscriber ear; /* of the loop's thread */
    pthread_mutex_t lock;          /* guards what follows */
    pthread_cond_t changed;
    char heard[4096]; /* the last projection of API a1 */
    size_t n_markers;
};

struct dm_settings *kit_settings(const char *const *env); /* NULL-ended KEY=VALUE, may be NULL */
void kit_call_init(struct kit_call *k, struct adm_app *app, struct dm_settings *s);
void kit_call_done(struct kit_call *k);
void kit_field(struct kit_call *k, const char *name, const char *value);
dm_view kit_answer_field(const struct kit_call *k, const char *name); /* none: ptr NULL */

void kit_app_init(struct kit_app *k, const char *const *env);
/* The same; `tap` may change what the stores do, as long as the admin's own threads do not run. */
void kit_app_init_tapped(struct kit_app *k, const char *const *env, void (*tap)(struct kit_app *k));
void kit_app_done(struct kit_app *k);
/* For a tap: the documents do what `own` says, at first a copy of what they did; gives the real. */
const struct dm_documents_ops *kit_tap_documents(struct kit_app *k, struct dm_documents_ops *own);
/* Fixtures: a part of its own for each test. */
int kit_setup(void **state);
int kit_setup_with(void **state, const char *const *env, void (*tap)(struct kit_app *k));
int kit_teardown(void **state);
/* What was published of API a1 last, once everything published so far was heard. */
const char *kit_heard(struct kit_app *k);

/* Two threads do one thing each at once, round after round; `agrees` is asked between rounds and
 * must always say yes. */
typedef bool (*kit_step_fn)(struct kit_app *k, int round);
void kit_race(struct kit_app *k, int rounds, kit_step_fn a, kit_step_fn b, kit_step_fn agrees);

#define assert_view(got, want) assert_view_((got), (want), __FILE__, __LINE__)
void assert_view_(dm_view got, const char *want, const char *file, int line);

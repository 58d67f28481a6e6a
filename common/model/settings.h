/* Every setting of the product: one row each in settings.def (key, type, default, range, programs,
 * reload class, secret, sentence). Loader, check-config, --print-settings and docs/settings.md come
 * from the table. A loaded struct dm_settings is immutable, counted, pinned per request: a reload
 * swaps the pointer and touches no reader. Any thread. Contract: configuration.md §0-§4. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"
#include "model/address.h"
#include "model/settings_enums.h"
#include "model/settings_members.h"

enum dm_role { DM_ROLE_ALL = 0, DM_ROLE_GATEWAY, DM_ROLE_ADMIN };

struct dm_strs { /* csv and lists */
    dm_view *items;
    size_t count;
};

/* C types by row type: BOOL bool; INT and BYTES int64_t; SECONDS and WHOLE_SECONDS dm_time; FLOAT
 * double; ENUM int (the DM_<KEY>_<WORD> constants of settings_enums.h); STR, PATH, URL, PEM dm_view
 * (empty = unset); CSV struct dm_strs; CIDRS struct dm_address_set * (NULL = empty); SECRET struct
 * dm_secret; TRI int (-1 unset, 0, 1). Keys ending in _SECONDS and fractional seconds are dm_time,
 * other whole seconds int64_t. */
struct dm_settings {
    _Atomic unsigned refs_;
    struct dm_settings_storage *storage_; /* texts, origins */
#define DM_SETTING(field, key, type, ...) DM_SETTING_MEMBER_##type(field)
#include "model/settings.def"
#undef DM_SETTING
    /* derived */
    enum dm_role role;
    bool production, secure_mode; /* HTTPS_ONLY or HTTPS_ENABLED (C1) */
};

/* One fault in pieces, for the answer and the log lines of a reload (configuration.md §5.2,
 * §5.3). */
struct dm_settings_fault {
    dm_view key;                   /* KEY, or the path of an unknown key as written */
    dm_view reason, got, expected; /* got: never a secret; empty where there is nothing to show */
    dm_view file;                  /* empty: the environment or a default */
    unsigned line, column;
};

struct dm_settings_input {
    enum dm_role role;
    const char *const *environ_; /* NULL-ended KEY=VALUE, normally environ; tests pass their own */
    const char *config_file;     /* overrides DOORMAN_CONFIG_FILE; NULL: by the rules */
    const char *force_env;       /* check-config --env production; NULL: none */
    bool no_files;               /* tests: do not look for the default file */
    /* Settings come also with faults (then DM_INVALID all the same), with defaults where a value
     * has one: for those who only ask where things are (stop, reload, healthcheck). */
    bool lenient;
    /* A reload: what the process began with. Its ENV and PRODUCTION_STRICT, which only a restart
     * changes, decide about defaults and guards. NULL: the ones that are loaded. */
    const struct dm_settings *first;
    const struct dm_clock *clock; /* certificates expire by it; NULL: the system's */
    struct dm_buf *notes;        /* INFO lines (aliases used, keys ignored); NULL: dropped */
    void (*on_fault)(void *ctx, const struct dm_settings_fault *fault); /* borrowed; NULL: none */
    void *ctx;
};

/* Loads environment over file over default, resolves aliases and *_FILE, checks every value and the
 * production guards. All faults at once, one line each, in `faults`, worded as configuration.md
 * §0.3; warnings one line each, "KEY: sentence". DM_INVALID when there is any fault (exit 78).
 * Reads files: may block, so never on a loop. */
enum dm_code dm_settings_load(const struct dm_settings_input *in, struct dm_settings **ret,
                              struct dm_buf *faults, struct dm_buf *warnings) DM_MUST_USE;
struct dm_settings *dm_settings_ref(struct dm_settings *s);
void dm_settings_unref(struct dm_settings *s);
/* KEY = value (origin), secrets [REDACTED]; json: one object KEY -> value. */
void dm_settings_print(const struct dm_settings *s, bool json, struct dm_buf *out);
/* The table as Markdown: docs/settings.md is this text, a test compares. */
void dm_settings_document(struct dm_buf *out);
/* "env" "file" "default"; NULL: no such key. */
const char *dm_settings_origin(const struct dm_settings *s, dm_view key);
/* A count in one of the units of AUTH_EXPIRE_TIME_FREQ as seconds. */
int64_t dm_settings_seconds(int64_t count, int unit);

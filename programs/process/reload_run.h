/* One run of a reload, as far as it happens off the loops: read, judge, build. Inside this room. */
#pragma once

#include "codec/json.h"
#include "crypto/digest.h"
#include "crypto/keyset.h"
#include "model/settings_table.h"

enum reload_outcome { RELOAD_UNCHANGED = 0, RELOAD_LOADED, RELOAD_FAILED };

struct reload_run {
    /* in; borrowed */
    enum dm_role role;
    const char *config_file;     /* NULL: by the rules */
    struct dm_settings *first;   /* what the process began with */
    struct dm_settings *current; /* what is in force */
    struct dm_keyset *keys;
    unsigned sources; /* enum reload_source */
    /* in and out: what the files held when they were last read */
    unsigned char digest[DM_SHA256_LEN];
    /* out; the caller's */
    enum reload_outcome outcome;
    bool other_files; /* LOADED: than before, so nobody watched them while they were read */
    struct dm_settings *settings; /* LOADED: with a reference */
    struct dm_keyset *new_keys;   /* likewise; the old ones where nothing changed */
    bool *kept;                   /* by row: changed, but only a restart takes it over */
    size_t n_kept;
    struct dm_json *errors; /* [{key, file, line, column, reason, expected}] */
    struct dm_buf warnings; /* a line each */
};

void reload_run(struct reload_run *run); /* blocks; a thread of its own */
void reload_run_done(struct reload_run *run);

/* From settings; a line of `faults` each for what is wrong. */
enum dm_code reload_make_keys(const struct dm_settings *s, enum dm_role role,
                              struct dm_keyset **ret, struct dm_buf *faults) DM_MUST_USE;

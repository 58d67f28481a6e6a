/* Loads settings from an environment and a configuration file given as text, and keeps what was
 * said. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/settings_table.h"

enum { LOADED_ENV_MAX = 64, LOADED_TEXT_MAX = 4 << 20 };

struct loaded {
    struct dm_settings_input in;
    const char *env[LOADED_ENV_MAX];
    size_t n_env;
    char file[64]; /* of the configuration file written; empty: none */
    enum dm_code rc;
    struct dm_settings *s;
    struct dm_buf faults, warnings, notes;
};

/* A role with the least that it needs to start. */
void loaded_init(struct loaded *l, enum dm_role role);
void loaded_bare(struct loaded *l, enum dm_role role); /* with nothing at all */
void loaded_env(struct loaded *l, const char *entry);  /* "KEY=VALUE", borrowed; a later one wins */
void loaded_file(struct loaded *l, const char *yaml);
void loaded_run(struct loaded *l); /* again is fine */
void loaded_done(struct loaded *l);

size_t loaded_faults(const struct loaded *l); /* lines */
bool loaded_said(const struct dm_buf *where, const char *what);
/* Fails with all that was said when it is not there. */
void loaded_expect_fault(const struct loaded *l, const char *what);
void loaded_expect_ok(const struct loaded *l);

/* A generator of the test's own: the same values in every run. */
uint64_t draw(uint64_t *state);
/* A file in a directory of this test, removed when the program ends. */
const char *scratch_file(const char *name, const char *text);

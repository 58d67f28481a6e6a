/* The rows of settings.def as data, for those who walk settings by name: the loader,
 * --print-settings, the configuration routes of the admin, a reload that tells what changed. Values
 * are read from a loaded struct dm_settings, never from the environment. Pure; any thread. */
#pragma once

#include "model/settings.h"

enum dm_setting_type {
    DM_SETTING_BOOL = 0,
    DM_SETTING_TRI,
    DM_SETTING_INT,
    DM_SETTING_BYTES,
    DM_SETTING_SECONDS,
    DM_SETTING_WHOLE_SECONDS,
    DM_SETTING_FLOAT,
    DM_SETTING_ENUM,
    DM_SETTING_STR,
    DM_SETTING_PATH,
    DM_SETTING_URL,
    DM_SETTING_PEM,
    DM_SETTING_CSV,
    DM_SETTING_CIDRS,
    DM_SETTING_SECRET,
    DM_SETTING_SECRET_JSON
};

struct dm_setting_row {
    const char *key;
    enum dm_setting_type type;
    const char *fallback; /* default with its conditions (settings.def); NULL: unset */
    double min, max;
    const char *allowed;
    char programs; /* 'G' 'A' 'B' */
    char reload;   /* 'H' 'F' 'R' 'N' */
    const char *sentence;
    size_t offset;            /* of the member in struct dm_settings */
    const char *const *words; /* ENUM: "canonical other spellings", in the order of the constants */
    size_t n_words;
};

const struct dm_setting_row *dm_setting_rows(size_t *ret_n);
const struct dm_setting_row *dm_setting_find(dm_view key); /* exact; NULL when unknown */
bool dm_setting_secret(const struct dm_setting_row *row);
bool dm_setting_read_by(const struct dm_setting_row *row, enum dm_role role);
const char *dm_setting_type_name(const struct dm_setting_row *row);

/* Other names (configuration.md §2.14). */
enum dm_alias_kind {
    DM_ALIAS_SAME = 0,  /* the value as it is */
    DM_ALIAS_SECONDS,   /* seconds for a key in milliseconds */
    DM_ALIAS_FAIL_OPEN, /* bool: true = open */
    DM_ALIAS_MEMORY,    /* true = MEM; anything else says nothing */
    DM_ALIAS_DEBUG,     /* true = DEBUG outside production; anything else says nothing */
    DM_ALIAS_IGNORED,   /* accepted, one note */
    DM_ALIAS_NO_EFFECT  /* accepted, one warning */
};
struct dm_setting_alias {
    const char *name, *key; /* key: NULL for the last two kinds */
    enum dm_alias_kind kind;
};
const struct dm_setting_alias *dm_setting_aliases(size_t *ret_n);

/* The known name (key or alias) nearest to `name` by edit distance, for "did you mean". */
const char *dm_setting_nearest(dm_view name);

/* Value as text of its type's grammar; secrets [REDACTED], URLs without credentials; nothing when
 * unset. */
void dm_settings_value(const struct dm_settings *s, const struct dm_setting_row *row,
                       struct dm_buf *out);
bool dm_settings_same(const struct dm_settings *a, const struct dm_settings *b,
                      const struct dm_setting_row *row);
/* The configuration file read; empty: none. */
dm_view dm_settings_file(const struct dm_settings *s);
/* Files behind single values (KEY_FILE, certificates, keys) to watch; false past the last. */
bool dm_settings_watched(const struct dm_settings *s, size_t index, dm_view *ret_path);
/* SHA-256 over what all these files hold now; one that cannot be read counts as such. Blocks. */
void dm_settings_digest(const struct dm_settings *s, unsigned char out[32]);
/* The file names a value, but the environment does too, and wins. */
bool dm_settings_overridden(const struct dm_settings *s, const struct dm_setting_row *row);
/* Before s is shown to anybody: what only a restart may change is as in `first`, the settings that
 * the process began with; kept[row] tells which values those were, and the count comes back. */
size_t dm_settings_keep_restart_only(struct dm_settings *s, struct dm_settings *first, bool *kept);

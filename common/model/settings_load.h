/* Insides of the settings loader, shared by settings*.c only: what one load has gathered so far and
 * the steps that walk over it. One thread, one load. */
#pragma once

#include "codec/yaml.h"
#include "model/settings_table.h"

enum dm_setting_origin { DM_ORIGIN_DEFAULT = 0, DM_ORIGIN_ENV, DM_ORIGIN_FILE };

/* A value as found, before it is parsed. */
struct dm_setting_raw {
    bool set;
    enum dm_setting_origin origin;
    const char *name; /* the key or alias it came under; static */
    dm_view text;
    const struct dm_yaml *node; /* DM_ORIGIN_FILE: where, and lists or maps */
    bool from_key_file;         /* the environment named a file that holds it */
    unsigned key_line, key_column;
};

/* Lives as long as the settings: every text they point into. */
struct dm_settings_storage {
    void **kept;
    size_t n_kept;
    unsigned char *origins;       /* enum dm_setting_origin by row */
    bool *overridden;             /* by row: the file has it too, and the environment won */
    struct dm_settings *texts_of; /* whose texts some values point into, after a reload; or NULL */
    dm_view file;
    dm_view *watched;
    size_t n_watched;
};

/* configuration.md §4: larger documents are rejected; and room for the read that notices. */
enum { DM_SETTINGS_FILE_MAX = 1 << 20, DM_SETTINGS_READ_CAP = DM_SETTINGS_FILE_MAX + (1 << 15) };

struct dm_settings_loading {
    const struct dm_settings_input *in;
    struct dm_settings *s;
    struct dm_settings_storage *st;
    const struct dm_setting_row *rows;
    const struct dm_setting_alias *aliases;
    size_t n_rows, n_aliases;
    struct dm_setting_raw *env, *file; /* rows first, then aliases */
    struct dm_setting_raw *raws;       /* chosen, by row */
    bool *bad;                         /* by row: already a fault; rules across keys leave it out */
    struct dm_yaml_doc *doc;
    struct dm_secret *held; /* texts made while loading, wiped when it ends */
    size_t n_held;
    struct dm_buf *faults, *warnings;
    size_t n_faults;
    bool warned_mongo;
    int wanted_env;   /* as the sources say, while that of a reload's process decides */
    char reason[192]; /* of the value being parsed */
};

/* settings_fault.c */
void dm_setting_fault(struct dm_settings_loading *l, const struct dm_setting_row *row,
                      const struct dm_setting_raw *raw, const char *reason,
                      const char *expected); /* NULL: by the row */
void dm_setting_fault_at(struct dm_settings_loading *l, const struct dm_settings_fault *f,
                         dm_view sentence); /* one line, the prefix is added */
void dm_setting_required(struct dm_settings_loading *l, const char *key, const char *sentence);
void dm_setting_warn(struct dm_settings_loading *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void dm_setting_note(struct dm_settings_loading *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void dm_setting_show(dm_view text, size_t max,
                     struct dm_buf *out); /* escaped, cut, without credentials */
void dm_setting_expected(const struct dm_setting_row *row, struct dm_buf *out);

/* settings_source.c, settings_file.c */
void dm_settings_scan_env(struct dm_settings_loading *l);
void dm_settings_scan_key_files(struct dm_settings_loading *l);
size_t dm_settings_slot(const struct dm_settings_loading *l,
                        dm_view name);                  /* in env, file; SIZE_MAX: none */
bool dm_settings_found(const char *name, dm_view text); /* false: empty, which means unset */
void dm_settings_scan_file(struct dm_settings_loading *l, dm_view path);
/* Whole file, at most DM_SETTINGS_FILE_MAX, into a buffer with a cap of DM_SETTINGS_READ_CAP; NULL,
 * or what is wrong. */
const char *dm_settings_read(dm_view path, struct dm_buf *out);

/* settings_parse.c: NULL when the member was written, else why not (valid until the next parse). */
const char *dm_setting_parse(struct dm_settings_loading *l, const struct dm_setting_row *row,
                             const struct dm_setting_raw *raw);
bool dm_setting_parse_bool(dm_view text, bool *ret);
/* settings_choose.c: fills the member of row `index`, or tells why not and fills the default. */
void dm_setting_choose(struct dm_settings_loading *l, size_t index);
/* settings_rule.c */
const char *dm_setting_rule_check(const char *rule, dm_view item);
const char *dm_setting_rule_expected(const char *rule); /* NULL: no such rule */

/* settings_check.c, settings_guard.c */
const struct dm_setting_row *dm_setting_row_of(const struct dm_settings_loading *l,
                                               const char *key);
const struct dm_setting_raw *dm_setting_raw_of(const struct dm_settings_loading *l,
                                               const char *key);
bool dm_setting_given(const struct dm_settings_loading *l, const char *key);
bool dm_setting_bad(const struct dm_settings_loading *l, const char *key);
/* A fault about a value that parsed; nothing when that key has its fault already. */
void dm_setting_refuse(struct dm_settings_loading *l, const char *key, const char *reason,
                       const char *expected);
void dm_settings_check_pairs(struct dm_settings_loading *l);
void dm_settings_check_guards(struct dm_settings_loading *l);

/* settings.c */
void *dm_settings_keep(struct dm_settings_storage *st, void *allocated);
dm_view dm_settings_keep_text(struct dm_settings_storage *st, dm_view text);
dm_view dm_settings_resolve(struct dm_settings_loading *l,
                            dm_view path); /* under DOORMAN_DATA_DIR */
void dm_settings_watch(struct dm_settings_storage *st, dm_view path);
dm_view dm_settings_hold(struct dm_settings_loading *l,
                         dm_view text);  /* a copy until the load ends */
void dm_settings_wipe(struct dm_buf *b); /* zeroes, then done */
/* settings_reload.c */
void dm_settings_watch_key_paths(struct dm_settings_loading *l);
/* settings_print.c */
/* The value unmasked: for comparing and for $KEY defaults, never for a log. */
void dm_setting_write(const struct dm_settings *s, const struct dm_setting_row *row,
                      struct dm_buf *out);

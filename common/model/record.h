/* The nouns of the product as data: one field table per noun (fields_<noun>.def) says name, type,
 * range, default, who may write it and whether the gateway needs it. Walked by one validator
 * (coercion as pydantic's: platform-access.md §3, platform-apis.md §0.2) and one projector; no code
 * per noun. Pure; any thread. */
#pragma once

#include "codec/json.h"

enum dm_field_type {
    DM_FIELD_STR = 0,
    DM_FIELD_INT,
    DM_FIELD_FLOAT,
    DM_FIELD_BOOL,
    DM_FIELD_STRS, /* list of strings */
    DM_FIELD_OBJECT,
    DM_FIELD_ANY
};

enum {
    DM_FIELD_REQUIRED = 1 << 0,  /* absent or null on create: fault */
    DM_FIELD_NULLABLE = 1 << 1,  /* null is a value (and clears on update) */
    DM_FIELD_SERVER = 1 << 2,    /* set by the server; ignored in bodies */
    DM_FIELD_FIXED = 1 << 3,     /* not changeable by update */
    DM_FIELD_PROJECTED = 1 << 4, /* published to the gateway */
    DM_FIELD_SECRET = 1 << 5,    /* never read back, never logged */
    DM_FIELD_CLEARABLE = 1 << 6,
    DM_FIELD_UPDATE_MIN = 1 << 7,
    DM_FIELD_ABSENT = 1 << 8, /* absent on create stays absent; all others are stored as null */
    DM_FIELD_NULL_ABSENT = 1 << 9, /* null on create counts as absent: the default is taken */
    DM_FIELD_CREATE_ONLY = 1 << 10 /* checked in an update, then dropped */
};

struct dm_field {
    const char *name;
    enum dm_field_type type;
    double min, max; /* numbers: value; strings: code points; lists: items. min > max: no bound */
    const char *default_json; /* used on create when absent; NULL: null, or absent (see flags) */
    unsigned flags;
    const char *const *words;                   /* closed set for strings, NULL-ended; NULL: free */
    bool (*check)(const struct dm_json *value); /* further rule; NULL: none */
    /* Spelling that is put right rather than refused (method in lower case); gives a new value.
     * Lengths are judged as sent, words and check after it. */
    struct dm_json *(*normalise)(const struct dm_json *value);
    double update_min; /* instead of min on update, where DM_FIELD_UPDATE_MIN is set */
};

struct dm_record_type {
    const char *noun;       /* "api" */
    const char *collection; /* "apis" */
    const char *key;        /* how documents are found: "api_name/api_version", "username" */
    const struct dm_field *fields;
    size_t n_fields;
};

extern const struct dm_record_type dm_record_api, dm_record_endpoint, dm_record_user,
    dm_record_role, dm_record_group, dm_record_subscription, dm_record_routing,
    dm_record_security_settings, dm_record_credit_def, dm_record_user_credits;
const struct dm_record_type *const *dm_record_types(size_t *ret_n);

/* Body of a create: coerced, defaults filled, unknown and server fields dropped, field order of the
 * table. DM_INVALID names the field in err (never shown to the client: 422 VAL001 says nothing
 * more). */
enum dm_code dm_record_create(const struct dm_record_type *t, const struct dm_json *body,
                              struct dm_json **ret, struct dm_error *err) DM_MUST_USE;
/* Body of an update: only the fields present, coerced; null clears clearable fields, else is
 * dropped. Fixed fields stay in the result: whether they differ from what is stored is the caller's
 * to tell. */
enum dm_code dm_record_update(const struct dm_record_type *t, const struct dm_json *body,
                              struct dm_json **ret, struct dm_error *err) DM_MUST_USE;
/* Lays `patch` over `doc` in place (patch members replace). Gives how many members changed. */
size_t dm_record_merge(struct dm_json *doc, const struct dm_json *patch);
/* What the gateway needs of a stored document: the projected fields only. */
struct dm_json *dm_record_project(const struct dm_record_type *t, const struct dm_json *doc);
/* JSON schema (OpenAPI 3.1) of the create or update body. */
struct dm_json *dm_record_schema(const struct dm_record_type *t, bool update);
/* One value by type and range, for query and hand-parsed bodies; takes nothing, gives a new value.
 */
enum dm_code dm_field_coerce(const struct dm_field *f, const struct dm_json *value,
                             struct dm_json **ret) DM_MUST_USE;

#include "model/settings_table.h"

#include "base/assert.h"

#include "base/poison.h"

#define DM_WORD_TEXT(key, word, text) text,
#define ENUM_WORDS(KEY) static const char *const words_##KEY[] = {DM_WORDS_##KEY(DM_WORD_TEXT)};
ENUM_WORDS(ENV)
ENUM_WORDS(DOORMAN_ROLE)
ENUM_WORDS(MEM_OR_EXTERNAL)
ENUM_WORDS(MEM_DUMP_FORMAT)
ENUM_WORDS(REDIS_MODE)
ENUM_WORDS(LIMIT_ON_STORE_DOWN)
ENUM_WORDS(REVOCATION_FAIL_MODE)
ENUM_WORDS(SSL_MIN_VERSION)
ENUM_WORDS(COOKIE_SAMESITE)
ENUM_WORDS(RATE_LIMIT_BACKEND)
ENUM_WORDS(LOG_LEVEL)
ENUM_WORDS(LOG_FORMAT)
ENUM_WORDS(ACCESS_LOG)
ENUM_WORDS(AUTH_EXPIRE_TIME_FREQ)
ENUM_WORDS(AUTH_REFRESH_EXPIRE_FREQ)
ENUM_WORDS(AUTH_MODE)
ENUM_WORDS(KEY_STORE)
ENUM_WORDS(OIDC_ID_TOKEN_ALG)
ENUM_WORDS(BILLING_PROVIDER)

/* An ENUM row names its words by its key; all other rows have none. */
#define WORDS_ENUM(KEY) .words = words_##KEY, .n_words = DM_COUNT_OF(words_##KEY),
#define WORDS_BOOL(KEY)
#define WORDS_TRI(KEY)
#define WORDS_INT(KEY)
#define WORDS_BYTES(KEY)
#define WORDS_SECONDS(KEY)
#define WORDS_WHOLE_SECONDS(KEY)
#define WORDS_FLOAT(KEY)
#define WORDS_STR(KEY)
#define WORDS_PATH(KEY)
#define WORDS_URL(KEY)
#define WORDS_PEM(KEY)
#define WORDS_CSV(KEY)
#define WORDS_CIDRS(KEY)
#define WORDS_SECRET(KEY)
#define WORDS_SECRET_JSON(KEY)

static const struct dm_setting_row rows[] = {
#define DM_SETTING(field, KEY, TYPE, def, lo, hi, allow, progs, load, text)                        \
    {.key = #KEY,                                                                                  \
     .type = DM_SETTING_##TYPE,                                                                    \
     .fallback = def,                                                                              \
     .min = lo,                                                                                    \
     .max = hi,                                                                                    \
     .allowed = allow,                                                                             \
     .programs = #progs[0],                                                                        \
     .reload = #load[0],                                                                           \
     .sentence = text,                                                                             \
     .offset = offsetof(struct dm_settings, field),                                                \
     WORDS_##TYPE(KEY)},
#include "model/settings.def"
#undef DM_SETTING
};

static const struct dm_setting_alias aliases[] = {
    {"ENVIRONMENT", "ENV", DM_ALIAS_SAME},
    {"NODE_ENV", "ENV", DM_ALIAS_SAME},
    {"MEM_OR_REDIS", "MEM_OR_EXTERNAL", DM_ALIAS_SAME},
    {"DOORMAN_MEMORY_MODE", "MEM_OR_EXTERNAL", DM_ALIAS_MEMORY},
    {"ASYNC_WORKERS", "THREADS", DM_ALIAS_SAME},
    {"MONGO_URI", "MONGO_DB_URI", DM_ALIAS_SAME},
    {"DATABASE_URL", "MONGO_DB_URI", DM_ALIAS_SAME},
    {"MONGO_DB", "MONGO_DB_NAME", DM_ALIAS_SAME},
    {"DB_POOL_MIN", "DB_POOL_MIN_SIZE", DM_ALIAS_SAME},
    {"DB_POOL_MAX", "DB_POOL_MAX_SIZE", DM_ALIAS_SAME},
    {"REVOCATION_FAIL_OPEN", "REVOCATION_FAIL_MODE", DM_ALIAS_FAIL_OPEN},
    {"CORS_ORIGINS", "ALLOWED_ORIGINS", DM_ALIAS_SAME},
    {"CORS_ORIGIN", "ALLOWED_ORIGINS", DM_ALIAS_SAME},
    {"MAX_REQUEST_SIZE", "MAX_BODY_SIZE_BYTES", DM_ALIAS_SAME},
    {"RATE_LIMIT_MAX_REQUESTS", "RATE_LIMIT_REQUESTS", DM_ALIAS_SAME},
    {"RATE_LIMIT_WINDOW", "RATE_LIMIT_WINDOW_MS", DM_ALIAS_SECONDS},
    {"RATE_LIMIT_RULES_ENFORCED", "RATE_LIMIT_RULES_ENABLED", DM_ALIAS_SAME},
    {"CONNECTION_TIMEOUT", "HTTP_CONNECT_TIMEOUT", DM_ALIAS_SAME},
    {"UPSTREAM_TIMEOUT", "HTTP_READ_TIMEOUT", DM_ALIAS_SAME},
    {"HTTP_POOL_MAX_SIZE", "HTTP_MAX_CONNECTIONS", DM_ALIAS_SAME},
    {"HTTP_POOL_SIZE", "HTTP_MAX_KEEPALIVE", DM_ALIAS_SAME},
    {"PROMETHEUS_IP_ALLOWLIST", "PROMETHEUS_ALLOWLIST", DM_ALIAS_SAME},
    {"PROMETHEUS_TOKEN", "PROMETHEUS_BEARER_TOKEN", DM_ALIAS_SAME},
    {"DEBUG", "LOG_LEVEL", DM_ALIAS_DEBUG},
    {"ACCESS_TOKEN_EXPIRES_MINUTES", NULL, DM_ALIAS_NO_EFFECT},
    {"REFRESH_TOKEN_EXPIRES_DAYS", NULL, DM_ALIAS_NO_EFFECT},
    {"ENABLE_STARLETTE_CORS", NULL, DM_ALIAS_IGNORED},
    {"DISABLE_PLATFORM_CHUNKED_WRAP", NULL, DM_ALIAS_IGNORED},
    {"DISABLE_PLATFORM_CORS_ASGI", NULL, DM_ALIAS_IGNORED},
    {"DOORMAN_ENABLE_GQL_CLIENT", NULL, DM_ALIAS_IGNORED},
    {"CONNECTION_POOL_RECYCLE", NULL, DM_ALIAS_IGNORED},
    {"DOORMAN_RUN_LIVE", NULL, DM_ALIAS_IGNORED},
    {"DOORMAN_IN_DOCKER", NULL, DM_ALIAS_IGNORED},
    {"ALLOWED_HEADERS", NULL, DM_ALIAS_IGNORED},
    {"LEGACY_TEXT_AS_JSON", NULL, DM_ALIAS_IGNORED},
};

const struct dm_setting_row *dm_setting_rows(size_t *ret_n)
{
    *ret_n = DM_COUNT_OF(rows);
    return rows;
}

const struct dm_setting_alias *dm_setting_aliases(size_t *ret_n)
{
    *ret_n = DM_COUNT_OF(aliases);
    return aliases;
}

const struct dm_setting_row *dm_setting_find(dm_view key)
{
    for (size_t i = 0; i < DM_COUNT_OF(rows); i++) {
        if (dm_view_eq(dm_view_of(rows[i].key), key))
            return &rows[i];
    }
    return NULL;
}

bool dm_setting_secret(const struct dm_setting_row *row)
{
    return row->type == DM_SETTING_SECRET || row->type == DM_SETTING_SECRET_JSON;
}

bool dm_setting_read_by(const struct dm_setting_row *row, enum dm_role role)
{
    switch (role) {
    case DM_ROLE_ALL:
        return true;
    case DM_ROLE_GATEWAY:
        return row->programs != 'A';
    case DM_ROLE_ADMIN:
        return row->programs != 'G';
    }
    DM_UNREACHABLE();
}

const char *dm_setting_type_name(const struct dm_setting_row *row)
{
    static const char *const names[] = {
        [DM_SETTING_BOOL] = "bool",       [DM_SETTING_TRI] = "bool or unset",
        [DM_SETTING_INT] = "int",         [DM_SETTING_BYTES] = "bytes",
        [DM_SETTING_SECONDS] = "seconds", [DM_SETTING_WHOLE_SECONDS] = "whole seconds",
        [DM_SETTING_FLOAT] = "number",    [DM_SETTING_ENUM] = "word",
        [DM_SETTING_STR] = "text",        [DM_SETTING_PATH] = "path",
        [DM_SETTING_URL] = "url",         [DM_SETTING_PEM] = "PEM",
        [DM_SETTING_CSV] = "list",        [DM_SETTING_CIDRS] = "address list",
        [DM_SETTING_SECRET] = "secret",   [DM_SETTING_SECRET_JSON] = "secret JSON",
    };
    DM_REQUIRE((size_t)row->type < DM_COUNT_OF(names));
    return names[row->type];
}

/* Longer names are cut for the comparison: no key is longer, and the work stays bounded. */
enum { NAME_MAX_COMPARED = 64 };

/* Levenshtein distance, one row at a time; `enough` or more as soon as it cannot be less. */
static size_t distance(dm_view a, dm_view b, size_t enough)
{
    size_t row[NAME_MAX_COMPARED + 1];
    a = dm_view_sub(a, 0, NAME_MAX_COMPARED);
    b = dm_view_sub(b, 0, NAME_MAX_COMPARED);
    if ((a.len > b.len ? a.len - b.len : b.len - a.len) >= enough)
        return enough;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0], least = i;
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
            least = best < least ? best : least;
        }
        if (least >= enough)
            return enough;
    }
    return row[b.len];
}

const char *dm_setting_nearest(dm_view name)
{
    const char *best = rows[0].key;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < DM_COUNT_OF(rows) + DM_COUNT_OF(aliases); i++) {
        const char *key = i < DM_COUNT_OF(rows) ? rows[i].key : aliases[i - DM_COUNT_OF(rows)].name;
        size_t d = distance(name, dm_view_of(key), least);
        if (d < least) {
            least = d;
            best = key;
        }
    }
    return best;
}

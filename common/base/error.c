#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

#include "base/poison.h"

static const struct dm_err_info table[ERR_COUNT_] = {
    [ERR_NONE] = {"NONE", 200, {"", 0}, {"", 0}},
#define DM_ERROR(id, status, code, sentence)                                                       \
    [ERR_##id] = {#id, status, {code, sizeof(code) - 1}, {sentence, sizeof(sentence) - 1}},
#include "base/errors.def"
#undef DM_ERROR
};

const struct dm_err_info *dm_err_info(enum dm_err err)
{
    DM_REQUIRE((unsigned)err < ERR_COUNT_);
    return &table[err];
}

enum dm_code dm_fail(struct dm_error *err, enum dm_code kind, enum dm_err id, const char *fmt, ...)
{
    DM_REQUIRE(kind != DM_OK);
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        err->kind = kind;
        err->err = id;
        (void)vsnprintf(err->text, sizeof err->text, fmt, args); /* cut when longer */
        va_end(args);
    }
    return kind;
}

const char *dm_code_name(enum dm_code code)
{
    static const char *const names[] = {
        [DM_OK] = "ok",
        [DM_AGAIN] = "again",
        [DM_EOF] = "eof",
        [DM_INVALID] = "invalid",
        [DM_NOT_FOUND] = "not_found",
        [DM_EXISTS] = "exists",
        [DM_UNAUTHENTICATED] = "unauthenticated",
        [DM_DENIED] = "denied",
        [DM_LIMIT] = "limit",
        [DM_TIMEOUT] = "timeout",
        [DM_UNAVAILABLE] = "unavailable",
        [DM_PROTOCOL] = "protocol",
        [DM_CONFLICT] = "conflict",
        [DM_BUG] = "bug",
    };
    DM_REQUIRE((size_t)code < DM_COUNT_OF(names));
    return names[code];
}

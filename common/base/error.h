/* Errors: one kind for the code that decides, one identifier for what the world sees, one internal
 * sentence for the log. Clients get the table's sentence and the request id, never the internal
 * text. Any thread; a struct dm_error belongs to its caller. */
#pragma once

#include "base/mem.h"
#include "base/view.h"

enum dm_code {
    DM_OK = 0,
    DM_AGAIN, /* nothing now, ask again when told; not a failure */
    DM_EOF,   /* the other side ended in order */
    DM_INVALID,
    DM_NOT_FOUND,
    DM_EXISTS,
    DM_UNAUTHENTICATED,
    DM_DENIED,
    DM_LIMIT,
    DM_TIMEOUT,
    DM_UNAVAILABLE,
    DM_PROTOCOL,
    DM_CONFLICT, /* somebody else changed it first (version check) */
    DM_BUG
};

/* Every public refusal of the product: name, HTTP status, public code, sentence (errors.def). */
enum dm_err {
    ERR_NONE = 0,
#define DM_ERROR(id, status, code, sentence) ERR_##id,
#include "base/errors.def"
#undef DM_ERROR
    ERR_COUNT_
};

struct dm_err_info {
    const char *name; /* identifier without ERR_, for logs */
    int status;
    dm_view code;
    dm_view sentence; /* may hold one %s or %d, filled by the place that refuses */
};

const struct dm_err_info *dm_err_info(enum dm_err err);

enum { DM_ERROR_TEXT = 256 };
struct dm_error {
    enum dm_code kind;
    enum dm_err err;
    char text[DM_ERROR_TEXT]; /* internal: what was tried, on what, why */
};

/* Fills *err (may be NULL) and gives `kind`. */
enum dm_code dm_fail(struct dm_error *err, enum dm_code kind, enum dm_err id, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define DM_FAIL(err, kind, id, ...) dm_fail((err), (kind), (id), __VA_ARGS__)
const char *dm_code_name(enum dm_code code);

#include <string.h>

#include "store/mongo/mongo_internal.h"

#include "base/poison.h"

/* Codes of the server (its error_codes list; the driver names a few only). */
enum {
    DUPLICATE_KEY = 11000,
    DUPLICATE_KEY_OLD = 11001,
    DUPLICATE_KEY_CAPPED = 12582,
    INTERNAL_ERROR = 1,
    BAD_VALUE = 2,
    FAILED_TO_PARSE = 9,
    IMMUTABLE_FIELD = 66,
    DOCUMENT_VALIDATION = 121,
    OBJECT_TOO_LARGE = 10334
};

/* The server answers, but cannot serve just now: stepping down, shutting down, not the primary,
 * recovering, a network fault of its own. One slow command (50, 262) is not among them. */
static bool is_passing(uint32_t code)
{
    static const uint32_t passing[] = {6,     7,     89,    91,    134,   189,  9001,
                                       10058, 10107, 11600, 11602, 13435, 13436};
    for (size_t i = 0; i < DM_COUNT_OF(passing); i++) {
        if (passing[i] == code)
            return true;
    }
    return false;
}

static bool is_network(const bson_error_t *e)
{
    return e->domain == MONGOC_ERROR_STREAM || e->domain == MONGOC_ERROR_SERVER_SELECTION ||
           e->domain == MONGOC_ERROR_PROTOCOL || e->domain == MONGOC_ERROR_CLIENT ||
           e->domain == MONGOC_ERROR_SASL || e->domain == MONGOC_ERROR_SCRAM;
}

/* FerretDB over SQLite answers an insert as MongoDB does, but a replacement with an internal error
 * that holds SQLite's words. */
static bool is_duplicate(const bson_error_t *e)
{
    return e->code == DUPLICATE_KEY || e->code == DUPLICATE_KEY_OLD ||
           e->code == DUPLICATE_KEY_CAPPED ||
           (e->code == INTERNAL_ERROR && strstr(e->message, "UNIQUE constraint failed") != NULL);
}

static bool is_our_fault(const bson_error_t *e)
{
    if (e->domain == MONGOC_ERROR_BSON || e->domain == MONGOC_ERROR_COMMAND)
        return true;
    return e->domain == MONGOC_ERROR_SERVER &&
           (e->code == BAD_VALUE || e->code == FAILED_TO_PARSE || e->code == IMMUTABLE_FIELD ||
            e->code == DOCUMENT_VALIDATION);
}

/* The server's sentence is told only where it is about the connection: others quote documents. */
enum dm_code dm_mongo_error(const bson_error_t *e, const char *doing, const char *name,
                            bool *ret_away, struct dm_error *err)
{
    *ret_away = false;
    if (is_network(e) || (e->domain == MONGOC_ERROR_SERVER && is_passing(e->code))) {
        *ret_away = true;
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY,
                       "could not %s \"%s\": document store does not answer: %s", doing, name,
                       e->message);
    }
    if (is_duplicate(e))
        return DM_FAIL(err, DM_EXISTS, ERR_NONE, "could not %s \"%s\": a unique key is taken",
                       doing, name);
    if (e->code == OBJECT_TOO_LARGE)
        return DM_FAIL(err, DM_LIMIT, ERR_NONE, "could not %s \"%s\": too large", doing, name);
    if (is_our_fault(e))
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "could not %s \"%s\": refused by the driver or server with code %u", doing,
                       name, e->code);
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_STORE_DOCUMENTS_AWAY,
                   "could not %s \"%s\": document store answered with code %u", doing, name,
                   e->code);
}

enum dm_code dm_mongo_failed(struct dm_mongo_call *call, const char *doing, struct dm_error *err)
{
    return dm_mongo_error(&call->error, doing, call->name, &call->away, err);
}

/* One call of the admin API on its way through the dispatcher: what came in, who asks, what comes
 * out. A handler reads the upper half and sets the result by one of the adm_ok / adm_fail
 * functions; it never writes HTTP, never picks an envelope. Lives on the handler thread; strings
 * come from `arena`. */
#pragma once

#include "admin/permissions.h"
#include "io/admin_server.h"
#include "model/record.h"

struct adm_app;
struct dm_keyset;
struct adm_route;

enum { ADM_PARAMS_MAX = 5 };

struct adm_caller { /* who asks: current record and role, never the token's claims */
    dm_view username, role, jti;
    int64_t token_exp;
    uint32_t permissions; /* bits of enum adm_permission */
    bool is_admin;        /* platform_admin, or role name admin / platform admin (§6.2) */
    bool from_cookie;
    bool must_change_password;
};

struct adm_result {
    int status;               /* 0: the handler has not decided: a bug, answered as GTW999 */
    struct dm_json *response; /* owned; NULL: none */
    dm_view message;          /* 2xx without response */
    dm_view error_code;       /* empty: the body has only error_message */
    dm_view error_message;
    bool bare;           /* never enveloped (framework answers, quota, ...) */
    bool status_in_body; /* status_code stands in the body whatever the envelope (SEC010, SEC011) */
    bool detail;         /* {"detail": error_message} */
    bool no_body;
    struct dm_json *data; /* of a refusal: stands in the body under this name; owned */
};

struct adm_call {
    struct adm_app *app;
    struct dm_settings *settings; /* pinned for the call, as are the keys */
    struct dm_keyset *keys;
    const struct adm_route *route;
    struct dm_admin_request *rq;
    struct dm_admin_response *rs; /* extra fields: adm_header */
    struct dm_arena *arena;
    struct dm_address client;       /* effective address (operations.md §8.11) */
    dm_view params[ADM_PARAMS_MAX]; /* decoded, in order of the route's braces */
    size_t n_params;
    dm_view query;        /* raw */
    struct dm_json *body; /* validated body (record routes), parsed JSON (raw routes), or NULL */
    struct adm_caller caller; /* empty on public routes */
    struct adm_result result;
    struct {            /* the dispatcher writes the event before the answer */
        dm_view action; /* the route's; a handler may change it */
        dm_view target;
        struct dm_json *details; /* owned */
        bool skip;               /* nothing happened that is worth an event */
    } audit;
};

/* Success: takes `response`. */
void adm_ok(struct adm_call *c, int status, struct dm_json *response);
void adm_ok_message(struct adm_call *c, int status, const char *message);
void adm_ok_messagef(struct adm_call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Refusal. code "" leaves the member out. */
void adm_fail(struct adm_call *c, int status, const char *code, const char *message);
void adm_failf(struct adm_call *c, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void adm_fail_err(struct adm_call *c, enum dm_err err); /* status, code, sentence of errors.def */
/* A store's error as its outage (503 STORE001/STORE002), or GTW999 with a log line for anything
 * else. */
void adm_fail_store(struct adm_call *c, const struct dm_error *err);
void adm_fail_invalid(struct adm_call *c); /* 422 VAL001 */
void adm_header(struct adm_call *c, const char *name, dm_view value);
void adm_audit(struct adm_call *c, dm_view target, struct dm_json *details); /* takes details */

dm_view adm_text(struct adm_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline bool adm_may(const struct adm_call *c, enum adm_permission p)
{
    return (c->caller.permissions >> p) & 1U;
}
static inline bool adm_self(const struct adm_call *c, dm_view username)
{
    return dm_view_eq(c->caller.username, username);
}

/* Query integers by §3: absent gives the fallback; false (and 422 set) when it is not an integer.
 */
bool adm_query_i64(struct adm_call *c, const char *name, int64_t fallback, int64_t *ret);
struct adm_page {
    int64_t page, size;
};
bool adm_page_of(struct adm_call *c, struct adm_page *ret); /* PAG001 set on false (§4) */
bool adm_page_by(struct adm_call *c, int64_t default_size, struct adm_page *ret);
/* {"<items>":[...],"page","page_size","has_next","total"}; items may hold size + 1 entries: the
 * last tells has_next and is dropped. Takes items. */
void adm_ok_page(struct adm_call *c, const char *items_key, struct dm_json *items,
                 const struct adm_page *p, uint64_t total);
/* A whole page handler for collections that everybody may read as they are stored. */
void adm_list_page(struct adm_call *c, const char *collection, const char *items_key,
                   const char *sort);

/* The table of the admin API: one row per endpoint in routes.def. Routing, body validation,
 * permission check, audit event, rate class and /platform/openapi.json all come from it. Immutable;
 * any thread. */
#pragma once

#include "admin/call.h"

typedef void (*adm_handler_fn)(struct adm_call *c);

enum adm_body {                    /* what the dispatcher does with the body before the handler */
                ADM_BODY_NONE = 0, /* ignored */
                ADM_BODY_CREATE,   /* typed by `record`, all rules of a create; 422 */
                ADM_BODY_UPDATE,   /* typed by `record`, fields present only; 422 */
                ADM_BODY_OPTIONAL, /* as UPDATE, but an empty body or null is none */
                ADM_BODY_JSON,     /* an object; 422 otherwise */
                ADM_BODY_RAW       /* the handler parses c->rq->body itself (login, register) */
};

enum adm_unauth { /* how a 401 of authentication is rendered (platform-access.md §5.7) */
                  ADM_PUBLIC = 0, /* no authentication */
                  ADM_UNAUTH_A,   /* {"detail":"Unauthorized"}, bare */
                  ADM_UNAUTH_B,   /* GTW998 */
                  ADM_UNAUTH_C1,  /* AUTH005 */
                  ADM_UNAUTH_C2,  /* AUTH003 Unable to validate credentials */
                  ADM_UNAUTH_GEN1,
                  ADM_UNAUTH_GEN2,
                  ADM_UNAUTH_API,    /* API_AUTH */
                  ADM_UNAUTH_CACHES, /* {"detail","error_code","error_message"}, gateway.md §23.3 */
                  ADM_UNAUTH_STATUS  /* GTW401, as a gateway says it */
};

enum adm_rate { ADM_RATE_NONE = 0, ADM_RATE_LOGIN, ADM_RATE_REGISTER };

enum {                           /* flags of a row */
       ADM_REFRESH = 1 << 0,     /* a refresh token is accepted too (O5) */
       ADM_CSRF_EXEMPT = 1 << 1, /* platform-access.md §5.6 */
       ADM_IP_EXEMPT = 1 << 2,   /* outside the global IP lists (1.6) */
       ADM_ETAG = 1 << 3,        /* GET answers carry an ETag and honour If-None-Match */
       ADM_BARE = 1 << 4,        /* never enveloped */
       ADM_OWN_CHECK =
           1 << 5 /* "self or permission": the handler checks; the permission is documentation */
};

struct adm_route {
    const char *method, *path; /* "/platform/user/{username}"; a last "{uri...}" takes the rest */
    adm_handler_fn handler;
    enum adm_unauth unauth;
    enum adm_permission permission; /* ADM_PERM_NONE: any authenticated user */
    const char *denied_code, *denied_message;
    enum adm_body body;
    const struct dm_record_type *record;
    const char *audit; /* action; NULL: no event */
    enum adm_rate rate;
    unsigned flags;
    const char *summary; /* one sentence, for OpenAPI */
};

const struct adm_route *adm_routes(size_t *ret_n);
/* Path: percent-decoded segments, one surplus or missing trailing slash is fine (O8). NULL: none;
 * *ret_allow then lists the methods of a known path (405), or is empty (404). */
const struct adm_route *adm_route_find(dm_view method, dm_view path, struct dm_arena *arena,
                                       dm_view params[ADM_PARAMS_MAX], size_t *ret_n_params,
                                       dm_view *ret_allow);

/* One request on its way down the pipeline: a dozen small structs, each written by one step (named
 * in its comment) and only read by later ones. Lives in a slot of its worker's slab; what it points
 * to comes from the exchange's arena or from the policy world it pinned, so nothing here is freed
 * by hand. Loop thread of its worker only. */
#pragma once

#include "codec/uri.h"
#include "crypto/jwt.h"
#include "crypto/random.h"
#include "gateway/snapshot/principals.h"
#include "gateway/upstream/retry.h"
#include "gateway/wait.h"
#include "io/exchange.h"
#include "io/http_client.h"
#include "model/policy.h"
#include "store/live.h"

struct gw_worker;
struct gw_world;
struct gw_protocol;
struct gw_fixed;

enum gw_method {
    GW_OTHER = 1 << 0,
    GW_GET = 1 << 1,
    GW_HEAD = 1 << 2,
    GW_POST = 1 << 3,
    GW_PUT = 1 << 4,
    GW_DELETE = 1 << 5,
    GW_PATCH = 1 << 6,
    GW_OPTIONS = 1 << 7
};

struct gw_in { /* guard */
    enum gw_method method;
    const struct gw_protocol *proto; /* by the second segment; NULL: none of the four */
    struct dm_forwarding forwarding;
    struct dm_address client; /* effective address by the global rule */
    uint64_t body_limit;      /* UINT64_MAX: none */
};

struct gw_route { /* resolve */
    const struct dm_policy_api *api;
    const struct dm_policy_endpoint *endpoint;
    const struct gw_fixed *fixed; /* instead of an API: a path of our own */
    size_t first_segment;         /* where the endpoint's path begins in the target */
    bool path_exists;             /* another method has an endpoint there */
    bool guarded;                 /* identity, subscription, group, role and limits apply */
    struct dm_address client;     /* effective address by the API's rule */
};

enum gw_credential { GW_CREDENTIAL_NONE = 0, GW_CREDENTIAL_COOKIE, GW_CREDENTIAL_HEADER };
struct gw_who { /* identify */
    enum gw_credential credential;
    bool verified, asked, answered;
    struct dm_jwt_claims claims; /* verified */
    struct dm_policy_user *user; /* one reference; NULL: nobody, or nothing known */
    struct gw_principals_wait wait;
    enum dm_code found; /* answered: DM_OK, DM_NOT_FOUND, DM_UNAVAILABLE */
};

struct gw_permit {       /* permit: the verdict that needs nobody else */
    enum dm_err refusal; /* ERR_NONE: they may */
    const char *reason;
    const struct dm_policy_pool *pool; /* where the call may go: routing, endpoint's, API's */
};

enum gw_limit_state { GW_LIMIT_UNASKED = 0, GW_LIMIT_ASKED, GW_LIMIT_ANSWERED, GW_LIMIT_DELAYED };
struct gw_limit { /* admit */
    enum gw_limit_state state;
    bool admitted;     /* counted, where anything counts */
    size_t n_counters; /* of figures.counters */
    struct dm_live_wait wait;
};
struct gw_figures { /* admit: what was asked and answered */
    struct dm_counter_ask counters[DM_COUNTERS_MAX];
    struct dm_admit_answer answer;
};

enum gw_body_form { GW_BODY_NONE = 0, GW_BODY_WHOLE, GW_BODY_STREAM };
struct gw_body { /* body */
    enum gw_body_form form;
    dm_view bytes; /* WHOLE */
};

enum gw_credit_state { GW_CREDIT_NONE = 0, GW_CREDIT_ASKED, GW_CREDIT_ANSWERED, GW_CREDIT_HELD };
struct gw_credit { /* reserve; ended by gw_credits_settle, from forward or account */
    enum gw_credit_state state;
    enum dm_reserve_verdict verdict; /* ANSWERED */
    struct dm_live_wait wait;
    dm_view header, key; /* put on the upstream's request; header empty: nothing is */
    char id[DM_UUID_LEN + 1];
};

enum gw_up_state { GW_UP_NEW = 0, GW_UP_CALLING, GW_UP_RESTING };
enum gw_upload { GW_UPLOAD_IDLE = 0, GW_UPLOAD_RUNNING, GW_UPLOAD_ENDED, GW_UPLOAD_OVER };
struct gw_up { /* forward, and the callbacks of its call (upstream/call.c) */
    enum gw_up_state state;
    struct dm_http_call *call; /* NULL: none runs */
    const struct dm_policy_server *server;
    dm_view head; /* request line and fields, the same bytes for every attempt */
    struct gw_retry_rule retry;
    unsigned attempts;              /* begun so far */
    bool probe;                     /* tries a half-open circuit, not reported yet */
    enum gw_upload upload;          /* of a streamed body */
    struct dm_fields sent_trailers; /* borrowed by the call */
    bool reached;                   /* bytes of an attempt that was cut short had left */
    bool uploaded_any;              /* some of it left the client's buffer: no second attempt */
    bool got_head, ended;
    int status;
    int64_t length;
    bool bodyless;
    const struct dm_fields *fields; /* of the answer; until its end was handled */
    const struct dm_fields *trailers;
    struct dm_http_end_info end; /* ended */
};

struct gw_out { /* gw_refuse and reply */
    enum dm_err refusal;
    const char *reason;
    uint64_t number;                    /* for the one %llu of a sentence */
    int64_t retry_after;                /* seconds; 0: none */
    const struct dm_counter_ask *limit; /* the counter that refused, with its two figures */
    int64_t remaining, reset_wall;
    dm_view allow;       /* 405 */
    dm_view location;    /* 307 */
    dm_view body;        /* our own answer (fixed path, preflight); content type JSON */
    int status;          /* our own answer; 0: refusal or the upstream's */
    bool held;           /* the upstream's body is read whole first (envelope) */
    struct dm_buf whole; /* held */
    struct dm_fields fields;
    bool answered; /* the answer's head is the client's */
    bool cut;      /* it cannot be completed: the connection ends visibly */
};

struct gw_times {      /* who writes is in the name of the moment */
    dm_time begun;     /* the pipeline began */
    dm_time forwarded; /* first attempt began; 0: none */
    dm_time backend;   /* spent on the upstream, retries included, up to its head */
    dm_time deadline;  /* GATEWAY_TIMEOUT; DM_NEVER: none */
};

struct gw_request {
    struct gw_worker *worker;
    struct dm_exchange *x;
    const struct gw_world *world; /* pinned: settings, policy, keys */
    struct gw_handle handle;
    unsigned at; /* index of the step that runs or waits */
    bool gone;   /* no answer, or not all of it, reaches the client any more */
    enum dm_gone why;
    struct gw_wait wait;
    struct gw_in in;
    struct gw_route route;
    struct gw_who who;
    struct gw_permit permit;
    struct gw_limit limit;
    struct gw_body body;
    struct gw_credit credit;
    struct gw_up up;
    struct gw_out out;
    struct gw_times times;
    /* From here on not cleared for every request: 1.6 KB that are written before they are read. */
    struct dm_target target; /* guard */
    struct gw_figures figures;
};

struct gw_request *gw_request_new(struct gw_worker *w, struct dm_exchange *x);
/* Lets go of all it holds: user, call, world, slot. Its handle is stale from here on. */
void gw_request_free(struct gw_request *rq);
struct gw_request *gw_request_find(struct gw_worker *w, struct gw_handle handle); /* NULL: stale */

const struct dm_policy *gw_policy(const struct gw_request *rq);
const struct dm_settings *gw_settings(const struct gw_request *rq);
/* The best known effective address. */
const struct dm_address *gw_client(const struct gw_request *rq);
/* First value in the client's head; ptr NULL: absent. */
dm_view gw_field(const struct gw_request *rq, enum dm_header_id id);
dm_time gw_now(const struct gw_request *rq);

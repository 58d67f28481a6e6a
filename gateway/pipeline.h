/* The life of a request as a list of steps (pipeline.c) and the four verbs a step has: pass on,
 * wait, refuse, answer. Loop thread of the worker only. */
#pragma once

#include "gateway/request.h"

enum gw_next {
    GW_NEXT = 0, /* on to the next step */
    GW_WAIT,     /* gw_wait named what for; the same step runs again then */
    GW_REPLY     /* skip to reply: gw_refuse or gw_answer said with what */
};
typedef enum gw_next (*gw_step_fn)(struct gw_request *rq);

/* --- for steps --- */
/* Names the one thing waited for. `until`: monotonic time; DM_NEVER only where a layer below has
 * its own deadline for exactly this (upstream call, client's connection). Always gives GW_WAIT. */
enum gw_next gw_wait(struct gw_request *rq, enum gw_wait_on on, dm_time until);
/* reason: which check, which rule (X-Doorman-Reason); static text. Always gives GW_REPLY. */
enum gw_next gw_refuse(struct gw_request *rq, enum dm_err err, const char *reason);
/* 413: counted and audited; the connection is closed where the rest of the body was not read. */
enum gw_next gw_refuse_body(struct gw_request *rq);
/* An answer of our own, complete; body from the arena or static. Always gives GW_REPLY. */
enum gw_next gw_answer(struct gw_request *rq, int status, dm_view body);

/* --- for those who answer --- */
/* Runs the waiting step again, if the request is still there and waits for `on`. */
void gw_request_resume(struct gw_worker *w, struct gw_handle handle, enum gw_wait_on on);
/* Client gone, deadline of the connection, drain: disarms the one wait and goes to account. */
void gw_request_cancel(struct gw_request *rq, enum dm_gone why);

extern const struct dm_exchange_handler gw_pipeline_handler; /* x->server is the request */
void gw_pipeline_start(struct gw_worker *w, struct dm_exchange *x);

enum gw_next step_guard(struct gw_request *rq);
enum gw_next step_resolve(struct gw_request *rq);
enum gw_next step_cors(struct gw_request *rq);
enum gw_next step_identify(struct gw_request *rq);
enum gw_next step_permit(struct gw_request *rq);
enum gw_next step_admit(struct gw_request *rq);
enum gw_next step_body(struct gw_request *rq);
enum gw_next step_validate(struct gw_request *rq);
enum gw_next step_reserve(struct gw_request *rq);
enum gw_next step_forward(struct gw_request *rq);
enum gw_next step_reply(struct gw_request *rq);
enum gw_next step_account(struct gw_request *rq);

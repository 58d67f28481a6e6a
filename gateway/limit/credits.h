/* Credits of one call (gateway.md §11, O1): what it costs, the key it carries, and how its
 * reservation ends. One reservation serves all attempts. Loop thread. */
#pragma once

#include "gateway/request.h"

/* The API takes credits and this call pays one. */
bool gw_credits_apply(const struct gw_request *rq);
/* What a call without a known caller is told: no credits, or, where the store alone kept us from
 * knowing them, that it is away. */
enum dm_err gw_credits_nobody(const struct gw_request *rq);
/* Fills credit.header and .key from the user's own key or the group's definition; neither: nothing
 * is injected, and it is said. false: the key cannot be had (undecryptable, no header value), so
 * the call must not leave. */
bool gw_credits_find_key(struct gw_request *rq);
/* How long the call may take at most until its reservation is settled. */
dm_time gw_credits_hold(const struct gw_request *rq);
/* Ends the reservation, if one is held: spent, or given back. */
void gw_credits_settle(struct gw_request *rq, bool spent);
/* The answer to the ask does not come, or nobody waits for it any more. */
void gw_credits_cancel(struct gw_request *rq);
/* At the end of every call: what is still held was not answered below 500. Spent only where the
 * client left while the upstream was at work. */
void gw_credits_finish(struct gw_request *rq);

/* Bodies and fields of answers that the gateway makes itself (R6, gateway.md §1.3, §2.4). Into the
 * request's arena; pure otherwise. */
#pragma once

#include "gateway/request.h"

/* JSON of out.refusal with the members of its section; empty past the arena's cap. */
dm_view gw_answer_refusal(struct gw_request *rq);
/* Fields of an answer of our own: type, reason, limits, CORS. False past the arena's cap. */
bool gw_answer_fields(struct gw_request *rq, dm_view body, struct dm_fields *out);

/* Decimal; ptr NULL past the arena's cap. */
dm_view gw_answer_number(struct gw_request *rq, int64_t n);

/* api_strict_envelope and a JSON body to wrap. */
bool gw_answer_wants_envelope(const struct gw_request *rq);
size_t gw_answer_held_max(const struct dm_settings *s);
/* out.whole wrapped, in place of it; what does not parse passes as it is, with a WARNING. */
dm_view gw_answer_envelope(struct gw_request *rq);

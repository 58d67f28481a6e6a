/* CORS fields of an API's answers (gateway.md §7); no API, no fields. Pure but for the arena. */
#pragma once

#include "gateway/request.h"

/* Appends; false past the arena's cap. */
bool gw_cors_preflight(const struct gw_request *rq, struct dm_fields *out);
bool gw_cors_actual(const struct gw_request *rq, struct dm_fields *out); /* by origin alone */

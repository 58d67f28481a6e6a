/* The line of a finished request and its two warnings (operations.md §8.4). Loop thread. */
#pragma once

#include "gateway/request.h"

/* As received, without the query: it may hold secrets. */
dm_view gw_access_path(const struct gw_request *rq);
/* status: what the client got, or would have got. Bytes and addresses come from the exchange. */
void gw_access_log(struct gw_request *rq, int status, dm_time took);

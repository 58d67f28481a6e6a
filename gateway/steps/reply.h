/* What the upstream's call hands to the reply step: the only way to the client. Loop thread of the
 * worker. */
#pragma once

#include "gateway/request.h"

/* Bytes of the upstream's answer; gives how many were taken. Fewer: the client does not keep up. */
size_t gw_reply_bytes(struct gw_request *rq, dm_view bytes);
void gw_reply_inform(struct gw_request *rq, int status,
                     const struct dm_fields *f); /* 1xx but 100, 101 */

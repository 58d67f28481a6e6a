/* One attempt at the upstream, tied to its request: starts it, streams the client's body up and the
 * answer down, and wakes the step that waits. Both directions are bounded by the two sides' own
 * buffers: bytes go from one to the other without a copy of ours. Loop thread. */
#pragma once

#include "gateway/request.h"

/* Plain HTTP over TCP or a Unix socket; what wants TLS or HTTP/2 is not spoken yet, and never in
 * clear. */
bool gw_call_can_reach(const struct dm_policy_server *server);
void gw_call_start(struct gw_request *rq);  /* up.server, up.head and body say what to send */
void gw_call_cancel(struct gw_request *rq); /* none running: fine */
void gw_call_upload(struct gw_request *rq); /* the client's body has bytes, or the call has room */
void gw_call_room(struct gw_request *rq);   /* the client takes bytes again */

/* How the client's body goes on: not at all, whole because it is small and already here (so it
 * leaves with the head and can be sent again), or streamed unread (R16, O13). */
#include "base/assert.h"
#include "gateway/pipeline.h"
#include "gateway/worker.h"

/* Copied into the arena at most: a stream costs more than copying so little. */
enum { SMALL_BODY = 16 * 1024 };

/* Takes the body if all of it came with the head's read. What cannot be had at once is left for the
 * stream. */
static bool take_small(struct gw_request *rq)
{
    const uint64_t length = rq->x->head.length;
    dm_view bytes, rest;

    if (!rq->x->head.has_length || length > SMALL_BODY || rq->x->head.expect_continue)
        return false;
    if (dm_exchange_pull(rq->x, &bytes) != DM_OK || bytes.len < length)
        return false;
    rq->body.bytes = dm_arena_copy(rq->x->arena, dm_view_sub(bytes, 0, length));
    if (rq->body.bytes.ptr == NULL)
        return false;
    dm_exchange_consume(rq->x, length);
    const enum dm_code end =
        dm_exchange_pull(rq->x, &rest); /* tells the carrier that we saw the end */
    DM_ASSERT(end == DM_EOF);
    return true;
}

/* Reads in. Writes body. Never waits: no rule of this release needs a body whole. */
enum gw_next step_body(struct gw_request *rq)
{
    const struct dm_request_head *head = &rq->x->head;

    if (!head->chunked && (!head->has_length || head->length == 0))
        return GW_NEXT;
    dm_exchange_limit_body(rq->x, rq->in.body_limit);
    rq->body.form = take_small(rq) ? GW_BODY_WHOLE : GW_BODY_STREAM;
    return GW_NEXT;
}

#include "io/http_internal.h"

#include <string.h>

#include "base/assert.h"

/* The answer on its way in. Bytes go from the loop's scratch through the parser to the taker; when
 * the taker pauses, what was read already waits in one block and the socket is left alone, so that
 * the upstream feels the pressure. Every callback may end or cancel the call: the state is looked
 * at after each. */

enum { READS_PER_TURN = 4 }; /* 256 KB: then the other sockets of the loop */

static void complete(struct dm_http_call *c, size_t surplus)
{
    const struct dm_stream *s = &c->connection->stream;
    /* Bytes behind the answer, or an upstream that answered before it had the whole request: whose
     * bytes come next on this connection cannot be known. */
    c->reusable = surplus == 0 && !c->early_answer && !c->ask.no_reuse && dm_http_sent_all(c) &&
                  dm_http_response_keep_alive(c->answer) && !s->eof_ && !s->fin_ && !s->broken_;
    dm_http_call_finish(c, DM_HTTP_COMPLETE, "");
}

static void give_head(struct dm_http_call *c)
{
    const struct dm_http_answer_head *h = dm_http_response_head(c->answer);
    c->info.got_head = true;
    if (!dm_http_sent_all(c)) {
        c->early_answer = true;
        /* A refusal or a farewell: the rest is not wanted (RFC 9112 §9.5). Otherwise both sides may
         * talk. */
        if (h->status >= 300 || !dm_http_response_keep_alive(c->answer))
            c->send_stopped = true;
    }
    c->handler->on_head(c, c->ctx, h);
    if (c->state == DM_CALL_RUNNING)
        dm_http_call_wait(c, false);
}

/* Bytes for later: they lie in the scratch, or at the end of the block already. */
static void hold(struct dm_http_call *c, const char *ptr, size_t len)
{
    struct dm_http_block *b = c->in;
    if (b != NULL) {
        b->start = b->end - len;
        DM_ASSERT(b->bytes + b->start == ptr);
        return;
    }
    b = c->in = dm_http_block_take(c->client);
    DM_ASSERT(len <= sizeof b->bytes);
    memcpy(b->bytes, ptr, len);
    b->end = len;
}

/* False: the call ended or pauses. `rest` lies directly behind `body`. */
static bool give_body(struct dm_http_call *c, dm_view body, dm_view rest)
{
    size_t taken = c->handler->on_body(c, c->ctx, body);
    if (c->state != DM_CALL_RUNNING)
        return false;
    DM_REQUIRE(taken <= body.len);
    if (taken == body.len)
        return true;
    DM_ASSERT(rest.len == 0 || body.ptr + body.len == rest.ptr);
    hold(c, body.ptr + taken, body.len - taken + rest.len);
    c->in_body = body.len - taken;
    c->paused = true;
    dm_http_call_wait(c, false);
    return false;
}

/* False: the call ended or pauses. */
static bool feed(struct dm_http_call *c, dm_view bytes)
{
    while (c->state == DM_CALL_RUNNING) {
        dm_view body;
        switch (dm_http_response_next(c->answer, &bytes, &body)) {
        case DM_ANSWER_MORE:
            return true;
        case DM_ANSWER_INFORM:
            if (c->handler->on_inform != NULL) {
                const struct dm_http_answer_head *h = dm_http_response_head(c->answer);
                c->handler->on_inform(c, c->ctx, h->status, h->fields);
            }
            break;
        case DM_ANSWER_HEAD:
            give_head(c);
            break;
        case DM_ANSWER_BODY:
            if (!give_body(c, body, bytes))
                return false;
            break;
        case DM_ANSWER_DONE:
            complete(c, bytes.len);
            return false;
        case DM_ANSWER_BAD:
            dm_http_call_finish(c, DM_HTTP_BROKEN, dm_http_response_why(c->answer));
            return false;
        }
    }
    return false;
}

/* What waited while the taker paused. False: the call ended or pauses again. */
static bool feed_held(struct dm_http_call *c)
{
    struct dm_http_block *b = c->in;
    if (b == NULL)
        return true;
    dm_view held = dm_view_make(b->bytes + b->start, b->end - b->start);
    dm_view body = dm_view_sub(held, 0, c->in_body);
    dm_view rest = dm_view_sub(held, c->in_body, held.len);
    c->in_body = 0;
    if (body.len > 0 && !give_body(c, body, rest))
        return false;
    if (!feed(c, rest))
        return false;
    dm_http_block_give(c->client, &c->in);
    return true;
}

static void peer_ended(struct dm_http_call *c)
{
    if (dm_http_response_end(c->answer))
        complete(c, 0);
    else if (!dm_http_response_started(c->answer))
        dm_http_call_lost(c, "closed before an answer");
    else
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "closed inside the answer");
}

static void peer_broke(struct dm_http_call *c)
{
    if (!dm_http_response_started(c->answer))
        dm_http_call_lost(c, "connection reset before an answer");
    else
        dm_http_call_finish(c, DM_HTTP_UNREACHABLE, "connection reset inside the answer");
}

/* One read. False: nothing more to do now. */
static bool read_some(struct dm_http_call *c)
{
    struct dm_loop *loop = c->client->loop;
    char *scratch = dm_loop_scratch(loop);
    size_t len;
    switch (dm_stream_read(&c->connection->stream, scratch, DM_LOOP_SCRATCH, &len)) {
    case DM_OK:
        if (c->phase == DM_HTTP_READ_TIMEOUT)
            dm_http_call_progress(c, c->ask.timeouts.read);
        return feed(c, dm_view_make(scratch, len));
    case DM_AGAIN:
        if (c->send_failed && !c->info.got_head)
            dm_http_call_lost(c, "the request could not be sent");
        return false;
    case DM_EOF:
        peer_ended(c);
        return false;
    default:
        peer_broke(c);
        return false;
    }
}

void dm_http_receive(struct dm_http_call *c)
{
    if (c->paused)
        return;
    if (c->send_failed) /* whether something came before the failure is not known yet */
        dm_stream_note(&c->connection->stream, EPOLLIN);
    if (!feed_held(c))
        return;
    for (int i = 0; i < READS_PER_TURN; i++)
        if (!read_some(c))
            return;
    dm_http_call_post(c);
}

#include "io/http_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* The request on its way out. What the asker has at hand (head, whole body) is sent from where it
 * lies, with our framing lines, in one call; only streamed bytes are copied, into one block of
 * DM_HTTP_BUFFER. */

enum {
    CHUNK_ROOM = 16, /* "FFFFFFFF\r\n" before a chunk and "\r\n" behind it */
    ROOM_ROUNDS = 4  /* blocks filled and sent at one go: then the other sockets of the loop */
};
#define LAST_CHUNK "0\r\n"

/* RFC 9110 §8.6: methods whose body means something say so when there is none; some servers insist
 * (411). */
static bool says_no_body(dm_view head)
{
    return dm_view_starts(head, DM_LIT("POST ")) || dm_view_starts(head, DM_LIT("PUT ")) ||
           dm_view_starts(head, DM_LIT("PATCH "));
}

void dm_http_send_begin(struct dm_http_call *c)
{
    int len;
    if (c->ask.body_length == DM_LENGTH_UNKNOWN)
        len = snprintf(c->framing, sizeof c->framing, "Transfer-Encoding: chunked\r\n\r\n");
    else if (c->ask.body_length > 0 || says_no_body(c->ask.head))
        len = snprintf(c->framing, sizeof c->framing, "Content-Length: %lld\r\n\r\n",
                       (long long)c->ask.body_length);
    else
        len = snprintf(c->framing, sizeof c->framing, "\r\n");
    DM_ASSERT(len > 0 && (size_t)len < sizeof c->framing);
    c->framing_len = (size_t)len;
    c->sent = 0;
    c->send_stopped = c->send_failed = false;
    dm_http_response_begin(c->answer, c->ask.head_method);
}

static size_t at_hand(const struct dm_http_call *c)
{
    return c->ask.head.len + c->framing_len + c->ask.body.len;
}

static bool block_empty(const struct dm_http_block *b)
{
    return b == NULL || b->start == b->end;
}

static bool pending(const struct dm_http_call *c)
{
    return !c->send_stopped && (c->sent < at_hand(c) || !block_empty(c->out));
}

bool dm_http_sent_all(const struct dm_http_call *c)
{
    return c->sent == at_hand(c) && block_empty(c->out) && (!c->streams || c->end_queued);
}

/* Who is waited for decides which deadline runs: the socket (write), the upstream (read), the asker
 * (none of ours). */
void dm_http_call_wait(struct dm_http_call *c, bool progress)
{
    enum dm_http_end phase = DM_HTTP_COMPLETE;
    dm_time after = 0;
    if (pending(c)) {
        phase = DM_HTTP_WRITE_TIMEOUT;
        after = c->ask.timeouts.write;
    } else if (!c->paused && (c->info.got_head || c->send_stopped || dm_http_sent_all(c))) {
        phase = DM_HTTP_READ_TIMEOUT;
        after = c->ask.timeouts.read;
    }
    if (progress || phase != c->phase)
        dm_http_call_deadline(c, phase, after);
}

/* --- the block --- */

static size_t block_room(struct dm_http_call *c)
{
    if (c->out == NULL)
        c->out = dm_http_block_take(c->client);
    struct dm_http_block *b = c->out;
    if (b->start > 0) {
        memmove(b->bytes, b->bytes + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
    }
    return sizeof b->bytes - b->end;
}

static void block_add(struct dm_http_block *b, dm_view bytes)
{
    DM_ASSERT(bytes.len <= sizeof b->bytes - b->end);
    memcpy(b->bytes + b->end, bytes.ptr, bytes.len);
    b->end += bytes.len;
}

static size_t queue(struct dm_http_call *c, dm_view bytes)
{
    bool chunked = c->ask.body_length == DM_LENGTH_UNKNOWN;
    size_t room = block_room(c), reserve = chunked ? CHUNK_ROOM : 0;
    if (room <= reserve)
        return 0;
    dm_view part = dm_view_sub(bytes, 0, room - reserve);
    if (chunked) {
        char line[CHUNK_ROOM];
        int len = snprintf(line, sizeof line, "%zX\r\n", part.len);
        block_add(c->out, dm_view_make(line, (size_t)len));
    }
    block_add(c->out, part);
    if (chunked)
        block_add(c->out, DM_LIT("\r\n"));
    c->pushed += (int64_t)part.len;
    return part.len;
}

static bool is_trailer(const struct dm_field_line *line)
{
    return !(dm_header_flags_of(line->id, line->name) & DM_HF_HOP);
}

static size_t end_size(const struct dm_fields *trailers)
{
    size_t size = sizeof LAST_CHUNK + 2;
    for (size_t i = 0; trailers != NULL && i < trailers->count; i++)
        size += trailers->items[i].name.len + trailers->items[i].value.len + 4;
    return size;
}

/* The last chunk and the trailers, as soon as the block has room for them. */
static void queue_end(struct dm_http_call *c)
{
    const struct dm_fields *t = c->push_trailers;
    if (!c->push_ended || c->end_queued)
        return;
    if (c->ask.body_length == DM_LENGTH_UNKNOWN) {
        size_t room = block_room(c);
        if (end_size(t) > room) {
            /* never will have room: the listener takes no such trailers */
            if (room == sizeof c->out->bytes)
                c->send_failed = c->send_stopped = true;
            return;
        }
        block_add(c->out, DM_LIT(LAST_CHUNK));
        for (size_t i = 0; t != NULL && i < t->count; i++) {
            if (!is_trailer(&t->items[i]))
                continue;
            block_add(c->out, t->items[i].name);
            block_add(c->out, DM_LIT(": "));
            block_add(c->out, t->items[i].value);
            block_add(c->out, DM_LIT("\r\n"));
        }
        block_add(c->out, DM_LIT("\r\n"));
    }
    c->end_queued = true;
}

/* --- the socket --- */

static int gather(const struct dm_http_call *c, struct iovec iov[4])
{
    const dm_view parts[] = {c->ask.head, dm_view_make(c->framing, c->framing_len), c->ask.body};
    size_t skip = c->sent;
    int n = 0;
    for (size_t i = 0; i < DM_COUNT_OF(parts); i++) {
        if (skip >= parts[i].len) {
            skip -= parts[i].len;
            continue;
        }
        iov[n++] = (struct iovec){(char *)parts[i].ptr + skip, parts[i].len - skip};
        skip = 0;
    }
    if (!block_empty(c->out))
        iov[n++] = (struct iovec){c->out->bytes + c->out->start, c->out->end - c->out->start};
    return n;
}

static void advance(struct dm_http_call *c, size_t len)
{
    size_t left = at_hand(c) - c->sent;
    size_t here = len < left ? len : left;
    c->info.sent_any = true;
    c->sent += here;
    if (len == here)
        return;
    c->out->start += len - here;
    if (block_empty(c->out))
        c->out->start = c->out->end = 0;
}

void dm_http_send(struct dm_http_call *c)
{
    bool progress = false, failed_before = c->send_failed;
    queue_end(c);
    while (pending(c)) {
        struct iovec iov[4];
        size_t len;
        enum dm_code rc = dm_stream_write(&c->connection->stream, iov, gather(c, iov), &len);
        if (len > 0) {
            advance(c, len);
            progress = true;
            queue_end(c);
        } else if (rc == DM_AGAIN) {
            break;
        }
        if (rc != DM_OK && rc != DM_AGAIN)
            c->send_failed = c->send_stopped = true;
    }
    if (c->send_failed && !failed_before)
        dm_http_call_post(c); /* an early answer may be here already: the receiver looks */
    dm_http_call_wait(c, progress);
}

/* --- the asker's side --- */

size_t dm_http_push(struct dm_http_call *c, dm_view bytes)
{
    DM_REQUIRE(c->streams && !c->push_ended);
    DM_REQUIRE(c->ask.body_length < 0 || c->pushed + (int64_t)bytes.len <= c->ask.body_length);
    size_t taken = 0;
    while (c->state == DM_CALL_RUNNING && !c->send_stopped && taken < bytes.len) {
        size_t n = queue(c, dm_view_sub(bytes, taken, bytes.len));
        taken += n;
        if (taken == bytes.len)
            break;
        dm_http_send(c); /* full: what the socket takes makes room */
        if (n == 0 && !block_empty(c->out))
            break;
    }
    if (taken < bytes.len)
        c->want_room = true;
    if (taken > 0)
        dm_http_call_post(c);
    return taken;
}

void dm_http_push_end(struct dm_http_call *c, const struct dm_fields *trailers)
{
    DM_REQUIRE(c->streams && !c->push_ended);
    DM_REQUIRE(c->ask.body_length < 0 || c->pushed == c->ask.body_length);
    c->push_ended = true;
    c->push_trailers = trailers;
    dm_http_call_post(c);
}

void dm_http_offer_room(struct dm_http_call *c)
{
    for (int round = 0; round < ROOM_ROUNDS; round++) {
        if (!c->want_room || c->push_ended || c->send_stopped || !block_empty(c->out))
            return;
        c->want_room = false;
        c->handler->on_room(c, c->ctx);
        if (c->state != DM_CALL_RUNNING)
            return;
        dm_http_send(c);
    }
    if (c->want_room)
        dm_http_call_post(c);
}

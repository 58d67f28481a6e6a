#include "store/redis/redis_internal.h"

#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    READS_MAX = 16,       /* of one event: 1 MiB, then others have their turn */
    KEEP_OUT = 256 * 1024 /* an output buffer that grew past this is given back when empty */
};

/* --- out --- */

static char *room(struct dm_redis_conn *c, size_t len)
{
    size_t used = dm_buf_view(&c->out).len;
    if (c->out_at > 0 && (c->out_at == used || used + len > DM_REDIS_OUT_MAX)) {
        dm_buf_drop(&c->out, c->out_at);
        used -= c->out_at;
        c->out_at = 0;
    }
    if (len > DM_REDIS_OUT_MAX - used) /* asked before, or the buffer would be marked as failed */
        return NULL;
    struct dm_redis *r = c->redis;
    if (dm_list_empty(&c->dirty)) {
        dm_list_add_tail(&r->dirty, &c->dirty);
        dm_loop_post(r->loop, &r->wake);
    }
    return dm_buf_reserve(&c->out, len);
}

static void line_up(struct dm_redis_conn *c, struct dm_redis_command *m)
{
    m->conn = c;
    dm_list_add_tail(&c->line, &m->link);
    c->n_line++;
}

bool dm_redis_pipe_add(struct dm_redis_conn *c, struct dm_redis_command *m, const dm_view *argv,
                       size_t argc)
{
    size_t len = dm_redis_encoded_len(argv, argc);
    char *at = c->n_line < DM_REDIS_IN_FLIGHT_MAX ? room(c, len) : NULL;
    if (at == NULL)
        return false;
    (void)dm_redis_encode(at, argv, argc);
    dm_buf_commit(&c->out, len);
    line_up(c, m);
    return true;
}

bool dm_redis_pipe_add_kept(struct dm_redis_conn *c, struct dm_redis_command *m)
{
    char *at = c->n_line < DM_REDIS_IN_FLIGHT_MAX ? room(c, m->kept_len) : NULL;
    if (at == NULL)
        return false;
    memcpy(at, m->kept, m->kept_len);
    dm_buf_commit(&c->out, m->kept_len);
    line_up(c, m);
    return true;
}

bool dm_redis_pipe_raw(struct dm_redis_conn *c, const dm_view *argv, size_t argc)
{
    size_t len = dm_redis_encoded_len(argv, argc);
    char *at = room(c, len);
    if (at == NULL)
        return false;
    (void)dm_redis_encode(at, argv, argc);
    dm_buf_commit(&c->out, len);
    return true;
}

bool dm_redis_pipe_ask(struct dm_redis_conn *c, const dm_view *argv, size_t argc, dm_time deadline,
                       struct dm_redis_own *own, dm_redis_fn fn)
{
    struct dm_redis_command *m = dm_redis_command_new(c->redis, &own->ask, fn, deadline);
    m->own = true;
    own->conn = c;
    if (dm_redis_pipe_add(c, m, argv, argc))
        return true;
    m->ask = NULL;
    own->ask.pending = false;
    own->ask.state_ = NULL;
    dm_redis_command_free(m);
    return false;
}

void dm_redis_pipe_forget(struct dm_redis_conn *c)
{
    dm_view all = dm_buf_view(&c->out);
    if (c->state == DM_REDIS_GREETING && all.len > 0)
        dm_mem_wipe((char *)all.ptr, all.len); /* the password is in it */
    if (all.len > KEEP_OUT)
        dm_buf_done(&c->out);
    dm_buf_clear(&c->out);
    c->out_at = 0;
}

void dm_redis_pipe_flush(struct dm_redis_conn *c)
{
    dm_list_remove(&c->dirty);
    if (c->state < DM_REDIS_GREETING)
        return;
    for (;;) {
        dm_view out = dm_buf_view(&c->out);
        size_t sent = 0;
        if (c->out_at == out.len)
            break;
        struct iovec part = {(char *)out.ptr + c->out_at, out.len - c->out_at};
        enum dm_code rc = dm_stream_write(&c->stream, &part, 1, &sent);
        c->out_at += sent;
        if (rc == DM_OK)
            continue;
        if (rc != DM_AGAIN)
            dm_redis_conn_fail(c, "the connection was lost while sending");
        return; /* an event says when it takes more */
    }
    dm_redis_pipe_forget(c);
}

/* Everything that was asked for in this turn, in one write per connection. */
void dm_redis_pipe_end(void *redis)
{
    struct dm_redis *r = redis;
    dm_loop_unpost(&r->wake);
    for (struct dm_link *l; (l = dm_list_pop(&r->dirty)) != NULL;)
        dm_redis_pipe_flush(DM_CONTAINER_OF(l, struct dm_redis_conn, dirty));
}

/* --- in --- */

static void take_reply(struct dm_redis_conn *c, const struct dm_redis_reply *reply)
{
    if (c->kind->on_push != NULL && c->kind->on_push(c, reply))
        return;
    if (dm_list_empty(&c->line)) {
        /* Redis says why it closes a connection it never served: too many clients. */
        dm_view said = dm_redis_type(reply) == DM_REDIS_ERROR ? dm_redis_text(reply) : DM_VIEW_NONE;
        if (said.len > 0)
            dm_redis_log_error(c->redis, &c->address, said);
        dm_redis_conn_fail(c, "a reply to nothing");
        return;
    }
    struct dm_redis_command *m = DM_CONTAINER_OF(c->line.next, struct dm_redis_command, link);
    dm_list_remove(&m->link);
    c->n_line--;
    dm_redis_replied(m, reply);
}

/* False: the connection that this began with is gone. */
static bool take_bytes(struct dm_redis_conn *c, dm_view bytes)
{
    unsigned epoch = c->epoch;
    enum dm_code rc = dm_redis_reader_feed(c->reader, bytes);
    while (rc == DM_OK) {
        const struct dm_redis_reply *reply;
        rc = dm_redis_reader_next(c->reader, &reply);
        if (rc == DM_OK)
            take_reply(c, reply);
        if (c->epoch != epoch)
            return false;
    }
    if (rc == DM_AGAIN)
        return true;
    dm_redis_conn_fail(c, rc == DM_LIMIT ? "a reply too long" : "what came is no reply");
    return false;
}

static void read_some(struct dm_redis_conn *c)
{
    char *scratch = dm_loop_scratch(c->redis->loop);
    for (int i = 0; i < READS_MAX; i++) {
        size_t len;
        enum dm_code rc = dm_stream_read(&c->stream, scratch, DM_LOOP_SCRATCH, &len);
        if (rc == DM_AGAIN)
            return;
        if (rc != DM_OK) {
            dm_redis_conn_fail(c, rc == DM_EOF ? "Redis closed the connection"
                                               : "the connection was reset");
            return;
        }
        c->heard = dm_loop_now(c->redis->loop);
        c->doubted = false;
        if (!take_bytes(c, dm_view_make(scratch, len)))
            return;
    }
    dm_loop_post(c->redis->loop, &c->more);
}

void dm_redis_pipe_read(struct dm_redis_conn *c)
{
    c->reading = true; /* a callback may close this connection: its reader must outlive that */
    read_some(c);
    c->reading = false;
    if (c->state < DM_REDIS_GREETING) {
        dm_redis_reader_free(c->reader);
        c->reader = NULL;
    }
}

void dm_redis_pipe_event(struct dm_io *io, uint32_t events)
{
    struct dm_redis_conn *c =
        DM_CONTAINER_OF(DM_CONTAINER_OF(io, struct dm_stream, io), struct dm_redis_conn, stream);
    dm_stream_note(&c->stream, events);
    if (c->state == DM_REDIS_DIALING) {
        dm_redis_dial_event(c);
        return;
    }
    if (c->state == DM_REDIS_SECURING)
        dm_redis_dial_secure(c); /* a first reply may have come right behind it */
    /* what the socket did not take; what is new goes out at the end of the turn */
    if (dm_list_empty(&c->dirty) && c->out_at < dm_buf_view(&c->out).len && c->stream.writable_)
        dm_redis_pipe_flush(c);
    if (c->state >= DM_REDIS_GREETING)
        dm_redis_pipe_read(c);
}

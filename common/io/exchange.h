/* One request and its answer, whatever carries it (HTTP/1.1 here; HTTP/2 streams, upgrades later):
 * the seam between a connection and whoever serves. The carrier pushes events to the server's
 * handler; the server pulls the body and pushes the answer. Bounded both ways. Loop thread only.
 *
 * Life: on_head once -> on_body when body bytes or its end can be pulled -> on_room when an earlier
 * push was cut short and there is room again -> exactly one on_gone (peer gone, deadline, drain
 * cut: the exchange is dead, its memory valid until on_gone returns) or on_done (last byte handed
 * to the socket, or buffered by the carrier). After either, the server must not touch the exchange.
 *
 * No callback ever runs inside a dm_exchange_* call: what a call brings about (on_done after
 * finish, on_gone after a failed send) is told later in the same turn. So any of them may be called
 * inside any callback, and the exchange stays valid until on_done or on_gone was told, or, after
 * abort, until the callback or task that called it returns. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "io/headers.h"
#include "io/loop.h"
#include "model/address.h"
#include "model/settings.h"

struct dm_exchange;
struct dm_carrier;
struct dm_compress;

enum dm_gone { DM_GONE_PEER = 0, DM_GONE_DEADLINE, DM_GONE_DRAIN, DM_GONE_PROTOCOL };

struct dm_exchange_handler {
    void (*on_head)(void *app, struct dm_exchange *x); /* may answer at once; sets x->server */
    void (*on_body)(struct dm_exchange *x);
    void (*on_room)(struct dm_exchange *x);
    void (*on_gone)(struct dm_exchange *x, enum dm_gone why);
    void (*on_done)(struct dm_exchange *x);
};

/* For servers that answer inside on_head and have nothing more to hear. */
void dm_exchange_ignore(struct dm_exchange *x);
void dm_exchange_ignore_gone(struct dm_exchange *x, enum dm_gone why);

struct dm_request_head {
    dm_view method, target; /* as received */
    struct dm_fields fields;
    dm_view host; /* the one Host (or authority of an absolute-form target) */
    int minor;    /* HTTP/1.minor */
    bool has_length, chunked;
    uint64_t length; /* has_length */
    bool expect_continue, upgrade;
};

struct dm_exchange {
    struct dm_request_head head; /* never changes after on_head */
    struct dm_arena *arena;      /* this request's; reset after on_done / on_gone */
    struct dm_loop *loop;
    const struct dm_settings *settings; /* pinned for the exchange */
    struct dm_address peer;
    dm_view request_id; /* accepted or made by the carrier (operations.md §8.7), in arena */
    dm_time started;    /* first byte of the head */
    uint64_t bytes_in, bytes_out; /* header and body bytes read and written so far */
    int status;                   /* of the answer, 0 before */
    bool scheme_https;
    const struct dm_exchange_handler *handler;
    void *server; /* the handler's own */
    const struct dm_carrier *carrier_;
    struct dm_compress *compress_; /* of an answer sent with gzip; NULL */
};

/* --- request body --- */
/* What is there now: borrowed until consume or return to the loop. DM_OK with bytes; DM_AGAIN:
 * on_body will come (it comes only after a DM_AGAIN: pull first); DM_EOF: complete; DM_LIMIT: past
 * the limit. The first pull sends "100 Continue" where it was asked for. */
enum dm_code dm_exchange_pull(struct dm_exchange *x, dm_view *ret_bytes) DM_MUST_USE;
void dm_exchange_consume(struct dm_exchange *x, size_t len);
/* Bytes allowed in all (a limit per route, MAX_BODY_SIZE_BYTES until set); past them pull gives
 * DM_LIMIT, for a known length at once and without "100 Continue". Set before the first pull. */
void dm_exchange_limit_body(struct dm_exchange *x, uint64_t max);
const struct dm_fields *dm_exchange_trailers(struct dm_exchange *x); /* after DM_EOF */

/* --- answer --- */
enum { DM_LENGTH_UNKNOWN = -1 }; /* chunked for HTTP/1.1, until close for 1.0 */
struct dm_answer {
    int status;
    const struct dm_fields *fields; /* written as given; framing, Date, request id and absent
                                       security headers are added by the carrier */
    int64_t length; /* body bytes, or DM_LENGTH_UNKNOWN; ignored for 1xx, 204, 304 */
    bool close;     /* end the connection afterwards */
    bool no_request_id;
};
/* Once. Bytes leave with the first push or at the end of the turn, in one send where possible. */
void dm_exchange_answer(struct dm_exchange *x, const struct dm_answer *a);
void dm_exchange_inform(struct dm_exchange *x, int status,
                        const struct dm_fields *fields); /* other 1xx */
/* Takes as much as the socket and the bounded buffer behind it allow: less than asked means on_room
 * will come. Bytes past the announced length are dropped, a finish before it cuts the connection.
 * For HEAD, 204 and 304 bytes are counted and dropped. */
enum { DM_EXCHANGE_BUFFER = 64 * 1024 };
size_t dm_exchange_push(struct dm_exchange *x, dm_view bytes);
void dm_exchange_trailer(struct dm_exchange *x, dm_view name,
                         dm_view value); /* chunked only, before finish */
void dm_exchange_finish(
    struct dm_exchange *x); /* the answer is complete: on_done follows, maybe at once */
/* Cuts the connection so that the cut is visible (no last chunk, RST where possible). on_gone is
 * not called. */
void dm_exchange_abort(struct dm_exchange *x);
/* answer + push + finish in one. */
void dm_exchange_reply(struct dm_exchange *x, const struct dm_answer *a, dm_view body);
/* JSON refusal with the members of R6: {"error_code","error_message"}, X-Doorman-Reason when given.
 * The limit of the body fills the sentence of ERR_BODY_TOO_LARGE. */
void dm_exchange_refuse(struct dm_exchange *x, enum dm_err err, dm_view reason);
bool dm_exchange_answered(const struct dm_exchange *x);
bool dm_exchange_draining(
    const struct dm_exchange *x); /* the connection will close after this answer */

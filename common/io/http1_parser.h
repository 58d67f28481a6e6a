/* llhttp for requests, strict, behind a face of our own: pieces of a head in, views out; pieces of
 * a chunked body in, spans out. It never copies: views point into the bytes it was given, which the
 * caller keeps contiguous over the pieces of one head (http1_parser_move when they move). What it
 * lets through is the guard's to judge. Pure, except for the arena. */
#pragma once

#include "base/arena.h"
#include "io/headers.h"

enum http1_parsed {
    HTTP1_MORE = 0,      /* all bytes used, nothing complete yet */
    HTTP1_HEAD,          /* the head is complete */
    HTTP1_SPAN,          /* body bytes */
    HTTP1_END,           /* the chunked body and its trailers are complete */
    HTTP1_BAD,           /* not HTTP/1 */
    HTTP1_BAD_EXTENSION, /* chunk extensions: nobody uses them but smugglers */
    HTTP1_TOO_MANY,      /* fields */
    HTTP1_TOO_LARGE,     /* trailers */
    HTTP1_NO_MEMORY
};

enum {
    HTTP1_TRAILER_BYTES = 4096
}; /* names and values of all trailers: checksums and statuses, not pages */

struct http1_parser {
    _Alignas(8) char llhttp_[96];
    struct dm_arena *arena_;
    struct dm_fields *fields_; /* where fields go: the head's, later the trailers' */
    size_t max_fields_;
    dm_view method, target, span;
    char *trailer_bytes_;
    size_t trailer_used_;
    enum http1_parsed fault_; /* why a callback stopped */
    bool in_field_, in_value_, in_body_;
};

void http1_parser_init(struct http1_parser *p, struct dm_arena *a, struct dm_fields *head,
                       size_t max_fields);
/* MORE, HEAD or a fault. The next piece must lie directly behind this one. */
enum http1_parsed http1_parse_head(struct http1_parser *p, dm_view bytes, size_t *ret_used);
/* The pieces seen so far lie at `now` instead of `before` (both still readable). */
void http1_parser_move(struct http1_parser *p, const char *before, const char *now);
/* After HEAD of a chunked request: SPAN (p->span, inside bytes, directly before the unused ones),
 * END, MORE or a fault. */
enum http1_parsed http1_parse_body(struct http1_parser *p, dm_view bytes,
                                   struct dm_fields *trailers, size_t *ret_used);

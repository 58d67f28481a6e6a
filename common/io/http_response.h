/* One HTTP/1.x answer, read from bytes however they are cut: llhttp with leniency off, plus the
 * checks it leaves to others (docs/upstream.md). Pulled, not called back: the reader decides when
 * to go on, so a pause is simply not asking. Memory is kept from one answer to the next: the steady
 * state allocates nothing. For io/http_*.c and the fuzz target. One thread. */
#pragma once

#include "io/http_client.h"

struct dm_http_response;

enum dm_answer_event {
    DM_ANSWER_MORE = 0, /* all bytes used up, no end yet */
    DM_ANSWER_INFORM,   /* a 1xx other than 100: its status and fields until the next call */
    DM_ANSWER_HEAD,     /* final head: dm_http_response_head, valid until begin */
    DM_ANSWER_BODY,     /* *ret_body: a piece of *bytes, already cut off it */
    DM_ANSWER_DONE,     /* complete; what is left of *bytes does not belong to it */
    DM_ANSWER_BAD       /* no answer of HTTP/1: dm_http_response_why. Final */
};

enum {
    DM_ANSWER_FIELDS_MAX = 256, /* of a head or a trailer; real ones have a tenth */
    DM_ANSWER_INTERIM_MAX = 16  /* 1xx before one answer: more is an endless head in disguise */
};

struct dm_http_response *dm_http_response_new(size_t max_head);
void dm_http_response_free(struct dm_http_response *r);
void dm_http_response_begin(struct dm_http_response *r, bool head_method);
/* Cuts what it used off the front of *bytes. Call again until MORE, DONE or BAD. */
enum dm_answer_event dm_http_response_next(struct dm_http_response *r, dm_view *bytes,
                                           dm_view *ret_body) DM_MUST_USE;
/* The peer will send no more: true when that is how this answer ends, false when it was cut. */
bool dm_http_response_end(struct dm_http_response *r);

const struct dm_http_answer_head *dm_http_response_head(const struct dm_http_response *r);
/* After DONE. */
const struct dm_fields *dm_http_response_trailers(const struct dm_http_response *r);
bool dm_http_response_started(const struct dm_http_response *r); /* any byte was read */
/* The peer wants to. After HEAD. */
bool dm_http_response_keep_alive(const struct dm_http_response *r);
const char *dm_http_response_why(const struct dm_http_response *r); /* static text, for logs */

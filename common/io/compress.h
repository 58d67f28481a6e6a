/* Gzip of answers (gateway.md §2.3), between exchange.c and the carrier: which answers, their
 * fields, and the bytes. For exchange.c only. Loop thread. */
#pragma once

#include "io/exchange.h"

/* Whether this answer is sent compressed; then *a is changed to what is sent (fields in the arena,
 * length unknown) and x->compress_ set. */
void dm_compress_begin(struct dm_exchange *x, struct dm_answer *a);
/* The same for a body that is whole: out gets it compressed, *a its fields and new length. False:
 * it is sent as it is. */
bool dm_compress_whole(struct dm_exchange *x, struct dm_answer *a, dm_view body,
                       struct dm_buf *out);
size_t dm_compress_push(struct dm_exchange *x, dm_view bytes);
void dm_compress_finish(struct dm_exchange *x);
/* The carrier has room again; true: the server is to hear of it. */
bool dm_compress_room(struct dm_exchange *x);

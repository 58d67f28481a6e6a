/* A bounded line of records that wait for whoever takes them: of a Redis handle, and of the memory
 * backend as a whole. For the backends of live state. One thread, or under the owner's lock. */
#pragma once

#include "base/list.h"
#include "store/live_stream.h"

struct dm_outbox_entry {
    struct dm_link link;
    size_t id_len, len;
    char bytes[]; /* id, then record */
};
struct dm_outbox {
    struct dm_link entries;
    size_t n, bytes, max;
    bool oldest_goes; /* at the limit; else the new one is refused */
};
void dm_outbox_init(struct dm_outbox *o, size_t max_bytes, bool oldest_goes);
size_t dm_outbox_put(struct dm_outbox *o, dm_view id, dm_view record); /* how many were lost */
struct dm_outbox_entry *dm_outbox_take(struct dm_outbox *o);           /* the oldest, or NULL */
/* Comes back as the oldest: it was taken and not delivered. Never refused. */
void dm_outbox_put_back(struct dm_outbox *o, struct dm_outbox_entry *e);
void dm_outbox_done(struct dm_outbox *o);
static inline dm_view dm_outbox_id(const struct dm_outbox_entry *e)
{
    return dm_view_make(e->bytes, e->id_len);
}
static inline dm_view dm_outbox_record(const struct dm_outbox_entry *e)
{
    return dm_view_make(e->bytes + e->id_len, e->len - e->id_len);
}

/* For the backends' take: appends a copy; false: the batch is full. */
bool dm_live_batch_add(struct dm_live_batch *b, dm_view place, dm_view id, dm_view record);

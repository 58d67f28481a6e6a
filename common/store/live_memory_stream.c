#include "store/live_memory.h"

#include "base/assert.h"

#include "base/poison.h"

/* Records between the data plane and the admin part of one process. Any thread: the line is under
 * a lock that is held for moments. Taken records stay in it until they are done. */

enum { BOX_MAX = 4 * 1024 * 1024 }; /* each stream: the admin part takes several times a second */

void live_streams_init(struct dm_live_memory *m)
{
    DM_REQUIRE(pthread_mutex_init(&m->box_lock, NULL) == 0);
    for (int s = 0; s < DM_STREAMS; s++)
        dm_outbox_init(&m->boxes[s], BOX_MAX, s == DM_STREAM_METRICS);
}

void live_streams_done(struct dm_live_memory *m)
{
    for (int s = 0; s < DM_STREAMS; s++)
        dm_outbox_done(&m->boxes[s]);
    (void)pthread_mutex_destroy(&m->box_lock);
}

size_t live_memory_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record)
{
    struct dm_live_memory *m = DM_CONTAINER_OF(l, struct live_handle, base)->memory;
    size_t lost;

    (void)pthread_mutex_lock(&m->box_lock);
    lost = dm_outbox_put(&m->boxes[s], id, record);
    (void)pthread_mutex_unlock(&m->box_lock);
    return lost;
}

size_t live_memory_emit_pending(const struct dm_live *l, enum dm_stream s)
{
    (void)l;
    (void)s;
    return 0; /* the store has it at once */
}

enum dm_code live_memory_take(struct dm_live_memory *m, enum dm_stream s, struct dm_live_batch *b)
{
    (void)pthread_mutex_lock(&m->box_lock);
    DM_LIST_EACH_SAFE(&m->boxes[s].entries, l, tmp)
    {
        const struct dm_outbox_entry *e = DM_CONTAINER_OF(l, struct dm_outbox_entry, link);
        if (!dm_live_batch_add(b, DM_VIEW_NONE, dm_outbox_id(e), dm_outbox_record(e)))
            break;
    }
    (void)pthread_mutex_unlock(&m->box_lock);
    return DM_OK;
}

/* Meanwhile the oldest may have given way to new ones: only what still stands in front goes. */
enum dm_code live_memory_done(struct dm_live_memory *m, enum dm_stream s,
                              const struct dm_live_batch *b)
{
    (void)pthread_mutex_lock(&m->box_lock);
    for (size_t i = 0; i < b->n && m->boxes[s].n > 0; i++) {
        const struct dm_outbox_entry *e =
            DM_CONTAINER_OF(m->boxes[s].entries.next, struct dm_outbox_entry, link);
        if (dm_view_eq(dm_outbox_id(e), b->entries[i].id))
            dm_mem_free(dm_outbox_take(&m->boxes[s]));
    }
    (void)pthread_mutex_unlock(&m->box_lock);
    return DM_OK;
}

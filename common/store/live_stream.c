#include "store/live_stream.h"

#include <string.h>

#include "base/assert.h"
#include "store/live_backend.h"
#include "store/live_outbox.h"

#include "base/poison.h"

dm_view dm_stream_name(enum dm_stream s)
{
    return s == DM_STREAM_METRICS ? DM_LIT("metrics") : DM_LIT("audit");
}

dm_view dm_stream_key(enum dm_stream s)
{
    return s == DM_STREAM_METRICS ? DM_LIT("doorman:metrics:records") : DM_LIT("doorman:audit");
}

size_t dm_live_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record)
{
    DM_REQUIRE(s < DM_STREAMS && id.len > 0 && id.len <= DM_STREAM_ID_MAX);
    if (record.len > DM_STREAM_RECORD_MAX)
        return 1;
    return l->ops->emit(l, s, id, record);
}

size_t dm_live_emit_pending(const struct dm_live *l, enum dm_stream s)
{
    return l->ops->emit_pending(l, s);
}

bool dm_live_emit_behind(const struct dm_live *l, enum dm_stream s)
{
    return l->ops->emit_behind != NULL && l->ops->emit_behind(l, s);
}

size_t dm_live_flush(struct dm_live *l)
{
    return l->ops->flush == NULL ? 0 : l->ops->flush(l);
}

enum dm_code dm_live_take(struct dm_live_admin *a, enum dm_stream s, struct dm_live_batch **ret,
                          struct dm_error *err)
{
    struct dm_live_batch *b = DM_NEW(struct dm_live_batch);
    enum dm_code rc = a->ops->take(a, s, b, err);

    *ret = NULL;
    if (rc == DM_OK && b->n > 0)
        *ret = b;
    else
        dm_live_batch_free(b);
    return rc;
}

enum dm_code dm_live_done(struct dm_live_admin *a, enum dm_stream s, const struct dm_live_batch *b,
                          struct dm_error *err)
{
    return a->ops->done(a, s, b, err);
}

void dm_live_batch_free(struct dm_live_batch *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->n; i++)
        dm_mem_free(b->bytes_[i]);
    dm_mem_free(b);
}

static dm_view put(char **at, dm_view v)
{
    char *begin = *at;

    if (v.len > 0)
        memcpy(begin, v.ptr, v.len);
    *at += v.len;
    return dm_view_make(begin, v.len);
}

bool dm_live_batch_add(struct dm_live_batch *b, dm_view place, dm_view id, dm_view record)
{
    char *at;

    if (b->n == DM_STREAM_TAKE_MAX)
        return false;
    at = b->bytes_[b->n] = dm_mem_alloc(place.len + id.len + record.len + 1);
    b->entries[b->n].place = put(&at, place);
    b->entries[b->n].id = put(&at, id);
    b->entries[b->n++].record = put(&at, record);
    return true;
}

/* --- outbox --- */

void dm_outbox_init(struct dm_outbox *o, size_t max_bytes, bool oldest_goes)
{
    *o = (struct dm_outbox){.max = max_bytes, .oldest_goes = oldest_goes};
    dm_list_init(&o->entries);
}

static size_t size_of(const struct dm_outbox_entry *e)
{
    return sizeof *e + e->len;
}

struct dm_outbox_entry *dm_outbox_take(struct dm_outbox *o)
{
    struct dm_link *l = dm_list_pop(&o->entries);
    struct dm_outbox_entry *e;

    if (l == NULL)
        return NULL;
    e = DM_CONTAINER_OF(l, struct dm_outbox_entry, link);
    o->n--;
    o->bytes -= size_of(e);
    return e;
}

size_t dm_outbox_put(struct dm_outbox *o, dm_view id, dm_view record)
{
    const size_t size = sizeof(struct dm_outbox_entry) + id.len + record.len;
    struct dm_outbox_entry *e;
    char *at;
    size_t lost = 0;

    if (size > o->max || (!o->oldest_goes && size > o->max - o->bytes))
        return 1;
    for (; size > o->max - o->bytes; lost++)
        dm_mem_free(dm_outbox_take(o));
    e = dm_mem_alloc(size);
    e->id_len = id.len;
    e->len = id.len + record.len;
    at = e->bytes;
    (void)put(&at, id);
    (void)put(&at, record);
    dm_list_add_tail(&o->entries, &e->link);
    o->n++;
    o->bytes += size;
    return lost;
}

void dm_outbox_put_back(struct dm_outbox *o, struct dm_outbox_entry *e)
{
    dm_list_add_head(&o->entries, &e->link);
    o->n++;
    o->bytes += size_of(e);
}

void dm_outbox_done(struct dm_outbox *o)
{
    for (struct dm_outbox_entry *e; (e = dm_outbox_take(o)) != NULL;)
        dm_mem_free(e);
}

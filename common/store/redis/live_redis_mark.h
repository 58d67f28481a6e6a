/* Marks of slots, Cluster only: each slot holds one key that stands there while nothing of the slot
 * was lost since an admin wrote everything (scripts/mark.lua), so that "not there" can be told from
 * "lost" in the very command that asks. Names only; any thread. For live_redis*.c. */
#pragma once

#include "base/view.h"

struct live_mark {
    uint8_t len;
    char bytes[32];
};
void live_mark_of(struct live_mark *m, dm_view key); /* of the slot in which key lies */
void live_mark_of_slot(struct live_mark *m, unsigned slot);
static inline dm_view live_mark_view(const struct live_mark *m)
{
    return dm_view_make(m->bytes, m->len);
}

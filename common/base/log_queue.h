/* The queue between all threads that log and the writer: two buffers, one being filled, one being
 * written out; the writer swaps them. A push is one short lock and one copy. For log*.c only. */
#pragma once

#include "base/log_record.h"

struct dm_log_batch {
    const char *records; /* packed, one after the other; the writer's until the next swap */
    size_t len;
    bool stopping;
    uint64_t flush_asked;
};

void dm_log_queue_open(void);
void dm_log_queue_stop(void);  /* takes nothing more; the writer is told after the last line */
void dm_log_queue_close(void); /* after the writer ended */
/* False when the queue takes nothing (any more). A line without room is dropped and counted. */
bool dm_log_queue_push(const struct dm_log_event *e);
/* Waits for lines (at most `patience`, DM_NEVER: as long as it takes), then takes all there are. */
void dm_log_queue_swap(dm_time patience, struct dm_log_batch *ret);
void dm_log_queue_wake(void); /* ends the wait of swap now */
void dm_log_queue_flush(dm_time patience);       /* waits for the writer to have done all so far */
void dm_log_queue_flushed(uint64_t flush_asked); /* the writer has */
void dm_log_count_dropped(uint64_t lines);

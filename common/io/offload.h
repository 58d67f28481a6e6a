/* Blocking work off the loops: a small fixed pool of threads, a bounded queue, the result posted
 * back to the asking loop. Files, password hashing, MongoDB. */
#pragma once

#include "io/mailbox.h"

struct dm_offload;
struct dm_job { /* embedded; owned by the asker until on_done ran */
    struct dm_job *next_;
    struct dm_letter letter_;
    struct dm_mailbox *reply_;         /* the asking loop's; NULL: nobody is told */
    void (*work)(struct dm_job *j);    /* on a pool thread */
    void (*on_done)(struct dm_job *j); /* on the asking loop */
};

struct dm_offload *dm_offload_new(size_t threads, size_t queue);
void dm_offload_free(struct dm_offload *o); /* finishes what is queued */
enum dm_code dm_offload_ask(struct dm_offload *o, struct dm_job *j,
                            struct dm_mailbox *reply) DM_MUST_USE;

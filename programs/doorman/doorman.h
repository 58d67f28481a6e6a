/* doorman, role `all`: data plane and admin part in one process, in memory. */
#pragma once

#include "programs/admin/part.h"
#include "programs/gateway/part.h"
#include "store/dump.h"

struct doorman {
    struct process process; /* first: programs are handed it */
    struct gateway_part gateway;
    struct admin_part admin;
    /* stores: this is the one place that chooses their backends */
    struct dm_live_memory *live_memory;
    struct dm_live_admin *live_admin;
    struct dm_documents *documents;
    char *dump_path; /* NUL-ended copy of the setting */
};

static inline struct doorman *doorman_of(struct process *p)
{
    return DM_CONTAINER_OF(p, struct doorman, process);
}

/* dump_job.c */
bool doorman_restore(struct doorman *d); /* false: a sentence was logged, exit 78 */
void doorman_dump(struct process *p);    /* blocking; logs what happened */

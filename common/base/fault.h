/* Fault injection by count, for tests only: the n-th call at a named point fails (or ends the
 * process). Set by DOORMAN_FAULT="alloc:12,io_write:3,store_write_exit:5" in builds with
 * DOORMAN_FAULTS (every preset but release, where dm_fault is a constant false). Thread-safe
 * (atomic counters). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum dm_fault_point {
    DM_FAULT_NONE = 0,
    DM_FAULT_ALLOC,            /* dm_mem_try, arena chunks */
    DM_FAULT_IO_READ,          /* stream reads fail with ECONNRESET */
    DM_FAULT_IO_WRITE,         /* stream writes fail with EPIPE */
    DM_FAULT_IO_SHORT,         /* stream writes take one byte */
    DM_FAULT_FILE_WRITE,       /* dump and snapshot files fail with ENOSPC */
    /* asked after a store write: the n-th call ends the process, _exit(137) */
    DM_FAULT_STORE_WRITE_EXIT,
    DM_FAULT_COUNT_
};

#ifdef DOORMAN_FAULTS
bool dm_fault(enum dm_fault_point point);                   /* true when this call must fail */
void dm_fault_set(enum dm_fault_point point, uint64_t nth); /* 0 disarms; counts from now */
void dm_fault_from_env(void);                               /* reads DOORMAN_FAULT once, at start */
#else
static inline bool dm_fault(enum dm_fault_point point)
{
    (void)point;
    return false;
}
static inline void dm_fault_from_env(void)
{
}
#endif

#include "base/fault.h"

#ifdef DOORMAN_FAULTS

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/view.h"

#include "base/poison.h"

/* What a shell reports for a process ended by SIGKILL: the test expects a crash, not an exit. */
enum { EXIT_AS_KILLED = 137 };

static const char *const names[DM_FAULT_COUNT_] = {
    [DM_FAULT_NONE] = "",
    [DM_FAULT_ALLOC] = "alloc",
    [DM_FAULT_IO_READ] = "io_read",
    [DM_FAULT_IO_WRITE] = "io_write",
    [DM_FAULT_IO_SHORT] = "io_short",
    [DM_FAULT_FILE_WRITE] = "file_write",
    [DM_FAULT_STORE_WRITE_EXIT] = "store_write_exit",
};

static _Atomic uint64_t calls_left[DM_FAULT_COUNT_]; /* 0: disarmed */

bool dm_fault(enum dm_fault_point point)
{
    uint64_t left = atomic_load_explicit(&calls_left[point], memory_order_relaxed);
    while (left != 0) {
        if (!atomic_compare_exchange_weak(&calls_left[point], &left, left - 1))
            continue;
        if (left != 1)
            return false;
        if (point == DM_FAULT_STORE_WRITE_EXIT)
            _exit(EXIT_AS_KILLED);
        return true;
    }
    return false;
}

void dm_fault_set(enum dm_fault_point point, uint64_t nth)
{
    DM_REQUIRE(point > DM_FAULT_NONE && point < DM_FAULT_COUNT_);
    atomic_store(&calls_left[point], nth);
}

static bool set_one(dm_view word)
{
    size_t colon = dm_view_find_byte(word, ':', 0);
    uint64_t nth;
    if (!dm_parse_u64(dm_view_sub(word, colon + 1, word.len), UINT64_MAX, &nth))
        return false;
    for (int point = DM_FAULT_NONE + 1; point < DM_FAULT_COUNT_; point++) {
        if (dm_view_eq(dm_view_sub(word, 0, colon), dm_view_of(names[point]))) {
            dm_fault_set((enum dm_fault_point)point, nth);
            return true;
        }
    }
    return false;
}

void dm_fault_from_env(void)
{
    dm_view rest = dm_view_of(getenv("DOORMAN_FAULT"));
    dm_view word;
    while (dm_view_split(&rest, ',', &word)) {
        if (set_one(word))
            continue;
        /* a test that misspells its fault would otherwise pass without one */
        (void)dprintf(2, "doorman: DOORMAN_FAULT holds \"%.*s\", expected <point>:<count>\n",
                      DM_FMT(word));
        abort();
    }
}

#endif

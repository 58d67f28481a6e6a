/* The only door to the heap. When the process has no memory we abort: restarts are cheap,
 * half-states are not; so these never give NULL, except where dm_fault injects it (tests) for the
 * _try forms. Any thread. Counts every allocation (dm_mem_count), so a test can prove that a steady
 * request makes none. */
#pragma once

#include "base/view.h"

void *dm_mem_alloc(size_t size);                    /* zeroed */
void *dm_mem_array(size_t count, size_t size);      /* zeroed, overflow checked */
void *dm_mem_grow(void *ptr, size_t count, size_t size); /* realloc of an array, overflow checked */
void *dm_mem_try(size_t size);                      /* NULL when an injected fault says so */
char *dm_mem_text(dm_view v);                       /* NUL-ended copy */
void dm_mem_free(void *ptr);                        /* NULL is fine */
void dm_mem_freep(void *ptr_to_ptr);                /* frees and sets NULL; for DM_DEFER */
void dm_mem_wipe(void *ptr, size_t len);            /* not optimised away */
/* Gives freed pages back to the system: after a start that read much and keeps little. */
void dm_mem_trim(void);
/* allocations by our code so far, all threads */
uint64_t dm_mem_count(void);

#define DM_NEW(type) ((type *)dm_mem_alloc(sizeof(type)))
#define DM_DEFER(fn) __attribute__((cleanup(fn)))
#define DM_TAKE(ptr) ({ __typeof__(ptr) dm_taken_ = (ptr); (ptr) = NULL; dm_taken_; })
#define DM_MUST_USE __attribute__((warn_unused_result))
#define DM_COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define DM_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

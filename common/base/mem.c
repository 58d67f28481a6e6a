#include "base/mem.h"

#include <stdatomic.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"

#define DM_POISON_NOT_HEAP
#include "base/poison.h"

/* One shared counter is enough: the steady state of a request does not come here at all. */
static _Atomic uint64_t allocations;

static void *count(void *ptr)
{
    if (ptr == NULL)
        dm_assert_fail("memory", "the process has no memory left", __FILE__, __LINE__);
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return ptr;
}

void *dm_mem_alloc(size_t size)
{
    return count(calloc(1, size == 0 ? 1 : size));
}

void *dm_mem_array(size_t n, size_t size)
{
    return n == 0 || size == 0 ? dm_mem_alloc(1) : count(calloc(n, size));
}

void *dm_mem_grow(void *ptr, size_t n, size_t size)
{
    size_t total;
    DM_REQUIRE(!__builtin_mul_overflow(n, size, &total));
    return count(realloc(ptr, total == 0 ? 1 : total));
}

void *dm_mem_try(size_t size)
{
    return dm_fault(DM_FAULT_ALLOC) ? NULL : dm_mem_alloc(size);
}

char *dm_mem_text(dm_view v)
{
    DM_REQUIRE(v.len < SIZE_MAX);
    char *text = count(malloc(v.len + 1));
    if (v.len > 0)
        memcpy(text, v.ptr, v.len);
    text[v.len] = '\0';
    return text;
}

void dm_mem_free(void *ptr)
{
    free(ptr);
}

void dm_mem_freep(void *ptr_to_ptr)
{
    void *ptr;
    memcpy(&ptr, ptr_to_ptr, sizeof ptr);
    free(ptr);
    memset(ptr_to_ptr, 0, sizeof ptr);
}

void dm_mem_wipe(void *ptr, size_t len)
{
    if (len > 0)
        explicit_bzero(ptr, len);
}

uint64_t dm_mem_count(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

void dm_mem_trim(void)
{
    malloc_trim(0);
}

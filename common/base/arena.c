#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

/* Under ASan everything not handed out is poisoned, with a gap behind each block, so a use after
 * reset or one byte too far is reported as it would be for heap memory. */
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
enum { GAP = 16 };
#define POISON(ptr, len) ASAN_POISON_MEMORY_REGION((ptr), (len))
#define UNPOISON(ptr, len) ASAN_UNPOISON_MEMORY_REGION((ptr), (len))
#else
enum { GAP = 0 };
#define POISON(ptr, len) ((void)(ptr), (void)(len))
#define UNPOISON(ptr, len) ((void)(ptr), (void)(len))
#endif

#include "base/poison.h"

enum {
    ALIGN = _Alignof(max_align_t),
    /* A block over 1/4 of a chunk gets memory of its own, so at most that share of a chunk is ever
     * left over when the next chunk begins. */
    BIG_SHARE = 4
};

struct dm_arena_chunk {
    struct dm_arena_chunk *next;
    size_t size; /* bytes after the header */
    _Alignas(ALIGN) char bytes[];
};

struct dm_arena_pool {
    struct dm_arena_chunk *kept;
    size_t n_kept, max_kept, chunk_size;
};

struct dm_arena_pool *dm_arena_pool_new(size_t chunk_size, size_t keep_chunks)
{
    DM_REQUIRE(chunk_size >= 256 && chunk_size % ALIGN == 0);
    struct dm_arena_pool *pool = DM_NEW(struct dm_arena_pool);
    pool->chunk_size = chunk_size;
    pool->max_kept = keep_chunks;
    return pool;
}

static void chunk_free(struct dm_arena_chunk *c)
{
    UNPOISON(c->bytes, c->size);
    dm_mem_free(c);
}

void dm_arena_pool_free(struct dm_arena_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->kept != NULL) {
        struct dm_arena_chunk *c = pool->kept;
        pool->kept = c->next;
        chunk_free(c);
    }
    dm_mem_free(pool);
}

static struct dm_arena_chunk *chunk_take(struct dm_arena_pool *pool, size_t size)
{
    struct dm_arena_chunk *c = pool->kept;
    if (size == pool->chunk_size && c != NULL) {
        pool->kept = c->next;
        pool->n_kept--;
        return c;
    }
    c = dm_mem_try(sizeof *c + size);
    if (c == NULL)
        return NULL;
    c->size = size;
    POISON(c->bytes, size);
    return c;
}

static void chunk_give(struct dm_arena_pool *pool, struct dm_arena_chunk *c)
{
    if (c->size != pool->chunk_size || pool->n_kept == pool->max_kept) {
        chunk_free(c);
        return;
    }
    POISON(c->bytes, c->size);
    c->next = pool->kept;
    pool->kept = c;
    pool->n_kept++;
}

void dm_arena_init(struct dm_arena *a, struct dm_arena_pool *pool, size_t cap)
{
    DM_REQUIRE(pool != NULL);
    *a = (struct dm_arena){.pool_ = pool, .cap_ = cap};
}

/* A block with a chunk of its own goes behind the head: the head stays the one being filled. */
static void *alloc_big(struct dm_arena *a, size_t room)
{
    struct dm_arena_chunk *c = chunk_take(a->pool_, room);
    if (c == NULL)
        return NULL;
    if (a->head_ == NULL) {
        c->next = NULL;
        a->head_ = c;
    } else {
        c->next = a->head_->next;
        a->head_->next = c;
    }
    return c->bytes;
}

static void *alloc_small(struct dm_arena *a, size_t room)
{
    if (a->at_ == NULL || room > (size_t)(a->end_ - a->at_)) {
        struct dm_arena_chunk *c = chunk_take(a->pool_, a->pool_->chunk_size);
        if (c == NULL)
            return NULL;
        c->next = a->head_;
        a->head_ = c;
        a->at_ = c->bytes;
        a->end_ = c->bytes + c->size;
    }
    char *block = a->at_;
    a->at_ += room;
    return block;
}

void *dm_arena_alloc(struct dm_arena *a, size_t size)
{
    /* checked against the cap first, so that rounding up cannot overflow */
    if (size > a->cap_ || size > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (rounded == 0)
        rounded = ALIGN;
    if (rounded > a->cap_ - a->used_)
        return NULL;
    size_t room = rounded + GAP;
    void *block =
        room > a->pool_->chunk_size / BIG_SHARE ? alloc_big(a, room) : alloc_small(a, room);
    if (block == NULL)
        return NULL;
    a->used_ += rounded;
    UNPOISON(block, size);
    return block;
}

void *dm_arena_zalloc(struct dm_arena *a, size_t size)
{
    void *block = dm_arena_alloc(a, size);
    if (block != NULL)
        memset(block, 0, size);
    return block;
}

char *dm_arena_text(struct dm_arena *a, dm_view v)
{
    if (v.len == SIZE_MAX)
        return NULL;
    char *text = dm_arena_alloc(a, v.len + 1);
    if (text == NULL)
        return NULL;
    if (v.len > 0)
        memcpy(text, v.ptr, v.len);
    text[v.len] = '\0';
    return text;
}

dm_view dm_arena_copy(struct dm_arena *a, dm_view v)
{
    char *copy = dm_arena_alloc(a, v.len);
    if (copy == NULL)
        return DM_VIEW_NONE;
    if (v.len > 0)
        memcpy(copy, v.ptr, v.len);
    return dm_view_make(copy, v.len);
}

dm_view dm_arena_fmt(struct dm_arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    DM_ASSERT(len >= 0);
    char *text = dm_arena_alloc(a, (size_t)len + 1);
    if (text != NULL)
        (void)vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text == NULL ? DM_VIEW_NONE : dm_view_make(text, (size_t)len);
}

size_t dm_arena_used(const struct dm_arena *a)
{
    return a->used_;
}

void dm_arena_reset(struct dm_arena *a)
{
    while (a->head_ != NULL) {
        struct dm_arena_chunk *c = a->head_;
        a->head_ = c->next;
        chunk_give(a->pool_, c);
    }
    a->at_ = a->end_ = NULL;
    a->used_ = 0;
}

#include "io/slab.h"

#include "base/assert.h"

#include "base/poison.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#endif

void dm_slab_init(struct dm_slab *s, size_t size, size_t keep)
{
    DM_REQUIRE(size >= sizeof(void *));
#ifdef SLAB_ASAN
    keep = 0;
#endif
    *s = (struct dm_slab){.size_ = size, .keep_ = keep};
}

void *dm_slab_take(struct dm_slab *s)
{
    void *block = s->first_;
    if (block == NULL)
        return dm_mem_alloc(s->size_);
    s->first_ = *(void **)block;
    s->kept_--;
    return block;
}

void dm_slab_give(struct dm_slab *s, void *block)
{
    if (block == NULL)
        return;
    if (s->kept_ >= s->keep_) {
        dm_mem_free(block);
        return;
    }
    *(void **)block = s->first_;
    s->first_ = block;
    s->kept_++;
}

void dm_slab_done(struct dm_slab *s)
{
    while (s->first_ != NULL) {
        void *block = s->first_;
        s->first_ = *(void **)block;
        dm_mem_free(block);
    }
    s->kept_ = 0;
}

#include "base/secret.h"

#include <string.h>

#include "base/mem.h"

#include "base/poison.h"

void dm_secret_set(struct dm_secret *s, dm_view bytes)
{
    unsigned char *copy = NULL;
    if (bytes.len > 0) { /* copied before the old value goes: it may be a part of it */
        copy = dm_mem_alloc(bytes.len);
        memcpy(copy, bytes.ptr, bytes.len);
    }
    dm_secret_done(s);
    s->ptr_ = copy;
    s->len_ = bytes.len;
}

dm_view dm_secret_view(const struct dm_secret *s)
{
    return dm_view_make((const char *)s->ptr_, s->len_);
}

bool dm_secret_empty(const struct dm_secret *s)
{
    return s->len_ == 0;
}

void dm_secret_done(struct dm_secret *s)
{
    if (s == NULL || s->ptr_ == NULL)
        return;
    dm_mem_wipe(s->ptr_, s->len_);
    dm_mem_free(s->ptr_);
    *s = (struct dm_secret){0};
}

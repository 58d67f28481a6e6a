#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#include "base/poison.h"

enum {
    FIRST_SIZE = 256, /* most lines and headers fit; growth doubles from here */
    NUMBER_TEXT = 20  /* digits of UINT64_MAX */
};

void dm_buf_init(struct dm_buf *b, size_t cap)
{
    /* one byte beyond the cap is kept for the NUL of dm_buf_cstr */
    *b = (struct dm_buf){.cap_ = cap < SIZE_MAX ? cap : SIZE_MAX - 1};
}

char *dm_buf_reserve(struct dm_buf *b, size_t len)
{
    if (b->failed_ || len > b->cap_ - b->len_) {
        b->failed_ = true;
        return NULL;
    }
    size_t need = b->len_ + len;
    if (b->ptr_ == NULL || need > b->size_) {
        size_t size = b->size_ > b->cap_ / 2 ? b->cap_ : b->size_ * 2;
        size = size < FIRST_SIZE ? FIRST_SIZE : size;
        size = size < need ? need : size;
        size = size > b->cap_ ? b->cap_ : size;
        b->ptr_ = dm_mem_grow(b->ptr_, size + 1, 1);
        b->size_ = size;
    }
    return b->ptr_ + b->len_;
}

void dm_buf_commit(struct dm_buf *b, size_t len)
{
    DM_REQUIRE(len <= b->size_ - b->len_);
    b->len_ += len;
}

void dm_buf_add(struct dm_buf *b, dm_view bytes)
{
    char *at = dm_buf_reserve(b, bytes.len);
    if (at == NULL || bytes.len == 0)
        return;
    memcpy(at, bytes.ptr, bytes.len);
    b->len_ += bytes.len;
}

void dm_buf_add_byte(struct dm_buf *b, char byte)
{
    char *at = dm_buf_reserve(b, 1);
    if (at == NULL)
        return;
    *at = byte;
    b->len_++;
}

void dm_buf_add_u64(struct dm_buf *b, uint64_t n)
{
    char text[NUMBER_TEXT];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    dm_buf_add(b, dm_view_make(text + at, sizeof text - at));
}

void dm_buf_add_i64(struct dm_buf *b, int64_t n)
{
    if (n < 0)
        dm_buf_add_byte(b, '-');
    dm_buf_add_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void dm_buf_addf(struct dm_buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    size_t room = b->ptr_ == NULL ? 0 : b->size_ - b->len_ + 1;
    int len = vsnprintf(room == 0 ? NULL : b->ptr_ + b->len_, room, fmt, args);
    va_end(args);
    DM_ASSERT(len >= 0);
    if (dm_buf_reserve(b, (size_t)len) != NULL) {
        if ((size_t)len >= room)
            (void)vsnprintf(b->ptr_ + b->len_, (size_t)len + 1, fmt, again);
        b->len_ += (size_t)len;
    }
    va_end(again);
}

void dm_buf_drop(struct dm_buf *b, size_t len)
{
    DM_REQUIRE(len <= b->len_);
    b->len_ -= len;
    if (len > 0 && b->len_ > 0)
        memmove(b->ptr_, b->ptr_ + len, b->len_);
}

void dm_buf_clear(struct dm_buf *b)
{
    b->len_ = 0;
    b->failed_ = false;
}

bool dm_buf_ok(const struct dm_buf *b)
{
    return !b->failed_;
}

dm_view dm_buf_view(const struct dm_buf *b)
{
    return dm_view_make(b->ptr_ == NULL ? "" : b->ptr_, b->len_);
}

const char *dm_buf_cstr(struct dm_buf *b)
{
    if (b->failed_ || dm_view_find_byte(dm_buf_view(b), '\0', 0) != b->len_)
        return NULL;
    if (b->ptr_ == NULL)
        return "";
    b->ptr_[b->len_] = '\0';
    return b->ptr_;
}

char *dm_buf_take(struct dm_buf *b, size_t *ret_len)
{
    char *taken = NULL;
    size_t len = b->len_;
    if (dm_buf_reserve(b, 0) != NULL) {
        taken = DM_TAKE(b->ptr_);
        taken[len] = '\0';
        if (ret_len != NULL)
            *ret_len = len;
    }
    dm_buf_done(b);
    return taken;
}

void dm_buf_done(struct dm_buf *b)
{
    if (b == NULL)
        return;
    dm_mem_free(b->ptr_);
    *b = (struct dm_buf){.cap_ = b->cap_};
}

/* Bounded byte builder. The cap given at init is never exceeded: appends past it fail and mark
 * the buffer, so a chain of appends is checked once, at the end, with dm_buf_ok(). One thread. */
#pragma once

#include "base/view.h"

struct dm_buf {
    char *ptr_;
    size_t len_, size_, cap_;
    bool failed_;
};

void dm_buf_init(struct dm_buf *b, size_t cap);
void dm_buf_add(struct dm_buf *b, dm_view bytes);
void dm_buf_add_byte(struct dm_buf *b, char byte);
void dm_buf_add_u64(struct dm_buf *b, uint64_t n);
void dm_buf_add_i64(struct dm_buf *b, int64_t n);
void dm_buf_addf(struct dm_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for `len` bytes to be written by the caller, then counted with dm_buf_commit. NULL past the
 * cap. */
char *dm_buf_reserve(struct dm_buf *b, size_t len);
void dm_buf_commit(struct dm_buf *b, size_t len);
void dm_buf_drop(struct dm_buf *b, size_t len); /* removes bytes from the front */
void dm_buf_clear(struct dm_buf *b);            /* empties, clears the mark, keeps the memory */
bool dm_buf_ok(const struct dm_buf *b);
dm_view dm_buf_view(const struct dm_buf *b); /* borrowed until the next add or done */
const char *dm_buf_cstr(struct dm_buf *b);   /* NUL-ended; NULL when failed or holding a NUL byte */
/* Ownership (dm_mem_free) moves to the caller: NUL-ended, NULL when failed; ret_len may be NULL. */
char *dm_buf_take(struct dm_buf *b, size_t *ret_len);
void dm_buf_done(struct dm_buf *b);                   /* NULL and twice are fine */

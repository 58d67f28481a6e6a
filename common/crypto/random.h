/* Random bytes from the kernel, buffered per thread for small requests (a UUID per request must not
 * be a syscall). Never fails: aborts when the kernel has none. Any thread; safe across fork. */
#pragma once

#include "base/buf.h"

void dm_random_bytes(void *out, size_t len);
uint64_t dm_random_u64(void);
enum { DM_UUID_LEN = 36 };
void dm_random_uuid(char out[DM_UUID_LEN + 1]);         /* version 4, lower-case */
void dm_random_token(size_t bytes, struct dm_buf *out); /* base64url without padding */

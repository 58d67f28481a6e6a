#include "crypto/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/mem.h"
#include "codec/base64.h"

#include "base/poison.h"

/* Room for 256 UUIDs per system call; longer requests than a key go to the kernel directly. */
enum { BUFFER_SIZE = 4096, SMALL_MAX = 128 };

struct buffer {
    unsigned char bytes[BUFFER_SIZE];
    size_t left;   /* unused bytes, at the end */
    unsigned fork; /* value of `forks` when it was filled */
};

static _Thread_local struct buffer buffer;
static _Atomic unsigned forks = 1; /* so that a zeroed buffer is stale */

/* A child must not hand out the bytes that its parent hands out too. */
static void after_fork_in_child(void)
{
    atomic_fetch_add(&forks, 1);
}

__attribute__((constructor)) static void watch_forks(void)
{
    int failed = pthread_atfork(NULL, NULL, after_fork_in_child);
    DM_ASSERT(failed == 0);
}

static void from_kernel(unsigned char *out, size_t len)
{
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0) {
            DM_ASSERT(errno == EINTR); /* nothing else happens, nothing weaker may replace it */
            continue;
        }
        out += got;
        len -= (size_t)got;
    }
}

void dm_random_bytes(void *out, size_t len)
{
    struct buffer *b = &buffer;
    if (len > SMALL_MAX) {
        from_kernel(out, len);
        return;
    }
    unsigned now = atomic_load_explicit(&forks, memory_order_relaxed);
    if (b->left < len || b->fork != now) {
        from_kernel(b->bytes, sizeof(b->bytes));
        b->left = sizeof(b->bytes);
        b->fork = now;
    }
    unsigned char *from = b->bytes + sizeof(b->bytes) - b->left;
    memcpy(out, from, len);
    dm_mem_wipe(from, len); /* what was given away must not be found here later */
    b->left -= len;
}

uint64_t dm_random_u64(void)
{
    uint64_t n;
    dm_random_bytes(&n, sizeof(n));
    return n;
}

void dm_random_uuid(char out[DM_UUID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[16];
    dm_random_bytes(bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0F) | 0x40); /* RFC 9562 §5.4: version 4 */
    bytes[8] = (unsigned char)((bytes[8] & 0x3F) | 0x80); /* §4.1: variant */
    char *to = out;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = hex[bytes[i] >> 4];
        *to++ = hex[bytes[i] & 15];
    }
    *to = '\0';
}

void dm_random_token(size_t bytes, struct dm_buf *out)
{
    unsigned char raw[256];
    DM_REQUIRE(bytes <= sizeof(raw));
    dm_random_bytes(raw, bytes);
    dm_base64url_encode(dm_view_make((const char *)raw, bytes), false, out);
    dm_mem_wipe(raw, sizeof(raw));
}

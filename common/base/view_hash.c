#include "base/view.h"

#include <string.h>
#include <sys/random.h>

#include "base/assert.h"

#include "base/poison.h"

/* SipHash-1-3 (Aumasson, Bernstein; one round per block, three at the end: what hash tables of Rust
 * and Python use). The key is drawn once per process, so nobody outside can make keys collide. */

static uint64_t process_key[2];

/* Before main, so that readers on any thread see the key without asking whether it is there. */
__attribute__((constructor)) static void draw_process_key(void)
{
    ssize_t got = getrandom(process_key, sizeof process_key, 0);
    DM_REQUIRE(got == (ssize_t)sizeof process_key);
}

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t load_le64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

uint64_t dm_view_siphash(dm_view data, uint64_t k0, uint64_t k1)
{
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    const unsigned char *p = (const unsigned char *)data.ptr;
    size_t left = data.len;

    for (; left >= 8; p += 8, left -= 8) {
        uint64_t block = load_le64(p);
        v[3] ^= block;
        sip_round(v);
        v[0] ^= block;
    }
    uint64_t last = (uint64_t)data.len << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t dm_view_hash(dm_view v, uint64_t seed)
{
    return dm_view_siphash(v, process_key[0] ^ seed, process_key[1]);
}

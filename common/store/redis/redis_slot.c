#include "store/redis/redis_internal.h"

#include "base/poison.h"

enum { POLYNOMIAL = 0x1021 };

/* CRC16-CCITT (XMODEM), as the Redis Cluster specification names it. */
static unsigned crc16(dm_view v)
{
    unsigned crc = 0;
    for (size_t i = 0; i < v.len; i++) {
        crc ^= (unsigned)(unsigned char)v.ptr[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? (crc << 1) ^ POLYNOMIAL : crc << 1;
    }
    return crc & 0xffff;
}

/* Between the first "{" and the first "}" behind it, unless nothing is there. */
static dm_view hash_tag(dm_view key)
{
    size_t open = dm_view_find_byte(key, '{', 0);
    size_t close = open < key.len ? dm_view_find_byte(key, '}', open + 1) : key.len;
    return close < key.len && close > open + 1 ? dm_view_sub(key, open + 1, close - open - 1) : key;
}

unsigned dm_redis_slot(dm_view key)
{
    return crc16(hash_tag(key)) % DM_REDIS_SLOTS;
}

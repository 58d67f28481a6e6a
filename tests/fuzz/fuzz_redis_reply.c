/* layer: store_redis */
/* Replies of a Redis that may be anything: cut into pieces by the first byte, they come out as they
 * do in one piece; what comes out is whole and within the limits. */
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "store/redis/redis_command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_CAP = 1 << 24 };

static void write_reply(const struct dm_redis_reply *p, struct dm_buf *out)
{
    DM_REQUIRE(p == NULL || p->depth <= DM_REDIS_DEPTH_MAX);
    dm_buf_add_byte(out, (char)('0' + dm_redis_type(p)));
    switch (dm_redis_type(p)) {
    case DM_REDIS_NIL:
        break;
    case DM_REDIS_INT:
        dm_buf_add_i64(out, dm_redis_int(p));
        break;
    case DM_REDIS_TEXT:
    case DM_REDIS_ERROR:
        dm_buf_add_u64(out, dm_redis_text(p).len);
        dm_buf_add(out, dm_redis_text(p));
        break;
    case DM_REDIS_ARRAY:
        dm_buf_add_u64(out, dm_redis_len(p));
        for (size_t i = 0; i < dm_redis_len(p); i++) {
            DM_REQUIRE(dm_redis_at(p, i) != NULL);
            write_reply(dm_redis_at(p, i), out);
        }
        break;
    }
#ifdef DOORMAN_PLANT_BUG
    /* an error inside an array of an array that holds an integer before it */
    const struct dm_redis_reply *inner = dm_redis_at(dm_redis_at(p, 1), 2);
    if (dm_redis_type(inner) == DM_REDIS_ERROR && dm_redis_type(dm_redis_at(p, 0)) == DM_REDIS_INT)
        abort();
#endif
}

static enum dm_code read_all(struct dm_arena_pool *pool, dm_view bytes, size_t piece,
                             struct dm_buf *out)
{
    struct dm_redis_reader *r = dm_redis_reader_new(pool);
    enum dm_code rc = DM_AGAIN;
    while (rc == DM_AGAIN && bytes.len > 0) {
        const struct dm_redis_reply *reply;
        rc = dm_redis_reader_feed(r, dm_view_sub(bytes, 0, piece));
        bytes = dm_view_sub(bytes, piece, bytes.len);
        while (rc == DM_OK) {
            rc = dm_redis_reader_next(r, &reply);
            if (rc == DM_OK)
                write_reply(reply, out);
        }
    }
    dm_redis_reader_free(r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct dm_arena_pool *pool = dm_arena_pool_new(16 * 1024, 4);
    struct dm_buf whole, cut;
    dm_buf_init(&whole, TEXT_CAP);
    dm_buf_init(&cut, TEXT_CAP);
    dm_view bytes = dm_view_make((const char *)data + 1, size - 1);
    enum dm_code first = read_all(pool, bytes, bytes.len, &whole);
    enum dm_code second = read_all(pool, bytes, 1 + data[0] % 64, &cut);
    DM_REQUIRE(first == second);
    DM_REQUIRE(dm_view_eq(dm_buf_view(&whole), dm_buf_view(&cut)));
    dm_buf_done(&whole);
    dm_buf_done(&cut);
    dm_arena_pool_free(pool);
    return 0;
}

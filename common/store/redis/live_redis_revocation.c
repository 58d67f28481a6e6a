#include "store/redis/live_redis_priv.h"

#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

/* The announcement: '+' (revoked) or '-' (let in again), the end of its life in milliseconds, a
 * blank, the length of the user's name, a blank, the name, and what is left is the token's id. A
 * name may hold anything, hence its length. */

void live_revocation_build(struct live_revocation_text *t, const struct live_revocation *r)
{
    struct dm_buf b;
    dm_buf_init(&b, sizeof t->bytes);
    dm_buf_add_byte(&b, r->revoked ? '+' : '-');
    dm_buf_add_u64(&b, (uint64_t)r->expires_ms);
    dm_buf_add_byte(&b, ' ');
    dm_buf_add_u64(&b, r->user.len);
    dm_buf_add_byte(&b, ' ');
    dm_buf_add(&b, r->user);
    dm_buf_add(&b, r->jti);
    DM_REQUIRE(dm_buf_ok(&b) && r->expires_ms >= 0);
    t->len = dm_buf_view(&b).len;
    memcpy(t->bytes, dm_buf_view(&b).ptr, t->len);
    dm_buf_done(&b);
}

bool live_revocation_parse(dm_view payload, struct live_revocation *ret)
{
    dm_view rest = payload, expires, length;
    uint64_t user_len;
    if (rest.len == 0 || (rest.ptr[0] != '+' && rest.ptr[0] != '-'))
        return false;
    *ret = (struct live_revocation){.revoked = rest.ptr[0] == '+'};
    rest = dm_view_sub(rest, 1, rest.len);
    if (!dm_view_split(&rest, ' ', &expires) || !dm_view_split(&rest, ' ', &length) ||
        !dm_parse_i64(expires, 0, INT64_MAX, &ret->expires_ms) ||
        !dm_parse_u64(length, rest.len, &user_len) || user_len == 0)
        return false;
    ret->user = dm_view_sub(rest, 0, user_len);
    ret->jti = dm_view_sub(rest, user_len, rest.len);
    return dm_live_subject_fits(ret->user, ret->jti);
}

#include "store/live_keys.h"

#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

static void start(struct dm_live_key *k, dm_view prefix)
{
    k->len = prefix.len;
    if (prefix.len > 0)
        memcpy(k->bytes, prefix.ptr, prefix.len);
}

static void add(struct dm_live_key *k, dm_view part)
{
    DM_REQUIRE(part.len <= sizeof k->bytes - k->len);
    if (part.len > 0)
        memcpy(k->bytes + k->len, part.ptr, part.len);
    k->len += part.len;
}

static void add_number(struct dm_live_key *k, int64_t number)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (number < 0)
        digits[--at] = '-';
    digits[--at] = ':';
    add(k, dm_view_make(digits + at, sizeof digits - at));
}

bool dm_live_subject_fits(dm_view subject, dm_view jti)
{
    return subject.len <= DM_LIVE_SUBJECT_MAX && jti.len <= DM_LIVE_JTI_MAX;
}

void dm_live_key_revoke_all(struct dm_live_key *k, dm_view user)
{
    start(k, DM_LIT("jwt:revoke_all:"));
    add(k, user);
}

void dm_live_key_revoked(struct dm_live_key *k, dm_view user, dm_view jti)
{
    start(k, DM_LIT("jwt:revoked:"));
    add(k, user);
    add(k, DM_LIT(":"));
    add(k, jti);
}

void dm_live_key_rate(struct dm_live_key *k, dm_view user, int64_t index)
{
    start(k, DM_LIT("rate_limit:"));
    add(k, user);
    add_number(k, index);
}

void dm_live_key_throttle(struct dm_live_key *k, dm_view user, int64_t index)
{
    start(k, DM_LIT("throttle_limit:"));
    add(k, user);
    add_number(k, index);
}

void dm_live_key_bandwidth(struct dm_live_key *k, dm_view user, int64_t window,
                           int64_t window_start)
{
    start(k, DM_LIT("bandwidth_usage:"));
    add(k, user);
    add_number(k, window);
    add_number(k, window_start);
}

bool dm_live_credits_fit(dm_view group, dm_view user)
{
    return group.len > 0 && group.len <= DM_LIVE_GROUP_MAX && user.len > 0 &&
           user.len <= DM_LIVE_SUBJECT_MAX;
}

void dm_live_key_credits(struct dm_live_key *k, dm_view group, dm_view user)
{
    start(k, DM_LIT("credits:"));
    add(k, group);
    add(k, DM_LIT(":"));
    add(k, user);
}

void dm_live_key_hit(struct dm_live_key *k, dm_view name, dm_view id)
{
    start(k, DM_VIEW_NONE);
    add(k, name);
    add(k, DM_LIT(":"));
    add(k, id);
}

void dm_live_key_object(struct dm_live_key *k, dm_view kind, dm_view id)
{
    start(k, DM_LIT("doorman:policy:obj:"));
    add(k, kind);
    add(k, DM_LIT(":"));
    add(k, id);
}

bool dm_live_kind_on_demand(dm_view kind)
{
    return dm_view_eq(kind, DM_LIT("user")) || dm_view_eq(kind, DM_LIT("subscription")) ||
           dm_view_eq(kind, DM_LIT("user_credits"));
}

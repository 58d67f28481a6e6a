/* Names of live state, exactly as gateway.md §27.1 and §29.4 fix them: built from typed parts,
 * nothing added, no hash tags. Every backend takes its keys from here, the memory one too. Pure. */
#pragma once

#include "base/view.h"

enum {
    DM_LIVE_SUBJECT_MAX = 200, /* a user name: 50 code points of at most 4 bytes */
    DM_LIVE_JTI_MAX = 200,     /* ours are UUIDs; other issuers' are not much longer */
    DM_LIVE_KIND_MAX = 32,
    DM_LIVE_ID_MAX = 256, /* ids, role names, client keys, user names */
    DM_LIVE_KEY_MAX = 448 /* the longest prefix, two of the texts above, two numbers */
};

struct dm_live_key {
    size_t len;
    char bytes[DM_LIVE_KEY_MAX];
};
static inline dm_view dm_live_key_view(const struct dm_live_key *k)
{
    return dm_view_make(k->bytes, k->len);
}

/* The parts must be within the bounds above: false else, and nobody may take that for "not there".
 */
bool dm_live_subject_fits(dm_view subject, dm_view jti);

void dm_live_key_revoke_all(struct dm_live_key *k, dm_view user); /* jwt:revoke_all:<user> */
void dm_live_key_revoked(struct dm_live_key *k, dm_view user,
                         dm_view jti); /* jwt:revoked:<user>:<jti> */
void dm_live_key_rate(struct dm_live_key *k, dm_view user,
                      int64_t index); /* rate_limit:<user>:<idx> */
void dm_live_key_throttle(struct dm_live_key *k, dm_view user,
                          int64_t index); /* throttle_limit:… */
/* bandwidth_usage:<user>:<W>:<start> */
void dm_live_key_bandwidth(struct dm_live_key *k, dm_view user, int64_t window, int64_t start);
void dm_live_key_hit(struct dm_live_key *k, dm_view name, dm_view id);    /* <name>:<id> */
void dm_live_key_object(struct dm_live_key *k, dm_view kind, dm_view id); /* doorman:policy:obj:… */

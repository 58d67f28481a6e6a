/* Names of live state, exactly as gateway.md §27.1 and §29.4 fix them: built from typed parts,
 * nothing added, no hash tags. Every backend takes its keys from here, the memory one too. Pure. */
#pragma once

#include "base/view.h"

enum {
    DM_LIVE_SUBJECT_MAX = 200, /* a user name: 50 code points of at most 4 bytes */
    DM_LIVE_JTI_MAX = 200,     /* ours are UUIDs; other issuers' are not much longer */
    DM_LIVE_KIND_MAX = 32,
    DM_LIVE_ID_MAX = 256,         /* ids, role names, client keys, user names */
    DM_LIVE_GROUP_MAX = 200,      /* a credit group: 50 code points of at most 4 bytes */
    DM_LIVE_RESERVATION_MAX = 64, /* the gateway's own ids of reservations */
    DM_LIVE_KEY_MAX = 448         /* the longest prefix, two of the texts above, two numbers */
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
/* credits:<group>:<user>. One key holds the balance and what is reserved of it, so one script (and
 * in Cluster one slot) decides: Redis keeps a hash with the fields `balance`, `due` (the earliest
 * end of a hold, milliseconds) and `r:<id>` (end of that hold). Holds that ended are given back by
 * the next reserve, get or set at or after `due`; a settle ends whatever is still noted. */
void dm_live_key_credits(struct dm_live_key *k, dm_view group, dm_view user);
bool dm_live_credits_fit(dm_view group, dm_view user);
void dm_live_key_hit(struct dm_live_key *k, dm_view name, dm_view id);    /* <name>:<id> */
void dm_live_key_object(struct dm_live_key *k, dm_view kind, dm_view id); /* doorman:policy:obj:… */
/* Objects that are fetched on first use: user, subscription, user_credits. All others are of the
 * snapshot. */
bool dm_live_kind_on_demand(dm_view kind);

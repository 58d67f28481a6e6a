/* Revocations as others read them: the mirrors and the announcement. Pure.
 * Written by revoke in this order: the key of live_keys.h, the mirror's member,
 * the announcement. Both mirrors are sorted sets; the score is the end of the
 * entry's life in Unix milliseconds, or +inf; members past their score say
 * nothing and are trimmed by every revoke. */
#pragma once

#include "store/live_keys.h"

#define LIVE_REVOKED_JTI "doorman:revoked:jti" /* members <user>:<jti> */
#define LIVE_REVOKED_ALL "doorman:revoked:all" /* members <user> */
#define LIVE_REVOCATIONS "doorman:revocations" /* channel */
enum { LIVE_REVOCATION_MAX = DM_LIVE_SUBJECT_MAX + DM_LIVE_JTI_MAX + 64 };
struct live_revocation {
  bool revoked;       /* false: the user was let in again (jti empty) */
  dm_view user, jti;  /* jti empty: all of the user's tokens */
  int64_t expires_ms; /* Unix; 0: never */
};
struct live_revocation_text {
  size_t len;
  char bytes[LIVE_REVOCATION_MAX];
};
void live_revocation_build(struct live_revocation_text *n,
                           const struct live_revocation *r);
bool live_revocation_parse(
    dm_view payload, struct live_revocation *ret); /* views into payload */

/* The admin's calls, one room: live_redis_admin.c makes and frees the admin and carries calls to
 * its loop, the others are what a call does there. Each call is a struct on the caller's stack that
 * starts with a struct live_redis_call. */
#pragma once

#include "store/redis/live_redis_priv.h"

void live_redis_admin_odd(struct live_redis_admin *a, const char *what,
                          const struct dm_redis_reply *reply);

/* live_redis_revoke.c */
enum dm_code live_redis_revoke(struct dm_live_admin *a, dm_view subject, dm_view jti,
                               dm_time expires_wall, struct dm_error *err);
enum dm_code live_redis_unrevoke(struct dm_live_admin *a, dm_view subject, struct dm_error *err);
enum dm_code live_redis_is_revoked(struct dm_live_admin *a, dm_view subject, dm_view jti, bool *ret,
                                   struct dm_error *err);
enum dm_code live_redis_revocations(struct dm_live_admin *a, dm_live_revoked_fn fn, void *ctx,
                                    struct dm_error *err);

/* live_redis_restore.c. The first three on the admin's loop. */
void live_redis_trust_again(struct live_redis_admin *a); /* connected again: asks */
bool live_redis_doubts(const struct live_redis_admin *a);
void live_redis_trust_done(struct live_redis_admin *a);
enum dm_code live_redis_restore_begin(struct dm_live_admin *a, struct dm_live_restoration **ret,
                                      struct dm_error *err);
enum dm_code live_redis_restore_revoked(struct dm_live_admin *a, struct dm_live_restoration *r,
                                        struct dm_error *err);
enum dm_code live_redis_restore_end(struct dm_live_admin *a, struct dm_live_restoration *r,
                                    struct dm_error *err);
void live_redis_restoration_free(struct dm_live_restoration *r);
enum dm_code live_redis_whole(struct dm_live_admin *a, bool *ret, struct dm_error *err);

/* live_redis_count.c */
enum dm_code live_redis_hit(struct dm_live_admin *a, dm_view name, dm_view id, int64_t limit,
                            int64_t window, struct dm_live_hit *ret, struct dm_error *err);
enum dm_code live_redis_bandwidth_used(struct dm_live_admin *a, dm_view subject, int64_t window,
                                       int64_t *ret, struct dm_error *err);
enum dm_code live_redis_clear_counters(struct dm_live_admin *a, struct dm_error *err);

/* live_redis_accounts.c */
enum dm_code live_redis_credits_set(struct dm_live_admin *a, dm_view group, dm_view subject,
                                    int64_t balance, bool unless_there, struct dm_error *err);
enum dm_code live_redis_credits_get(struct dm_live_admin *a, dm_view group, dm_view subject,
                                    int64_t *ret, struct dm_error *err);
enum dm_code live_redis_credits_delete(struct dm_live_admin *a, dm_view group, dm_view subject,
                                       struct dm_error *err);

/* live_redis_take.c */
enum dm_code live_redis_take(struct dm_live_admin *a, enum dm_stream s, struct dm_live_batch *b,
                             struct dm_error *err);
enum dm_code live_redis_done(struct dm_live_admin *a, enum dm_stream s,
                             const struct dm_live_batch *b, struct dm_error *err);

/* What the memory backend of live state knows, and its decisions: revocations, counters, policy
 * objects. Answers at once; live_memory.c makes it asynchronous and carries it across threads. One
 * thread. */
#pragma once

#include "store/live.h"
#include <stdatomic.h>

/* One published object: immutable, counted, shared by the state and by news under way. Packed where
 * only a snapshot reads it: once when it is published, and when a subscriber comes late. */
struct dm_live_item {
    _Atomic unsigned refs;
    uint16_t kind_len, id_len;
    uint64_t generation; /* set once, before it is shared */
    uint32_t len, kept;  /* of the bytes: as they came, and as they stand in text */
    bool deleted, packed;
    char text[]; /* kind, id, bytes */
};
struct dm_live_item *dm_live_item_new(const struct dm_live_change *c);
struct dm_live_item *dm_live_item_ref(struct dm_live_item *i);
void dm_live_item_unref(struct dm_live_item *i);
/* Borrowed from the item; the bytes of a packed one from *room, which must have i->len left to
 * take. */
struct dm_live_change dm_live_item_change(const struct dm_live_item *i, struct dm_buf *room);

struct dm_live_state;
struct dm_live_state *dm_live_state_new(void);
void dm_live_state_free(struct dm_live_state *s);

void dm_live_state_admit(struct dm_live_state *s, const struct dm_admit_ask *ask, dm_time now_wall,
                         struct dm_admit_answer *ret);
void dm_live_state_add_bandwidth(struct dm_live_state *s, dm_view subject, int64_t window,
                                 int64_t bytes, dm_time now_wall);
int64_t dm_live_state_bandwidth(struct dm_live_state *s, dm_view subject, int64_t window,
                                dm_time now_wall);
/* DM_INVALID: names too long; DM_LIMIT: the table is full. */
enum dm_code dm_live_state_revoke(struct dm_live_state *s, dm_view subject, dm_view jti,
                                  dm_time expires, dm_time now_wall) DM_MUST_USE;
void dm_live_state_unrevoke(struct dm_live_state *s, dm_view subject, dm_time now_wall);
bool dm_live_state_is_revoked(const struct dm_live_state *s, dm_view subject, dm_view jti,
                              dm_time now_wall);
bool dm_live_state_token_revoked(const struct dm_live_state *s, dm_view subject, dm_view jti,
                                 dm_time now_wall); /* it alone, whatever its user is */
enum dm_code dm_live_state_hit(struct dm_live_state *s, dm_view name, dm_view id, int64_t limit,
                               int64_t window, dm_time now_wall,
                               struct dm_live_hit *ret) DM_MUST_USE;
/* Names too long: NONE, DM_INVALID, DM_NOT_FOUND: there is no such account. */
enum dm_reserve_verdict dm_live_state_reserve(struct dm_live_state *s,
                                              const struct dm_reserve_ask *ask, dm_time now_wall);
void dm_live_state_settle(struct dm_live_state *s, dm_view group, dm_view subject, dm_view id,
                          bool spent);
enum dm_code dm_live_state_credits_set(struct dm_live_state *s, dm_view group, dm_view subject,
                                       int64_t balance, bool unless_there,
                                       dm_time now_wall) DM_MUST_USE;
enum dm_code dm_live_state_credits_get(struct dm_live_state *s, dm_view group, dm_view subject,
                                       dm_time now_wall, int64_t *ret) DM_MUST_USE;
void dm_live_state_credits_delete(struct dm_live_state *s, dm_view group, dm_view subject);
void dm_live_state_clear_counters(struct dm_live_state *s);

/* Takes a reference; a deleted item removes its name. */
void dm_live_state_put(struct dm_live_state *s, struct dm_live_item *item);
struct dm_live_item *dm_live_state_get(const struct dm_live_state *s, dm_view kind,
                                       dm_view id); /* or NULL */
/* References to every object of the snapshot kinds; the array is the caller's (dm_mem_free). */
struct dm_live_item **dm_live_state_snapshot(const struct dm_live_state *s, size_t *ret_n);

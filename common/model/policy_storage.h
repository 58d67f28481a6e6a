/* Memory of one immutable policy object: everything it points to is taken here
 * and given back at once, on the last unref. For the files of the policy room
 * alone. Not shared while it is being filled. */
#pragma once

#include "model/policy.h"

enum { POLICY_SETS = 3, POLICY_TREES = 2 };
struct policy_owned { /* what is freed with it by other means */
    struct dm_address_set *sets[POLICY_SETS];
    struct dm_json *trees[POLICY_TREES];
};

enum { POLICY_INLINE = 152 }; /* ids, names and lists of an API of usual size */

struct policy_piece; /* a run of memory: small takes share one */
struct dm_policy_storage {
    _Atomic unsigned refs;
    uint16_t at, size; /* of the run being filled */
    char *run;
    struct policy_piece *pieces;
    struct policy_owned *owned; /* NULL: none */
    _Alignas(8) char first[POLICY_INLINE];
};

struct dm_policy_storage *policy_storage_new(void); /* one reference */
struct dm_policy_storage *policy_storage_ref(struct dm_policy_storage *s);
void policy_storage_unref(struct dm_policy_storage *s);

void *policy_take(struct dm_policy_storage *s, size_t size); /* zeroed; never NULL */
dm_view policy_text(struct dm_policy_storage *s, dm_view v); /* a copy; empty stays empty */
dm_view policy_member(struct dm_policy_storage *s, const struct dm_json *doc, const char *name);
struct dm_strs policy_strs(struct dm_policy_storage *s, const struct dm_json *list);
struct dm_strs policy_sorted(struct dm_policy_storage *s, const struct dm_json *list, bool lower);
dm_view policy_joined(struct dm_policy_storage *s, const struct dm_strs *list);
struct policy_owned *policy_owned(struct dm_policy_storage *s);
/* A list of addresses and nets; NULL when empty or absent. It is the storage's
 * `which`-th set. */
enum dm_code policy_addresses(struct dm_policy_storage *s, size_t which, const struct dm_json *list,
                              struct dm_address_set **ret, struct dm_error *err) DM_MUST_USE;
void policy_lower(dm_view own_text);
void policy_upper(dm_view own_text);

/* policy_servers.c: the parsed servers of a pool have a storage of their own,
 * so that a pool moves to the next snapshot as it is. */
void policy_pool_build(const struct dm_json *servers, struct dm_policy_pool *ret);
void policy_pool_ref(const struct dm_policy_pool *p);
void policy_pool_unref(struct dm_policy_pool *p);

/* policy_cors.c */
void policy_cors_build(struct dm_policy_storage *s, const struct dm_json *api,
                       struct dm_policy_cors *ret);

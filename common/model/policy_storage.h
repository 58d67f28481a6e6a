/* Memory of one immutable policy object: everything it points to is taken here and given back at once.
 * For the files of the policy room alone. Not shared while it is being filled. */
#pragma once

#include "base/arena.h"
#include "model/policy.h"

struct dm_policy_storage {
    struct dm_arena arena;
    struct dm_arena_pool *pool_;
};

struct dm_policy_storage *policy_storage_new(void);
void policy_storage_free(struct dm_policy_storage *s);
void *policy_take(struct dm_policy_storage *s, size_t size); /* zeroed; never NULL */
dm_view policy_text(struct dm_policy_storage *s, dm_view v); /* a copy; NUL-ended behind its length */
dm_view policy_member(struct dm_policy_storage *s, const struct dm_json *doc, const char *name);
struct dm_strs policy_strs(struct dm_policy_storage *s, const struct dm_json *list);
struct dm_strs policy_sorted(struct dm_policy_storage *s, const struct dm_json *list, bool lower);
dm_view policy_joined(struct dm_policy_storage *s, const struct dm_strs *list);

/* policy_servers.c */
void policy_pool_build(struct dm_policy_storage *s, const struct dm_json *servers, uint32_t slot,
                       struct dm_policy_pool *ret);
/* policy_cors.c */
void policy_cors_build(struct dm_policy_storage *s, const struct dm_json *api, struct dm_policy_cors *ret);
/* policy_pattern.c, policy_trie.c */
struct dm_policy_template *policy_template_build(struct dm_policy_storage *s, dm_view client_uri, dm_view uri);
struct dm_policy_trie *policy_trie_build(struct dm_policy_storage *s, const struct dm_policy_endpoint *endpoints,
                                         size_t n);

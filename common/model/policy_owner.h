/* The builder's view of one API: its record, its endpoints in force, and what
 * has been put since the last build. Endpoints may come before their API. For
 * policy_builder.c only. */
#pragma once

#include "base/list.h"
#include "model/policy_build.h"
#include "model/policy_slots.h"

struct policy_owner {
    struct dm_link link;            /* of the builder; by the time of the record */
    struct dm_link dirty;           /* linked: something was put */
    struct dm_policy_api *api;      /* NULL: not published (yet) */
    struct dm_policy_trie *trie;    /* endpoints as of the last build; NULL: none */
    struct policy_pending *pending; /* newest first */
    uint32_t n_pending, slot;
    uint16_t id_len;
    bool fresh; /* api is not in any snapshot yet */
    char id[];
};

struct policy_owner *policy_owner_new(dm_view api_id);
void policy_owner_free(struct policy_owner *o);
static inline dm_view policy_owner_id(const struct policy_owner *o)
{
    return dm_view_make(o->id, o->id_len);
}
bool policy_owner_has(const struct policy_owner *o, dm_view endpoint_id);
/* Upper bound, pending ones included. */
size_t policy_owner_count(const struct policy_owner *o);
/* Takes the endpoint's pool and storage. */
void policy_owner_put(struct policy_owner *o, const struct dm_policy_endpoint *e,
                      struct dm_policy_storage *s);
void policy_owner_remove(struct policy_owner *o, dm_view endpoint_id);
void policy_owner_set(struct policy_owner *o, struct dm_policy_api *record,
                      struct policy_slots *slots);
void policy_owner_unset(struct policy_owner *o, struct policy_slots *slots);
/* Puts together what is pending; what did not change is shared with the last
 * build. */
void policy_owner_build(struct policy_owner *o, struct policy_slots *slots);

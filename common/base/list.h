/* Intrusive doubly linked list. The embedding object owns its link; an unlinked link points to
 * itself. One thread. */
#pragma once

#include <stdbool.h>
#include "base/mem.h"

struct dm_link {
    struct dm_link *prev, *next;
};

static inline void dm_list_init(struct dm_link *head)
{
    head->prev = head->next = head;
}
static inline bool dm_list_empty(const struct dm_link *head)
{
    return head->next == head;
}
static inline void dm_list_add_tail(struct dm_link *head, struct dm_link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}
static inline void dm_list_add_head(struct dm_link *head, struct dm_link *l)
{
    dm_list_add_tail(head->next, l);
}
static inline void dm_list_remove(struct dm_link *l) /* twice is fine */
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = l;
}
static inline struct dm_link *dm_list_pop(struct dm_link *head) /* first, or NULL */
{
    struct dm_link *l = head->next;
    if (l == head)
        return NULL;
    dm_list_remove(l);
    return l;
}
#define DM_LIST_EACH_SAFE(head, l, tmp) \
    for (struct dm_link *l = (head)->next, *tmp = l->next; l != (head); l = tmp, tmp = l->next)

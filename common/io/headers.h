/* HTTP field names the product knows (headers.def) and what may be done with each: one table, no
 * name is decided on anywhere else (style.md §12). Look-up is a perfect-hash-like switch on length
 * and bytes: no allocation, any case. Pure. '_' and '-' are different bytes here; the guard drops
 * names that only a server behind us would take for one of ours (x_doorman_user). */
#pragma once

#include "base/arena.h"

enum dm_header_id {
    DM_HDR_OTHER = 0,
#define DM_HEADER(id, name, flags) DM_HDR_##id,
#include "io/headers.def"
#undef DM_HEADER
    DM_HDR_COUNT_
};

enum {
    DM_HF_HOP = 1 << 0,      /* hop-by-hop or framing: never forwarded, either way */
    DM_HF_REQUEST = 1 << 1,  /* standard request field: always passes up (R15) */
    DM_HF_RESPONSE = 1 << 2, /* standard response field: always passes down (R15) */
    DM_HF_NEVER = 1 << 3,    /* never-list: not by default, not by "*" */
    DM_HF_EXPLICIT =
        1 << 4, /* of the never-list, but passes when named: cookie set-cookie authorization */
    DM_HF_SINGLE = 1 << 5,   /* twice in a request is refused by the guard */
    DM_HF_OURS = 1 << 6,     /* made by the gateway: a client's own is dropped (x-doorman-user,
                                x-user-email,     x-forwarded-*, internal ones) */
    DM_HF_SECURITY = 1 << 7, /* security response header: set by us unless already there */
    DM_HF_INTERNAL = 1 << 8  /* between our own parts: the guard drops a client's own */
};

struct dm_field_line { /* one received or to-be-sent header field; views into the exchange's arena
                        */
    dm_view name, value;
    enum dm_header_id id;
};

struct dm_fields { /* in order of arrival */
    struct dm_field_line *items;
    size_t count, size;
};

enum dm_header_id dm_header_find(dm_view name);
unsigned dm_header_flags(enum dm_header_id id); /* 0 for DM_HDR_OTHER */
/* The same for any name: also the families of R15 whose members are not all in the table (accept-*,
 * if-*, content-* of answers, x-forwarded-*, x-doorman-internal-*). */
unsigned dm_header_flags_of(enum dm_header_id id, dm_view name);
/* A name under which the administrator may have a value put on upstream requests: a token of RFC
 * 9110 §5.1, neither framing nor one of ours. */
bool dm_header_may_inject(dm_view name);
dm_view dm_header_name(enum dm_header_id id); /* as we write it */
/* First value of that id; ptr NULL when absent. */
dm_view dm_fields_get(const struct dm_fields *f, enum dm_header_id id);
dm_view dm_fields_get_name(const struct dm_fields *f, dm_view name);
/* Appends; false past the arena's cap. */
bool dm_fields_add(struct dm_fields *f, struct dm_arena *a, enum dm_header_id id, dm_view name,
                   dm_view value);
/* True when `name` is listed in one of the Connection fields. */
bool dm_fields_connection_lists(const struct dm_fields *f, dm_view name);
/* Comma-separated list holds the token (any case). */
bool dm_list_has_token(dm_view list, dm_view token);

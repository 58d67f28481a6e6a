/* Between publish.c (changes) and republish.c (everything): what is published, and pieces of it. */
#pragma once

#include "admin/services/publish.h"
#include "store/live.h"

struct adm_published {
    const struct dm_record_type *type;
    const char *id_field;                                  /* NULL: there is one, named by noun */
    struct dm_json *(*project)(const struct dm_json *doc); /* NULL: the fields its table says */
};
const struct adm_published *adm_published_types(size_t *ret_n);

enum { ADM_PIECE = 256 }; /* what one round of the live store takes */
/* Up to ADM_PIECE projections of changes, which need not outlive their documents. */
struct adm_piece {
    struct dm_live_change live[ADM_PIECE];
    struct dm_buf texts[ADM_PIECE];
    char *ids[ADM_PIECE];
    size_t n;
};
void adm_piece_add(struct adm_piece *p, const struct adm_change *change);
void adm_piece_done(struct adm_piece *p); /* empty again */

/* Until this process enforces it. */
void adm_publish_wait(struct adm_app *app, uint64_t generation);

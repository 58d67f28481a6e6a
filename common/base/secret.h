/* Bytes that must not leak: wiped on done, compared in constant time, not printable by any
 * formatter here. One owner. */
#pragma once

#include "base/view.h"

struct dm_secret {
    unsigned char *ptr_;
    size_t len_;
};

void dm_secret_set(struct dm_secret *s, dm_view bytes); /* copies; wipes an earlier value */
/* for the call that needs it, never for a log */
dm_view dm_secret_view(const struct dm_secret *s);
bool dm_secret_empty(const struct dm_secret *s);
void dm_secret_done(struct dm_secret *s);

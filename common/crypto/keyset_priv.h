/* The set itself, for keyset.c and keyset_build.c. */
#pragma once

#include <stdatomic.h>

#include "crypto/key.h"

/* A rotation needs two or three; each unknown kid is compared with all of them. */
enum { DM_KEYSET_MAX = 64 };

struct dm_keyset {
    _Atomic unsigned refs;
    size_t n;
    struct dm_key keys[DM_KEYSET_MAX];
};

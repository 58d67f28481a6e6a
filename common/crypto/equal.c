#include "crypto/equal.h"

#include <openssl/crypto.h>

#include "base/poison.h"

bool dm_equal_secret(dm_view a, dm_view b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

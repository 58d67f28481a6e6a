/* A server's certificate chain and its key, as PEM texts: whether they belong together and until
 * when they hold (configuration.md §2.5, G27). Pure; any thread. */
#pragma once

#include "base/clock.h"

/* NULL when `key` is that of the chain's first certificate and `wall` lies within its validity;
 * else what is wrong, static and without anything of the key. ret_until: end of validity, written
 * whenever a certificate could be read. */
const char *dm_certificate_check(dm_view chain, dm_view key, dm_time wall, dm_time *ret_until);

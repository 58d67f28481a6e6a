/* Human passwords (O16, O19): new hashes Argon2id 19 MiB, t = 2, p = 1; bcrypt hashes of the Python
 * Doorman verify. Blocking and heavy (tens of ms): never on a loop; 2 at once, others wait. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum { DM_PASSWORD_MAX = 1024 }; /* bytes; bounds the work a stranger can ask for */

enum dm_code dm_password_hash(dm_view password, struct dm_buf *out) DM_MUST_USE; /* $argon2id$… */
/* An empty hash costs as much as a wrong password and gives false: for unknown users. ret_rehash:
 * the stored form is old (bcrypt or other parameters) and should be replaced after this success. */
bool dm_password_verify(dm_view password, dm_view hash, bool *ret_rehash);

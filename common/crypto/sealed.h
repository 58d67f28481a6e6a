/* API keys at rest (platform-apis.md §11.7): "enc:" and a Fernet token under TOKEN_ENCRYPTION_KEY;
 * a value without "enc:" is clear text. The setting may be a list: the first encrypts, all open.
 * Immutable once made, counted; any thread. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"

struct dm_sealing;
/* setting empty: what is sealed stays in clear, and nothing sealed can be opened. */
struct dm_sealing *dm_sealing_new(const struct dm_secret *setting);
struct dm_sealing *dm_sealing_ref(struct dm_sealing *s);
void dm_sealing_unref(struct dm_sealing *s); /* NULL is fine */
void dm_seal(const struct dm_sealing *s, dm_view plain, dm_time wall, struct dm_buf *out);
/* DM_INVALID: no key of ours opens it. DM_LIMIT: more than out holds. */
enum dm_code dm_unseal(const struct dm_sealing *s, dm_view stored, struct dm_buf *out) DM_MUST_USE;

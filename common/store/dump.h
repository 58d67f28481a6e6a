/* Encrypted dump of memory mode (operations.md §8.14): written by temporary name, fsync, rename,
 * 0600; read back at start. A truncated, tampered or wrong-key dump is a fault with a sentence, and
 * the file stays untouched. Blocking: never on a loop that serves. */
#pragma once

#include "base/clock.h"
#include "base/secret.h"
#include "codec/json.h"

enum dm_dump_format { DM_DUMP_FERNET = 0, DM_DUMP_DMP1 }; /* both are read */

struct dm_dump_config {
    const char *path;            /* MEM_DUMP_PATH, resolved */
    const struct dm_secret *key; /* MEM_ENCRYPTION_KEY */
    size_t keep;                 /* newest files kept; 0: all */
    const struct dm_clock *clock;
    enum dm_dump_format format; /* written */
};
/* data: {collection: [documents]}. ret_file gets the name written. Never concurrently (internal
 * lock). DM_UNAVAILABLE with the reason: no new file is there, older ones are as they were. */
enum dm_code dm_dump_write(const struct dm_dump_config *c, const struct dm_json *data,
                           struct dm_buf *ret_file, struct dm_error *err) DM_MUST_USE;

/* A dump that was opened: decrypted, and checked as a whole. */
struct dm_dump;
/* The file of exactly c->path, else the newest by its name. DM_NOT_FOUND: no dump, fresh start.
 * DM_INVALID: it cannot be used (err says why); DM_UNAVAILABLE: it cannot be read. Changes no file.
 */
enum dm_code dm_dump_open(const struct dm_dump_config *c, struct dm_dump **ret,
                          struct dm_error *err) DM_MUST_USE;
dm_view dm_dump_file(const struct dm_dump *d);
dm_view dm_dump_created_at(const struct dm_dump *d);
/* One document after the other, each once: a dm_documents_source_fn, whose ctx is the dump. */
bool dm_dump_next(void *dump, dm_view *ret_collection, struct dm_json **ret_doc);
void dm_dump_close(struct dm_dump *d); /* wipes it; NULL is fine */
/* After its data were taken over: a file of exactly c->path is renamed to <stem>-<created_at>.bin,
 * so that it cannot shadow later dumps; any other stays. */
enum dm_code dm_dump_settle(const struct dm_dump_config *c, const struct dm_dump *d,
                            struct dm_error *err) DM_MUST_USE;

/* Names and files of the memory dump: <stem>-YYYYMMDDTHHMMSSZ.bin beside MEM_DUMP_PATH. For dump.c
 * only. Blocking. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

enum { DM_DUMP_NAME_MAX = 4096 }; /* PATH_MAX */

/* stamp: as dm_time_stamp writes it. */
void dm_dump_name(const char *path, const char *stamp, struct dm_buf *ret);
/* The newest by the time in its name; DM_NOT_FOUND. */
enum dm_code dm_dump_newest(const char *path, struct dm_buf *ret, struct dm_error *err) DM_MUST_USE;
/* Deletes all but the newest `keep` (0: none). */
enum dm_code dm_dump_prune(const char *path, size_t keep, struct dm_error *err) DM_MUST_USE;
/* Whole or not at all: temporary name, fsync, rename, fsync of the directory; 0600, directory 0700.
 */
enum dm_code dm_dump_file_write(const char *path, const char *file, dm_view bytes,
                                struct dm_error *err) DM_MUST_USE;
/* DM_NOT_FOUND, or DM_UNAVAILABLE with the reason. */
enum dm_code dm_dump_file_read(const char *file, struct dm_buf *ret,
                               struct dm_error *err) DM_MUST_USE;
enum dm_code dm_dump_file_rename(const char *from, const char *to,
                                 struct dm_error *err) DM_MUST_USE;

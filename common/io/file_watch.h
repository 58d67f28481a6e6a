/* Tells a loop that one of a set of files may have changed: inotify on their directories (a file
 * that is replaced has another inode), also for the `..data` link by which a kubelet swaps a whole
 * ConfigMap. A burst is told once, after a quiet time; a directory may go and come back; a poll
 * covers file systems that do not tell. Whether the content differs is for the owner to find out.
 * Loop thread only. */
#pragma once

#include "base/view.h"
#include "io/loop.h"

struct dm_file_watch;

struct dm_file_watch_config {
    struct dm_loop *loop;
    dm_time debounce; /* quiet time before it is told; of unrest without end told after ten */
    dm_time poll;     /* told this often at least, changed or not; 0: no poll */
    void (*on_change)(void *ctx);
    void *ctx;
};

struct dm_file_watch *dm_file_watch_new(const struct dm_file_watch_config *c);
void dm_file_watch_free(struct dm_file_watch *w); /* NULL is fine */
/* Instead of those before; names are copied. False: some directory cannot be watched (yet): it is
 * tried again and again, and the poll goes on. */
bool dm_file_watch_set(struct dm_file_watch *w, const dm_view *paths, size_t n);

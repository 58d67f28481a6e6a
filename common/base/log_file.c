#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log_queue.h"
#include "base/mem.h"

#include "base/poison.h"

enum {
    WRITE_BYTES = 64 * 1024, /* collected before a write in the middle of a round */
    PENDING_MAX = WRITE_BYTES + DM_LOG_LINE_MAX + 1,
    LOG_FILE_MODE = 0640
};

static void tell(struct dm_log_file *f, const char *what, int error)
{
    if (!f->failing)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, what, DM_FC("file", f->path),
               DM_FC("error", strerrordesc_np(error)));
    f->failing = true;
}

void dm_log_file_init(struct dm_log_file *f)
{
    *f = (struct dm_log_file){.fd = -1};
    dm_buf_init(&f->pending, PENDING_MAX);
}

static void close_file(struct dm_log_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static void open_file(struct dm_log_file *f)
{
    struct stat st;
    if (f->path == NULL)
        return;
    f->fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, LOG_FILE_MODE);
    if (f->fd < 0 || fstat(f->fd, &st) != 0) {
        tell(f, "log file cannot be opened, lines go to the console only", errno);
        close_file(f);
        return;
    }
    f->size = (uint64_t)st.st_size;
}

void dm_log_file_open(struct dm_log_file *f, const char *path, size_t max_bytes, int backups)
{
    f->max_bytes = max_bytes;
    f->backups = backups;
    if (path != NULL && f->path != NULL && strcmp(path, f->path) == 0 && f->fd >= 0)
        return;
    dm_log_file_flush(f);
    close_file(f);
    dm_mem_free(f->path);
    f->path = path == NULL ? NULL : dm_mem_text(dm_view_of(path));
    f->failing = false;
    open_file(f);
}

static size_t count_lines(dm_view text)
{
    size_t n = 0;
    for (size_t at = 0; (at = dm_view_find_byte(text, '\n', at)) < text.len; at++)
        n++;
    return n;
}

void dm_log_file_flush(struct dm_log_file *f)
{
    dm_view rest = dm_buf_view(&f->pending);
    while (rest.len > 0) {
        ssize_t n = write(f->fd, rest.ptr, rest.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            tell(f, "log file cannot be written, lines are lost", errno);
            dm_log_count_dropped(count_lines(rest));
            break;
        }
        f->failing = false;
        f->size += (uint64_t)n;
        rest = dm_view_sub(rest, (size_t)n, rest.len);
    }
    dm_buf_clear(&f->pending);
}

/* path.N-1 becomes path.N, and so on, and path becomes path.1. Readers that hold the old file open
 * go on reading it. */
static void rotate(struct dm_log_file *f)
{
    char from[PATH_MAX], to[PATH_MAX];
    for (int i = f->backups; i >= 1; i--) {
        int from_len = i == 1 ? snprintf(from, sizeof from, "%s", f->path)
                              : snprintf(from, sizeof from, "%s.%d", f->path, i - 1);
        int to_len = snprintf(to, sizeof to, "%s.%d", f->path, i);
        if (from_len >= (int)sizeof from || to_len >= (int)sizeof to) {
            tell(f, "log file cannot be rotated", ENAMETOOLONG);
            return;
        }
        if (rename(from, to) != 0 && (errno != ENOENT || i == 1)) {
            tell(f, "log file cannot be rotated", errno);
            return;
        }
    }
    close_file(f);
    open_file(f);
}

void dm_log_file_add(struct dm_log_file *f, dm_view line)
{
    if (f->fd < 0)
        return;
    uint64_t after = f->size + dm_buf_view(&f->pending).len + line.len + 1;
    bool full = f->max_bytes > 0 && f->backups > 0 && after > f->max_bytes;
    if (full || dm_buf_view(&f->pending).len >= WRITE_BYTES)
        dm_log_file_flush(f);
    if (full && f->size > 0 && !f->failing)
        rotate(f);
    if (f->fd < 0)
        return;
    dm_buf_add(&f->pending, line);
    dm_buf_add_byte(&f->pending, '\n');
}

void dm_log_file_reopen(struct dm_log_file *f)
{
    dm_log_file_flush(f);
    close_file(f);
    f->failing = false;
    open_file(f);
}

void dm_log_file_done(struct dm_log_file *f)
{
    dm_log_file_flush(f);
    close_file(f);
    dm_mem_free(f->path);
    f->path = NULL;
    dm_buf_done(&f->pending);
}

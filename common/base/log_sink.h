/* Where finished lines go: a file with rotation, the console, the memory ring. Used by the writer
 * thread alone, but for dm_log_ring_recent. For log*.c only. */
#pragma once

#include "base/buf.h"
#include "base/log.h"

/* A file that is appended to in pieces of many lines, and rotated by rename between two lines. */
struct dm_log_file {
    char *path; /* NULL: none */
    int fd;     /* -1: not open */
    uint64_t size;
    size_t max_bytes;
    int backups;
    bool failing; /* told once, until it works again */
    struct dm_buf pending;
};
void dm_log_file_init(struct dm_log_file *f);
void dm_log_file_open(struct dm_log_file *f, const char *path, size_t max_bytes, int backups);
void dm_log_file_add(struct dm_log_file *f, dm_view line); /* without its end */
void dm_log_file_flush(struct dm_log_file *f);
void dm_log_file_reopen(struct dm_log_file *f);
void dm_log_file_done(struct dm_log_file *f);

/* Standard output may be a pipe whose reader has stopped: what it does not take waits here,
 * bounded, and neither the files nor anybody who logs wait with it. */
struct dm_log_console {
    int fd;
    bool is_file, stalled;
    size_t sent; /* of pending */
    struct dm_buf pending;
};
void dm_log_console_init(struct dm_log_console *c);
void dm_log_console_open(struct dm_log_console *c, int fd);
void dm_log_console_add(struct dm_log_console *c, enum dm_log_level level, dm_view line);
/* all, or what it takes so long */
void dm_log_console_flush(struct dm_log_console *c, dm_time patience);
bool dm_log_console_waits(const struct dm_log_console *c);
void dm_log_console_done(struct dm_log_console *c);

/* The last lines in memory, bounded in number and bytes. One per process, any thread. */
/* 0: none; the lines so far are kept unless the number changes */
void dm_log_ring_open(size_t max_lines);
void dm_log_ring_add(dm_view line);
void dm_log_ring_recent(size_t max, void (*fn)(void *ctx, dm_view line), void *ctx);

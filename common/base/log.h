/* Events for the operator: one line per event, JSON or plain (operations.md §8.4), through a queue
 * that drops and counts rather than blocks. One writer thread formats, redacts (§8.6), and writes
 * stdout, the log file, the audit trail and the memory ring. Any thread may log; logging allocates
 * nothing and makes no system call but now and then one to wake the writer. Bytes from outside are
 * escaped and cut at 256. Never hand over tokens, passwords, bodies or cookies: redaction is the
 * net, not the plan. */
#pragma once

#include "base/clock.h"
#include "base/mem.h"
#include "base/view.h"

enum dm_log_level {
    DM_LOG_TRACE = 0,
    DM_LOG_DEBUG,
    DM_LOG_INFO,
    DM_LOG_WARNING,
    DM_LOG_ERROR,
    DM_LOG_CRITICAL,
    DM_LOG_AUDIT /* above every threshold; JSON always, with "log":"audit"; stdout and trail file */
};

enum dm_log_kind {
    /* a view without bytes and without pointer (DM_VIEW_NONE) leaves the field out */
    DM_LOG_STR = 0,
    DM_LOG_I64,
    DM_LOG_BOOL,
    DM_LOG_MS,  /* ns shown as milliseconds */
    /* ready JSON (details of an audit record), up to DM_LOG_JSON_MAX; longer: cut, as text */
    DM_LOG_JSON
};
enum {
    DM_LOG_VALUE_MAX = 256,
    DM_LOG_MESSAGE_MAX = 1024,
    DM_LOG_JSON_MAX = 8192,
    DM_LOG_FIELDS_MAX = 32
};
struct dm_log_field {
    const char *key; /* at most 255 bytes */
    enum dm_log_kind kind;
    dm_view str;
    int64_t num;
};
#define DM_F(k, v) ((struct dm_log_field){.key = (k), .kind = DM_LOG_STR, .str = (v)})
#define DM_FC(k, c) ((struct dm_log_field){.key = (k), .kind = DM_LOG_STR, .str = dm_view_of(c)})
#define DM_FI(k, n) ((struct dm_log_field){.key = (k), .kind = DM_LOG_I64, .num = (int64_t)(n)})
#define DM_FB(k, b) ((struct dm_log_field){.key = (k), .kind = DM_LOG_BOOL, .num = (b)})
#define DM_FMS(k, ns) ((struct dm_log_field){.key = (k), .kind = DM_LOG_MS, .num = (ns)})
#define DM_FJ(k, v) ((struct dm_log_field){.key = (k), .kind = DM_LOG_JSON, .str = (v)})

struct dm_log_config {
    enum dm_log_level level; /* hot, like all but clock: dm_log_reconfigure */
    bool json, utc;          /* utc: plain only, JSON always is */
    const char *process;     /* "gateway", "admin", "doorman" */
    const char *pod;         /* NULL: the host's name, which in a pod is the pod's */
    /* LOGS_DIR, NULL: console only; not writable: one WARNING, console only */
    const char *dir;
    /* LOG_FILE, NULL: dir/doorman.log; the trail is dir/doorman-trail.log */
    const char *file;
    size_t max_bytes;        /* rotation of both files by rename to .1 .. .backup_count; 0 = none */
    int backup_count;
    size_t memory_lines;     /* MEMORY_LOG_ENABLED: 50000; 0 = no memory ring */
    int fd;                  /* console, normally 1; -1 none */
    const struct dm_clock *clock; /* NULL: the system's */
};

/* Before start and after stop, lines go straight to stderr, plain, redacted. */
void dm_log_start(const struct dm_log_config *c);
void dm_log_reconfigure(const struct dm_log_config *c); /* any thread; copies; the clock stays */
void dm_log_reopen(void);                               /* after external rotation */
/* writes out what is queued (a console that takes nothing: 2 s), ends the thread */
void dm_log_stop(void);
/* waits, 2 s at most, until all lines so far are in the files and the ring */
void dm_log_flush(void);
bool dm_log_enabled(enum dm_log_level level); /* cheap: one atomic load */
uint64_t dm_log_dropped(void);                /* lines lost anywhere between here and a sink */

/* message: a short event text or sentence. request_id may be empty ("-" is printed). */
void dm_log(enum dm_log_level level, dm_view request_id, dm_view message,
            const struct dm_log_field *fields, size_t n_fields);
#define DM_LOG(level, rid, msg, ...) \
    do { \
        if (dm_log_enabled(level)) { \
            const struct dm_log_field dm_f_[] = {{0}, ##__VA_ARGS__}; \
            dm_log((level), (rid), dm_view_of(msg), dm_f_ + 1, DM_COUNT_OF(dm_f_) - 1); \
        } \
    } while (0)
/* A ready line (an access line in combined form): redacted like all others, to stdout only. */
void dm_log_raw(enum dm_log_level level, dm_view line);
const char *dm_log_level_name(enum dm_log_level level);
bool dm_log_level_parse(dm_view word, enum dm_log_level *ret); /* any case; WARN = WARNING */
/* The last lines (memory_lines), newest last, for the log API; flushes first. fn borrows a line. */
void dm_log_recent(size_t max, void (*fn)(void *ctx, dm_view line), void *ctx);

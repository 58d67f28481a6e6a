/* Events for the operator: one line per event, JSON or plain, through a ring that drops and counts
 * rather than blocks; one writer thread redacts (operations.md §8.6), writes stdout, the log file and
 * the memory ring. Any thread may log. Bytes from outside are escaped and cut at 256. Never hand over
 * tokens, passwords, bodies or cookies: redaction is the net, not the plan. */
#pragma once

#include "base/clock.h"
#include "base/view.h"

enum dm_log_level {
    DM_LOG_TRACE = 0,
    DM_LOG_DEBUG,
    DM_LOG_INFO,
    DM_LOG_WARNING,
    DM_LOG_ERROR,
    DM_LOG_CRITICAL,
    DM_LOG_AUDIT /* never dropped, "log":"audit", trail file */
};

enum dm_log_kind { DM_LOG_STR = 0, DM_LOG_I64, DM_LOG_BOOL, DM_LOG_MS /* ns shown as milliseconds */ };
struct dm_log_field {
    const char *key;
    enum dm_log_kind kind;
    dm_view str;
    int64_t num;
};
#define DM_F(k, v) ((struct dm_log_field){.key = (k), .kind = DM_LOG_STR, .str = (v)})
#define DM_FC(k, c) ((struct dm_log_field){.key = (k), .kind = DM_LOG_STR, .str = dm_view_of(c)})
#define DM_FI(k, n) ((struct dm_log_field){.key = (k), .kind = DM_LOG_I64, .num = (int64_t)(n)})
#define DM_FB(k, b) ((struct dm_log_field){.key = (k), .kind = DM_LOG_BOOL, .num = (b)})

struct dm_log_config {
    enum dm_log_level level; /* hot: dm_log_reconfigure */
    bool json, utc;
    const char *process;  /* "gateway", "admin", "doorman" */
    const char *dir;      /* LOGS_DIR, NULL: console only; not writable: one WARNING, console only */
    size_t max_bytes;     /* rotation; 0 = none */
    int backup_count;
    int fd;               /* console, normally 1 */
    const struct dm_clock *clock;
};

void dm_log_start(const struct dm_log_config *c); /* before it, lines go straight to stderr */
void dm_log_reconfigure(const struct dm_log_config *c); /* level, format, file; any thread */
void dm_log_reopen(void);                               /* after external rotation */
void dm_log_stop(void);                                 /* writes out what is queued, ends the thread */
bool dm_log_enabled(enum dm_log_level level);           /* cheap: one atomic load */
uint64_t dm_log_dropped(void);

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
/* The last lines (MEMORY_LOG_ENABLED), newest last, for the log API: fn borrows each line. */
void dm_log_recent(size_t max, void (*fn)(void *ctx, dm_view line), void *ctx);

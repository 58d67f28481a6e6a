#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static _Atomic int threshold = DM_LOG_INFO;
static _Atomic int console = 2;

static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "AUDIT"};

void dm_log_start(const struct dm_log_config *c)
{
    dm_log_reconfigure(c);
}

void dm_log_reconfigure(const struct dm_log_config *c)
{
    threshold = (int)c->level;
    console = c->fd;
}

void dm_log_reopen(void)
{
}

void dm_log_stop(void)
{
    console = 2;
}

bool dm_log_enabled(enum dm_log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

uint64_t dm_log_dropped(void)
{
    return 0;
}

void dm_log(enum dm_log_level level, dm_view request_id, dm_view message,
            const struct dm_log_field *fields, size_t n_fields)
{
    char line[4096];
    int at = snprintf(line, sizeof line, "%s [request_id=%.*s] %.*s", names[level],
                      request_id.len == 0 ? 1 : (int)request_id.len,
                      request_id.len == 0 ? "-" : request_id.ptr, DM_FMT(message));
    for (size_t i = 0; i < n_fields && at < (int)sizeof line; i++) {
        const struct dm_log_field *f = &fields[i];
        size_t room = sizeof line - (size_t)at;
        at += f->kind == DM_LOG_STR
                  ? snprintf(line + at, room, " %s=%.*s", f->key, DM_FMT(f->str))
                  : snprintf(line + at, room, " %s=%lld", f->key, (long long)f->num);
    }
    (void)dprintf(console, "%s\n", line);
}

void dm_log_raw(enum dm_log_level level, dm_view line)
{
    if (dm_log_enabled(level))
        (void)dprintf(console, "%.*s\n", DM_FMT(line));
}

const char *dm_log_level_name(enum dm_log_level level)
{
    return names[level];
}

bool dm_log_level_parse(dm_view word, enum dm_log_level *ret)
{
    for (int i = DM_LOG_TRACE; i <= DM_LOG_CRITICAL; i++) {
        if (dm_view_eq_nocase(word, dm_view_of(names[i]))) {
            *ret = (enum dm_log_level)i;
            return true;
        }
    }
    if (!dm_view_eq_nocase(word, DM_LIT("WARN")))
        return false;
    *ret = DM_LOG_WARNING;
    return true;
}

void dm_log_recent(size_t max, void (*fn)(void *ctx, dm_view line), void *ctx)
{
    (void)max, (void)fn, (void)ctx;
}

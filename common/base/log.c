#include "base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log_queue.h"
#include "base/log_record.h"
#include "base/log_sink.h"
#include "base/redact.h"

#include "base/poison.h"

enum { LOG_DIR_MODE = 0750, HOST_NAME_MAX_LEN = 255 };

static const dm_time stop_patience =
    2 * DM_SEC; /* a console that takes nothing must not hold the exit */
static const dm_time flush_patience = 2 * DM_SEC; /* the writer waits for the disk only */
static const dm_time console_retry =
    50 * DM_MS; /* how often a console that took nothing is asked again */
static const dm_time drop_report_gap = 10 * DM_SEC; /* between two lines about dropped lines */

/* A copy of what dm_log_config says, for the writer. */
struct settings {
    bool json, utc;
    char *process, *pod, *file, *trail;
    size_t max_bytes, memory_lines;
    int backup_count, fd;
};

/* The one object here that changes after start: the log serves the whole process (style.md §13). */
static struct {
    _Atomic int threshold;
    const struct dm_clock *_Atomic clock;
    pthread_mutex_t lock;  /* what follows */
    struct writer *writer; /* NULL: not started */
    pthread_t thread;
    struct settings *pending; /* for the writer to take over */
    bool reopen;
} logger = {.threshold = DM_LOG_INFO, .clock = &dm_clock_system, .lock = PTHREAD_MUTEX_INITIALIZER};

/* What belongs to the writer thread alone. */
struct writer {
    struct settings *settings;
    struct dm_log_format format;
    struct dm_log_file file, trail;
    struct dm_log_console console;
    struct dm_buf line, redacted;
    uint64_t dropped_told;
    dm_time dropped_told_at;
};

static const char *const level_names[] = {
    "TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "AUDIT",
};

const char *dm_log_level_name(enum dm_log_level level)
{
    DM_REQUIRE((size_t)level < DM_COUNT_OF(level_names));
    return level_names[level];
}

bool dm_log_level_parse(dm_view word, enum dm_log_level *ret)
{
    if (dm_view_eq_nocase(word, DM_LIT("WARN")))
        word = DM_LIT("WARNING");
    for (int i = DM_LOG_TRACE; i <= DM_LOG_CRITICAL; i++) {
        if (dm_view_eq_nocase(word, dm_view_of(level_names[i]))) {
            *ret = (enum dm_log_level)i;
            return true;
        }
    }
    return false;
}

bool dm_log_enabled(enum dm_log_level level)
{
    return (int)level >= atomic_load_explicit(&logger.threshold, memory_order_relaxed);
}

static void settings_free(struct settings *s)
{
    if (s == NULL)
        return;
    dm_mem_free(s->process);
    dm_mem_free(s->pod);
    dm_mem_free(s->file);
    dm_mem_free(s->trail);
    dm_mem_free(s);
}

static char *join(const char *dir, const char *name)
{
    DM_DEFER(dm_buf_done) struct dm_buf path;
    dm_buf_init(&path, SIZE_MAX);
    dm_buf_addf(&path, "%s/%s", dir, name);
    return dm_buf_take(&path, NULL);
}

static struct settings *settings_new(const struct dm_log_config *c)
{
    struct settings *s = DM_NEW(struct settings);
    char host[HOST_NAME_MAX_LEN + 1] = "";
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    s->json = c->json;
    s->utc = c->utc;
    s->process = dm_mem_text(dm_view_of(c->process));
    s->pod = dm_mem_text(dm_view_of(c->pod != NULL ? c->pod : host));
    if (c->file != NULL)
        s->file = dm_mem_text(dm_view_of(c->file));
    else if (c->dir != NULL)
        s->file = join(c->dir, "doorman.log");
    if (c->dir != NULL) {
        s->trail = join(c->dir, "doorman-trail.log");
        (void)mkdir(c->dir, LOG_DIR_MODE); /* when that fails, opening the files tells */
    }
    s->max_bytes = c->max_bytes;
    s->backup_count = c->backup_count;
    s->memory_lines = c->memory_lines;
    s->fd = c->fd;
    return s;
}

static void take_settings(struct writer *w, struct settings *s)
{
    settings_free(w->settings);
    w->settings = s;
    w->format = (struct dm_log_format){
        .json = s->json, .utc = s->utc, .process = s->process, .pod = s->pod};
    dm_log_file_open(&w->file, s->file, s->max_bytes, s->backup_count);
    dm_log_file_open(&w->trail, s->trail, s->max_bytes, s->backup_count);
    dm_log_console_open(&w->console, s->fd);
    dm_log_ring_open(s->memory_lines);
}

static void take_orders(struct writer *w)
{
    pthread_mutex_lock(&logger.lock);
    struct settings *s = DM_TAKE(logger.pending);
    bool reopen = logger.reopen;
    logger.reopen = false;
    pthread_mutex_unlock(&logger.lock);
    if (s != NULL)
        take_settings(w, s);
    if (reopen) {
        dm_log_file_reopen(&w->file);
        dm_log_file_reopen(&w->trail);
    }
}

static dm_view make_line(const char *record, struct dm_log_format *f, struct dm_buf *line,
                         struct dm_buf *redacted)
{
    dm_buf_clear(line);
    dm_buf_clear(redacted);
    dm_log_record_format(record, f, line);
    dm_redact(dm_buf_view(line), redacted);
    DM_ASSERT(dm_buf_ok(line) && dm_buf_ok(redacted));
    return dm_buf_view(redacted);
}

static void write_batch(struct writer *w, const struct dm_log_batch *batch)
{
    for (size_t at = 0; at < batch->len;) {
        enum dm_log_level level;
        bool raw;
        const char *record = batch->records + at;
        at += dm_log_record_read(record, &level, &raw);
        dm_view line = make_line(record, &w->format, &w->line, &w->redacted);
        dm_log_console_add(&w->console, level, line);
        if (raw)
            continue;
        dm_log_file_add(level == DM_LOG_AUDIT ? &w->trail : &w->file, line);
        dm_log_ring_add(line);
    }
    dm_log_file_flush(&w->trail);
    dm_log_file_flush(&w->file);
}

static void tell_dropped(struct writer *w)
{
    uint64_t n = dm_log_dropped();
    dm_time now = dm_clock_mono(&dm_clock_system);
    if (n == w->dropped_told || (w->dropped_told > 0 && now - w->dropped_told_at < drop_report_gap))
        return;
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "log lines dropped", DM_FI("lines", n - w->dropped_told),
           DM_FI("total", n));
    w->dropped_told = n;
    w->dropped_told_at = now;
}

static void *run_writer(void *arg)
{
    struct writer *w = arg;
    struct dm_log_batch batch;
    do {
        bool waits = dm_log_console_waits(&w->console);
        dm_log_queue_swap(waits ? console_retry : DM_NEVER, &batch);
        take_orders(w);
        write_batch(w, &batch);
        dm_log_queue_flushed(batch.flush_asked);
        dm_log_console_flush(&w->console, 0);
        if (!batch.stopping)
            tell_dropped(w);
    } while (!batch.stopping);
    dm_log_console_flush(&w->console, stop_patience);
    return NULL;
}

static void writer_free(struct writer *w)
{
    dm_log_file_done(&w->file);
    dm_log_file_done(&w->trail);
    dm_log_console_done(&w->console);
    dm_buf_done(&w->line);
    dm_buf_done(&w->redacted);
    settings_free(w->settings);
    dm_mem_free(w);
}

static struct writer *writer_new(void)
{
    struct writer *w = DM_NEW(struct writer);
    dm_log_file_init(&w->file);
    dm_log_file_init(&w->trail);
    dm_log_console_init(&w->console);
    dm_buf_init(&w->line, DM_LOG_LINE_MAX);
    dm_buf_init(&w->redacted, 3 * DM_LOG_LINE_MAX + 64); /* what dm_redact may need */
    return w;
}

/* Signals are for the threads of the program; with SIGPIPE blocked here a console without a reader
 * is an error of write, not the end. */
static void start_thread(struct writer *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&logger.thread, NULL, run_writer, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    DM_REQUIRE(rc == 0);
    (void)pthread_setname_np(logger.thread, "log");
}

void dm_log_start(const struct dm_log_config *c)
{
    pthread_mutex_lock(&logger.lock);
    DM_REQUIRE(logger.writer == NULL && c->level < DM_LOG_AUDIT);
    logger.writer = writer_new();
    atomic_store(&logger.threshold, (int)c->level);
    atomic_store(&logger.clock, c->clock != NULL ? c->clock : &dm_clock_system);
    dm_log_queue_open();
    take_settings(logger.writer, settings_new(c));
    start_thread(logger.writer);
    pthread_mutex_unlock(&logger.lock);
}

void dm_log_reconfigure(const struct dm_log_config *c)
{
    DM_REQUIRE(c->level < DM_LOG_AUDIT);
    atomic_store(&logger.threshold, (int)c->level);
    pthread_mutex_lock(&logger.lock);
    if (logger.writer != NULL) {
        settings_free(logger.pending);
        logger.pending = settings_new(c);
        dm_log_queue_wake();
    }
    pthread_mutex_unlock(&logger.lock);
}

void dm_log_reopen(void)
{
    pthread_mutex_lock(&logger.lock);
    if (logger.writer != NULL) {
        logger.reopen = true;
        dm_log_queue_wake();
    }
    pthread_mutex_unlock(&logger.lock);
}

void dm_log_stop(void)
{
    pthread_mutex_lock(&logger.lock);
    struct writer *w = DM_TAKE(logger.writer);
    pthread_mutex_unlock(&logger.lock);
    if (w == NULL)
        return;
    dm_log_queue_stop();
    pthread_join(logger.thread, NULL);
    dm_log_queue_close();
    writer_free(w);
    settings_free(logger.pending); /* nobody writes it once the writer is taken */
    logger.pending = NULL;
    logger.reopen = false;
    dm_log_ring_open(0);
    atomic_store(&logger.clock, &dm_clock_system);
}

void dm_log_flush(void)
{
    dm_log_queue_flush(flush_patience);
}

/* Without a writer: the thread that logs formats and writes, slow and certain. */
static void write_direct(const struct dm_log_event *e)
{
    struct dm_log_format plain = {.utc = true, .process = "", .pod = ""};
    DM_DEFER(dm_buf_done) struct dm_buf line, redacted, record;
    dm_buf_init(&line, DM_LOG_LINE_MAX);
    dm_buf_init(&redacted, 3 * DM_LOG_LINE_MAX + 64);
    dm_buf_init(&record, DM_LOG_LINE_MAX);
    dm_log_record_pack(e, dm_buf_reserve(&record, dm_log_record_size(e)));
    dm_view text = make_line(dm_buf_view(&record).ptr, &plain, &line, &redacted);
    (void)dprintf(STDERR_FILENO, "%.*s\n", DM_FMT(text));
}

static void log_event(struct dm_log_event *e)
{
    const struct dm_clock *clock = atomic_load_explicit(&logger.clock, memory_order_relaxed);
    e->wall = dm_clock_wall(clock);
    if (!dm_log_queue_push(e))
        write_direct(e);
}

void dm_log(enum dm_log_level level, dm_view request_id, dm_view message,
            const struct dm_log_field *fields, size_t n_fields)
{
    if (!dm_log_enabled(level))
        return;
    struct dm_log_event e = {.level = level,
                             .request_id = request_id,
                             .message = message,
                             .fields = fields,
                             .n_fields = n_fields};
    log_event(&e);
}

void dm_log_raw(enum dm_log_level level, dm_view line)
{
    if (!dm_log_enabled(level))
        return;
    struct dm_log_event e = {.level = level, .raw = true, .message = line};
    log_event(&e);
}

void dm_log_recent(size_t max, void (*fn)(void *ctx, dm_view line), void *ctx)
{
    dm_log_flush();
    dm_log_ring_recent(max, fn, ctx);
}

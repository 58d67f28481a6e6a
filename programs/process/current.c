/* Settings in force: swapped by a reload on the control thread, pinned by whoever reads them. */
#include "base/log.h"
#include "programs/process/process.h"
#include "programs/process/program.h"
#include <stdatomic.h>
#include <unistd.h>

void process_current_init(struct process *p)
{
    pthread_mutex_init(&p->current_lock_, NULL);
    p->current = dm_settings_ref(p->settings);
}

void process_current_done(struct process *p)
{
    dm_settings_unref(p->current);
    pthread_mutex_destroy(&p->current_lock_);
}

struct dm_settings *process_settings(struct process *p)
{
    pthread_mutex_lock(&p->current_lock_);
    struct dm_settings *s = dm_settings_ref(p->current);
    pthread_mutex_unlock(&p->current_lock_);
    return s;
}

static struct dm_settings *swap(struct process *p, struct dm_settings *s)
{
    pthread_mutex_lock(&p->current_lock_);
    struct dm_settings *old = p->current;
    p->current = s;
    atomic_fetch_add(&p->settings_number_, 1);
    pthread_mutex_unlock(&p->current_lock_);
    return old;
}

void process_take_over(struct process *p, struct dm_settings *s, struct dm_keyset *keys)
{
    struct dm_keyset *old_keys = p->keys;
    struct dm_settings *old = swap(p, dm_settings_ref(s));

    p->keys = dm_keyset_ref(keys);
    dm_metrics_limit(p->metrics, (size_t)s->metrics_max_series);
    p->program->take_over(p, s, keys);
    dm_settings_unref(old);
    dm_keyset_unref(old_keys);
}

/* --- a thread's own view --- */

void process_seat_init(struct process_seat *seat, struct process *p)
{
    *seat = (struct process_seat){.process = p, .number_ = atomic_load(&p->settings_number_)};
    seat->settings = process_settings(p);
}

void process_seat_refresh(struct process_seat *seat)
{
    const uint64_t number =
        atomic_load_explicit(&seat->process->settings_number_, memory_order_acquire);

    if (number == seat->number_)
        return;
    seat->number_ = number; /* before the settings: newer ones are then only taken twice */
    struct dm_settings *old = seat->settings;
    seat->settings = process_settings(seat->process);
    dm_settings_unref(old);
}

void process_seat_done(struct process_seat *seat)
{
    dm_settings_unref(seat->settings);
    seat->settings = NULL;
}

/* --- the log, which is hot too --- */

void process_log_config(const struct process *p, const struct dm_settings *s,
                        struct dm_log_config *ret, char *ret_texts[2])
{
    ret_texts[0] = dm_mem_text(s->logs_dir);
    ret_texts[1] = dm_mem_text(s->log_file);
    *ret = (struct dm_log_config){.level = (enum dm_log_level)s->log_level,
                                  .json = s->log_format == DM_LOG_FORMAT_JSON,
                                  .utc = s->log_use_utc,
                                  .process = p->program->name,
                                  .dir = ret_texts[0],
                                  .file = ret_texts[1],
                                  .max_bytes = (size_t)s->log_max_bytes,
                                  .backup_count = (int)s->log_backup_count,
                                  .fd = STDOUT_FILENO};
}

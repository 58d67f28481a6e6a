/* What a run of a reload tells: log lines, metrics, audit, and the report for the HTTP interface
 * (configuration.md §5.2, §5.3). Control thread. Inside this room. */
#pragma once

#include "base/metrics.h"
#include "programs/process/reload_run.h"

struct reload_gauges {
    struct dm_metrics *metrics;
    size_t shard;
    struct dm_metric *generation, *success, *failure, *successful, *success_time, *restart_required;
    bool *warned; /* by row: doorman_config_warning{key} is 1 */
};

void reload_gauges_init(struct reload_gauges *g, struct dm_metrics *m, size_t shard);
void reload_gauges_done(struct reload_gauges *g);
/* In force from now on: the first ones, or those of a run (old: before it; NULL: none). */
void reload_gauges_loaded(struct reload_gauges *g, const struct dm_settings *old,
                          const struct dm_settings *s, dm_view warnings, size_t restart_required,
                          uint64_t generation, dm_time wall);
void reload_gauges_failed(struct reload_gauges *g);

/* Keys that differ, as far as the program reads them. */
struct dm_json *reload_changed(const struct dm_settings *old, const struct dm_settings *s);
struct dm_json *reload_overridden(const struct dm_settings *s);
struct dm_json *reload_kept(const struct reload_run *run);
const char *reload_source_name(unsigned sources);

void reload_log_warnings(dm_view warnings);
void reload_log_changes(const struct dm_settings *old, const struct reload_run *run);
/* What reload_log_faults tells as one text of at most `max` (over 96) bytes: as many faults as fit,
 * the first one cut where it is too long. */
void reload_write_faults(const struct dm_json *errors, uint64_t generation, size_t max,
                         struct dm_buf *out);
void reload_log_faults(const struct dm_json *errors, uint64_t generation);
void reload_audit(const struct reload_run *run, dm_view file, uint64_t generation);

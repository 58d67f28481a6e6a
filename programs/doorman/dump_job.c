/* The memory dump of the process: restored before anything is seeded, written on SIGUSR1 and at the
 * end. */
#include "admin/services/carry_over.h"
#include "base/log.h"
#include "programs/doorman/doorman.h"

enum { NAME_CAP = 4096 };

static struct dm_dump_config config_of(const struct doorman *d)
{
    return (struct dm_dump_config){
        .path = d->dump_path,
        .key = &d->process.current->mem_encryption_key,
        .keep = (size_t)d->process.current->mem_dump_keep,
        .format = d->process.current->mem_dump_format == DM_MEM_DUMP_FORMAT_DMP1 ? DM_DUMP_DMP1
                                                                                 : DM_DUMP_FERNET,
        .clock = &dm_clock_system};
}

static bool import(struct doorman *d, struct dm_dump *dump)
{
    struct dm_error err;
    uint64_t carried;

    if (dm_documents_memory_import(d->documents, dm_dump_next, dump, &err) != DM_OK ||
        adm_carry_over(d->documents, &carried, &err) != DM_OK) {
        DM_LOG(DM_LOG_CRITICAL, DM_VIEW_NONE, "memory.restore.failed",
               DM_F("file", dm_dump_file(dump)), DM_FC("reason", err.text));
        return false;
    }
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Memory mode: restored from dump",
           DM_F("file", dm_dump_file(dump)), DM_F("created_at", dm_dump_created_at(dump)));
    return true;
}

bool doorman_restore(struct doorman *d)
{
    struct dm_dump_config c = config_of(d);
    struct dm_dump *dump = NULL;
    struct dm_error err;
    enum dm_code rc = DM_NOT_FOUND;
    bool good = true;

    if (!dm_secret_empty(c.key))
        rc = dm_dump_open(&c, &dump, &err);
    if (rc == DM_OK) {
        good = import(d, dump);
        /* Only now: a dump that could not be taken over stays where the operator put it. */
        if (good && dm_dump_settle(&c, dump, &err) != DM_OK)
            DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "memory.restore.rename_failed",
                   DM_FC("reason", err.text));
    } else if (rc == DM_NOT_FOUND) {
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Memory mode: no dump, fresh start");
    } else {
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "memory.restore.failed", DM_FC("reason", err.text));
        good = d->process.settings->mem_dump_ignore_errors;
    }
    dm_dump_close(dump);
    return good;
}

static struct dm_metric *result_metric(struct doorman *d, bool good)
{
    return dm_metric_get(d->process.metrics, DM_COUNTER, "doorman_memory_dump_total",
                         good ? "result=\"success\"" : "result=\"failure\"", "Memory dumps written",
                         NULL, 0);
}

void doorman_dump(struct process *p)
{
    struct doorman *d = doorman_of(p);
    struct dm_dump_config c = config_of(d);
    struct dm_json *data;
    struct dm_buf file;
    struct dm_error err;
    bool good;

    if (dm_secret_empty(c.key)) {
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
               "no memory dump: MEM_ENCRYPTION_KEY is not configured");
        return;
    }
    dm_buf_init(&file, NAME_CAP);
    data = adm_app_export(d->admin.app);
    good = dm_dump_write(&c, data, &file, &err) == DM_OK;
    dm_json_free(data);
    dm_mem_trim(); /* trees of all documents take several times what stays */
    dm_metric_add(result_metric(d, good), 0, 1);
    if (good)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "memory dump written", DM_F("file", dm_buf_view(&file)));
    else
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "memory.dump.failed", DM_FC("reason", err.text));
    dm_buf_done(&file);
}

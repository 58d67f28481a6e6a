/* What a running program does for the commands that look for it: PID_FILE, the outcome of a reload
 * beside it, the word to a `start` that waits. */
#include "base/log.h"
#include "codec/json.h"
#include "programs/process/control.h"
#include "programs/process/options.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { OUTCOME_CAP = 4 * 1024 * 1024 }; /* all faults of a file of 1 MiB */

char *control_outcome_path(const char *pid_file)
{
    struct dm_buf path;

    dm_buf_init(&path, SIZE_MAX);
    dm_buf_addf(&path, "%s.reload", pid_file);
    return dm_buf_take(&path, NULL);
}

bool control_take_pid_file(struct process *p, const struct options *o)
{
    char *path = dm_mem_text(p->settings->pid_file);
    const enum pid_taken taken = pid_file_take(&p->pid_file, path);

    dm_mem_free(path);
    p->notify_fd = o->notify_fd;
    if (taken == PID_HELD && o->notify_fd > 0) {
        fprintf(stderr, "%s: already running\n", p->program->name);
        return false;
    }
    if (taken != PID_TAKEN)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
               taken == PID_HELD ? "PID_FILE belongs to another running process"
                                 : "PID_FILE could not be written",
               DM_F("file", p->settings->pid_file));
    return true;
}

void control_started(struct process *p)
{
    const int null = p->notify_fd > 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;

    if (p->notify_fd <= 0)
        return;
    if (null >= 0) {
        dup2(null, STDERR_FILENO);
        close(null);
    }
    ssize_t n = write(p->notify_fd, "1", 1);
    (void)n; /* whoever waited has gone */
    close(p->notify_fd);
    p->notify_fd = 0;
}

static bool write_whole(const char *path, dm_view text)
{
    const int fd =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    const bool good = fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len;

    if (fd >= 0)
        close(fd);
    return good;
}

void control_tell_reload(struct process *p, const struct dm_json *report, bool by_signal)
{
    struct dm_json *outcome;
    struct dm_buf text, fresh;
    char *path;

    p->signals_served += by_signal;
    if (!by_signal || p->pid_file.path == NULL)
        return;
    outcome = dm_json_clone(report);
    dm_json_set_i64(outcome, DM_LIT("signals"), (int64_t)p->signals_served);
    dm_buf_init(&text, OUTCOME_CAP);
    dm_json_write(outcome, &text);
    dm_json_free(outcome);
    path = control_outcome_path(p->pid_file.path);
    dm_buf_init(&fresh, SIZE_MAX);
    dm_buf_addf(&fresh, "%s.new", path);
    if (!dm_buf_ok(&text) || !write_whole(dm_buf_cstr(&fresh), dm_buf_view(&text)) ||
        rename(dm_buf_cstr(&fresh), path) != 0)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "the outcome of the reload could not be written",
               DM_FC("file", path));
    dm_buf_done(&fresh);
    dm_buf_done(&text);
    dm_mem_free(path);
}

void control_end(struct process *p)
{
    if (p->pid_file.path != NULL) {
        char *path = control_outcome_path(p->pid_file.path);

        unlink(path);
        dm_mem_free(path);
    }
    pid_file_drop(&p->pid_file);
}

#include "programs/process/control.h"

#include "base/log.h"
#include "codec/json.h"
#include "io/probe.h"
#include "programs/process/commands.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    OUTCOME_CAP = 4 * 1024 * 1024, /* all faults of a file of 1 MiB */
    LOOK_EVERY_MS = 20,
    COMM_MAX = 15, /* what the kernel keeps of a program's name */
    NAME_CAP = 64
};
static const dm_time outcome_patience = 30 * DM_SEC; /* of a reload, or for readiness to end */
/* configuration.md §1 says 15 s; a drain that may take longer by its settings gets its time. */
static const dm_time stop_patience = 15 * DM_SEC, stop_margin = 5 * DM_SEC;

/* --- whom a command means --- */

struct target {
    pid_t pid;
    int pidfd;      /* readable when it has ended */
    char *pid_file; /* its path */
    uint16_t status_port;
    dm_time patience; /* with a drain */
};

/* In a container the program is process 1. Its name says so: /proc/1/exe may be closed to us. */
static bool is_init(const struct program *program)
{
    char name[NAME_CAP] = "";
    FILE *f = getpid() != 1 ? fopen("/proc/1/comm", "re") : NULL;
    const bool told = f != NULL && fgets(name, sizeof name, f) != NULL;

    if (f != NULL)
        fclose(f);
    return told && dm_view_eq(dm_view_sub(dm_view_of(name), 0, strcspn(name, "\n")),
                              dm_view_sub(dm_view_of(program->name), 0, COMM_MAX));
}

static void where(const struct program *program, const struct options *o, struct target *t)
{
    struct dm_settings *s = load_settings_leniently(program, o);

    t->pid_file = dm_mem_text(s->pid_file);
    t->status_port = (uint16_t)(s->metrics_port != 0 ? s->metrics_port : s->port);
    t->patience = s->shutdown_delay_seconds + s->shutdown_timeout_seconds + stop_margin;
    if (t->patience < stop_patience)
        t->patience = stop_patience;
    dm_settings_unref(s);
}

/* The number may be another's by the time it is used: held open, then asked for again. */
static bool find(const struct program *program, struct target *t)
{
    pid_t pid = pid_file_find(t->pid_file);

    if (pid == 0 && is_init(program))
        pid = 1;
    if (pid == 0)
        return false;
    t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (t->pidfd < 0 || (pid != 1 && pid_file_find(t->pid_file) != pid))
        return false;
    t->pid = pid;
    return true;
}

static bool look_up(const struct program *program, const struct options *o, struct target *t)
{
    *t = (struct target){.pidfd = -1};
    where(program, o, t);
    return find(program, t);
}

static void forget(struct target *t)
{
    if (t->pidfd >= 0)
        close(t->pidfd);
    dm_mem_free(t->pid_file);
}

static bool send(const struct program *program, const struct target *t, int number)
{
    if (syscall(SYS_pidfd_send_signal, t->pidfd, number, NULL, 0) == 0)
        return true;
    fprintf(stderr, "%s: process %ld could not be told: %s\n", program->name, (long)t->pid,
            strerror(errno));
    return false;
}

static int nobody(const struct program *program, const struct target *t)
{
    fprintf(stderr, "%s: not running (%s names no running one)\n", program->name, t->pid_file);
    return EX_UNAVAILABLE;
}

/* True when it has ended within that time. */
static bool ends_within(const struct target *t, dm_time time)
{
    struct pollfd end = {.fd = t->pidfd, .events = POLLIN};

    return poll(&end, 1, (int)(time / DM_MS)) == 1;
}

/* --- stop --- */

static int stop(const struct program *program, const struct target *t)
{
    if (!send(program, t, SIGTERM))
        return EX_NOPERM;
    if (!ends_within(t, t->patience)) {
        fprintf(stderr, "%s: process %ld still runs after %lld s\n", program->name, (long)t->pid,
                (long long)(t->patience / DM_SEC));
        return EX_TEMPFAIL;
    }
    /* Left behind, and nobody new holds it. */
    if (t->pid != 1 && access(t->pid_file, F_OK) == 0 && pid_file_find(t->pid_file) == 0) {
        fprintf(stderr, "%s: process %ld ended before its end was orderly\n", program->name,
                (long)t->pid);
        return EX_SOFTWARE;
    }
    printf("%s stopped\n", program->name);
    return 0;
}

int command_stop(const struct program *program, struct process *p, const struct options *o)
{
    struct target t;
    int code = 0;

    (void)p;
    if (look_up(program, o, &t))
        code = stop(program, &t);
    else
        printf("%s is not running\n", program->name);
    forget(&t);
    return code;
}

/* --- start --- */

/* In the child, before any thread. What it says goes to the caller until it serves. */
static void become_service(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO); /* LOGS_DIR has the log */
        close(null);
    }
}

/* The child tells by one byte that it serves; the end of the pipe without it, that it ended. */
static int await(const struct program *program, pid_t child, int fd)
{
    char told;
    ssize_t n;
    int status;

    do {
        n = read(fd, &told, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1) {
        printf("%s started, process %ld\n", program->name, (long)child);
        return 0;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EX_SOFTWARE;
}

static int start(const struct program *program, struct process *p, const struct options *o)
{
    struct options service = *o;
    int ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return EX_OSERR;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        become_service();
        service.notify_fd = ends[1];
        return process_run(program, p, &service);
    }
    close(ends[1]);
    const int code = child < 0 ? EX_OSERR : await(program, child, ends[0]);
    close(ends[0]);
    return code;
}

int command_start(const struct program *program, struct process *p, const struct options *o)
{
    struct dm_settings *settings = load_settings(program, o, NULL);
    int code = EX_UNAVAILABLE;

    if (settings == NULL)
        return EX_CONFIG;
    char *path = dm_mem_text(settings->pid_file);
    dm_settings_unref(settings);
    const pid_t pid = pid_file_find(path);
    if (pid != 0)
        fprintf(stderr, "%s: already running, process %ld\n", program->name, (long)pid);
    dm_mem_free(path);
    if (pid == 0)
        code = start(program, p, o);
    return code;
}

int command_restart(const struct program *program, struct process *p, const struct options *o)
{
    /* A configuration that would not start must not stop what serves. */
    struct dm_settings *settings = load_settings(program, o, NULL);
    int code;

    if (settings == NULL)
        return EX_CONFIG;
    dm_settings_unref(settings);
    code = command_stop(program, p, o);
    return code == 0 || code == EX_SOFTWARE ? command_start(program, p, o) : code;
}

/* --- reload --- */

/* Owned by the caller; NULL: there is none (yet). */
static struct dm_json *read_outcome(const char *path)
{
    struct dm_json *outcome = NULL;
    struct dm_buf text;
    char piece[4096];
    FILE *f = fopen(path, "re");

    if (f == NULL)
        return NULL;
    dm_buf_init(&text, OUTCOME_CAP);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        dm_buf_add(&text, dm_view_make(piece, n));
    fclose(f);
    struct dm_error err;
    if (!dm_buf_ok(&text) ||
        dm_json_parse(dm_buf_view(&text), &dm_json_default, &outcome, &err) != DM_OK)
        outcome = NULL;
    dm_buf_done(&text);
    return outcome;
}

static int64_t signals_served(const struct dm_json *outcome)
{
    return dm_json_i64(dm_json_get(outcome, DM_LIT("signals")), 0);
}

static dm_view text_of(const struct dm_json *o, const char *name)
{
    return dm_json_str(dm_json_get(o, dm_view_of(name)));
}

static void print_fault(const struct dm_json *e)
{
    const dm_view file = text_of(e, "file"), expected = text_of(e, "expected");
    const int64_t line = dm_json_i64(dm_json_get(e, DM_LIT("line")), 0);

    if (file.len > 0)
        fprintf(stderr, "%.*s:", DM_FMT(file));
    if (line > 0)
        fprintf(stderr, "%lld:%lld:", (long long)line,
                (long long)dm_json_i64(dm_json_get(e, DM_LIT("column")), 0));
    fprintf(stderr, "%s%.*s: %.*s%s%.*s\n", file.len > 0 ? " " : "", DM_FMT(text_of(e, "key")),
            DM_FMT(text_of(e, "reason")), expected.len > 0 ? "; expected " : "", DM_FMT(expected));
}

static void print_keys(const struct dm_json *outcome, const char *name)
{
    const struct dm_json *list = dm_json_get(outcome, dm_view_of(name));

    if (dm_json_len(list) == 0)
        return;
    printf("%s:", name);
    for (const struct dm_json *k = dm_json_first(list); k != NULL; k = dm_json_next(k))
        printf(" %.*s", DM_FMT(dm_json_str(k)));
    printf("\n");
}

static int print_outcome(const struct program *program, const struct dm_json *outcome)
{
    const struct dm_json *errors = dm_json_get(outcome, DM_LIT("errors"));
    const int64_t generation = dm_json_i64(dm_json_get(outcome, DM_LIT("generation")), 0);

    if (dm_json_bool(dm_json_get(outcome, DM_LIT("ok")), false)) {
        printf("%s reloaded, generation %lld\n", program->name, (long long)generation);
        print_keys(outcome, "changed");
        print_keys(outcome, "restart_required");
        print_keys(outcome, "overridden_by_env");
        return 0;
    }
    fprintf(stderr, "%s: configuration is invalid, keeping generation %lld\n", program->name,
            (long long)generation);
    for (const struct dm_json *e = dm_json_first(errors); e != NULL; e = dm_json_next(e))
        print_fault(e);
    return EX_CONFIG;
}

static int await_outcome(const struct program *program, const struct target *t, const char *path,
                         int64_t before)
{
    const dm_time until = dm_clock_mono(&dm_clock_system) + outcome_patience;

    do {
        DM_DEFER(dm_json_freep) struct dm_json *outcome = read_outcome(path);

        if (signals_served(outcome) > before)
            return print_outcome(program, outcome);
        if (ends_within(t, LOOK_EVERY_MS * DM_MS)) {
            fprintf(stderr, "%s: process %ld ended\n", program->name, (long)t->pid);
            return EX_UNAVAILABLE;
        }
    } while (dm_clock_mono(&dm_clock_system) < until);
    fprintf(stderr, "%s: no outcome within %lld s; see the log\n", program->name,
            (long long)(outcome_patience / DM_SEC));
    return EX_TEMPFAIL;
}

static int reload(const struct program *program, const struct target *t)
{
    char *path = control_outcome_path(t->pid_file);
    struct dm_json *before = read_outcome(path);
    const int64_t served = signals_served(before);
    int code = EX_NOPERM;

    dm_json_free(before);
    if (send(program, t, SIGHUP)) {
        if (pid_file_find(t->pid_file) == t->pid) {
            code = await_outcome(program, t, path, served);
        } else { /* process 1, which could not write one */
            printf("%s: process %ld was told; its log has the outcome\n", program->name,
                   (long)t->pid);
            code = 0;
        }
    }
    dm_mem_free(path);
    return code;
}

int command_reload(const struct program *program, struct process *p, const struct options *o)
{
    struct target t;
    int code;

    (void)p;
    code = look_up(program, o, &t) ? reload(program, &t) : nobody(program, &t);
    forget(&t);
    return code;
}

/* --- drain --- */

static int drain(const struct program *program, const struct target *t, uint64_t wait)
{
    const dm_time until = dm_clock_mono(&dm_clock_system) + outcome_patience;

    if (!send(program, t, SIGUSR2))
        return EX_NOPERM;
    while (dm_probe_ask(t->status_port, DM_LIT("/readyz"))) {
        if (ends_within(t, LOOK_EVERY_MS * DM_MS) || dm_clock_mono(&dm_clock_system) >= until) {
            fprintf(stderr, "%s: process %ld did not drain\n", program->name, (long)t->pid);
            return EX_TEMPFAIL;
        }
    }
    printf("%s drains: not ready any more, still serving\n", program->name);
    fflush(stdout);
    if (wait > 0) /* a preStop hook: the pod's end waits for us */
        (void)ends_within(t, (dm_time)wait * DM_SEC);
    return 0;
}

int command_drain(const struct program *program, struct process *p, const struct options *o)
{
    struct target t;
    int code;

    (void)p;
    code = look_up(program, o, &t) ? drain(program, &t, o->wait) : nobody(program, &t);
    forget(&t);
    return code;
}

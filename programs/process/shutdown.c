/* Signals and the way down: not ready -> delay -> drain -> end (operations.md §8.16). Control
 * thread. */
#include "base/log.h"
#include "programs/process/process.h"
#include "programs/process/program.h"
#include "programs/process/reload.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void stop_now(struct process *p)
{
    dm_timer_stop(&p->step);
    dm_loop_stop(p->control);
}

static void on_budget_spent(struct dm_timer *t)
{
    struct process *p = DM_CONTAINER_OF(t, struct process, step);

    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "shutdown incomplete",
           DM_FI("inflight", p->program->inflight(p)));
    stop_now(p);
}

static void on_letter_drained(struct dm_letter *l)
{
    stop_now(DM_CONTAINER_OF(l, struct process, drained));
}

void process_drained(void *ctx)
{
    struct process *p = ctx;

    p->drained.fn = on_letter_drained;
    if (dm_mailbox_send(p->control_box, &p->drained) != DM_OK)
        dm_loop_wake(p->control); /* the budget's timer still ends it */
}

static void start_drain(struct dm_timer *t)
{
    struct process *p = DM_CONTAINER_OF(t, struct process, step);

    dm_timer_init(&p->step, on_budget_spent);
    dm_timer_start(p->control, &p->step, p->current->shutdown_timeout_seconds);
    p->program->drain(p);
}

void process_begin_drain(struct process *p)
{
    dm_timer_init(&p->step, start_drain);
    dm_timer_start(p->control, &p->step, p->current->shutdown_delay_seconds);
}

static void wake_starter(struct process *p)
{
    pthread_mutex_lock(&p->stop_lock);
    p->stop_asked = true;
    pthread_cond_broadcast(&p->stop_cond);
    pthread_mutex_unlock(&p->stop_lock);
}

static void begin_shutdown(struct process *p, int signal_number)
{
    if (p->stopping)
        _exit(128 + signal_number); /* a second signal: at once */
    p->stopping = true;
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Shutting down gracefully...");
    atomic_store(&p->ops.draining, true);
    wake_starter(p);
    if (!p->starting) /* else it is for whoever hears that starting ended */
        process_begin_drain(p);
}

static void dump(struct process *p)
{
    if (p->program->dump != NULL)
        p->program->dump(p);
    else
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "no memory dump: nothing is kept in memory alone");
}

static void on_signal(struct dm_io *io, uint32_t events)
{
    struct process *p = DM_CONTAINER_OF(io, struct process, signals);
    struct signalfd_siginfo info;

    (void)events;
    if (read(io->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGTERM:
    case SIGINT:
        begin_shutdown(p, (int)info.ssi_signo);
        return;
    case SIGUSR1:
        if (p->serving)
            dump(p);
        return;
    case SIGUSR2: /* until the end: whoever sends traffic takes it elsewhere */
        if (!atomic_exchange(&p->ops.draining, true))
            DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "draining: not ready any more, still serving");
        return;
    case SIGHUP:
        dm_log_reopen();
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "log files reopened");
        reload_ask(p->reload, RELOAD_SIGHUP);
        return;
    default:
        return;
    }
}

bool process_watch_signals(struct process *p)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return false;
    signal(SIGPIPE, SIG_IGN);
    p->signals =
        (struct dm_io){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal};
    if (p->signals.fd < 0)
        return false;
    dm_loop_watch_level(p->control, &p->signals, EPOLLIN);
    return true;
}

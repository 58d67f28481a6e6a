/* Signals and the way down: not ready -> delay -> drain -> dump -> exit (operations.md §8.16). */
#include "base/log.h"
#include "standalone/doorman.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void stop_now(struct doorman *d)
{
    dm_timer_stop(&d->step);
    dm_loop_stop(d->control);
}

static void on_budget_spent(struct dm_timer *t)
{
    struct doorman *d = DM_CONTAINER_OF(t, struct doorman, step);

    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "shutdown incomplete",
           DM_FI("inflight", gw_plane_inflight(d->plane)));
    stop_now(d);
}

static void on_letter_drained(struct dm_letter *l)
{
    stop_now(DM_CONTAINER_OF(l, struct doorman, drained));
}

void doorman_on_drained(void *ctx)
{
    struct doorman *d = ctx;

    d->drained.fn = on_letter_drained;
    if (dm_mailbox_send(d->control_box, &d->drained) != DM_OK)
        dm_loop_wake(d->control); /* the budget's timer still ends it */
}

static void start_drain(struct dm_timer *t)
{
    struct doorman *d = DM_CONTAINER_OF(t, struct doorman, step);

    dm_timer_init(&d->step, on_budget_spent);
    dm_timer_start(d->control, &d->step, d->settings->shutdown_timeout_seconds);
    gw_plane_drain(d->plane);
}

static void begin_shutdown(struct doorman *d, int signal_number)
{
    if (d->stopping)
        _exit(128 + signal_number); /* a second signal: at once */
    d->stopping = true;
    DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Shutting down gracefully...");
    atomic_store(&d->ops.draining, true);
    dm_timer_init(&d->step, start_drain);
    dm_timer_start(d->control, &d->step, d->settings->shutdown_delay_seconds);
}

static void on_signal(struct dm_io *io, uint32_t events)
{
    struct doorman *d = DM_CONTAINER_OF(io, struct doorman, signals);
    struct signalfd_siginfo info;

    (void)events;
    if (read(io->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGTERM:
    case SIGINT:
        begin_shutdown(d, (int)info.ssi_signo);
        return;
    case SIGUSR1:
        doorman_dump(d);
        return;
    case SIGHUP:
        dm_log_reopen();
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "log files reopened");
        return;
    default:
        return;
    }
}

bool doorman_watch_signals(struct doorman *d)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return false;
    signal(SIGPIPE, SIG_IGN);
    d->signals =
        (struct dm_io){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal};
    if (d->signals.fd < 0)
        return false;
    dm_loop_watch_level(d->control, &d->signals, EPOLLIN);
    return true;
}

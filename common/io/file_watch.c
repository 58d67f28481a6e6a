#include "io/file_watch.h"

#include "base/assert.h"
#include "base/mem.h"
#include "io/timer.h"
#include <sys/inotify.h>
#include <unistd.h>

#include "base/poison.h"

enum {
    UNREST = 10,        /* quiet times after which unrest without end is told */
    READ_SIZE = 16 * 1024 /* some hundred events at a time */
};
static const dm_time retry = 250 * DM_MS; /* of a directory that is not there */

/* Files appear by being written, renamed or linked; they go by name. */
static const uint32_t mask = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                             IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
static const uint32_t gone = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

struct file {
    char *path; /* as it was given */
    char *dir;
    dm_view name; /* within path */
    int wd;       /* of its directory, shared with its neighbours; -1: none */
};

struct dm_file_watch {
    struct dm_file_watch_config config;
    struct dm_io io; /* fd -1: the kernel gave no inotify */
    struct file *files;
    size_t n_files;
    struct dm_timer quiet, again, poll;
    dm_time unrest_since; /* 0: quiet */
};

/* ---- telling ---- */

static void tell(struct dm_file_watch *w)
{
    w->unrest_since = 0;
    dm_timer_stop(&w->quiet);
    w->config.on_change(w->config.ctx);
}

static void on_quiet(struct dm_timer *t)
{
    tell(DM_CONTAINER_OF(t, struct dm_file_watch, quiet));
}

static void on_poll(struct dm_timer *t)
{
    struct dm_file_watch *w = DM_CONTAINER_OF(t, struct dm_file_watch, poll);

    dm_timer_start(w->config.loop, &w->poll, w->config.poll);
    tell(w);
}

static void something_happened(struct dm_file_watch *w)
{
    const dm_time now = dm_loop_now(w->config.loop);

    if (w->unrest_since == 0)
        w->unrest_since = now;
    const dm_time left = w->unrest_since + UNREST * w->config.debounce - now;
    if (left <= 0 && w->config.debounce > 0)
        tell(w);
    else
        dm_timer_start(w->config.loop, &w->quiet,
                       left < w->config.debounce ? left : w->config.debounce);
}

/* ---- watching ---- */

static bool arm(struct dm_file_watch *w)
{
    bool all = true;

    for (size_t i = 0; i < w->n_files; i++) {
        if (w->files[i].wd < 0 && w->io.fd >= 0)
            w->files[i].wd = inotify_add_watch(w->io.fd, w->files[i].dir, mask);
        all = all && w->files[i].wd >= 0;
    }
    if (!all && w->io.fd >= 0)
        dm_timer_start(w->config.loop, &w->again, retry);
    return all;
}

static size_t missing(const struct dm_file_watch *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n_files; i++)
        n += w->files[i].wd < 0;
    return n;
}

static void on_again(struct dm_timer *t)
{
    struct dm_file_watch *w = DM_CONTAINER_OF(t, struct dm_file_watch, again);
    const size_t before = missing(w);

    arm(w);
    if (missing(w) < before)
        something_happened(w);
}

static void lose(struct dm_file_watch *w, const struct inotify_event *e)
{
    bool ours = false;

    for (size_t i = 0; i < w->n_files; i++) {
        if (w->files[i].wd != e->wd)
            continue;
        w->files[i].wd = -1;
        ours = true;
    }
    if (!ours)
        return;
    if ((e->mask & IN_IGNORED) == 0)
        (void)inotify_rm_watch(w->io.fd, e->wd); /* moved: it still watches what went away */
    dm_timer_start(w->config.loop, &w->again, retry);
    something_happened(w);
}

static bool concerns(const struct dm_file_watch *w, const struct inotify_event *e)
{
    if ((e->mask & IN_Q_OVERFLOW) != 0)
        return true;
    const dm_view name = e->len > 0 ? dm_view_of(e->name) : DM_LIT("");
    for (size_t i = 0; i < w->n_files; i++) {
        if (w->files[i].wd == e->wd &&
            (dm_view_eq(name, w->files[i].name) || dm_view_eq(name, DM_LIT("..data"))))
            return true;
    }
    return false;
}

static void on_events(struct dm_io *io, uint32_t events)
{
    struct dm_file_watch *w = DM_CONTAINER_OF(io, struct dm_file_watch, io);
    _Alignas(struct inotify_event) char bytes[READ_SIZE];
    const ssize_t n = read(io->fd, bytes, sizeof bytes);

    (void)events;
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *whole = (const struct inotify_event *)(void *)(bytes + at);
        at += (ssize_t)(sizeof *whole + whole->len);
        if ((whole->mask & gone) != 0)
            lose(w, whole);
        else if (concerns(w, whole))
            something_happened(w);
    }
}

/* ---- life ---- */

static void split(struct file *f, dm_view path)
{
    size_t slash = path.len;

    while (slash > 0 && path.ptr[slash - 1] != '/')
        slash--;
    f->path = dm_mem_text(path);
    f->dir = dm_mem_text(slash == 0   ? DM_LIT(".")
                         : slash == 1 ? DM_LIT("/")
                                      : dm_view_sub(path, 0, slash - 1));
    f->name = dm_view_sub(dm_view_of(f->path), slash, path.len - slash);
    f->wd = -1;
}

static void forget_files(struct dm_file_watch *w)
{
    for (size_t i = 0; i < w->n_files; i++) {
        if (w->files[i].wd >= 0)
            (void)inotify_rm_watch(w->io.fd, w->files[i].wd); /* of a neighbour's, already gone */
        dm_mem_free(w->files[i].path);
        dm_mem_free(w->files[i].dir);
    }
    dm_mem_free(DM_TAKE(w->files));
    w->n_files = 0;
}

static bool same_files(const struct dm_file_watch *w, const dm_view *paths, size_t n)
{
    bool same = n == w->n_files;

    for (size_t i = 0; same && i < n; i++)
        same = dm_view_eq(dm_view_of(w->files[i].path), paths[i]);
    return same;
}

bool dm_file_watch_set(struct dm_file_watch *w, const dm_view *paths, size_t n)
{
    if (same_files(w, paths, n))
        return missing(w) == 0;
    forget_files(w);
    w->files = dm_mem_array(n, sizeof *w->files);
    w->n_files = n;
    for (size_t i = 0; i < n; i++)
        split(&w->files[i], paths[i]);
    return arm(w);
}

struct dm_file_watch *dm_file_watch_new(const struct dm_file_watch_config *c)
{
    DM_REQUIRE(c->loop != NULL && c->on_change != NULL);
    struct dm_file_watch *w = DM_NEW(struct dm_file_watch);

    w->config = *c;
    dm_timer_init(&w->quiet, on_quiet);
    dm_timer_init(&w->again, on_again);
    dm_timer_init(&w->poll, on_poll);
    w->io = (struct dm_io){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .fn = on_events};
    if (w->io.fd >= 0)
        dm_loop_watch_level(c->loop, &w->io, EPOLLIN);
    if (c->poll > 0)
        dm_timer_start(c->loop, &w->poll, c->poll);
    return w;
}

void dm_file_watch_free(struct dm_file_watch *w)
{
    if (w == NULL)
        return;
    forget_files(w);
    dm_timer_stop(&w->quiet);
    dm_timer_stop(&w->again);
    dm_timer_stop(&w->poll);
    if (w->io.fd >= 0) {
        dm_loop_forget(w->config.loop, &w->io);
        close(w->io.fd);
    }
    dm_mem_free(w);
}

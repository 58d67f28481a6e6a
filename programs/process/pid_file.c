#include "programs/process/pid_file.h"

#include "base/mem.h"
#include "base/view.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TEXT_MAX = 32,
    TRIES = 50, /* of a file that is being made or removed at this moment */
    TRY_EVERY_MS = 20
};

static void wait_a_little(void)
{
    (void)poll(NULL, 0, TRY_EVERY_MS);
}

/* Locks of the open file, not of the process: no other descriptor of ours drops them by closing. */
static bool lock(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

static bool locked(int fd) /* by somebody else; asking takes nothing */
{
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

/* --- taking --- */

/* The name may have gone, or gone to another file, between opening and locking. */
static bool still_there(int fd, const char *path)
{
    struct stat by_fd, by_path;

    return fstat(fd, &by_fd) == 0 && lstat(path, &by_path) == 0 && by_fd.st_dev == by_path.st_dev &&
           by_fd.st_ino == by_path.st_ino;
}

static bool write_pid(int fd)
{
    char text[TEXT_MAX];
    const int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) == len;
}

enum pid_taken pid_file_take(struct pid_file *f, const char *path)
{
    for (int i = 0; i < TRIES; i++) {
        /* Never through a link: the folder may be one that others write. */
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);

        if (fd < 0)
            return PID_UNWRITABLE;
        if (!lock(fd)) {
            const bool held = errno == EAGAIN || errno == EACCES;

            close(fd);
            return held ? PID_HELD : PID_UNWRITABLE;
        }
        if (!still_there(fd, path)) {
            close(fd);
            continue;
        }
        if (!write_pid(fd)) {
            unlink(path);
            close(fd);
            return PID_UNWRITABLE;
        }
        f->path = dm_mem_text(dm_view_of(path));
        f->fd = fd;
        return PID_TAKEN;
    }
    return PID_UNWRITABLE;
}

void pid_file_drop(struct pid_file *f)
{
    if (f->path == NULL)
        return;
    if (still_there(f->fd, f->path))
        unlink(f->path);
    close(f->fd); /* and with it the lock */
    dm_mem_free(DM_TAKE(f->path));
}

/* --- finding --- */

static pid_t read_pid(int fd)
{
    char text[TEXT_MAX];
    const ssize_t n = pread(fd, text, sizeof text, 0);
    dm_view rest = dm_view_make(text, n > 0 ? (size_t)n : 0), line;
    int64_t pid;

    return dm_view_split(&rest, '\n', &line) && dm_parse_i64(line, 1, INT32_MAX, &pid) ? (pid_t)pid
                                                                                       : 0;
}

pid_t pid_file_find(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    pid_t pid = 0;

    if (fd < 0)
        return 0;
    /* Held, but no number yet: it is being written. */
    for (int i = 0; i < TRIES && pid == 0; i++) {
        if (!locked(fd))
            break;
        pid = read_pid(fd);
        if (pid == 0)
            wait_a_little();
    }
    close(fd);
    return pid;
}

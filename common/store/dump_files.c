#include "store/dump_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"

#include "base/poison.h"

enum {
    READ_STEP = 1024 * 1024,
    FILES_MAX = 100000 /* in the directory: more are not ours to sort */
};

static dm_view suffix(void)
{
    return DM_LIT(".bin");
}

/* Up to and with the last slash; "" when there is none. */
static dm_view directory(dm_view path)
{
    size_t end = path.len;
    while (end > 0 && path.ptr[end - 1] != '/')
        end--;
    return dm_view_sub(path, 0, end);
}

/* The file's name without its extension. */
static dm_view stem_name(dm_view path)
{
    dm_view name = dm_view_sub(path, directory(path).len, SIZE_MAX);
    for (size_t at = name.len; at > 1; at--) {
        if (name.ptr[at - 1] == '.')
            return dm_view_sub(name, 0, at - 1);
    }
    return name;
}

void dm_dump_name(const char *path, const char *stamp, struct dm_buf *ret)
{
    dm_view whole = dm_view_of(path);
    dm_buf_clear(ret);
    dm_buf_add(ret, directory(whole));
    dm_buf_add(ret, stem_name(whole));
    dm_buf_add_byte(ret, '-');
    dm_buf_add(ret, dm_view_of(stamp));
    dm_buf_add(ret, suffix());
}

static bool is_stamp(dm_view v)
{
    static const char shape[] = "dddddddd"
                                "T"
                                "dddddd"
                                "Z";
    if (v.len != DM_STAMP_LEN)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (shape[i] == 'd' ? v.ptr[i] < '0' || v.ptr[i] > '9' : v.ptr[i] != shape[i])
            return false;
    }
    return true;
}

static bool is_dump(dm_view name, dm_view stem)
{
    return name.len == stem.len + 1 + DM_STAMP_LEN + suffix().len && dm_view_starts(name, stem) &&
           name.ptr[stem.len] == '-' && dm_view_ends(name, suffix()) &&
           is_stamp(dm_view_sub(name, stem.len + 1, DM_STAMP_LEN));
}

static enum dm_code fail(struct dm_error *err, const char *what, const char *file)
{
    char reason[128];
    const char *text = strerror_r(errno, reason, sizeof reason);
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_NONE, "could not %s \"%s\": %s", what, file, text);
}

/* Names of one kind and length, so bytewise order is order of time. */
static int newest_first(const void *a, const void *b)
{
    return -strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **list;
    size_t n;
};

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        dm_mem_free(names->list[i]);
    dm_mem_free(names->list);
}

static char *directory_text(const char *path)
{
    dm_view dir = directory(dm_view_of(path));
    return dm_mem_text(dir.len == 0 ? DM_LIT("./") : dir);
}

static enum dm_code list_dumps(const char *path, struct names *ret, struct dm_error *err)
{
    DM_DEFER(dm_mem_freep) char *dir = directory_text(path);
    dm_view stem = stem_name(dm_view_of(path));
    DIR *d = opendir(dir);
    *ret = (struct names){0};
    if (d == NULL)
        return errno == ENOENT ? DM_OK : fail(err, "list", dir);
    for (struct dirent *e; ret->n < FILES_MAX && (e = readdir(d)) != NULL;) {
        if (!is_dump(dm_view_of(e->d_name), stem))
            continue;
        ret->list = dm_mem_grow(ret->list, ret->n + 1, sizeof(char *));
        ret->list[ret->n++] = dm_mem_text(dm_view_of(e->d_name));
    }
    (void)closedir(d);
    if (ret->n > 1)
        qsort(ret->list, ret->n, sizeof(char *), newest_first);
    return DM_OK;
}

enum dm_code dm_dump_newest(const char *path, struct dm_buf *ret, struct dm_error *err)
{
    struct names names;
    enum dm_code rc = list_dumps(path, &names, err);
    if (rc == DM_OK && names.n == 0)
        rc = DM_FAIL(err, DM_NOT_FOUND, ERR_NONE, "no dump of \"%s\"", path);
    if (rc == DM_OK) {
        dm_buf_clear(ret);
        dm_buf_add(ret, directory(dm_view_of(path)));
        dm_buf_add(ret, dm_view_of(names.list[0]));
    }
    names_done(&names);
    return rc;
}

enum dm_code dm_dump_prune(const char *path, size_t keep, struct dm_error *err)
{
    struct names names;
    DM_DEFER(dm_mem_freep) char *dir = directory_text(path);
    enum dm_code rc = keep == 0 ? DM_OK : list_dumps(path, &names, err);
    if (keep == 0 || rc != DM_OK)
        return rc;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && names.n > keep)
        rc = fail(err, "open", dir);
    for (size_t i = keep; fd >= 0 && i < names.n; i++) {
        if (unlinkat(fd, names.list[i], 0) != 0 && errno != ENOENT)
            rc = fail(err, "delete old dump", names.list[i]);
    }
    if (fd >= 0)
        (void)close(fd);
    names_done(&names);
    return rc;
}

/* Each missing part of the path, 0700: dumps hold password hashes and keys. */
static enum dm_code make_directory(const char *file, struct dm_error *err)
{
    DM_DEFER(dm_mem_freep) char *dir = directory_text(file);
    for (char *at = dir + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(dir, 0700) != 0 && errno != EEXIST)
            return fail(err, "create directory", dir);
        *at = '/';
    }
    return DM_OK;
}

static bool write_all(int fd, dm_view bytes)
{
    while (bytes.len > 0) {
        if (dm_fault(DM_FAULT_FILE_WRITE)) {
            errno = ENOSPC;
            return false;
        }
        ssize_t put = write(fd, bytes.ptr, bytes.len < READ_STEP ? bytes.len : READ_STEP);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        bytes = dm_view_sub(bytes, (size_t)put, SIZE_MAX);
    }
    return true;
}

static bool sync_fd(int fd)
{
    if (dm_fault(DM_FAULT_FILE_WRITE)) {
        errno = ENOSPC;
        return false;
    }
    return fsync(fd) == 0;
}

/* So that the name itself survives a loss of power. */
static enum dm_code sync_directory(const char *file, struct dm_error *err)
{
    DM_DEFER(dm_mem_freep) char *dir = directory_text(file);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum dm_code rc = fd >= 0 && sync_fd(fd) ? DM_OK : fail(err, "sync", dir);
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static enum dm_code write_temporary(const char *name, dm_view bytes, struct dm_error *err)
{
    if (unlink(name) != 0 && errno != ENOENT) /* what a crash left behind */
        return fail(err, "remove", name);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(err, "create", name);
    enum dm_code rc = write_all(fd, bytes) && sync_fd(fd) ? DM_OK : fail(err, "write", name);
    if (close(fd) != 0 && rc == DM_OK)
        rc = fail(err, "close", name);
    if (rc != DM_OK)
        (void)unlink(name);
    return rc;
}

enum dm_code dm_dump_file_write(const char *path, const char *file, dm_view bytes,
                                struct dm_error *err)
{
    struct dm_buf temporary;
    dm_buf_init(&temporary, DM_DUMP_NAME_MAX);
    dm_buf_add(&temporary, directory(dm_view_of(path)));
    dm_buf_add(&temporary, stem_name(dm_view_of(path)));
    dm_buf_add(&temporary, DM_LIT(".tmp")); /* one name: a crash leaves at most one behind */
    const char *name = dm_buf_cstr(&temporary);
    enum dm_code rc = DM_OK;
    if (name == NULL)
        rc = DM_FAIL(err, DM_INVALID, ERR_NONE, "could not write dump: name over %d bytes",
                     DM_DUMP_NAME_MAX);
    if (rc == DM_OK)
        rc = make_directory(file, err);
    if (rc == DM_OK)
        rc = write_temporary(name, bytes, err);
    if (rc == DM_OK && rename(name, file) != 0) {
        rc = fail(err, "rename", name);
        (void)unlink(name);
    }
    if (rc == DM_OK)
        rc = sync_directory(file, err);
    dm_buf_done(&temporary);
    return rc;
}

static enum dm_code read_all(int fd, const char *file, struct dm_buf *ret, struct dm_error *err)
{
    for (;;) {
        char *at = dm_buf_reserve(ret, READ_STEP);
        if (at == NULL)
            return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not read \"%s\": too large", file);
        ssize_t got = read(fd, at, READ_STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(err, "read", file);
        if (got == 0)
            return DM_OK;
        dm_buf_commit(ret, (size_t)got);
    }
}

enum dm_code dm_dump_file_read(const char *file, struct dm_buf *ret, struct dm_error *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return DM_FAIL(err, DM_NOT_FOUND, ERR_NONE, "no file \"%s\"", file);
    if (fd < 0)
        return fail(err, "open", file);
    enum dm_code rc = read_all(fd, file, ret, err);
    (void)close(fd);
    return rc;
}

enum dm_code dm_dump_file_rename(const char *from, const char *to, struct dm_error *err)
{
    if (rename(from, to) != 0)
        return fail(err, "rename", from);
    return sync_directory(to, err);
}

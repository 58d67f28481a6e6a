#include "base/metrics_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#include "base/poison.h"

enum {
    PROC_TEXT = 1024,    /* /proc/self/stat has about 350 bytes */
    STAT_START_TIME = 22 /* proc(5): number of the field in /proc/self/stat */
};

static dm_view read_proc(const char *path, char text[PROC_TEXT])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return DM_VIEW_NONE;
    ssize_t len = read(fd, text, PROC_TEXT);
    close(fd);
    return dm_view_make(text, len > 0 ? (size_t)len : 0);
}

/* The n-th word (from 1) of a text separated by blanks. */
static bool word_number(dm_view text, int n, uint64_t *ret)
{
    dm_view word;
    while (dm_view_split(&text, ' ', &word)) {
        if (--n == 0)
            return dm_parse_u64(word, UINT64_MAX, ret);
    }
    return false;
}

static void write_one(struct dm_buf *out, const char *name, const char *type, const char *help)
{
    dm_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name, type, name);
}

static void write_memory(struct dm_buf *out)
{
    char text[PROC_TEXT];
    uint64_t total, resident, page = (uint64_t)sysconf(_SC_PAGESIZE);
    dm_view statm = read_proc("/proc/self/statm", text);
    if (!word_number(statm, 1, &total) || !word_number(statm, 2, &resident))
        return;
    write_one(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
    dm_buf_add_u64(out, resident * page);
    dm_buf_add_byte(out, '\n');
    write_one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.");
    dm_buf_add_u64(out, total * page);
    dm_buf_add_byte(out, '\n');
}

static void write_files(struct dm_buf *out)
{
    DIR *dir = opendir("/proc/self/fd");
    struct rlimit limit;
    if (dir != NULL) {
        uint64_t n = 0;
        for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
            n += e->d_name[0] != '.';
        closedir(dir);
        write_one(out, "process_open_fds", "gauge", "Number of open file descriptors.");
        dm_buf_add_u64(out, n - 1); /* not the one just used for counting */
        dm_buf_add_byte(out, '\n');
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        write_one(out, "process_max_fds", "gauge", "Maximum number of open file descriptors.");
        dm_buf_add_u64(out, limit.rlim_cur);
        dm_buf_add_byte(out, '\n');
    }
}

static void write_cpu(struct dm_buf *out)
{
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0)
        return;
    write_one(out, "process_cpu_seconds_total", "counter",
              "Total user and system CPU time spent in seconds.");
    dm_buf_addf(out, "%lld.%09ld\n", (long long)used.tv_sec, used.tv_nsec);
}

/* The kernel tells the start in ticks since boot: wall time now, less what passed since then. */
static void write_start(struct dm_buf *out)
{
    char text[PROC_TEXT];
    uint64_t ticks;
    struct timespec up;
    dm_view stat = read_proc("/proc/self/stat", text);
    /* the second field is the program's name in brackets and may hold blanks and brackets */
    const char *name_end = stat.len == 0 ? NULL : memrchr(stat.ptr, ')', stat.len);
    if (name_end == NULL || clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return;
    dm_view rest = dm_view_sub(stat, (size_t)(name_end - stat.ptr) + 2, stat.len);
    if (!word_number(rest, STAT_START_TIME - 2, &ticks))
        return;
    double started = (double)ticks / (double)sysconf(_SC_CLK_TCK);
    double running = (double)up.tv_sec + (double)up.tv_nsec / (double)DM_SEC - started;
    double now = (double)dm_clock_wall(&dm_clock_system) / (double)DM_SEC;
    write_one(out, "process_start_time_seconds", "gauge",
              "Start time of the process since unix epoch in seconds.");
    dm_buf_addf(out, "%.2f\n", now - running);
}

void dm_metrics_process_write(struct dm_buf *out)
{
    write_cpu(out);
    write_memory(out);
    write_files(out);
    write_start(out);
}

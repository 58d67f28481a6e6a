#include "io/ops_status.h"

#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/assert.h"

#include "base/poison.h"

enum { UPTIME_MAX = 64 };

struct memory {
    long rss_bytes, total_bytes;
};

static struct memory read_memory(void)
{
    struct memory m = {0, 1};
    struct sysinfo si;
    FILE *f = fopen("/proc/self/statm", "re"); /* in memory: does not block */
    long pages = 0;

    if (f != NULL) {
        if (fscanf(f, "%*d %ld", &pages) == 1)
            m.rss_bytes = pages * sysconf(_SC_PAGESIZE);
        fclose(f);
    }
    if (sysinfo(&si) == 0)
        m.total_bytes = (long)si.totalram * (long)si.mem_unit;
    return m;
}

static void write_uptime(int64_t seconds, char text[UPTIME_MAX])
{
    const long long minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

    if (days > 0)
        snprintf(text, UPTIME_MAX, "%lldd %lldh %lldm", days, hours % 24, minutes % 60);
    else if (hours > 0)
        snprintf(text, UPTIME_MAX, "%lldh %lldm", hours, minutes % 60);
    else
        snprintf(text, UPTIME_MAX, "%lldm %llds", minutes, (long long)seconds % 60);
}

dm_view dm_ops_status_text(const struct dm_ops_status *s, char text[DM_OPS_STATUS_MAX])
{
    const struct memory m = read_memory();
    const int64_t up = s->up / DM_SEC;
    char uptime[UPTIME_MAX];
    int len;

    write_uptime(up, uptime);
    len = snprintf(text, DM_OPS_STATUS_MAX,
                   "{\"status\":\"ok\",\"uptime_seconds\":%lld,\"memory_usage_mb\":%ld,"
                   "\"mode\":\"%s\",\"mongodb\":\"%s\",\"redis\":\"%s\","
                   "\"memory_usage\":\"%.1f%%\",\"active_connections\":%zu,\"uptime\":\"%s\"}",
                   (long long)up, m.rss_bytes >> 20, s->mode, s->mongodb, s->redis,
                   100.0 * (double)m.rss_bytes / (double)m.total_bytes, s->active, uptime);
    DM_ASSERT(len > 0 && len < DM_OPS_STATUS_MAX);
    return dm_view_make(text, (size_t)len);
}

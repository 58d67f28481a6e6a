/* How many connections the system lets this process have. */
#include "base/log.h"
#include "programs/process/process.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { FDS_OF_OUR_OWN = 512 }; /* upstreams, stores, admin threads, logs, eventfds */

static bool raise_to(rlim_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return true;
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted;
}

/* Raises the descriptor limit as far as the system lets us. What was asked for explicitly must fit;
 * the default gives way, with a warning, to a smaller machine. */
bool process_fd_limit_good(struct process *p)
{
    const rlim_t wanted = (rlim_t)p->settings->max_connections + FDS_OF_OUR_OWN;
    const char *origin = dm_settings_origin(p->settings, DM_LIT("MAX_CONNECTIONS"));
    struct rlimit limit = {0};

    p->max_connections = (size_t)p->settings->max_connections;
    if (raise_to(wanted))
        return true;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > 2 * FDS_OF_OUR_OWN && origin != NULL && strcmp(origin, "default") == 0) {
        p->max_connections = limit.rlim_cur - FDS_OF_OUR_OWN;
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE,
               "fewer connections than MAX_CONNECTIONS: the descriptor limit is lower",
               DM_FI("connections", p->max_connections), DM_FI("descriptors", limit.rlim_cur));
        return true;
    }
    fprintf(stderr,
            "Failed to start server: Error: MAX_CONNECTIONS: more than the file-descriptor limit "
            "allows; got "
            "%lld; expected: at most %lld\n",
            (long long)p->settings->max_connections, (long long)limit.rlim_cur - FDS_OF_OUR_OWN);
    return false;
}

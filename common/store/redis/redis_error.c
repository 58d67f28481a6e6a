#include "store/redis/redis_internal.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/log.h"

#include "base/poison.h"

/* The first word of an error reply is its code. What says that Redis cannot serve now, rather than
 * that the command was wrong, is the caller's outage. */
static const struct word {
    dm_view code;
    enum dm_redis_fault fault;
} words[] = {
    {DM_LIT("NOSCRIPT"), DM_REDIS_FAULT_NOSCRIPT},
    {DM_LIT("MOVED"), DM_REDIS_FAULT_MOVED},
    {DM_LIT("ASK"), DM_REDIS_FAULT_ASK},
    {DM_LIT("READONLY"), DM_REDIS_FAULT_READONLY},
    {DM_LIT("LOADING"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("OOM"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("NOAUTH"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("CLUSTERDOWN"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("MASTERDOWN"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("TRYAGAIN"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("BUSY"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("MISCONF"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("NOREPLICAS"), DM_REDIS_FAULT_UNAVAILABLE},
    {DM_LIT("UNBLOCKED"), DM_REDIS_FAULT_UNAVAILABLE}, /* the master became a replica */
};

static enum dm_redis_fault fault_of_word(dm_view text)
{
    dm_view code = dm_view_sub(text, 0, dm_view_find_byte(text, ' ', 0));
    for (size_t i = 0; i < DM_COUNT_OF(words); i++) {
        if (dm_view_eq(code, words[i].code))
            return words[i].fault;
    }
    return DM_REDIS_FAULT_OTHER;
}

enum dm_redis_fault dm_redis_fault_of(dm_view error)
{
    enum dm_redis_fault fault = fault_of_word(error);
    /* Redis before 7 wraps what a script's command met: "ERR Error running script (...): -OOM …" */
    if (fault == DM_REDIS_FAULT_OTHER &&
        dm_view_starts(error, DM_LIT("ERR Error running script"))) {
        size_t at = dm_view_find(error, DM_LIT(": -"));
        if (at < error.len)
            fault = fault_of_word(dm_view_sub(error, at + 3, error.len));
        if (fault != DM_REDIS_FAULT_READONLY && fault != DM_REDIS_FAULT_UNAVAILABLE)
            fault = DM_REDIS_FAULT_OTHER;
    }
    return fault;
}

void dm_redis_log_error(struct dm_redis *r, const struct dm_redis_address *at, dm_view err)
{
    static _Atomic int64_t next;
    int64_t now = dm_clock_mono(&dm_clock_system), due = atomic_load(&next);
    if (now < due || !atomic_compare_exchange_strong(&next, &due, now + DM_SEC))
        return;
    char message[DM_LOG_VALUE_MAX], server[DM_REDIS_HOST_MAX + 8];
    (void)snprintf(message, sizeof message, "Redis client error %.*s",
                   (int)(err.len < 200 ? err.len : 200), err.ptr);
    (void)snprintf(server, sizeof server, "%s:%u", at->host, (unsigned)at->port);
    DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, message, DM_FC("server", server),
           DM_FC("name", r->config.name));
}

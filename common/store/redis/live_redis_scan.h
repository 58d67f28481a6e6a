/* One walk over the keys of all masters for a call of the admin: SCAN a page, one command for each
 * key of it that is wanted, then the next page. Bounded in time. The admin's loop. */
#pragma once

#include "store/redis/live_redis_admin.h"

enum { LIVE_SCAN_CURSOR_MAX = 24, LIVE_SCAN_WORDS = 2 };

struct live_scan {
    struct live_redis_call call;
    const char *match; /* of SCAN, over-wide: `command` decides */
    /* Fills argv[0] of the command whose argv[1] is the key; false: the key is passed over. */
    bool (*command)(dm_view key, dm_view *ret_name);
    /* NULL: answers do not matter. `key` is valid during the call. Not DM_OK ends the walk. */
    enum dm_code (*answered)(struct live_scan *s, dm_view key, const struct dm_redis_reply *reply);
    struct dm_redis_ask ask_;
    dm_time until_;
    size_t node_;
    char cursor_[LIVE_SCAN_CURSOR_MAX];
    size_t cursor_len_;
    struct live_scan_key *keys_; /* of this page */
    size_t n_keys_, waiting_;
    enum dm_code code_;
};
/* `start` of live_redis_call; ends the call. */
void live_scan_start(struct live_redis_call *call);

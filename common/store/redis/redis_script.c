#include "store/redis/redis_internal.h"

#include "crypto/digest.h"

#include "base/poison.h"

void dm_redis_script_init(struct dm_redis_script *s, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char sum[DM_SHA1_LEN];
    dm_sha1(dm_view_of(text), sum);
    s->text = text;
    for (size_t i = 0; i < sizeof sum; i++) {
        s->sha1[2 * i] = hex[sum[i] >> 4];
        s->sha1[2 * i + 1] = hex[sum[i] & 15];
    }
    s->sha1[2 * sizeof sum] = '\0';
}

static void on_loaded(struct dm_redis_ask *a, enum dm_code rc, const struct dm_redis_reply *reply)
{
    const struct dm_redis_conn *c = DM_CONTAINER_OF(a, struct dm_redis_own, ask)->conn;
    if (rc ==
        DM_PROTOCOL) /* a user who may not, or Redis refuses the text: it will not get better */
        dm_redis_log_error(c->redis, &c->address, dm_redis_text(reply));
}

/* Being loaded: whatever is sent on this connection from now on comes behind it. */
static bool is_loading(const struct dm_redis_conn *c, const struct dm_redis_script *s)
{
    for (size_t i = 0; i < DM_REDIS_LOADS_MAX; i++) {
        if (c->loads[i].ask.pending && c->loads[i].script == s)
            return true;
    }
    return false;
}

static bool load(struct dm_redis_conn *c, const struct dm_redis_script *s, dm_time deadline)
{
    const dm_view argv[] = {DM_LIT("SCRIPT"), DM_LIT("LOAD"), dm_view_of(s->text)};
    for (size_t i = 0; i < DM_REDIS_LOADS_MAX; i++) {
        struct dm_redis_own *place = &c->loads[i];
        if (place->ask.pending)
            continue;
        place->script = s;
        return dm_redis_pipe_ask(c, argv, 3, deadline, place, on_loaded);
    }
    return false;
}

bool dm_redis_script_reload(struct dm_redis_conn *c, struct dm_redis_command *m)
{
    if (c->state != DM_REDIS_READY ||
        (!is_loading(c, m->script) && !load(c, m->script, m->deadline)))
        return false;
    m->reloads++;
    dm_redis_resend(c, m);
    return true;
}

#include "store/redis/live_redis_admin.h"

#include "base/poison.h"

struct account_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    struct dm_live_key key;
    dm_view args[2];
    int64_t balance;
};

static void end_call(struct account_call *k, enum dm_code rc, const struct dm_redis_reply *reply)
{
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "credits", reply);
    live_redis_call_end(&k->call, rc);
}

static void on_done(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    end_call(DM_CONTAINER_OF(q, struct account_call, ask), rc, reply);
}

static void start_set(struct live_redis_call *c)
{
    struct account_call *k = DM_CONTAINER_OF(c, struct account_call, call);
    const dm_view key = dm_live_key_view(&k->key);
    dm_redis_eval(c->admin->redis, &c->admin->scripts.credits_set, &key, 1, k->args, 2, c->deadline,
                  &k->ask, on_done);
}

enum dm_code live_redis_credits_set(struct dm_live_admin *a, dm_view group, dm_view subject,
                                    int64_t balance, bool unless_there, struct dm_error *err)
{
    struct account_call k = {.balance = balance};
    struct live_number number;
    if (!dm_live_credits_fit(group, subject))
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "could not set credits: group or user name empty or too long");
    dm_live_key_credits(&k.key, group, subject);
    k.args[0] = live_number(&number, balance);
    k.args[1] = unless_there ? DM_LIT("new") : DM_LIT("always");
    return live_redis_call(a, &k.call, start_set, "set credits", err);
}

static void on_balance(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct account_call *k = DM_CONTAINER_OF(q, struct account_call, ask);
    if (rc == DM_OK && dm_redis_type(reply) == DM_REDIS_NIL)
        rc = DM_NOT_FOUND;
    else if (rc == DM_OK && !dm_parse_i64(dm_redis_text(reply), INT64_MIN, INT64_MAX, &k->balance))
        rc = DM_PROTOCOL;
    end_call(k, rc, reply);
}

static void start_get(struct live_redis_call *c)
{
    struct account_call *k = DM_CONTAINER_OF(c, struct account_call, call);
    const dm_view key = dm_live_key_view(&k->key);
    dm_redis_eval(c->admin->redis, &c->admin->scripts.credits_get, &key, 1, NULL, 0, c->deadline,
                  &k->ask, on_balance);
}

enum dm_code live_redis_credits_get(struct dm_live_admin *a, dm_view group, dm_view subject,
                                    int64_t *ret, struct dm_error *err)
{
    struct account_call k = {.balance = 0};
    if (!dm_live_credits_fit(group, subject))
        return DM_NOT_FOUND;
    dm_live_key_credits(&k.key, group, subject);
    enum dm_code rc = live_redis_call(a, &k.call, start_get, "read credits", err);
    if (rc == DM_OK)
        *ret = k.balance;
    return rc;
}

static void start_delete(struct live_redis_call *c)
{
    struct account_call *k = DM_CONTAINER_OF(c, struct account_call, call);
    const dm_view argv[] = {DM_LIT("DEL"), dm_live_key_view(&k->key)};
    dm_redis_send(c->admin->redis, argv[1], argv, 2, c->deadline, &k->ask, on_done);
}

enum dm_code live_redis_credits_delete(struct dm_live_admin *a, dm_view group, dm_view subject,
                                       struct dm_error *err)
{
    struct account_call k = {.balance = 0};
    if (!dm_live_credits_fit(group, subject))
        return DM_OK;
    dm_live_key_credits(&k.key, group, subject);
    return live_redis_call(a, &k.call, start_delete, "delete credits", err);
}

#include <string.h>

#include "store/redis/live_redis_admin.h"
#include "store/redis/live_redis_mark.h"
#include "store/redis/live_redis_publish.h"
#include "store/redis/live_redis_scan.h"

#include "base/poison.h"

/* Key, mirror, announcement, in this order: one script on one server, two in a Cluster. */

enum { ARGS_MAX = 7 };
struct revoke_call {
    struct live_redis_call call;
    struct dm_redis_ask ask;
    const struct dm_redis_script *script;
    struct dm_live_key key;
    dm_view mirror;
    dm_view args[ARGS_MAX]; /* the first says which keys go along */
    size_t n_args;
    bool key_done; /* Cluster: the mirror is next */
};

static void on_written(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply);

static void write_part(struct revoke_call *k, dm_view part, const dm_view *keys, size_t n_keys)
{
    struct live_redis_admin *a = k->call.admin;
    k->args[0] = part;
    dm_redis_eval(a->redis, k->script, keys, n_keys, k->args, k->n_args, k->call.deadline, &k->ask,
                  on_written);
}

static void on_written(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct revoke_call *k = DM_CONTAINER_OF(q, struct revoke_call, ask);
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "revoke", reply);
    if (rc == DM_OK && dm_redis_is_cluster(k->call.admin->redis) && !k->key_done) {
        k->key_done = true;
        write_part(k, DM_LIT("mirror"), &k->mirror, 1);
        return;
    }
    live_redis_call_end(&k->call, rc);
}

static void start_writing(struct live_redis_call *c)
{
    struct revoke_call *k = DM_CONTAINER_OF(c, struct revoke_call, call);
    const dm_view keys[] = {dm_live_key_view(&k->key), k->mirror};
    if (dm_redis_is_cluster(c->admin->redis))
        write_part(k, DM_LIT("key"), keys, 1);
    else
        write_part(k, DM_LIT("both"), keys, 2);
}

/* The mirrors' members are what follows the fixed part of the key. */
static dm_view member_of(const struct dm_live_key *k, dm_view jti)
{
    size_t fixed = jti.len == 0 ? DM_LIT("jwt:revoke_all:").len : DM_LIT("jwt:revoked:").len;
    return dm_view_sub(dm_live_key_view(k), fixed, k->len);
}

static int64_t to_ms(dm_time expires)
{
    return expires == DM_NEVER ? 0 : expires / DM_MS + (expires % DM_MS > 0);
}

enum dm_code live_redis_revoke(struct dm_live_admin *a, dm_view subject, dm_view jti,
                               dm_time expires_wall, struct dm_error *err)
{
    struct revoke_call k = {.script = &live_redis_admin_of(a)->scripts.revoke};
    struct live_revocation_text text;
    struct live_number ends, now;
    if (subject.len == 0 || !dm_live_subject_fits(subject, jti) || expires_wall < 0)
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "could not revoke: user name or token id empty or too long");
    const struct live_revocation r = {
        .revoked = true, .user = subject, .jti = jti, .expires_ms = to_ms(expires_wall)};
    live_revocation_build(&text, &r);
    if (jti.len == 0)
        dm_live_key_revoke_all(&k.key, subject);
    else
        dm_live_key_revoked(&k.key, subject, jti);
    k.mirror = jti.len == 0 ? DM_LIT(LIVE_REVOKED_ALL) : DM_LIT(LIVE_REVOKED_JTI);
    k.args[1] = jti.len == 0 ? DM_LIT("time") : DM_LIT("1");
    k.args[2] = live_number(&ends, r.expires_ms);
    k.args[3] = member_of(&k.key, jti);
    k.args[4] = DM_LIT(LIVE_REVOCATIONS);
    k.args[5] = dm_view_make(text.bytes, text.len);
    k.args[6] = live_number(&now, dm_clock_wall(&dm_clock_system) / DM_MS);
    k.n_args = 7;
    return live_redis_call(a, &k.call, start_writing, "revoke", err);
}

enum dm_code live_redis_unrevoke(struct dm_live_admin *a, dm_view subject, struct dm_error *err)
{
    struct revoke_call k = {.script = &live_redis_admin_of(a)->scripts.unrevoke};
    struct live_revocation_text text;
    if (subject.len == 0 || !dm_live_subject_fits(subject, DM_VIEW_NONE))
        return DM_OK; /* no such user was ever revoked */
    live_revocation_build(&text, &(struct live_revocation){.user = subject});
    dm_live_key_revoke_all(&k.key, subject);
    k.mirror = DM_LIT(LIVE_REVOKED_ALL);
    k.args[1] = subject;
    k.args[2] = DM_LIT(LIVE_REVOCATIONS);
    k.args[3] = dm_view_make(text.bytes, text.len);
    k.n_args = 4;
    return live_redis_call(a, &k.call, start_writing, "take a revocation back", err);
}

/* --- asking: two keys, in a Cluster two slots --- */

struct revoked_call {
    struct live_redis_call call;
    struct {
        struct dm_redis_ask ask, mark;
        struct revoked_call *of;
        struct dm_live_key key;
    } part[2];
    struct dm_redis_ask current;
    int waiting;
    enum dm_code code;
    bool known, revoked, emptied; /* known: policy was published */
};

static void end_part(struct revoked_call *k, enum dm_code rc, const struct dm_redis_reply *reply)
{
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(k->call.admin, "is revoked", reply);
    if (rc != DM_OK)
        k->code = rc;
    if (--k->waiting > 0)
        return;
    if (k->emptied || live_redis_doubts(k->call.admin)) {
        k->emptied = true;
        k->code = DM_UNAVAILABLE;
    }
    live_redis_call_end(&k->call, k->revoked ? DM_OK : k->code);
}

static enum dm_code number(enum dm_code rc, const struct dm_redis_reply *reply)
{
    return rc == DM_OK && dm_redis_type(reply) != DM_REDIS_INT ? DM_PROTOCOL : rc;
}

static void on_exists(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct revoked_call *k = DM_CONTAINER_OF(q, __typeof__(k->part[0]), ask)->of;
    rc = number(rc, reply);
    if (rc == DM_OK)
        k->revoked |= dm_redis_int(reply) != 0;
    end_part(k, rc, reply);
}

/* Cluster: behind the key in the same slot. */
static void on_mark(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct revoked_call *k = DM_CONTAINER_OF(q, __typeof__(k->part[0]), mark)->of;
    rc = number(rc, reply);
    k->emptied |= rc == DM_OK && dm_redis_int(reply) == 0;
    end_part(k, rc, reply);
}

/* A store that lost what was published lost revocations, too: that none is there says nothing. */
static void on_current(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct revoked_call *k = DM_CONTAINER_OF(q, struct revoked_call, current);
    rc = number(rc, reply);
    k->emptied |= rc == DM_OK && dm_redis_int(reply) == 0 && k->known;
    end_part(k, rc, reply);
}

static void start_asking(struct live_redis_call *c)
{
    struct revoked_call *k = DM_CONTAINER_OF(c, struct revoked_call, call);
    const dm_view current[] = {DM_LIT("EXISTS"), DM_LIT(LIVE_CURRENT)};
    bool marked = dm_redis_is_cluster(c->admin->redis) && c->admin->trusted != 0;
    k->waiting = marked ? 5 : 3;
    for (int i = 0; i < 2; i++) {
        const dm_view argv[] = {DM_LIT("EXISTS"), dm_live_key_view(&k->part[i].key)};
        k->part[i].of = k;
        dm_redis_send(c->admin->redis, argv[1], argv, 2, c->deadline, &k->part[i].ask, on_exists);
        struct live_mark name;
        live_mark_of(&name, argv[1]);
        const dm_view mark[] = {DM_LIT("EXISTS"), live_mark_view(&name)};
        if (marked)
            dm_redis_send(c->admin->redis, mark[1], mark, 2, c->deadline, &k->part[i].mark,
                          on_mark);
    }
    dm_redis_send(c->admin->redis, current[1], current, 2, c->deadline, &k->current, on_current);
}

enum dm_code live_redis_is_revoked(struct dm_live_admin *a, dm_view subject, dm_view jti, bool *ret,
                                   struct dm_error *err)
{
    struct revoked_call k = {.code = DM_OK,
                             .known = live_publisher_published(live_redis_admin_of(a)->publisher)};
    if (!dm_live_subject_fits(subject, jti)) {
        *ret = true; /* nobody could revoke such a token: as the admission says */
        return DM_OK;
    }
    dm_live_key_revoke_all(&k.part[0].key, subject);
    dm_live_key_revoked(&k.part[1].key, subject, jti);
    enum dm_code rc = live_redis_call(a, &k.call, start_asking, "ask for a revocation", err);
    if (rc == DM_OK)
        *ret = k.revoked;
    if (k.emptied) /* whoever restores need not wait for his next look */
        live_publisher_reached(live_redis_admin_of(a)->publisher);
    return rc;
}

/* --- walking over all --- */

struct walk {
    struct live_scan scan;
    dm_live_revoked_fn fn;
    void *ctx;
};
static const dm_view all_prefix = {"jwt:revoke_all:", 15}, one_prefix = {"jwt:revoked:", 12};

static bool is_revocation(dm_view key, dm_view *ret_command)
{
    *ret_command = DM_LIT("PTTL");
    return dm_view_starts(key, all_prefix) || dm_view_starts(key, one_prefix);
}

/* PTTL: -2 the key is gone, -1 it does not end. A jti holds no colon, a user name may. */
static enum dm_code on_revocation(struct live_scan *s, dm_view key,
                                  const struct dm_redis_reply *reply)
{
    struct walk *w = DM_CONTAINER_OF(s, struct walk, scan);
    int64_t left = dm_redis_int(reply);
    dm_view subject, jti = DM_VIEW_NONE;
    if (dm_redis_type(reply) != DM_REDIS_INT)
        return DM_PROTOCOL;
    if (dm_view_starts(key, all_prefix)) {
        subject = dm_view_sub(key, all_prefix.len, key.len);
    } else {
        size_t colon = key.len;
        while (key.ptr[colon - 1] != ':')
            colon--;
        if (colon <= one_prefix.len)
            return DM_OK; /* no user name */
        subject = dm_view_sub(key, one_prefix.len, colon - 1 - one_prefix.len);
        jti = dm_view_sub(key, colon, key.len);
        if (jti.len == 0)
            return DM_OK;
    }
    if (left == -2 || subject.len == 0 || !dm_live_subject_fits(subject, jti) ||
        !dm_utf8_valid(key))
        return DM_OK;
    return w->fn(w->ctx, subject, jti, left < 0 ? 0 : left + 1);
}

enum dm_code live_redis_revocations(struct dm_live_admin *a, dm_live_revoked_fn fn, void *ctx,
                                    struct dm_error *err)
{
    struct walk w = {
        .scan = {.match = "jwt:revoke*", .command = is_revocation, .answered = on_revocation},
        .fn = fn,
        .ctx = ctx};
    return live_redis_call(a, &w.scan.call, live_scan_start, "list revocations", err);
}

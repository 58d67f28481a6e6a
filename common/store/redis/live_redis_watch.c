/* What the owner's handle keeps up for the time when Redis is away: the mirror of revocations and
 * the number of processes that share the limits. The mirror is read at every (re)subscription and
 * kept by announcements; an echo through the same connection, once a second, proves that none is
 * missing, and dates it. */
#include "store/redis/live_redis_priv.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "crypto/random.h"
#include "embedded/store_redis_scripts.h"

#include "base/poison.h"

#define GATEWAYS "doorman:gateways"
#define ECHO "doorman:echo:"

enum { PAGE = 1000, PAGES_MAX = 1000 }; /* of one mirror: more than the table could hold */
static const dm_time ECHO_EVERY = DM_SEC;
static const dm_time PRESENCE_EVERY = 2 * DM_SEC; /* five times in the 10 s that count (R4) */
static const dm_time DEADLINE = 2 * DM_SEC;
static const dm_time LOAD_AGAIN = DM_SEC;

struct live_watch {
    struct live_redis_handle *handle;
    struct dm_redis_channel revocations, echo;
    char name[sizeof ECHO + DM_UUID_LEN + 1];
    char instance[DM_UUID_LEN + 1];
    uint64_t echoes;
    struct dm_redis_script presence;
    struct dm_redis_ask echo_ask, presence_ask, load_ask;
    struct dm_timer echo_timer, presence_timer, load_timer;
    /* reading the mirrors */
    bool loading;
    bool users; /* the users' set is read, else the tokens' */
    enum { MARK_USERS = 0, MARK_TOKENS, CURRENT } proof; /* that neither of them was lost */
    unsigned pages;
    uint64_t cursor;
};

static void ask_page(struct live_watch *w);
static void ask_proof(struct live_watch *w);

/* --- reading the mirrors --- */

static struct dm_live_outage *outage_of(const struct live_watch *w)
{
    return w->handle->hub->outage;
}

static void load(struct live_watch *w)
{
    dm_redis_cancel(w->handle->redis, &w->load_ask);
    dm_timer_stop(&w->load_timer);
    w->loading = true;
    w->users = true;
    w->cursor = 0;
    w->pages = 0;
    dm_live_outage_load_begin(outage_of(w));
    ask_page(w);
}

static void load_failed(struct live_watch *w)
{
    dm_live_outage_load_end(outage_of(w), false);
    dm_timer_start(w->handle->loop, &w->load_timer, LOAD_AGAIN);
}

/* A member of the tokens is <user>:<jti>. Where a jti holds a colon the cut is another, but the two
 * together name the same key. */
static bool take_member(struct live_watch *w, dm_view member, const struct dm_redis_reply *score)
{
    dm_view user = member, jti = DM_VIEW_NONE;
    double ends = 0;

    if (!w->users) {
        size_t colon = member.len;
        while (colon > 0 && member.ptr[colon - 1] != ':')
            colon--;
        if (colon < 2 || colon == member.len)
            return false;
        user = dm_view_sub(member, 0, colon - 1);
        jti = dm_view_sub(member, colon, member.len);
    }
    if (!dm_view_eq(dm_redis_text(score), DM_LIT("inf")) &&
        (!dm_parse_f64(dm_redis_text(score), &ends) || ends < 0 || ends > 9e15))
        return false;
    dm_live_outage_loaded(outage_of(w), user, jti, (dm_time)ends * DM_MS);
    return true;
}

static bool take_page(struct live_watch *w, const struct dm_redis_reply *reply)
{
    const struct dm_redis_reply *members = dm_redis_at(reply, 1);

    if (!dm_parse_u64(dm_redis_text(dm_redis_at(reply, 0)), UINT64_MAX, &w->cursor) ||
        dm_redis_type(members) != DM_REDIS_ARRAY || dm_redis_len(members) % 2 != 0)
        return false;
    for (size_t i = 0; i < dm_redis_len(members); i += 2) {
        if (!take_member(w, dm_redis_text(dm_redis_at(members, i)), dm_redis_at(members, i + 1)))
            return false;
    }
    return true;
}

static void on_page(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_watch *w = DM_CONTAINER_OF(q, struct live_watch, load_ask);

    if (rc != DM_OK || !take_page(w, reply)) {
        if (rc == DM_OK || rc == DM_PROTOCOL)
            live_redis_odd(w->handle, "revocations", reply);
        load_failed(w);
    } else if (w->cursor != 0 || w->users) {
        w->users = w->users && w->cursor != 0;
        ask_page(w);
    } else {
        w->proof = MARK_USERS;
        ask_proof(w);
    }
}

/* A store that was emptied holds no revocations until the admin has written them again, which it
 * does before it publishes: what was read counts only if policy stands there now, in a Cluster the
 * marks beside both mirrors, too, and if an admin has written them on the server that answers. */
static void on_proof(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_watch *w = DM_CONTAINER_OF(q, struct live_watch, load_ask);
    const bool asked = w->proof != CURRENT || atomic_load(&w->handle->hub->seen_policy);

    if (rc != DM_OK || (dm_redis_int(reply) == 0 && asked) ||
        live_breaker_doubts(&w->handle->breaker)) {
        load_failed(w);
    } else if (w->proof != CURRENT) {
        w->proof++;
        ask_proof(w);
    } else {
        w->loading = false;
        dm_live_outage_load_end(outage_of(w), true);
    }
}

static void ask_proof(struct live_watch *w)
{
    static const dm_view mirrors[] = {{LIVE_REVOKED_ALL, sizeof LIVE_REVOKED_ALL - 1},
                                      {LIVE_REVOKED_JTI, sizeof LIVE_REVOKED_JTI - 1}};
    struct live_mark mark;
    dm_view key = DM_VIEW_NONE;

    while (w->proof != CURRENT && key.len == 0) {
        key = live_redis_mark(w->handle, mirrors[w->proof], &mark);
        if (key.len == 0)
            w->proof++;
    }
    if (w->proof == CURRENT)
        key = DM_LIT(LIVE_CURRENT);
    const dm_view argv[] = {DM_LIT("EXISTS"), key};
    dm_redis_send(w->handle->redis, key, argv, DM_COUNT_OF(argv),
                  dm_loop_now(w->handle->loop) + DEADLINE, &w->load_ask, on_proof);
}

static void ask_page(struct live_watch *w)
{
    const dm_view key = w->users ? DM_LIT(LIVE_REVOKED_ALL) : DM_LIT(LIVE_REVOKED_JTI);
    char cursor[24], count[8];
    dm_view argv[] = {DM_LIT("ZSCAN"), key, DM_VIEW_NONE, DM_LIT("COUNT"), DM_VIEW_NONE};

    if (++w->pages > PAGES_MAX) {
        load_failed(w);
        return;
    }
    (void)snprintf(cursor, sizeof cursor, "%" PRIu64, w->cursor);
    (void)snprintf(count, sizeof count, "%d", PAGE);
    argv[2] = dm_view_of(cursor);
    argv[4] = dm_view_of(count);
    dm_redis_send(w->handle->redis, key, argv, DM_COUNT_OF(argv),
                  dm_loop_now(w->handle->loop) + DEADLINE, &w->load_ask, on_page);
}

static void on_load_timer(struct dm_timer *t)
{
    load(DM_CONTAINER_OF(t, struct live_watch, load_timer));
}

/* What was read of servers that nobody vouched for does not count: read again. */
void live_watch_trusted(struct live_watch *w)
{
    if (w != NULL && w->loading)
        load(w);
}

/* --- announcements --- */

static void on_subscribed(struct dm_redis_channel *c)
{
    load(DM_CONTAINER_OF(c, struct live_watch, revocations));
}

static void on_revocation(struct dm_redis_channel *c, dm_view payload)
{
    struct live_watch *w = DM_CONTAINER_OF(c, struct live_watch, revocations);
    struct live_revocation r;

    if (!live_revocation_parse(payload, &r)) {
        live_redis_odd(w->handle, "a revocation", NULL);
        return;
    }
    if (r.revoked)
        dm_live_outage_revoked(outage_of(w), r.user, r.jti, r.expires_ms * DM_MS);
    else
        dm_live_outage_unrevoked(outage_of(w), r.user);
}

/* --- the echo --- */

static void on_nothing(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    (void)q;
    (void)rc;
    (void)reply;
}

static void on_echo_timer(struct dm_timer *t)
{
    struct live_watch *w = DM_CONTAINER_OF(t, struct live_watch, echo_timer);
    char number[24];
    dm_view argv[] = {DM_LIT("PUBLISH"), dm_view_of(w->name), DM_VIEW_NONE};

    dm_timer_start(w->handle->loop, t, ECHO_EVERY);
    if (w->echo_ask.pending)
        return;
    (void)snprintf(number, sizeof number, "%" PRIu64, ++w->echoes);
    argv[2] = dm_view_of(number);
    dm_redis_send(w->handle->redis, DM_VIEW_NONE, argv, DM_COUNT_OF(argv),
                  dm_loop_now(w->handle->loop) + DEADLINE, &w->echo_ask, on_nothing);
}

/* Everything announced before this echo was sent has come before it on this connection. The last
 * number only: an older one proves an older truth. */
static void on_echo(struct dm_redis_channel *c, dm_view payload)
{
    struct live_watch *w = DM_CONTAINER_OF(c, struct live_watch, echo);
    uint64_t number;

    if (!w->loading && dm_parse_u64(payload, UINT64_MAX, &number) && number == w->echoes)
        dm_live_outage_confirm(outage_of(w));
}

static void on_echo_subscribed(struct dm_redis_channel *c)
{
    on_echo_timer(&DM_CONTAINER_OF(c, struct live_watch, echo)->echo_timer);
}

/* --- who shares the limits --- */

static void on_presence(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_watch *w = DM_CONTAINER_OF(q, struct live_watch, presence_ask);
    const int64_t n = dm_redis_int(reply);

    if (rc == DM_OK && dm_redis_type(reply) == DM_REDIS_INT && n > 0 && n <= UINT32_MAX)
        dm_live_outage_peers(outage_of(w), (unsigned)n); /* else the last number is kept */
    else if (rc == DM_OK || rc == DM_PROTOCOL)
        live_redis_odd(w->handle, "presence", reply);
}

static void on_presence_timer(struct dm_timer *t)
{
    struct live_watch *w = DM_CONTAINER_OF(t, struct live_watch, presence_timer);
    const dm_view key = DM_LIT(GATEWAYS), self = dm_view_of(w->instance);

    dm_timer_start(w->handle->loop, t, PRESENCE_EVERY);
    if (!w->presence_ask.pending)
        dm_redis_eval(w->handle->redis, &w->presence, &key, 1, &self, 1,
                      dm_loop_now(w->handle->loop) + DEADLINE, &w->presence_ask, on_presence);
}

/* --- birth and end --- */

struct live_watch *live_watch_new(struct live_redis_handle *h)
{
    struct live_watch *w = DM_NEW(struct live_watch);

    w->handle = h;
    dm_random_uuid(w->instance);
    (void)snprintf(w->name, sizeof w->name, ECHO "%s", w->instance);
    dm_redis_script_init(&w->presence, DM_SCRIPT_PRESENCE);
    dm_timer_init(&w->echo_timer, on_echo_timer);
    dm_timer_init(&w->presence_timer, on_presence_timer);
    dm_timer_init(&w->load_timer, on_load_timer);
    w->revocations = (struct dm_redis_channel){.name = DM_LIT(LIVE_REVOCATIONS),
                                               .on_message = on_revocation,
                                               .on_subscribed = on_subscribed};
    w->echo = (struct dm_redis_channel){
        .name = dm_view_of(w->name), .on_message = on_echo, .on_subscribed = on_echo_subscribed};
    dm_redis_subscribe(h->redis, &w->revocations);
    dm_redis_subscribe(h->redis, &w->echo);
    dm_timer_start(h->loop, &w->presence_timer, 0);
    return w;
}

void live_watch_free(struct live_watch *w)
{
    if (w == NULL)
        return;
    dm_redis_unsubscribe(w->handle->redis, &w->revocations);
    dm_redis_unsubscribe(w->handle->redis, &w->echo);
    dm_redis_cancel(w->handle->redis, &w->echo_ask);
    dm_redis_cancel(w->handle->redis, &w->presence_ask);
    dm_redis_cancel(w->handle->redis, &w->load_ask);
    dm_timer_stop(&w->echo_timer);
    dm_timer_stop(&w->presence_timer);
    dm_timer_stop(&w->load_timer);
    dm_mem_free(w);
}

/* A user as the data plane needs it: limits by gateway.md §10, with their odd
 * defaults. */
#include "model/policy_storage.h"
#include <stdatomic.h>

#include "base/poison.h"

enum { RATE_DEFAULT = 60, THROTTLE_DEFAULT = 10, QUEUE_DEFAULT = 10 };

struct unit {
    const char *word;
    int64_t seconds;
};

static const struct unit units[] = {{"second", 1},     {"minute", 60},   {"hour", 3600},
                                    {"day", 86400},    {"week", 604800}, {"month", 2592000},
                                    {"year", 31536000}};

/* A trailing s is dropped; an unknown word is `unknown`; none at all `absent`.
 */
static int64_t seconds_of(const struct dm_json *user, const char *name, int64_t absent,
                          int64_t unknown)
{
    dm_view word = dm_json_str(dm_json_get(user, dm_view_of(name)));

    if (word.len == 0)
        return absent;
    if (word.ptr[word.len - 1] == 's')
        word.len--;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (dm_view_eq_nocase(word, dm_view_of(units[i].word)))
            return units[i].seconds;
    }
    return unknown;
}

static int64_t number(const struct dm_json *user, const char *name)
{
    int64_t n = dm_json_i64(dm_json_get(user, dm_view_of(name)), 0);

    return n > 0 ? n : 0;
}

/* -1 absent, 0 false, 1 true: an explicit false wins over stored figures (R7).
 */
static int choice(const struct dm_json *user, const char *name)
{
    const struct dm_json *j = dm_json_get(user, dm_view_of(name));

    return dm_json_is(j, DM_JSON_BOOL) ? dm_json_bool(j, false) : -1;
}

static void read_rate(const struct dm_json *user, struct dm_policy_user *u)
{
    int64_t n = number(user, "rate_limit_duration");
    int chosen = choice(user, "rate_limit_enabled");

    u->rate.enabled = chosen == 1 || (chosen < 0 && n > 0);
    u->rate.limit = n > 0 ? n : RATE_DEFAULT;
    u->rate.window_seconds = seconds_of(user, "rate_limit_duration_type", 60, 60);
}

static void read_throttle(const struct dm_json *user, struct dm_policy_user *u)
{
    int64_t n = number(user, "throttle_duration"), queue = number(user, "throttle_queue_limit");
    int64_t wait = number(user, "throttle_wait_duration");
    int64_t wait_unit = seconds_of(user, "throttle_wait_duration_type", 1, 60);
    int chosen = choice(user, "throttle_enabled");

    u->throttle.enabled = chosen == 1 || (chosen < 0 && (n > 0 || queue > 0));
    u->throttle.limit = n > 0 ? n : THROTTLE_DEFAULT;
    u->throttle.queue = queue > 0 ? queue : QUEUE_DEFAULT;
    u->throttle.window_seconds = seconds_of(user, "throttle_duration_type", 1, 60);
    if (wait >
        INT64_MAX / DM_SEC / wait_unit) /* longer than any cap: refused by THROTTLE_MAX_WAIT */
        wait = INT64_MAX / DM_SEC / wait_unit;
    u->throttle.wait = wait > 0 ? wait * wait_unit * DM_SEC : wait_unit * DM_SEC / 2;
}

static void read_bandwidth(const struct dm_json *user, struct dm_policy_user *u)
{
    u->bandwidth.limit = number(user, "bandwidth_limit_bytes");
    u->bandwidth.enabled = choice(user, "bandwidth_limit_enabled") != 0 && u->bandwidth.limit > 0;
    u->bandwidth.window_seconds = seconds_of(user, "bandwidth_limit_window", 86400, 86400);
    if (u->bandwidth.window_seconds > 2592000) /* second..month; anything else is a day */
        u->bandwidth.window_seconds = 86400;
}

static void read_keys(const struct dm_json *credits, struct dm_policy_user *u)
{
    const struct dm_json *keys = dm_json_get(credits, DM_LIT("keys"));

    if (!dm_json_is(keys, DM_JSON_OBJECT) || dm_json_len(keys) == 0)
        return;
    u->keys = policy_take(u->storage_, dm_json_len(keys) * sizeof(*u->keys));
    for (const struct dm_json *k = dm_json_first(keys); k != NULL; k = dm_json_next(k)) {
        if (dm_json_str(k).len == 0)
            continue;
        u->keys[u->n_keys++] = (struct dm_policy_user_key){
            policy_text(u->storage_, dm_json_name(k)), policy_text(u->storage_, dm_json_str(k))};
    }
}

dm_view dm_policy_user_key(const struct dm_policy_user *u, dm_view group)
{
    for (size_t i = 0; i < u->n_keys; i++)
        if (dm_view_eq(u->keys[i].group, group))
            return u->keys[i].key;
    return DM_VIEW_NONE;
}

enum dm_code dm_policy_user_build(const struct dm_json *user, const struct dm_json *subscriptions,
                                  const struct dm_json *credits, struct dm_policy_user **ret,
                                  struct dm_error *err)
{
    dm_view username = dm_json_str(dm_json_get(user, DM_LIT("username")));
    struct dm_policy_storage *s;
    struct dm_policy_user *u;

    if (username.len == 0)
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not read a user: no username");
    s = policy_storage_new();
    u = policy_take(s, sizeof(*u));
    atomic_store(&u->refs_, 1);
    u->storage_ = s;
    u->username = policy_text(s, username);
    u->role = policy_member(s, user, "role");
    u->groups = policy_sorted(s, dm_json_get(user, DM_LIT("groups")), false);
    u->apis = policy_sorted(s, dm_json_get(subscriptions, DM_LIT("apis")), false);
    u->active = dm_json_bool(dm_json_get(user, DM_LIT("active")), true);
    read_rate(user, u);
    read_throttle(user, u);
    read_bandwidth(user, u);
    read_keys(credits, u);
    *ret = u;
    return DM_OK;
}

static size_t strs_size(const struct dm_strs *s)
{
    size_t size = s->count * sizeof(*s->items);

    for (size_t i = 0; i < s->count; i++)
        size += s->items[i].len;
    return size;
}

size_t dm_policy_user_size(const struct dm_policy_user *u)
{
    size_t size = sizeof(struct dm_policy_storage) + sizeof(*u) + u->username.len + u->role.len +
                  strs_size(&u->groups) + strs_size(&u->apis) + u->n_keys * sizeof(*u->keys);

    for (size_t i = 0; i < u->n_keys; i++)
        size += u->keys[i].group.len + u->keys[i].key.len;
    return size;
}

struct dm_policy_user *dm_policy_user_ref(struct dm_policy_user *u)
{
    atomic_fetch_add_explicit(&u->refs_, 1, memory_order_relaxed);
    return u;
}

void dm_policy_user_unref(struct dm_policy_user *u)
{
    if (u != NULL && atomic_fetch_sub_explicit(&u->refs_, 1, memory_order_acq_rel) == 1)
        policy_storage_unref(u->storage_);
}

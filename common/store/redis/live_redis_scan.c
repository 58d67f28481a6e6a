#include "store/redis/live_redis_scan.h"

#include "base/poison.h"

static const dm_time WALK_WITHIN =
    60 * DM_SEC; /* a million keys take two; no walk goes on for ever */

struct live_scan_key {
    struct dm_redis_ask ask;
    struct live_scan *of;
    char *text; /* the page is gone when its answers come */
};

static void ask_page(struct live_scan *s);

static void end_walk(struct live_scan *s, enum dm_code rc, const struct dm_redis_reply *reply)
{
    if (rc == DM_PROTOCOL)
        live_redis_admin_odd(s->call.admin, "walk over keys", reply);
    live_redis_call_end(&s->call, rc);
}

static void end_page(struct live_scan *s)
{
    for (size_t i = 0; i < s->n_keys_; i++)
        dm_mem_free(s->keys_[i].text);
    dm_mem_free(DM_TAKE(s->keys_));
    s->n_keys_ = 0;
    if (s->code_ != DM_OK) {
        end_walk(s, s->code_, NULL);
        return;
    }
    if (s->cursor_len_ == 1 && s->cursor_[0] == '0' &&
        ++s->node_ >= dm_redis_nodes(s->call.admin->redis))
        end_walk(s, DM_OK, NULL);
    else
        ask_page(s);
}

static void on_key(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_scan_key *k = DM_CONTAINER_OF(q, struct live_scan_key, ask);
    struct live_scan *s = k->of;
    if (rc == DM_OK && s->answered != NULL)
        rc = s->answered(s, dm_view_of(k->text), reply);
    if (rc != DM_OK)
        s->code_ = rc;
    if (--s->waiting_ == 0)
        end_page(s);
}

static void ask_keys(struct live_scan *s, const struct dm_redis_reply *keys)
{
    size_t n = dm_redis_len(keys);
    dm_time deadline = dm_loop_now(s->call.admin->loop) + s->call.admin->timeout;
    s->keys_ = dm_mem_array(n + 1, sizeof *s->keys_);
    for (size_t i = 0; i < n; i++) {
        const dm_view key = dm_redis_text(dm_redis_at(keys, i));
        dm_view name;
        if (dm_view_find_byte(key, '\0', 0) == key.len && s->command(key, &name)) {
            const dm_view argv[LIVE_SCAN_WORDS] = {name, key};
            struct live_scan_key *k = &s->keys_[s->n_keys_++];
            k->of = s;
            k->text = dm_mem_text(key);
            s->waiting_++;
            dm_redis_send(s->call.admin->redis, key, argv, LIVE_SCAN_WORDS, deadline, &k->ask,
                          on_key);
        }
    }
    if (s->waiting_ == 0)
        end_page(s);
}

static void on_page(struct dm_redis_ask *q, enum dm_code rc, const struct dm_redis_reply *reply)
{
    struct live_scan *s = DM_CONTAINER_OF(q, struct live_scan, ask_);
    dm_view cursor = dm_redis_text(dm_redis_at(reply, 0));
    if (rc == DM_OK && (cursor.len == 0 || cursor.len > LIVE_SCAN_CURSOR_MAX))
        rc = DM_PROTOCOL;
    if (rc != DM_OK) {
        end_walk(s, rc, reply);
        return;
    }
    for (s->cursor_len_ = 0; s->cursor_len_ < cursor.len; s->cursor_len_++)
        s->cursor_[s->cursor_len_] = cursor.ptr[s->cursor_len_];
    ask_keys(s, dm_redis_at(reply, 1));
}

static void ask_page(struct live_scan *s)
{
    struct live_redis_admin *a = s->call.admin;
    if (dm_loop_now(a->loop) > s->until_) {
        end_walk(s, DM_TIMEOUT, NULL);
        return;
    }
    const dm_view argv[] = {DM_LIT("SCAN"),  dm_view_make(s->cursor_, s->cursor_len_),
                            DM_LIT("MATCH"), dm_view_of(s->match),
                            DM_LIT("COUNT"), DM_LIT("1000")};
    dm_redis_send_node(a->redis, s->node_, argv, DM_COUNT_OF(argv),
                       dm_loop_now(a->loop) + a->timeout, &s->ask_, on_page);
}

void live_scan_start(struct live_redis_call *call)
{
    struct live_scan *s = DM_CONTAINER_OF(call, struct live_scan, call);
    s->cursor_[0] = '0';
    s->cursor_len_ = 1;
    s->until_ = dm_loop_now(call->admin->loop) + WALK_WITHIN;
    if (dm_redis_nodes(call->admin->redis) == 0)
        live_redis_call_end(call, DM_UNAVAILABLE);
    else
        ask_page(s);
}

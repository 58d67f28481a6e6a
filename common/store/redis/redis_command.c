#include "store/redis/redis_internal.h"

#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

/* --- RESP: *<n>\r\n, then $<len>\r\n<bytes>\r\n for each --- */

static size_t digits(size_t n)
{
    size_t count = 1;
    while (n >= 10) {
        n /= 10;
        count++;
    }
    return count;
}

static char *put_count(char *at, char mark, size_t n)
{
    size_t len = digits(n);
    *at++ = mark;
    for (size_t i = len; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    at[len] = '\r';
    at[len + 1] = '\n';
    return at + len + 2;
}

size_t dm_redis_encoded_len(const dm_view *argv, size_t argc)
{
    size_t sum = 3 + digits(argc);
    for (size_t i = 0; i < argc; i++)
        sum += 5 + digits(argv[i].len) + argv[i].len;
    return sum;
}

char *dm_redis_encode(char *at, const dm_view *argv, size_t argc)
{
    at = put_count(at, '*', argc);
    for (size_t i = 0; i < argc; i++) {
        at = put_count(at, '$', argv[i].len);
        if (argv[i].len > 0)
            memcpy(at, argv[i].ptr, argv[i].len);
        at += argv[i].len;
        *at++ = '\r';
        *at++ = '\n';
    }
    return at;
}

/* --- life --- */

static void on_deadline(struct dm_timer *t)
{
    struct dm_redis_command *m = DM_CONTAINER_OF(t, struct dm_redis_command, timer);
    if (m->conn == NULL) {
        dm_redis_command_answer(m, DM_UNAVAILABLE, NULL); /* no connection came */
        return;
    }
    /* Its reply may still come, and is then passed over: it keeps its place in the line. */
    struct dm_redis_ask *a = DM_TAKE(m->ask);
    a->state_ = NULL;
    a->pending = false;
    a->fn(a, DM_TIMEOUT, NULL);
}

struct dm_redis_command *dm_redis_command_blank(struct dm_redis *r)
{
    struct dm_redis_command *m = dm_slab_take(&r->commands);
    *m = (struct dm_redis_command){
        .redis = r, .deadline = DM_NEVER, .slot = DM_REDIS_ANY_SLOT, .own = true};
    dm_list_init(&m->link);
    dm_timer_init(&m->timer, on_deadline);
    return m;
}

struct dm_redis_command *dm_redis_command_new(struct dm_redis *r, struct dm_redis_ask *a,
                                              dm_redis_fn fn, dm_time deadline)
{
    DM_REQUIRE(!a->pending && fn != NULL);
    struct dm_redis_command *m = dm_redis_command_blank(r);
    m->ask = a;
    m->deadline = deadline;
    m->own = false;
    *a = (struct dm_redis_ask){.fn = fn, .deadline_ = deadline, .state_ = m, .pending = true};
    dm_list_init(&a->link_);
    if (deadline != DM_NEVER) {
        dm_time left = deadline - dm_loop_now(r->loop);
        dm_timer_start(r->loop, &m->timer, left > 0 ? left : 0);
    }
    return m;
}

void dm_redis_command_keep(struct dm_redis_command *m, const dm_view *argv, size_t argc)
{
    m->kept_len = dm_redis_encoded_len(argv, argc);
    m->kept =
        m->kept_len <= DM_REDIS_BLOCK ? dm_slab_take(&m->redis->blocks) : dm_mem_alloc(m->kept_len);
    (void)dm_redis_encode(m->kept, argv, argc);
}

static void drop_kept(struct dm_redis_command *m)
{
    if (m->kept_len > DM_REDIS_BLOCK)
        dm_mem_free(m->kept);
    else
        dm_slab_give(&m->redis->blocks, m->kept);
    m->kept = NULL;
}

static void leave_list(struct dm_redis_command *m)
{
    if (dm_list_empty(&m->link))
        return;
    dm_list_remove(&m->link);
    if (m->conn != NULL) {
        m->conn->n_line--;
    } else {
        m->redis->n_waiting--;
        m->redis->waiting_bytes -= m->kept_len;
    }
}

void dm_redis_command_free(struct dm_redis_command *m)
{
    DM_REQUIRE(m->ask == NULL);
    leave_list(m);
    dm_timer_stop(&m->timer);
    drop_kept(m);
    dm_slab_give(&m->redis->commands, m);
}

void dm_redis_command_answer(struct dm_redis_command *m, enum dm_code rc,
                             const struct dm_redis_reply *reply)
{
    struct dm_redis_ask *a = DM_TAKE(m->ask);
    dm_redis_command_free(m);
    if (a == NULL)
        return;
    a->state_ = NULL;
    a->pending = false;
    a->fn(a, rc, reply);
}

void dm_redis_command_refuse(struct dm_redis_command *m)
{
    struct dm_redis *r = m->redis;
    struct dm_redis_ask *a = DM_TAKE(m->ask);
    dm_redis_command_free(m);
    if (a == NULL)
        return;
    a->state_ = NULL;
    dm_list_add_tail(&r->refused, &a->link_);
    dm_loop_post(r->loop, &r->refuse);
}

/* Bytes to replies: the only file that knows hiredis. Its parser works over object functions of
 * ours, so that a reply lies in an arena that is reset for the next one, and everything it may
 * hold is bounded. */
#include "store/redis/redis_internal.h"

#include <hiredis/hiredis.h>
#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

/* hiredis 1.0 made the number of elements unsigned and can meet the types of RESP3. */
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/* The unused part of the parser's buffer that it keeps: as much as one read brings, or every read
 * would free and allocate. */
static const size_t KEEP_BUFFER = 4 * (size_t)DM_LOOP_SCRATCH;

struct dm_redis_reader {
    redisReader *parser;
    struct dm_arena arena;
};

static struct dm_redis_reply *reply_new(const redisReadTask *task, enum dm_redis_type type)
{
    struct dm_redis_reader *r = task->privdata;
    struct dm_redis_reply *parent = task->parent == NULL ? NULL : task->parent->obj;
    unsigned depth = parent == NULL ? 0 : parent->depth + 1;
    if (depth > DM_REDIS_DEPTH_MAX)
        return NULL; /* the parser takes this for lack of memory and gives up */
    struct dm_redis_reply *p = dm_arena_zalloc(&r->arena, sizeof *p);
    if (p == NULL)
        return NULL;
    p->type = type;
    p->depth = depth;
    return p;
}

static void *place(const redisReadTask *task, struct dm_redis_reply *p)
{
    if (task->parent != NULL) {
        struct dm_redis_reply *parent = task->parent->obj;
        DM_ASSERT((size_t)task->idx < parent->count);
        parent->items[task->idx] = p;
    }
    return p;
}

static void *create_string(const redisReadTask *task, char *str, size_t len)
{
    struct dm_redis_reader *r = task->privdata;
    bool error = task->type == REDIS_REPLY_ERROR;
    if (!error && task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_STATUS)
        return NULL; /* RESP3 was never asked for */
    struct dm_redis_reply *p = reply_new(task, error ? DM_REDIS_ERROR : DM_REDIS_TEXT);
    if (p == NULL)
        return NULL;
    p->text = dm_arena_copy(&r->arena, dm_view_make(str, len));
    return p->text.ptr == NULL ? NULL : place(task, p);
}

static void *create_array(const redisReadTask *task, element_count elements)
{
    struct dm_redis_reader *r = task->privdata;
    if (task->type != REDIS_REPLY_ARRAY)
        return NULL;
    struct dm_redis_reply *p = reply_new(task, DM_REDIS_ARRAY);
    if (p == NULL || (size_t)elements > (size_t)DM_REDIS_REPLY_MAX / sizeof(void *))
        return NULL;
    p->count = (size_t)elements;
    p->items = dm_arena_zalloc(&r->arena, p->count * sizeof *p->items);
    return p->items == NULL ? NULL : place(task, p);
}

static void *create_integer(const redisReadTask *task, long long value)
{
    if (task->type != REDIS_REPLY_INTEGER)
        return NULL;
    struct dm_redis_reply *p = reply_new(task, DM_REDIS_INT);
    if (p == NULL)
        return NULL;
    p->number = value;
    return place(task, p);
}

static void *create_nil(const redisReadTask *task)
{
    struct dm_redis_reply *p = reply_new(task, DM_REDIS_NIL);
    return p == NULL ? NULL : place(task, p);
}

#if HIREDIS_MAJOR >= 1
static void *create_double(const redisReadTask *task, double value, char *str, size_t len)
{
    (void)task;
    (void)value;
    (void)str;
    (void)len;
    return NULL;
}

static void *create_bool(const redisReadTask *task, int value)
{
    (void)task;
    (void)value;
    return NULL;
}
#endif

static void free_object(void *object)
{
    (void)object; /* the arena's */
}

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
#if HIREDIS_MAJOR >= 1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
    .createNil = create_nil,
    .freeObject = free_object,
};

struct dm_redis_reader *dm_redis_reader_new(struct dm_arena_pool *pool)
{
    struct dm_redis_reader *r = DM_NEW(struct dm_redis_reader);
    r->parser = redisReaderCreateWithFunctions(&functions);
    DM_REQUIRE(r->parser != NULL);
    r->parser->maxbuf = KEEP_BUFFER;
    r->parser->privdata = r;
    dm_arena_init(&r->arena, pool, DM_REDIS_REPLY_MAX);
    return r;
}

void dm_redis_reader_free(struct dm_redis_reader *r)
{
    if (r == NULL)
        return;
    redisReaderFree(r->parser);
    dm_arena_reset(&r->arena);
    dm_mem_free(r);
}

enum dm_code dm_redis_reader_feed(struct dm_redis_reader *r, dm_view bytes)
{
    if (r->parser->len - r->parser->pos + bytes.len > DM_REDIS_UNREAD_MAX)
        return DM_LIMIT;
    int rc = redisReaderFeed(r->parser, bytes.ptr, bytes.len);
    return rc == REDIS_OK ? DM_OK : DM_PROTOCOL;
}

enum dm_code dm_redis_reader_next(struct dm_redis_reader *r, const struct dm_redis_reply **ret)
{
    void *reply = NULL;
    if (r->parser->ridx == -1) /* no reply is half read: the one before has had its time */
        dm_arena_reset(&r->arena);
    if (redisReaderGetReply(r->parser, &reply) != REDIS_OK)
        return DM_PROTOCOL;
    if (reply == NULL)
        return DM_AGAIN;
    *ret = reply;
    return DM_OK;
}

/* --- what callers see --- */

enum dm_redis_type dm_redis_type(const struct dm_redis_reply *p)
{
    return p == NULL ? DM_REDIS_NIL : p->type;
}

int64_t dm_redis_int(const struct dm_redis_reply *p)
{
    int64_t value = 0;
    if (p == NULL)
        return 0;
    if (p->type == DM_REDIS_INT)
        return p->number;
    if (p->type == DM_REDIS_TEXT && dm_parse_i64(p->text, INT64_MIN, INT64_MAX, &value))
        return value;
    return 0;
}

dm_view dm_redis_text(const struct dm_redis_reply *p)
{
    bool text = p != NULL && (p->type == DM_REDIS_TEXT || p->type == DM_REDIS_ERROR);
    return text ? p->text : DM_VIEW_NONE;
}

size_t dm_redis_len(const struct dm_redis_reply *p)
{
    return p != NULL && p->type == DM_REDIS_ARRAY ? p->count : 0;
}

const struct dm_redis_reply *dm_redis_at(const struct dm_redis_reply *p, size_t i)
{
    return i < dm_redis_len(p) ? p->items[i] : NULL;
}

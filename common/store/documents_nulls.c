#include "store/documents_nulls.h"

#include <pthread.h>

#include "base/assert.h"
#include "base/map.h"

#include "base/poison.h"

enum {
    LISTS_MAX = 1024,     /* a model has a handful; more means that nulls are chosen by somebody */
    NAMES_CAP = 16 * 1024 /* names of one document's nulls */
};

struct dm_nulls {
    pthread_mutex_t lock;
    struct dm_map *lists; /* JSON text of the names -> the names */
};

static void free_list(void *value)
{
    dm_json_free(value);
}

struct dm_nulls *dm_nulls_new(void)
{
    struct dm_nulls *n = DM_NEW(struct dm_nulls);

    DM_REQUIRE(pthread_mutex_init(&n->lock, NULL) == 0);
    n->lists = dm_map_new(free_list);
    return n;
}

void dm_nulls_free(struct dm_nulls *n)
{
    if (n == NULL)
        return;
    dm_map_free(n->lists);
    (void)pthread_mutex_destroy(&n->lock);
    dm_mem_free(n);
}

static struct dm_json *names_of_nulls(const struct dm_json *object)
{
    struct dm_json *names = NULL;

    for (const struct dm_json *m = dm_json_first(object); m != NULL; m = dm_json_next(m)) {
        if (!dm_json_is(m, DM_JSON_NULL))
            continue;
        if (names == NULL)
            names = dm_json_new_array();
        dm_json_push(names, dm_json_new_str(dm_json_name(m)));
    }
    return names;
}

/* Takes names; NULL when there is no room for another list. */
static const struct dm_json *intern(struct dm_nulls *n, struct dm_json *names)
{
    struct dm_json *known = NULL;
    struct dm_buf key;

    dm_buf_init(&key, NAMES_CAP);
    dm_json_write(names, &key);
    if (dm_buf_ok(&key)) {
        (void)pthread_mutex_lock(&n->lock);
        known = dm_map_get(n->lists, dm_buf_view(&key));
        if (known == NULL && dm_map_count(n->lists) < LISTS_MAX) {
            known = DM_TAKE(names);
            dm_map_put(n->lists, dm_buf_view(&key), known);
        }
        (void)pthread_mutex_unlock(&n->lock);
    }
    dm_buf_done(&key);
    dm_json_free(names);
    return known;
}

static void write_others(const struct dm_json *object, struct dm_buf *text)
{
    bool first = true;

    dm_buf_add_byte(text, '{');
    for (const struct dm_json *m = dm_json_first(object); m != NULL; m = dm_json_next(m)) {
        if (dm_json_is(m, DM_JSON_NULL))
            continue;
        if (!first)
            dm_buf_add_byte(text, ',');
        first = false;
        dm_json_write_str(dm_json_name(m), text);
        dm_buf_add_byte(text, ':');
        dm_json_write(m, text);
    }
    dm_buf_add_byte(text, '}');
}

const struct dm_json *dm_nulls_split(struct dm_nulls *n, const struct dm_json *object,
                                     struct dm_buf *text)
{
    struct dm_json *names = names_of_nulls(object);
    const struct dm_json *list = names != NULL ? intern(n, names) : NULL;

    if (list != NULL)
        write_others(object, text);
    else
        dm_json_write(object, text);
    return list;
}

void dm_nulls_join(const struct dm_json *names, struct dm_json *object)
{
    for (const struct dm_json *name = dm_json_first(names); name != NULL; name = dm_json_next(name))
        dm_json_set(object, dm_json_str(name), dm_json_new_null());
}

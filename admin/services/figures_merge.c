#include "admin/services/figures.h"

#include <stdio.h>

enum {
    /* Names in one bucket; more share "other". A minute of 500 APIs is 60 KB. */
    APIS_MAX = 500,
    USERS_MAX = 500,
    OTHERS_MAX = 200, /* statuses, codes: closed sets, but records come from outside */
    NAME_MAX_ = 1024, /* gateways send less; with it a bucket has its bound */
    /* Workers of a fleet; what more of them send, and what one sends beyond so many gaps, is
     * counted, and twice if it comes twice. A bucket stays far below the 16 MB of a document. */
    INSTANCES_MAX = 2048,
    RANGES_MAX = 64, /* numbers of one instance in one minute, as ranges: gaps are rare */
    API_FIXED = 3    /* count, errors, us before the buckets */
};

static const char *const figures[] = {"count",     "errors",   "us",      "tests",      "bytes_in",
                                      "bytes_out", "timeouts", "retries", "other_users"};
static const struct {
    const char *name;
    size_t max;
} maps[] = {{"statuses", OTHERS_MAX}, {"codes", OTHERS_MAX}, {"users", USERS_MAX}};

/* A sum that stays what JSON and databases carry exactly. */
static int64_t plus(int64_t a, int64_t b)
{
    const int64_t most = (int64_t)1 << 53;

    return a > most - b ? most : a + b;
}

static bool is_figure(const struct dm_json *j)
{
    const int64_t n = dm_json_i64(j, -1);

    return n >= 0 && n <= (int64_t)1 << 53;
}

static bool are_figures(const struct dm_json *list, size_t n)
{
    if ((!dm_json_is(list, DM_JSON_ARRAY) && !dm_json_is(list, DM_JSON_OBJECT)) ||
        (n > 0 && dm_json_len(list) != n))
        return false;
    for (struct dm_json *j = dm_json_first(list); j != NULL; j = dm_json_next(j)) {
        if (!is_figure(j))
            return false;
    }
    return true;
}

static bool are_named(const struct dm_json *map)
{
    for (struct dm_json *j = dm_json_first(map); j != NULL; j = dm_json_next(j)) {
        const dm_view name = dm_json_name(j);
        if (name.len == 0 || name.len > NAME_MAX_)
            return false;
    }
    return true;
}

struct dm_json *adm_figures_bucket(enum adm_level l, int64_t start)
{
    struct dm_json *b = dm_json_new_object();
    char slot[24];

    (void)l;
    /* Unique, and in the order of time as text. */
    dm_json_set_str(
        b, DM_LIT("slot"),
        dm_view_make(slot, (size_t)snprintf(slot, sizeof slot, "%012lld", (long long)start)));
    dm_json_set_i64(b, DM_LIT("start"), start);
    return b;
}

bool adm_figures_check(const struct dm_json *record)
{
    return is_figure(dm_json_get(record, DM_LIT("minute"))) && adm_figures_check_bucket(record);
}

struct dm_json *adm_figures_read(dm_view text)
{
    static const struct dm_json_limits limits = {
        .max_bytes = DM_STREAM_RECORD_MAX, .max_depth = 3, .max_values = DM_STREAM_RECORD_MAX};
    struct dm_json *record = NULL;
    struct dm_error err;

    if (dm_json_parse(text, &limits, &record, &err) == DM_OK && !adm_figures_check(record))
        dm_json_free(DM_TAKE(record));
    return record;
}

bool adm_figures_check_bucket(const struct dm_json *record)
{
    const struct dm_json *apis = dm_json_get(record, DM_LIT("apis"));

    for (size_t i = 0; i < DM_COUNT_OF(figures); i++) {
        if (!is_figure(dm_json_get(record, dm_view_of(figures[i]))))
            return false;
    }
    for (size_t i = 0; i < DM_COUNT_OF(maps); i++) {
        const struct dm_json *map = dm_json_get(record, dm_view_of(maps[i].name));
        if (!dm_json_is(map, DM_JSON_OBJECT) || !are_figures(map, 0) || !are_named(map))
            return false;
    }
    if (!are_figures(dm_json_get(record, DM_LIT("latency")), DM_LATENCY_BUCKETS) ||
        !dm_json_is(apis, DM_JSON_OBJECT) || !are_named(apis))
        return false;
    for (struct dm_json *a = dm_json_first(apis); a != NULL; a = dm_json_next(a)) {
        if (!dm_json_is(a, DM_JSON_ARRAY) || !are_figures(a, API_FIXED + DM_LATENCY_BUCKETS))
            return false;
    }
    return true;
}

/* --- adding --- */

static void add_member(struct dm_json *to, dm_view name, int64_t n)
{
    dm_json_set_i64(to, name, plus(dm_json_i64(dm_json_get(to, name), 0), n));
}

static struct dm_json *object_of(struct dm_json *parent, dm_view name)
{
    struct dm_json *o = dm_json_get(parent, name);

    if (o == NULL) {
        dm_json_set(parent, name, dm_json_new_object());
        o = dm_json_get(parent, name);
    }
    return o;
}

/* The name it counts under: its own, or that of all for whom there is no room. */
static dm_view room_for(const struct dm_json *map, dm_view name, size_t max, size_t *n)
{
    if (dm_json_get(map, name) != NULL)
        return name;
    if (*n >= max)
        return DM_LIT("other");
    ++*n;
    return name;
}

static void add_map(struct dm_json *bucket, const char *name, size_t max,
                    const struct dm_json *from)
{
    struct dm_json *to = object_of(bucket, dm_view_of(name));
    size_t n = dm_json_len(to);

    for (struct dm_json *j = dm_json_first(from); j != NULL; j = dm_json_next(j))
        add_member(to, room_for(to, dm_json_name(j), max, &n), dm_json_i64(j, 0));
}

struct dm_json *adm_figures_sum(const struct dm_json *to, const struct dm_json *from)
{
    struct dm_json *sum = dm_json_new_array();
    const struct dm_json *a = dm_json_first(to);

    for (const struct dm_json *b = dm_json_first(from); b != NULL; b = dm_json_next(b)) {
        dm_json_push(sum, dm_json_new_i64(plus(dm_json_i64(a, 0), dm_json_i64(b, 0))));
        a = a == NULL ? NULL : dm_json_next(a);
    }
    return sum;
}

static void add_list(struct dm_json *to, dm_view name, const struct dm_json *from)
{
    dm_json_set(to, name, adm_figures_sum(dm_json_get(to, name), from));
}

void adm_figures_add(struct dm_json *bucket, const struct dm_json *from)
{
    const struct dm_json *apis = dm_json_get(from, DM_LIT("apis"));
    struct dm_json *to = object_of(bucket, DM_LIT("apis"));
    size_t n = dm_json_len(to);

    for (size_t i = 0; i < DM_COUNT_OF(figures); i++)
        add_member(bucket, dm_view_of(figures[i]),
                   dm_json_i64(dm_json_get(from, dm_view_of(figures[i])), 0));
    for (size_t i = 0; i < DM_COUNT_OF(maps); i++)
        add_map(bucket, maps[i].name, maps[i].max, dm_json_get(from, dm_view_of(maps[i].name)));
    add_list(bucket, DM_LIT("latency"), dm_json_get(from, DM_LIT("latency")));
    for (struct dm_json *a = dm_json_first(apis); a != NULL; a = dm_json_next(a))
        add_list(to, room_for(to, dm_json_name(a), APIS_MAX, &n), a);
}

/* --- each record once --- */

bool adm_figures_id(dm_view id, dm_view *ret_instance, int64_t *ret_number)
{
    const size_t dash = dm_view_find_byte(id, '-', 0);

    *ret_instance = dm_view_sub(id, 0, dash);
    return dash > 0 && dash <= 32 && dash < id.len &&
           dm_parse_i64(dm_view_sub(id, dash + 1, id.len), 1, (int64_t)1 << 53, ret_number);
}

/* [first, last, first, last, ...] in order, with `number` in it, unless there is no room; NULL: it
 * was there. */
static struct dm_json *with(const struct dm_json *ranges, int64_t number)
{
    int64_t at[2 * RANGES_MAX + 2];
    size_t n = 0, i = 0;
    struct dm_json *list;

    for (const struct dm_json *j = dm_json_first(ranges); j != NULL && n < 2 * RANGES_MAX;
         j = dm_json_next(j))
        at[n++] = dm_json_i64(j, 0);
    n &= ~(size_t)1;
    while (i < n && at[i + 1] < number)
        i += 2;
    if (i < n && at[i] <= number)
        return NULL;
    if (i > 0 && at[i - 1] == number - 1 && i < n && at[i] == number + 1) { /* closes a gap */
        for (size_t k = i - 1; k + 2 < n; k++)
            at[k] = at[k + 2];
        n -= 2;
    } else if (i > 0 && at[i - 1] == number - 1) {
        at[i - 1] = number;
    } else if (i < n && at[i] == number + 1) {
        at[i] = number;
    } else if (n < 2 * RANGES_MAX) {
        for (size_t k = n; k > i; k--)
            at[k + 1] = at[k - 1];
        at[i] = at[i + 1] = number;
        n += 2;
    }
    list = dm_json_new_array();
    for (i = 0; i < n; i++)
        dm_json_push(list, dm_json_new_i64(at[i]));
    return list;
}

bool adm_figures_see(struct dm_json *bucket, dm_view instance, int64_t number)
{
    struct dm_json *seen = object_of(bucket, DM_LIT("seen"));
    const struct dm_json *ranges = dm_json_get(seen, instance);
    struct dm_json *list;

    if (ranges == NULL && dm_json_len(seen) >= INSTANCES_MAX)
        return true;
    list = with(ranges, number);
    if (list == NULL)
        return false;
    dm_json_set(seen, instance, list);
    return true;
}

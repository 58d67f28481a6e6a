#include "admin/services/figures.h"

#include "base/assert.h"
#include "base/log.h"

enum {
    MINUTE = 60,
    HOUR = 3600,
    DAY = 24 * HOUR,
    /* Clocks of gateways that run before ours; and what is about to be rolled up takes no more. */
    AHEAD = 10 * MINUTE,
    MOVES_MAX = 200 /* coarse buckets made by one run; the next run goes on */
};

static const struct {
    const char *collection;
    int64_t width, kept; /* seconds */
} levels[ADM_LEVELS] = {{"metrics_minutes", MINUTE, DAY},
                        {"metrics_five_minutes", 5 * MINUTE, 7 * DAY},
                        {"metrics_hours", HOUR, 30 * DAY},
                        {"metrics_days", DAY, 90 * DAY}};

const char *adm_figures_collection(enum adm_level l)
{
    return levels[l].collection;
}

int64_t adm_figures_width(enum adm_level l)
{
    return levels[l].width;
}

/* Cut at a bucket of the next level, so that each moment belongs to one level. */
int64_t adm_figures_oldest(enum adm_level l, int64_t now)
{
    const int64_t width = levels[l + 1 < ADM_LEVELS ? l + 1 : l].width;

    return (now - levels[l].kept) / width * width;
}

static struct dm_filter slot_of(const struct dm_json *bucket)
{
    return DM_WHERE("slot", dm_json_str(dm_json_get(bucket, DM_LIT("slot"))));
}

/* --- records --- */

struct work {
    const struct dm_live_batch *batch;
    struct dm_json *records[DM_STREAM_TAKE_MAX]; /* NULL: unusable, or applied */
    int64_t minute;                              /* those of this one now */
};

static enum dm_code add_minute(void *ctx, struct dm_json *bucket, struct dm_error *err)
{
    const struct work *w = ctx;

    (void)err;
    for (size_t i = 0; i < w->batch->n; i++) {
        dm_view instance;
        int64_t number;
        if (w->records[i] == NULL ||
            dm_json_i64(dm_json_get(w->records[i], DM_LIT("minute")), 0) != w->minute)
            continue;
        if (adm_figures_id(w->batch->entries[i].id, &instance, &number) &&
            adm_figures_see(bucket, instance, number))
            adm_figures_add(bucket, w->records[i]);
    }
    return DM_OK;
}

/* One write holds both the figures and that they were counted. */
static enum dm_code apply_minute(struct adm_app *app, struct work *w, struct dm_error *err)
{
    DM_DEFER(dm_json_freep)
    struct dm_json *fresh = adm_figures_bucket(ADM_MINUTES, w->minute * MINUTE);
    const struct dm_filter key = slot_of(fresh);
    enum dm_code rc;

    (void)add_minute(w, fresh, err);
    for (int again = 0;; again++) { /* another admin may make the bucket first */
        rc = dm_documents_update(adm_documents(app), levels[ADM_MINUTES].collection, &key, 1,
                                 add_minute, w, NULL, err);
        if (rc != DM_NOT_FOUND || again == 2)
            return rc;
        rc = dm_documents_insert(adm_documents(app), levels[ADM_MINUTES].collection, fresh, err);
        if (rc != DM_EXISTS)
            return rc;
    }
}

static struct dm_json *read_record(const struct dm_live_entry *e, int64_t now)
{
    struct dm_json *record;
    dm_view instance;
    int64_t number, start;

    if (!adm_figures_id(e->id, &instance, &number) ||
        (record = adm_figures_read(e->record)) == NULL)
        return NULL;
    start = dm_json_i64(dm_json_get(record, DM_LIT("minute")), -1);
    if (start > (now + AHEAD) / MINUTE ||
        start * MINUTE < adm_figures_oldest(ADM_MINUTES, now) + AHEAD) {
        dm_json_free(record);
        return NULL;
    }
    return record;
}

enum dm_code adm_figures_apply(struct adm_app *app, const struct dm_live_batch *b, int64_t now,
                               size_t *ret_dropped, struct dm_error *err)
{
    struct work w = {.batch = b};
    enum dm_code rc = DM_OK;

    *ret_dropped = 0;
    for (size_t i = 0; i < b->n; i++) {
        w.records[i] = read_record(&b->entries[i], now);
        *ret_dropped += w.records[i] == NULL;
    }
    for (size_t i = 0; i < b->n && rc == DM_OK; i++) {
        if (w.records[i] == NULL)
            continue;
        w.minute = dm_json_i64(dm_json_get(w.records[i], DM_LIT("minute")), 0);
        rc = apply_minute(app, &w, err);
        for (size_t k = b->n; k-- > i && rc == DM_OK;) {
            if (dm_json_i64(dm_json_get(w.records[k], DM_LIT("minute")), -1) == w.minute)
                dm_json_free(DM_TAKE(w.records[k]));
        }
    }
    for (size_t i = 0; i < b->n; i++)
        dm_json_free(w.records[i]);
    return rc;
}

/* --- rolling up --- */

static enum dm_code delete_bucket(struct adm_app *app, enum adm_level l,
                                  const struct dm_json *bucket, struct dm_error *err)
{
    const struct dm_filter key = slot_of(bucket);
    uint64_t deleted;

    return dm_documents_delete(adm_documents(app), levels[l].collection, &key, 1, &deleted, err);
}

static int64_t start_of(const struct dm_json *bucket)
{
    return dm_json_i64(dm_json_get(bucket, DM_LIT("start")), 0);
}

/* The coarse bucket is written whole, once, before its parts go: one that is there is complete. So
 * a crash leaves parts that the next run deletes, and nothing is added twice. */
static enum dm_code move(struct adm_app *app, enum adm_level l, struct dm_json *first,
                         int64_t start, struct dm_error *err)
{
    const int64_t end = start + levels[l + 1].width;
    DM_DEFER(dm_json_freep) struct dm_json *sum = adm_figures_bucket(l + 1, start);
    enum dm_code rc;

    for (struct dm_json *j = first; j != NULL && start_of(j) < end; j = dm_json_next(j))
        adm_figures_add(sum, j);
    rc = dm_documents_insert(adm_documents(app), levels[l + 1].collection, sum, err);
    if (rc == DM_EXISTS)
        rc = DM_OK;
    for (struct dm_json *j = first; j != NULL && start_of(j) < end && rc == DM_OK;
         j = dm_json_next(j))
        rc = delete_bucket(app, l, j, err);
    return rc;
}

static enum dm_code roll_up(struct adm_app *app, enum adm_level l, int64_t now,
                            struct dm_error *err)
{
    const struct dm_query q = {.sort = "slot", .limit = MOVES_MAX};
    const int64_t oldest = adm_figures_oldest(l, now);
    DM_DEFER(dm_json_freep) struct dm_json *old = NULL;
    enum dm_code rc = dm_documents_list(adm_documents(app), levels[l].collection, &q, &old, err);
    struct dm_json *j = rc == DM_OK ? dm_json_first(old) : NULL;
    const struct dm_json *last =
        rc == DM_OK && dm_json_len(old) > 0 ? dm_json_at(old, dm_json_len(old) - 1) : NULL;
    /* A list that was cut may hold half of its last coarse bucket. */
    const int64_t known =
        last != NULL && dm_json_len(old) == MOVES_MAX ? start_of(last) : INT64_MAX;

    while (rc == DM_OK && j != NULL && start_of(j) < oldest) {
        if (l + 1 == ADM_LEVELS) {
            rc = delete_bucket(app, l, j, err);
            j = dm_json_next(j);
            continue;
        }
        const int64_t width = levels[l + 1].width, start = start_of(j) / width * width;
        if (start + width > known)
            break;
        rc = move(app, l, j, start, err);
        while (j != NULL && start_of(j) < start + width)
            j = dm_json_next(j);
    }
    return rc;
}

enum dm_code adm_figures_roll_up(struct adm_app *app, int64_t now, struct dm_error *err)
{
    enum dm_code rc = DM_OK;

    for (int l = ADM_LEVELS - 1; l >= 0 && rc == DM_OK; l--)
        rc = roll_up(app, (enum adm_level)l, now, err);
    return rc;
}

/* The figures of all gateways, as minute buckets in the documents (operations.md §8.2): records of
 * the stream are added to them, each exactly once however often it comes, and older buckets are
 * rolled up. Blocking; any thread, also of several admins at once. */
#pragma once

#include "admin/app.h"
#include "model/latency.h"
#include "store/live_stream.h"

/* Coarser with age: each level holds what is older than the one before it keeps. */
enum adm_level { ADM_MINUTES = 0, ADM_FIVE_MINUTES, ADM_HOURS, ADM_DAYS, ADM_LEVELS };
const char *adm_figures_collection(enum adm_level l);
int64_t adm_figures_width(enum adm_level l); /* seconds */
/* Start of the oldest bucket that level keeps. */
int64_t adm_figures_oldest(enum adm_level l, int64_t now);

/* All of a batch or an error: a batch that failed half way is applied again as a whole. Records
 * that cannot be read, or of a time that is no longer (or not yet) counted, are dropped and counted
 * in *ret_dropped. now: Unix seconds. */
enum dm_code adm_figures_apply(struct adm_app *app, const struct dm_live_batch *b, int64_t now,
                               size_t *ret_dropped, struct dm_error *err) DM_MUST_USE;
/* Moves buckets that grew too old for their level into the next one. May be killed anywhere, may
 * run twice at once. */
enum dm_code adm_figures_roll_up(struct adm_app *app, int64_t now,
                                 struct dm_error *err) DM_MUST_USE;

/* --- merging, pure (figures_merge.c) --- */
/* A bucket without anything in it. */
struct dm_json *adm_figures_bucket(enum adm_level l, int64_t start);
/* false: not a record of ours, `bucket` is as it was. */
bool adm_figures_check(const struct dm_json *record);
struct dm_json *adm_figures_read(dm_view record); /* from a stream; NULL: not a record of ours */
bool adm_figures_check_bucket(const struct dm_json *bucket);
/* Numbers of two lists side by side, a new list; `a` may be absent. */
struct dm_json *adm_figures_sum(const struct dm_json *a, const struct dm_json *b);
/* Adds the figures of a record or a bucket, which was checked; NULL: makes every member. */
void adm_figures_add(struct dm_json *bucket, const struct dm_json *from);
/* Marks a record as counted; false: it had been. */
bool adm_figures_see(struct dm_json *bucket, dm_view instance, int64_t number);
/* "<instance>-<number>" */
bool adm_figures_id(dm_view id, dm_view *ret_instance, int64_t *ret_number);

/* layer: admin */
/* Records of the streams as Redis could hold them: figures and events of gateways. What is taken
 * adds up, keeps the bounds of a bucket, and hashes the same after a store had it. */
#include <stdint.h>
#include <string.h>

#include "admin/services/figures.h"
#include "admin/services/trail.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 8 << 20, MOST_NAMES = 501, NUMBERS = 256, TURNS_MAX = 300 };
static const int64_t MOST = (int64_t)1 << 53;

static int64_t count_of(const struct dm_json *record)
{
    return dm_json_i64(dm_json_get(record, DM_LIT("count")), -1);
}

static void check_figures(dm_view in)
{
    DM_DEFER(dm_json_freep) struct dm_json *record = adm_figures_read(in);
    DM_DEFER(dm_json_freep) struct dm_json *bucket = adm_figures_bucket(ADM_MINUTES, 60);
    int64_t want = 0;

    if (record == NULL)
        return;
    for (int i = 0; i < 3; i++) {
        adm_figures_add(bucket, record);
        want = want + count_of(record) > MOST ? MOST : want + count_of(record);
        DM_REQUIRE(adm_figures_check_bucket(bucket));
        DM_REQUIRE(count_of(bucket) == want);
    }
    DM_REQUIRE(dm_json_len(dm_json_get(bucket, DM_LIT("users"))) <= MOST_NAMES);
    DM_REQUIRE(dm_json_len(dm_json_get(bucket, DM_LIT("apis"))) <= MOST_NAMES);
}

static void hash_again(const struct dm_json *record, const char *want)
{
    DM_DEFER(dm_json_freep) struct dm_json *back = NULL;
    char hash[ADM_TRAIL_HASH + 1];
    struct dm_buf text;

    dm_buf_init(&text, TEXT_MAX);
    dm_json_write(record, &text);
    DM_REQUIRE(dm_json_parse(dm_buf_view(&text), &dm_json_default, &back, NULL) == DM_OK);
    adm_trail_hash(back, hash);
    DM_REQUIRE(strcmp(hash, want) == 0);
    dm_buf_done(&text);
}

static void check_event(dm_view in)
{
    DM_DEFER(dm_json_freep) struct dm_json *event = adm_trail_read(in);
    char hash[ADM_TRAIL_HASH + 1];

    if (event == NULL)
        return;
    DM_DEFER(dm_json_freep) struct dm_json *record = adm_trail_record(event, DM_LIT("a-1"));
    adm_trail_hash(record, hash);
    hash_again(record, hash);
}

/* Any JSON at all: what an administrator's own calls tell, and what a database may hold. */
static void check_details(dm_view in)
{
    DM_DEFER(dm_json_freep) struct dm_json *any = NULL;
    char hash[ADM_TRAIL_HASH + 1];

    if (dm_json_parse(in, &dm_json_default, &any, NULL) != DM_OK)
        return;
    DM_DEFER(dm_json_freep) struct dm_json *clean = adm_trail_sanitised(any);
    adm_trail_hash(clean, hash);
    hash_again(clean, hash);
}

/* Each number is new once, as long as there is room for gaps. */
static void check_numbers(const uint8_t *data, size_t size)
{
    DM_DEFER(dm_json_freep) struct dm_json *bucket = adm_figures_bucket(ADM_MINUTES, 60);
    bool seen[NUMBERS] = {false};
    size_t n_gaps = 0;

    for (size_t i = 0; i < size && i < TURNS_MAX && n_gaps < 60; i++) {
        const bool fresh = adm_figures_see(bucket, DM_LIT("a"), data[i] + 1);
        DM_REQUIRE(fresh == !seen[data[i]]);
        seen[data[i]] = true;
        n_gaps = dm_json_len(dm_json_get(dm_json_get(bucket, DM_LIT("seen")), DM_LIT("a"))) / 2;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const dm_view in = dm_view_make((const char *)data, size);
    dm_view instance;
    int64_t number;

    check_figures(in);
    check_event(in);
    check_details(in);
    check_numbers(data, size);
    if (!adm_figures_id(in, &instance, &number))
        return 0;
    DM_REQUIRE(number > 0 && instance.len > 0 && instance.len <= 32);
#ifdef DOORMAN_PLANT_BUG
    DM_REQUIRE(number < 100);
#endif
    return 0;
}

/* /platform/monitor (platform-access.md §8.9): figures of all gateways; /api/status of this admin.
 */
#include "admin/app.h"
#include "admin/handlers.h"
#include "admin/services/figures_report.h"
#include "base/assert.h"
#include "codec/uri.h"

enum { WORD_MAX_ = 16 }; /* longer than every word that means something */

static bool asks_for(struct adm_call *c, const char *name, dm_view word)
{
    struct dm_buf value;
    bool same;

    dm_buf_init(&value, WORD_MAX_);
    same = dm_query_get(c->query, dm_view_of(name), &value) && dm_buf_ok(&value) &&
           dm_view_eq(dm_buf_view(&value), word);
    dm_buf_done(&value);
    return same;
}

void adm_monitor_metrics(struct adm_call *c)
{
    static const struct {
        dm_view word;
        int64_t hours;
    } ranges[] = {{DM_LIT("24h"), 24}, /* also for every word that is none */
                  {DM_LIT("1h"), 1},
                  {DM_LIT("7d"), 7 * 24},
                  {DM_LIT("30d"), 30 * 24}};
    struct adm_figures_question q = {.now = dm_clock_wall(adm_clock(c->app)) / DM_SEC,
                                     .by_day = asks_for(c, "group", DM_LIT("day")),
                                     .descending = asks_for(c, "sort", DM_LIT("desc"))};
    struct dm_json *report = NULL;
    struct dm_error err;
    size_t chosen = 0;

    for (size_t i = 0; i < DM_COUNT_OF(ranges); i++) {
        if (asks_for(c, "range", ranges[i].word))
            chosen = i;
    }
    q.period = ranges[chosen].word;
    q.seconds = ranges[chosen].hours * 3600;
    if (adm_figures_report(c->app, &q, &report, &err) != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok(c, 200, report);
}

void adm_monitor_status(struct adm_call *c)
{
    const struct adm_app_config *app = adm_config(c->app);
    struct dm_ops_status status = {0};
    char text[DM_OPS_STATUS_MAX];
    struct dm_json *body = NULL;
    struct dm_error err;

    if (app->status == NULL) { /* the gateway of this process has answered before */
        adm_fail_err(c, ERR_NOT_FOUND);
        return;
    }
    app->status(app->ctx, &status);
    if (dm_json_parse(dm_ops_status_text(&status, text), &dm_json_default, &body, &err) != DM_OK)
        DM_UNREACHABLE();
    adm_ok(c, 200, body);
}

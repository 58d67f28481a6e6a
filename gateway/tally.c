#include "gateway/tally.h"

#include "codec/json.h"
#include "crypto/random.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/poison.h"

enum {
    APIS = 128,      /* called by one worker within one flush: a power of two; one more flushes */
    APIS_MAX = 96,   /* of them in use: probing stays short */
    NAME_MAX_ = 128, /* "name/version"; a longer one counts in the totals alone */
    USERS = 64,      /* named within one flush; more share OTHER */
    USER_MAX = 200,  /* 50 code points */
    STATUSES = 600,
    MINUTE = 60
};
#define OTHER DM_LIT("other")

struct sums {
    uint64_t count, errors, us;
    uint32_t latency[DM_LATENCY_BUCKETS];
};
struct of_api {
    struct sums sums; /* count 0: free */
    uint32_t slot;
    dm_view protocol; /* of a static table */
    size_t len;
    char name[NAME_MAX_];
};
struct of_user {
    uint64_t hash, count;
    size_t len;
    char name[USER_MAX];
};

struct gw_tally {
    struct gw_tally_config config;
    struct dm_timer timer;
    dm_time flush;
    uint64_t instance, n_records, n_events;
    struct dm_buf text;
    /* since the last record, zero at its start */
    struct tables {
        int64_t minute;
        struct sums all;
        uint64_t tests, bytes_in, bytes_out, timeouts, retries, other_users;
        size_t n_apis, n_users;
        uint32_t statuses[STATUSES], codes[ERR_COUNT_];
        struct of_api apis[APIS];
        struct of_user users[USERS];
    } now;
};

static void on_timer(struct dm_timer *timer)
{
    struct gw_tally *t = DM_CONTAINER_OF(timer, struct gw_tally, timer);
    const int64_t minute = dm_loop_wall(t->config.loop) / DM_SEC / MINUTE;

    /* While records wait, here or there, one a minute is enough: hours fit where minutes did. */
    if (minute == t->now.minute && (dm_live_emit_pending(t->config.live, DM_STREAM_METRICS) > 1 ||
                                    dm_live_emit_behind(t->config.live, DM_STREAM_METRICS)))
        dm_timer_start(t->config.loop, &t->timer, t->flush);
    else
        gw_tally_flush(t);
}

struct gw_tally *gw_tally_new(const struct gw_tally_config *c)
{
    struct gw_tally *t = DM_NEW(struct gw_tally);

    t->config = *c;
    t->instance = dm_random_u64();
    dm_timer_init(&t->timer, on_timer);
    dm_buf_init(&t->text, DM_STREAM_RECORD_MAX);
    return t;
}

void gw_tally_free(struct gw_tally *t)
{
    if (t == NULL)
        return;
    dm_timer_stop(&t->timer);
    dm_buf_done(&t->text);
    dm_mem_free(t);
}

/* --- a call --- */

static void add(struct sums *s, const struct gw_tally_call *c, uint64_t us, size_t bucket)
{
    s->count++;
    s->errors += c->status >= 400;
    s->us += us;
    s->latency[bucket]++;
}

/* Slots are used again after an API went: the name decides. */
static struct of_api *api_of(struct gw_tally *t, const struct gw_tally_call *c)
{
    for (uint32_t i = c->api_slot;; i++) {
        struct of_api *a = &t->now.apis[i % APIS];

        if (a->sums.count == 0) {
            t->now.n_apis++;
            a->slot = c->api_slot;
            a->protocol = c->protocol;
            a->len = c->api.len;
            memcpy(a->name, c->api.ptr, c->api.len);
            return a;
        }
        if (a->slot == c->api_slot && a->protocol.ptr == c->protocol.ptr &&
            dm_view_eq(dm_view_make(a->name, a->len), c->api))
            return a;
    }
}

static void add_user(struct gw_tally *t, dm_view user)
{
    const uint64_t hash = dm_view_hash(user, t->instance);
    struct of_user *u;

    for (size_t i = 0; i < t->now.n_users; i++) {
        u = &t->now.users[i];
        if (u->hash == hash && dm_view_eq(dm_view_make(u->name, u->len), user)) {
            u->count++;
            return;
        }
    }
    if (t->now.n_users == USERS || user.len > USER_MAX) {
        t->now.other_users++;
        return;
    }
    u = &t->now.users[t->now.n_users++];
    u->hash = hash;
    u->count = 1;
    u->len = user.len;
    memcpy(u->name, user.ptr, user.len);
}

void gw_tally_add(struct gw_tally *t, const struct gw_tally_call *c, dm_time flush)
{
    const int64_t minute = dm_loop_wall(t->config.loop) / DM_SEC / MINUTE;
    const uint64_t us = c->took < 0 ? 0 : (uint64_t)(c->took / DM_US);
    const size_t bucket = dm_latency_bucket((int64_t)us);

    if (t->now.all.count > 0 && (minute != t->now.minute || t->now.n_apis == APIS_MAX))
        gw_tally_flush(t);
    t->flush = flush;
    t->now.minute = minute;
    if (!dm_timer_running(&t->timer))
        dm_timer_start(t->config.loop, &t->timer, flush);
    add(&t->now.all, c, us, bucket);
    if (c->api.len > 0 && c->api.len <= NAME_MAX_)
        add(&api_of(t, c)->sums, c, us, bucket);
    if (c->user.len > 0)
        add_user(t, c->user);
    if (c->status > 0 && c->status < STATUSES)
        t->now.statuses[c->status]++;
    t->now.codes[c->refusal] += c->refusal != ERR_NONE;
    t->now.tests += c->test;
    t->now.timeouts += c->upstream_timeout;
    t->now.retries += c->retries;
    t->now.bytes_in += c->bytes_in;
    t->now.bytes_out += c->bytes_out;
}

/* --- a record --- */

static void write_figure(struct dm_buf *out, const char *name, uint64_t n)
{
    dm_buf_addf(out, ",\"%s\":%" PRIu64, name, n);
}

static void write_latency(struct dm_buf *out, const struct sums *s)
{
    for (size_t i = 0; i < DM_LATENCY_BUCKETS; i++)
        dm_buf_addf(out, i == 0 ? "%" PRIu32 : ",%" PRIu32, s->latency[i]);
}

static void write_member(struct dm_buf *out, size_t *n, dm_view name)
{
    if ((*n)++ > 0)
        dm_buf_add_byte(out, ',');
    dm_json_write_str(name, out);
    dm_buf_add_byte(out, ':');
}

static void write_statuses(const struct tables *now, struct dm_buf *out)
{
    char name[8];
    size_t n = 0;

    dm_buf_add(out, DM_LIT(",\"statuses\":{"));
    for (int i = 0; i < STATUSES; i++) {
        if (now->statuses[i] == 0)
            continue;
        write_member(out, &n, dm_view_make(name, (size_t)snprintf(name, sizeof name, "%d", i)));
        dm_buf_add_u64(out, now->statuses[i]);
    }
    dm_buf_add(out, DM_LIT("},\"codes\":{"));
    n = 0;
    for (int i = 1; i < ERR_COUNT_; i++) {
        if (now->codes[i] == 0)
            continue;
        write_member(out, &n, dm_view_of(dm_err_info((enum dm_err)i)->name));
        dm_buf_add_u64(out, now->codes[i]);
    }
    dm_buf_add_byte(out, '}');
}

static void write_apis(const struct tables *now, struct dm_buf *out)
{
    char name[NAME_MAX_ + 16];
    size_t n = 0;

    dm_buf_add(out, DM_LIT(",\"apis\":{"));
    for (size_t i = 0; i < APIS; i++) {
        const struct of_api *a = &now->apis[i];
        if (a->sums.count == 0)
            continue;
        const int len =
            snprintf(name, sizeof name, "%.*s:%.*s", DM_FMT(a->protocol), (int)a->len, a->name);
        write_member(out, &n, dm_view_make(name, (size_t)len));
        dm_buf_addf(out, "[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",", a->sums.count, a->sums.errors,
                    a->sums.us);
        write_latency(out, &a->sums);
        dm_buf_add_byte(out, ']');
    }
    dm_buf_add_byte(out, '}');
}

static void write_users(const struct tables *now, struct dm_buf *out)
{
    size_t n = 0;

    dm_buf_add(out, DM_LIT(",\"users\":{"));
    for (size_t i = 0; i < now->n_users; i++) {
        write_member(out, &n, dm_view_make(now->users[i].name, now->users[i].len));
        dm_buf_add_u64(out, now->users[i].count);
    }
    dm_buf_add_byte(out, '}');
    write_figure(out, "other_users", now->other_users);
}

static void write_record(const struct tables *now, struct dm_buf *out)
{
    dm_buf_addf(out, "{\"minute\":%" PRId64, now->minute);
    write_figure(out, "count", now->all.count);
    write_figure(out, "errors", now->all.errors);
    write_figure(out, "us", now->all.us);
    write_figure(out, "tests", now->tests);
    write_figure(out, "bytes_in", now->bytes_in);
    write_figure(out, "bytes_out", now->bytes_out);
    write_figure(out, "timeouts", now->timeouts);
    write_figure(out, "retries", now->retries);
    dm_buf_add(out, DM_LIT(",\"latency\":["));
    write_latency(out, &now->all);
    dm_buf_add_byte(out, ']');
    write_statuses(now, out);
    write_apis(now, out);
    write_users(now, out);
    dm_buf_add_byte(out, '}');
}

static void emit(struct gw_tally *t, enum dm_stream s, uint64_t number, dm_view record)
{
    char id[DM_STREAM_ID_MAX];
    const int len = snprintf(id, sizeof id, "%016" PRIx64 "-%" PRIu64, t->instance, number);
    const size_t lost = dm_live_emit(t->config.live, s, dm_view_make(id, (size_t)len), record);

    if (lost > 0)
        t->config.on_lost(t->config.ctx, s, lost);
}

void gw_tally_flush(struct gw_tally *t)
{
    dm_timer_stop(&t->timer);
    if (t->now.all.count == 0)
        return;
    dm_buf_clear(&t->text);
    write_record(&t->now, &t->text);
    if (dm_buf_ok(&t->text))
        emit(t, DM_STREAM_METRICS, ++t->n_records, dm_buf_view(&t->text));
    else /* nothing but escapes in a hundred names */
        t->config.on_lost(t->config.ctx, DM_STREAM_METRICS, 1);
    memset(&t->now, 0, sizeof t->now);
}

void gw_tally_audit(struct gw_tally *t, dm_view record)
{
    emit(t, DM_STREAM_AUDIT, ++t->n_events, record);
}

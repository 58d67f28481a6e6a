#include "base/assert.h"
#include "store/live_backend.h"
#include "store/live_keys.h"
#include "store/live_outage.h"
#include "store/live_republish.h"

#include "base/poison.h"

enum { PIECE = 64 }; /* changes told at once in one process: a turn of the loop stays short */

void dm_live_cancel(struct dm_live *l, struct dm_live_wait *w)
{
    if (w->pending)
        l->ops->cancel(l, w);
}

void dm_live_ask_admit(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                       struct dm_live_wait *w, dm_admit_fn fn)
{
    DM_REQUIRE(!w->pending && fn != NULL && ask->n_counters <= DM_COUNTERS_MAX);
    for (size_t i = 0; i < ask->n_counters; i++)
        DM_REQUIRE(ask->counters[i].window_seconds > 0 && ask->counters[i].amount >= 0);
    l->ops->ask_admit(l, ask, deadline, w, fn);
}

void dm_live_look(struct dm_live *l, dm_view subject, dm_view jti, struct dm_live_outlook *ret)
{
    *ret = (struct dm_live_outlook){.mirror_age = DM_NEVER, .peers = 1};
    if (l->outage != NULL)
        dm_live_outage_look(l->outage, subject, jti, ret);
}

void dm_live_admit_alone(struct dm_live *l, const struct dm_admit_ask *ask,
                         struct dm_admit_answer *ret)
{
    *ret = (struct dm_admit_answer){.verdict = DM_ADMIT_UNKNOWN};
    if (l->outage != NULL)
        dm_live_outage_admit(l->outage, ask, ret);
}

void dm_live_add_bandwidth(struct dm_live *l, dm_view subject, int64_t window_seconds,
                           int64_t bytes)
{
    DM_REQUIRE(window_seconds > 0 && bytes >= 0);
    l->ops->add_bandwidth(l, subject, window_seconds, bytes);
}

void dm_live_ask_reserve(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                         struct dm_live_wait *w, dm_reserve_fn fn)
{
    DM_REQUIRE(!w->pending && fn != NULL && ask->hold > 0);
    DM_REQUIRE(ask->id.len > 0 && ask->id.len <= DM_LIVE_RESERVATION_MAX);
    l->ops->ask_reserve(l, ask, deadline, w, fn);
}

void dm_live_settle(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent)
{
    DM_REQUIRE(id.len > 0 && id.len <= DM_LIVE_RESERVATION_MAX);
    l->ops->settle(l, group, subject, id, spent);
}

void dm_live_ask_objects(struct dm_live *l, const dm_view (*kind_and_id)[2], size_t n,
                         dm_time deadline, struct dm_live_wait *w, dm_objects_fn fn)
{
    DM_REQUIRE(!w->pending && fn != NULL && n > 0 && n <= DM_LIVE_GET_MAX);
    l->ops->ask_objects(l, kind_and_id, n, deadline, w, fn);
}

void dm_live_subscribe(struct dm_live *l, struct dm_live_subscriber *s)
{
    DM_REQUIRE(s->on_change != NULL);
    dm_list_init(&s->link_);
    l->ops->subscribe(l, s);
}

void dm_live_unsubscribe(struct dm_live_subscriber *s)
{
    if (s->link_.next != NULL) /* zeroed: never subscribed */
        dm_list_remove(&s->link_);
}

void dm_live_free(struct dm_live *l)
{
    if (l != NULL)
        l->ops->free(l);
}

enum dm_code dm_live_publish(struct dm_live_admin *a, const struct dm_live_change *changes,
                             size_t n, uint64_t *ret_generation, struct dm_error *err)
{
    DM_REQUIRE(n > 0);
    return a->ops->publish(a, changes, n, ret_generation, err);
}

enum dm_code dm_live_publish_lock(struct dm_live_admin *a, struct dm_error *err)
{
    return a->ops->publish_lock == NULL ? DM_OK : a->ops->publish_lock(a, err);
}

void dm_live_publish_unlock(struct dm_live_admin *a)
{
    if (a->ops->publish_unlock != NULL)
        a->ops->publish_unlock(a);
}

void dm_live_published(struct dm_live_admin *a, struct dm_live_published *ret)
{
    *ret = (struct dm_live_published){0};
    if (a->ops->published != NULL)
        a->ops->published(a, ret);
}

enum dm_code dm_live_compare(struct dm_live_admin *a, const struct dm_live_change *changes,
                             size_t n, bool *ret_differs, struct dm_error *err)
{
    return a->ops->compare(a, changes, n, ret_differs, err);
}

enum dm_code dm_live_names(struct dm_live_admin *a, dm_live_names_fn fn, void *ctx,
                           struct dm_error *err)
{
    return a->ops->names(a, fn, ctx, err);
}

enum dm_code dm_live_republish_begin(struct dm_live_admin *a, uint64_t floor, bool *ret_whole,
                                     struct dm_error *err)
{
    *ret_whole = true;
    return a->ops->republish_begin == NULL ? DM_OK
                                           : a->ops->republish_begin(a, floor, ret_whole, err);
}

enum dm_code dm_live_republish_put(struct dm_live_admin *a, const struct dm_live_change *changes,
                                   size_t n, struct dm_error *err)
{
    enum dm_code rc = DM_OK;
    if (a->ops->republish_put != NULL)
        return a->ops->republish_put(a, changes, n, err);
    for (size_t at = 0; rc == DM_OK && at < n; at += PIECE)
        rc = dm_live_publish(a, changes + at, n - at < PIECE ? n - at : PIECE, &a->pieces_, err);
    return rc;
}

enum dm_code dm_live_republish_end(struct dm_live_admin *a, bool forget, uint64_t *ret_generation,
                                   struct dm_error *err)
{
    if (a->ops->republish_end != NULL)
        return a->ops->republish_end(a, forget, ret_generation, err);
    if (ret_generation != NULL)
        *ret_generation = a->pieces_;
    return DM_OK;
}

enum dm_code dm_live_restore_begin(struct dm_live_admin *a, struct dm_live_restoration **ret,
                                   struct dm_error *err)
{
    *ret = NULL;
    return a->ops->restore_begin == NULL ? DM_OK : a->ops->restore_begin(a, ret, err);
}

enum dm_code dm_live_restore_revoked(struct dm_live_admin *a, struct dm_live_restoration *r,
                                     struct dm_error *err)
{
    return a->ops->restore_revoked == NULL ? DM_OK : a->ops->restore_revoked(a, r, err);
}

enum dm_code dm_live_restore_end(struct dm_live_admin *a, struct dm_live_restoration *r,
                                 struct dm_error *err)
{
    return a->ops->restore_end == NULL ? DM_OK : a->ops->restore_end(a, r, err);
}

void dm_live_restoration_free(struct dm_live_admin *a, struct dm_live_restoration *r)
{
    if (r != NULL)
        a->ops->restoration_free(r);
}

enum dm_code dm_live_whole(struct dm_live_admin *a, bool *ret, struct dm_error *err)
{
    *ret = true;
    return a->ops->whole == NULL ? DM_OK : a->ops->whole(a, ret, err);
}

void dm_live_on_reach(struct dm_live_admin *a, void (*fn)(void *ctx), void *ctx)
{
    if (a->ops->on_reach != NULL)
        a->ops->on_reach(a, fn, ctx);
}

enum dm_code dm_live_revoke(struct dm_live_admin *a, dm_view subject, dm_view jti,
                            dm_time expires_wall, struct dm_error *err)
{
    return a->ops->revoke(a, subject, jti, expires_wall, err);
}

enum dm_code dm_live_unrevoke(struct dm_live_admin *a, dm_view subject, struct dm_error *err)
{
    return a->ops->unrevoke(a, subject, err);
}

enum dm_code dm_live_is_revoked(struct dm_live_admin *a, dm_view subject, dm_view jti, bool *ret,
                                struct dm_error *err)
{
    return a->ops->is_revoked(a, subject, jti, ret, err);
}

enum dm_code dm_live_hit(struct dm_live_admin *a, dm_view name, dm_view id, int64_t limit,
                         int64_t window_seconds, struct dm_live_hit *ret, struct dm_error *err)
{
    DM_REQUIRE(window_seconds > 0);
    return a->ops->hit(a, name, id, limit, window_seconds, ret, err);
}

enum dm_code dm_live_bandwidth_used(struct dm_live_admin *a, dm_view subject,
                                    int64_t window_seconds, int64_t *ret, struct dm_error *err)
{
    DM_REQUIRE(window_seconds > 0);
    return a->ops->bandwidth_used(a, subject, window_seconds, ret, err);
}

enum dm_code dm_live_credits_set(struct dm_live_admin *a, dm_view group, dm_view subject,
                                 int64_t balance, bool unless_there, struct dm_error *err)
{
    DM_REQUIRE(balance >= 0);
    return a->ops->credits_set(a, group, subject, balance, unless_there, err);
}

enum dm_code dm_live_credits_get(struct dm_live_admin *a, dm_view group, dm_view subject,
                                 int64_t *ret, struct dm_error *err)
{
    return a->ops->credits_get(a, group, subject, ret, err);
}

enum dm_code dm_live_credits_delete(struct dm_live_admin *a, dm_view group, dm_view subject,
                                    struct dm_error *err)
{
    return a->ops->credits_delete(a, group, subject, err);
}

enum dm_code dm_live_revocations(struct dm_live_admin *a, dm_live_revoked_fn fn, void *ctx,
                                 struct dm_error *err)
{
    return a->ops->revocations == NULL ? DM_OK : a->ops->revocations(a, fn, ctx, err);
}

enum dm_code dm_live_clear_counters(struct dm_live_admin *a, struct dm_error *err)
{
    return a->ops->clear_counters(a, err);
}

enum dm_code dm_live_ping(struct dm_live_admin *a, struct dm_error *err)
{
    return a->ops->ping(a, err);
}

void dm_live_admin_free(struct dm_live_admin *a)
{
    if (a != NULL)
        a->ops->free(a);
}

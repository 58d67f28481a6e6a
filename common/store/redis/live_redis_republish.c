#include <string.h>

#include "store/live_names.h"
#include "store/redis/live_redis_publish.h"

#include "base/poison.h"

/* Everything, as one generation: only what differs of the snapshot where the store still knows what
 * it was told, every object where it does not. A sidecar sees the old whole until it sees the new
 * one. Objects on demand of a store that knows: live_redis_compare.c. */

enum { PIECE = LIVE_COMPARE_MAX }; /* objects of one round */

struct kept { /* a change that waits for the end; one allocation */
    struct dm_live_change change;
    char text[];
};

struct live_session {
    bool anew; /* nothing there can be relied on */
    uint64_t target;
    struct dm_policy_table names; /* of the delta */
    struct dm_live_names seen;    /* what was put */
    struct kept **kept;
    size_t n_kept, room_kept;
};

void live_session_free(struct live_session *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_kept; i++)
        dm_mem_free(s->kept[i]);
    dm_mem_free(s->kept);
    dm_live_names_done(&s->seen);
    dm_policy_table_done(&s->names);
    dm_mem_free(s);
}

/* --- begin --- */

static void start_anew(struct live_publisher *p, struct live_session *s, uint64_t floor)
{
    s->anew = true;
    if (floor >= s->target)
        s->target = floor + 1;
    dm_policy_table_done(&p->table);
    p->manifest = p->manifest_before = 0;
    p->lost = true; /* until the end: nobody publishes single changes into the half of it */
}

static enum dm_code begin(struct live_publisher *p, uint64_t floor, struct dm_error *err)
{
    enum dm_code rc;
    if (!p->held)
        return DM_FAIL(err, DM_BUG, ERR_NONE, "could not publish everything: no lease");
    rc = live_publisher_renew(p, err);
    if (rc == DM_OK)
        rc = live_publisher_look(p, err);
    if (rc != DM_OK)
        return rc;
    struct live_session *s = DM_NEW(struct live_session);
    p->session = s;
    s->target = p->highest + 1;
    if (p->lost || p->current.len == 0)
        start_anew(p, s, floor);
    else
        rc = live_publisher_adopt(p, &s->names, err);
    return rc;
}

enum dm_code live_redis_republish_begin(struct dm_live_admin *a, uint64_t floor, bool *ret_whole,
                                        struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    (void)pthread_mutex_lock(&p->lock);
    live_session_free(DM_TAKE(p->session));
    enum dm_code rc = begin(p, floor, err);
    *ret_whole = rc == DM_OK && p->session->anew;
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

/* --- put --- */

static dm_view copy(char **at, dm_view v)
{
    char *to = *at;
    if (v.len > 0)
        memcpy(to, v.ptr, v.len);
    *at += v.len;
    return dm_view_make(v.ptr == NULL ? NULL : to, v.len);
}

static void keep(struct live_session *s, const struct dm_live_change *c)
{
    struct kept *k = dm_mem_alloc(sizeof *k + c->kind.len + c->id.len + c->bytes.len + 1);
    char *at = k->text;
    k->change.kind = copy(&at, c->kind);
    k->change.id = copy(&at, c->id);
    k->change.bytes = copy(&at, c->bytes);
    if (s->n_kept == s->room_kept) {
        s->room_kept = s->room_kept == 0 ? 64 : 2 * s->room_kept;
        s->kept = dm_mem_grow(s->kept, s->room_kept, sizeof(struct kept *));
    }
    s->kept[s->n_kept++] = k;
}

/* --- writing what was kept --- */

static enum dm_code write_kept(struct live_publisher *p, struct dm_error *err)
{
    const struct live_session *s = p->session;
    struct dm_live_change piece[PIECE];
    enum dm_code rc = DM_OK;
    for (size_t at = 0; rc == DM_OK && at < s->n_kept; at += PIECE) {
        size_t n = s->n_kept - at < PIECE ? s->n_kept - at : PIECE;
        for (size_t i = 0; i < n; i++)
            piece[i] = s->kept[at + i]->change;
        rc = live_publisher_renew(p, err);
        if (rc == DM_OK)
            rc = live_publisher_write(p, s->target, piece, n, err);
    }
    return rc;
}

static void name_kept(struct live_session *s)
{
    for (size_t i = 0; i < s->n_kept; i++)
        dm_policy_table_put(&s->names, live_publisher_record(&s->kept[i]->change, s->target));
}

static enum dm_code keep_different(struct live_publisher *p, const struct dm_live_change *changes,
                                   size_t n, struct dm_error *err)
{
    bool differs[PIECE];
    enum dm_code rc = live_publisher_renew(p, err);
    if (rc == DM_OK)
        rc = live_publisher_compare(p, changes, n, differs, err);
    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        if (differs[i])
            keep(p->session, &changes[i]);
    }
    return rc;
}

static enum dm_code put_piece(struct live_publisher *p, const struct dm_live_change *changes,
                              size_t n, struct dm_error *err)
{
    struct live_session *s = p->session;
    for (size_t i = 0; i < n; i++)
        dm_live_names_add(&s->seen, changes[i].kind, changes[i].id);
    if (!s->anew)
        return keep_different(p, changes, n, err);
    enum dm_code rc = live_publisher_renew(p, err);
    if (rc == DM_OK)
        rc = live_publisher_write(p, s->target, changes, n, err);
    for (size_t i = 0; rc == DM_OK && i < n; i++) {
        if (!dm_live_kind_on_demand(changes[i].kind))
            dm_policy_table_put(&s->names, live_publisher_record(&changes[i], s->target));
    }
    return rc;
}

enum dm_code live_redis_republish_put(struct dm_live_admin *a, const struct dm_live_change *changes,
                                      size_t n, struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    enum dm_code rc = live_publisher_check(changes, n, err);
    (void)pthread_mutex_lock(&p->lock);
    if (rc == DM_OK && p->session == NULL)
        rc = DM_FAIL(err, DM_BUG, ERR_NONE, "could not publish everything: not begun");
    for (size_t at = 0; rc == DM_OK && at < n; at += PIECE)
        rc = put_piece(p, changes + at, n - at < PIECE ? n - at : PIECE, err);
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

/* --- end: what was not put is gone --- */

static void drop_from_snapshot(struct live_publisher *p)
{
    struct dm_policy_record **all = dm_policy_table_all(&p->table);
    for (size_t i = 0; i < dm_policy_table_count(&p->table); i++) {
        struct dm_policy_entry e = dm_policy_record_entry(all[i]);
        const struct dm_live_change gone = {.kind = e.kind, .id = e.id};
        if (!dm_live_names_has(&p->session->seen, e.kind, e.id))
            keep(p->session, &gone);
    }
    dm_mem_free(all);
}

/* A store that knows nothing may still hold objects on demand. */
static enum dm_code drop_names(void *ctx, const struct dm_live_change *names, size_t n,
                               struct dm_error *err)
{
    struct live_publisher *p = ctx;
    struct dm_live_change gone[PIECE];
    size_t n_gone = 0;
    for (size_t i = 0; i < n; i++) {
        if (!dm_live_names_has(&p->session->seen, names[i].kind, names[i].id))
            gone[n_gone++] = names[i];
    }
    return keep_different(p, gone, n_gone, err); /* not those that are deleted already */
}

/* A delta of that number could only be a leftover: the manifest is what counts. */
static enum dm_code delete_delta(struct live_publisher *p, struct dm_error *err)
{
    struct dm_live_key key;
    dm_policy_key_delta(&key, p->session->target);
    dm_view name = dm_live_key_view(&key);
    struct live_cmd cmd = {.key = name, .argv = {DM_LIT("DEL"), name}, .argc = 2};
    enum dm_code rc = live_publisher_round(p, &cmd, 1, "publish", err);
    live_publisher_round_done(&cmd, 1);
    return rc;
}

static enum dm_code finish(struct live_publisher *p, bool forget, struct dm_error *err)
{
    struct live_session *s = p->session;
    enum dm_code rc = DM_OK;
    if (s->anew) {
        rc = live_publisher_each_on_demand(p, drop_names, p, err);
    } else {
        drop_from_snapshot(p);
        name_kept(s);
    }
    if (rc != DM_OK || (!s->anew && !forget && dm_policy_table_count(&s->names) == 0))
        return rc;
    struct live_generation g = {
        .number = s->target, .names = &s->names, .forget = forget, .manifest = s->anew};
    rc = s->anew ? delete_delta(p, err) : live_generation_announce(p, &g, err);
    if (rc == DM_OK)
        rc = write_kept(p, err);
    return rc == DM_OK ? live_generation_raise(p, &g, err) : rc;
}

enum dm_code live_redis_republish_end(struct dm_live_admin *a, bool forget,
                                      uint64_t *ret_generation, struct dm_error *err)
{
    struct live_publisher *p = live_redis_admin_of(a)->publisher;
    enum dm_code rc = DM_OK;
    (void)pthread_mutex_lock(&p->lock);
    if (p->session == NULL)
        rc = DM_FAIL(err, DM_BUG, ERR_NONE, "could not publish everything: not begun");
    if (rc == DM_OK)
        rc = finish(p, forget, err);
    if (rc == DM_OK && ret_generation != NULL)
        *ret_generation = p->generation;
    live_session_free(DM_TAKE(p->session));
    (void)pthread_mutex_unlock(&p->lock);
    return rc;
}

/* What a backend of live state provides. For the backends and the dispatch in live.c only. */
#pragma once

#include "store/live.h"
#include "store/live_republish.h"
#include "store/live_revocations.h"
#include "store/live_stream.h"

struct dm_live_ops {
    void (*cancel)(struct dm_live *l, struct dm_live_wait *w); /* w->pending holds */
    void (*ask_admit)(struct dm_live *l, const struct dm_admit_ask *ask, dm_time deadline,
                      struct dm_live_wait *w, dm_admit_fn fn);
    void (*add_bandwidth)(struct dm_live *l, dm_view subject, int64_t window_seconds,
                          int64_t bytes);
    void (*ask_reserve)(struct dm_live *l, const struct dm_reserve_ask *ask, dm_time deadline,
                        struct dm_live_wait *w, dm_reserve_fn fn);
    void (*settle)(struct dm_live *l, dm_view group, dm_view subject, dm_view id, bool spent);
    void (*ask_objects)(struct dm_live *l, const dm_view (*kind_and_id)[2], size_t n,
                        dm_time deadline, struct dm_live_wait *w, dm_objects_fn fn);
    void (*subscribe)(struct dm_live *l, struct dm_live_subscriber *s);
    size_t (*emit)(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record);
    size_t (*emit_pending)(const struct dm_live *l, enum dm_stream s);
    bool (*emit_behind)(const struct dm_live *l, enum dm_stream s); /* NULL: never */
    size_t (*flush)(struct dm_live *l);                             /* NULL: nothing ever waits */
    void (*free)(struct dm_live *l);
};

struct dm_live_outage;

struct dm_live { /* first member of every backend's own handle */
    const struct dm_live_ops *ops;
    struct dm_live_outage *outage; /* borrowed; NULL: this backend cannot be away */
};

struct dm_live_admin_ops {
    enum dm_code (*publish)(struct dm_live_admin *a, const struct dm_live_change *changes, size_t n,
                            uint64_t *ret_generation, struct dm_error *err);
    /* NULL, all of them: a backend of one process that cannot be away */
    enum dm_code (*publish_lock)(struct dm_live_admin *a, struct dm_error *err);
    void (*publish_unlock)(struct dm_live_admin *a);
    void (*published)(struct dm_live_admin *a, struct dm_live_published *ret);
    enum dm_code (*compare)(struct dm_live_admin *a, const struct dm_live_change *changes, size_t n,
                            bool *ret_differs, struct dm_error *err);
    enum dm_code (*names)(struct dm_live_admin *a, dm_live_names_fn fn, void *ctx,
                          struct dm_error *err);
    enum dm_code (*republish_begin)(struct dm_live_admin *a, uint64_t floor, bool *ret_whole,
                                    struct dm_error *err);
    enum dm_code (*republish_put)(struct dm_live_admin *a, const struct dm_live_change *changes,
                                  size_t n, struct dm_error *err);
    enum dm_code (*republish_end)(struct dm_live_admin *a, bool forget, uint64_t *ret_generation,
                                  struct dm_error *err);
    enum dm_code (*restore_begin)(struct dm_live_admin *a, struct dm_live_restoration **ret,
                                  struct dm_error *err);
    enum dm_code (*restore_revoked)(struct dm_live_admin *a, struct dm_live_restoration *r,
                                    struct dm_error *err);
    enum dm_code (*restore_end)(struct dm_live_admin *a, struct dm_live_restoration *r,
                                struct dm_error *err);
    void (*restoration_free)(struct dm_live_restoration *r);
    enum dm_code (*whole)(struct dm_live_admin *a, bool *ret, struct dm_error *err);
    void (*on_reach)(struct dm_live_admin *a, void (*fn)(void *ctx), void *ctx);
    enum dm_code (*revoke)(struct dm_live_admin *a, dm_view subject, dm_view jti,
                           dm_time expires_wall, struct dm_error *err);
    enum dm_code (*unrevoke)(struct dm_live_admin *a, dm_view subject, struct dm_error *err);
    enum dm_code (*is_revoked)(struct dm_live_admin *a, dm_view subject, dm_view jti, bool *ret,
                               struct dm_error *err);
    /* NULL: nobody else writes there */
    enum dm_code (*revocations)(struct dm_live_admin *a, dm_live_revoked_fn fn, void *ctx,
                                struct dm_error *err);
    enum dm_code (*hit)(struct dm_live_admin *a, dm_view name, dm_view id, int64_t limit,
                        int64_t window_seconds, struct dm_live_hit *ret, struct dm_error *err);
    enum dm_code (*bandwidth_used)(struct dm_live_admin *a, dm_view subject, int64_t window_seconds,
                                   int64_t *ret, struct dm_error *err);
    enum dm_code (*credits_set)(struct dm_live_admin *a, dm_view group, dm_view subject,
                                int64_t balance, bool unless_there, struct dm_error *err);
    enum dm_code (*credits_get)(struct dm_live_admin *a, dm_view group, dm_view subject,
                                int64_t *ret, struct dm_error *err);
    enum dm_code (*credits_delete)(struct dm_live_admin *a, dm_view group, dm_view subject,
                                   struct dm_error *err);
    enum dm_code (*clear_counters)(struct dm_live_admin *a, struct dm_error *err);
    enum dm_code (*ping)(struct dm_live_admin *a, struct dm_error *err);
    enum dm_code (*take)(struct dm_live_admin *a, enum dm_stream s, struct dm_live_batch *b,
                         struct dm_error *err);
    enum dm_code (*done)(struct dm_live_admin *a, enum dm_stream s, const struct dm_live_batch *b,
                         struct dm_error *err);
    void (*free)(struct dm_live_admin *a);
};

struct dm_live_admin { /* first member of every backend's own */
    const struct dm_live_admin_ops *ops;
    uint64_t pieces_; /* generation of the last piece put; by live.c, under the publisher's lock */
};

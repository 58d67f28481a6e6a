/* Insides of following published policy, for live_redis_policy.c (what is in force, telling the
 * loops), live_redis_follow.c (fetching), live_redis_lastgood.c (the copy on disk) and
 * live_redis_objects.c (on demand). The hub's part belongs to the owner's loop; a side to its
 * handle's loop; news go from one to the other by inbox. */
#pragma once

#include "store/policy_copy.h"
#include "store/policy_table.h"
#include "store/redis/live_redis_priv.h"

/* A published value that is kept as it came, for the copy on disk. Immutable, counted. */
struct live_blob {
    _Atomic unsigned refs;
    size_t len;
    uint64_t generation;
    char bytes[];
};
struct live_blob *live_blob_new(dm_view bytes, uint64_t generation);
struct live_blob *live_blob_ref(struct live_blob *b);
void live_blob_unref(struct live_blob *b); /* NULL is fine */
static inline dm_view live_blob_view(const struct live_blob *b)
{
    return dm_view_make(b->bytes, b->len);
}

/* What happened: a generation (whole: everything of it), or a revocation. Immutable, counted. */
struct live_policy_news {
    _Atomic unsigned refs;
    uint64_t generation;
    bool whole, forget, revoked;
    size_t n;
    struct dm_policy_record **records; /* references; of what is on demand the name counts */
    size_t subject_len;
    char subject[DM_LIVE_SUBJECT_MAX];
};

struct live_follow;
struct live_lastgood;

/* Everything a generation changes, ready to be put in force at once. */
struct live_policy_step {
    uint64_t generation;
    bool forget, anew;                 /* anew: manifest and deltas replace those that are kept */
    struct dm_policy_record **records; /* references are taken over */
    size_t n;
    struct live_blob *current, *manifest, **deltas; /* references are taken over; manifest NULL: as
                                                       before */
    size_t n_deltas;
    uint64_t ahead; /* an object was newer than its list: not on disk before this generation */
};

struct live_policy {
    struct dm_live_redis *hub;
    struct live_policy_side *owner; /* NULL: its handle is gone */
    struct dm_mailbox *box;         /* of the owner's loop */
    struct dm_metric *rejected[DM_POLICY_VERDICTS_], *age;
    _Atomic int64_t told_refused; /* any side's thread */
    dm_time told_old;
    /* in force */
    bool known;          /* what is published is known, be it nothing */
    uint64_t generation; /* 0: nothing */
    dm_time confirmed;   /* monotonic: when the store last said that this is in force */
    struct dm_policy_table table;
    struct live_blob *current, *manifest, **deltas;
    size_t n_deltas;
    uint64_t ahead;
    struct live_follow *follow;
    struct live_lastgood *lastgood; /* NULL: none is kept */
    pthread_mutex_t lock;           /* guards what follows; taken before a side's */
    struct dm_link sides, retired;  /* of other loops */
};

enum { LIVE_SEEN = 4096 /* objects on demand whose version is remembered: 64 KB a loop */ };
struct live_seen {
    uint64_t name, version;
};

struct live_policy_inbox {
    struct live_policy_news *news;
    struct live_policy_inbox *next;
};

struct live_policy_side {
    struct live_redis_handle *handle;
    struct live_policy *policy;
    struct dm_link link;
    struct dm_link subscribers, fresh; /* fresh: have not been told the whole yet */
    struct dm_task task;
    struct live_seen *seen;              /* direct-mapped: the last of each place */
    struct dm_redis_channel revocations; /* the owner's */
    /* the generation this loop knows of, and `current` as it stood then */
    uint64_t generation;
    /* other loops only */
    struct dm_mailbox *box;
    struct dm_letter bell, ask;
    bool asked;
    pthread_mutex_t lock; /* guards what follows */
    bool rung, dead;
    struct live_policy_inbox *inbox, **inbox_end;
};

/* live_redis_policy.c; owner's thread */
void live_policy_in_force(struct live_policy *p, struct live_policy_step *s);
void live_policy_nothing(struct live_policy *p); /* the store answered: nothing is published */
void live_policy_confirmed(struct live_policy *p);
void live_policy_look_at_age(struct live_policy *p);
static inline struct dm_loop *live_policy_loop(const struct live_policy *p)
{
    return p->owner->handle->loop;
}
/* The side's thread. Counted; logged once a second at most. `key`: what was asked for. */
void live_policy_refused(struct live_policy_side *s, enum dm_policy_verdict why, dm_view key);
/* The side's thread: false when an older version of an object on demand than was seen comes. */
bool live_seen_raise(struct live_policy_side *s, dm_view kind, dm_view id, uint64_t version);

/* live_redis_follow.c; owner's thread */
struct live_follow *live_follow_new(struct live_policy *p);
void live_follow_free(struct live_follow *f);
void live_follow_look(struct live_follow *f);      /* asks what is current, soon */
void live_follow_copy_read(struct live_follow *f); /* the copy on disk was read, or is none */

/* live_redis_lastgood.c; owner's thread */
struct live_lastgood *live_lastgood_new(struct live_policy *p, const char *path);
void live_lastgood_free(struct live_lastgood *g);  /* finishes a write under way */
void live_lastgood_read(struct live_lastgood *g);  /* then puts it in force, if nothing is yet */
void live_lastgood_write(struct live_lastgood *g); /* soon, at most once a second */

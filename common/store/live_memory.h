/* Insides of the memory backend of live state. One loop owns the state; handles of that loop answer
 * from it, other loops' handles and the admin send letters to it. For live_memory*.c only. */
#pragma once

#include "io/mailbox.h"
#include "io/timer.h"
#include "store/live_backend.h"
#include "store/live_keys.h"
#include "store/live_outbox.h"
#include "store/live_state.h"
#include <pthread.h>

enum {
    LIVE_BOX = 8192, /* letters to the owner: asks of all other loops within one of its turns */
    LIVE_KEEP = 256  /* idle records a handle keeps; more were a burst */
};

/* What happened, told to every handle in order: one published generation, the whole snapshot, or a
 * revocation. Immutable, counted. */
struct live_news {
    _Atomic unsigned refs;
    uint64_t generation;
    bool revoked, whole;
    size_t n;
    struct dm_live_item **items; /* references */
    size_t subject_len;
    char subject[DM_LIVE_SUBJECT_MAX];
};

enum live_kind {
    LIVE_ADMIT = 0,
    LIVE_OBJECTS,
    LIVE_BANDWIDTH,
    LIVE_SNAPSHOT,
    LIVE_RESERVE,
    LIVE_SETTLE
};

/* One ask under way: at the owner, in the handle's inbox, or ready to be delivered. */
struct live_record {
    struct dm_link link; /* of the handle: ready, asked or free */
    struct dm_letter letter;
    struct live_record *next_in; /* inbox */
    struct live_handle *handle;
    enum live_kind kind;
    struct dm_live_wait *wait; /* NULL: cancelled or answered */
    union {
        dm_admit_fn admit;
        dm_objects_fn objects;
        dm_reserve_fn reserve;
    } fn;
    struct dm_timer late;
    /* the question; credits: subject, group and id in this order */
    bool count, spent;
    size_t n, subject_len, jti_len, group_len, id_len, name_len[DM_LIVE_GET_MAX][2];
    int64_t window, bytes;
    dm_time hold;
    struct dm_counter_ask counters[DM_COUNTERS_MAX];
    char text[DM_LIVE_GET_MAX * (DM_LIVE_KIND_MAX + DM_LIVE_ID_MAX)];
    /* the answer, written by the owner's side */
    enum dm_code code;
    struct dm_admit_answer admit;
    enum dm_reserve_verdict reserve;
    struct dm_live_item *items[DM_LIVE_GET_MAX]; /* references; NULL: not there */
    struct live_news *news;
};

struct live_inbox {
    struct live_record *record; /* an answer, or ... */
    struct live_news *news;
    struct live_inbox *next;
};

struct live_handle {
    struct dm_live base;
    struct dm_live_memory *memory;
    struct dm_loop *loop;
    bool owner;                        /* this loop owns the state */
    struct dm_link link;               /* memory->own, ->foreign or ->retired */
    struct dm_link subscribers, fresh; /* fresh: have not been told the whole yet */
    struct dm_link ready, asked, free;
    size_t n_free;
    struct dm_task task;
    /* other loops only */
    bool snapshot_asked;
    struct dm_timer again; /* the owner's box was full: what must not be lost is sent again */
    struct dm_link owed;   /* settles that found it full */
    size_t n_owed;
    struct dm_mailbox *box;
    struct dm_letter
        bell; /* at most one under way, whatever waits in the inbox: the box cannot be full */
    pthread_mutex_t lock; /* guards what follows */
    bool rung, dead;
    struct live_inbox *inbox, **inbox_end;
};

struct dm_live_memory {
    struct dm_loop *loop;
    struct dm_mailbox *box;
    struct dm_live_state *state; /* owner's thread */
    uint64_t generation;         /* owner's thread */
    struct dm_link own;          /* handles of the owner's loop; owner's thread */
    pthread_mutex_t lock;        /* guards what follows; taken before a handle's */
    struct dm_link foreign, retired;
    pthread_mutex_t box_lock; /* guards what follows */
    struct dm_outbox boxes[DM_STREAMS];
};

/* live_memory_stream.c */
void live_streams_init(struct dm_live_memory *m);
void live_streams_done(struct dm_live_memory *m);
size_t live_memory_emit(struct dm_live *l, enum dm_stream s, dm_view id, dm_view record);
size_t live_memory_emit_pending(const struct dm_live *l, enum dm_stream s);
enum dm_code live_memory_take(struct dm_live_memory *m, enum dm_stream s, struct dm_live_batch *b);
enum dm_code live_memory_done(struct dm_live_memory *m, enum dm_stream s,
                              const struct dm_live_batch *b);

/* live_memory_news.c: owner's side of telling */
struct live_news *live_news_new(size_t n_items);
struct live_news *live_news_ref(struct live_news *n);
void live_news_unref(struct live_news *n);
struct live_news *live_news_whole(const struct dm_live_memory *m);
void live_news_tell_all(struct dm_live_memory *m, struct live_news *n); /* takes the reference */
void live_news_deliver(struct live_handle *h, const struct live_news *n);
void live_fresh_deliver(struct live_handle *h, const struct live_news *whole);
/* Into another loop's inbox: a reference to news, or a record. Owner's thread. */
void live_inbox_put(struct live_handle *h, struct live_record *r, struct live_news *n);

/* live_memory_remote.c: handles of other loops */
void live_remote_init(struct live_handle *h);
void live_remote_done(struct live_handle *h);
void live_remote_ask(struct live_handle *h, struct live_record *r, dm_time deadline);
void live_remote_ask_snapshot(struct live_handle *h);
void live_remote_settle(struct live_handle *h, struct live_record *r);

/* live_memory.c */
struct live_record *live_record_take(struct live_handle *h, enum live_kind kind,
                                     struct dm_live_wait *w);
void live_record_give(struct live_record *r);
void live_record_free(struct live_record *r);
void live_record_answer(struct live_record *r); /* calls back, unless cancelled */
void live_record_post(struct live_record *r);   /* to be answered by the handle's task */
void live_record_work(struct dm_live_memory *m,
                      struct live_record *r); /* fills the answer; owner's thread */

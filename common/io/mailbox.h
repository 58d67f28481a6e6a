/* Bounded queue between threads with an eventfd: many senders, one receiving loop. A letter is a
 * message its sender owns until it was delivered; a full box is an error with a counter, not a
 * wait. */
#pragma once

#include "base/error.h"
#include "io/loop.h"

struct dm_mailbox;
struct dm_letter;                                  /* embedded by the message */
typedef void (*dm_letter_fn)(struct dm_letter *l); /* on the receiving loop's thread */
struct dm_letter {
    struct dm_letter *next_;
    dm_letter_fn fn;
};

struct dm_mailbox *dm_mailbox_new(struct dm_loop *receiver, size_t capacity);
void dm_mailbox_free(
    struct dm_mailbox *m); /* after the senders stopped; what is left is delivered first */
enum dm_code dm_mailbox_send(struct dm_mailbox *m,
                             struct dm_letter *l) DM_MUST_USE; /* DM_LIMIT: full */
/* In two parts, for work whose result must find room: reserve before it starts (DM_LIMIT: full),
 * then send cannot fail; or give the place back. */
enum dm_code dm_mailbox_reserve(struct dm_mailbox *m) DM_MUST_USE;
void dm_mailbox_send_reserved(struct dm_mailbox *m, struct dm_letter *l);
void dm_mailbox_unreserve(struct dm_mailbox *m);
uint64_t dm_mailbox_refused(const struct dm_mailbox *m);

/* A call: sends, then blocks the sending thread until the loop has answered with dm_call_done. The
 * loop's side must answer exactly once and within its own deadline, so there is no timeout here and
 * the call can live on the caller's stack. For admin threads that need an answer of a loop. */
struct dm_call {
    struct dm_letter letter_;
    void (*run)(struct dm_call *c); /* on the loop's thread; leads to dm_call_done exactly once */
    _Atomic int done_;              /* futex word */
};
enum dm_code dm_mailbox_call(struct dm_mailbox *m,
                             struct dm_call *c) DM_MUST_USE; /* DM_LIMIT: full */
void dm_call_done(struct dm_call *c);

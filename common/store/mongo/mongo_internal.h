/* What the files of the MongoDB backend share. They alone include the driver's headers. Any thread,
 * except that a call's client belongs to the thread that began it. */
#pragma once

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "crypto/random.h"
#include "store/documents_backend.h"
#include "store/mongo/documents_mongo.h"

/* Members of stored documents that are ours; they never leave this library, and members of these
 * names that a caller hands in are dropped. */
#define DM_MONGO_VERSION                                                                           \
    "_dm_version" /* changes with every write; absent: another program wrote it */
#define DM_MONGO_EXPIRES "_dm_expires" /* date, for the TTL index; from the expiry field */

struct dm_mongo {
    struct dm_documents base;
    mongoc_uri_t *uri, *direct; /* direct: the one host alone, until it said what it is; or NULL */
    mongoc_client_pool_t *pool; /* of `uri`; made when settled */
    pthread_mutex_t lock;       /* settling */
    _Atomic bool settled;
    char *database;
    const struct dm_documents_schema *schema;
    int64_t operation_timeout_ms;
    /* While `down`, the one call that set `trying` asks the server, the others are refused. */
    _Atomic bool down, trying;
    _Atomic uint64_t calls, failures, refused, active;
};
struct dm_mongo *dm_mongo_of(struct dm_documents *d);
extern const struct dm_documents_ops dm_mongo_ops;
void dm_mongo_close(struct dm_documents *d);
/* Before the first use of pool or uri: finds out what a lone host is. Later calls do nothing. */
enum dm_code dm_mongo_settle(struct dm_mongo *m, struct dm_error *err);
int64_t dm_mongo_reply_count(const bson_t *reply, const char *name); /* 0 when absent */

/* One call: a client of the pool and what became of it. */
struct dm_mongo_call {
    struct dm_mongo *m;
    mongoc_client_t *client;
    mongoc_collection_t *collection; /* NULL when begun without one */
    const char *name;                /* of the collection, for errors */
    bson_error_t error;              /* the driver's, for dm_mongo_failed() */
    bool away, trying;
};
enum dm_code dm_mongo_begin(struct dm_mongo *m, const char *collection, struct dm_mongo_call *call,
                            struct dm_error *err);
void dm_mongo_end(
    struct dm_mongo_call *call); /* gives the client back; always after begin's DM_OK */
/* Turns call->error into ours and notes whether the server is away. `doing`: "list". */
enum dm_code dm_mongo_failed(struct dm_mongo_call *call, const char *doing, struct dm_error *err);
/* The same for a call without a pool. *ret_away: the server did not answer, or cannot just now. */
enum dm_code dm_mongo_error(const bson_error_t *e, const char *doing, const char *name,
                            bool *ret_away, struct dm_error *err);

enum dm_code dm_mongo_uri_build(const struct dm_mongo_config *c, mongoc_uri_t **ret,
                                struct dm_error *err);
char *dm_mongo_database(const struct dm_mongo_config *c, const mongoc_uri_t *uri); /* owned */
void dm_mongo_driver_start(void); /* once per process; later calls do nothing */

/* DM_LIMIT: too large. `oid`: the _id of a document that brings none of its own; NULL: no _id at
 * all (a replacement keeps the stored one). */
enum dm_code dm_mongo_encode(const struct dm_mongo *m, const char *collection,
                             const struct dm_json *doc, const bson_oid_t *oid, uint64_t version,
                             bson_t *out, struct dm_error *err);
/* Without the members that are the server's or ours. */
enum dm_code dm_mongo_decode(const bson_t *doc, struct dm_json **ret, struct dm_error *err);
uint64_t dm_mongo_version_of(const bson_t *doc); /* 0: none */

/* False: nothing can match (a text that is no UTF-8). *out is initialised either way. */
bool dm_mongo_filter(const struct dm_filter *filters, size_t n, bson_t *out);
/* Do the filters name every field of a unique key? Then there is at most one match. */
bool dm_mongo_filter_is_unique(const struct dm_documents_schema *s, const char *collection,
                               const struct dm_filter *filters, size_t n);
/* The member that expires documents of the collection; NULL: they do not. */
const char *dm_mongo_expiry_field(const struct dm_documents_schema *s, const char *collection);

/* Every index of the schema. `keep` is called before each and may end it (the lease is gone).
 * *ret_made counts those that were not there. */
typedef enum dm_code (*dm_mongo_keep_fn)(void *ctx, struct dm_error *err);
enum dm_code dm_mongo_indexes_ensure(const struct dm_mongo *m, mongoc_client_t *client,
                                     dm_mongo_keep_fn keep, void *ctx, uint64_t *ret_made,
                                     struct dm_error *err);
/* Notes in `schema_migrations` that a step was done. */
enum dm_code dm_mongo_history_note(struct dm_mongo *m, mongoc_client_t *client, const char *step,
                                   struct dm_error *err);

/* The program's notes about the database itself: version of the schema, leases. */
#define DM_MONGO_META "doorman_meta"
/* One holder at a time among all admins, by the server's clock, so that admins with different
 * clocks agree. Ends by itself after length_ms. */
struct dm_mongo_lease {
    mongoc_client_t *client;
    mongoc_collection_t *meta; /* DM_MONGO_META */
    const char *id, *doing;    /* doing: what its holder does, for "another admin ..." */
    int64_t length_ms;
    char owner[DM_UUID_LEN + 1]; /* made by take */
    bson_error_t error;          /* of the last call that failed, and whether the server is away */
    bool away;
};
/* DM_AGAIN: it is another's. */
enum dm_code dm_mongo_lease_take(struct dm_mongo_lease *l, struct dm_error *err);
enum dm_code dm_mongo_lease_keep(struct dm_mongo_lease *l, struct dm_error *err);
void dm_mongo_lease_give_back(struct dm_mongo_lease *l); /* best effort: else it ends by itself */
bool dm_mongo_server_time(mongoc_client_t *client, int64_t *ret_ms, bson_error_t *e);

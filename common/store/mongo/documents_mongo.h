/* store/documents over a server of MongoDB's wire protocol, and what only a server needs: opening,
 * schema and migrations, expiry. For doorman-admin; the sidecar does not link this library.
 * Blocking, any thread: start-up, the admin's handler threads, offload jobs. While the server does
 * not answer, one call at a time waits for it (bounded by the timeouts below) and every other one
 * is refused at once; each with DM_UNAVAILABLE and ERR_STORE_DOCUMENTS_AWAY (503 STORE002). */
#pragma once

#include "model/settings.h"
#include "store/documents.h"

/* An index for speed, not unique: up to four fields, ascending. */
struct dm_documents_index {
    const char *collection;
    const char *fields[DM_DOCUMENTS_KEY_MAX + 1]; /* NULL-ended */
};
/* Documents whose integer `field` (Unix seconds; 0 or absent: never) has passed may go: by a TTL
 * index where the server has them, and by dm_documents_mongo_sweep() anywhere. */
struct dm_documents_expiry {
    const char *collection, *field;
};
/* What the collections look like. Borrowed for the life of the store: a constant of the program. */
struct dm_documents_schema {
    const struct dm_documents_unique *uniques;
    size_t n_uniques;
    const struct dm_documents_index *indexes;
    size_t n_indexes;
    const struct dm_documents_expiry *expiries;
    size_t n_expiries;
    /* Brings what other programs stored into the form of this one, at every migration, within its
     * lease; idempotent. NULL: nothing to do. */
    enum dm_code (*adapt)(struct dm_documents *d, uint64_t *ret_changed, struct dm_error *err);
};

struct dm_mongo_config {  /* texts are copied by open, the schema is borrowed */
    dm_view uri;          /* secret; wins over the parts below; empty: the parts */
    const dm_view *hosts; /* host or host:port */
    size_t n_hosts;
    dm_view replica_set, user, password; /* empty: none */
    dm_view database;                    /* also beside a uri that names none */
    bool tls;
    dm_view tls_ca_file, tls_cert_key_file;
    int64_t selection_timeout_ms; /* finding a usable server */
    int64_t operation_timeout_ms; /* silence of a server during one command; 0: a default */
    int64_t pool_max, pool_wait_ms;
    const struct dm_documents_schema *schema;
};
/* The MONGO_* and DB_POOL_* settings. The texts stay owned by `s`. */
void dm_mongo_config_from(const struct dm_settings *s, const struct dm_documents_schema *schema,
                          struct dm_mongo_config *ret);

/* Contacts no server (mongodb+srv: the DNS). DM_INVALID: the settings make no usable address. Error
 * texts never hold the address's credentials. Ends with dm_documents_free().
 * One host together with a replica set's name is asked by the first call what it is: a standalone
 * server is warned about and used as such, a member of another set is DM_INVALID in every call. */
enum dm_code dm_documents_mongo_open(const struct dm_mongo_config *c, struct dm_documents **ret,
                                     struct dm_error *err) DM_MUST_USE;

enum { DM_DOCUMENTS_SCHEMA_VERSION = 1 }; /* of this program; raised by every new migration step */

/* Looks only. DM_OK: *ret_version (may be NULL) is what the database has, 0: nothing yet; lower
 * than DM_DOCUMENTS_SCHEMA_VERSION means that dm_documents_mongo_migrate() must run first.
 * DM_INVALID: the database is newer than this program, which must not start; err has the sentence.
 */
enum dm_code dm_documents_mongo_check(struct dm_documents *d, int64_t *ret_version,
                                      struct dm_error *err) DM_MUST_USE;
struct dm_documents_migrated { /* what a migration found to do */
    uint64_t steps, indexes, documents;
};
/* Brings indexes and documents to the schema of this program. Idempotent; safe to be killed and run
 * again. ret (may be NULL) is all zero when there was nothing to do. DM_AGAIN: another admin is at
 * it, ask again shortly. DM_INVALID: as check, or documents that violate a unique key are stored
 * (err names collection and fields). DM_UNAVAILABLE. */
enum dm_code dm_documents_mongo_migrate(struct dm_documents *d, struct dm_documents_migrated *ret,
                                        struct dm_error *err) DM_MUST_USE;
/* The steps that were applied, oldest first: [{name, version, applied_at, checksum}] (operations.md
 * S002.2), kept in the collection `schema_migrations`. */
enum dm_code dm_documents_mongo_history(struct dm_documents *d, struct dm_json **ret,
                                        struct dm_error *err) DM_MUST_USE;

/* Deletes documents that expired before `now` (Unix seconds). To be called by every admin once a
 * minute: a lease lets one of them do it. DM_AGAIN: another one did. */
enum dm_code dm_documents_mongo_sweep(struct dm_documents *d, int64_t now, uint64_t *ret_deleted,
                                      struct dm_error *err) DM_MUST_USE;

struct dm_mongo_stats {                /* for gauges; any thread, never blocks */
    bool up;                           /* the last call reached the server */
    uint64_t calls, failures, refused; /* refused: at once, because another call was waiting */
    uint64_t active;                   /* clients in use, agentidp_db_pool_active_connections */
};
void dm_documents_mongo_stats(const struct dm_documents *d, struct dm_mongo_stats *ret);

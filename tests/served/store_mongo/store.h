/* A store over the server that DOORMAN_TEST_MONGO_URI names, in a database of its own, for the
 * programs of this folder. One thread. */
#pragma once

#include "documents_contract.h"
#include "store/mongo/documents_mongo.h"

extern const struct dm_documents_schema store_schema; /* documents_uniques, and expiring "leases" */

/* A store that was never there before; every one of a program gets another database. */
struct dm_documents *store_new(void);
/* Another store of the database of the latest store_new(). */
struct dm_documents *store_again(void);
/* store_again with a database of the caller's, limits of 1 s (selection) and 1 s (one answer). */
struct dm_documents *store_named(const char *database);
struct dm_documents *store_migrated(void); /* store_new, with its indexes */
/* Changes what is stored behind the store's back: runs `command` (JSON) on its database. */
void store_command(const char *command);
/* The reply of a command, as a document is read. */
struct dm_json *store_ask(const char *command);

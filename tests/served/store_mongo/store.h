/* Stores over the server that DOORMAN_TEST_MONGO_URI names, for the programs of this folder, and a
 * way to look and change behind their backs. One thread. */
#pragma once

#include "tests/unit/store/documents_contract.h"
#include "store/mongo/documents_mongo.h"

/* documents_uniques, an index, and "leases", which expire by their "until". */
extern const struct dm_documents_schema store_schema;

/* How long stores opened from now on wait for a server, for an answer: long, as a server of the
 * tests may be slow; a program that takes its server away makes it short. */
extern int store_patience_ms;

/* A store of a database that was never there before. */
struct dm_documents *store_new(void);
/* Another store, another admin as it were, of the same database. */
struct dm_documents *store_again(void);
struct dm_documents *store_migrated(void); /* store_new with its indexes */
/* A store of a server elsewhere. */
struct dm_documents *store_at(const char *uri);
/* Runs a command, given as extended JSON, on the database; gives the reply as extended JSON. */
struct dm_json *store_ask(const char *command);
void store_command(const char *command); /* likewise, the reply dropped */

#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store.h"

enum { CLIENTS = 16 };
int store_patience_ms = 20000;

static const struct dm_documents_index indexes[] = {{"endpoints", {"a"}}};
static const struct dm_documents_expiry expiries[] = {{"leases", "until"}};
const struct dm_documents_schema store_schema = {
    .uniques = documents_uniques,
    .n_uniques = DOCUMENTS_UNIQUES,
    .indexes = indexes,
    .n_indexes = 1,
    .expiries = expiries,
    .n_expiries = 1,
};

static char store_database[64];

static const char *server(void)
{
    const char *uri = getenv("DOORMAN_TEST_MONGO_URI");
    if (uri == NULL)
        fail_msg("DOORMAN_TEST_MONGO_URI names no server");
    return uri;
}

struct dm_documents *store_at(const char *uri)
{
    struct dm_documents *d = NULL;
    struct dm_error err = {0};
    const struct dm_mongo_config c = {.uri = dm_view_of(uri),
                                      .database = dm_view_of(store_database),
                                      .selection_timeout_ms = store_patience_ms,
                                      .operation_timeout_ms = store_patience_ms,
                                      .pool_max = CLIENTS,
                                      .pool_wait_ms = store_patience_ms,
                                      .schema = &store_schema};
    if (dm_documents_mongo_open(&c, &d, &err) != DM_OK)
        fail_msg("%s", err.text);
    return d;
}

struct dm_documents *store_again(void)
{
    return store_at(server());
}

struct dm_documents *store_new(void)
{
    static int count;
    (void)snprintf(store_database, sizeof store_database, "test_%d_%d", (int)getpid(), ++count);
    return store_again();
}

struct dm_documents *store_migrated(void)
{
    struct dm_error err = {0};
    struct dm_documents *d = store_new();
    if (dm_documents_mongo_migrate(d, NULL, &err) != DM_OK)
        fail_msg("%s", err.text);
    return d;
}

static void run(const char *text, bson_t *reply)
{
    bson_t command;
    bson_error_t e;
    mongoc_client_t *client = mongoc_client_new(server());
    assert_non_null(client);
    if (!bson_init_from_json(&command, text, -1, &e) ||
        !mongoc_client_command_simple(client, store_database, &command, NULL, reply, &e))
        fail_msg("%s: %s", text, e.message);
    bson_destroy(&command);
    mongoc_client_destroy(client);
}

void store_command(const char *command)
{
    bson_t reply;
    run(command, &reply);
    bson_destroy(&reply);
}

struct dm_json *store_ask(const char *command)
{
    bson_t reply;
    run(command, &reply);
    char *text = bson_as_relaxed_extended_json(&reply, NULL);
    struct dm_json *j = documents_json(text);
    bson_free(text);
    bson_destroy(&reply);
    return j;
}

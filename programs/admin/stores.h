/* The stores of doorman-admin: documents on MongoDB, live state on Redis. The one place that
 * chooses their backends. Blocking; the starting thread, or a command. */
#pragma once

#include "programs/process/process.h"
#include "store/mongo/documents_mongo.h"
#include "store/redis/live_redis.h"

struct stores {
    struct dm_documents *documents;
    struct dm_live_admin *live;
    struct dm_live_redis_config redis; /* borrowed by live */
    struct dm_buf signing_key;
};

/* Each gives 0, or an exit code after a sentence on stderr. DM_AGAIN of a store is waited for, up
 * to STARTUP_TIMEOUT_SECONDS in all. */
int stores_open(struct stores *s, struct process *p);
void stores_free(struct stores *s);
void stores_take_over(struct stores *s, const struct dm_settings *settings); /* new passwords */

/* MongoDB alone: opened; brought to the schema of this program. Without a process nothing is waited
 * for: EX_TEMPFAIL when another admin is at it. */
int stores_open_documents(const struct dm_settings *settings, struct dm_documents **ret);
int stores_migrate(struct dm_documents *d, struct process *p, struct dm_documents_migrated *ret);
int stores_history(struct dm_documents *d); /* printed: what was migrated, and when */

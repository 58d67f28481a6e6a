/* Where the tests of live state on Redis find their servers: the client's configuration from the
 * settings in the environment (REDIS_URL and kin), and
 *   DOORMAN_TEST_REDIS_NODES  the servers that hold keys, comma separated
 *   DOORMAN_TEST_REDIS_CLOCK  file with the servers' time (harness/moved_clock.py) */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/redis/live_redis.h"

void served_config(struct dm_live_redis_config *c); /* views live as long as the program */
/* One command to a server (words without blanks); the first 4 KB of what it answered, NUL-ended. */
const char *served_command(const char *node, const char *command);
void served_command_all(const char *command); /* to each of them; an error is a failure */
const char *served_node(void);                /* the first one */
void served_set_clock(dm_time wall);
/* Turns the loop until the handle takes the servers' word. */
void served_until_trusted(struct dm_live *live, struct dm_loop *loop);

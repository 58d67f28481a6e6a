/* Short ways to make policy in tests: JSON text in, snapshots out. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/policy.h"

struct dm_json *kit_json(const char *text);
void kit_put(struct dm_policy_builder *b, const char *kind, const char *id, const char *json);
enum dm_code kit_try(struct dm_policy_builder *b, const char *kind, const char *id,
                     const char *json);
/* An API "a" "v1" with id "api" and further members (", "x":1" or ""). */
void kit_put_api(struct dm_policy_builder *b, const char *members);
/* An endpoint of API "api"; client may be NULL. */
void kit_put_endpoint(struct dm_policy_builder *b, const char *id, const char *method,
                      const char *uri, const char *client);
/* Matches a decoded path and gives the endpoint's id, or "-". */
const char *kit_match(const struct dm_policy_api *api, const char *method, const char *path,
                      bool *ret_exists);
/* Segments of a path; gives their count. */
size_t kit_segments(const char *path, dm_view *segments);

/* Rules of single fields that a range does not express; named in fields_<noun>.def. Insides of the
 * record tables. Pure. */
#pragma once

#include "codec/json.h"

bool dm_check_name(const struct dm_json *value); /* no '/', NUL, control character */
/* nor '.', '$': it becomes part of a store's path; nor ':': credits:<group>:<user> must be one
 * account's name only */
bool dm_check_credit_group(const struct dm_json *value);
bool dm_check_servers(const struct dm_json *value); /* each an address that can be called */
bool dm_check_uri(
    const struct dm_json *value); /* no control character; "*" as last segment only (R14) */
bool dm_check_positive(const struct dm_json *value);
bool dm_check_request_transform(const struct dm_json *value); /* platform-apis.md §2.6 */
bool dm_check_response_transform(const struct dm_json *value);
bool dm_check_array(const struct dm_json *value);
bool dm_check_object(const struct dm_json *value);
bool dm_check_moment(const struct dm_json *value);
bool dm_check_crud_schema(const struct dm_json *value); /* platform-apis.md §12.2 */

/* record_credit.c: what does not fit becomes a value that the check beside it refuses. */
struct dm_json *dm_normal_credit_tiers(const struct dm_json *value);
struct dm_json *dm_normal_user_credits(const struct dm_json *value);
struct dm_json *dm_normal_moment(const struct dm_json *value); /* ISO or Unix time to ISO, UTC */
struct dm_json *dm_normal_upper(const struct dm_json *value);
struct dm_json *dm_normal_lower_trimmed(const struct dm_json *value);
struct dm_json *
dm_normal_slash(const struct dm_json *value); /* a missing leading '/' is put in front */

/* Shorthands of the field tables (record_<noun>.c), so that a row is a line. Not for anybody else. */
#pragma once

#include "model/record.h"

#define NO_MAX 1e18 /* and "1, 0", min above max, means no bound at all */

#define STR(n, low, high, f, ...) \
    {.name = n, .type = DM_FIELD_STR, .min = low, .max = high, .flags = (f), ##__VA_ARGS__}
#define INT(n, low, high, f, ...) \
    {.name = n, .type = DM_FIELD_INT, .min = low, .max = high, .flags = (f), ##__VA_ARGS__}
#define FLOAT(n, low, high, f, ...) \
    {.name = n, .type = DM_FIELD_FLOAT, .min = low, .max = high, .flags = (f), ##__VA_ARGS__}
#define BOOL(n, f, ...) {.name = n, .type = DM_FIELD_BOOL, .min = 1, .max = 0, .flags = (f), ##__VA_ARGS__}
#define STRS(n, low, high, f, ...) \
    {.name = n, .type = DM_FIELD_STRS, .min = low, .max = high, .flags = (f), ##__VA_ARGS__}
#define OBJECT(n, f, ...) {.name = n, .type = DM_FIELD_OBJECT, .min = 1, .max = 0, .flags = (f), ##__VA_ARGS__}

enum {
    REQ = DM_FIELD_REQUIRED,
    NUL = DM_FIELD_NULLABLE,
    CLR = DM_FIELD_NULLABLE | DM_FIELD_CLEARABLE,
    SRV = DM_FIELD_SERVER,
    OUT = DM_FIELD_PROJECTED
};

/* record_checks.c */
bool check_name(const struct dm_json *v);      /* no "/", no control characters (platform-apis.md §0.2) */
bool check_servers(const struct dm_json *v);   /* every item an address dm_url_parse takes, http(s) or grpc(s) */
bool check_transform(const struct dm_json *v); /* platform-apis.md §2.6 */
bool check_uri(const struct dm_json *v);       /* "*" only as a whole last segment (R14) */
struct dm_json *normal_method(const struct dm_json *v); /* upper case */
struct dm_json *normal_uri(const struct dm_json *v);    /* a leading slash */
struct dm_json *normal_mode(const struct dm_json *v);   /* trimmed, lower case */
extern const char *const words_method[], *const words_ip_mode[], *const words_store_down[];

/* Bodies that are not nouns of the model: one field table each, checked like all others. */
#include "admin/handlers.h"

static const struct dm_field password_fields[] = {
    {.name = "new_password",
     .type = DM_FIELD_STR,
     .min = 6,
     .max = 36,
     .flags = DM_FIELD_REQUIRED | DM_FIELD_SECRET},
};
const struct dm_record_type adm_body_password = {
    .noun = "password", .fields = password_fields, .n_fields = DM_COUNT_OF(password_fields)};

/* 64/8 like the API model: a long-named API must be subscribable (platform-apis.md §3.2 rules the
 * same for endpoints). */
static const struct dm_field subscribe_fields[] = {
    {.name = "username", .type = DM_FIELD_STR, .min = 3, .max = 50, .flags = DM_FIELD_REQUIRED},
    {.name = "api_name", .type = DM_FIELD_STR, .min = 1, .max = 64, .flags = DM_FIELD_REQUIRED},
    {.name = "api_version", .type = DM_FIELD_STR, .min = 1, .max = 8, .flags = DM_FIELD_REQUIRED},
};
const struct dm_record_type adm_body_subscribe = {
    .noun = "subscribe", .fields = subscribe_fields, .n_fields = DM_COUNT_OF(subscribe_fields)};

static const struct dm_field cors_check_fields[] = {
    {.name = "origin", .type = DM_FIELD_STR, .min = 0, .max = 2048, .flags = DM_FIELD_REQUIRED},
    {.name = "method", .type = DM_FIELD_STR, .min = 0, .max = 32, .flags = DM_FIELD_REQUIRED},
    {.name = "request_headers",
     .type = DM_FIELD_STRS,
     .min = 0,
     .max = 128,
     .flags = DM_FIELD_NULLABLE},
    {.name = "with_credentials",
     .type = DM_FIELD_BOOL,
     .min = 1,
     .max = 0,
     .flags = DM_FIELD_NULLABLE},
    {.name = "api", .type = DM_FIELD_OBJECT, .min = 1, .max = 0, .flags = DM_FIELD_NULLABLE},
};
const struct dm_record_type adm_body_cors_check = {
    .noun = "cors_check", .fields = cors_check_fields, .n_fields = DM_COUNT_OF(cors_check_fields)};

/* The nouns: their tables and where they are kept. */
#include "model/record.h"

#include "model/record_check.h"

#include "base/poison.h"

/* Columns of fields_<noun>.def. */
#define R DM_FIELD_REQUIRED
#define N DM_FIELD_NULLABLE
#define S DM_FIELD_SERVER
#define F DM_FIELD_FIXED
#define P DM_FIELD_PROJECTED
#define K DM_FIELD_SECRET
#define C DM_FIELD_CLEARABLE
#define Y DM_FIELD_ABSENT
#define A DM_FIELD_NULL_ABSENT
#define O DM_FIELD_CREATE_ONLY
#define U DM_FIELD_UPDATE_MIN
#define BETWEEN(low, high) .min = (low), .max = (high)
#define FREE .min = 1, .max = 0
#define COUNT_MAX 9007199254740991 /* 2^53 - 1: exact in every JSON reader */
#define COUNT .min = 0, .max = COUNT_MAX
#define DM_FIELD(field, kind, range, initial, bits, ...)                                           \
    {.name = #field,                                                                               \
     .type = DM_FIELD_##kind,                                                                      \
     range,                                                                                        \
     .default_json = initial,                                                                      \
     .flags = bits,                                                                                \
     __VA_ARGS__},

static const char *const store_down_words[] = {"deny", "allow", "local", NULL};
static const char *const ip_mode_words[] = {"allow_all", "whitelist", NULL};
/* "*" is every method (R14). */
static const char *const method_words[] = {"GET",  "POST",    "PUT", "DELETE", "PATCH",
                                           "HEAD", "OPTIONS", "*",   NULL};

static const struct dm_field api_fields[] = {
#include "model/fields_api.def"
};
static const struct dm_field endpoint_fields[] = {
#include "model/fields_endpoint.def"
};
static const struct dm_field user_fields[] = {
#include "model/fields_user.def"
};
static const struct dm_field role_fields[] = {
#include "model/fields_role.def"
};
static const struct dm_field group_fields[] = {
#include "model/fields_group.def"
};
static const struct dm_field subscription_fields[] = {
#include "model/fields_subscription.def"
};
static const struct dm_field routing_fields[] = {
#include "model/fields_routing.def"
};
static const struct dm_field security_settings_fields[] = {
#include "model/fields_security_settings.def"
};
static const struct dm_field credit_def_fields[] = {
#include "model/fields_credit_def.def"
};
static const struct dm_field user_credits_fields[] = {
#include "model/fields_user_credits.def"
};

#define TYPE(id, where, by)                                                                        \
    const struct dm_record_type dm_record_##id = {.noun = #id,                                     \
                                                  .collection = where,                             \
                                                  .key = by,                                       \
                                                  .fields = id##_fields,                           \
                                                  .n_fields = DM_COUNT_OF(id##_fields)};
TYPE(api, "apis", "api_name/api_version")
TYPE(endpoint, "endpoints", "endpoint_id")
TYPE(user, "users", "username")
TYPE(role, "roles", "role_name")
TYPE(group, "groups", "group_name")
TYPE(subscription, "subscriptions", "username")
TYPE(routing, "routings", "client_key")
TYPE(security_settings, "settings", "type")
TYPE(credit_def, "credit_defs", "api_credit_group")
TYPE(user_credits, "user_credits", "username")

const struct dm_record_type *const *dm_record_types(size_t *ret_n)
{
    static const struct dm_record_type *const all[] = {
        &dm_record_api,     &dm_record_endpoint,
        &dm_record_user,    &dm_record_role,
        &dm_record_group,   &dm_record_subscription,
        &dm_record_routing, &dm_record_security_settings,
        &dm_record_credit_def, &dm_record_user_credits};
    *ret_n = DM_COUNT_OF(all);
    return all;
}

/* Users, roles, groups, subscriptions, security settings (platform-access.md §8.2-§8.6). */
#include "model/record_rows.h"

/* Never projected: password, email, custom attributes (gateway.md §29.1). */
static const struct dm_field user_fields[] = {
    STR("username", 3, 50, REQ | OUT, .check = check_name),
    STR("email", 3, 127, REQ),
    STR("password", 16, 50, REQ | DM_FIELD_SECRET | DM_FIELD_UPDATE_MIN, .update_min = 6),
    STR("role", 2, 50, REQ | OUT),
    STRS("groups", 1, 0, OUT, .default_json = "[]"),
    INT("rate_limit_duration", 0, NO_MAX, NUL | OUT),
    STR("rate_limit_duration_type", 1, 7, NUL | OUT),
    BOOL("rate_limit_enabled", NUL | OUT),
    INT("throttle_duration", 0, NO_MAX, NUL | OUT),
    STR("throttle_duration_type", 1, 7, NUL | OUT),
    INT("throttle_wait_duration", 0, NO_MAX, NUL | OUT),
    STR("throttle_wait_duration_type", 1, 7, NUL | OUT),
    INT("throttle_queue_limit", 0, NO_MAX, NUL | OUT),
    BOOL("throttle_enabled", NUL | OUT),
    OBJECT("custom_attributes", NUL),
    INT("bandwidth_limit_bytes", 0, NO_MAX, NUL | OUT),
    STR("bandwidth_limit_window", 1, 10, NUL | OUT, .default_json = "\"day\""),
    BOOL("bandwidth_limit_enabled", NUL | OUT),
    BOOL("active", OUT, .default_json = "true"),
    BOOL("ui_access", 0, .default_json = "false"),
    BOOL("force_password_reset", 0, .default_json = "false"),
};
const struct dm_record_type dm_record_user = {.noun = "user",
                                              .collection = "users",
                                              .key = "username",
                                              .fields = user_fields,
                                              .n_fields = DM_COUNT_OF(user_fields)};

#define PERMISSION(name) BOOL(name, 0, .default_json = "false")

static const struct dm_field role_fields[] = {
    STR("role_name", 1, 50, REQ | OUT),
    STR("role_description", 0, 255, NUL | DM_FIELD_UPDATE_MIN, .update_min = 1),
    PERMISSION("manage_users"),
    PERMISSION("manage_apis"),
    PERMISSION("manage_endpoints"),
    PERMISSION("manage_groups"),
    PERMISSION("manage_roles"),
    PERMISSION("manage_routings"),
    BOOL("manage_gateway", OUT, .default_json = "false"),
    PERMISSION("manage_subscriptions"),
    PERMISSION("manage_security"),
    PERMISSION("manage_tiers"),
    PERMISSION("manage_rate_limits"),
    PERMISSION("manage_credits"),
    PERMISSION("manage_auth"),
    PERMISSION("view_analytics"),
    PERMISSION("view_logs"),
    PERMISSION("export_logs"),
    BOOL("platform_admin", SRV | OUT), /* by import or seeding only */
};
const struct dm_record_type dm_record_role = {.noun = "role",
                                              .collection = "roles",
                                              .key = "role_name",
                                              .fields = role_fields,
                                              .n_fields = DM_COUNT_OF(role_fields)};

static const struct dm_field group_fields[] = {
    STR("group_name", 1, 50, REQ),
    STR("group_description", 0, 255, NUL | DM_FIELD_UPDATE_MIN, .update_min = 1),
    STRS("api_access", 1, 0, 0, .default_json = "[]"),
};
const struct dm_record_type dm_record_group = {.noun = "group",
                                               .collection = "groups",
                                               .key = "group_name",
                                               .fields = group_fields,
                                               .n_fields = DM_COUNT_OF(group_fields)};

static const struct dm_field subscription_fields[] = {
    STR("username", 3, 50, REQ | OUT),
    STRS("apis", 1, 0, OUT, .default_json = "[]"),
};
const struct dm_record_type dm_record_subscription = {.noun = "subscription",
                                                      .collection = "subscriptions",
                                                      .key = "username",
                                                      .fields = subscription_fields,
                                                      .n_fields = DM_COUNT_OF(subscription_fields)};

static const struct dm_field security_fields[] = {
    STR("type", 1, 0, SRV),
    BOOL("enable_auto_save", NUL | DM_FIELD_ABSENT),
    INT("auto_save_frequency_seconds", 60, NO_MAX, NUL | DM_FIELD_ABSENT),
    BOOL("auto_save_memory_enabled", NUL | DM_FIELD_ABSENT), /* the same two by their other names (C15) */
    INT("auto_save_memory_interval_minutes", 1, NO_MAX, NUL | DM_FIELD_ABSENT),
    STR("dump_path", 1, 4096, NUL | DM_FIELD_ABSENT),
    STRS("ip_whitelist", 1, 0, NUL | DM_FIELD_ABSENT | OUT),
    STRS("ip_blacklist", 1, 0, NUL | DM_FIELD_ABSENT | OUT),
    BOOL("trust_x_forwarded_for", NUL | DM_FIELD_ABSENT | OUT),
    STRS("xff_trusted_proxies", 1, 0, NUL | DM_FIELD_ABSENT | OUT),
    BOOL("allow_localhost_bypass", NUL | DM_FIELD_ABSENT | OUT),
};
const struct dm_record_type dm_record_security_settings = {.noun = "security_settings",
                                                           .collection = "settings",
                                                           .key = "type",
                                                           .fields = security_fields,
                                                           .n_fields = DM_COUNT_OF(security_fields)};

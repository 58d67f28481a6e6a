/* C type of a setting's member in struct dm_settings, by row type of settings.def. Macros only:
 * included by settings.h and nowhere else. */
#pragma once

#define DM_SETTING_MEMBER_BOOL(field) bool field;
#define DM_SETTING_MEMBER_TRI(field) int field; /* -1 unset, 0, 1 */
#define DM_SETTING_MEMBER_INT(field) int64_t field;
#define DM_SETTING_MEMBER_BYTES(field) int64_t field;
#define DM_SETTING_MEMBER_SECONDS(field) dm_time field; /* written with an optional fraction */
#define DM_SETTING_MEMBER_WHOLE_SECONDS(field) dm_time field; /* written as an int */
#define DM_SETTING_MEMBER_FLOAT(field) double field;
#define DM_SETTING_MEMBER_ENUM(field) int field; /* settings_enums.h */
#define DM_SETTING_MEMBER_STR(field) dm_view field;
#define DM_SETTING_MEMBER_PATH(field) dm_view field; /* absolute, or relative to the start */
#define DM_SETTING_MEMBER_URL(field) dm_view field;
#define DM_SETTING_MEMBER_PEM(field) dm_view field;
#define DM_SETTING_MEMBER_CSV(field) struct dm_strs field;
#define DM_SETTING_MEMBER_CIDRS(field) struct dm_address_set *field; /* NULL when empty */
#define DM_SETTING_MEMBER_SECRET(field) struct dm_secret field;
#define DM_SETTING_MEMBER_SECRET_JSON(field) struct dm_secret field;

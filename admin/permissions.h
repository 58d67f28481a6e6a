/* What a role may do: one bit per permission of permissions.def. */
#pragma once

#include "codec/json.h"

enum adm_permission {
    ADM_PERM_NONE = 0,
#define ADM_PERMISSION(id, name) ADM_PERM_##id,
#include "admin/permissions.def"
#undef ADM_PERMISSION
    ADM_PERM_COUNT_
};

const char *adm_permission_name(enum adm_permission p);
/* Bits set by a role document (NULL: none): bit p is (1 << p). */
uint32_t adm_permissions_of(const struct dm_json *role);
/* admin, platform admin (trimmed, any case), or a document with platform_admin true (§6.2). */
bool adm_role_is_admin(dm_view role_name, const struct dm_json *role);

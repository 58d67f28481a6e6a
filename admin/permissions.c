#include "admin/permissions.h"

static const char *const names[ADM_PERM_COUNT_] = {
    [ADM_PERM_NONE] = "",
#define ADM_PERMISSION(id, name) [ADM_PERM_##id] = name,
#include "admin/permissions.def"
#undef ADM_PERMISSION
};

const char *adm_permission_name(enum adm_permission p)
{
    return names[p];
}

uint32_t adm_permissions_of(const struct dm_json *role)
{
    uint32_t bits = 0;

    for (int p = ADM_PERM_NONE + 1; p < ADM_PERM_COUNT_; p++) {
        if (dm_json_bool(dm_json_get(role, dm_view_of(names[p])), false))
            bits |= 1U << p;
    }
    return bits;
}

bool adm_role_is_admin(dm_view role_name, const struct dm_json *role)
{
    dm_view name = dm_view_trim(role_name);

    return dm_view_eq_nocase(name, DM_LIT("admin")) ||
           dm_view_eq_nocase(name, DM_LIT("platform admin")) ||
           dm_json_bool(dm_json_get(role, DM_LIT("platform_admin")), false);
}

#include "kit.h"

#include "admin/permissions.h"

static struct dm_json *parse(const char *text)
{
    struct dm_json *doc;

    assert_int_equal(dm_json_parse(dm_view_of(text), &dm_json_default, &doc, NULL), DM_OK);
    return doc;
}

static uint32_t bits_of(const char *text)
{
    struct dm_json *role = parse(text);
    const uint32_t bits = adm_permissions_of(role);

    dm_json_free(role);
    return bits;
}

static void no_role_may_nothing(void **state)
{
    (void)state;
    assert_int_equal(adm_permissions_of(NULL), 0);
    assert_int_equal(bits_of("{}"), 0);
    assert_int_equal(bits_of("[]"), 0);
    assert_int_equal(bits_of("{\"role_name\":\"x\",\"manage_everything\":true}"), 0);
}

static void each_permission_is_a_bit_of_its_own(void **state)
{
    uint32_t all = 0;

    (void)state;
    for (int p = ADM_PERM_NONE + 1; p < ADM_PERM_COUNT_; p++) {
        char text[128];

        snprintf(text, sizeof text, "{\"%s\":true}", adm_permission_name((enum adm_permission)p));
        const uint32_t bits = bits_of(text);
        assert_int_equal(bits, 1U << p);
        assert_int_equal(all & bits, 0);
        all |= bits;
    }
}

static void only_true_is_true(void **state)
{
    (void)state;
    assert_int_equal(bits_of("{\"manage_users\":false}"), 0);
    assert_int_equal(bits_of("{\"manage_users\":null}"), 0);
    assert_int_equal(bits_of("{\"manage_users\":1}"), 0);
    assert_int_equal(bits_of("{\"manage_users\":\"true\"}"), 0);
    assert_int_equal(bits_of("{\"manage_users\":[true]}"), 0);
}

/* A permission that the record type does not know could be granted to nobody. */
static void every_permission_is_a_field_of_the_role(void **state)
{
    (void)state;
    for (int p = ADM_PERM_NONE + 1; p < ADM_PERM_COUNT_; p++) {
        struct dm_json *in = parse("{\"role_name\":\"r\"}"), *role = NULL;
        struct dm_error err = {0};

        dm_json_set_bool(in, dm_view_of(adm_permission_name((enum adm_permission)p)), true);
        if (dm_record_create(&dm_record_role, in, &role, &err) != DM_OK)
            fail_msg("%s", err.text);
        assert_int_equal(adm_permissions_of(role), 1U << p);
        dm_json_free(in);
        dm_json_free(role);
    }
}

static void admin_roles_are_known_by_name_or_mark(void **state)
{
    struct dm_json *marked = parse("{\"platform_admin\":true}"),
                   *not_marked = parse("{\"platform_admin\":\"true\"}");

    (void)state;
    assert_true(adm_role_is_admin(DM_LIT("admin"), NULL));
    assert_true(adm_role_is_admin(DM_LIT(" Admin "), NULL));
    assert_true(adm_role_is_admin(DM_LIT("PLATFORM ADMIN"), NULL));
    assert_true(adm_role_is_admin(DM_LIT("ops"), marked));
    assert_false(adm_role_is_admin(DM_LIT("ops"), not_marked));
    assert_false(adm_role_is_admin(DM_LIT("ops"), NULL));
    assert_false(adm_role_is_admin(DM_LIT(""), NULL));
    assert_false(adm_role_is_admin(DM_LIT("admin2"), NULL));
    assert_false(adm_role_is_admin(DM_LIT("platform  admin"), NULL));
    dm_json_free(marked);
    dm_json_free(not_marked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_role_may_nothing),
        cmocka_unit_test(each_permission_is_a_bit_of_its_own),
        cmocka_unit_test(only_true_is_true),
        cmocka_unit_test(every_permission_is_a_field_of_the_role),
        cmocka_unit_test(admin_roles_are_known_by_name_or_mark),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "admin/services/passwords.h"

#include "admin/services/lookup.h"
#include "admin/services/records.h"
#include "crypto/password.h"

enum { STRONG_MIN = 16, HASH_CAP = 512 };

bool adm_password_strong(dm_view password)
{
    static const dm_view special = DM_LIT("!@#$%^&*()-_=+[]{};:,.<>?/");
    bool upper = false, lower = false, digit = false, other = false;

    if (!dm_utf8_valid(password) || dm_utf8_count(password) < STRONG_MIN)
        return false;
    for (size_t i = 0; i < password.len; i++) {
        char b = password.ptr[i];

        upper = upper || (b >= 'A' && b <= 'Z');
        lower = lower || (b >= 'a' && b <= 'z');
        digit = digit || (b >= '0' && b <= '9');
        other = other || dm_view_find_byte(special, b, 0) < special.len;
    }
    return upper && lower && digit && other;
}

void adm_fail_weak_password(struct adm_call *c)
{
    adm_fail(c, 400, "USR005",
             "Password must include at least 16 characters, one uppercase letter, one lowercase "
             "letter, one "
             "digit, and one special character");
}

static enum dm_code put_hash(struct dm_json *doc, dm_view password)
{
    struct dm_buf hash;
    enum dm_code rc;

    dm_buf_init(&hash, HASH_CAP);
    rc = dm_password_hash(password, &hash);
    if (rc == DM_OK)
        dm_json_set_str(doc, DM_LIT("password"), dm_buf_view(&hash));
    dm_buf_done(&hash);
    return rc;
}

enum dm_code adm_password_store(struct adm_call *c, dm_view username, dm_view password,
                                struct dm_error *err)
{
    const struct dm_filter key = DM_WHERE("username", username);
    DM_DEFER(dm_json_freep) struct dm_json *patch = dm_json_new_object();

    if (put_hash(patch, password) != DM_OK)
        return DM_FAIL(err, DM_BUG, ERR_UNEXPECTED, "could not hash the password of \"%.*s\"",
                       DM_FMT(username));
    dm_json_set_bool(patch, DM_LIT("force_password_reset"), false);
    return adm_record_patch(c, &dm_record_user, &key, 1, patch, NULL, err);
}

bool adm_password_replace(struct adm_call *c, struct dm_json *patch)
{
    dm_view password = dm_json_str(dm_json_get(patch, DM_LIT("password")));

    if (password.ptr == NULL || put_hash(patch, password) == DM_OK)
        return true;
    adm_fail_err(c, ERR_UNEXPECTED);
    return false;
}

static bool taken(struct adm_call *c, enum dm_code rc, const char *message, struct dm_error *err)
{
    if (rc == DM_NOT_FOUND)
        return false;
    if (rc == DM_OK)
        adm_fail(c, 400, "USR001", message);
    else
        adm_fail_store(c, err);
    return true;
}

void adm_user_insert(struct adm_call *c, struct dm_json *doc)
{
    DM_DEFER(dm_json_freep) struct dm_json *found = NULL;
    DM_DEFER(dm_json_freep) struct dm_json *found_email = NULL;
    dm_view password = dm_json_str(dm_json_get(doc, DM_LIT("password")));
    struct dm_error err;
    enum dm_code rc;

    rc = adm_find_user(c->app, dm_json_str(dm_json_get(doc, DM_LIT("username"))), &found, &err);
    if (taken(c, rc, "Username already exists", &err))
        return;
    rc = adm_find_user_by_email(c->app, dm_json_str(dm_json_get(doc, DM_LIT("email"))),
                                &found_email, &err);
    if (taken(c, rc, "Email already exists", &err))
        return;
    if (!adm_password_strong(password)) {
        adm_fail_weak_password(c);
        return;
    }
    if (put_hash(doc, password) != DM_OK) {
        adm_fail_err(c, ERR_UNEXPECTED);
        return;
    }
    rc = adm_record_insert(c, &dm_record_user, doc, &err);
    if (rc == DM_EXISTS) /* lost a race for the name or the address */
        adm_fail(c, 400, "USR001", "Username already exists");
    else if (rc != DM_OK)
        adm_fail_store(c, &err);
    else
        adm_ok_message(c, 201, "User created successfully");
}

/* Tokens and cookies that login and refresh hand out (platform-access.md §5.2, §5.4, §5.6). */
#pragma once

#include "admin/call.h"

struct adm_tokens {
    dm_view access, refresh, csrf; /* in the call's arena */
};

/* Signs an access and a refresh token for the user; role: its document or NULL. DM_BUG without a
 * signer. */
enum dm_code adm_tokens_issue(struct adm_call *c, dm_view username, dm_view role_name,
                              const struct dm_json *role, struct adm_tokens *ret) DM_MUST_USE;
void adm_cookies_set(struct adm_call *c, const struct adm_tokens *t);
void adm_cookies_clear(struct adm_call *c);
/* The HMAC in the CSRF value belongs to this session's jti. */
bool adm_csrf_token_fits(struct adm_app *app, dm_view value, dm_view jti);

/* The stored security settings as the admin itself applies them: compiled once per change, counted,
 * read by every call (operations.md §8.11). The data plane gets the same document as a policy
 * object. */
#pragma once

#include "admin/app.h"

struct adm_security { /* immutable */
    _Atomic unsigned refs_;
    struct dm_address_set *whitelist, *blacklist, *proxies; /* NULL when empty */
    bool trust_xff, localhost_bypass;
};

struct adm_security *adm_security_get(struct adm_app *app); /* a reference: unref it */
void adm_security_unref(struct adm_security *s);
/* Compiles and swaps. A bad entry: DM_INVALID, named in err, nothing changes (SEC012). */
enum dm_code adm_security_apply(struct adm_app *app, const struct dm_json *doc,
                                struct dm_error *err) DM_MUST_USE;
/* What is stored now, unless it is of *version, which is updated: another admin may have stored it.
 * Where it cannot be read what was applied stays. */
void adm_security_refresh(struct adm_app *app, uint64_t *version);
/* The defaults of a missing document (§8.6). Owned by the caller. */
struct dm_json *adm_security_defaults(const struct dm_settings *s);

/* What nobody has saved follows the settings (configuration.md §2.6.1): brings it up to these and
 * gives what is stored then, owned by the caller. The first while nothing is published yet, at the
 * start; the second publishes, too: what fails is made up for by adm_publish_all. */
enum dm_code adm_security_store_followed(struct adm_app *app, struct dm_settings *s,
                                         struct dm_json **ret_doc,
                                         struct dm_error *err) DM_MUST_USE;
enum dm_code adm_security_follow(struct adm_app *app, struct dm_settings *s,
                                 struct dm_error *err) DM_MUST_USE;
/* What the patch names was saved and follows no more; trust and its proxies go together. */
void adm_security_saved(struct dm_json *doc, const struct dm_json *patch);
/* The list of those that follow is nobody else's business. */
void adm_security_hide(struct dm_json *doc);

/* The effective client address of a request. */
void adm_client_address(struct adm_call *c, struct dm_address *ret);
/* Global lists: ERR_NONE, ERR_IP_BLOCKED or ERR_IP_NOT_ALLOWED. */
enum dm_err adm_ip_verdict(struct adm_call *c, const struct dm_address *effective);

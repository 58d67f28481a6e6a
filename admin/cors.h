/* CORS of the platform (operations.md §8.10.1): one function decides, for the live path and for the
 * checker. Pure. */
#pragma once

#include "model/settings.h"

struct adm_cors_verdict {
    bool origin_allowed, method_allowed, headers_allowed;
    bool credentials; /* Access-Control-Allow-Credentials: true */
};
struct adm_cors_ask {
    dm_view origin, method;
    const dm_view *headers;
    size_t n_headers;
};
void adm_cors_decide(const struct dm_settings *s, const struct adm_cors_ask *ask,
                     struct adm_cors_verdict *ret);
bool adm_cors_origin_allowed(const struct dm_settings *s, dm_view origin);
/* Values ready to send: methods (OPTIONS added), headers ("*" replaced by the fixed list). */
void adm_cors_methods(const struct dm_settings *s, struct dm_buf *out);
void adm_cors_headers(const struct dm_settings *s, struct dm_buf *out);

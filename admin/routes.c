#include "admin/handlers.h"
#include "admin/router.h"

static const struct adm_route routes[] = {
#define ROUTE(method_, path_, handler_, unauth_, perm_, code_, text_, body_, record_, audit_,      \
              rate_, flags_, summary_)                                                             \
    {.method = method_,                                                                            \
     .path = path_,                                                                                \
     .handler = adm_##handler_,                                                                    \
     .unauth = ADM_##unauth_,                                                                      \
     .permission = ADM_PERM_##perm_,                                                               \
     .denied_code = code_,                                                                         \
     .denied_message = text_,                                                                      \
     .body = ADM_BODY_##body_,                                                                     \
     .record = record_,                                                                            \
     .audit = audit_,                                                                              \
     .rate = ADM_RATE_##rate_,                                                                     \
     .flags = flags_,                                                                              \
     .summary = summary_},
#include "admin/routes.def"
#undef ROUTE
};

const struct adm_route *adm_routes(size_t *ret_n)
{
    *ret_n = DM_COUNT_OF(routes);
    return routes;
}

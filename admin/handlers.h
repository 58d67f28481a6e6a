/* Every handler of the table, and the bodies that are not nouns of the model. */
#pragma once

#include "admin/call.h"

#define ROUTE(method, path, handler, ...) void adm_##handler(struct adm_call *c);
#include "admin/routes.def"
#undef ROUTE

extern const struct dm_record_type adm_body_password, adm_body_subscribe, adm_body_cors_check;

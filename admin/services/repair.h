/* What a crash between two writes of a cascade leaves behind, put right at the next start
 * (design.md §2: no transactions). Every cascade is ordered so that its remains are found here, or
 * harmless: docs/data-model.md. Blocking; before anything is served, and beside another admin that
 * serves: each remain is looked at again right before it is removed. */
#pragma once

#include "admin/app.h"

/* Endpoints of APIs that are gone, and subscriptions to them. Removals are published. */
enum dm_code adm_repair(struct adm_app *app, struct dm_error *err) DM_MUST_USE;

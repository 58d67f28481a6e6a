/* Keeps what is published in step with the documents while the program runs: publishes everything
 * anew, with revocations and balances, when the live store lost it (it restarted empty) or when a
 * stored change could not be published. Looks every few seconds and whenever the store is reached
 * again; tries again with a back-off until it is done, and repairs then what a change left that
 * ended half-way. Takes over the security settings that another admin stored, and has those that
 * nobody saved follow a reload. One thread of its own. */
#pragma once

#include "admin/app.h"

/* All of it, once, and says to the live store that it is there. */
enum dm_code adm_restore(struct adm_app *app, struct dm_error *err) DM_MUST_USE;

struct adm_restorer;
enum dm_code adm_restorer_start(struct adm_app *app, struct adm_restorer **ret,
                                struct dm_error *err) DM_MUST_USE;
void adm_restorer_stop(struct adm_restorer *r); /* NULL is fine; may wait for one attempt */
/* A stored change was not published. Any thread; NULL is fine. */
void adm_restorer_dirty(struct adm_restorer *r);

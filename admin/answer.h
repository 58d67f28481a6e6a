/* From a result to HTTP: envelope (platform-access.md §2), problem+json (R9), ETag, CORS, Vary. */
#pragma once

#include "admin/call.h"

void adm_answer(struct adm_call *c);
void adm_answer_preflight(struct adm_call *c); /* OPTIONS /platform...: always 204 (§1.5) */

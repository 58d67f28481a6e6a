/* What every backend of store/live must do (live_contract.c). A backend's test gives a factory and
 * runs it; the list is the same for all. Windows are stepped by the rig's clock. */
#pragma once

#include "live_rig.h"

int live_contract_run(const char *name, const struct live_factory *factory);

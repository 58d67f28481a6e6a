/* Comparison in time that depends on the lengths only. Pure. */
#pragma once

#include "base/view.h"

bool dm_equal_secret(dm_view a, dm_view b);

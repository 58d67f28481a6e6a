/* The process_* metrics every Prometheus client exports. For metrics.c only. */
#pragma once

#include "base/buf.h"

void dm_metrics_process_write(struct dm_buf *out);

/* A document as text again, in block style: order, values and what was quoted stay; comments, flow
 * style and anchors (aliases are copies by now) do not. Reading the text gives the same tree. Any
 * thread. */
#pragma once

#include "base/buf.h"
#include "codec/yaml.h"

/* Appends, with a newline at the end. DM_LIMIT: past the buffer's cap. */
enum dm_code dm_yaml_write(const struct dm_yaml *root, struct dm_buf *out) DM_MUST_USE;

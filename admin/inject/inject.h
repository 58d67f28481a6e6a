/* Puts the sidecar into Kubernetes workloads (operations.md §11.1): a text of YAML documents in,
 * the same text out with the pod templates patched as the chart's named templates would have them.
 * Documents that need no change keep every byte. No Kubernetes is asked, nothing is read or
 * written but what is given. Any thread. */
#pragma once

#include "admin/inject/parts.h"
#include "base/buf.h"

enum {
    ADM_INJECT_DOCUMENTS_MAX = 1000,        /* of one text; a large application has dozens */
    ADM_INJECT_OUTPUT_MAX = 4 * 1024 * 1024 /* the text of 1 MiB, parts and indentation added */
};

/* Appends the patched text to `out`, and to `notes` a line about every workload and Service that
 * was looked at. After a fault both hold rubbish; err->text is a sentence with the place. */
enum dm_code adm_inject(dm_view text, const struct adm_parts_options *options, struct dm_buf *out,
                        struct dm_buf *notes, struct dm_error *err) DM_MUST_USE;

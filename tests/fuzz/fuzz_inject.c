/* layer: admin */
/* Workloads for `doorman-admin inject`. What is taken has the sidecar and comes out the same a
 * second time; what is refused has a sentence. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "admin/inject/inject.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOTES = 1024 * 1024 };

static enum dm_code inject(dm_view text, const struct adm_parts_options *o, struct dm_buf *out,
                           struct dm_buf *notes, struct dm_error *err)
{
    dm_buf_init(out, ADM_INJECT_OUTPUT_MAX);
    dm_buf_init(notes, NOTES);
    return adm_inject(text, o, out, notes, err);
}

static bool holds(dm_view text, dm_view needle)
{
    return dm_view_find(text, needle) != text.len;
}

static void check_refused(enum dm_code code, const struct dm_error *err)
{
    DM_REQUIRE(code == DM_INVALID || code == DM_LIMIT);
    DM_REQUIRE(err->text[0] != '\0' && strlen(err->text) < sizeof(err->text));
}

static void check_again(dm_view first, const struct adm_parts_options *o)
{
    struct dm_buf out, notes;
    struct dm_error err = {0};
    if (first.len <= DM_YAML_BYTES_MAX) {
        const enum dm_code code = inject(first, o, &out, &notes, &err);
        DM_REQUIRE(code == DM_OK && dm_view_eq(dm_buf_view(&out), first));
        dm_buf_done(&out);
        dm_buf_done(&notes);
    }
}

static void one(dm_view text, const struct adm_parts_options *o)
{
    struct dm_buf out, notes;
    struct dm_error err = {0};
    const enum dm_code code = inject(text, o, &out, &notes, &err);
    if (code != DM_OK) {
        check_refused(code, &err);
    } else {
        const dm_view made = dm_buf_view(&out);
        if (holds(dm_buf_view(&notes), DM_LIT(": the sidecar is in\n")))
            DM_REQUIRE(holds(made, DM_LIT("doorman.io/injected")) &&
                       holds(made, DM_LIT("- name: doorman-gateway")));
        check_again(made, o);
#ifdef DOORMAN_PLANT_BUG
        /* Reached only by a workload that is taken though a value in it is missing. */
        if (holds(made, DM_LIT(": null\n")) &&
            holds(dm_buf_view(&notes), DM_LIT(": the sidecar is in\n")))
            abort();
#endif
    }
    dm_buf_done(&out);
    dm_buf_done(&notes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct adm_parts_options o;
    adm_parts_defaults(&o);
    switch (size % 3) { /* all three would take three times as long */
    case 0:
        break;
    case 1:
        o.service = true;
        break;
    default:
        o.service_port = "web";
        o.kube_minor = 28; /* an ordinary container */
    }
    one(dm_view_make((const char *)data, size), &o);
    return 0;
}

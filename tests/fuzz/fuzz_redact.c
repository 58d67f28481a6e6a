/* layer: base */
/* Redaction reads whatever clients and upstreams made us log. Whatever it is: the promised room is
 * enough, and a hostile message neither shows the secret in the field behind it nor breaks the
 * line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log_record.h"
#include "base/redact.h"

static const char canary[] = "KQZWVJ";

#ifdef DOORMAN_PLANT_BUG
enum { ROOM_PER_BYTE = 1, ROOM = 0 };
#else
enum { ROOM_PER_BYTE = 3, ROOM = 64 };
#endif

static void redact(dm_view line, struct dm_buf *out)
{
    dm_buf_init(out, ROOM_PER_BYTE * line.len + ROOM);
    dm_redact(line, out);
    if (!dm_buf_ok(out))
        abort();
}

static void redact_as_line(dm_view text, bool json)
{
    const struct dm_log_field fields[] = {DM_F("x", text), DM_FC("password", canary),
                                          DM_FI("n", 1)};
    const struct dm_log_event e = {
        .level = DM_LOG_INFO, .message = text, .fields = fields, .n_fields = 3};
    struct dm_log_format format = {.json = json, .utc = true, .process = "p", .pod = "q"};
    static char record[64 * 1024];
    struct dm_buf line, out;

    dm_log_record_pack(&e, record);
    dm_buf_init(&line, DM_LOG_LINE_MAX);
    dm_log_record_format(record, &format, &line);
    redact(dm_buf_view(&line), &out);
    dm_view shown = dm_buf_view(&out);
    if (memmem(shown.ptr, shown.len, canary, sizeof canary - 1) != NULL &&
        memmem(text.ptr, text.len, canary, sizeof canary - 1) == NULL)
        abort();
    if (json && !dm_view_ends(shown, DM_LIT("\"version\":\"" DOORMAN_VERSION "\"}")))
        abort();
    if (memchr(shown.ptr, '\n', shown.len) != NULL)
        abort();
    dm_buf_done(&out);
    dm_buf_done(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dm_view text = dm_view_make(size == 0 ? "" : (const char *)data, size);
    struct dm_buf out;

    redact(text, &out);
    dm_buf_done(&out);
    redact_as_line(text, true);
    redact_as_line(text, false);
    (void)dm_redact_key(text);
    (void)dm_redact_value(text);
    return 0;
}

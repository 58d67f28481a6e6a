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

enum { ROOM_PER_BYTE = 3, ROOM = 64 };

#ifdef DOORMAN_PLANT_BUG
/* Reached only by a line with ten secrets that were found and replaced. */
static void planted(dm_view shown)
{
    static const char mark[] = "[REDACTED]";
    const char *at = shown.ptr, *end = shown.ptr + shown.len;

    for (int n = 0; (at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL; n++) {
        if (n == 9)
            abort();
        at += sizeof mark - 1;
    }
}
#endif

static void redact(dm_view line, struct dm_buf *out)
{
    dm_buf_init(out, ROOM_PER_BYTE * line.len + ROOM);
    dm_redact(line, out);
    if (!dm_buf_ok(out))
        abort();
#ifdef DOORMAN_PLANT_BUG
    planted(dm_buf_view(out));
#endif
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

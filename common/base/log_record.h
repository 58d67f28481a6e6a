/* One event between the thread that logs it and the writer: packed bytes, copied once. For log*.c
 * only. */
#pragma once

#include "base/buf.h"
#include "base/log.h"

enum {
    DM_LOG_RAW_MAX = 8192, /* of an access line: more is cut */
    /* Of a finished line: fields of 8 K JSON, or 256 bytes of which each became an escape of 6, all
     * twice as long after redaction, stay below it. */
    DM_LOG_LINE_MAX = 1 << 20
};

struct dm_log_event {
    enum dm_log_level level;
    bool raw;
    dm_time wall;
    dm_view request_id, message;
    const struct dm_log_field *fields;
    size_t n_fields;
};

/* How lines look; strings borrowed from the settings in force. */
struct dm_log_format {
    bool json, utc;
    const char *process, *pod;
    int64_t stamp_second; /* what stamp holds, so that it is made once a second */
    bool stamp_json;
    char stamp[32];
};

size_t dm_log_record_size(const struct dm_log_event *e);
void dm_log_record_pack(const struct dm_log_event *e, char *out); /* size bytes of it */
/* Where the packed record at `in` came from: its size, level and whether it is a raw line. */
size_t dm_log_record_read(const char *in, enum dm_log_level *ret_level, bool *ret_raw);
/* Appends the line without its end. */
void dm_log_record_format(const char *in, struct dm_log_format *f, struct dm_buf *out);

/* layer: model */
/* The configuration file, through the whole loader. A file that is refused is refused with lines of
 * the agreed form, one that is taken can be printed, and nobody gets to read a secret. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "codec/json.h"
#include "model/settings_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAID_MAX = 64 << 20, PATH_SIZE = 64 };

#define SECRET "canary-of-more-than-32-characters-in-here"

/* A file that has no name on any disk. */
static int file_of(const uint8_t *data, size_t size, char path[PATH_SIZE])
{
    int fd = memfd_create("settings", MFD_CLOEXEC);
    DM_REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, PATH_SIZE, "/proc/self/fd/%d", fd);
    return fd;
}

static void no_secret(const struct dm_buf *b)
{
    dm_view all = dm_buf_view(b);
    DM_REQUIRE(dm_buf_ok(b) && dm_view_find(all, DM_LIT(SECRET)) == all.len);
}

static void check_lines(const struct dm_buf *faults)
{
    dm_view rest = dm_buf_view(faults), line;
    size_t n = 0;
    while (dm_view_split(&rest, '\n', &line)) {
        DM_REQUIRE(line.len == 0 ||
                   dm_view_starts(line, DM_LIT("Failed to start server: Error: ")));
        n += line.len > 0;
    }
    DM_REQUIRE(n > 0);
}

static void check_taken(const struct dm_settings *s)
{
    struct dm_buf out;
    struct dm_json *json = NULL;
    dm_buf_init(&out, SAID_MAX);
    dm_settings_print(s, true, &out);
    no_secret(&out);
    DM_REQUIRE(dm_json_parse(dm_buf_view(&out), &dm_json_default, &json, NULL) == DM_OK);
    dm_json_free(json);
    DM_REQUIRE(s->threads == 1 && s->max_body_size_bytes >= 1 && s->cache_ttl <= 86400);
#ifdef DOORMAN_PLANT_BUG
    if (s->cors_strict && s->cache_ttl != 7 && s->cache_ttl != 300) /* the seed "strict" has 7 */
        abort();
#endif
    dm_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const environment[] = {"JWT_SECRET_KEY=" SECRET,
                                              "DOORMAN_ADMIN_PASSWORD=" SECRET, NULL};
    struct dm_buf faults, warnings, notes;
    struct dm_settings *s = NULL;
    char path[PATH_SIZE];
    const dm_view given = dm_view_make((const char *)data, size);
    if (dm_view_find(given, DM_LIT(SECRET)) < size)
        return 0; /* a fuzzer that knows the secret may write it where it is shown */
    int fd = file_of(data, size, path);
    dm_buf_init(&faults, SAID_MAX);
    dm_buf_init(&warnings, SAID_MAX);
    dm_buf_init(&notes, SAID_MAX);
    const struct dm_settings_input in = {
        .role = DM_ROLE_ALL, .environ_ = environment, .config_file = path, .notes = &notes};
    if (dm_settings_load(&in, &s, &faults, &warnings) == DM_OK) {
        DM_REQUIRE(dm_buf_view(&faults).len == 0);
        check_taken(s);
        dm_settings_unref(s);
    } else {
        check_lines(&faults);
    }
    no_secret(&faults);
    no_secret(&warnings);
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    dm_buf_done(&notes);
    close(fd);
    return 0;
}

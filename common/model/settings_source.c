/* Where values come from: the environment, and the files it names with KEY_FILE. */
#include "model/settings_load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/poison.h"

enum { READ_STEP = 16384, PATH_SHOWN_MAX = 256 };

static const char *read_all(int fd, struct dm_buf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "not a regular file";
    for (;;) {
        char *room = dm_buf_reserve(out, READ_STEP);
        if (room == NULL)
            return "over 1 MiB";
        ssize_t n = read(fd, room, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return strerror(errno);
        if (n == 0)
            return NULL;
        dm_buf_commit(out, (size_t)n);
        if (dm_buf_view(out).len > DM_SETTINGS_FILE_MAX)
            return "over 1 MiB";
    }
}

const char *dm_settings_read(dm_view path, struct dm_buf *out)
{
    char *cpath = dm_mem_text(path);
    int fd = open(cpath, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    const char *reason = fd < 0 ? strerror(errno) : read_all(fd, out);
    if (fd >= 0)
        close(fd);
    dm_mem_free(cpath);
    return reason;
}

size_t dm_settings_slot(const struct dm_settings_loading *l, dm_view name)
{
    for (size_t i = 0; i < l->n_rows; i++) {
        if (dm_view_eq(dm_view_of(l->rows[i].key), name))
            return i;
    }
    for (size_t i = 0; i < l->n_aliases; i++) {
        if (dm_view_eq(dm_view_of(l->aliases[i].name), name))
            return l->n_rows + i;
    }
    return SIZE_MAX;
}

/* The row that a slot speaks for; NULL: an alias that stands for nothing, or no slot. */
static const struct dm_setting_row *row_of(const struct dm_settings_loading *l, size_t slot)
{
    if (slot >= l->n_rows + l->n_aliases)
        return NULL;
    return slot < l->n_rows ? &l->rows[slot]
                            : dm_setting_find(dm_view_of(l->aliases[slot - l->n_rows].key));
}

/* KEY_FILE: for secrets (configuration.md §0.2), and for public keys, which are mounted the same
 * way. */
static bool may_come_from_file(const struct dm_settings_loading *l, size_t slot)
{
    const struct dm_setting_row *row = row_of(l, slot);
    return row != NULL && (dm_setting_secret(row) || row->type == DM_SETTING_PEM);
}

static void fault_in_env(struct dm_settings_loading *l, size_t slot, const char *name,
                         const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void fault_in_env(struct dm_settings_loading *l, size_t slot, const char *name,
                         const char *fmt, ...)
{
    char reason[512], line[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    (void)snprintf(line, sizeof(line), "%s: %s; from env", name, reason);
    dm_setting_fault_at(
        l, &(struct dm_settings_fault){.key = dm_view_of(name), .reason = dm_view_of(reason)},
        dm_view_of(line));
    l->bad[row_of(l, slot) - l->rows] = true; /* not "required" on top */
}

static void read_key_file(struct dm_settings_loading *l, size_t slot, const char *name,
                          dm_view path)
{
    struct dm_setting_raw *raw = &l->env[slot];
    if (raw->set) {
        fault_in_env(l, slot, name, "%s and %s_FILE are both set; expected: one of them", name,
                     name);
        return;
    }
    struct dm_buf text;
    dm_buf_init(&text, DM_SETTINGS_READ_CAP);
    const char *reason = dm_settings_read(path, &text);
    if (reason != NULL) {
        fault_in_env(l, slot, name, "%s_FILE names \"%.*s\": %s; expected: a readable file", name,
                     DM_FMT(dm_view_sub(path, 0, PATH_SHOWN_MAX)), reason);
    } else {
        dm_view v = dm_buf_view(&text);
        v.len -= v.len > 0 && v.ptr[v.len - 1] == '\n';
        v.len -= v.len > 0 && v.ptr[v.len - 1] == '\r';
        v = dm_settings_hold(l, v);
        *raw = (struct dm_setting_raw){.set = v.len > 0,
                                       .origin = DM_ORIGIN_ENV,
                                       .name = name,
                                       .text = v,
                                       .from_key_file = true};
        dm_settings_watch(l->st, path);
    }
    dm_settings_wipe(&text);
}

static const char *slot_name(const struct dm_settings_loading *l, size_t slot)
{
    return slot < l->n_rows ? l->rows[slot].key : l->aliases[slot - l->n_rows].name;
}

/* Empty means unset, but for SECURITY_HEADER_*, which it switches off. */
static bool counts_when_empty(const char *key)
{
    return dm_view_starts(dm_view_of(key), DM_LIT("SECURITY_HEADER_"));
}

bool dm_settings_found(const char *name, dm_view text)
{
    return text.len > 0 || counts_when_empty(name);
}

static void warn_about_mongo(struct dm_settings_loading *l, dm_view name)
{
    bool mongo = dm_view_starts(name, DM_LIT("MONGO_")) || dm_view_eq(name, DM_LIT("DATABASE_URL"));
    if (!mongo || l->in->role != DM_ROLE_GATEWAY || l->warned_mongo)
        return;
    l->warned_mongo = true;
    dm_setting_warn(l, "%.*s: has no place in a gateway, which never connects to MongoDB",
                    DM_FMT(dm_view_sub(name, 0, PATH_SHOWN_MAX)));
}

void dm_settings_scan_env(struct dm_settings_loading *l)
{
    for (const char *const *e = l->in->environ_; e != NULL && *e != NULL; e++) {
        dm_view entry = dm_view_of(*e);
        size_t equals = dm_view_find_byte(entry, '=', 0);
        dm_view name = dm_view_sub(entry, 0, equals),
                text = dm_view_sub(entry, equals + 1, entry.len);
        size_t slot = dm_settings_slot(l, name);
        warn_about_mongo(l, name);
        if (slot == SIZE_MAX || l->env[slot].set)
            continue;
        l->env[slot] = (struct dm_setting_raw){.origin = DM_ORIGIN_ENV,
                                               .name = slot_name(l, slot),
                                               .text = text,
                                               .set = dm_settings_found(slot_name(l, slot), text)};
    }
}

void dm_settings_scan_key_files(struct dm_settings_loading *l)
{
    for (const char *const *e = l->in->environ_; e != NULL && *e != NULL; e++) {
        dm_view entry = dm_view_of(*e);
        size_t equals = dm_view_find_byte(entry, '=', 0);
        dm_view name = dm_view_sub(entry, 0, equals),
                path = dm_view_sub(entry, equals + 1, entry.len);
        if (!dm_view_ends(name, DM_LIT("_FILE")) || path.len == 0 ||
            dm_settings_slot(l, name) != SIZE_MAX)
            continue;
        size_t slot = dm_settings_slot(l, dm_view_sub(name, 0, name.len - sizeof("_FILE") + 1));
        if (may_come_from_file(l, slot))
            read_key_file(l, slot, slot_name(l, slot), dm_settings_resolve(l, path));
    }
}

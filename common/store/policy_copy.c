#include "store/policy_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"

#include "base/poison.h"

enum {
    WRITE_STEP = 64 * 1024,
    SECTION_HEAD = 1 + 8,
    PATH_MAX_ = 4096,
    COUNT_LEN = 8,
    DELTAS_MAX = 64 * 1024 /* far above what is published between two manifests */
};

static dm_view magic(void)
{
    return DM_LIT("DMPOLICY1\n");
}

static enum dm_code fail(struct dm_error *err, const char *what, const char *file)
{
    char reason[128];
    const char *text = strerror_r(errno, reason, sizeof reason);
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_NONE, "could not %s \"%s\": %s", what, file, text);
}

/* --- writing --- */

struct writer {
    int fd;
    bool failed;
    struct dm_buf buf;
};

static void flush(struct writer *w)
{
    dm_view rest = dm_buf_view(&w->buf);
    while (rest.len > 0 && !w->failed) {
        ssize_t n = write(w->fd, rest.ptr, rest.len);
        if (dm_fault(DM_FAULT_FILE_WRITE)) {
            errno = ENOSPC;
            n = -1;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            w->failed = true;
        else
            rest = dm_view_sub(rest, (size_t)n, SIZE_MAX);
    }
    dm_buf_clear(&w->buf);
}

static void put(struct dm_buf *b, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0)
        dm_buf_add_byte(b, (char)(unsigned char)(number >> (8 * bytes)));
}

static void section(struct writer *w, char type, dm_view head, dm_view bytes)
{
    if (dm_buf_view(&w->buf).len > WRITE_STEP)
        flush(w);
    dm_buf_add_byte(&w->buf, type);
    put(&w->buf, head.len + bytes.len, 8);
    dm_buf_add(&w->buf, head);
    dm_buf_add(&w->buf, bytes);
}

static void object(struct writer *w, const struct dm_policy_record *r)
{
    struct dm_policy_entry e = dm_policy_record_entry(r);
    struct dm_buf head, payload;
    dm_buf_init(&head, SECTION_HEAD + DM_LIVE_KEY_MAX);
    dm_buf_init(&payload, r->len);
    dm_policy_entry_add(&head, &e);
    section(w, 'O', dm_buf_view(&head), dm_policy_record_payload(r, &payload));
    dm_buf_done(&head);
    dm_buf_done(&payload);
}

static void contents(struct writer *w, const struct dm_policy_copy *c)
{
    dm_buf_add(&w->buf, magic());
    section(w, 'C', DM_VIEW_NONE, c->current);
    section(w, 'M', DM_VIEW_NONE, c->manifest);
    for (size_t i = 0; i < c->n_deltas; i++)
        section(w, 'D', DM_VIEW_NONE, c->deltas[i]);
    for (size_t i = 0; i < c->n_records && !w->failed; i++)
        object(w, c->records[i]);
    if (c->revocations.len > 0)
        section(w, 'R', DM_VIEW_NONE, c->revocations);
    struct dm_buf count;
    dm_buf_init(&count, COUNT_LEN);
    put(&count, c->n_records, COUNT_LEN);
    section(w, 'E', DM_VIEW_NONE, dm_buf_view(&count));
    dm_buf_done(&count);
    flush(w);
}

static void sync_directory(const char *path)
{
    char *dir = dm_mem_text(dm_view_of(path));
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        slash[slash == dir] = '\0'; /* "/" stays */
    int fd = open(slash != NULL ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* without it the old copy may come back after a crash: still a good one */
        (void)close(fd);
    }
    dm_mem_free(dir);
}

enum dm_code dm_policy_copy_write(const char *path, const struct dm_policy_copy *c,
                                  struct dm_error *err)
{
    char tmp[PATH_MAX_];
    int len = snprintf(tmp, sizeof tmp, "%s.tmp", path);
    if (len < 0 || (size_t)len >= sizeof tmp)
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not write \"%s\": name too long", path);
    struct writer w = {
        .fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR)};
    if (w.fd < 0)
        return fail(err, "write", tmp);
    dm_buf_init(&w.buf, DM_POLICY_VALUE_MAX + (size_t)2 * WRITE_STEP);
    contents(&w, c);
    dm_buf_done(&w.buf);
    bool good = !w.failed && fsync(w.fd) == 0;
    int why = errno;
    (void)close(w.fd);
    if (!good || rename(tmp, path) != 0) {
        errno = good ? errno : why;
        enum dm_code rc = fail(err, "write", tmp);
        (void)unlink(tmp);
        return rc;
    }
    sync_directory(path);
    return DM_OK;
}

/* --- reading --- */

static enum dm_code spoilt(struct dm_error *err, const char *path, const char *why)
{
    return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not use \"%s\": %s", path, why);
}

static enum dm_code read_whole(const char *path, char **ret, size_t *ret_len, struct dm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno == ENOENT)
        return DM_FAIL(err, DM_NOT_FOUND, ERR_NONE, "no copy of policy at \"%s\"", path);
    if (fd < 0)
        return fail(err, "read", path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > DM_POLICY_COPY_MAX) {
        (void)close(fd);
        return spoilt(err, path, "no regular file, or too large");
    }
    size_t size = (size_t)st.st_size, at = 0;
    char *bytes = dm_mem_alloc(size + 1);
    while (at < size) {
        ssize_t n = read(fd, bytes + at, size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    (void)close(fd);
    if (at < size) {
        dm_mem_free(bytes);
        return spoilt(err, path, "shorter than it was");
    }
    *ret = bytes;
    *ret_len = size;
    return DM_OK;
}

struct reader {
    const struct dm_ed25519_verifier *verifier;
    struct dm_policy_copy *c;
    struct dm_policy_table wanted; /* what manifest and deltas promise */
    bool ended;
    size_t room;
};

static uint64_t number(dm_view v)
{
    uint64_t n = 0;
    for (size_t i = 0; i < v.len; i++)
        n = n << 8 | (unsigned char)v.ptr[i];
    return n;
}

static const char *open_list(struct reader *r, dm_view bytes, enum dm_policy_form form,
                             uint64_t generation)
{
    struct dm_live_key key;
    struct dm_policy_value v;
    struct dm_buf list = {0};
    if (form == DM_POLICY_MANIFEST)
        dm_policy_key_manifest(&key, generation);
    else
        dm_policy_key_delta(&key, generation);
    if (dm_policy_open(bytes, form, dm_live_key_view(&key), r->verifier, &v) != DM_POLICY_GOOD)
        return "a list of objects is not signed, or not in its place";
    bool good = form == DM_POLICY_DELTA ? dm_policy_table_merge(&r->wanted, v.payload)
                                        : dm_policy_list_unpack(v.payload, &list) &&
                                              dm_policy_table_merge(&r->wanted, dm_buf_view(&list));
    dm_buf_done(&list);
    return good ? NULL : "a list of objects is spoilt";
}

static const char *take_current(struct reader *r, dm_view bytes)
{
    struct dm_live_key key;
    struct dm_policy_value v;
    dm_policy_key_current(&key);
    if (r->c->generation != 0 || dm_policy_open(bytes, DM_POLICY_CURRENT, dm_live_key_view(&key),
                                                r->verifier, &v) != DM_POLICY_GOOD)
        return "its generation is not signed";
    r->c->current = bytes;
    r->c->generation = v.generation;
    return NULL;
}

static const char *take_manifest(struct reader *r, dm_view bytes)
{
    struct dm_policy_value v;
    if (r->c->generation == 0 || r->c->manifest_generation != 0 || !dm_policy_read(bytes, &v) ||
        v.generation > r->c->generation)
        return "its manifest is not in its place";
    r->c->manifest = bytes;
    r->c->manifest_generation = v.generation;
    return open_list(r, bytes, DM_POLICY_MANIFEST, v.generation);
}

static const char *take_delta(struct reader *r, dm_view bytes)
{
    struct dm_policy_copy *c = r->c;
    uint64_t generation = c->manifest_generation + c->n_deltas + 1;
    if (c->manifest_generation == 0 || generation > c->generation || c->n_records > 0 ||
        c->n_deltas == DELTAS_MAX)
        return "a delta is not in its place";
    if (c->n_deltas % 64 == 0)
        c->deltas = dm_mem_grow(c->deltas, c->n_deltas + 64, sizeof *c->deltas);
    c->deltas[c->n_deltas++] = bytes;
    return open_list(r, bytes, DM_POLICY_DELTA, generation);
}

static const char *take_object(struct reader *r, dm_view bytes)
{
    struct dm_policy_copy *c = r->c;
    struct dm_policy_entry e;
    struct dm_policy_record *wanted;
    unsigned char sha256[DM_SHA256_LEN];
    if (c->manifest_generation + c->n_deltas != c->generation || c->generation == 0)
        return "a delta is missing";
    if (!dm_policy_entry_next(&bytes, &e) || bytes.len > DM_POLICY_OBJECT_MAX)
        return "an object is spoilt";
    wanted = dm_policy_table_get(&r->wanted, e.kind, e.id);
    dm_sha256(bytes, sha256);
    if (wanted == NULL || wanted->deleted || e.deleted || wanted->version != e.version ||
        memcmp(sha256, e.sha256, sizeof sha256) != 0 ||
        memcmp(sha256, wanted->sha256, sizeof sha256) != 0)
        return "an object is not the one that was published";
    if (c->n_records == r->room) {
        r->room = r->room == 0 ? 1024 : 2 * r->room;
        c->records = dm_mem_grow(c->records, r->room, sizeof(struct dm_policy_record *));
    }
    c->records[c->n_records++] = dm_policy_record_new(&e, bytes);
    dm_policy_table_remove(&r->wanted, e.kind, e.id); /* not twice; what is left was left out */
    return NULL;
}

static const char *take_end(struct reader *r, dm_view bytes)
{
    struct dm_policy_record **left = dm_policy_table_all(&r->wanted);
    bool whole = bytes.len == COUNT_LEN && number(bytes) == r->c->n_records &&
                 r->c->generation != 0 &&
                 r->c->manifest_generation + r->c->n_deltas == r->c->generation;
    for (size_t i = 0; i < dm_policy_table_count(&r->wanted); i++)
        whole = whole &&
                (left[i]->deleted || dm_live_kind_on_demand(dm_policy_record_entry(left[i]).kind));
    dm_mem_free(left);
    r->ended = true;
    return whole ? NULL : "objects are missing";
}

static const char *take(struct reader *r, char type, dm_view bytes)
{
    switch (type) {
    case 'C':
        return take_current(r, bytes);
    case 'M':
        return take_manifest(r, bytes);
    case 'D':
        return take_delta(r, bytes);
    case 'O':
        return take_object(r, bytes);
    case 'R':
        r->c->revocations = bytes;
        return NULL;
    case 'E':
        return take_end(r, bytes);
    default:
        return "a part of it is unknown";
    }
}

static const char *read_sections(struct reader *r, dm_view rest)
{
    const char *why = NULL;
    if (!dm_view_starts(rest, magic()))
        return "it is no copy of policy";
    rest = dm_view_sub(rest, magic().len, SIZE_MAX);
    while (why == NULL && !r->ended) {
        if (rest.len < SECTION_HEAD)
            return "it is cut off";
        uint64_t len = number(dm_view_sub(rest, 1, 8));
        if (len > rest.len - SECTION_HEAD)
            return "it is cut off";
        why = take(r, rest.ptr[0], dm_view_sub(rest, SECTION_HEAD, len));
        rest = dm_view_sub(rest, SECTION_HEAD + len, SIZE_MAX);
    }
    return why != NULL ? why : rest.len > 0 ? "something follows its end" : NULL;
}

enum dm_code dm_policy_copy_read(const char *path, const struct dm_ed25519_verifier *verifier,
                                 struct dm_policy_copy **ret, struct dm_error *err)
{
    size_t len = 0;
    char *bytes = NULL;
    enum dm_code rc = read_whole(path, &bytes, &len, err);
    if (rc != DM_OK)
        return rc;
    struct reader r = {.verifier = verifier, .c = DM_NEW(struct dm_policy_copy)};
    r.c->bytes_ = bytes;
    const char *why = read_sections(&r, dm_view_make(bytes, len));
    dm_policy_table_done(&r.wanted);
    if (why != NULL) {
        dm_policy_copy_free(r.c);
        return spoilt(err, path, why);
    }
    *ret = r.c;
    return DM_OK;
}

void dm_policy_copy_free(struct dm_policy_copy *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n_records; i++)
        dm_policy_record_unref(c->records[i]);
    dm_mem_free(c->records);
    dm_mem_free(c->deltas);
    dm_mem_free(c->bytes_);
    dm_mem_free(c);
}

#include "store/dump.h"

#include <pthread.h>
#include <string.h>

#include "codec/base64.h"
#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/fernet.h"
#include "crypto/random.h"
#include "store/dump_files.h"

#include "base/poison.h"

enum {
    VERSION = 1,
    SALT_LEN = 16,
    DUMP_CAP = 1024 * 1024 *
               1024, /* memory mode is for a laptop: more data would not fit beside its dump */
    DEPTH = 72       /* of a document, and the levels around it */
};
static const struct dm_json_limits limits = {
    .max_bytes = DUMP_CAP, .max_depth = DEPTH, .max_values = 100 * 1000 * 1000};
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

/* Holds every secret of the store in plain text. */
static void wipe(struct dm_buf *b)
{
    dm_view v = dm_buf_view(b);
    if (v.len > 0)
        dm_mem_wipe((void *)(uintptr_t)v.ptr, v.len);
    dm_buf_done(b);
}

static dm_view magic(void)
{
    return DM_LIT("DMP1");
}

static void dmp1_key(const struct dm_secret *key, dm_view salt,
                     unsigned char out[DM_AES256_KEY_LEN])
{
    dm_hkdf_sha256(dm_secret_view(key), salt, DM_LIT("doorman-mem-dump-v1"), out,
                   DM_AES256_KEY_LEN);
}

static void seal_dmp1(const struct dm_secret *key, dm_view plain, struct dm_buf *out)
{
    unsigned char salt[SALT_LEN], nonce[DM_GCM_NONCE_LEN], derived[DM_AES256_KEY_LEN];
    dm_random_bytes(salt, sizeof salt);
    dm_random_bytes(nonce, sizeof nonce);
    dmp1_key(key, dm_view_make((const char *)salt, sizeof salt), derived);
    dm_buf_add(out, magic());
    dm_buf_add(out, dm_view_make((const char *)salt, sizeof salt));
    dm_buf_add(out, dm_view_make((const char *)nonce, sizeof nonce));
    dm_aes256_gcm_seal(derived, nonce, plain, out);
    dm_mem_wipe(derived, sizeof derived);
}

static void seal_fernet(const struct dm_secret *key, dm_view plain, dm_time wall,
                        struct dm_buf *out)
{
    struct dm_secret derived = {0};
    dm_fernet_key(dm_secret_view(key), &derived);
    dm_fernet_encrypt(&derived, plain, wall, out);
    dm_secret_done(&derived);
}

static void add_plain(const struct dm_json *data, dm_time wall, struct dm_buf *out)
{
    char created_at[DM_ISO_LEN + 1];
    dm_time_iso(wall, created_at);
    dm_buf_addf(out, "{\"version\":%d,\"created_at\":\"%s\",\"sanitized\":false,", VERSION,
                created_at);
    dm_buf_add(out, DM_LIT("\"note\":\"Doorman memory dump\",\"data\":"));
    dm_json_write(data, out);
    dm_buf_add_byte(out, '}');
}

static enum dm_code write_locked(const struct dm_dump_config *c, const struct dm_json *data,
                                 struct dm_buf *ret_file, struct dm_error *err)
{
    struct dm_buf plain, sealed;
    char stamp[DM_STAMP_LEN + 1];
    dm_time wall = dm_clock_wall(c->clock);
    enum dm_code rc = DM_OK;
    dm_buf_init(&plain, DUMP_CAP);
    dm_buf_init(&sealed, (size_t)2 * DUMP_CAP);
    dm_time_stamp(wall, stamp);
    dm_dump_name(c->path, stamp, ret_file);
    const char *file = dm_buf_cstr(ret_file);
    add_plain(data, wall, &plain);
    if (c->format == DM_DUMP_DMP1)
        seal_dmp1(c->key, dm_buf_view(&plain), &sealed);
    else
        seal_fernet(c->key, dm_buf_view(&plain), wall, &sealed);
    if (!dm_buf_ok(&plain) || !dm_buf_ok(&sealed) || file == NULL)
        rc = DM_FAIL(err, DM_LIMIT, ERR_NONE, "could not write dump: over %d bytes", DUMP_CAP);
    if (rc == DM_OK)
        rc = dm_dump_file_write(c->path, file, dm_buf_view(&sealed), err);
    if (rc == DM_OK)
        rc = dm_dump_prune(c->path, c->keep, err);
    wipe(&plain);
    dm_buf_done(&sealed);
    return rc;
}

enum dm_code dm_dump_write(const struct dm_dump_config *c, const struct dm_json *data,
                           struct dm_buf *ret_file, struct dm_error *err)
{
    (void)pthread_mutex_lock(&writing);
    enum dm_code rc = write_locked(c, data, ret_file, err);
    (void)pthread_mutex_unlock(&writing);
    return rc;
}

/* --- reading --- */

static enum dm_code open_dmp1(const struct dm_secret *key, dm_view bytes, struct dm_buf *out)
{
    unsigned char nonce[DM_GCM_NONCE_LEN], derived[DM_AES256_KEY_LEN];
    dm_view rest = dm_view_sub(bytes, magic().len, SIZE_MAX);
    if (rest.len < SALT_LEN + sizeof nonce)
        return DM_INVALID;
    dmp1_key(key, dm_view_sub(rest, 0, SALT_LEN), derived);
    memcpy(nonce, rest.ptr + SALT_LEN, sizeof nonce);
    enum dm_code rc = dm_aes256_gcm_open(derived, nonce,
                                         dm_view_sub(rest, SALT_LEN + sizeof nonce, SIZE_MAX), out);
    dm_mem_wipe(derived, sizeof derived);
    return rc;
}

static enum dm_code open_fernet(const struct dm_secret *key, dm_view token, struct dm_buf *out)
{
    struct dm_secret derived = {0};
    while (token.len > 0 && strchr(" \t\r\n", token.ptr[token.len - 1]) != NULL)
        token.len--; /* an editor's end of line */
    dm_fernet_key(dm_secret_view(key), &derived);
    enum dm_code rc = dm_fernet_decrypt(&derived, token, out);
    dm_secret_done(&derived);
    return rc;
}

static enum dm_code refuse(struct dm_error *err, dm_view file, const char *reason)
{
    return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not restore dump \"%.*s\": %s",
                   DM_FMT(dm_view_sub(file, 0, 120)), reason);
}

static enum dm_code open_sealed(const struct dm_dump_config *c, dm_view file, dm_view bytes,
                                struct dm_buf *plain, struct dm_error *err)
{
    enum dm_code rc;
    if (dm_view_starts(bytes, magic()))
        rc = open_dmp1(c->key, bytes, plain);
    else if (dm_view_starts(bytes, DM_LIT("gAAAA")))
        rc = open_fernet(c->key, bytes, plain);
    else
        return refuse(err, file, "neither a Fernet token nor DMP1");
    return rc == DM_OK ? DM_OK
                       : refuse(err, file,
                                "truncated, changed, or written with another MEM_ENCRYPTION_KEY");
}

/* {"__type__":"bytes","data":<base64>}, as the Python Doorman writes password hashes: here they are
 * text. */
static struct dm_json *bytes_as_text(const struct dm_json *j)
{
    const struct dm_json *type = dm_json_get(j, DM_LIT("__type__")),
                         *data = dm_json_get(j, DM_LIT("data"));
    struct dm_json *text = NULL;
    struct dm_buf decoded;
    if (dm_json_len(j) != 2 || !dm_view_eq(dm_json_str(type), DM_LIT("bytes")))
        return NULL;
    dm_buf_init(&decoded, DUMP_CAP);
    if (dm_json_is(data, DM_JSON_STRING) && dm_base64_decode(dm_json_str(data), &decoded)) {
        dm_view v = dm_buf_view(&decoded);
        if (dm_utf8_valid(v) && dm_view_find_byte(v, '\0', 0) == v.len)
            text = dm_json_new_str(v);
    }
    wipe(&decoded);
    return text;
}

/* A document as this store keeps it: top-level bytes as text, no _id of another database. */
static struct dm_json *document(const struct dm_json *j)
{
    struct dm_json *doc = dm_json_clone(j);
    (void)dm_json_remove(doc, DM_LIT("_id"));
    for (const struct dm_json *m = dm_json_first(j); m != NULL; m = dm_json_next(m)) {
        struct dm_json *text = dm_json_is(m, DM_JSON_OBJECT) ? bytes_as_text(m) : NULL;
        if (text != NULL)
            dm_json_set(doc, dm_json_name(m), text);
    }
    return doc;
}

static bool take_collection(struct dm_json *to, const struct dm_json *collection)
{
    if (!dm_json_is(collection, DM_JSON_ARRAY))
        return false;
    struct dm_json *documents = dm_json_new_array();
    dm_json_set(to, dm_json_name(collection), documents);
    for (const struct dm_json *j = dm_json_first(collection); j != NULL; j = dm_json_next(j)) {
        if (!dm_json_is(j, DM_JSON_OBJECT))
            return false;
        dm_json_push(documents, document(j));
    }
    return true;
}

static enum dm_code take_data(const struct dm_json *dump, dm_view file, struct dm_json **ret_data,
                              struct dm_buf *ret_created_at, struct dm_error *err)
{
    const struct dm_json *data = dm_json_get(dump, DM_LIT("data"));
    if (dm_json_i64(dm_json_get(dump, DM_LIT("version")), 0) != VERSION)
        return refuse(err, file, "its version is not 1");
    if (!dm_json_is(data, DM_JSON_OBJECT))
        return refuse(err, file, "it holds no data");
    DM_DEFER(dm_json_freep) struct dm_json *taken = dm_json_new_object();
    for (const struct dm_json *c = dm_json_first(data); c != NULL; c = dm_json_next(c)) {
        if (!take_collection(taken, c))
            return refuse(err, file, "a collection is no list of documents");
    }
    dm_buf_clear(ret_created_at);
    dm_buf_add(ret_created_at, dm_json_str(dm_json_get(dump, DM_LIT("created_at"))));
    *ret_data = DM_TAKE(taken);
    return DM_OK;
}

static enum dm_code read_plain(dm_view plain, dm_view file, struct dm_json **ret_data,
                               struct dm_buf *ret_created_at, struct dm_error *err)
{
    DM_DEFER(dm_json_freep) struct dm_json *dump = NULL;
    if (dm_json_parse(plain, &limits, &dump, NULL) != DM_OK)
        return refuse(err, file, "its content is no JSON");
    return take_data(dump, file, ret_data, ret_created_at, err);
}

static enum dm_code find_and_read(const struct dm_dump_config *c, struct dm_buf *ret_file,
                                  struct dm_buf *bytes, struct dm_error *err)
{
    dm_buf_clear(ret_file);
    dm_buf_add(ret_file, dm_view_of(c->path));
    enum dm_code rc = dm_dump_file_read(c->path, bytes, err);
    if (rc != DM_NOT_FOUND)
        return rc;
    rc = dm_dump_newest(c->path, ret_file, err);
    return rc == DM_OK ? dm_dump_file_read(dm_buf_cstr(ret_file), bytes, err) : rc;
}

enum dm_code dm_dump_restore(const struct dm_dump_config *c, struct dm_json **ret_data,
                             struct dm_buf *ret_file, struct dm_buf *ret_created_at,
                             struct dm_error *err)
{
    struct dm_buf bytes, plain;
    dm_buf_init(&bytes, (size_t)2 * DUMP_CAP);
    dm_buf_init(&plain, DUMP_CAP);
    enum dm_code rc = find_and_read(c, ret_file, &bytes, err);
    dm_view file = dm_buf_view(ret_file);
    if (rc == DM_OK)
        rc = open_sealed(c, file, dm_buf_view(&bytes), &plain, err);
    if (rc == DM_OK)
        rc = read_plain(dm_buf_view(&plain), file, ret_data, ret_created_at, err);
    wipe(&plain);
    dm_buf_done(&bytes);
    return rc;
}

/* "2024-01-15T10:30:00…" to its stamp; other writers add fractions and zones. */
static bool stamp_of(dm_view created_at, char stamp[DM_STAMP_LEN + 1])
{
    char iso[DM_ISO_LEN + 1];
    dm_time wall;
    if (created_at.len < DM_ISO_LEN - 1)
        return false;
    memcpy(iso, created_at.ptr, DM_ISO_LEN - 1);
    iso[DM_ISO_LEN - 1] = 'Z';
    iso[DM_ISO_LEN] = '\0';
    if (!dm_time_from_iso(dm_view_of(iso), &wall))
        return false;
    dm_time_stamp(wall, stamp);
    return true;
}

enum dm_code dm_dump_settle(const struct dm_dump_config *c, dm_view file, dm_view created_at,
                            struct dm_error *err)
{
    char stamp[DM_STAMP_LEN + 1];
    struct dm_buf name;
    if (!dm_view_eq(file, dm_view_of(c->path)))
        return DM_OK;
    if (!stamp_of(created_at, stamp))
        dm_time_stamp(dm_clock_wall(c->clock), stamp);
    dm_buf_init(&name, DM_DUMP_NAME_MAX);
    dm_dump_name(c->path, stamp, &name);
    const char *to = dm_buf_cstr(&name);
    enum dm_code rc =
        to == NULL ? DM_FAIL(err, DM_INVALID, ERR_NONE, "dump name over %d bytes", DM_DUMP_NAME_MAX)
                   : dm_dump_file_rename(c->path, to, err);
    dm_buf_done(&name);
    return rc;
}

#include "store/dump.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "codec/json_scan.h"
#include "codec/json_text.h"
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

/* As this store keeps it: top-level bytes as text, no _id of another database. */
static void adapt(struct dm_json *doc)
{
    (void)dm_json_remove(doc, DM_LIT("_id"));
    for (struct dm_json *m = dm_json_first(doc), *next; m != NULL; m = next) {
        struct dm_json *text = dm_json_is(m, DM_JSON_OBJECT) ? bytes_as_text(m) : NULL;
        next = dm_json_next(m);
        if (text != NULL)
            dm_json_set(doc, dm_json_name(m), text);
    }
}

/* --- walking the text, so that never more than one document is a tree --- */

enum piece { PIECE_END = 0, PIECE_COLLECTION, PIECE_DOCUMENT, PIECE_ODD };

/* The next piece of {collection: [document, …]}, once its first brace is read. *ret: a raw name, or
 * the text of a document. */
static enum piece next_piece(struct dm_json_scan *scan, dm_view text, dm_view *ret)
{
    dm_view raw;
    enum dm_json_token token = dm_json_scan_next(scan, ret);
    if (token == DM_JSON_TOKEN_ARRAY_END)
        token = dm_json_scan_next(scan, ret);
    if (token == DM_JSON_TOKEN_OBJECT_END)
        return PIECE_END;
    if (token == DM_JSON_TOKEN_NAME)
        return dm_json_scan_next(scan, &raw) == DM_JSON_TOKEN_ARRAY ? PIECE_COLLECTION : PIECE_ODD;
    if (token != DM_JSON_TOKEN_OBJECT)
        return PIECE_ODD;
    size_t from = dm_json_scan_offset(scan) - 1;
    if (dm_json_scan_skip(scan, token) == DM_JSON_TOKEN_FAULT)
        return PIECE_ODD;
    *ret = dm_view_sub(text, from, dm_json_scan_offset(scan) - from);
    return PIECE_DOCUMENT;
}

struct dm_dump {
    struct dm_buf file, plain, created_at, collection;
    int64_t version;
    dm_view data; /* NULL: none */
    struct dm_json_scan scan;
    bool scanning;
};

static void unescape(dm_view raw, struct dm_buf *out)
{
    dm_buf_clear(out);
    char *to = dm_buf_reserve(out, raw.len);
    if (to != NULL)
        dm_buf_commit(out, dm_json_unescape(raw, to));
}

/* Any value of the outermost object; false where it is no dump's. */
static bool take_member(struct dm_dump *d, struct dm_json_scan *scan, dm_view name)
{
    dm_view text = dm_buf_view(&d->plain), raw;
    bool is_data = dm_json_scan_name_is(scan, name, DM_LIT("data")),
         is_version = dm_json_scan_name_is(scan, name, DM_LIT("version")),
         is_time = dm_json_scan_name_is(scan, name, DM_LIT("created_at"));
    enum dm_json_token token = dm_json_scan_next(scan, &raw);
    if (token == DM_JSON_TOKEN_STRING && is_time)
        unescape(raw, &d->created_at);
    if (token == DM_JSON_TOKEN_NUMBER && is_version &&
        !dm_parse_i64(raw, INT64_MIN, INT64_MAX, &d->version))
        d->version = 0;
    if (token != DM_JSON_TOKEN_OBJECT || !is_data)
        return dm_json_scan_skip(scan, token) != DM_JSON_TOKEN_FAULT;
    size_t from = dm_json_scan_offset(scan) - 1;
    enum piece piece;
    do
        piece = next_piece(scan, text, &raw);
    while (piece == PIECE_COLLECTION || piece == PIECE_DOCUMENT);
    d->data = dm_view_sub(text, from, dm_json_scan_offset(scan) - from);
    return piece == PIECE_END;
}

/* The whole text, so that nothing is taken over of a dump that is spoilt at its end. */
static enum dm_code check_plain(struct dm_dump *d, struct dm_error *err)
{
    struct dm_json_scan scan;
    dm_view raw;
    bool odd = false;
    dm_json_scan_init(&scan, dm_buf_view(&d->plain), &limits);
    enum dm_json_token token = dm_json_scan_next(&scan, &raw);
    bool is_object = token == DM_JSON_TOKEN_OBJECT;
    while (is_object && !odd && (token = dm_json_scan_next(&scan, &raw)) == DM_JSON_TOKEN_NAME)
        odd = !take_member(d, &scan, raw);
    while (!odd && token != DM_JSON_TOKEN_END && token != DM_JSON_TOKEN_FAULT)
        token = dm_json_scan_next(&scan, &raw);
    bool is_json = dm_json_scan_fault(&scan, NULL) == DM_OK;
    dm_json_scan_done(&scan);
    dm_view file = dm_buf_view(&d->file);
    if (!is_json)
        return refuse(err, file, "its content is no JSON");
    if (odd)
        return refuse(err, file, "a collection is no list of documents");
    if (d->version != VERSION)
        return refuse(err, file, "its version is not 1");
    return d->data.ptr != NULL ? DM_OK : refuse(err, file, "it holds no data");
}

static void rewind_data(struct dm_dump *d)
{
    dm_view ignored;
    dm_json_scan_init(&d->scan, d->data, &limits);
    d->scanning = true;
    DM_ASSERT(dm_json_scan_next(&d->scan, &ignored) == DM_JSON_TOKEN_OBJECT);
}

bool dm_dump_next(void *dump, dm_view *ret_collection, struct dm_json **ret_doc)
{
    struct dm_dump *d = dump;
    dm_view raw;
    enum piece piece = next_piece(&d->scan, d->data, &raw);
    DM_ASSERT(piece != PIECE_ODD); /* all of it was looked at when it was opened */
    *ret_doc = NULL;
    if (piece == PIECE_END)
        return false;
    if (piece == PIECE_COLLECTION) {
        unescape(raw, &d->collection);
    } else {
        DM_ASSERT(dm_json_parse(raw, &limits, ret_doc, NULL) == DM_OK);
        adapt(*ret_doc);
    }
    *ret_collection = dm_buf_view(&d->collection);
    return true;
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

enum dm_code dm_dump_open(const struct dm_dump_config *c, struct dm_dump **ret,
                          struct dm_error *err)
{
    struct dm_dump *d = DM_NEW(struct dm_dump);
    struct dm_buf bytes;
    dm_buf_init(&bytes, (size_t)2 * DUMP_CAP);
    dm_buf_init(&d->file, DM_DUMP_NAME_MAX);
    dm_buf_init(&d->plain, DUMP_CAP);
    dm_buf_init(&d->created_at, DUMP_CAP);
    dm_buf_init(&d->collection, DUMP_CAP);
    enum dm_code rc = find_and_read(c, &d->file, &bytes, err);
    if (rc == DM_OK)
        rc = open_sealed(c, dm_buf_view(&d->file), dm_buf_view(&bytes), &d->plain, err);
    dm_buf_done(&bytes);
    if (rc == DM_OK)
        rc = check_plain(d, err);
    if (rc != DM_OK) {
        dm_dump_close(d);
        return rc;
    }
    rewind_data(d);
    *ret = d;
    return DM_OK;
}

dm_view dm_dump_file(const struct dm_dump *d)
{
    return dm_buf_view(&d->file);
}

dm_view dm_dump_created_at(const struct dm_dump *d)
{
    return dm_buf_view(&d->created_at);
}

void dm_dump_close(struct dm_dump *d)
{
    if (d == NULL)
        return;
    if (d->scanning)
        dm_json_scan_done(&d->scan);
    wipe(&d->plain);
    dm_buf_done(&d->file);
    dm_buf_done(&d->created_at);
    dm_buf_done(&d->collection);
    dm_mem_free(d);
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

enum dm_code dm_dump_settle(const struct dm_dump_config *c, const struct dm_dump *d,
                            struct dm_error *err)
{
    char stamp[DM_STAMP_LEN + 1];
    struct dm_buf name;
    if (!dm_view_eq(dm_dump_file(d), dm_view_of(c->path)))
        return DM_OK;
    if (!stamp_of(dm_dump_created_at(d), stamp))
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

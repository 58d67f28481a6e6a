#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/secret.h"
#include "codec/json.h"
#include "crypto/keyset_priv.h"

#include "base/poison.h"

enum {
    KEY_FILE_MAX = 64 * 1024, /* a PEM key of 8192 bits is 7 KB */
    KID_MAX = 128,            /* travels in every token */
    NAME_SHOWN = 64           /* of a key or member, in a fault */
};

static const struct dm_json_limits list_limits = {
    .max_bytes = 1u << 20, .max_depth = 4, .max_values = 16 * DM_KEYSET_MAX};

struct build {
    const struct dm_keyset_source *src;
    struct dm_keyset *ks;
    struct dm_buf *faults;
    char place[2 * NAME_SHOWN]; /* what the line of a fault begins with */
    bool failed;
};

/* One line per fault; never a secret, never the text of a key. */
__attribute__((format(printf, 2, 3))) static void fault(struct build *b, const char *fmt, ...)
{
    char reason[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    dm_buf_addf(b->faults, "%s: %s\n", b->place, reason);
    b->failed = true;
}

static void at_place(struct build *b, const char *place)
{
    (void)snprintf(b->place, sizeof(b->place), "%s", place);
}

/* ---- files ---- */

/* Gives the file's bytes in ret, or what is wrong. */
static const char *read_key_file(dm_view path, struct dm_secret *ret)
{
    char *cpath = dm_mem_text(path);
    int fd = open(cpath, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    dm_mem_free(cpath);
    if (fd < 0)
        return strerror(errno);
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > KEY_FILE_MAX) {
        close(fd);
        return "not a regular file of at most 64 KiB";
    }
    char *text = dm_mem_alloc(KEY_FILE_MAX);
    ssize_t len = read(fd, text, KEY_FILE_MAX);
    int error = errno;
    close(fd);
    if (len > 0)
        dm_secret_set(ret, dm_view_make(text, (size_t)len));
    dm_mem_wipe(text, KEY_FILE_MAX);
    dm_mem_free(text);
    return len > 0 ? NULL : len == 0 ? "empty file" : strerror(error);
}

/* ---- one entry of JWT_KEYS ---- */

enum member {
    KID = 0,
    ALGORITHM,
    ACTIVE,
    SECRET,
    KEY,
    PRIVATE,
    PRIVATE_PATH,
    PUBLIC,
    PUBLIC_PATH,
    MEMBERS_
};

static const char *const member_names[MEMBERS_] = {
    "kid",         "algorithm",        "active",     "secret",         "key",
    "private_key", "private_key_path", "public_key", "public_key_path"};

struct entry {
    dm_view text[MEMBERS_]; /* strings; empty when absent or null */
    bool active;
};

static enum member find_member(dm_view name)
{
    int i = 0;
    while (i < MEMBERS_ && !dm_view_eq(name, dm_view_of(member_names[i])))
        i++;
    return (enum member)i;
}

static void read_member(struct build *b, const struct dm_json *j, struct entry *e)
{
    enum member m = find_member(dm_json_name(j));
    if (m == MEMBERS_) {
        fault(b, "unknown member \"%.*s\"", DM_FMT(dm_utf8_cut(dm_json_name(j), NAME_SHOWN)));
        return;
    }
    if (dm_json_is(j, DM_JSON_NULL))
        return;
    if (m == ACTIVE) {
        if (!dm_json_is(j, DM_JSON_BOOL))
            fault(b, "active: true or false expected");
        e->active = dm_json_bool(j, true);
        return;
    }
    e->text[m] = dm_json_str(j);
    if (e->text[m].len == 0)
        fault(b, "%s: non-empty string expected", member_names[m]);
}

static bool name_entry(struct build *b, const struct entry *e)
{
    dm_view kid = e->text[KID];
    if (kid.len == 0 || kid.len > KID_MAX) {
        fault(b, "kid of 1 to %d bytes expected", KID_MAX);
        return false;
    }
    if (dm_keyset_find(b->ks, kid) != NULL) {
        fault(b, "kid \"%.*s\" is used twice", DM_FMT(dm_utf8_cut(kid, NAME_SHOWN)));
        return false;
    }
    return true;
}

/* Members that the algorithm has no use for hide a mistake. */
static void refuse_members(struct build *b, const struct entry *e, enum member from, enum member to)
{
    for (int m = from; m <= (int)to; m++) {
        if (e->text[m].len > 0)
            fault(b, "%s does not go with this algorithm", member_names[m]);
    }
}

/* The value of a member or of the file that its _path twin names. */
static void load_text(struct build *b, const struct entry *e, enum member m, struct dm_secret *ret)
{
    enum member path = (enum member)(m + 1);
    if (e->text[m].len > 0 && e->text[path].len > 0) {
        fault(b, "%s and %s exclude each other", member_names[m], member_names[path]);
    } else if (e->text[path].len > 0) {
        const char *wrong = read_key_file(e->text[path], ret);
        if (wrong != NULL)
            fault(b, "%s \"%.*s\": %s", member_names[path],
                  DM_FMT(dm_view_sub(e->text[path], 0, 256)), wrong);
    } else {
        dm_secret_set(ret, e->text[m]);
    }
}

static void load_secret(struct build *b, const struct entry *e, struct dm_key *k)
{
    refuse_members(b, e, PRIVATE, PUBLIC_PATH);
    dm_view secret = e->text[SECRET].len > 0 ? e->text[SECRET] : e->text[KEY];
    if (e->text[SECRET].len > 0 && e->text[KEY].len > 0)
        fault(b, "secret and key exclude each other");
    else if (secret.len == 0)
        fault(b, "secret expected");
    else
        dm_key_set_secret(k, secret);
}

static void load_pair(struct build *b, const struct entry *e, struct dm_key *k)
{
    struct dm_secret whole = {0}, half = {0};
    bool failed = b->failed;
    b->failed = false;
    refuse_members(b, e, SECRET, KEY);
    /* Refused before the file is opened: it must not even be there (O18, G31). */
    if (b->src->sidecar && (e->text[PRIVATE].len > 0 || e->text[PRIVATE_PATH].len > 0))
        fault(b, "a private key has no place in a gateway: give it the public key only");
    else
        load_text(b, e, PRIVATE, &whole);
    load_text(b, e, PUBLIC, &half);
    if (!b->failed) {
        const char *wrong = dm_secret_empty(&whole) && dm_secret_empty(&half)
                                ? "private_key or public_key expected"
                                : dm_key_set_pem(k, dm_secret_view(&whole), dm_secret_view(&half));
        if (wrong != NULL)
            fault(b, "%s", wrong);
    }
    b->failed |= failed;
    dm_secret_done(&whole);
    dm_secret_done(&half);
}

/* Room for one more key, or NULL with a fault. It counts at once, so a half-built one is freed. */
static struct dm_key *add_key(struct build *b, dm_view kid, enum dm_jwt_alg alg, bool active)
{
    if (b->ks->n == DM_KEYSET_MAX) {
        fault(b, "more than %d keys", DM_KEYSET_MAX);
        return NULL;
    }
    struct dm_key *k = &b->ks->keys[b->ks->n++];
    k->kid = dm_mem_text(kid);
    k->alg = alg;
    k->active = active;
    return k;
}

static void load_entry(struct build *b, const struct dm_json *j)
{
    struct entry e = {.active = true};
    if (!dm_json_is(j, DM_JSON_OBJECT)) {
        fault(b, "object expected");
        return;
    }
    for (struct dm_json *m = dm_json_first(j); m != NULL; m = dm_json_next(m))
        read_member(b, m, &e);
    dm_view name = e.text[ALGORITHM].len > 0 ? e.text[ALGORITHM] : DM_LIT("HS256");
    enum dm_jwt_alg alg = dm_jwt_alg_find(name);
    if (alg == DM_JWT_NONE)
        fault(b, "algorithm: HS256, HS384, HS512, RS256 or ES256 expected");
    bool named = name_entry(b, &e);
    struct dm_key *k = named && alg != DM_JWT_NONE ? add_key(b, e.text[KID], alg, e.active) : NULL;
    if (k == NULL)
        return;
    if (dm_jwt_alg_is_hmac(alg))
        load_secret(b, &e, k);
    else
        load_pair(b, &e, k);
}

/* A list, {"keys":[…]}, or one entry. */
static void load_list(struct build *b, const struct dm_json *root)
{
    const struct dm_json *wrapped = dm_json_get(root, DM_LIT("keys"));
    const struct dm_json *list = wrapped != NULL ? wrapped : root;
    if (wrapped == NULL && dm_json_is(root, DM_JSON_OBJECT)) {
        load_entry(b, root);
        return;
    }
    if (!dm_json_is(list, DM_JSON_ARRAY) || dm_json_first(list) == NULL) {
        fault(b, "list of keys expected");
        return;
    }
    unsigned n = 0;
    for (struct dm_json *e = dm_json_first(list); e != NULL; e = dm_json_next(e)) {
        (void)snprintf(b->place, sizeof(b->place), "JWT_KEYS, entry %u", ++n);
        load_entry(b, e);
    }
}

static void load_jwt_keys(struct build *b)
{
    DM_DEFER(dm_json_freep) struct dm_json *root = NULL;
    struct dm_error err;
    at_place(b, "JWT_KEYS");
    if (dm_json_parse(b->src->jwt_keys, &list_limits, &root, &err) != DM_OK)
        fault(b, "%s", err.text); /* names a place, never the text */
    else
        load_list(b, root);
    dm_json_wipe(root);
}

/* ---- the RSA pair and the single secret ---- */

static void load_rsa_pair(struct build *b)
{
    dm_view whole = b->src->private_pem, half = b->src->public_pem;
    at_place(b, "JWT_PRIVATE_KEY, JWT_PUBLIC_KEY");
    if (b->src->sidecar && whole.len > 0) {
        fault(b, "a private key has no place in a gateway: give it JWT_PUBLIC_KEY only");
        return;
    }
    if (!b->src->sidecar && (whole.len == 0 || half.len == 0)) { /* words of S002.6 */
        dm_buf_add(b->faults, DM_LIT("JWT_PRIVATE_KEY and JWT_PUBLIC_KEY environment variables "
                                     "are required\n"));
        b->failed = true;
        return;
    }
    struct dm_key *k = add_key(b, DM_LIT("rsa-pair"), DM_JWT_RS256, true);
    const char *wrong = k == NULL ? NULL : dm_key_set_pem(k, whole, half);
    if (wrong != NULL)
        fault(b, "%s", wrong);
}

enum dm_code dm_keyset_build(const struct dm_keyset_source *src, struct dm_keyset **ret,
                             struct dm_buf *faults)
{
    DM_REQUIRE(src != NULL && ret != NULL && faults != NULL);
    struct build b = {.src = src, .ks = DM_NEW(struct dm_keyset), .faults = faults};
    atomic_init(&b.ks->refs, 1);
    if (src->jwt_keys.len > 0)
        load_jwt_keys(&b);
    if (src->private_pem.len > 0 || src->public_pem.len > 0)
        load_rsa_pair(&b);
    if (src->jwt_keys.len == 0 && b.ks->n == 0 && src->secret.len > 0 && !b.failed) {
        /* Only where nothing better is given: whoever checks with it can mint with it. */
        struct dm_key *k = add_key(&b, DM_LIT("legacy-key"), DM_JWT_HS256, true);
        dm_key_set_secret(k, src->secret);
    }
    if (!b.failed && b.ks->n == 0) {
        at_place(&b, "JWT_SECRET_KEY");
        fault(&b, "no key to verify tokens with: set JWT_KEYS, the RSA pair or JWT_SECRET_KEY");
    }
    if (b.failed) {
        dm_keyset_unref(b.ks);
        return DM_INVALID;
    }
    *ret = b.ks;
    return DM_OK;
}

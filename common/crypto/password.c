#include "crypto/password.h"

#include <crypt.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/equal.h"
#include "crypto/random.h"

#include "base/poison.h"

/* O19: 19 MiB, t = 2, p = 1 (libsodium knows no other p). Two at once hold 38 MiB at most. */
enum { ARGON2_OPS = 2, ARGON2_MEM = 19 * 1024 * 1024, AT_ONCE = 2 };

/* What a stored hash may ask for. Ours ask for the above and bcrypt's cost is 12; a hash from
 * elsewhere must not hold a thread for minutes or the process' memory. */
enum { FOREIGN_OPS_MAX = 8, FOREIGN_MEM_KIB_MAX = 64 * 1024, BCRYPT_COST_MAX = 15 };

enum { BCRYPT_LEN = 60, ARGON2_MAX = crypto_pwhash_STRBYTES };

/* ---- at most two at once ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opens = PTHREAD_COND_INITIALIZER;
static int inside;

static void enter(void)
{
    pthread_mutex_lock(&gate);
    while (inside == AT_ONCE)
        pthread_cond_wait(&gate_opens, &gate);
    inside++;
    pthread_mutex_unlock(&gate);
}

static void leave(void)
{
    pthread_mutex_lock(&gate);
    inside--;
    pthread_cond_signal(&gate_opens);
    pthread_mutex_unlock(&gate);
}

/* ---- Argon2id ---- */

static void hash_argon2(dm_view password, char out[ARGON2_MAX])
{
    int failed = crypto_pwhash_str_alg(out, password.ptr == NULL ? "" : password.ptr, password.len,
                                       ARGON2_OPS, ARGON2_MEM, crypto_pwhash_ALG_ARGON2ID13);
    DM_ASSERT(failed == 0); /* fails only for lack of memory */
}

/* The number behind `key` ("m=") in the parameter part of a hash; 0 when it is none. */
static uint64_t parameter(dm_view hash, dm_view key)
{
    uint64_t n = 0;
    size_t at = dm_view_find(hash, key) + key.len;
    size_t end = at;
    while (end < hash.len && hash.ptr[end] >= '0' && hash.ptr[end] <= '9')
        end++;
    return dm_parse_u64(dm_view_sub(hash, at, end - at), UINT32_MAX, &n) ? n : 0;
}

static bool affordable(dm_view hash)
{
    uint64_t mem = parameter(hash, DM_LIT(",m=")) | parameter(hash, DM_LIT("$m="));
    uint64_t ops = parameter(hash, DM_LIT(",t="));
    return mem > 0 && mem <= FOREIGN_MEM_KIB_MAX && ops > 0 && ops <= FOREIGN_OPS_MAX;
}

static bool verify_argon2(dm_view password, dm_view hash, bool *ret_rehash)
{
    char text[ARGON2_MAX] = {0};
    if (hash.len >= sizeof(text) || !affordable(hash))
        return false;
    memcpy(text, hash.ptr, hash.len);
    *ret_rehash = crypto_pwhash_str_needs_rehash(text, ARGON2_OPS, ARGON2_MEM) != 0;
    const char *bytes = password.ptr == NULL ? "" : password.ptr;
    return crypto_pwhash_str_verify(text, bytes, password.len) == 0;
}

/* ---- bcrypt ---- */

static bool is_bcrypt(dm_view hash)
{
    return hash.len == BCRYPT_LEN &&
           (dm_view_starts(hash, DM_LIT("$2b$")) || dm_view_starts(hash, DM_LIT("$2a$")) ||
            dm_view_starts(hash, DM_LIT("$2y$")));
}

static bool verify_bcrypt(dm_view password, dm_view hash)
{
    uint64_t cost;
    if (!dm_parse_u64(dm_view_sub(hash, 4, 2), BCRYPT_COST_MAX, &cost) ||
        dm_view_find_byte(password, '\0', 0) != password.len || /* crypt would stop there */
        dm_view_find_byte(hash, '\0', 0) != hash.len)
        return false;
    char *key = dm_mem_text(password);
    char *setting = dm_mem_text(hash);
    struct crypt_data *work = dm_mem_alloc(sizeof(*work)); /* 32 KiB: not on a thread's stack */
    const char *made = crypt_r(key, setting, work);
    bool ok = made != NULL && dm_equal_secret(dm_view_of(made), hash);
    dm_mem_wipe(key, password.len);
    dm_mem_wipe(work, sizeof(*work));
    dm_mem_free(key);
    dm_mem_free(setting);
    dm_mem_free(work);
    return ok;
}

/* ---- the door ---- */

/* What an unknown user is compared with: a hash of random bytes, so that the work is the same. */
static char nobody[ARGON2_MAX];

static void start(void)
{
    unsigned char random[32];
    int failed = sodium_init();
    DM_ASSERT(failed >= 0);
    dm_random_bytes(random, sizeof(random));
    hash_argon2(dm_view_make((const char *)random, sizeof(random)), nobody);
}

static void start_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

enum dm_code dm_password_hash(dm_view password, struct dm_buf *out)
{
    char text[ARGON2_MAX];
    if (password.len > DM_PASSWORD_MAX)
        return DM_LIMIT;
    start_once();
    enter();
    hash_argon2(password, text);
    leave();
    dm_buf_add(out, dm_view_of(text));
    return dm_buf_ok(out) ? DM_OK : DM_LIMIT;
}

bool dm_password_verify(dm_view password, dm_view hash, bool *ret_rehash)
{
    bool ok, rehash = false;
    if (password.len > DM_PASSWORD_MAX)
        return false;
    start_once();
    enter();
    if (dm_view_starts(hash, DM_LIT("$argon2id$"))) {
        ok = verify_argon2(password, hash, &rehash);
    } else if (is_bcrypt(hash)) {
        ok = verify_bcrypt(password, hash);
        rehash = true;
    } else {
        (void)verify_argon2(password, dm_view_of(nobody), &rehash);
        ok = false;
    }
    leave();
    if (ret_rehash != NULL)
        *ret_rehash = ok && rehash;
    return ok;
}

/* Named rules of the `allowed` column of settings.def: what a text or one item of a list must look
 * like. */
#include "model/settings_load.h"

#include "base/assert.h"
#include "codec/base64.h"
#include "codec/uri.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/poison.h"

enum { KEY_BYTES = 32 };

static const char *check_address(dm_view v)
{
    struct dm_address a;
    return dm_address_parse(v, &a) ? NULL : "is not an IP address";
}

static bool stat_path(dm_view v, struct stat *ret, int access_mode)
{
    char *path = dm_mem_text(v);
    bool ok = stat(path, ret) == 0 && access(path, access_mode) == 0;
    dm_mem_free(path);
    return ok;
}

static const char *check_directory(dm_view v)
{
    struct stat st;
    return stat_path(v, &st, F_OK) && S_ISDIR(st.st_mode) ? NULL : "is not an existing directory";
}

static const char *check_readable(dm_view v)
{
    struct stat st;
    return stat_path(v, &st, R_OK) && S_ISREG(st.st_mode) ? NULL : "is not a readable file";
}

static const char *check_config(dm_view v)
{
    bool known = dm_view_ends(v, DM_LIT(".yaml")) || dm_view_ends(v, DM_LIT(".yml")) ||
                 dm_view_ends(v, DM_LIT(".json"));
    return known ? check_readable(v) : "has an unknown extension";
}

static const char *check_host(dm_view v)
{
    return dm_host_valid(v) ? NULL : "is not host or host:port";
}

static const char *check_domain(dm_view v)
{
    bool plain = dm_host_valid(v) && dm_view_find_byte(v, ':', 0) == v.len && v.ptr[0] != '[';
    return plain ? NULL : "is not a host name";
}

static const char *check_origin(dm_view v)
{
    if (dm_view_eq(v, DM_LIT("*")))
        return NULL;
    size_t colon = dm_view_find(v, DM_LIT("://"));
    if (colon == 0 || colon == v.len || !isalpha((unsigned char)v.ptr[0]))
        return "is not an origin";
    for (size_t i = 0; i < colon; i++) {
        if (!isalnum((unsigned char)v.ptr[i]) && strchr("+-.", v.ptr[i]) == NULL)
            return "is not an origin";
    }
    return dm_host_valid(dm_view_sub(v, colon + 3, v.len)) ? NULL : "is not an origin";
}

static const char *check_token(dm_view v) /* RFC 9110 §5.6.2 */
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];
        if (!isalnum(c) && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return "is not a token";
    }
    return NULL;
}

static const char *check_header(dm_view v)
{
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.ptr[i];
        if (c < 0x20 || c > 0x7e)
            return "holds a byte outside visible ASCII";
    }
    return NULL;
}

static const char *check_path_pattern(dm_view v)
{
    size_t star = dm_view_find_byte(v, '*', 0);
    return v.ptr[0] == '/' && star + 1 >= v.len ? NULL : "is not a path";
}

static const char *check_email(dm_view v)
{
    size_t at = dm_view_find_byte(v, '@', 0);
    bool good = at > 0 && at + 1 < v.len && dm_view_find_byte(v, '@', at + 1) == v.len &&
                dm_view_find_byte(v, ' ', 0) == v.len;
    return good ? NULL : "is not an e-mail address";
}

static bool is_pem(dm_view v)
{
    return dm_view_starts(dm_view_trim(v), DM_LIT("-----BEGIN ")) &&
           dm_view_find(v, DM_LIT("-----END ")) < v.len;
}

static const char *check_pem(dm_view v)
{
    return is_pem(v) ? NULL : "is not PEM";
}

static bool base64_of_key(dm_view v)
{
    struct dm_buf raw;
    dm_buf_init(&raw, 2 * KEY_BYTES);
    bool good = dm_base64_decode(v, &raw) && dm_buf_ok(&raw) && dm_buf_view(&raw).len == KEY_BYTES;
    dm_buf_clear(&raw);
    good = good ||
           (dm_base64url_decode(v, &raw) && dm_buf_ok(&raw) && dm_buf_view(&raw).len == KEY_BYTES);
    dm_settings_wipe(&raw);
    return good;
}

static const char *check_key32(dm_view v)
{
    bool hex = v.len == (size_t)2 * KEY_BYTES;
    for (size_t i = 0; hex && i < v.len; i++)
        hex = isxdigit((unsigned char)v.ptr[i]) != 0;
    return hex || base64_of_key(v) ? NULL : "is not a key of 32 bytes";
}

static const char *check_ed25519(dm_view v)
{
    dm_view piece;
    while (dm_view_split(&v, ',', &piece)) {
        piece = dm_view_trim(piece);
        if (piece.len > 0 && !is_pem(piece) && !base64_of_key(piece))
            return "is not an Ed25519 key";
    }
    return NULL;
}

static const struct {
    const char *name;
    const char *(*check)(dm_view v);
    const char *expected;
} rules[] = {
    {"address", check_address, "an IPv4 or IPv6 address"},
    {"directory", check_directory, "an existing directory"},
    {"readable", check_readable, "a readable file"},
    {"config", check_config, "a readable file ending in .yaml, .yml or .json"},
    {"hosts", check_host, "host or host:port, comma-separated"},
    {"domain", check_domain, "a host name without scheme or port"},
    {"origins", check_origin, "scheme://host[:port] or *, comma-separated"},
    {"tokens", check_token, "names or *, comma-separated"},
    {"token", check_token, "a token (RFC 9110)"},
    {"header", check_header, "visible ASCII"},
    {"paths", check_path_pattern, "paths from /, trailing * allowed, comma-separated"},
    {"email", check_email, "an e-mail address"},
    {"pem", check_pem, "a PEM text"},
    {"key32", check_key32, "32 bytes in hex or base64"},
    {"ed25519", check_ed25519, "an Ed25519 key: PEM, or base64 of 32 bytes"},
};

const char *dm_setting_rule_check(const char *rule, dm_view item)
{
    if (rule[0] == '\0' || item.len == 0)
        return NULL;
    for (size_t i = 0; i < DM_COUNT_OF(rules); i++) {
        if (strcmp(rules[i].name, rule) == 0)
            return rules[i].check(item);
    }
    DM_UNREACHABLE();
}

const char *dm_setting_rule_expected(const char *rule)
{
    for (size_t i = 0; i < DM_COUNT_OF(rules); i++) {
        if (strcmp(rules[i].name, rule) == 0)
            return rules[i].expected;
    }
    return NULL;
}

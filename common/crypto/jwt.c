#include "crypto/jwt.h"

#include <string.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "codec/json_scan.h"
#include "codec/json_text.h"
#include "crypto/jwt_priv.h"
#include "crypto/key.h"

#include "base/poison.h"

enum { HEADER_MAX = 512 }; /* alg, kid and typ take 60 bytes; ours is the only form that matters */

static const struct dm_json_limits header_limits = {
    .max_bytes = HEADER_MAX, .max_depth = 4, .max_values = 32};

const char *dm_jwt_fault_name(enum dm_jwt_fault f)
{
    static const char *const names[] = {[DM_JWT_OK] = "ok",
                                        [DM_JWT_MALFORMED] = "malformed",
                                        [DM_JWT_UNKNOWN_KEY] = "unknown_key",
                                        [DM_JWT_BAD_ALG] = "bad_alg",
                                        [DM_JWT_BAD_SIGNATURE] = "bad_signature",
                                        [DM_JWT_EXPIRED] = "expired",
                                        [DM_JWT_NOT_YET] = "not_yet",
                                        [DM_JWT_BAD_CLAIMS] = "bad_claims",
                                        [DM_JWT_WRONG_USE] = "wrong_use",
                                        [DM_JWT_NO_ROOM] = "no_room"};
    DM_REQUIRE((size_t)f < DM_COUNT_OF(names));
    return names[f];
}

struct header {
    char text[HEADER_MAX]; /* decoded; alg and kid point into it */
    dm_view alg, kid;
    bool crit;
};

/* A string value, unescaped where it stands. */
static bool take_string(struct dm_json_scan *s, enum dm_json_token token, dm_view raw, dm_view *ret)
{
    if (token != DM_JSON_TOKEN_STRING)
        return false;
    if (dm_json_scan_escaped(s)) {
        char *place = (char *)(uintptr_t)raw.ptr; /* the header's own text */
        raw.len = dm_json_unescape(raw, place);
    }
    *ret = raw;
    return true;
}

static bool read_member(struct dm_json_scan *s, dm_view name, struct header *h)
{
    dm_view raw = DM_VIEW_NONE;
    bool alg = dm_json_scan_name_is(s, name, DM_LIT("alg"));
    bool kid = dm_json_scan_name_is(s, name, DM_LIT("kid"));
    h->crit |= dm_json_scan_name_is(s, name, DM_LIT("crit"));
    enum dm_json_token token = dm_json_scan_next(s, &raw);
    if (alg && !take_string(s, token, raw, &h->alg))
        return false;
    if (kid && (!take_string(s, token, raw, &h->kid) || h->kid.len == 0))
        return false; /* an empty one must not mean "none" */
    return dm_json_scan_skip(s, token) != DM_JSON_TOKEN_FAULT;
}

static bool read_header(dm_view encoded, struct header *h)
{
    struct dm_json_scan scan;
    dm_view raw;
    size_t len;
    if (!dm_base64url_decode_to(encoded, (unsigned char *)h->text, sizeof(h->text), &len))
        return false;
    h->alg = h->kid = DM_VIEW_NONE;
    h->crit = false;
    dm_json_scan_init(&scan, dm_view_make(h->text, len), &header_limits);
    bool ok = dm_json_scan_next(&scan, &raw) == DM_JSON_TOKEN_OBJECT;
    enum dm_json_token token = DM_JSON_TOKEN_FAULT;
    while (ok && (token = dm_json_scan_next(&scan, &raw)) == DM_JSON_TOKEN_NAME)
        ok = read_member(&scan, raw, h);
    ok = ok && token == DM_JSON_TOKEN_OBJECT_END &&
         dm_json_scan_next(&scan, &raw) == DM_JSON_TOKEN_END;
    dm_json_scan_done(&scan);
    return ok;
}

/* RFC 7515 §7.1: three parts, no padding. */
static bool split_token(dm_view token, dm_view *ret_header, struct dm_jwt_parts *ret)
{
    size_t dot1 = dm_view_find_byte(token, '.', 0);
    size_t dot2 = dm_view_find_byte(token, '.', dot1 + 1);
    if (token.len > DM_JWT_MAX || dot1 == token.len || dot2 >= token.len ||
        dm_view_find_byte(token, '.', dot2 + 1) != token.len ||
        dm_view_find_byte(token, '=', 0) != token.len)
        return false;
    *ret_header = dm_view_sub(token, 0, dot1);
    ret->signed_text = dm_view_sub(token, 0, dot2);
    ret->payload = dm_view_sub(token, dot1 + 1, dot2 - dot1 - 1);
    ret->signature = dm_view_sub(token, dot2 + 1, SIZE_MAX);
    return ret->signature.len > 0;
}

enum dm_jwt_fault dm_jwt_open(const struct dm_keyset *ks, dm_view token, struct dm_jwt_parts *ret)
{
    struct header h;
    dm_view encoded;
    if (!split_token(token, &encoded, ret) || !read_header(encoded, &h))
        return DM_JWT_MALFORMED;
    if (h.crit) /* RFC 7515 §4.1.11: names extensions that must be understood; we know none */
        return DM_JWT_MALFORMED;
    ret->key = dm_keyset_find(ks, h.kid);
    if (ret->key == NULL)
        return DM_JWT_UNKNOWN_KEY;
    /* The key decides. A header that says otherwise ("none", HS256 over a public key) attacks. */
    return dm_view_eq(h.alg, dm_jwt_alg_name(dm_key_alg(ret->key))) ? DM_JWT_OK : DM_JWT_BAD_ALG;
}

enum dm_jwt_fault dm_jwt_check_signature(const struct dm_jwt_parts *parts,
                                         struct dm_jwt_signature *ret)
{
    if (!dm_base64url_decode_to(parts->signature, ret->bytes, sizeof(ret->bytes), &ret->len))
        return DM_JWT_MALFORMED;
    dm_view raw = dm_view_make((const char *)ret->bytes, ret->len);
    return dm_key_verify(parts->key, parts->signed_text, raw) ? DM_JWT_OK : DM_JWT_BAD_SIGNATURE;
}

enum dm_jwt_fault dm_jwt_verify(const struct dm_keyset *ks, dm_view token, enum dm_jwt_use use,
                                dm_time wall, struct dm_arena *arena, struct dm_jwt_claims *ret)
{
    struct dm_jwt_parts parts;
    struct dm_jwt_signature signature;
    struct dm_jwt_claims claims;
    DM_REQUIRE(ks != NULL && arena != NULL && ret != NULL);
    enum dm_jwt_fault f = dm_jwt_open(ks, token, &parts);
    if (f == DM_JWT_OK)
        f = dm_jwt_check_signature(&parts, &signature);
    if (f == DM_JWT_OK)
        f = dm_jwt_read_claims(parts.payload, arena, &claims);
    if (f == DM_JWT_OK)
        f = dm_jwt_judge(&claims, use, wall);
    if (f == DM_JWT_OK)
        *ret = claims;
    return f;
}

enum dm_code dm_jwt_sign(const struct dm_key *k, dm_view payload_json, struct dm_buf *out)
{
    struct dm_buf part;
    size_t from = dm_buf_view(out).len;
    DM_REQUIRE(k != NULL && payload_json.len > 0 && payload_json.ptr[0] == '{');
    dm_buf_init(&part, DM_JWT_MAX);
    dm_buf_add(&part, DM_LIT("{\"alg\":"));
    dm_json_write_str(dm_jwt_alg_name(dm_key_alg(k)), &part);
    dm_buf_add(&part, DM_LIT(",\"kid\":"));
    dm_json_write_str(dm_key_id(k), &part);
    dm_buf_add(&part, DM_LIT(",\"typ\":\"JWT\"}"));
    dm_base64url_encode(dm_buf_view(&part), false, out);
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(payload_json, false, out);
    dm_buf_clear(&part);
    enum dm_code code = dm_key_sign(k, dm_view_sub(dm_buf_view(out), from, SIZE_MAX), &part);
    if (code == DM_OK) {
        dm_buf_add_byte(out, '.');
        dm_base64url_encode(dm_buf_view(&part), false, out);
        bool fits = dm_buf_ok(out) && dm_buf_view(out).len - from <= DM_JWT_MAX;
        code = fits ? DM_OK : DM_LIMIT;
    }
    dm_buf_done(&part);
    return code;
}

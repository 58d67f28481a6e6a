#include <string.h>

#include "codec/base64.h"
#include "codec/json_scan.h"
#include "codec/json_text.h"
#include "crypto/jwt_priv.h"

#include "base/poison.h"

/* `accesses` holds a dozen booleans one level down; foreign claims may add some. */
static const struct dm_json_limits payload_limits = {
    .max_bytes = DM_JWT_MAX, .max_depth = 16, .max_values = 1024};

enum claim { SUB = 0, JTI, ROLE, TOKEN_USE, EXP, IAT, NBF, AUD, CLAIMS_ };

static const dm_view claim_names[CLAIMS_] = {
    [SUB] = {"sub", 3}, [JTI] = {"jti", 3}, [ROLE] = {"role", 4}, [TOKEN_USE] = {"token_use", 9},
    [EXP] = {"exp", 3}, [IAT] = {"iat", 3}, [NBF] = {"nbf", 3},   [AUD] = {"aud", 3}};

struct value {
    enum dm_json_token token; /* END: absent */
    dm_view raw;
    bool escaped;
};

static enum claim find_claim(const struct dm_json_scan *s, dm_view raw_name)
{
    int i = 0;
    while (i < CLAIMS_ && !dm_json_scan_name_is(s, raw_name, claim_names[i]))
        i++;
    return (enum claim)i;
}

/* Whole, correct and without duplicate members, or nothing is read. */
static bool scan_payload(dm_view text, struct value values[CLAIMS_])
{
    struct dm_json_scan scan;
    dm_view raw;
    dm_json_scan_init(&scan, text, &payload_limits);
    bool ok = dm_json_scan_next(&scan, &raw) == DM_JSON_TOKEN_OBJECT;
    enum dm_json_token token = DM_JSON_TOKEN_FAULT;
    while (ok && (token = dm_json_scan_next(&scan, &raw)) == DM_JSON_TOKEN_NAME) {
        enum claim c = find_claim(&scan, raw);
        struct value v = {.raw = DM_VIEW_NONE};
        v.token = dm_json_scan_next(&scan, &v.raw);
        v.escaped = dm_json_scan_escaped(&scan);
        if (c != CLAIMS_)
            values[c] = v;
        ok = dm_json_scan_skip(&scan, v.token) != DM_JSON_TOKEN_FAULT;
    }
    ok = ok && token == DM_JSON_TOKEN_OBJECT_END &&
         dm_json_scan_next(&scan, &raw) == DM_JSON_TOKEN_END;
    dm_json_scan_done(&scan);
    return ok;
}

/* Seconds as an integer: exp rounds down, the others up, so a fraction never helps the bearer. */
static bool seconds(const struct value *v, bool up, int64_t *ret)
{
    static const double FAR = 0x1p62; /* beyond any date; keeps the conversion defined */
    double real;
    if (v->token != DM_JSON_TOKEN_NUMBER)
        return false;
    if (dm_parse_i64(v->raw, INT64_MIN, INT64_MAX, ret))
        return true;
    if (!dm_parse_f64(v->raw, &real))
        return false;
    real = real > FAR ? FAR : real < -FAR ? -FAR : real;
    int64_t whole = (int64_t)real; /* towards zero */
    if (up && (double)whole < real)
        whole++;
    if (!up && (double)whole > real)
        whole--;
    *ret = whole;
    return true;
}

static bool optional_seconds(const struct value *v, int64_t *ret)
{
    *ret = 0;
    return v->token == DM_JSON_TOKEN_END || seconds(v, true, ret);
}

/* Unescapes where it stands: the payload's copy in the arena is ours. */
static dm_view text_of(const struct value *v)
{
    if (v->token != DM_JSON_TOKEN_STRING)
        return DM_VIEW_NONE;
    if (!v->escaped)
        return v->raw;
    char *place = (char *)(uintptr_t)v->raw.ptr;
    return dm_view_make(place, dm_json_unescape(v->raw, place));
}

enum dm_jwt_fault dm_jwt_read_claims(dm_view payload, struct dm_arena *arena,
                                     struct dm_jwt_claims *ret)
{
    struct value v[CLAIMS_] = {{.token = DM_JSON_TOKEN_END}};
    size_t size = payload.len / 4 * 3 + 3, len;
    unsigned char *text = dm_arena_alloc(arena, size);
    if (text == NULL)
        return DM_JWT_NO_ROOM;
    if (!dm_base64url_decode_to(payload, text, size, &len) ||
        !scan_payload(dm_view_make((const char *)text, len), v))
        return DM_JWT_MALFORMED;
    if (!seconds(&v[EXP], false, &ret->exp) || !optional_seconds(&v[NBF], &ret->nbf) ||
        !optional_seconds(&v[IAT], &ret->iat))
        return DM_JWT_BAD_CLAIMS;
    if (v[TOKEN_USE].token != DM_JSON_TOKEN_END && v[TOKEN_USE].token != DM_JSON_TOKEN_STRING)
        return DM_JWT_BAD_CLAIMS;
    ret->sub = text_of(&v[SUB]);
    ret->jti = text_of(&v[JTI]);
    ret->role = text_of(&v[ROLE]);
    ret->token_use = text_of(&v[TOKEN_USE]);
    ret->has_aud = v[AUD].token != DM_JSON_TOKEN_END;
    return DM_JWT_OK;
}

/* Ours say "access" or "refresh", the Python Doorman's nothing. Any other use is not ours. */
static bool use_fits(dm_view token_use, enum dm_jwt_use use)
{
    switch (use) {
    case DM_JWT_ACCESS:
        return token_use.len == 0 || dm_view_eq(token_use, DM_LIT("access"));
    case DM_JWT_REFRESH:
        return dm_view_eq(token_use, DM_LIT("refresh"));
    case DM_JWT_ANY:
        return true;
    }
    return false;
}

/* gateway.md §8.3, rows 4 and 5. No leeway; valid while now <= exp (platform-access.md §5.2). */
enum dm_jwt_fault dm_jwt_judge(const struct dm_jwt_claims *claims, enum dm_jwt_use use,
                               dm_time wall)
{
    int64_t now = wall / DM_SEC;
    if (now > claims->exp)
        return DM_JWT_EXPIRED;
    if (now < claims->nbf || now < claims->iat)
        return DM_JWT_NOT_YET;
    if (!use_fits(claims->token_use, use))
        return DM_JWT_WRONG_USE;
    if (claims->has_aud || claims->sub.len == 0 || claims->jti.len == 0)
        return DM_JWT_BAD_CLAIMS;
    return DM_JWT_OK;
}

#include "store/policy_envelope.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "codec/deflate.h"

#include "base/poison.h"

enum {
    HEAD = 4 + 1 + 1 + 8 + 8 + 2 + 2 + 4,
    FLAG_DELETED = 1,
    FLAG_FORGET = 2,
    ENTRY_HEAD = 1 + 2 + 8 + 1 + DM_SHA256_LEN,
    UNPACKED_HEAD = 4 /* length of the list, before the packed bytes */
};

/* Signed before everything else: a signature of ours for any other purpose is none for policy. */
static dm_view domain(void)
{
    return DM_LIT("doorman-policy-v1\n");
}

static void put(struct dm_buf *b, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0)
        dm_buf_add_byte(b, (char)(unsigned char)(number >> (8 * bytes)));
}

static uint64_t take(const char **at, unsigned bytes)
{
    uint64_t number = 0;
    while (bytes-- > 0)
        number = number << 8 | (unsigned char)*(*at)++;
    return number;
}

/* --- keys --- */

static void key_text(struct dm_live_key *k, const char *prefix, uint64_t generation)
{
    int len = snprintf(k->bytes, sizeof k->bytes, "%s%llu", prefix, (unsigned long long)generation);
    DM_ASSERT(len > 0 && (size_t)len < sizeof k->bytes);
    k->len = (size_t)len;
}

void dm_policy_key_current(struct dm_live_key *k)
{
    dm_view name = DM_LIT("doorman:policy:current");
    memcpy(k->bytes, name.ptr, name.len);
    k->len = name.len;
}

void dm_policy_key_delta(struct dm_live_key *k, uint64_t generation)
{
    key_text(k, "doorman:policy:delta:", generation);
}

void dm_policy_key_manifest(struct dm_live_key *k, uint64_t generation)
{
    key_text(k, "doorman:policy:snap:", generation);
}

void dm_policy_key(struct dm_live_key *k, const struct dm_policy_value *v)
{
    switch (v->form) {
    case DM_POLICY_OBJECT:
        dm_live_key_object(k, v->kind, v->id);
        return;
    case DM_POLICY_DELTA:
        dm_policy_key_delta(k, v->generation);
        return;
    case DM_POLICY_MANIFEST:
        dm_policy_key_manifest(k, v->generation);
        return;
    case DM_POLICY_CURRENT:
        dm_policy_key_current(k);
        return;
    }
    DM_UNREACHABLE();
}

/* --- building --- */

static void text_to_sign(dm_view key, dm_view part, struct dm_buf *ret)
{
    dm_buf_init(ret, domain().len + key.len + 1 + part.len);
    dm_buf_add(ret, domain());
    dm_buf_add(ret, key);
    dm_buf_add_byte(ret, '\n');
    dm_buf_add(ret, part);
    DM_ASSERT(dm_buf_ok(ret));
}

static void sign(const struct dm_policy_value *v, dm_view part,
                 const struct dm_ed25519_signer *signer, struct dm_buf *out)
{
    struct dm_live_key key;
    struct dm_buf text;
    unsigned char signature[DM_ED25519_LEN];
    dm_policy_key(&key, v);
    text_to_sign(dm_live_key_view(&key), part, &text);
    dm_ed25519_sign(signer, dm_buf_view(&text), signature);
    dm_buf_done(&text);
    dm_buf_add(out, dm_view_make((const char *)signature, sizeof signature));
}

void dm_policy_build(const struct dm_policy_value *v, const struct dm_ed25519_signer *signer,
                     struct dm_buf *out)
{
    DM_REQUIRE(v->kind.len <= DM_LIVE_KIND_MAX && v->id.len <= DM_LIVE_ID_MAX &&
               v->payload.len <= DM_POLICY_VALUE_MAX);
    size_t start = dm_buf_view(out).len;
    dm_buf_add(out, DM_LIT("DPE1"));
    put(out, v->form, 1);
    put(out, (v->deleted ? FLAG_DELETED : 0u) | (v->forget ? FLAG_FORGET : 0u), 1);
    put(out, v->generation, 8);
    put(out, v->version, 8);
    put(out, v->kind.len, 2);
    put(out, v->id.len, 2);
    put(out, v->payload.len, 4);
    dm_buf_add(out, v->kind);
    dm_buf_add(out, v->id);
    dm_buf_add(out, v->payload);
    if (signer != NULL && dm_buf_ok(out))
        sign(v, dm_view_sub(dm_buf_view(out), start, SIZE_MAX), signer, out);
}

/* --- reading --- */

/* What each form may say, so that one meaning has one form. */
static bool sensible(const struct dm_policy_value *v)
{
    bool object = v->form == DM_POLICY_OBJECT;
    if (v->generation == 0 || v->version == 0 || v->version > v->generation)
        return false;
    if (object != (v->kind.len > 0) || object != (v->id.len > 0))
        return false;
    if (object && v->version != v->generation)
        return false;
    if (v->deleted && (!object || v->payload.len > 0))
        return false;
    if (object && v->payload.len > DM_POLICY_OBJECT_MAX)
        return false;
    return !v->forget || v->form == DM_POLICY_DELTA;
}

bool dm_policy_read(dm_view bytes, struct dm_policy_value *ret)
{
    const char *at = bytes.ptr;
    struct dm_policy_value v = {0};
    if (bytes.len < HEAD || bytes.len > DM_POLICY_VALUE_MAX || memcmp(at, "DPE1", 4) != 0)
        return false;
    at += 4;
    uint64_t form = take(&at, 1), flags = take(&at, 1);
    if (form > DM_POLICY_CURRENT || (flags & ~(uint64_t)(FLAG_DELETED | FLAG_FORGET)) != 0)
        return false;
    v.form = (enum dm_policy_form)form;
    v.deleted = (flags & FLAG_DELETED) != 0;
    v.forget = (flags & FLAG_FORGET) != 0;
    v.generation = take(&at, 8);
    v.version = take(&at, 8);
    v.kind.len = take(&at, 2);
    v.id.len = take(&at, 2);
    v.payload.len = take(&at, 4);
    size_t body = HEAD + v.kind.len + v.id.len + v.payload.len; /* below 2^33: no overflow */
    if (v.kind.len > DM_LIVE_KIND_MAX || v.id.len > DM_LIVE_ID_MAX || body > bytes.len ||
        (bytes.len != body && bytes.len != body + DM_ED25519_LEN))
        return false;
    v.kind.ptr = at;
    v.id.ptr = at + v.kind.len;
    v.payload.ptr = v.id.ptr + v.id.len;
    v.signed_part = dm_view_sub(bytes, 0, body);
    v.signature = dm_view_sub(bytes, body, SIZE_MAX);
    if (!sensible(&v))
        return false;
    *ret = v;
    return true;
}

bool dm_policy_named(const struct dm_policy_value *v, dm_view key)
{
    struct dm_live_key own;
    dm_policy_key(&own, v);
    return dm_view_eq(dm_live_key_view(&own), key);
}

bool dm_policy_signed(const struct dm_policy_value *v, dm_view key,
                      const struct dm_ed25519_verifier *verifier)
{
    struct dm_buf text;
    if (verifier == NULL)
        return true;
    text_to_sign(key, v->signed_part, &text);
    bool good = dm_ed25519_verify(verifier, dm_buf_view(&text), v->signature);
    dm_buf_done(&text);
    return good;
}

enum dm_policy_verdict dm_policy_open(dm_view bytes, enum dm_policy_form form, dm_view key,
                                      const struct dm_ed25519_verifier *verifier,
                                      struct dm_policy_value *ret)
{
    struct dm_policy_value v;
    if (!dm_policy_read(bytes, &v))
        return DM_POLICY_MALFORMED;
    if (v.form != form || !dm_policy_named(&v, key))
        return DM_POLICY_NAME;
    if (!dm_policy_signed(&v, key, verifier))
        return DM_POLICY_SIGNATURE;
    *ret = v;
    return DM_POLICY_GOOD;
}

const char *dm_policy_verdict_name(enum dm_policy_verdict v)
{
    static const char *const names[DM_POLICY_VERDICTS_] = {
        [DM_POLICY_GOOD] = "good",       [DM_POLICY_MALFORMED] = "malformed",
        [DM_POLICY_NAME] = "name",       [DM_POLICY_SIGNATURE] = "signature",
        [DM_POLICY_HASH] = "hash",       [DM_POLICY_ROLLBACK] = "rollback",
        [DM_POLICY_MISSING] = "missing",
    };
    return names[v];
}

/* --- lists --- */

void dm_policy_entry_add(struct dm_buf *list, const struct dm_policy_entry *e)
{
    DM_REQUIRE(e->kind.len > 0 && e->kind.len <= DM_LIVE_KIND_MAX && e->id.len > 0 &&
               e->id.len <= DM_LIVE_ID_MAX);
    put(list, e->kind.len, 1);
    put(list, e->id.len, 2);
    put(list, e->version, 8);
    put(list, e->deleted, 1);
    dm_buf_add(list, dm_view_make((const char *)e->sha256, DM_SHA256_LEN));
    dm_buf_add(list, e->kind);
    dm_buf_add(list, e->id);
}

bool dm_policy_entry_next(dm_view *rest, struct dm_policy_entry *ret)
{
    const char *at = rest->ptr;
    struct dm_policy_entry e;
    if (rest->len < ENTRY_HEAD)
        return false;
    e.kind.len = take(&at, 1);
    e.id.len = take(&at, 2);
    e.version = take(&at, 8);
    uint64_t deleted = take(&at, 1);
    memcpy(e.sha256, at, DM_SHA256_LEN);
    e.kind.ptr = at + DM_SHA256_LEN;
    e.id.ptr = e.kind.ptr + e.kind.len;
    e.deleted = deleted == 1;
    size_t len = ENTRY_HEAD + e.kind.len + e.id.len;
    if (deleted > 1 || e.kind.len == 0 || e.kind.len > DM_LIVE_KIND_MAX || e.id.len == 0 ||
        e.id.len > DM_LIVE_ID_MAX || e.version == 0 || len > rest->len)
        return false;
    *rest = dm_view_sub(*rest, len, SIZE_MAX);
    *ret = e;
    return true;
}

void dm_policy_list_pack(dm_view list, struct dm_buf *out)
{
    DM_REQUIRE(list.len <= DM_POLICY_LIST_MAX);
    put(out, list.len, UNPACKED_HEAD);
    dm_deflate(list, out);
}

bool dm_policy_list_unpack(dm_view payload, struct dm_buf *ret_list)
{
    const char *at = payload.ptr;
    if (payload.len < UNPACKED_HEAD)
        return false;
    uint64_t len = take(&at, UNPACKED_HEAD);
    if (len > DM_POLICY_LIST_MAX)
        return false;
    dm_buf_init(ret_list, len);
    return dm_inflate(dm_view_sub(payload, UNPACKED_HEAD, SIZE_MAX), len, ret_list);
}

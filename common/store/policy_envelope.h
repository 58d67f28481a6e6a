/* Policy as it stands in Redis and in the last good copy (gateway.md §29.4): every object, delta,
 * manifest and `current` is one value with an Ed25519 signature over all of it and the name of its
 * Redis key, so that it can be neither forged nor moved. Pure: builds and reads bytes. Strict: one
 * form for one meaning, nothing left over, every length bounded. Any thread.
 *
 *   "DPE1" form flags u64 generation u64 version u16 kind u16 id u32 payload | kind id payload
 *   signature (64 bytes, or none where nothing is signed)          numbers: big-endian
 *
 * An object's version is the generation in which it was published. */
#pragma once

#include "crypto/digest.h"
#include "crypto/ed25519.h"
#include "store/live_keys.h"

enum dm_policy_form {
    DM_POLICY_OBJECT = 0, /* kind and id; payload: the projection; deleted: none */
    DM_POLICY_DELTA,      /* payload: entries that changed; forget: all read on demand is old */
    DM_POLICY_MANIFEST,   /* payload: all entries of the snapshot, compressed */
    DM_POLICY_CURRENT     /* version: the generation of the newest manifest */
};

enum {
    DM_POLICY_OBJECT_MAX = 4 * 1024 * 1024, /* a projection of an API is a few KB; schemas more */
    DM_POLICY_ENTRIES_MAX = 1000 * 1000,    /* of one manifest or delta */
    DM_POLICY_LIST_MAX = 256 * 1024 * 1024, /* that many entries with short names, not packed */
    DM_POLICY_VALUE_MAX = 64 * 1024 * 1024  /* any value in Redis; manifests are packed */
};

struct dm_policy_value {
    enum dm_policy_form form;
    bool deleted, forget;
    uint64_t generation, version;
    dm_view kind, id, payload; /* read: views into the value */
    dm_view signed_part, signature;
};

/* The key a value of this form, kind, id and generation stands under. */
void dm_policy_key(struct dm_live_key *k, const struct dm_policy_value *v);
void dm_policy_key_current(struct dm_live_key *k);                    /* doorman:policy:current */
void dm_policy_key_delta(struct dm_live_key *k, uint64_t generation); /* ...:delta:<gen> */
void dm_policy_key_manifest(struct dm_live_key *k, uint64_t generation); /* ...:snap:<gen> */

/* Appends; signer NULL: unsigned. Past the cap of `out`: marked there. */
void dm_policy_build(const struct dm_policy_value *v, const struct dm_ed25519_signer *signer,
                     struct dm_buf *out);

/* Why a value is refused; closed set, labels of doorman_policy_rejected_total. */
enum dm_policy_verdict {
    DM_POLICY_GOOD = 0,
    DM_POLICY_MALFORMED, /* not of this form */
    DM_POLICY_NAME,      /* an object under another's name, a generation under another's key */
    DM_POLICY_SIGNATURE, /* none, or of no key that is known */
    DM_POLICY_HASH,      /* not what manifest or delta promise */
    DM_POLICY_ROLLBACK,  /* older than what is in force or was seen */
    DM_POLICY_MISSING,   /* promised, but not there */
    DM_POLICY_VERDICTS_
};
const char *dm_policy_verdict_name(enum dm_policy_verdict v);

/* Form only; signatures are checked apart, since most objects are told by their hash. */
bool dm_policy_read(dm_view bytes, struct dm_policy_value *ret);
/* Whether it stands under its own key. */
bool dm_policy_named(const struct dm_policy_value *v, dm_view key);
/* verifier NULL: nothing is signed here, everything is good. */
bool dm_policy_signed(const struct dm_policy_value *v, dm_view key,
                      const struct dm_ed25519_verifier *verifier);
/* All three: a value of that form under that key, signed. */
enum dm_policy_verdict dm_policy_open(dm_view bytes, enum dm_policy_form form, dm_view key,
                                      const struct dm_ed25519_verifier *verifier,
                                      struct dm_policy_value *ret);

/* --- lists of objects: payloads of deltas and manifests --- */
struct dm_policy_entry {
    dm_view kind, id;
    uint64_t version;
    bool deleted;
    unsigned char sha256[DM_SHA256_LEN]; /* of the payload; zeros: deleted */
};
void dm_policy_entry_add(struct dm_buf *list, const struct dm_policy_entry *e);
/* Cuts one off the front; false: the end (rest empty) or not of this form (rest not empty). Ids
 * and kinds are within their bounds, never empty. */
bool dm_policy_entry_next(dm_view *rest, struct dm_policy_entry *ret);
/* A manifest's payload. */
void dm_policy_list_pack(dm_view list, struct dm_buf *out);
bool dm_policy_list_unpack(dm_view payload, struct dm_buf *ret_list);

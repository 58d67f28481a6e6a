/* Ed25519 signatures (RFC 8032) over whole texts, for policy (operations.md §8.13.6). Keys are read
 * once and kept as OpenSSL objects; signing and checking are then safe for any thread. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum { DM_ED25519_LEN = 64, DM_ED25519_SEED = 32, DM_ED25519_KEYS_MAX = 16 };

/* A private key: PEM (PKCS #8) or base64 of its 32 bytes. */
struct dm_ed25519_signer;
enum dm_code dm_ed25519_signer_new(dm_view key, struct dm_ed25519_signer **ret,
                                   struct dm_error *err) DM_MUST_USE;
void dm_ed25519_sign(const struct dm_ed25519_signer *s, dm_view text,
                     unsigned char ret[DM_ED25519_LEN]);
void dm_ed25519_signer_free(struct dm_ed25519_signer *s);

/* Public keys, comma-separated: PEM of a public key or of a certificate, or base64 of 32 bytes. At
 * most DM_ED25519_KEYS_MAX, at least one. */
struct dm_ed25519_verifier;
enum dm_code dm_ed25519_verifier_new(dm_view keys, struct dm_ed25519_verifier **ret,
                                     struct dm_error *err) DM_MUST_USE;
/* True when one of the keys made the signature. */
bool dm_ed25519_verify(const struct dm_ed25519_verifier *v, dm_view text, dm_view signature);
void dm_ed25519_verifier_free(struct dm_ed25519_verifier *v);

/* The public half, base64 of 32 bytes: what a verifier takes. */
void dm_ed25519_public(const struct dm_ed25519_signer *s, struct dm_buf *out);
/* The private half that both programs derive from a shared JWT_SECRET_KEY when no policy keys are
 * set (configuration.md §2.13), base64. */
void dm_ed25519_derive(dm_view jwt_secret, struct dm_buf *out);

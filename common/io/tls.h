/* TLS beneath a stream, by OpenSSL: TLS 1.2 or newer, the peer's certificate checked against CAs
 * and the name that was dialled. For io/stream.c; others make a context and hand it to
 * dm_stream_start_tls. A context is immutable and may be shared by streams of one thread or of
 * many; a session belongs to its stream. Making a context reads files: at start, not on a busy
 * loop. */
#pragma once

#include "base/error.h"

struct dm_tls;
struct dm_tls_config {
    dm_view ca_file;             /* trusted CAs, PEM; empty: those of the system */
    dm_view cert_file, key_file; /* of our own, both or none; PEM, chain allowed */
};
/* For dialling. DM_INVALID: a file cannot be used, named in err. */
enum dm_code dm_tls_client_new(const struct dm_tls_config *c, struct dm_tls **ret,
                               struct dm_error *err) DM_MUST_USE;
void dm_tls_free(struct dm_tls *t); /* streams that use it may live on */

/* --- for io/stream.c --- */
enum dm_tls_want { DM_TLS_WANT_READ = 0, DM_TLS_WANT_WRITE };
struct dm_tls_session;
/* name: host name (also told to the server, SNI) or address. NULL: it is neither. */
struct dm_tls_session *dm_tls_session_new(struct dm_tls *t, int fd, dm_view name);
void dm_tls_session_free(struct dm_tls_session *s); /* says goodbye where that is possible */
/* DM_AGAIN: *ret_want says which event to wait for. DM_UNAVAILABLE: cut, or DM_DENIED: the
 * certificate was not accepted. A read gives DM_EOF only when the peer said goodbye. */
enum dm_code dm_tls_handshake(struct dm_tls_session *s, enum dm_tls_want *ret_want) DM_MUST_USE;
enum dm_code dm_tls_read(struct dm_tls_session *s, void *buf, size_t size, size_t *ret_len,
                         enum dm_tls_want *ret_want) DM_MUST_USE;
enum dm_code dm_tls_write(struct dm_tls_session *s, const void *bytes, size_t len, size_t *ret_len,
                          enum dm_tls_want *ret_want) DM_MUST_USE;
/* Why the handshake or the last call failed: for logs, valid until the session is freed. */
const char *dm_tls_session_error(const struct dm_tls_session *s);

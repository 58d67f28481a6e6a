#include "io/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "model/address.h"

#include "base/poison.h"

enum { NAME_MAX_LEN = 253, ERROR_TEXT = 160, PATH_TEXT = 4096 };

struct dm_tls {
    SSL_CTX *ctx;
};
struct dm_tls_session {
    SSL *ssl;
    int fd;
    bool open; /* the handshake is done and nothing has failed since */
    char error[ERROR_TEXT];
};

/* --- bytes between OpenSSL and the socket: as its own socket BIO, but a peer that went away gives
 * an error here, not a signal to the process --- */

static struct dm_tls_session *session_of(BIO *b)
{
    return BIO_get_data(b);
}

static int bio_write(BIO *b, const char *bytes, int len)
{
    BIO_clear_retry_flags(b);
    ssize_t n = send(session_of(b)->fd, bytes, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(b);
    return (int)n;
}

static int bio_read(BIO *b, char *buf, int size)
{
    BIO_clear_retry_flags(b);
    ssize_t n = recv(session_of(b)->fd, buf, (size_t)size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(b);
    if (n == 0)
        BIO_set_flags(b, BIO_FLAGS_IN_EOF);
    return (int)n;
}

static long bio_ctrl(BIO *b, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    DM_REQUIRE(method != NULL);
    DM_REQUIRE(BIO_meth_set_write(method, bio_write) == 1 &&
               BIO_meth_set_read(method, bio_read) == 1 &&
               BIO_meth_set_ctrl(method, bio_ctrl) == 1);
}

/* --- contexts --- */

static enum dm_code refuse(struct dm_error *err, const char *what, dm_view file)
{
    char why[ERROR_TEXT] = "no reason given";
    unsigned long code = ERR_peek_error();
    if (code != 0)
        ERR_error_string_n(code, why, sizeof why);
    ERR_clear_error();
    return DM_FAIL(err, DM_INVALID, ERR_INTERNAL, "could not use %s \"%.*s\": %s", what,
                   DM_FMT(file), why);
}

static bool path_of(dm_view file, char path[PATH_TEXT])
{
    if (file.len == 0 || file.len >= PATH_TEXT || dm_view_find_byte(file, '\0', 0) < file.len)
        return false;
    memcpy(path, file.ptr, file.len);
    path[file.len] = '\0';
    return true;
}

static enum dm_code load_ca(SSL_CTX *ctx, dm_view file, struct dm_error *err)
{
    char path[PATH_TEXT];
    if (file.len == 0)
        return SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? DM_OK
                   : refuse(err, "the CAs of the system", DM_VIEW_NONE);
    bool ok = path_of(file, path) && SSL_CTX_load_verify_locations(ctx, path, NULL) == 1;
    return ok ? DM_OK : refuse(err, "the CA file", file);
}

static enum dm_code load_own(SSL_CTX *ctx, const struct dm_tls_config *c, struct dm_error *err)
{
    char path[PATH_TEXT];
    if (c->cert_file.len == 0 && c->key_file.len == 0)
        return DM_OK;
    if (!path_of(c->cert_file, path) || SSL_CTX_use_certificate_chain_file(ctx, path) != 1)
        return refuse(err, "the certificate", c->cert_file);
    if (!path_of(c->key_file, path) ||
        SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return refuse(err, "the key of the certificate", c->key_file);
    return DM_OK;
}

enum dm_code dm_tls_client_new(const struct dm_tls_config *c, struct dm_tls **ret,
                               struct dm_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    DM_REQUIRE(ctx != NULL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    /* What a socket takes of a record is taken; the rest is offered again from wherever it lies. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    enum dm_code rc = load_ca(ctx, c->ca_file, err);
    if (rc == DM_OK)
        rc = load_own(ctx, c, err);
    if (rc != DM_OK) {
        SSL_CTX_free(ctx);
        return rc;
    }
    *ret = DM_NEW(struct dm_tls);
    (*ret)->ctx = ctx;
    return DM_OK;
}

void dm_tls_free(struct dm_tls *t)
{
    if (t == NULL)
        return;
    SSL_CTX_free(t->ctx); /* sessions hold a count of their own */
    dm_mem_free(t);
}

/* --- sessions --- */

static bool expect_name(SSL *ssl, dm_view host)
{
    char name[NAME_MAX_LEN + 1];
    struct dm_address address;
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = dm_view_sub(host, 1, host.len - 2);
    if (host.len == 0 || host.len > NAME_MAX_LEN || dm_view_find_byte(host, '\0', 0) < host.len)
        return false;
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';
    if (dm_address_parse(host, &address)) /* RFC 6066 §3: no address is named to the server */
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

struct dm_tls_session *dm_tls_session_new(struct dm_tls *t, int fd, dm_view name)
{
    SSL *ssl = SSL_new(t->ctx);
    BIO *bio = BIO_new(method);
    DM_REQUIRE(ssl != NULL && bio != NULL);
    struct dm_tls_session *s = DM_NEW(struct dm_tls_session);
    *s = (struct dm_tls_session){.ssl = ssl, .fd = fd};
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_connect_state(ssl);
    if (expect_name(ssl, name))
        return s;
    dm_tls_session_free(s);
    return NULL;
}

void dm_tls_session_free(struct dm_tls_session *s)
{
    if (s == NULL)
        return;
    ERR_clear_error();
    if (s->open)
        (void)SSL_shutdown(s->ssl); /* one attempt; nobody waits for the answer */
    SSL_free(s->ssl);
    ERR_clear_error();
    dm_mem_free(s);
}

static void note_error(struct dm_tls_session *s)
{
    long verified = SSL_get_verify_result(s->ssl);
    unsigned long code = ERR_peek_error();
    s->open = false;
    if (verified != X509_V_OK)
        (void)snprintf(s->error, sizeof s->error, "certificate refused: %s",
                       X509_verify_cert_error_string(verified));
    else if (code != 0)
        ERR_error_string_n(code, s->error, sizeof s->error);
    else
        (void)snprintf(s->error, sizeof s->error, "the connection was cut");
    ERR_clear_error();
}

static enum dm_code judge(struct dm_tls_session *s, int rc, enum dm_tls_want *ret_want)
{
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_NONE:
        return DM_OK;
    case SSL_ERROR_WANT_READ:
        *ret_want = DM_TLS_WANT_READ;
        return DM_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        *ret_want = DM_TLS_WANT_WRITE;
        return DM_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return DM_EOF;
    default:
        note_error(s);
        return SSL_get_verify_result(s->ssl) == X509_V_OK ? DM_UNAVAILABLE : DM_DENIED;
    }
}

enum dm_code dm_tls_handshake(struct dm_tls_session *s, enum dm_tls_want *ret_want)
{
    ERR_clear_error(); /* what others left in this thread's queue must not be taken for ours */
    enum dm_code rc = judge(s, SSL_do_handshake(s->ssl), ret_want);
    if (rc == DM_OK)
        s->open = true;
    return rc == DM_EOF ? DM_UNAVAILABLE : rc;
}

enum dm_code dm_tls_read(struct dm_tls_session *s, void *buf, size_t size, size_t *ret_len,
                         enum dm_tls_want *ret_want)
{
    ERR_clear_error();
    return judge(s, SSL_read_ex(s->ssl, buf, size, ret_len), ret_want);
}

enum dm_code dm_tls_write(struct dm_tls_session *s, const void *bytes, size_t len, size_t *ret_len,
                          enum dm_tls_want *ret_want)
{
    ERR_clear_error();
    enum dm_code rc = judge(s, SSL_write_ex(s->ssl, bytes, len, ret_len), ret_want);
    return rc == DM_EOF ? DM_UNAVAILABLE : rc;
}

const char *dm_tls_session_error(const struct dm_tls_session *s)
{
    return s->error;
}

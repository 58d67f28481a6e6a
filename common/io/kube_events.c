#include "io/kube_events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/secret.h"
#include "codec/json.h"
#include "io/http_client.h"
#include "io/tls.h"

#include "base/poison.h"

enum {
    PATH_TEXT = 1024,      /* the account's folder and the name of a file in it */
    TOKEN_MAX = 16 * 1024, /* a service account's is about 1 KB */
    LABEL_MAX = 63,        /* RFC 1123, as names of namespaces */
    NAME_MAX_LEN = 253,    /* RFC 1123 subdomain, as names of pods; also a host */
    UID_MAX = 64,          /* a UUID has 36 */
    HEAD_MAX = TOKEN_MAX + 2048,
    BODY_MAX = 16 * 1024, /* the message escaped to six times its size, and all the rest */
    /* Of an answer that refuses: its one sentence is less than 1 KB. */
    ANSWER_MAX = 4096,
    ANSWER_HEAD_MAX = 16 * 1024
};

/* Nobody waits for an Event; the bound is on how long one may be in the way of the next. */
static const struct dm_http_timeouts timeouts = {.connect = 3 * DM_SEC,
                                                 .read = 5 * DM_SEC,
                                                 .write = 5 * DM_SEC,
                                                 .pool = 1 * DM_SEC,
                                                 .total = 5 * DM_SEC};

struct dm_kube_events {
    struct dm_http_client *client;
    char *account, *host, *pod, *uid, *program;
    uint16_t port;
    struct dm_metric *sent, *failed;
    size_t shard;
    struct dm_kube_event *now, *next; /* owned */
    struct dm_http_call *call;        /* of now */
    int status;
    struct dm_buf answer;
};

struct dm_kube_event {
    struct dm_error failure; /* kind DM_OK: none */
    struct dm_secret head;   /* holds the token */
    struct dm_buf body;
    struct dm_tls *tls;
};

/* --- what stands in the account's folder --- */

static const char *read_some(const char *path, char *bytes, size_t size, size_t *ret_len)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t n = -1;
    int error = errno;

    *ret_len = 0;
    if (fd < 0)
        return strerror(error);
    do {
        n = read(fd, bytes + *ret_len, size - *ret_len);
        error = errno;
        *ret_len += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && *ret_len < size) || (n < 0 && error == EINTR));
    close(fd);
    return n < 0 ? strerror(error) : *ret_len == size ? "too long" : NULL;
}

static void path_of(const struct dm_kube_events *k, const char *file, char path[PATH_TEXT])
{
    (void)snprintf(path, PATH_TEXT, "%s/%s", k->account, file);
}

/* One line of a file, without what ends it. The caller wipes what must not stay. */
static enum dm_code read_line(const struct dm_kube_events *k, const char *file, char *bytes,
                              size_t size, dm_view *ret, struct dm_error *err)
{
    char path[PATH_TEXT];
    size_t len;

    path_of(k, file, path);
    const char *why = read_some(path, bytes, size, &len);
    if (why != NULL)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_INTERNAL, "could not read \"%s\": %s", path, why);
    while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
        len--;
    *ret = dm_view_make(bytes, len);
    return DM_OK;
}

/* --- texts that stand in a head: nothing in them may end a line or a path --- */

static bool made_of(dm_view v, const char *more, size_t max)
{
    for (size_t i = 0; i < v.len; i++) {
        const char c = v.ptr[i];
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!plain && (c == '\0' || strchr(more, c) == NULL))
            return false;
    }
    return v.len > 0 && v.len <= max;
}

static enum dm_code read_namespace(const struct dm_kube_events *k, char name[LABEL_MAX + 3],
                                   dm_view *ret, struct dm_error *err)
{
    const enum dm_code rc = read_line(k, "namespace", name, LABEL_MAX + 3, ret, err);

    if (rc != DM_OK || made_of(*ret, "-", LABEL_MAX))
        return rc;
    return DM_FAIL(err, DM_UNAVAILABLE, ERR_INTERNAL,
                   "could not use the service account's namespace: no such name");
}

/* RFC 6750 §2.1: what a bearer token is made of. */
static enum dm_code write_head(const struct dm_kube_events *k, dm_view space,
                               struct dm_secret *ret_head, struct dm_error *err)
{
    const bool v6 = strchr(k->host, ':') != NULL;
    char *token = dm_mem_alloc(TOKEN_MAX), *head = dm_mem_alloc(HEAD_MAX);
    dm_view bearer;
    enum dm_code rc = read_line(k, "token", token, TOKEN_MAX, &bearer, err);

    if (rc == DM_OK && !made_of(bearer, "-._~+/=", TOKEN_MAX))
        rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_INTERNAL,
                     "could not use the service account's token: it is none");
    if (rc == DM_OK) {
        const int len = snprintf(head, HEAD_MAX,
                                 "POST /api/v1/namespaces/%.*s/events HTTP/1.1\r\n"
                                 "Host: %s%s%s:%u\r\n"
                                 "User-Agent: %s\r\n"
                                 "Accept: application/json\r\n"
                                 "Content-Type: application/json\r\n"
                                 "Authorization: Bearer %.*s\r\n"
                                 "Connection: close\r\n",
                                 DM_FMT(space), v6 ? "[" : "", k->host, v6 ? "]" : "",
                                 (unsigned)k->port, k->program, DM_FMT(bearer));

        DM_ASSERT(len > 0 && len < HEAD_MAX);
        dm_secret_set(ret_head, dm_view_make(head, (size_t)len));
    }
    dm_mem_wipe(token, TOKEN_MAX);
    dm_mem_wipe(head, HEAD_MAX);
    dm_mem_free(token);
    dm_mem_free(head);
    return rc;
}

/* --- an Event --- */

/* Never inside a code point. */
static dm_view cut(dm_view text)
{
    size_t len = text.len < DM_KUBE_MESSAGE_MAX ? text.len : DM_KUBE_MESSAGE_MAX;

    while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    return dm_view_sub(text, 0, len);
}

static void set(struct dm_json *o, dm_view name, const char *value)
{
    if (value[0] != '\0')
        dm_json_set_str(o, name, dm_view_of(value));
}

static void write_body(const struct dm_kube_events *k, dm_view space, const char *reason,
                       dm_view message, dm_time wall, struct dm_buf *out)
{
    struct dm_json *o = dm_json_new_object(), *meta = dm_json_new_object();
    struct dm_json *about = dm_json_new_object(), *source = dm_json_new_object();
    char time[DM_ISO_LEN + 1], prefix[NAME_MAX_LEN + 2];

    dm_time_iso(wall, time);
    (void)snprintf(prefix, sizeof prefix, "%s.", k->pod);
    dm_json_set_str(o, DM_LIT("apiVersion"), DM_LIT("v1"));
    dm_json_set_str(o, DM_LIT("kind"), DM_LIT("Event"));
    dm_json_set_str(meta, DM_LIT("generateName"), dm_view_of(prefix));
    dm_json_set_str(meta, DM_LIT("namespace"), space);
    dm_json_set(o, DM_LIT("metadata"), meta);
    dm_json_set_str(about, DM_LIT("apiVersion"), DM_LIT("v1"));
    dm_json_set_str(about, DM_LIT("kind"), DM_LIT("Pod"));
    dm_json_set_str(about, DM_LIT("namespace"), space);
    set(about, DM_LIT("name"), k->pod);
    set(about, DM_LIT("uid"), k->uid);
    dm_json_set(o, DM_LIT("involvedObject"), about);
    set(o, DM_LIT("reason"), reason);
    dm_json_set_str(o, DM_LIT("message"), cut(message));
    dm_json_set_str(o, DM_LIT("type"), DM_LIT("Warning"));
    set(source, DM_LIT("component"), k->program);
    dm_json_set(o, DM_LIT("source"), source);
    set(o, DM_LIT("reportingComponent"), k->program);
    set(o, DM_LIT("reportingInstance"), k->pod);
    dm_json_set_str(o, DM_LIT("firstTimestamp"), dm_view_make(time, DM_ISO_LEN));
    dm_json_set_str(o, DM_LIT("lastTimestamp"), dm_view_make(time, DM_ISO_LEN));
    dm_json_set_i64(o, DM_LIT("count"), 1);
    dm_json_write(o, out);
    DM_ASSERT(dm_buf_ok(out));
    dm_json_free(o);
}

struct dm_kube_event *dm_kube_event_new(const struct dm_kube_events *k, const char *reason,
                                        dm_view message, dm_time wall)
{
    struct dm_kube_event *e = DM_NEW(struct dm_kube_event);
    char name[LABEL_MAX + 3], ca[PATH_TEXT];
    dm_view space;

    dm_buf_init(&e->body, BODY_MAX);
    path_of(k, "ca.crt", ca);
    const struct dm_tls_config tls = {.ca_file = dm_view_of(ca)};
    if (read_namespace(k, name, &space, &e->failure) != DM_OK ||
        write_head(k, space, &e->head, &e->failure) != DM_OK ||
        dm_tls_client_new(&tls, &e->tls, &e->failure) != DM_OK)
        return e;
    write_body(k, space, reason, message, wall, &e->body);
    return e;
}

void dm_kube_event_free(struct dm_kube_event *e)
{
    if (e == NULL)
        return;
    dm_secret_done(&e->head);
    dm_buf_done(&e->body);
    dm_tls_free(e->tls);
    dm_mem_free(e);
}

dm_view dm_kube_event_body(const struct dm_kube_event *e)
{
    return dm_buf_view(&e->body);
}

/* --- the call --- */

static void begin(struct dm_kube_events *k);

static void tell_failure(struct dm_kube_events *k, const char *why)
{
    dm_metric_add(k->failed, k->shard, 1);
    DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "a Kubernetes Event could not be sent",
           DM_FC("reason", why));
}

/* With the sentence of its Status (meta/v1), where there is one. */
static void tell_refusal(struct dm_kube_events *k)
{
    struct dm_json *status = NULL;
    dm_view said = DM_VIEW_NONE;
    char why[DM_LOG_VALUE_MAX];

    if (dm_json_parse(dm_buf_view(&k->answer), &dm_json_default, &status, NULL) == DM_OK)
        said = dm_json_str(dm_json_get(status, DM_LIT("message")));
    (void)snprintf(why, sizeof why, "the API server answered %d: %.*s", k->status, DM_FMT(said));
    tell_failure(k, why);
    dm_json_free(status);
}

static void finish(struct dm_kube_events *k)
{
    dm_http_cancel(DM_TAKE(k->call)); /* nothing where it has ended */
    dm_buf_clear(&k->answer);
    dm_kube_event_free(DM_TAKE(k->now));
    k->now = DM_TAKE(k->next);
    if (k->now != NULL)
        begin(k);
}

static void on_head(struct dm_http_call *c, void *ctx, const struct dm_http_answer_head *h)
{
    struct dm_kube_events *k = ctx;

    (void)c;
    k->status = h->status;
    if (h->status / 100 != 2)
        return;
    dm_metric_add(k->sent, k->shard, 1);
    finish(k);
}

static size_t on_body(struct dm_http_call *c, void *ctx, dm_view bytes)
{
    struct dm_kube_events *k = ctx;

    (void)c;
    dm_buf_add(&k->answer, bytes);
    if (dm_buf_ok(&k->answer))
        return bytes.len;
    dm_buf_clear(&k->answer);
    tell_refusal(k);
    finish(k);
    return 0;
}

static void on_end(struct dm_http_call *c, void *ctx, const struct dm_http_end_info *info)
{
    struct dm_kube_events *k = ctx;

    (void)c;
    k->call = NULL;
    if (info->end == DM_HTTP_COMPLETE)
        tell_refusal(k);
    else
        tell_failure(k, info->why);
    finish(k);
}

static void begin(struct dm_kube_events *k)
{
    static const struct dm_http_handler handler = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    const struct dm_kube_event *e = k->now;
    const struct dm_http_ask ask = {.server = {.key = DM_LIT("kubernetes"),
                                               .host = dm_view_of(k->host),
                                               .port = k->port,
                                               .tls = e->tls},
                                    .timeouts = timeouts,
                                    .head = dm_secret_view(&e->head),
                                    .body_length = (int64_t)dm_buf_view(&e->body).len,
                                    .body = dm_buf_view(&e->body),
                                    .no_reuse = true};

    k->status = 0;
    k->call = dm_http_ask(k->client, &ask, &handler, k);
}

void dm_kube_events_send(struct dm_kube_events *k, struct dm_kube_event *e)
{
    if (e->failure.kind != DM_OK) {
        tell_failure(k, e->failure.text);
        dm_kube_event_free(e);
    } else if (k->now == NULL) {
        k->now = e;
        begin(k);
    } else {
        if (k->next != NULL)
            tell_failure(k, "a newer one took its place in the queue");
        dm_kube_event_free(k->next);
        k->next = e;
    }
}

/* --- life --- */

static void metrics_init(struct dm_kube_events *k, struct dm_metrics *m)
{
    static const char name[] = "doorman_kube_events_total", help[] = "Kubernetes Events by result";

    k->sent = dm_metric_get(m, DM_COUNTER, name, "result=\"sent\"", help, NULL, 0);
    k->failed = dm_metric_get(m, DM_COUNTER, name, "result=\"failed\"", help, NULL, 0);
}

static enum dm_code check(const struct dm_kube_config *c, uint64_t *ret_port, struct dm_error *err)
{
    if (!made_of(c->host, ".:-", NAME_MAX_LEN) || !dm_parse_u64(c->port, UINT16_MAX, ret_port) ||
        *ret_port == 0)
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_INTERNAL,
                       "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no API server");
    if (!made_of(c->pod, ".-", NAME_MAX_LEN) || (c->uid.len > 0 && !made_of(c->uid, "-", UID_MAX)))
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_INTERNAL, "POD_NAME and POD_UID name no pod");
    return DM_OK;
}

/* One that is never sent shows whether all is there. */
static enum dm_code try(const struct dm_kube_events *k, struct dm_error *err)
{
    struct dm_kube_event *e = dm_kube_event_new(k, "Try", DM_VIEW_NONE, 0);
    const enum dm_code rc = e->failure.kind == DM_OK ? DM_OK : DM_UNAVAILABLE;

    if (rc != DM_OK && err != NULL)
        *err = e->failure;
    dm_kube_event_free(e);
    return rc;
}

enum dm_code dm_kube_events_new(const struct dm_kube_config *c, struct dm_kube_events **ret,
                                struct dm_error *err)
{
    const struct dm_http_client_config client = {
        .loop = c->loop, .max_connections = 1, .max_head = ANSWER_HEAD_MAX};
    uint64_t port;
    enum dm_code rc = check(c, &port, err);

    if (rc != DM_OK)
        return rc;
    struct dm_kube_events *k = DM_NEW(struct dm_kube_events);
    k->account = dm_mem_text(c->account);
    k->host = dm_mem_text(c->host);
    k->port = (uint16_t)port;
    k->pod = dm_mem_text(c->pod);
    k->uid = dm_mem_text(c->uid);
    k->program = dm_mem_text(c->program);
    k->shard = c->shard;
    dm_buf_init(&k->answer, ANSWER_MAX);
    rc = try(k, err);
    if (rc == DM_OK)
        rc = dm_http_client_new(&client, &k->client, err);
    if (rc != DM_OK) {
        dm_kube_events_free(k);
        return rc;
    }
    metrics_init(k, c->metrics);
    *ret = k;
    return DM_OK;
}

void dm_kube_events_free(struct dm_kube_events *k)
{
    if (k == NULL)
        return;
    dm_http_client_free(k->client); /* ends the call */
    dm_kube_event_free(k->now);
    dm_kube_event_free(k->next);
    dm_buf_done(&k->answer);
    dm_mem_free(k->account);
    dm_mem_free(k->host);
    dm_mem_free(k->pod);
    dm_mem_free(k->uid);
    dm_mem_free(k->program);
    dm_mem_free(k);
}

#include "io/admin_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"

enum {
    DEFAULT_MAX_HEAD = 32768,
    /* libmicrohttpd keeps a head, its tables and the answer's head in one pool; what is not touched
     * is not resident. */
    POOL_PER_HEAD = 2,
    POOL_EXTRA = 32768,
    SPARE_CONNECTIONS = 64, /* ended ones that libmicrohttpd has not counted off yet */
    ACCEPT_RETRY_MS = 50,
    STACK_SIZE = 1 << 20, /* handlers encode nested JSON; untouched pages cost nothing */
    ARENA_CHUNK = 16384,
    ARENA_KEEP = 2,
    ARENA_MAX = 16 << 20,   /* of one request: the largest list of the API, with room to spare */
    RESPONSE_MAX = 64 << 20 /* of one answer: an export of everything; more is a bug */
};

/* One request. Kept for the next one: its arena and body keep some memory. */
struct call {
    struct call *next;
    struct dm_arena_pool *pool;
    struct dm_arena arena;
    struct dm_fields fields;
    struct dm_admin_request rq;
    struct dm_admin_response rs;
    struct dm_buf body;
    uint64_t limit;
    bool begun, answered, too_large, out_of_memory;
};

struct dm_admin_server {
    struct dm_admin_server_config config;
    struct MHD_Daemon *daemon;
    char *path;
    /* Accepting is ours: libmicrohttpd closes what comes over its limit of connections instead of
     * leaving it in the backlog. */
    int listener;
    pthread_t acceptor;
    sem_t places;
    atomic_bool stopping;
    pthread_mutex_t lock; /* for spare */
    struct call *spare;   /* at most as many as there are threads */
};

/* --- requests --- */

static struct call *call_take(struct dm_admin_server *s)
{
    pthread_mutex_lock(&s->lock);
    struct call *c = s->spare;
    if (c != NULL)
        s->spare = c->next;
    pthread_mutex_unlock(&s->lock);
    if (c == NULL) {
        c = DM_NEW(struct call);
        c->pool = dm_arena_pool_new(ARENA_CHUNK, ARENA_KEEP);
    }
    struct dm_arena_pool *pool = c->pool;
    *c = (struct call){.pool = pool};
    dm_arena_init(&c->arena, pool, ARENA_MAX);
    dm_buf_init(&c->rs.body, RESPONSE_MAX);
    return c;
}

static void call_give(struct dm_admin_server *s, struct call *c)
{
    dm_buf_done(&c->body);
    dm_buf_done(&c->rs.body);
    dm_arena_reset(&c->arena);
    pthread_mutex_lock(&s->lock);
    c->next = s->spare;
    s->spare = c;
    pthread_mutex_unlock(&s->lock);
}

/* libmicrohttpd decodes the URL it gives to the handler; this is the only place that sees it as it
 * came. */
static void *on_target(void *ctx, const char *uri, struct MHD_Connection *connection)
{
    (void)connection;
    struct call *c = call_take(ctx);
    c->rq.target = dm_arena_copy(&c->arena, dm_view_of(uri));
    c->out_of_memory = c->rq.target.ptr == NULL;
    return c;
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code;
    struct call *c = DM_TAKE(*request);
    if (c != NULL)
        call_give(ctx, c);
}

static bool take_internal(struct call *c, enum dm_header_id id, dm_view value)
{
    switch (id) {
    case DM_HDR_X_DOORMAN_PEER:
        c->rq.peer.unix_socket = dm_view_eq(value, DM_LIT(DM_ADMIN_PEER_UNIX));
        if (!c->rq.peer.unix_socket && !dm_address_parse(value, &c->rq.peer))
            c->rq.peer = (struct dm_address){.unix_socket = false};
        return true;
    case DM_HDR_X_DOORMAN_SCHEME:
        c->rq.https = dm_view_eq(value, DM_LIT("https"));
        return true;
    case DM_HDR_X_DOORMAN_INTERNAL_REQUEST_ID:
        c->rq.request_id = value;
        return true;
    default:
        return false;
    }
}

static enum MHD_Result on_field(void *ctx, enum MHD_ValueKind kind, const char *name,
                                size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    struct call *c = ctx;
    dm_view n = dm_view_make(name, name_len);
    dm_view v = dm_view_make(value == NULL ? "" : value, value_len);
    enum dm_header_id id = dm_header_find(n);
    if (take_internal(c, id, v) || (dm_header_flags_of(id, n) & DM_HF_INTERNAL))
        return MHD_YES;
    if (id == DM_HDR_HOST)
        c->rq.host = v;
    if (!dm_fields_add(&c->fields, &c->arena, id, n, v))
        c->out_of_memory = true;
    return MHD_YES;
}

static void begin(struct dm_admin_server *s, struct call *c, struct MHD_Connection *connection,
                  const char *method)
{
    c->begun = true;
    c->rq.method = dm_view_of(method);
    c->rq.fields = &c->fields;
    c->rq.arena = &c->arena;
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_field, c);
    c->limit = s->config.body_limit(s->config.app, c->rq.method, c->rq.target);
    dm_buf_init(&c->body, c->limit < SIZE_MAX / 2 ? (size_t)c->limit : SIZE_MAX / 2);
}

/* Past its limit a body is read on and dropped: an answer while it comes would end the connection,
 * and the door in front cuts the endless ones. */
static void take_body(struct call *c, const char *bytes, size_t len)
{
    if (c->too_large)
        return;
    dm_buf_add(&c->body, dm_view_make(bytes, len));
    if (!dm_buf_ok(&c->body)) {
        c->too_large = true;
        dm_buf_done(&c->body);
    }
}

/* --- answers --- */

static void refuse(struct call *c, enum dm_err err)
{
    const struct dm_err_info *info = dm_err_info(err);
    struct dm_buf *out = &c->rs.body;
    dm_buf_clear(out);
    c->rs.status = info->status;
    c->rs.fields.count = 0;
    (void)dm_fields_add(&c->rs.fields, &c->arena, DM_HDR_CONTENT_TYPE, DM_LIT("Content-Type"),
                        DM_LIT("application/json"));
    dm_buf_addf(out, "{\"error_code\":\"%.*s\",\"error_message\":\"", DM_FMT(info->code));
    if (err == ERR_BODY_TOO_LARGE)
        dm_buf_addf(out, "Request entity too large (max: %llu bytes)",
                    (unsigned long long)c->limit);
    else
        dm_buf_add(out, info->sentence);
    dm_buf_add(out, DM_LIT("\"}"));
}

static void add_field(struct call *c, struct MHD_Response *r, const struct dm_field_line *line)
{
    /* by name, whatever id the handler gave it */
    if (dm_header_flags(dm_header_find(line->name)) & DM_HF_HOP)
        return;
    const char *name = dm_arena_text(&c->arena, line->name);
    const char *value = dm_arena_text(&c->arena, line->value);
    if (name == NULL || value == NULL || MHD_add_response_header(r, name, value) != MHD_YES)
        DM_LOG(DM_LOG_WARNING, c->rq.request_id, "answer field refused", DM_F("field", line->name));
}

static enum MHD_Result send_answer(struct call *c, struct MHD_Connection *connection)
{
    dm_view body = dm_buf_view(&c->rs.body);
    /* The bytes stay in the call, which outlives the response (on_completed). */
    struct MHD_Response *r = MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.ptr,
                                                             MHD_RESPMEM_PERSISTENT);
    if (r == NULL)
        return MHD_NO;
    for (size_t i = 0; i < c->rs.fields.count; i++)
        add_field(c, r, &c->rs.fields.items[i]);
    enum MHD_Result rc = MHD_add_response_header(r, DM_ADMIN_HANDLED, "1");
    if (rc == MHD_YES)
        rc = MHD_queue_response(connection, (unsigned)c->rs.status, r);
    MHD_destroy_response(r);
    return rc;
}

static void run_handler(struct dm_admin_server *s, struct call *c)
{
    c->answered = true;
    c->rq.body = dm_buf_view(&c->body);
    if (c->too_large) {
        refuse(c, ERR_BODY_TOO_LARGE);
        return;
    }
    if (c->out_of_memory) {
        refuse(c, ERR_TOO_MUCH_MEMORY);
        return;
    }
    s->config.handle(s->config.app, &c->rq, &c->rs);
    bool whole = dm_buf_ok(&c->rs.body) && c->rs.status >= 200 && c->rs.status <= 599;
    if (whole)
        return;
    DM_LOG(DM_LOG_ERROR, c->rq.request_id, "admin handler left no answer",
           DM_FI("status", c->rs.status));
    refuse(c, ERR_UNEXPECTED);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *len, void **request)
{
    (void)url;
    (void)version;
    struct dm_admin_server *s = ctx;
    struct call *c = *request;
    if (c == NULL || c->answered)
        return MHD_NO;
    if (!c->begun) { /* an answer now would end the connection: it waits for the next call */
        begin(s, c, connection, method);
        return MHD_YES;
    }
    if (*len > 0) {
        take_body(c, bytes, *len);
        *len = 0;
        return MHD_YES;
    }
    run_handler(s, c);
    return send_answer(c, connection);
}

/* --- start and stop --- */

static enum dm_code listen_on(const char *path, int *ret_fd, struct dm_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof a.sun_path)
        return DM_FAIL(err, DM_INVALID, ERR_INTERNAL,
                       "could not listen on \"%s\": path over %zu bytes", path,
                       sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0) {
        /* the directory is private already: this is the second lock */
        if (chmod(path, S_IRUSR | S_IWUSR) == 0 && listen(fd, SOMAXCONN) == 0) {
            *ret_fd = fd;
            return DM_OK;
        }
        (void)unlink(path);
    }
    enum dm_code rc = DM_FAIL(err, DM_UNAVAILABLE, ERR_INTERNAL, "could not listen on \"%s\": %s",
                              path, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static void on_log(void *ctx, const char *format, va_list args)
{
    (void)ctx;
    (void)args; /* may hold what a client sent */
    DM_LOG(DM_LOG_DEBUG, DM_VIEW_NONE, "libmicrohttpd", DM_FC("text", format));
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode code)
{
    (void)connection;
    (void)socket_ctx;
    struct dm_admin_server *s = ctx;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED)
        sem_post(&s->places);
}

static void hand_over(struct dm_admin_server *s, int fd)
{
    static const struct sockaddr_un nobody = {.sun_family = AF_UNIX};
    const struct sockaddr *from = (const struct sockaddr *)&nobody;
    if (MHD_add_connection(s->daemon, fd, from, sizeof nobody) != MHD_YES)
        sem_post(&s->places); /* refused and closed: no memory for it */
}

static int accept_one(struct dm_admin_server *s)
{
    while (!atomic_load(&s->stopping)) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        /* No descriptor left: the connection stays in the backlog, and asking at once would only
         * spin. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            (void)poll(NULL, 0, ACCEPT_RETRY_MS);
    }
    return -1;
}

static void *run_acceptor(void *arg)
{
    struct dm_admin_server *s = arg;
    for (;;) {
        while (sem_wait(&s->places) != 0)
            ; /* interrupted by a signal */
        int fd = accept_one(s);
        if (fd < 0)
            return NULL;
        hand_over(s, fd);
    }
}

static struct MHD_Daemon *start_daemon(struct dm_admin_server *s)
{
    const struct dm_admin_server_config *c = &s->config;
    size_t max_head = c->max_head > 0 ? c->max_head : DEFAULT_MAX_HEAD;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                     MHD_USE_POLL | MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG |
                     MHD_USE_SUPPRESS_DATE_NO_CLOCK;
    /* No connection timeout: it would cut the answer of a handler that takes longer; the door has
     * its own. */
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(c->max_threads + SPARE_CONNECTIONS), NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)(POOL_PER_HEAD * max_head + POOL_EXTRA),
         NULL},
        {MHD_OPTION_THREAD_STACK_SIZE, STACK_SIZE, NULL},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_target, s},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, s},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, s},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log,
                            NULL, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

static void server_free(struct dm_admin_server *s)
{
    while (s->spare != NULL) {
        struct call *c = s->spare;
        s->spare = c->next;
        dm_arena_pool_free(c->pool);
        dm_mem_free(c);
    }
    pthread_mutex_destroy(&s->lock);
    sem_destroy(&s->places);
    (void)close(s->listener);
    (void)unlink(s->path);
    dm_mem_free(s->path);
    dm_mem_free(s);
}

enum dm_code dm_admin_server_start(const struct dm_admin_server_config *c,
                                   struct dm_admin_server **ret, struct dm_error *err)
{
    DM_REQUIRE(c->max_threads > 0 && c->handle != NULL && c->body_limit != NULL);
    int fd = -1;
    enum dm_code rc = listen_on(c->socket_path, &fd, err);
    if (rc != DM_OK)
        return rc;
    struct dm_admin_server *s = DM_NEW(struct dm_admin_server);
    s->config = *c;
    s->path = dm_mem_text(dm_view_of(c->socket_path));
    s->listener = fd;
    pthread_mutex_init(&s->lock, NULL);
    sem_init(&s->places, 0, (unsigned)c->max_threads);
    s->daemon = start_daemon(s);
    if (s->daemon == NULL || pthread_create(&s->acceptor, NULL, run_acceptor, s) != 0) {
        if (s->daemon != NULL)
            MHD_stop_daemon(s->daemon);
        server_free(s);
        return DM_FAIL(err, DM_UNAVAILABLE, ERR_INTERNAL,
                       "could not start the admin server's threads");
    }
    *ret = s;
    return DM_OK;
}

void dm_admin_server_stop(struct dm_admin_server *s)
{
    if (s == NULL)
        return;
    atomic_store(&s->stopping, true);
    (void)shutdown(s->listener, SHUT_RDWR); /* ends a waiting accept */
    sem_post(&s->places);
    pthread_join(s->acceptor, NULL);
    MHD_stop_daemon(s->daemon);
    server_free(s);
}

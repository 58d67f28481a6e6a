#include "programs/smoke/call.h"

#include "base/mem.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/poison.h"

enum {
    TIMEOUT_S = 10,         /* of one read or write; longer than any route of the admin takes */
    HEAD_MAX = 32 * 1024,   /* of our own answers */
    ANSWER_MAX = 256 * 1024 /* head and body */
};

static int dial(const struct dm_url *to, struct dm_error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = TIMEOUT_S};
    struct addrinfo *found = NULL;
    char *host = dm_mem_text(to->host);
    char port[8];
    int fd = -1, why;

    snprintf(port, sizeof(port), "%u", to->port);
    why = getaddrinfo(host, port, &hints, &found);
    if (why != 0)
        dm_fail(err, DM_UNAVAILABLE, ERR_NONE, "%s: %s", host, gai_strerror(why));
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            break;
        dm_fail(err, DM_UNAVAILABLE, ERR_NONE, "%s:%s: %s", host, port, strerror(errno));
        close(fd);
        fd = -1;
    }
    if (found != NULL)
        freeaddrinfo(found);
    dm_mem_free(host);
    return fd;
}

static void write_request(const struct call *c, struct dm_buf *out)
{
    dm_buf_addf(out, "%s %.*s%.*s HTTP/1.1\r\nHost: %.*s:%u\r\nConnection: close\r\n", c->method,
                DM_FMT(c->to->path), DM_FMT(c->path), DM_FMT(c->to->host), c->to->port);
    if (c->token.len > 0) {
        dm_buf_add(out, DM_LIT("Authorization: Bearer "));
        dm_buf_add(out, c->token);
        dm_buf_add(out, DM_LIT("\r\n"));
    }
    if (c->body.len > 0)
        dm_buf_addf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", c->body.len);
    dm_buf_add(out, DM_LIT("\r\n"));
    dm_buf_add(out, c->body);
}

static bool send_all(int fd, dm_view v)
{
    while (v.len > 0) {
        ssize_t n = send(fd, v.ptr, v.len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        v = dm_view_sub(v, (size_t)n, v.len);
    }
    return true;
}

/* To the end of the connection: we asked for it to be closed. */
static bool read_all(int fd, struct dm_buf *out)
{
    char piece[16 * 1024];
    ssize_t n;

    while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
        dm_buf_add(out, dm_view_make(piece, (size_t)n));
    return n == 0 && dm_buf_ok(out);
}

static bool chunked(dm_view head)
{
    dm_view rest = head, line;

    while (dm_view_split(&rest, '\n', &line)) {
        size_t colon = dm_view_find_byte(line, ':', 0);
        if (dm_view_eq_nocase(dm_view_sub(line, 0, colon), DM_LIT("transfer-encoding")))
            return true;
    }
    return false;
}

static bool join_chunks(dm_view v, struct dm_buf *out)
{
    for (;;) {
        size_t end = dm_view_find(v, DM_LIT("\r\n"));
        uint64_t size;
        if (end == v.len || !dm_parse_hex_u64(dm_view_sub(v, 0, end), ANSWER_MAX, &size))
            return false;
        v = dm_view_sub(v, end + 2, v.len);
        if (size == 0)
            return true;
        if (v.len < size + 2)
            return false;
        dm_buf_add(out, dm_view_sub(v, 0, size));
        v = dm_view_sub(v, size + 2, v.len);
    }
}

static int take_answer(dm_view v, struct dm_buf *ret_body, struct dm_error *err)
{
    static const dm_view version = DM_LIT("HTTP/1.1 ");
    size_t end = dm_view_find(v, DM_LIT("\r\n\r\n"));
    uint64_t status;

    if (end >= v.len || end > HEAD_MAX || !dm_view_starts(v, version) ||
        !dm_parse_u64(dm_view_sub(v, version.len, 3), 999, &status)) {
        dm_fail(err, DM_INVALID, ERR_NONE, "no answer in HTTP/1.1 came");
        return 0;
    }
    dm_view body = dm_view_sub(v, end + 4, v.len);
    if (!chunked(dm_view_sub(v, 0, end + 2))) {
        dm_buf_add(ret_body, body);
    } else if (!join_chunks(body, ret_body)) {
        dm_fail(err, DM_INVALID, ERR_NONE, "the answer's chunks end too early");
        return 0;
    }
    return (int)status;
}

int call_make(const struct call *c, struct dm_buf *ret_body, struct dm_error *err)
{
    struct dm_buf text;
    int status = 0, fd = dial(c->to, err);

    if (fd < 0)
        return 0;
    dm_buf_init(&text, ANSWER_MAX);
    write_request(c, &text);
    bool sent = dm_buf_ok(&text) && send_all(fd, dm_buf_view(&text));
    dm_buf_clear(&text);
    if (!sent || !read_all(fd, &text))
        dm_fail(err, DM_UNAVAILABLE, ERR_NONE, "%.*s:%u: %s", DM_FMT(c->to->host), c->to->port,
                "the connection broke, or no answer came in time");
    else
        status = take_answer(dm_buf_view(&text), ret_body, err);
    dm_buf_done(&text);
    close(fd);
    return status;
}

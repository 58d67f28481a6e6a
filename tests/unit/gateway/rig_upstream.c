/* The upstreams of a rig: sockets that answer by script, and what they saw. */
#include "rig_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int rig_listen(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static void drop_conn(struct rig_conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->len = 0;
}

size_t rig_find(const char *in, size_t len, const char *what)
{
    const char *at = memmem(in, len, what, strlen(what));
    return at == NULL ? SIZE_MAX : (size_t)(at - in);
}

size_t rig_message_length(const char *in, size_t len)
{
    const size_t end = rig_find(in, len, "\r\n\r\n");
    unsigned long long body = 0;

    if (end == SIZE_MAX)
        return 0;
    const size_t head = end + 4;
    const char *length = memmem(in, head, "Content-Length: ", 16);
    if (length != NULL)
        sscanf(length + 16, "%llu", &body);
    else if (memmem(in, head, "chunked", 7) != NULL) {
        const size_t last = rig_find(in + end, len - end, "\r\n0\r\n");
        const size_t stop =
            last == SIZE_MAX ? SIZE_MAX : rig_find(in + end + last, len - end - last, "\r\n\r\n");
        return stop == SIZE_MAX ? 0 : end + last + stop + 4;
    }
    return head + body <= len ? head + (size_t)body : 0;
}

static void write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n < 0)
            return; /* the other side has left: what the test is about, at times */
        text += n;
        len -= (size_t)n;
    }
}

static void serve(struct rig_upstream *u, struct rig_conn *c, size_t length)
{
    assert_true(u->seen_len + length < sizeof u->seen);
    memcpy(u->seen + u->seen_len, c->in, length);
    u->seen_len += length;
    u->n_requests++;
    memmove(c->in, c->in + length, c->len - length);
    c->len -= length;
    const size_t at = u->answered < u->n_script ? u->answered : u->n_script - 1;
    const char *answer = u->n_script == 0 ? RIG_OK : u->script[at];
    u->answered++;
    if (strcmp(answer, RIG_HANG_UP) == 0)
        drop_conn(c);
    else
        write_all(c->fd, answer, strlen(answer));
}

static bool run_conn(struct rig_upstream *u, struct rig_conn *c)
{
    if (c->fd < 0 || u->paused)
        return false;
    const ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - c->len, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        drop_conn(c);
        return true;
    }
    c->len += n > 0 ? (size_t)n : 0;
    const size_t length = rig_message_length(c->in, c->len);
    if (length > 0)
        serve(u, c, length);
    return n > 0 || length > 0;
}

bool rig_run_upstream(struct rig_upstream *u)
{
    bool busy = false;
    const int fd =
        u->listener < 0 ? -1 : accept4(u->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    for (size_t i = 0; i < RIG_CONNS; i++) {
        if (fd >= 0 && !busy && u->conns[i].fd < 0) {
            u->conns[i].fd = fd;
            busy = true;
        }
    }
    assert_true(fd < 0 || busy);
    for (size_t i = 0; i < RIG_CONNS; i++)
        busy = run_conn(u, &u->conns[i]) || busy;
    return busy;
}

void rig_script(struct rig *r, size_t upstream, const char *answer)
{
    struct rig_upstream *u = &r->up[upstream];

    assert_true(u->n_script < RIG_SCRIPT);
    u->script[u->n_script++] = answer;
}

dm_view rig_seen(const struct rig *r, size_t upstream)
{
    return dm_view_make(r->up[upstream].seen, r->up[upstream].seen_len);
}

void rig_close_upstream(struct rig *r, size_t upstream)
{
    struct rig_upstream *u = &r->up[upstream];

    if (u->listener >= 0)
        close(u->listener);
    u->listener = -1;
    rig_hang_up(r, upstream);
}

static struct rig_conn *first_conn(struct rig_upstream *u)
{
    for (size_t i = 0; i < RIG_CONNS; i++)
        if (u->conns[i].fd >= 0)
            return &u->conns[i];
    fail_msg("nobody is connected to the upstream");
    return NULL;
}

void rig_say(struct rig *r, size_t upstream, const char *text)
{
    write_all(first_conn(&r->up[upstream])->fd, text, strlen(text));
}

void rig_hang_up(struct rig *r, size_t upstream)
{
    for (size_t i = 0; i < RIG_CONNS; i++)
        drop_conn(&r->up[upstream].conns[i]);
}

#include "io/probe.h"

#include "base/buf.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    TIMEOUT_S = 3,
    REQUEST_CAP = 512
}; /* shorter than the usual probe timeout of an orchestrator */

static bool send_request(int fd, dm_view path)
{
    struct dm_buf b;
    bool good;

    dm_buf_init(&b, REQUEST_CAP);
    dm_buf_addf(&b, "GET %.*s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                DM_FMT(path));
    good = dm_buf_ok(&b) && send(fd, dm_buf_view(&b).ptr, dm_buf_view(&b).len, MSG_NOSIGNAL) ==
                                (ssize_t)dm_buf_view(&b).len;
    dm_buf_done(&b);
    return good;
}

static bool answered_200(int fd)
{
    static const dm_view expected = DM_LIT("HTTP/1.1 200");
    char head[12];
    size_t len = 0;

    while (len < sizeof(head)) {
        ssize_t n = recv(fd, head + len, sizeof(head) - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
    }
    return dm_view_eq(dm_view_make(head, len), expected);
}

bool dm_probe_ask(uint16_t port, dm_view path)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = TIMEOUT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good;

    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    good = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 && send_request(fd, path) &&
           answered_200(fd);
    close(fd);
    return good;
}

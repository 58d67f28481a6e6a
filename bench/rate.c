/* Open-loop HTTP load: requests leave when the clock says so, whether or not earlier ones came
 * back, and latency counts from the moment a request was due. A closed loop (wrk) waits with a slow
 * server and so never sees the queue that its clients would see.
 *
 *   rate PORT PER_SECOND SECONDS CONNECTIONS REQUEST_FILE
 *
 * REQUEST_FILE holds one whole GET request. Prints one line of JSON, times in microseconds. One
 * thread, keep-alive connections to 127.0.0.1, one request at a time on each. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 1024,
    REQUEST_MAX = 16384,
    HEAD_MAX = 16384,
    SAMPLES_MAX = 8 << 20, /* 8 million: 400 s at 20,000 a second */
    GRACE_SECONDS = 5,     /* for answers that are still out when the last request has left */
};

struct connection {
    int fd;
    bool busy;
    uint64_t due;        /* when the request on it should have left */
    size_t head_len;     /* bytes of the head so far; the body is only counted */
    size_t body_left;
    bool in_body;
    char head[HEAD_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static int idle[CONNECTIONS_MAX];
static uint32_t samples[SAMPLES_MAX];
static char request[REQUEST_MAX];
static size_t request_len, n_idle, first_idle, n_samples;
static uint64_t n_bad;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void read_request(const char *path)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        die(path);
    request_len = fread(request, 1, sizeof request, file);
    fclose(file);
    if (request_len == 0 || request_len == sizeof request) {
        fprintf(stderr, "rate: the request is empty or over %d bytes\n", REQUEST_MAX);
        exit(1);
    }
}

static void open_connection(struct connection *c, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("rate: connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void send_request(struct connection *c, uint64_t due)
{
    c->due = due;
    c->busy = true;
    c->head_len = 0;
    c->in_body = false;
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        die("rate: send");
}

/* First in, first out: every connection takes its turn. */
static void put_idle(int number)
{
    idle[(first_idle + n_idle++) % CONNECTIONS_MAX] = number;
}

static int take_idle(void)
{
    int number = idle[first_idle];

    first_idle = (first_idle + 1) % CONNECTIONS_MAX;
    n_idle--;
    return number;
}

static void finish(struct connection *c)
{
    uint64_t took = (now_ns() - c->due) / 1000;

    if (n_samples < SAMPLES_MAX)
        samples[n_samples++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    c->busy = false;
    put_idle((int)(c - connections));
}

/* Only what the benchmark's servers send is understood: a status line and a Content-Length. */
static void read_head(struct connection *c)
{
    char *end, *length;
    size_t size, have;

    c->head[c->head_len] = '\0';
    end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        if (c->head_len >= HEAD_MAX - 1) {
            fprintf(stderr, "rate: an answer without an end of its head\n");
            exit(1);
        }
        return;
    }
    if (memcmp(c->head, "HTTP/1.1 2", 10) != 0)
        n_bad++;
    length = strcasestr(c->head, "\r\ncontent-length:");
    if (length == NULL || length > end || sscanf(length + 17, "%zu", &size) != 1) {
        fprintf(stderr, "rate: an answer without Content-Length\n");
        exit(1);
    }
    have = c->head_len - (size_t)(end + 4 - c->head);
    c->in_body = true;
    c->body_left = size - (have > size ? size : have);
    if (c->body_left == 0)
        finish(c);
}

static void receive(struct connection *c)
{
    static char sink[65536];
    ssize_t n = c->in_body ? recv(c->fd, sink, sizeof sink, 0)
                           : recv(c->fd, c->head + c->head_len, HEAD_MAX - 1 - c->head_len, 0);

    if (n <= 0)
        die("rate: the server closed");
    if (!c->busy) {
        fprintf(stderr, "rate: an answer nobody asked for\n");
        exit(1);
    }
    if (c->in_body) {
        c->body_left -= (size_t)n > c->body_left ? c->body_left : (size_t)n;
        if (c->body_left == 0)
            finish(c);
        return;
    }
    c->head_len += (size_t)n;
    read_head(c);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t quantile(double q)
{
    size_t at = (size_t)((double)n_samples * q);

    return n_samples == 0 ? 0 : samples[at >= n_samples ? n_samples - 1 : at];
}

static void arm(int timer, uint64_t at)
{
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000000u),
                                           .tv_nsec = (long)(at % 1000000000u)}};

    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        die("rate: timer");
}

/* Sends what is due while a connection is free; gives the number of requests sent. */
static uint64_t send_due(uint64_t start, double gap, uint64_t sent, uint64_t total)
{
    while (sent < total && n_idle > 0) {
        uint64_t due = start + (uint64_t)((double)sent * gap);
        if (due > now_ns())
            break;
        send_request(&connections[take_idle()], due);
        sent++;
    }
    return sent;
}

static uint64_t run(int poller, int timer, double rate, double seconds)
{
    double gap = 1e9 / rate;
    uint64_t total = (uint64_t)(rate * seconds), sent = 0, start = now_ns() + 1000000;
    uint64_t end = start + (uint64_t)((seconds + GRACE_SECONDS) * 1e9);
    struct epoll_event events[256];

    while (n_samples < total && now_ns() < end) {
        if (sent < total && n_idle > 0)
            arm(timer, start + (uint64_t)((double)sent * gap));
        int n = epoll_wait(poller, events, 256, 100);
        if (n < 0 && errno != EINTR)
            die("rate: epoll_wait");
        for (int i = 0; i < n; i++) {
            uint64_t ticks;
            if (events[i].data.ptr != NULL)
                receive(events[i].data.ptr);
            else if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
                die("rate: timer");
        }
        sent = send_due(start, gap, sent, total);
    }
    return sent;
}

static int watch(int poller, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

    return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv)
{
    int port, n;
    double rate, seconds;
    int poller = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

    if (argc != 6 || sscanf(argv[1], "%d", &port) != 1 || sscanf(argv[2], "%lf", &rate) != 1 ||
        sscanf(argv[3], "%lf", &seconds) != 1 || sscanf(argv[4], "%d", &n) != 1 || n < 1 ||
        n > CONNECTIONS_MAX || rate * seconds > SAMPLES_MAX) {
        fprintf(stderr, "usage: rate PORT PER_SECOND SECONDS CONNECTIONS REQUEST_FILE\n");
        return 2;
    }
    read_request(argv[5]);
    prctl(PR_SET_TIMERSLACK, 1);
    if (poller < 0 || timer < 0 || watch(poller, timer, NULL) != 0)
        die("rate: set up");
    for (int i = 0; i < n; i++) {
        open_connection(&connections[i], port);
        if (watch(poller, connections[i].fd, &connections[i]) != 0)
            die("rate: epoll_ctl");
        put_idle(i);
    }
    uint64_t sent = run(poller, timer, rate, seconds);
    qsort(samples, n_samples, sizeof *samples, by_size);
    printf("{\"sent\": %llu, \"done\": %zu, \"bad\": %llu, \"p50\": %u, \"p90\": %u, \"p99\": %u, "
           "\"p999\": %u}\n",
           (unsigned long long)sent, n_samples, (unsigned long long)n_bad, quantile(0.5),
           quantile(0.9), quantile(0.99), quantile(0.999));
    return 0;
}

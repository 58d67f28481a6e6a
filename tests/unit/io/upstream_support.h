/* An upstream in the hands of the test: a listening socket and the accepted descriptors, spoken to
 * in plain bytes on the same thread as the client's loop. Waiting is for events only; time stands
 * still until moved. */
#pragma once

#include "io/http_client.h"

struct up {
    struct dm_clock_manual clock;
    struct dm_loop *loop;
    struct dm_metrics *metrics;
    struct dm_http_client *client;
    int listener;
    uint16_t port;
    char dir[64], path[96], key[128]; /* path: Unix socket, else empty */
};

struct up_options {
    bool unix_socket;
    size_t max_connections, max_keepalive; /* 0: 8 */
    const char *dns_servers;
    bool (*allow_address)(void *ctx, const struct dm_address *a);
    void *allow_ctx;
};

void up_init(struct up *u, const struct up_options *o); /* NULL: TCP */
void up_done(struct up *u);

/* What one call heard. */
struct heard {
    struct up *up;
    struct dm_http_call *call;
    int head, status, informs, ends, rooms;
    int64_t length;
    bool bodyless;
    char fields[4096], informed[256], trailers[256];
    struct dm_buf body;
    struct dm_http_end_info info;
    char why[256];   /* of info, which borrows it */
    size_t takes;    /* body bytes on_body may take in all; SIZE_MAX at first */
    dm_view to_push; /* streamed request body: pushed from on_room */
    const struct dm_fields *push_trailers;
    bool push_end;
    int cancel_at; /* 1: in on_head, 2: in on_body, 3: in on_inform, 4: in on_room */
};
void heard_init(struct heard *h, struct up *u);
void heard_done(struct heard *h);

extern const struct dm_http_handler up_handler;
struct dm_http_ask up_ask(const struct up *u, const char *head); /* all deadlines set, no body */
void up_start(struct heard *h, const struct dm_http_ask *ask);   /* dm_http_ask with up_handler */
void up_get(struct heard *h, const char *head);
void up_push_more(struct heard *h); /* what is left of to_push, then the end where asked for */

void up_turn(struct up *u); /* one turn, waits a little for an event */
void up_until_end(struct heard *h);
void up_until_head(struct heard *h);
void up_until_body(struct heard *h, size_t len);
int up_accept(struct up *u);
/* Reads until the text ends with `end`; gives it all. */
const char *up_read_until(struct up *u, int fd, const char *end);
size_t up_read_count(struct up *u, int fd, size_t len); /* reads and drops exactly len bytes */
void up_say(int fd, const char *text);
void up_hang_up(int *fd);
void up_reset(int *fd);              /* RST */
bool up_gone(struct up *u, int fd);  /* waits until the client closed its end */
bool up_no_connection(struct up *u); /* nobody waits in the backlog */
void up_settle(struct up *u);        /* turns until nothing happens any more */
/* A whole exchange: answers the next request on fd (-1: accepts) with `answer`; gives fd. */
int up_serve(struct up *u, int fd, const char *answer);
int64_t up_metric(struct up *u, const char *name);
size_t up_open_fds(void);

#define UP_OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define UP_GET "GET / HTTP/1.1\r\nHost: u\r\n"

#include "live_served.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;

enum { TRUST_TURNS = 3000 }; /* of 10 ms at most: only bounds a failure */

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fail_msg("%s is not set: started by tests/integration/store_redis", name);
    return value;
}

void served_config(struct dm_live_redis_config *c)
{
    static struct dm_settings *settings;
    struct dm_settings_input in = {
        .role = DM_ROLE_GATEWAY, .environ_ = (const char *const *)environ, .no_files = true};
    struct dm_error err;
    struct dm_buf faults, warnings;
    dm_buf_init(&faults, 65536);
    dm_buf_init(&warnings, 65536);
    if (settings == NULL && dm_settings_load(&in, &settings, &faults, &warnings) != DM_OK)
        fail_msg("%.*s", DM_FMT(dm_buf_view(&faults)));
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    *c = (struct dm_live_redis_config){.snapshot_file = DM_VIEW_NONE};
    if (dm_redis_config_of(settings, &c->redis, &err) != DM_OK)
        fail_msg("%s", err.text);
}

void served_until_trusted(struct dm_live *live, struct dm_loop *loop)
{
    for (int i = 0; i < TRUST_TURNS && !dm_live_redis_trusted(live); i++)
        (void)dm_loop_turn(loop, 10 * DM_MS);
    assert_true(dm_live_redis_trusted(live));
}

static int dial(const char *node)
{
    char host[64];
    const char *colon = strrchr(node, ':');
    uint64_t port;
    assert_true(dm_parse_u64(dm_view_of(colon + 1), UINT16_MAX, &port));
    size_t len = (size_t)(colon - node);
    assert_true(len < sizeof host);
    memcpy(host, node, len);
    host[len] = '\0';
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, host, &to.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

const char *served_command(const char *node, const char *command)
{
    static char answer[4097];
    char text[512];
    int fd = dial(node);
    int len = snprintf(text, sizeof text, "%s\r\n", command);
    assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    size_t n = 0;
    for (ssize_t got; (got = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0; n += (size_t)got)
        ;
    answer[n] = '\0';
    (void)close(fd);
    return answer;
}

void served_command_all(const char *command)
{
    char node[64];
    dm_view nodes = dm_view_of(from_environment("DOORMAN_TEST_REDIS_NODES")), one;
    while (dm_view_split(&nodes, ',', &one)) {
        (void)snprintf(node, sizeof node, "%.*s", DM_FMT(one));
        const char *answer = served_command(node, command);
        if (answer[0] == '-')
            fail_msg("%s at %s: %s", command, node, answer);
    }
}

const char *served_node(void)
{
    static char node[64];
    dm_view nodes = dm_view_of(from_environment("DOORMAN_TEST_REDIS_NODES")), one;
    (void)dm_view_split(&nodes, ',', &one);
    (void)snprintf(node, sizeof node, "%.*s", DM_FMT(one));
    return node;
}

void served_set_clock(dm_time wall)
{
    int fd = open(from_environment("DOORMAN_TEST_REDIS_CLOCK"), O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &wall, sizeof wall, 0), sizeof wall);
    (void)close(fd);
}

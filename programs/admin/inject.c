#include "programs/admin/inject.h"

#include "admin/inject/inject.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/poison.h"

enum { NOTES_MAX = 1024 * 1024 }; /* a line for every object of the largest input */

static const char help[] =
    "usage: doorman-admin inject [OPTION...] < WORKLOADS > PATCHED\n"
    "\n"
    "Puts the sidecar into every Deployment, StatefulSet, DaemonSet, ReplicaSet, Pod, Job and\n"
    "CronJob; any other document passes unchanged. What was done is told on standard error. A\n"
    "second run changes nothing; one with other options brings the sidecar up to date.\n"
    "A pod or workload with the label doorman.io/inject: disabled is left alone.\n"
    "\n"
    "  --sidecar FILE             the parts as the chart rendered them (sidecar.injection: cli):\n"
    "                             key sidecar.yaml of ConfigMap NAME-sidecar; or by options:\n"
    "  --release NAME             of the chart (doorman)\n"
    "  --name NAME                that objects begin with (RELEASE-doorman, or RELEASE where\n"
    "                             doorman is in it)\n"
    "  --config-map NAME          with doorman.yaml (NAME-config)\n"
    "  --static-config-map NAME   with the environment (NAME-static)\n"
    "  --secret NAME              of the gateways (NAME-gateway)\n"
    "  --redis-secret NAME|none   with redis-password (NAME-redis)\n"
    "  --admin-url URL|none       ADMIN_UPSTREAM_URL (http://NAME-admin:3001)\n"
    "  --image IMAGE              (doorman-gateway:" DOORMAN_VERSION ")\n"
    "  --pull-policy POLICY       (IfNotPresent)\n"
    "  --port N                   where clients call (5001)\n"
    "  --metrics-port N           METRICS_PORT of NAME-static (9464)\n"
    "  --threads N                (1)\n"
    "  --cpu REQUEST:LIMIT        (50m:1)\n"
    "  --memory REQUEST:LIMIT     (32Mi:128Mi)\n"
    "  --env NAME=VALUE           one more variable; may be repeated\n"
    "  --no-wait-for-ready        the application starts before the sidecar has its policy\n"
    "  --app-pre-stop SECONDS     preStop of the application's containers that have none (5)\n"
    "  --kube-version VERSION     of the cluster (newest): before 1.29 an ordinary container,\n"
    "                             before 1.30 exec sleep\n"
    "  --native-sidecar           whatever the version\n"
    "  --no-native-sidecar\n"
    "  --service                  turn the targetPort of Services that select such a workload\n"
    "  --service-port NAME        which, for Services of several ports: its name or number\n"
    "  --help                     this text\n"
    "\n"
    "exit:    0 clean    64 usage    65 the input is refused    66 FILE    74 input or output\n";

int inject_unplaced(const struct program *program, struct process *p, const struct options *o)
{
    (void)p;
    (void)o;
    fprintf(stderr, "%s: inject comes first, its own options after it\n", program->name);
    return EX_USAGE;
}

/* A sentence may quote the input: nothing that a terminal would obey. */
static void say(const struct program *program, const char *text)
{
    fprintf(stderr, "%s inject: ", program->name);
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        fputc(c < 0x20 || c == 0x7f ? '?' : c, stderr);
    }
    fputc('\n', stderr);
}

/* One byte more than is allowed may come, so that too much is seen. */
static bool read_all(int fd, struct dm_buf *out)
{
    for (;;) {
        char bytes[64 * 1024];
        const ssize_t n = read(fd, bytes, sizeof(bytes));
        if (n <= 0)
            return n == 0;
        const size_t room = DM_YAML_BYTES_MAX + 1 - dm_buf_view(out).len;
        dm_buf_add(out, dm_view_sub(dm_view_make(bytes, (size_t)n), 0, room));
        if (dm_buf_view(out).len > DM_YAML_BYTES_MAX)
            return true;
    }
}

static int read_sidecar(const struct program *program, const char *path, struct dm_buf *out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const bool good = fd >= 0 && read_all(fd, out);
    if (fd >= 0)
        close(fd);
    if (good)
        return 0;
    say(program, "the file of --sidecar could not be read");
    return EX_NOINPUT;
}

struct given {
    struct adm_parts_options options;
    const char *sidecar;
    bool help;
};

static bool parse_one(int argc, char **argv, int *i, struct given *g, struct dm_error *err)
{
    const char *name = argv[*i], *value = NULL;
    const bool sidecar = strcmp(name, "--sidecar") == 0;
    g->help |= strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (g->help)
        return true;
    if ((sidecar || adm_parts_option_values(name) > 0) && *i + 1 < argc)
        value = argv[++*i];
    if (!sidecar)
        return adm_parts_option(&g->options, name, value, err) == DM_OK;
    g->sidecar = value;
    if (value == NULL)
        dm_fail(err, DM_INVALID, ERR_NONE, "--sidecar needs a value");
    return value != NULL;
}

static int patch(const struct program *program, const struct given *g, dm_view input)
{
    struct dm_buf out, notes;
    struct dm_error err = {.kind = DM_OK};
    int code = 0;
    dm_buf_init(&out, ADM_INJECT_OUTPUT_MAX);
    dm_buf_init(&notes, NOTES_MAX);
    if (adm_inject(input, &g->options, &out, &notes, &err) != DM_OK) {
        say(program, err.text);
        code = EX_DATAERR;
    } else {
        const dm_view text = dm_buf_view(&out), told = dm_buf_view(&notes);
        fwrite(told.ptr, 1, told.len, stderr);
        if (fwrite(text.ptr, 1, text.len, stdout) != text.len || fflush(stdout) != 0) {
            say(program, "the output could not be written");
            code = EX_IOERR;
        }
    }
    dm_buf_done(&out);
    dm_buf_done(&notes);
    return code;
}

static int run(const struct program *program, struct given *g)
{
    struct dm_buf input, sidecar;
    int code = 0;
    dm_buf_init(&input, DM_YAML_BYTES_MAX + 1);
    dm_buf_init(&sidecar, DM_YAML_BYTES_MAX + 1);
    if (g->sidecar != NULL) {
        code = read_sidecar(program, g->sidecar, &sidecar);
        g->options.sidecar = dm_buf_view(&sidecar);
        if (g->options.sidecar.ptr == NULL)
            g->options.sidecar = DM_LIT("");
    }
    if (code == 0 && !read_all(STDIN_FILENO, &input)) {
        say(program, "standard input could not be read");
        code = EX_IOERR;
    }
    if (code == 0)
        code = patch(program, g, dm_buf_view(&input));
    dm_buf_done(&input);
    dm_buf_done(&sidecar);
    return code;
}

int command_inject(const struct program *program, int argc, char **argv)
{
    struct given g = {.help = false};
    struct dm_error err;
    adm_parts_defaults(&g.options);
    for (int i = 0; i < argc; i++) {
        if (!parse_one(argc, argv, &i, &g, &err)) {
            say(program, err.text);
            fprintf(stderr, "see %s inject --help\n", program->name);
            return EX_USAGE;
        }
    }
    if (g.help) {
        fputs(help, stdout);
        return 0;
    }
    return run(program, &g);
}

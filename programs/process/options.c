#include "programs/process/options.h"

#include "base/view.h"
#include <stdio.h>
#include <string.h>

enum { WAIT_MAX = 3600 }; /* no pod is given longer to end */

static bool value_of(const char *program, int argc, char **argv, int *i, const char **ret)
{
    if (*i + 1 >= argc) {
        fprintf(stderr, "%s: %s needs a value; see %s --help\n", program, argv[*i], program);
        return false;
    }
    *ret = argv[++*i];
    return true;
}

static bool seconds_of(const char *program, int argc, char **argv, int *i, uint64_t *ret)
{
    const char *text;

    if (!value_of(program, argc, argv, i, &text))
        return false;
    if (dm_parse_u64(dm_view_of(text), WAIT_MAX, ret))
        return true;
    fprintf(stderr, "%s: %s takes seconds, %d at most, not \"%s\"\n", program, argv[*i - 1],
            WAIT_MAX, text);
    return false;
}

static bool parse_one(const char *program, int argc, char **argv, int *i, struct options *o)
{
    const char *arg = argv[*i];

    if (strcmp(arg, "--config") == 0)
        return value_of(program, argc, argv, i, &o->config_file);
    if (strcmp(arg, "--env") == 0)
        return value_of(program, argc, argv, i, &o->env);
    if (strcmp(arg, "--wait") == 0)
        return seconds_of(program, argc, argv, i, &o->wait);
    if (strcmp(arg, "--print-settings") == 0)
        return o->print_settings = true;
    if (strcmp(arg, "--status") == 0)
        return o->status = true;
    if (strcmp(arg, "--json") == 0)
        return o->json = true;
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
        return o->help = true;
    if (arg[0] == '-' || o->command != NULL) {
        fprintf(stderr, "%s: unknown argument \"%s\"; see %s --help\n", program, arg, program);
        return false;
    }
    o->command = arg;
    return true;
}

bool options_parse(const char *program, int argc, char **argv, struct options *ret)
{
    struct options o = {0};

    for (int i = 1; i < argc; i++) {
        if (!parse_one(program, argc, argv, &i, &o))
            return false;
    }
    if (o.command == NULL)
        o.command = "run";
    *ret = o;
    return true;
}

#include "standalone/options.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Doorman " DOORMAN_VERSION ": API gateway and admin API in one process, in memory.\n"
    "\n"
    "usage: doorman [COMMAND] [OPTION...]\n"
    "\n"
    "  run            serve in the foreground (default)\n"
    "  check-config   load and check the settings, print every fault, exit 0 or 78\n"
    "  healthcheck    ask the local liveness probe, exit 0 or 1\n"
    "  version        print the version\n"
    "\n"
    "  --config FILE      settings file (YAML or JSON); default: DOORMAN_CONFIG_FILE,\n"
    "                     else /etc/doorman/config/doorman.yaml where it exists\n"
    "  --env NAME         check-config: check as if ENV were NAME (production)\n"
    "  --print-settings   print every setting with its value and origin, and exit\n"
    "  --json             with --print-settings: as JSON\n"
    "  --help             this text\n"
    "\n"
    "Settings come from the environment, the file, or defaults, in this order; docs/settings.md\n"
    "lists them. Needed: DOORMAN_ADMIN_PASSWORD and JWT_SECRET_KEY (or JWT_KEYS).\n"
    "\n"
    "signals: TERM, INT  drain, dump, exit 0     USR1  write a dump now     HUP  reopen the log "
    "files\n"
    "exit:    0 clean    64 usage    69 port or store not to be had    70 internal    78 "
    "configuration\n";

void options_help(void)
{
    fputs(help, stdout);
}

static bool value_of(int argc, char **argv, int *i, const char **ret)
{
    if (*i + 1 >= argc) {
        fprintf(stderr, "doorman: %s needs a value; see doorman --help\n", argv[*i]);
        return false;
    }
    *ret = argv[++*i];
    return true;
}

static bool parse_one(int argc, char **argv, int *i, struct options *o)
{
    const char *arg = argv[*i];

    if (strcmp(arg, "--config") == 0)
        return value_of(argc, argv, i, &o->config_file);
    if (strcmp(arg, "--env") == 0)
        return value_of(argc, argv, i, &o->env);
    if (strcmp(arg, "--print-settings") == 0)
        return o->print_settings = true;
    if (strcmp(arg, "--json") == 0)
        return o->json = true;
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
        return o->help = true;
    if (arg[0] == '-' || o->command != NULL) {
        fprintf(stderr, "doorman: unknown argument \"%s\"; see doorman --help\n", arg);
        return false;
    }
    o->command = arg;
    return true;
}

bool options_parse(int argc, char **argv, struct options *ret)
{
    struct options o = {0};

    for (int i = 1; i < argc; i++) {
        if (!parse_one(argc, argv, &i, &o))
            return false;
    }
    if (o.command == NULL)
        o.command = "run";
    *ret = o;
    return true;
}

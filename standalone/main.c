#include "standalone/commands.h"
#include "standalone/options.h"
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct options *o);
    } commands[] = {
        {"run", command_run},
        {"check-config", command_check_config},
        {"healthcheck", command_healthcheck},
        {"version", command_version},
    };
    struct options o;

    if (!options_parse(argc, argv, &o))
        return EX_USAGE;
    if (o.help) {
        options_help();
        return 0;
    }
    if (o.print_settings)
        return command_print_settings(&o);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(o.command, commands[i].name) == 0)
            return commands[i].run(&o);
    }
    fprintf(stderr, "doorman: unknown command \"%s\"; see doorman --help\n", o.command);
    return EX_USAGE;
}

#include "programs/process/commands.h"

#include "base/buf.h"
#include "io/probe.h"
#include "programs/process/control.h"
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { TEXT_CAP = 1024 * 1024 }; /* all faults of one configuration, or all settings */

extern char **environ;

static void print_buf(FILE *f, const struct dm_buf *b)
{
    dm_view v = dm_buf_view(b);

    fwrite(v.ptr, 1, v.len, f);
}

struct dm_settings *load_settings(const struct program *program, const struct options *o,
                                  struct dm_buf *ret_warnings)
{
    const struct dm_settings_input in = {.role = program->role,
                                         .environ_ = (const char *const *)environ,
                                         .config_file = o->config_file,
                                         .force_env = o->env};
    struct dm_settings *settings = NULL;
    struct dm_buf faults, warnings;

    dm_buf_init(&faults, TEXT_CAP);
    dm_buf_init(&warnings, TEXT_CAP);
    if (dm_settings_load(&in, &settings, &faults, &warnings) != DM_OK)
        settings = NULL;
    if (ret_warnings != NULL)
        dm_buf_add(ret_warnings, dm_buf_view(&warnings));
    if (ret_warnings == NULL || settings == NULL)
        print_buf(stderr, &warnings);
    print_buf(stderr, &faults);
    dm_buf_done(&faults);
    dm_buf_done(&warnings);
    return settings;
}

struct dm_settings *load_settings_leniently(const struct program *program, const struct options *o)
{
    const struct dm_settings_input in = {.role = program->role,
                                         .environ_ = (const char *const *)environ,
                                         .config_file = o->config_file,
                                         .lenient = true};
    struct dm_settings *settings = NULL;
    struct dm_buf ignored;

    dm_buf_init(&ignored, TEXT_CAP);
    enum dm_code rc = dm_settings_load(&in, &settings, &ignored, &ignored);
    (void)rc; /* faults are for whoever starts it */
    dm_buf_done(&ignored);
    return settings;
}

int command_check_config(const struct program *program, struct process *p, const struct options *o)
{
    struct dm_settings *settings = load_settings(program, o, NULL);

    (void)p;
    if (settings == NULL)
        return EX_CONFIG;
    puts("configuration is valid");
    dm_settings_unref(settings);
    return 0;
}

int command_print_settings(const struct program *program, const struct options *o)
{
    struct dm_settings *settings = load_settings(program, o, NULL);
    struct dm_buf text;

    if (settings == NULL)
        return EX_CONFIG;
    dm_buf_init(&text, TEXT_CAP);
    dm_settings_print(settings, o->json, &text);
    print_buf(stdout, &text);
    dm_buf_done(&text);
    dm_settings_unref(settings);
    return 0;
}

int command_healthcheck(const struct program *program, struct process *p, const struct options *o)
{
    /* Of a process that runs: an edit with faults that it refused must not make it look dead. */
    struct dm_settings *settings = load_settings_leniently(program, o);
    int64_t port;
    bool alive;

    (void)p;
    port = settings->metrics_port != 0 ? settings->metrics_port : settings->port;
    alive = dm_probe_ask((uint16_t)port, DM_LIT("/healthz"));
    dm_settings_unref(settings);
    return alive ? 0 : 1;
}

int command_version(const struct program *program, struct process *p, const struct options *o)
{
    (void)p;
    (void)o;
    printf("%s " DOORMAN_VERSION "\n", program->name);
    return 0;
}

int program_main(const struct program *program, struct process *p, int argc, char **argv)
{
    static const struct command shared[] = {{"run", process_run, NULL},
                                            {"start", command_start, NULL},
                                            {"stop", command_stop, NULL},
                                            {"restart", command_restart, NULL},
                                            {"reload", command_reload, NULL},
                                            {"drain", command_drain, NULL},
                                            {"check-config", command_check_config, NULL},
                                            {"healthcheck", command_healthcheck, NULL},
                                            {"version", command_version, NULL}};
    struct options o;

    for (size_t i = 0; argc > 1 && i < program->n_commands; i++) {
        const struct command *c = &program->commands[i];
        if (c->run_own != NULL && strcmp(argv[1], c->name) == 0)
            return c->run_own(program, argc - 2, argv + 2);
    }
    if (!options_parse(program->name, argc, argv, &o))
        return EX_USAGE;
    if (o.help) {
        fputs(program->help, stdout);
        return 0;
    }
    if (o.print_settings)
        return command_print_settings(program, &o);
    for (size_t i = 0; i < DM_COUNT_OF(shared); i++) {
        if (strcmp(o.command, shared[i].name) == 0)
            return shared[i].run(program, p, &o);
    }
    for (size_t i = 0; i < program->n_commands; i++) {
        if (strcmp(o.command, program->commands[i].name) == 0)
            return program->commands[i].run(program, p, &o);
    }
    fprintf(stderr, "%s: unknown command \"%s\"; see %s --help\n", program->name, o.command,
            program->name);
    return EX_USAGE;
}

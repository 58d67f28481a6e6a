/* What sets one program apart from the others: its name, role, commands and parts. Everything else
 * (command line, settings, keys, log, control loop, signals, status port, shutdown) is the same for
 * all and lives in this room. Each program's main.c has one constant of this type. */
#pragma once

#include "programs/process/options.h"
#include "programs/process/process.h"

struct command {
    const char *name;
    int (*run)(const struct program *program, struct process *p, const struct options *o);
    /* With options of its own: called instead, with what follows, where its name stands first. */
    int (*run_own)(const struct program *program, int argc, char **argv);
};

struct program {
    const char *name;
    enum dm_role role;
    const char *help;
    const struct command *commands; /* of its own, besides those of all programs */
    size_t n_commands;
    /* Before anybody asks a probe: what probes and scrapes ask. Control thread; NULL: nothing. */
    void (*prepare)(struct process *p);
    /* All parts up and the port open, or the exit code (sysexits.h) after a sentence about why not.
     * On a thread of its own, while probes are answered and signals heard already: whatever waits
     * in it looks at process_stopping. */
    int (*start)(struct process *p);
    uint16_t (*port)(const struct process *p);
    /* The rest on the control thread; also of parts that start did not get to. */
    void (*drain)(struct process *p); /* leads to process_drained when the last request ended */
    size_t (*inflight)(const struct process *p);
    void (*end)(struct process *p, bool served);
    void (*dump)(struct process *p); /* SIGUSR1; NULL: nothing to dump */
    /* An entry for whoever watches the deployment (JSON); may wait. Not a loop's thread; NULL:
     * nowhere to tell it. */
    void (*record)(struct process *p, dm_view entry);
    /* Hands settings and keys that are in force from now on to its parts. Control thread. */
    void (*take_over)(struct process *p, struct dm_settings *s, struct dm_keyset *keys);
    void (*gauges)(struct process *p); /* before a scrape, on the scraping loop; NULL: no more */
};

/* main() of every program: gives its exit code. p is embedded by the program's own state. */
int program_main(const struct program *program, struct process *p, int argc, char **argv);

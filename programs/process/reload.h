/* Configuration that changes while the program runs (configuration.md §5): one run at a time, asked
 * for by SIGHUP, over HTTP, by a file that changed, or by an event; whoever asks while one runs
 * causes exactly one more. A run reads and judges everything on a thread of its own; the control
 * thread swaps what came of it, or keeps everything as it was and says why. */
#pragma once

#include "codec/json.h"
#include "crypto/keyset.h"
#include "model/settings.h"

struct process;
struct reload;

enum reload_source {
    RELOAD_SIGHUP = 1 << 0,
    RELOAD_HTTP = 1 << 1,
    RELOAD_EVENT = 1 << 2,
    RELOAD_FILE = 1 << 3 /* runs only when the content differs from what was read last */
};

/* --- control thread --- */
struct reload_begin {            /* the first load */
    const char *config_file;     /* as on the command line, or NULL */
    dm_view warnings;            /* a line each */
    const unsigned char *digest; /* of the files, taken before they were read */
};
struct reload *reload_new(struct process *p, const struct reload_begin *begin);
void reload_start(struct reload *r); /* everything is up: from now on runs happen */
/* No more runs; whoever waits for one is told. Before the parts end. */
void reload_stop(struct reload *r);
void reload_free(struct reload *r);

/* --- any thread --- */
void reload_ask(struct reload *r, enum reload_source source);
/* Between the processes of a deployment: what one announces after it reloaded by order, and what
 * the others do when they hear it. Its own announcement is nothing to the one who made it. */
dm_view reload_announcement(const struct reload *r);
void reload_hear(struct reload *r, dm_view event);
/* Asks, and waits for the end of a run that began after this call: its report, owned by the caller.
 * NULL: the program ends. Never from a loop. */
struct dm_json *reload_and_wait(struct reload *r, enum reload_source source);
/* {"generation","restart_required":[],"overridden_by_env":[],"last_reload":{...}|null}, and after
 * a run "ok", "changed":[] and "errors":[]. Owned by the caller. */
struct dm_json *reload_report(struct reload *r);

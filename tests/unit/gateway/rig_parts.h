/* What the files of the rig share among each other; tests use rig.h. Same thread as the loop. */
#pragma once

#include "rig.h"

/* rig_live.c: the operations of struct rig_holding. */
extern const struct dm_live_ops rig_holding_ops;

/* rig_upstream.c */
int rig_listen(uint16_t *ret_port);            /* a listener on loopback */
bool rig_run_upstream(struct rig_upstream *u); /* accepts, reads, answers; true: had work */
size_t rig_find(const char *in, size_t len, const char *what); /* SIZE_MAX: not there */
/* Length of the first whole message, head and body; 0: not yet. */
size_t rig_message_length(const char *in, size_t len);

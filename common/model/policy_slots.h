/* Small numbers for pools and APIs, kept as long as their object lives. A freed
 * number rests in a queue before it is given to somebody else, so that a
 * worker's breaker or counter of it has long gone stale. Embedded in the
 * builder; zeroed is empty. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct policy_slots {
    uint32_t made; /* 1 ... made were given out at some time; 0 means none */
    uint32_t *resting;
    size_t head, count, size;
};
uint32_t policy_slots_take(struct policy_slots *s);
void policy_slots_give(struct policy_slots *s, uint32_t slot); /* 0: nothing */
void policy_slots_done(struct policy_slots *s);

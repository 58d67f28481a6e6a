/* Circuit of one API (gateway.md §14.3): closed until `threshold` attempts in a row failed, then
 * open for `timeout`, then half-open for exactly one probe. Pure: time comes in. One thread. */
#pragma once

#include "base/clock.h"

enum gw_circuit { GW_CIRCUIT_CLOSED = 0, GW_CIRCUIT_HALF_OPEN, GW_CIRCUIT_OPEN };

struct gw_breaker {
    enum gw_circuit state;
    bool probing;      /* half-open: the one probe is out */
    uint32_t failures; /* in a row, closed */
    dm_time opened;
};
struct gw_breaker_rule {
    int64_t threshold;
    dm_time timeout;
};

/* Asked once per call, before its first attempt. False: refuse, *ret_left is the rest of the open
 * time. *ret_probe: this call is the probe and must report or gw_breaker_release. */
bool gw_breaker_admit(struct gw_breaker *b, const struct gw_breaker_rule *rule, dm_time now,
                      bool *ret_probe, dm_time *ret_left);
/* Every attempt reports; probe: as admit said for its call. A success closes, whoever brings it; a
 * failure that began before the circuit opened tells nothing about now. True when the state
 * changed. */
bool gw_breaker_report(struct gw_breaker *b, const struct gw_breaker_rule *rule, bool success,
                       bool probe, dm_time now);
/* The probe ended without a verdict (client gone): the next call may probe. */
void gw_breaker_release(struct gw_breaker *b);

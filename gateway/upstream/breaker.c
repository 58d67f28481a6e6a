#include "gateway/upstream/breaker.h"

bool gw_breaker_admit(struct gw_breaker *b, const struct gw_breaker_rule *rule, dm_time now,
                      bool *ret_probe, dm_time *ret_left)
{
    *ret_probe = false;
    if (b->state == GW_CIRCUIT_CLOSED)
        return true;
    if (b->state == GW_CIRCUIT_OPEN && now - b->opened >= rule->timeout) {
        b->state = GW_CIRCUIT_HALF_OPEN;
        b->failures = 0;
    }
    if (b->state == GW_CIRCUIT_HALF_OPEN && !b->probing) {
        b->probing = *ret_probe = true;
        return true;
    }
    *ret_left = b->state == GW_CIRCUIT_OPEN ? b->opened + rule->timeout - now : 0;
    return false;
}

bool gw_breaker_report(struct gw_breaker *b, const struct gw_breaker_rule *rule, bool success,
                       bool probe, dm_time now)
{
    const enum gw_circuit before = b->state;

    if (probe)
        b->probing = false;
    if (success) {
        *b = (struct gw_breaker){.state = GW_CIRCUIT_CLOSED};
    } else if ((b->state == GW_CIRCUIT_HALF_OPEN && probe) ||
               (b->state == GW_CIRCUIT_CLOSED && ++b->failures >= rule->threshold)) {
        b->state = GW_CIRCUIT_OPEN;
        b->failures = 0;
        b->opened = now;
    }
    return b->state != before;
}

void gw_breaker_release(struct gw_breaker *b)
{
    b->probing = false;
}

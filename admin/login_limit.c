#include "admin/login_limit.h"

#include "admin/app.h"
#include "admin/audit.h"
#include "admin/router.h"
#include <string.h>

/* IPv6 clients own a /64: they count as one (operations.md §8.19). */
static dm_view limit_id(const struct adm_call *c, char out[DM_ADDRESS_TEXT])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct dm_address a = c->client;

    if (memcmp(a.bytes, mapped, sizeof(mapped)) != 0 && !dm_address_loopback(&a))
        memset(a.bytes + 8, 0, 8);
    return dm_view_make(out, dm_address_write(&a, out));
}

static void say_limits(struct adm_call *c, int64_t limit, int64_t remaining, int64_t reset_after)
{
    int64_t now = dm_clock_wall(adm_clock(c->app)) / DM_SEC;

    adm_header(c, "X-RateLimit-Limit", adm_text(c, "%lld", (long long)limit));
    adm_header(c, "X-RateLimit-Remaining", adm_text(c, "%lld", (long long)remaining));
    adm_header(c, "X-RateLimit-Reset", adm_text(c, "%lld", (long long)(now + reset_after)));
}

void adm_login_limit(struct adm_call *c)
{
    const struct dm_settings *s = c->settings;
    bool login = c->route->rate == ADM_RATE_LOGIN;
    int64_t limit = login ? s->login_ip_rate_limit : s->register_ip_rate_limit;
    int64_t window = login ? s->login_ip_rate_window : s->register_ip_rate_window;
    struct dm_live_hit hit = {0};
    char address[DM_ADDRESS_TEXT];
    struct dm_error err;
    enum dm_code rc;

    if (c->route->rate == ADM_RATE_NONE)
        return;
    if (s->login_ip_rate_disabled) {
        say_limits(c, limit, limit, window);
        return;
    }
    rc = dm_live_hit(adm_live(c->app),
                     login ? DM_LIT("ip_rate_limit") : DM_LIT("ip_rate_limit:register"),
                     limit_id(c, address), limit, window, &hit, &err);
    if (rc == DM_LIMIT) {
        adm_failf(
            c, 429, "IP_RATE_LIMIT",
            "Too many requests from your IP address. Please wait %lld seconds before trying again. "
            "Limit: %lld requests per %lld seconds.",
            (long long)hit.retry_after, (long long)limit, (long long)window);
        adm_header(c, "Retry-After", adm_text(c, "%lld", (long long)hit.retry_after));
        adm_header(c, "X-Doorman-Reason", DM_LIT("ip rate; window"));
        say_limits(c, limit, 0, hit.retry_after);
        adm_audit_suspicious(c, dm_view_of(address), "login limit");
    } else if (rc == DM_OK) {
        say_limits(c, limit, limit - hit.count, hit.retry_after);
    } else {
        adm_fail_store(c, &err);
    }
}

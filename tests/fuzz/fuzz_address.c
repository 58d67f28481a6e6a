/* layer: model */
/* Forwarding headers and address lists as strangers write them. First byte: which header; then its
 * value, up to a newline; then the list of trusted proxies. The client found is the peer or one
 * that no trusted proxy stands for; an address that parses is written and parses to itself. */
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "model/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PROXIES_MAX = 64 };

static void check_round_trip(const struct dm_address *a)
{
    char text[DM_ADDRESS_TEXT];
    struct dm_address again;
    size_t len = dm_address_write(a, text);
    DM_REQUIRE(len < DM_ADDRESS_TEXT && dm_address_parse(dm_view_make(text, len), &again));
    DM_REQUIRE(dm_address_eq(a, &again));
}

static struct dm_address_set *set_of(dm_view list)
{
    dm_view entries[PROXIES_MAX];
    struct dm_address_set *set = NULL;
    size_t n = 0;
    while (n < PROXIES_MAX && dm_view_split(&list, ',', &entries[n]))
        n++;
    if (dm_address_set_new(entries, n, &set, NULL) != DM_OK)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        struct dm_address a;
        if (dm_address_parse(dm_view_trim(entries[i]), &a))
            DM_REQUIRE(dm_address_set_has(set, &a));
    }
    return set;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dm_address peer, client;
    struct dm_forwarding f = {0};
    if (size == 0)
        return 0;
    dm_view rest = dm_view_make((const char *)data + 1, size - 1), value = rest;
    (void)dm_view_split(&rest, '\n', &value);
    dm_view *const headers[] = {&f.x_forwarded_for, &f.x_real_ip, &f.cf_connecting_ip,
                                &f.forwarded};
    *headers[data[0] % DM_COUNT_OF(headers)] = value;
    DM_REQUIRE(dm_address_parse(DM_LIT("127.0.0.1"), &peer));
    struct dm_address_set *proxies = rest.len > 0 ? set_of(rest) : NULL;
    dm_address_effective(&peer, true, proxies, &f, &client);
    if (!dm_address_eq(&client, &peer) &&
        (f.x_forwarded_for.ptr != NULL || f.forwarded.ptr != NULL)) {
        DM_REQUIRE(dm_address_set_count(proxies) == 0 ? !dm_address_loopback(&client)
                                                      : !dm_address_set_has(proxies, &client));
    }
#ifdef DOORMAN_PLANT_BUG
    if (f.x_real_ip.ptr != NULL && client.bytes[0] == 0x20) /* the seeds have IPv6 elsewhere */
        abort();
#endif
    check_round_trip(&client);
    dm_address_effective(&peer, false, proxies, &f, &client);
    DM_REQUIRE(dm_address_eq(&client, &peer));
    dm_address_set_free(proxies);
    return 0;
}

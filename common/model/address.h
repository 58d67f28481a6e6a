/* IP addresses, CIDR sets (prefix tree: 10,000 entries within 2 us) and the effective client
 * address (operations.md §8.11). Sets are immutable after building: any thread. */
#pragma once

#include "base/error.h"

struct dm_address { /* IPv4 is kept IPv4-mapped, so one comparison serves both */
    unsigned char bytes[16];
    bool unix_socket; /* a Unix-socket peer counts as loopback */
};
enum { DM_ADDRESS_TEXT = 46 };

bool dm_address_parse(dm_view text, struct dm_address *ret); /* no brackets, no port, no zone */
/* Canonical, NUL-ended; gives the length. */
size_t dm_address_write(const struct dm_address *a, char out[DM_ADDRESS_TEXT]);
bool dm_address_eq(const struct dm_address *a, const struct dm_address *b);
/* Its 16 bytes, as the key of a table; borrowed. */
dm_view dm_address_view(const struct dm_address *a);
bool dm_address_loopback(const struct dm_address *a);

struct dm_address_set;
/* Entries: address or CIDR (host bits may be set). A bad one: DM_INVALID, named in err. */
enum dm_code dm_address_set_new(const dm_view *entries, size_t n, struct dm_address_set **ret,
                                struct dm_error *err) DM_MUST_USE;
void dm_address_set_free(struct dm_address_set *s);
/* A NULL set holds nothing. */
bool dm_address_set_has(const struct dm_address_set *s, const struct dm_address *a);
size_t dm_address_set_count(const struct dm_address_set *s);
/* Entry i as it was given (the settings' own list is shown and stored); borrowed from the set. */
dm_view dm_address_set_text(const struct dm_address_set *s, size_t i);

struct dm_forwarding { /* header values as received; ptr NULL when absent */
    dm_view x_forwarded_for, x_real_ip, cf_connecting_ip, forwarded;
};
bool dm_forwarding_any(const struct dm_forwarding *f);
/* Whether a proxy is believed; an empty or NULL set believes loopback only. */
bool dm_address_trusted(const struct dm_address_set *proxies, const struct dm_address *a);
/* trust off, or peer not trusted (empty set: only loopback peers are): the peer itself. */
void dm_address_effective(const struct dm_address *peer, bool trust,
                          const struct dm_address_set *proxies, const struct dm_forwarding *f,
                          struct dm_address *ret);

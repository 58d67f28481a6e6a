#include "model/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/assert.h"

#include "base/poison.h"

static const unsigned char mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* inet_pton alone decides what an address is: dotted quads without leading zeros, RFC 4291 §2.2
 * forms; no zone, no brackets, no port, no octal. */
bool dm_address_parse(dm_view text, struct dm_address *ret)
{
    char cstr[INET6_ADDRSTRLEN];
    struct dm_address a = {0};
    if (text.len == 0 || text.len >= sizeof(cstr) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(cstr, text.ptr, text.len);
    cstr[text.len] = '\0';
    if (memchr(cstr, ':', text.len) != NULL) {
        if (inet_pton(AF_INET6, cstr, a.bytes) != 1)
            return false;
    } else {
        memcpy(a.bytes, mapped_prefix, sizeof(mapped_prefix));
        if (inet_pton(AF_INET, cstr, a.bytes + sizeof(mapped_prefix)) != 1)
            return false;
    }
    *ret = a;
    return true;
}

static bool is_ipv4(const unsigned char *bytes)
{
    return memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

/* A Unix-socket peer stands for 127.0.0.1 wherever bytes are looked at. */
static const unsigned char *bytes_of(const struct dm_address *a)
{
    static const unsigned char loopback4[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
    return a->unix_socket ? loopback4 : a->bytes;
}

/* By hand: inet_ntop goes through sprintf, and every call forwarded upstream names its client. */
static size_t write_ipv4(const unsigned char bytes[4], char *out)
{
    char *at = out;
    for (int i = 0; i < 4; i++) {
        unsigned n = bytes[i];
        if (i > 0)
            *at++ = '.';
        if (n >= 100)
            *at++ = (char)('0' + n / 100);
        if (n >= 10)
            *at++ = (char)('0' + n / 10 % 10);
        *at++ = (char)('0' + n % 10);
    }
    *at = '\0';
    return (size_t)(at - out);
}

size_t dm_address_write(const struct dm_address *a, char out[DM_ADDRESS_TEXT])
{
    const unsigned char *bytes = bytes_of(a);
    if (is_ipv4(bytes))
        return write_ipv4(bytes + sizeof(mapped_prefix), out);
    const char *done = inet_ntop(AF_INET6, bytes, out, DM_ADDRESS_TEXT);
    DM_REQUIRE(done != NULL);
    return strlen(out);
}

bool dm_address_eq(const struct dm_address *a, const struct dm_address *b)
{
    return memcmp(bytes_of(a), bytes_of(b), sizeof(a->bytes)) == 0;
}

dm_view dm_address_view(const struct dm_address *a)
{
    return dm_view_make((const char *)a->bytes, sizeof a->bytes);
}

bool dm_address_loopback(const struct dm_address *a)
{
    static const unsigned char loopback6[16] = {[15] = 1};
    const unsigned char *bytes = bytes_of(a);
    return (is_ipv4(bytes) && bytes[sizeof(mapped_prefix)] == 127) ||
           memcmp(bytes, loopback6, sizeof(loopback6)) == 0;
}

/* ---- sets: a binary trie with compressed paths ---- */

/* Longest list a set takes: ten times the 10,000 of operations.md §8.11. */
enum { SET_MAX = 100000, ADDRESS_BITS = 128, NO_NODE = 0 };

/* A node covers the first `bits` bits of `prefix`. An entry ends the search: whatever is below it
 * is in the set. Index 0 stands for none. */
struct node {
    unsigned char prefix[16];
    uint32_t child[2];
    uint8_t bits;
    bool entry;
};

/* One trie per family: "::/0" means every IPv6 address and no IPv4 one. */
struct dm_address_set {
    struct node *nodes;
    uint32_t n_nodes, room, root[2];
    size_t count;
    char **texts; /* as given */
};

static unsigned bit_at(const unsigned char *bytes, unsigned i)
{
    return (bytes[i / 8] >> (7 - i % 8)) & 1u;
}

/* How many leading bits agree, at most `max`. */
static unsigned common_bits(const unsigned char *a, const unsigned char *b, unsigned max)
{
    unsigned n = 0;
    while (n + 8 <= max && a[n / 8] == b[n / 8])
        n += 8;
    while (n < max && bit_at(a, n) == bit_at(b, n))
        n++;
    return n;
}

static uint32_t add_node(struct dm_address_set *s, const unsigned char *prefix, unsigned bits,
                         bool entry)
{
    if (s->n_nodes == s->room) {
        s->room = s->room == 0 ? 16 : 2 * s->room;
        s->nodes = dm_mem_grow(s->nodes, s->room, sizeof(*s->nodes));
    }
    struct node *n = &s->nodes[s->n_nodes];
    *n = (struct node){.bits = (uint8_t)bits, .entry = entry};
    memcpy(n->prefix, prefix, sizeof(n->prefix));
    return s->n_nodes++;
}

/* Where a new node hangs: a root, or a child of `parent`. */
static void hang(struct dm_address_set *s, uint32_t parent, unsigned side, uint32_t node)
{
    if (parent == NO_NODE)
        s->root[side] = node;
    else
        s->nodes[parent].child[side] = node;
}

static void insert(struct dm_address_set *s, const unsigned char *prefix, unsigned bits)
{
    unsigned side = is_ipv4(prefix) && bits >= 8 * sizeof(mapped_prefix);
    uint32_t parent = NO_NODE, at = s->root[side];
    for (;;) {
        if (at == NO_NODE) {
            hang(s, parent, side, add_node(s, prefix, bits, true));
            return;
        }
        unsigned least = s->nodes[at].bits < bits ? s->nodes[at].bits : bits;
        unsigned same = common_bits(s->nodes[at].prefix, prefix, least);
        if (same == s->nodes[at].bits) {
            if (same == bits)
                s->nodes[at].entry = true;
            if (s->nodes[at].entry)
                return; /* covered */
            parent = at;
            side = bit_at(prefix, same);
            at = s->nodes[at].child[side];
            continue;
        }
        uint32_t fork = add_node(s, prefix, same, same == bits);
        s->nodes[fork].child[bit_at(s->nodes[at].prefix, same)] = at;
        hang(s, parent, side, fork);
        if (same < bits) {
            uint32_t leaf = add_node(s, prefix, bits, true); /* moves the nodes */
            s->nodes[fork].child[bit_at(prefix, same)] = leaf;
        }
        return;
    }
}

static bool parse_entry(dm_view text, struct dm_address *ret, unsigned *ret_bits)
{
    size_t slash = dm_view_find_byte(text, '/', 0);
    dm_view address = dm_view_sub(text, 0, slash);
    uint64_t bits = ADDRESS_BITS;
    if (!dm_address_parse(address, ret))
        return false;
    bool v4 = dm_view_find_byte(address, ':', 0) == address.len;
    if (slash < text.len) {
        dm_view digits = dm_view_sub(text, slash + 1, text.len);
        if (digits.len > 1 && digits.ptr[0] == '0')
            return false; /* /08: not how anybody writes it */
        if (!dm_parse_u64(digits, v4 ? 32 : ADDRESS_BITS, &bits))
            return false;
        bits += v4 ? ADDRESS_BITS - 32 : 0;
    }
    *ret_bits = (unsigned)bits;
    return true;
}

enum dm_code dm_address_set_new(const dm_view *entries, size_t n, struct dm_address_set **ret,
                                struct dm_error *err)
{
    struct dm_address a;
    unsigned bits;
    if (n > SET_MAX)
        return DM_FAIL(err, DM_LIMIT, ERR_NONE,
                       "could not build address set: %zu entries, at most %d", n, SET_MAX);
    struct dm_address_set *s = DM_NEW(struct dm_address_set);
    static const unsigned char nothing[16];
    (void)add_node(s, nothing, 0, false); /* index 0 is no node */
    for (size_t i = 0; i < n; i++) {
        if (!parse_entry(dm_view_trim(entries[i]), &a, &bits)) {
            dm_address_set_free(s);
            return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not parse address or CIDR \"%.*s\"",
                           DM_FMT(dm_view_sub(entries[i], 0, 64)));
        }
        insert(s, a.bytes, bits);
    }
    s->texts = dm_mem_array(n + 1, sizeof *s->texts);
    for (; s->count < n; s->count++)
        s->texts[s->count] = dm_mem_text(entries[s->count]);
    *ret = s;
    return DM_OK;
}

void dm_address_set_free(struct dm_address_set *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++)
        dm_mem_free(s->texts[i]);
    dm_mem_free(s->texts);
    dm_mem_free(s->nodes);
    dm_mem_free(s);
}

dm_view dm_address_set_text(const struct dm_address_set *s, size_t i)
{
    return s == NULL || i >= s->count ? DM_VIEW_NONE : dm_view_of(s->texts[i]);
}

bool dm_address_set_has(const struct dm_address_set *s, const struct dm_address *a)
{
    if (s == NULL)
        return false;
    const unsigned char *bytes = bytes_of(a);
    for (uint32_t at = s->root[is_ipv4(bytes)]; at != NO_NODE;) {
        const struct node *n = &s->nodes[at];
        if (common_bits(n->prefix, bytes, n->bits) < n->bits)
            return false;
        if (n->entry)
            return true;
        at = n->child[bit_at(bytes, n->bits)]; /* no entry: fewer than all bits */
    }
    return false;
}

size_t dm_address_set_count(const struct dm_address_set *s)
{
    return s == NULL ? 0 : s->count;
}

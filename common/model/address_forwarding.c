/* Who the client is when proxies stand in front (operations.md §8.11): the right-most address that
 * no trusted proxy stands for. The left-most one, which a client can write itself, is never
 * believed. */
#include "model/address.h"

#include "base/poison.h"

bool dm_address_trusted(const struct dm_address_set *proxies, const struct dm_address *a)
{
    return dm_address_set_count(proxies) == 0 ? dm_address_loopback(a)
                                              : dm_address_set_has(proxies, a);
}

static bool parse_port(dm_view text)
{
    uint64_t port;
    return dm_parse_u64(text, 65535, &port);
}

/* An address as proxies write it: alone, with a port, in brackets (RFC 7239 §6). */
static bool parse_hop(dm_view text, struct dm_address *ret)
{
    text = dm_view_trim(text);
    if (dm_address_parse(text, ret))
        return true;
    size_t colon = dm_view_find_byte(text, ':', 0);
    if (text.len > 0 && text.ptr[0] == '[') {
        size_t close = dm_view_find_byte(text, ']', 0);
        dm_view inner = dm_view_sub(text, 1, close - 1),
                after = dm_view_sub(text, close + 1, text.len);
        bool ended = close < text.len &&
                     (after.len == 0 ||
                      (after.ptr[0] == ':' && parse_port(dm_view_sub(after, 1, after.len))));
        return ended && dm_view_find_byte(inner, ':', 0) < inner.len &&
               dm_address_parse(inner, ret);
    }
    return colon < text.len && parse_port(dm_view_sub(text, colon + 1, text.len)) &&
           dm_address_parse(dm_view_sub(text, 0, colon), ret);
}

static void from_list(dm_view list, const struct dm_address_set *proxies, struct dm_address *ret)
{
    struct dm_address hop;
    for (size_t end = list.len;;) {
        size_t start = end;
        while (start > 0 && list.ptr[start - 1] != ',')
            start--;
        if (!parse_hop(dm_view_sub(list, start, end - start), &hop))
            return;
        if (!dm_address_trusted(proxies, &hop)) {
            *ret = hop;
            return;
        }
        if (start == 0)
            return;
        end = start - 1;
    }
}

/* Cuts one part off *rest at `sep`, leaving quoted strings whole. False on an open quote. */
static bool cut_part(dm_view *rest, char sep, dm_view *ret_part)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < rest->len && (quoted || rest->ptr[i] != sep); i++) {
        if (quoted && rest->ptr[i] == '\\')
            i++;
        else if (rest->ptr[i] == '"')
            quoted = !quoted;
    }
    if (quoted || i > rest->len)
        return false;
    *ret_part = dm_view_sub(*rest, 0, i);
    *rest = i < rest->len ? dm_view_sub(*rest, i + 1, rest->len) : DM_VIEW_NONE;
    return true;
}

/* The one for= of an element; false when there is none, several, or it is no address ("unknown",
 * "_x"). */
static bool parse_element(dm_view element, struct dm_address *ret)
{
    dm_view pair;
    bool found = false;
    while (element.ptr != NULL) {
        if (!cut_part(&element, ';', &pair))
            return false;
        pair = dm_view_trim(pair);
        size_t equals = dm_view_find_byte(pair, '=', 0);
        if (!dm_view_eq_nocase(dm_view_sub(pair, 0, equals), DM_LIT("for")))
            continue;
        dm_view value = dm_view_sub(pair, equals + 1, pair.len);
        if (value.len >= 2 && value.ptr[0] == '"')
            value = dm_view_sub(value, 1, value.len - 2);
        if (found || !parse_hop(value, ret))
            return false;
        found = true;
    }
    return found;
}

/* Quoting is read from the left; the last element that is no trusted proxy decides, which is the
 * first one met from the right. */
static void from_forwarded(dm_view list, const struct dm_address_set *proxies,
                           const struct dm_address *peer, struct dm_address *ret)
{
    struct dm_address hop, found = *peer;
    dm_view element;
    while (list.ptr != NULL) {
        if (!cut_part(&list, ',', &element))
            return;
        if (!parse_element(element, &hop))
            found = *peer;
        else if (!dm_address_trusted(proxies, &hop))
            found = hop;
    }
    *ret = found;
}

bool dm_forwarding_any(const struct dm_forwarding *f)
{
    return f->x_forwarded_for.ptr != NULL || f->x_real_ip.ptr != NULL ||
           f->cf_connecting_ip.ptr != NULL || f->forwarded.ptr != NULL;
}

void dm_address_effective(const struct dm_address *peer, bool trust,
                          const struct dm_address_set *proxies, const struct dm_forwarding *f,
                          struct dm_address *ret)
{
    struct dm_address only;
    const dm_view single = f->x_real_ip.ptr != NULL ? f->x_real_ip : f->cf_connecting_ip;
    *ret = *peer;
    if (!trust || !dm_address_trusted(proxies, peer))
        return;
    if (f->x_forwarded_for.ptr != NULL)
        from_list(f->x_forwarded_for, proxies, ret);
    else if (single.ptr != NULL) {
        if (parse_hop(single, &only))
            *ret = only;
    } else if (f->forwarded.ptr != NULL) {
        from_forwarded(f->forwarded, proxies, peer, ret);
    }
}

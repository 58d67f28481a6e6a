#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "codec/uri.h"
#include "codec/uri_bytes.h"

#include "base/poison.h"

/* RFC 1123 §2.1, RFC 1035 §2.3.4 */
enum { HOST_MAX = 253, LABEL_MAX = 63, PORT_MAX = 65535 };

struct scheme {
    dm_view name;
    uint16_t port;
};

static const struct scheme schemes[] = {
    {{"http", 4}, 80}, {{"https", 5}, 443}, {{"grpc", 4}, 80}, {{"grpcs", 5}, 443}};

/* Underscores too: container networks name hosts after services, and those have them. */
static bool label_valid(dm_view label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' ||
        label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        if (!dm_uri_is_alnum((unsigned char)label.ptr[i]) && label.ptr[i] != '-' &&
            label.ptr[i] != '_')
            return false;
    }
    return true;
}

static bool address_valid(int family, dm_view text)
{
    char cstr[INET6_ADDRSTRLEN];
    unsigned char bytes[sizeof(struct in6_addr)];
    if (text.len >= sizeof(cstr))
        return false;
    memcpy(cstr, text.ptr, text.len);
    cstr[text.len] = '\0';
    return strlen(cstr) == text.len && inet_pton(family, cstr, bytes) == 1;
}

static bool is_dotted_digits(dm_view name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != '.' && (name.ptr[i] < '0' || name.ptr[i] > '9'))
            return false;
    }
    return true;
}

/* A name (one dot at the end is its root) or an IPv4 address. "1.2.3" and "127.1" are neither:
 * resolvers read them as addresses of another kind. */
static bool name_valid(dm_view name)
{
    if (name.len > 0 && is_dotted_digits(name))
        return address_valid(AF_INET, name);
    if (name.len > 1 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > HOST_MAX)
        return false;
    dm_view rest = name, label;
    while (dm_view_split(&rest, '.', &label)) {
        if (!label_valid(label))
            return false;
    }
    return true;
}

/* Splits "host", "host:port", "[v6]", "[v6]:port" and checks both. *ret_port 0 when absent. */
static bool split_authority(dm_view text, dm_view *ret_host, uint16_t *ret_port)
{
    bool v6 = text.len > 0 && text.ptr[0] == '[';
    size_t end = v6 ? dm_view_find_byte(text, ']', 0) : dm_view_find_byte(text, ':', 0);
    dm_view host = v6 ? dm_view_sub(text, 1, end == 0 ? 0 : end - 1) : dm_view_sub(text, 0, end);
    if (v6 && end == text.len)
        return false;
    dm_view rest = dm_view_sub(text, v6 ? end + 1 : end, SIZE_MAX);
    uint64_t port = 0;
    if (rest.len > 0 &&
        (rest.ptr[0] != ':' || rest.len > 6 ||
         !dm_parse_u64(dm_view_sub(rest, 1, SIZE_MAX), PORT_MAX, &port) || port == 0))
        return false;
    if (!(v6 ? address_valid(AF_INET6, host) : name_valid(host)))
        return false;
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return true;
}

bool dm_host_valid(dm_view host)
{
    dm_view ignored_host;
    uint16_t ignored_port;
    return split_authority(host, &ignored_host, &ignored_port);
}

static dm_view without_slashes(dm_view path)
{
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

/* Printable ASCII, nothing that could split a request line or leave the path. */
static bool bytes_valid(dm_view text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 0x20 || c >= 0x7F || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>')
            return false;
    }
    return true;
}

static enum dm_code refuse(struct dm_error *err, dm_view text, const char *reason)
{
    return DM_FAIL(err, DM_INVALID, ERR_NONE, "could not parse address \"%.*s\": %s",
                   DM_FMT(dm_view_sub(text, 0, 128)), reason);
}

/* "unix:/path/sock" and "unix:/path/sock:/base". */
static enum dm_code parse_unix(dm_view text, dm_view rest, struct dm_url *ret, struct dm_error *err)
{
    size_t cut = dm_view_find(rest, DM_LIT(":/"));
    dm_view sock = dm_view_sub(rest, 0, cut);
    dm_view base = dm_view_sub(rest, cut + 1, SIZE_MAX);
    if (sock.len < 2 || sock.ptr[0] != '/')
        return refuse(err, text, "absolute socket path expected");
    if (sock.len >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return refuse(err, text, "socket path too long");
    size_t mark = dm_view_find_byte(base, '?', 0);
    *ret = (struct dm_url){.scheme = dm_view_sub(text, 0, 4),
                           .host = sock,
                           .path = without_slashes(dm_view_sub(base, 0, mark)),
                           .query = dm_view_sub(base, mark + 1, SIZE_MAX)};
    return DM_OK;
}

static const struct scheme *find_scheme(dm_view name)
{
    for (size_t i = 0; i < DM_COUNT_OF(schemes); i++) {
        if (dm_view_eq(schemes[i].name, name))
            return &schemes[i];
    }
    return NULL;
}

enum dm_code dm_url_parse(dm_view text, struct dm_url *ret, struct dm_error *err)
{
    struct dm_url url = {.bare = true};
    dm_view rest = text;
    if (!bytes_valid(text))
        return refuse(err, text, "byte that no address holds");
    if (dm_view_starts(text, DM_LIT("unix:")))
        return parse_unix(text, dm_view_sub(text, 5, SIZE_MAX), ret, err);
    size_t at = dm_view_find(text, DM_LIT("://"));
    if (at != text.len) {
        const struct scheme *scheme = find_scheme(dm_view_sub(text, 0, at));
        if (scheme == NULL)
            return refuse(err, text, "scheme http, https, grpc, grpcs or unix expected");
        url.bare = false;
        url.scheme = dm_view_sub(text, 0, at);
        url.port = scheme->port;
        rest = dm_view_sub(text, at + 3, SIZE_MAX);
    }
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    uint16_t port;
    dm_view authority = dm_view_sub(rest, 0, end);
    if (dm_view_find_byte(authority, '@', 0) != authority.len)
        return refuse(err, text, "user-info is not allowed");
    if (!split_authority(authority, &url.host, &port))
        return refuse(err, text, "host or port expected");
    if (port == 0 && url.bare)
        return refuse(err, text, "scheme or port expected");
    if (port != 0)
        url.port = port;
    rest = dm_view_sub(rest, end, SIZE_MAX);
    size_t mark = dm_view_find_byte(rest, '?', 0);
    url.path = without_slashes(dm_view_sub(rest, 0, mark));
    url.query = dm_view_sub(rest, mark + 1, SIZE_MAX);
    *ret = url;
    return DM_OK;
}

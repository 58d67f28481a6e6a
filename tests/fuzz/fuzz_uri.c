/* layer: codec */
/* Request targets, URLs, hosts, queries. A target that is taken has no segment that could leave the
 * path, and its path, written and parsed again, is itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "codec/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_CAP = 1 << 20 };

struct scratch {
    struct dm_arena_pool *pool;
    struct dm_arena arena, arena2;
    struct dm_buf out;
};

static void check_segment(dm_view s)
{
    DM_REQUIRE(s.len > 0 && dm_utf8_valid(s));
    DM_REQUIRE(!dm_view_eq(s, DM_LIT(".")) && !dm_view_eq(s, DM_LIT("..")));
    DM_REQUIRE(!dm_view_starts(s, DM_LIT("..;")) && !dm_view_starts(s, DM_LIT(".;")));
    for (size_t i = 0; i < s.len; i++)
        DM_REQUIRE((unsigned char)s.ptr[i] >= 0x20 && s.ptr[i] != 0x7F &&
                   strchr("/?#\\", s.ptr[i]) == NULL);
}

/* What goes upstream: absolute, no empty and no dot segment in any spelling, ASCII only. */
static void check_written(dm_view path)
{
    DM_REQUIRE(path.len > 0 && path.ptr[0] == '/');
    dm_view rest = dm_view_sub(path, 1, SIZE_MAX), piece;
    while (path.len > 1 && dm_view_split(&rest, '/', &piece)) {
        DM_REQUIRE(piece.len > 0);
        DM_REQUIRE(!dm_view_eq(piece, DM_LIT(".")) && !dm_view_eq(piece, DM_LIT("..")));
    }
    for (size_t i = 0; i < path.len; i++)
        DM_REQUIRE((unsigned char)path.ptr[i] > 0x20 && (unsigned char)path.ptr[i] < 0x7F &&
                   strchr("?#\\\"<>", path.ptr[i]) == NULL);
    DM_REQUIRE(dm_view_find(path, DM_LIT("%2e")) == path.len &&
               dm_view_find(path, DM_LIT("%2E")) == path.len);
    DM_REQUIRE(dm_view_find(path, DM_LIT("%2F")) == path.len &&
               dm_view_find(path, DM_LIT("%00")) == path.len);
}

#ifdef DOORMAN_PLANT_BUG
/* Reached only by five segments one of which holds a blank. */
static void planted(const struct dm_target *t)
{
    for (size_t i = 0; t->n_segments == 5 && i < t->n_segments; i++) {
        if (dm_view_find_byte(t->segments[i], ' ', 0) != t->segments[i].len)
            abort();
    }
}
#endif

static void check_target(struct scratch *s, dm_view text)
{
    struct dm_target t, again;
    dm_view authority = DM_VIEW_NONE;
    if (dm_target_parse(text, &s->arena, &t, &authority) != DM_OK)
        return;
#ifdef DOORMAN_PLANT_BUG
    planted(&t);
#endif
    DM_REQUIRE(t.n_segments <= DM_URI_SEGMENTS_MAX && t.raw_path.ptr[0] == '/');
    DM_REQUIRE(authority.len == 0 || dm_host_valid(authority));
    for (size_t i = 0; i < t.n_segments; i++)
        check_segment(t.segments[i]);
    dm_target_write_path(&t, 0, &s->out);
    DM_REQUIRE(dm_buf_ok(&s->out));
    check_written(dm_buf_view(&s->out));
    DM_REQUIRE(dm_target_parse(dm_buf_view(&s->out), &s->arena2, &again, NULL) == DM_OK);
    DM_REQUIRE(again.n_segments == t.n_segments && again.raw_query.ptr == NULL &&
               !again.trailing_slash);
    for (size_t i = 0; i < t.n_segments; i++)
        DM_REQUIRE(dm_view_eq(again.segments[i], t.segments[i]));
    dm_buf_clear(&s->out);
    dm_target_write_path(&t, t.n_segments, &s->out);
    DM_REQUIRE(dm_view_eq(dm_buf_view(&s->out), DM_LIT("/")));
    dm_buf_clear(&s->out);
    (void)dm_query_get(t.raw_query, DM_LIT("a"), &s->out);
    dm_buf_clear(&s->out);
}

static void check_encoding(struct scratch *s, dm_view text)
{
    struct dm_buf back;
    dm_buf_init(&back, OUT_CAP);
    dm_uri_encode_segment(text, &s->out);
    bool decoded = dm_uri_decode(dm_buf_view(&s->out), false, &back);
    DM_REQUIRE(decoded == (dm_view_find_byte(text, '\0', 0) == text.len));
    if (decoded)
        DM_REQUIRE(dm_view_eq(dm_buf_view(&back), text));
    dm_buf_clear(&s->out);
    dm_buf_clear(&back);
    if (dm_uri_decode(text, true, &back))
        DM_REQUIRE(dm_buf_view(&back).len <= text.len);
    dm_buf_done(&back);
}

static bool inside(dm_view part, dm_view whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_url(dm_view text)
{
    struct dm_url url;
    struct dm_error err = {0};
    if (dm_url_parse(text, &url, &err) != DM_OK) {
        DM_REQUIRE(err.text[0] != '\0');
        return;
    }
    DM_REQUIRE(url.host.len > 0 && inside(url.host, text) && inside(url.path, text));
    DM_REQUIRE(inside(url.scheme, text) && inside(url.query, text));
    DM_REQUIRE(dm_view_find_byte(url.host, '@', 0) == url.host.len || url.host.ptr[0] == '/');
    DM_REQUIRE((url.port == 0) == (url.host.ptr[0] == '/')); /* a socket's path, or a port */
    DM_REQUIRE(url.path.len == 0 ||
               (url.path.ptr[0] == '/' && url.path.ptr[url.path.len - 1] != '/'));
    DM_REQUIRE(url.bare == (url.scheme.len == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scratch s;
    dm_view text = dm_view_make((const char *)data, size);
    size_t cut = dm_view_find_byte(text, '&', 0);
    s.pool = dm_arena_pool_new(4096, 8);
    dm_arena_init(&s.arena, s.pool, OUT_CAP);
    dm_arena_init(&s.arena2, s.pool, OUT_CAP);
    dm_buf_init(&s.out, OUT_CAP);
    check_target(&s, text);
    check_encoding(&s, text);
    check_url(text);
    if (dm_host_valid(text))
        DM_REQUIRE(dm_view_find_byte(text, '@', 0) == text.len &&
                   dm_view_find_byte(text, '/', 0) == text.len);
    if (cut <= 64) { /* the rest as a query, what is before as the parameter's name */
        if (dm_query_get(dm_view_sub(text, cut + 1, SIZE_MAX), dm_view_sub(text, 0, cut), &s.out))
            DM_REQUIRE(dm_view_find_byte(dm_buf_view(&s.out), '\0', 0) == dm_buf_view(&s.out).len);
    }
    dm_buf_done(&s.out);
    dm_arena_reset(&s.arena);
    dm_arena_reset(&s.arena2);
    dm_arena_pool_free(s.pool);
    return 0;
}

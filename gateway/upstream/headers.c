/* The rule both directions share. */
#include "gateway/upstream/headers.h"

#include "gateway/worker.h"

/* Longer names are on no list: no field that anybody uses comes near. */
enum { NAME_MAX_LISTED = 128 };

static bool named(const struct dm_policy_api *api, dm_view name)
{
    char lower[NAME_MAX_LISTED];

    if (api->headers.count == 0 || name.len > sizeof lower)
        return false;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + ('a' - 'A')
                                                                   : name.ptr[i]);
    return dm_strs_has(&api->headers, dm_view_make(lower, name.len));
}

bool gw_header_passes(const struct dm_policy_api *api, const struct dm_fields *all,
                      const struct dm_field_line *f, unsigned standard)
{
    const unsigned flags = dm_header_flags_of(f->id, f->name);
    bool passes;

    if (flags & (DM_HF_HOP | DM_HF_OURS | DM_HF_INTERNAL))
        return false;
    if (flags & standard)
        passes = true;
    else if (flags & DM_HF_NEVER)
        passes = (flags & DM_HF_EXPLICIT) && named(api, f->name);
    else
        passes = api->headers_all || named(api, f->name);
    return passes && !dm_fields_connection_lists(all, f->name);
}

void gw_headers_trailers(struct gw_request *rq, const struct dm_fields *in, unsigned standard,
                         struct dm_fields *out)
{
    *out = (struct dm_fields){0};
    for (size_t i = 0; in != NULL && i < in->count; i++) {
        const struct dm_field_line *f = &in->items[i];
        if (dm_header_flags(f->id) & DM_HF_NEVER)
            continue; /* a credential has no business in a trailer */
        if (gw_header_passes(rq->route.api, in, f, standard) &&
            !dm_fields_add(out, rq->x->arena, f->id, f->name, f->value))
            return;
    }
}

bool gw_header_is_own_cookie(dm_view pair)
{
    static const dm_view own[] = {DM_LIT("access_token_cookie="), DM_LIT("refresh_token_cookie="),
                                  DM_LIT("csrf_token=")};

    for (size_t i = 0; i < DM_COUNT_OF(own); i++)
        if (dm_view_starts(pair, own[i]))
            return true;
    return false;
}

/* The next cookie that is not ours; false at the end. */
static bool next_foreign(dm_view *rest, dm_view *ret_pair)
{
    while (dm_view_split(rest, ';', ret_pair)) {
        *ret_pair = dm_view_trim(*ret_pair);
        if (ret_pair->len > 0 && !gw_header_is_own_cookie(*ret_pair))
            return true;
    }
    return false;
}

bool gw_header_has_foreign_cookie(dm_view value)
{
    dm_view pair;
    return next_foreign(&value, &pair);
}

void gw_header_foreign_cookies(dm_view value, struct dm_buf *out)
{
    dm_view pair;

    for (bool first = true; next_foreign(&value, &pair); first = false) {
        if (!first)
            dm_buf_add(out, DM_LIT("; "));
        dm_buf_add(out, pair);
    }
}

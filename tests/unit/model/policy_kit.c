#include "policy_kit.h"

struct dm_json *kit_json(const char *text)
{
    struct dm_json *j = NULL;
    struct dm_error err = {0};
    if (dm_json_parse(dm_view_of(text), NULL, &j, &err) != DM_OK)
        fail_msg("%s: %s", text, err.text);
    return j;
}

enum dm_code kit_try(struct dm_policy_builder *b, const char *kind, const char *id,
                     const char *json)
{
    struct dm_error err;
    struct dm_json *doc = json == NULL ? NULL : kit_json(json);
    enum dm_code rc = dm_policy_builder_put(b, dm_view_of(kind), dm_view_of(id), doc, &err);
    dm_json_free(doc);
    return rc;
}

void kit_put(struct dm_policy_builder *b, const char *kind, const char *id, const char *json)
{
    assert_int_equal(kit_try(b, kind, id, json), DM_OK);
}

void kit_put_api(struct dm_policy_builder *b, const char *members)
{
    struct dm_buf text;
    dm_buf_init(&text, 1 << 16);
    dm_buf_addf(&text, "{\"api_id\":\"api\",\"api_name\":\"a\",\"api_version\":\"v1\"%s}", members);
    kit_put(b, "api", "api", dm_buf_cstr(&text));
    dm_buf_done(&text);
}

void kit_put_endpoint(struct dm_policy_builder *b, const char *id, const char *method,
                      const char *uri, const char *client)
{
    struct dm_json *j = dm_json_new_object();
    dm_json_set_str(j, DM_LIT("api_id"), DM_LIT("api"));
    dm_json_set_str(j, DM_LIT("endpoint_id"), dm_view_of(id));
    dm_json_set_str(j, DM_LIT("endpoint_method"), dm_view_of(method));
    dm_json_set_str(j, DM_LIT("endpoint_uri"), dm_view_of(uri));
    if (client != NULL)
        dm_json_set_str(j, DM_LIT("client_uri"), dm_view_of(client));
    assert_int_equal(dm_policy_builder_put(b, DM_LIT("endpoint"), dm_view_of(id), j, NULL), DM_OK);
    dm_json_free(j);
}

size_t kit_segments(const char *path, dm_view *segments)
{
    dm_view rest = dm_view_of(path), piece;
    size_t n = 0;
    while (dm_view_split(&rest, '/', &piece)) {
        if (piece.len > 0)
            segments[n++] = piece;
    }
    return n;
}

const char *kit_match(const struct dm_policy_api *api, const char *method, const char *path,
                      bool *ret_exists)
{
    static char id[64];
    dm_view segments[DM_URI_SEGMENTS_MAX];
    size_t n = kit_segments(path, segments);
    const struct dm_policy_endpoint *e =
        dm_policy_match(api, dm_view_of(method), segments, n, ret_exists);
    (void)snprintf(id, sizeof id, "%.*s", e == NULL ? 1 : (int)e->endpoint_id.len,
                   e == NULL ? "-" : e->endpoint_id.ptr);
    return id;
}

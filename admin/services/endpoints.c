#include "admin/services/endpoints.h"

#include "admin/app.h"

enum dm_code adm_find_endpoint(struct adm_call *c, const struct adm_endpoint_key *k,
                               struct dm_json **ret, struct dm_error *err)
{
    const struct dm_filter key[] = {
        DM_WHERE("endpoint_method", k->method), DM_WHERE("api_name", k->api_name),
        DM_WHERE("api_version", k->api_version), DM_WHERE("endpoint_uri", k->uri)};
    uint64_t version;

    return dm_documents_find(adm_documents(c->app), "endpoints", key, DM_COUNT_OF(key), ret,
                             &version, err);
}

enum dm_code adm_endpoint_conflict(struct adm_call *c, const struct adm_endpoint_key *k,
                                   dm_view client_uri, dm_view own_id, bool *ret,
                                   struct dm_error *err)
{
    const struct dm_filter same[] = {DM_WHERE("endpoint_method", k->method),
                                     DM_WHERE("api_name", k->api_name),
                                     DM_WHERE("api_version", k->api_version)};
    const struct dm_query query = {.filters = same, .n_filters = DM_COUNT_OF(same)};
    DM_DEFER(dm_json_freep) struct dm_json *docs = NULL;
    enum dm_code rc = dm_documents_list(adm_documents(c->app), "endpoints", &query, &docs, err);

    *ret = false;
    for (struct dm_json *d = dm_json_first(docs); rc == DM_OK && d != NULL; d = dm_json_next(d)) {
        dm_view seen = dm_json_str(dm_json_get(d, DM_LIT("client_uri")));

        if (seen.len == 0)
            seen = dm_json_str(dm_json_get(d, DM_LIT("endpoint_uri")));
        if (dm_view_eq(seen, client_uri) &&
            !dm_view_eq(dm_json_str(dm_json_get(d, DM_LIT("endpoint_id"))), own_id))
            *ret = true;
    }
    return rc;
}

dm_view adm_endpoint_method(struct adm_call *c, dm_view method)
{
    char *upper = dm_arena_alloc(c->arena, method.len);

    if (upper == NULL)
        return method;
    for (size_t i = 0; i < method.len; i++)
        upper[i] = method.ptr[i] >= 'a' && method.ptr[i] <= 'z' ? (char)(method.ptr[i] - 32)
                                                                : method.ptr[i];
    return dm_view_make(upper, method.len);
}

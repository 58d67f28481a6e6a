/* /platform/openapi.json: made from the table of routes and the field tables, so it cannot
 * disagree. */
#include "admin/handlers.h"
#include "admin/router.h"

static void add_parameters(struct dm_json *operation, dm_view path)
{
    struct dm_json *list = dm_json_new_array();

    for (size_t at = dm_view_find_byte(path, '{', 0); at < path.len;
         at = dm_view_find_byte(path, '{', at + 1)) {
        size_t end = dm_view_find_byte(path, '}', at);
        dm_view name = dm_view_sub(path, at + 1, end - at - 1);
        struct dm_json *p = dm_json_new_object(), *schema = dm_json_new_object();

        if (dm_view_ends(name, DM_LIT("...")))
            name.len -= 3;
        dm_json_set_str(p, DM_LIT("name"), name);
        dm_json_set_str(p, DM_LIT("in"), DM_LIT("path"));
        dm_json_set_bool(p, DM_LIT("required"), true);
        dm_json_set_str(schema, DM_LIT("type"), DM_LIT("string"));
        dm_json_set(p, DM_LIT("schema"), schema);
        dm_json_push(list, p);
    }
    if (dm_json_len(list) > 0)
        dm_json_set(operation, DM_LIT("parameters"), list);
    else
        dm_json_free(list);
}

static void add_body(struct dm_json *operation, const struct adm_route *r)
{
    struct dm_json *body, *content, *media;

    if (r->record == NULL)
        return;
    body = dm_json_new_object();
    content = dm_json_new_object();
    media = dm_json_new_object();
    dm_json_set(media, DM_LIT("schema"), dm_record_schema(r->record, r->body != ADM_BODY_CREATE));
    dm_json_set(content, DM_LIT("application/json"), media);
    dm_json_set_bool(body, DM_LIT("required"), r->body != ADM_BODY_OPTIONAL);
    dm_json_set(body, DM_LIT("content"), content);
    dm_json_set(operation, DM_LIT("requestBody"), body);
}

static void add_response(struct dm_json *responses, const char *status, const char *description)
{
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("description"), dm_view_of(description));
    dm_json_set(responses, dm_view_of(status), o);
}

static struct dm_json *operation_of(const struct adm_route *r)
{
    struct dm_json *o = dm_json_new_object(), *responses = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("summary"), dm_view_of(r->summary));
    add_parameters(o, dm_view_of(r->path));
    add_body(o, r);
    add_response(responses, "default", "The result, or an error with error_code and error_message");
    if (r->unauth != ADM_PUBLIC) {
        struct dm_json *security = dm_json_new_array(), *bearer = dm_json_new_object();

        dm_json_set(bearer, DM_LIT("token"), dm_json_new_array());
        dm_json_push(security, bearer);
        dm_json_set(o, DM_LIT("security"), security);
        add_response(responses, "401", "Unauthorized");
    }
    if (r->permission != ADM_PERM_NONE)
        add_response(responses, "403", r->denied_message);
    if (r->record != NULL)
        add_response(responses, "422", "Validation Error");
    dm_json_set(o, DM_LIT("responses"), responses);
    return o;
}

static dm_view lower_method(const char *method, char out[8])
{
    dm_view v = dm_view_of(method);

    for (size_t i = 0; i < v.len && i < 8; i++)
        out[i] = (char)(v.ptr[i] | 0x20);
    return dm_view_make(out, v.len);
}

static struct dm_json *paths(struct adm_call *c)
{
    struct dm_json *o = dm_json_new_object();
    const struct adm_route *routes;
    size_t n;

    routes = adm_routes(&n);
    for (size_t i = 0; i < n; i++) {
        dm_view path = dm_view_of(routes[i].path);
        size_t dots = dm_view_find(path, DM_LIT("...}"));
        struct dm_json *item;
        char method[8];

        if (dots < path.len) /* OpenAPI knows no rest-of-path parameter: {uri} with a note in the
                                summary */
            path = adm_text(c, "%.*s}", (int)dots, path.ptr);
        item = dm_json_get(o, path);
        if (item == NULL) {
            item = dm_json_new_object();
            dm_json_set(o, path, item);
        }
        dm_json_set(item, lower_method(routes[i].method, method), operation_of(&routes[i]));
    }
    return o;
}

void adm_docs_openapi(struct adm_call *c)
{
    struct dm_json *o = dm_json_new_object(), *info = dm_json_new_object(),
                   *components = dm_json_new_object(), *schemes = dm_json_new_object(),
                   *token = dm_json_new_object();

    dm_json_set_str(info, DM_LIT("title"), DM_LIT("Doorman"));
    dm_json_set_str(info, DM_LIT("version"), DM_LIT(DOORMAN_VERSION));
    dm_json_set_str(token, DM_LIT("type"), DM_LIT("http"));
    dm_json_set_str(token, DM_LIT("scheme"), DM_LIT("bearer"));
    dm_json_set_str(token, DM_LIT("bearerFormat"), DM_LIT("JWT"));
    dm_json_set(schemes, DM_LIT("token"), token);
    dm_json_set(components, DM_LIT("securitySchemes"), schemes);
    dm_json_set_str(o, DM_LIT("openapi"), DM_LIT("3.1.0"));
    dm_json_set(o, DM_LIT("info"), info);
    dm_json_set(o, DM_LIT("paths"), paths(c));
    dm_json_set(o, DM_LIT("components"), components);
    adm_ok(c, 200, o);
}

/* Builds the head that an upstream sees. One order, the same bytes for every attempt: request line,
 * Host, what the client sent and may pass, then what we say about the client. */
#include "base/assert.h"
#include "gateway/client.h"
#include "gateway/protocols/protocol.h"
#include "gateway/upstream/headers.h"
#include "gateway/worker.h"

static void add_line(struct dm_buf *out, dm_view name, dm_view value)
{
    dm_buf_add(out, name);
    dm_buf_add(out, DM_LIT(": "));
    dm_buf_add(out, value);
    dm_buf_add(out, DM_LIT("\r\n"));
}

static void add(struct dm_buf *out, enum dm_header_id id, dm_view value)
{
    add_line(out, dm_header_name(id), value);
}

/* No line at all when every cookie in it is ours. */
static void add_cookies(struct dm_buf *out, dm_view value)
{
    if (!gw_header_has_foreign_cookie(value))
        return;
    dm_buf_add(out, dm_header_name(DM_HDR_COOKIE));
    dm_buf_add(out, DM_LIT(": "));
    gw_header_foreign_cookies(value, out);
    dm_buf_add(out, DM_LIT("\r\n"));
}

/* The client's own Authorization may go up only where it did not open the gateway. */
static bool own_authorization(const struct gw_request *rq)
{
    return rq->who.credential != GW_CREDENTIAL_HEADER;
}

/* The client's own is replaced by the key of a credit definition (§11), in any case of letters. */
static bool is_key_header(const struct gw_request *rq, dm_view name)
{
    return rq->credit.header.len > 0 && dm_view_eq_nocase(name, rq->credit.header);
}

/* api_authorization_field_swap (§13.2): the value of field H, if H passes; ptr NULL: blank or
 * absent. */
static dm_view swapped(const struct gw_request *rq)
{
    const struct dm_policy_api *api = rq->route.api;
    const struct dm_fields *in = &rq->x->head.fields;

    if (is_key_header(rq, api->auth_swap))
        return rq->credit.key;
    for (size_t i = 0; api->auth_swap.len > 0 && i < in->count; i++) {
        const struct dm_field_line *f = &in->items[i];
        if (dm_view_eq_nocase(f->name, api->auth_swap) && dm_view_trim(f->value).len > 0 &&
            gw_header_passes(api, in, f, DM_HF_REQUEST))
            return f->value;
    }
    return DM_VIEW_NONE;
}

static void add_clients_fields(const struct gw_request *rq, struct dm_buf *out)
{
    const struct dm_policy_api *api = rq->route.api;
    const struct dm_fields *in = &rq->x->head.fields;
    const bool swap = api->auth_swap.len > 0;

    for (size_t i = 0; i < in->count; i++) {
        const struct dm_field_line *f = &in->items[i];
        if (!gw_header_passes(api, in, f, DM_HF_REQUEST) || is_key_header(rq, f->name))
            continue;
        if (f->id == DM_HDR_COOKIE)
            add_cookies(out, f->value);
        else if (f->id != DM_HDR_AUTHORIZATION || (!swap && own_authorization(rq)))
            add_line(out, f->name, f->value);
    }
}

/* A key that is to be the Authorization gives way to a swap alone. */
static void add_authorization(const struct gw_request *rq, struct dm_buf *out)
{
    const bool is_key = is_key_header(rq, dm_header_name(DM_HDR_AUTHORIZATION));

    if (rq->route.api->auth_swap.len == 0 && !is_key)
        return;
    dm_view value = rq->route.api->auth_swap.len > 0 ? swapped(rq) : DM_VIEW_NONE;
    if (value.ptr == NULL && is_key)
        value = rq->credit.key;
    else if (value.ptr == NULL && own_authorization(rq))
        value = gw_field(rq, DM_HDR_AUTHORIZATION);
    if (value.len > 0)
        add(out, DM_HDR_AUTHORIZATION, value);
}

static void add_ours(const struct gw_request *rq, struct dm_buf *out)
{
    char text[DM_ADDRESS_TEXT];

    add(out, DM_HDR_X_REQUEST_ID, rq->x->request_id);
    if (rq->route.guarded) { /* a public API is told of no user (§8.1) */
        add(out, DM_HDR_X_USER_EMAIL, rq->who.claims.sub);
        add(out, DM_HDR_X_DOORMAN_USER, rq->who.claims.sub);
    }
    if (!gw_settings(rq)->forward_client_ip)
        return;
    add(out, DM_HDR_X_FORWARDED_FOR, dm_view_make(text, dm_address_write(gw_client(rq), text)));
    add(out, DM_HDR_X_FORWARDED_PROTO, gw_client_scheme(rq));
    add(out, DM_HDR_X_FORWARDED_HOST, gw_client_host(rq));
}

bool gw_headers_up(struct gw_request *rq)
{
    struct dm_buf *out = &rq->worker->scratch;

    DM_REQUIRE(rq->up.server != NULL);
    dm_buf_clear(out);
    dm_buf_add(out, rq->x->head.method);
    dm_buf_add_byte(out, ' ');
    rq->in.proto->build_target(rq, out);
    dm_buf_add(out, DM_LIT(" HTTP/1.1\r\n"));
    add(out, DM_HDR_HOST, rq->up.server->host_header);
    add_clients_fields(rq, out);
    if (rq->credit.header.len > 0 && !is_key_header(rq, dm_header_name(DM_HDR_AUTHORIZATION)))
        add_line(out, rq->credit.header, rq->credit.key);
    add_authorization(rq, out);
    add_ours(rq, out);
    if (!dm_buf_ok(out))
        return false;
    rq->up.head = dm_arena_copy(rq->x->arena, dm_buf_view(out));
    return rq->up.head.ptr != NULL;
}

/* Fields of the answer that a client sees. Framing, Date, request id and absent security fields are
 * added by the carrier. */
#include "gateway/answer.h"
#include "gateway/steps/cors.h"
#include "gateway/upstream/headers.h"
#include "gateway/worker.h"

enum { OURS_MAX = 8 }; /* room for CORS and the two times without a second allocation */

static bool ours_already(const struct dm_fields *ours, enum dm_header_id id)
{
    if (id == DM_HDR_OTHER || id == DM_HDR_VARY) /* Vary lines add up */
        return false;
    for (size_t i = 0; i < ours->count; i++)
        if (ours->items[i].id == id)
            return true;
    return false;
}

static bool add_milliseconds(struct gw_request *rq, struct dm_fields *out, enum dm_header_id id,
                             dm_time took)
{
    const dm_view text = gw_answer_number(rq, took / DM_MS);
    return text.ptr != NULL && dm_fields_add(out, rq->x->arena, id, dm_header_name(id), text);
}

/* What an envelope makes untrue. */
static bool of_bytes(enum dm_header_id id)
{
    return id == DM_HDR_CONTENT_MD5 || id == DM_HDR_CONTENT_DIGEST || id == DM_HDR_ACCEPT_RANGES;
}

static bool add_upstreams(struct gw_request *rq, const struct dm_fields *in, struct dm_fields *out)
{
    const size_t n_ours = out->count;
    const struct dm_fields ours = {.items = out->items, .count = n_ours};
    const bool wrapped = gw_answer_wants_envelope(rq);

    for (size_t i = 0; i < in->count; i++) {
        const struct dm_field_line *f = &in->items[i];
        if (!gw_header_passes(rq->route.api, in, f, DM_HF_RESPONSE) || ours_already(&ours, f->id))
            continue;
        if (f->id == DM_HDR_SET_COOKIE && gw_header_is_own_cookie(f->value))
            continue; /* an upstream sets no session of the gateway */
        if (wrapped && of_bytes(f->id))
            continue;
        if (!dm_fields_add(out, rq->x->arena, f->id, f->name, f->value))
            return false;
    }
    return true;
}

bool gw_headers_down(struct gw_request *rq, struct dm_fields *out)
{
    out->size = rq->up.fields->count + OURS_MAX;
    out->items = dm_arena_alloc(rq->x->arena, out->size * sizeof *out->items);
    return out->items != NULL && gw_cors_actual(rq, out) &&
           add_milliseconds(rq, out, DM_HDR_X_GATEWAY_TIME, gw_now(rq) - rq->times.begun) &&
           add_milliseconds(rq, out, DM_HDR_X_BACKEND_TIME, rq->times.backend) &&
           add_upstreams(rq, rq->up.fields, out);
}

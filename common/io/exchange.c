#include "io/exchange.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "io/carrier.h"
#include "io/compress.h"

#include "base/poison.h"

enum dm_code dm_exchange_pull(struct dm_exchange *x, dm_view *ret_bytes)
{
    return x->carrier_->pull(x, ret_bytes);
}

void dm_exchange_consume(struct dm_exchange *x, size_t len)
{
    x->carrier_->consume(x, len);
}

void dm_exchange_limit_body(struct dm_exchange *x, uint64_t max)
{
    x->carrier_->limit_body(x, max);
}

const struct dm_fields *dm_exchange_trailers(struct dm_exchange *x)
{
    return x->carrier_->trailers(x);
}

static void answer(struct dm_exchange *x, const struct dm_answer *a)
{
    DM_REQUIRE(!dm_exchange_answered(x));
    DM_REQUIRE(a->status >= 200 && a->status <= 999);
    DM_REQUIRE(a->length >= DM_LENGTH_UNKNOWN);
    x->carrier_->answer(x, a);
    x->status = a->status;
}

void dm_exchange_answer(struct dm_exchange *x, const struct dm_answer *a)
{
    struct dm_answer sent = *a;

    dm_compress_begin(x, &sent);
    answer(x, &sent);
}

void dm_exchange_inform(struct dm_exchange *x, int status, const struct dm_fields *fields)
{
    DM_REQUIRE(!dm_exchange_answered(x));
    DM_REQUIRE(status > 101 && status < 200); /* 100 is the carrier's, 101 ends HTTP */
    x->carrier_->inform(x, status, fields);
}

size_t dm_exchange_push(struct dm_exchange *x, dm_view bytes)
{
    DM_REQUIRE(dm_exchange_answered(x));
    if (bytes.len == 0)
        return 0;
    return x->compress_ != NULL ? dm_compress_push(x, bytes) : x->carrier_->push(x, bytes);
}

void dm_exchange_trailer(struct dm_exchange *x, dm_view name, dm_view value)
{
    DM_REQUIRE(dm_exchange_answered(x));
    x->carrier_->trailer(x, name, value);
}

void dm_exchange_finish(struct dm_exchange *x)
{
    DM_REQUIRE(dm_exchange_answered(x));
    if (x->compress_ != NULL)
        dm_compress_finish(x);
    else
        x->carrier_->finish(x);
}

void dm_exchange_room(struct dm_exchange *x)
{
    if (x->compress_ == NULL || dm_compress_room(x))
        x->handler->on_room(x);
}

void dm_exchange_abort(struct dm_exchange *x)
{
    x->carrier_->abort(x);
}

bool dm_exchange_answered(const struct dm_exchange *x)
{
    return x->status != 0;
}

bool dm_exchange_draining(const struct dm_exchange *x)
{
    return x->carrier_->draining(x);
}

void dm_exchange_reply(struct dm_exchange *x, const struct dm_answer *a, dm_view body)
{
    struct dm_answer whole = *a;
    struct dm_buf compressed;
    dm_buf_init(&compressed, body.len + 64); /* what grows by more is sent as it is */
    if (dm_compress_whole(x, &whole, body, &compressed))
        body = dm_buf_view(&compressed);
    answer(x, &whole);
    size_t taken = dm_exchange_push(x, body);
    if (taken < body.len)
        x->carrier_->keep(x, dm_view_sub(body, taken, body.len - taken));
    dm_exchange_finish(x);
    dm_buf_done(&compressed);
}

/* The sentences of errors.def are plain ASCII without quotes; one holds the limit. */
static dm_view refusal_body(struct dm_exchange *x, enum dm_err err, char *text, size_t size)
{
    const struct dm_err_info *info = dm_err_info(err);
    int len;
    if (err == ERR_BODY_TOO_LARGE)
        len = snprintf(
            text, size,
            "{\"error_code\":\"%.*s\",\"error_message\":\"Request entity too large (max: %" PRIu64
            " bytes)\"}",
            DM_FMT(info->code), x->carrier_->body_limit(x));
    else
        len = snprintf(text, size, "{\"error_code\":\"%.*s\",\"error_message\":\"%.*s\"}",
                       DM_FMT(info->code), DM_FMT(info->sentence));
    DM_ASSERT(len > 0 && (size_t)len < size);
    return dm_view_make(text, (size_t)len);
}

/* RFC 9110 §15.5.6: a 405 names what is allowed. Who refuses by route knows better and replies
 * itself; this is for methods that nobody here serves. */
static const dm_view METHODS = {"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS", 44};

void dm_exchange_refuse(struct dm_exchange *x, enum dm_err err, dm_view reason)
{
    enum { BODY_MAX = 512 }; /* code and sentence of errors.def, twice over */
    char text[BODY_MAX];
    dm_view body = refusal_body(x, err, text, sizeof text);
    /* on the stack, not in the arena: a request that has used its memory up must still get its
     * refusal */
    struct dm_field_line lines[3] = {{.name = DM_LIT("Content-Type"),
                                      .value = DM_LIT("application/json"),
                                      .id = DM_HDR_CONTENT_TYPE}};
    struct dm_fields fields = {.items = lines, .count = 1, .size = DM_COUNT_OF(lines)};
    if (reason.len > 0)
        lines[fields.count++] = (struct dm_field_line){
            .name = DM_LIT("X-Doorman-Reason"), .value = reason, .id = DM_HDR_X_DOORMAN_REASON};
    if (err == ERR_METHOD_NOT_ALLOWED)
        lines[fields.count++] =
            (struct dm_field_line){.name = DM_LIT("Allow"), .value = METHODS, .id = DM_HDR_ALLOW};
    struct dm_answer a = {.status = dm_err_info(err)->status, .fields = &fields};
    dm_exchange_reply(x, &a, body);
}

void dm_exchange_ignore(struct dm_exchange *x)
{
    (void)x;
}

void dm_exchange_ignore_gone(struct dm_exchange *x, enum dm_gone why)
{
    (void)x;
    (void)why;
}

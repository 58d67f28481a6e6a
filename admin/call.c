#include "admin/call.h"

#include "admin/app.h"
#include "base/log.h"
#include "codec/uri.h"
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 0))) static dm_view arena_vfmt(struct adm_call *c, const char *fmt,
                                                                va_list args)
{
    char line[512]; /* messages are cut to 255 code points anyway (O9) */
    int len = vsnprintf(line, sizeof(line), fmt, args);

    if (len < 0)
        return DM_VIEW_NONE;
    if ((size_t)len >= sizeof(line))
        len = sizeof(line) - 1;
    return dm_arena_copy(c->arena, dm_view_make(line, (size_t)len));
}

dm_view adm_text(struct adm_call *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    dm_view v = arena_vfmt(c, fmt, args);
    va_end(args);
    return v;
}

static void set_status(struct adm_call *c, int status)
{
    dm_json_free(c->result.response);
    c->result = (struct adm_result){.status = status};
}

void adm_ok(struct adm_call *c, int status, struct dm_json *response)
{
    set_status(c, status);
    c->result.response = response;
}

void adm_ok_message(struct adm_call *c, int status, const char *message)
{
    set_status(c, status);
    c->result.message = dm_view_of(message);
}

void adm_ok_messagef(struct adm_call *c, int status, const char *fmt, ...)
{
    va_list args;

    set_status(c, status);
    va_start(args, fmt);
    c->result.message = arena_vfmt(c, fmt, args);
    va_end(args);
}

void adm_fail(struct adm_call *c, int status, const char *code, const char *message)
{
    set_status(c, status);
    c->result.error_code = dm_view_of(code);
    c->result.error_message = dm_view_of(message);
}

void adm_failf(struct adm_call *c, int status, const char *code, const char *fmt, ...)
{
    va_list args;

    set_status(c, status);
    c->result.error_code = dm_view_of(code);
    va_start(args, fmt);
    c->result.error_message = arena_vfmt(c, fmt, args);
    va_end(args);
}

void adm_fail_err(struct adm_call *c, enum dm_err err)
{
    const struct dm_err_info *info = dm_err_info(err);

    set_status(c, info->status);
    c->result.error_code = info->code;
    c->result.error_message = info->sentence;
}

void adm_fail_store(struct adm_call *c, const struct dm_error *err)
{
    if (err->err == ERR_STORE_LIVE_AWAY || err->err == ERR_STORE_DOCUMENTS_AWAY) {
        adm_fail_err(c, err->err);
        adm_header(c, "Retry-After", DM_LIT("1"));
    } else {
        adm_fail_err(c, ERR_UNEXPECTED);
    }
    DM_LOG(DM_LOG_ERROR, c->rq->request_id, "admin.store.failed",
           DM_FC("kind", dm_code_name(err->kind)), DM_FC("reason", err->text));
}

void adm_fail_invalid(struct adm_call *c)
{
    adm_fail(c, 422, "VAL001", "Validation Error");
}

void adm_header(struct adm_call *c, const char *name, dm_view value)
{
    dm_view n = dm_view_of(name);

    dm_fields_add(&c->rs->fields, c->arena, dm_header_find(n), n, dm_arena_copy(c->arena, value));
}

void adm_audit(struct adm_call *c, dm_view target, struct dm_json *details)
{
    c->audit.target = dm_arena_copy(c->arena, target);
    dm_json_free(c->audit.details);
    c->audit.details = details;
}

bool adm_query_i64(struct adm_call *c, const char *name, int64_t fallback, int64_t *ret)
{
    struct dm_buf text;
    dm_view v;
    bool good;

    dm_buf_init(&text, 64); /* no integer needs more */
    if (!dm_query_get(c->query, dm_view_of(name), &text)) {
        bool overlong = !dm_buf_ok(&text);
        dm_buf_done(&text);
        if (overlong)
            adm_fail_invalid(c);
        else
            *ret = fallback;
        return !overlong;
    }
    v = dm_buf_view(&text);
    if (v.len > 0 && v.ptr[0] == '+')
        v = dm_view_sub(v, 1, v.len);
    good = dm_parse_i64(v, INT64_MIN, INT64_MAX, ret);
    dm_buf_done(&text);
    if (!good)
        adm_fail_invalid(c);
    return good;
}

bool adm_page_of(struct adm_call *c, struct adm_page *ret)
{
    return adm_page_by(c, 10, ret);
}

bool adm_page_by(struct adm_call *c, int64_t default_size, struct adm_page *ret)
{
    if (!adm_query_i64(c, "page", 1, &ret->page) ||
        !adm_query_i64(c, "page_size", default_size, &ret->size))
        return false;
    if (ret->page < 1) {
        adm_fail(c, 400, "PAG001", "Invalid page or page size");
        return false;
    }
    if (ret->size < 1 || ret->size > c->settings->max_page_size) {
        adm_fail(c, 400, "PAG001", "Page size exceeds maximum limit");
        return false;
    }
    if (ret->page >
        INT64_MAX / ret->size - 1) /* past every possible end: an empty page, no overflow */
        ret->page = INT64_MAX / ret->size - 1;
    return true;
}

void adm_ok_page(struct adm_call *c, const char *items_key, struct dm_json *items,
                 const struct adm_page *p, uint64_t total)
{
    struct dm_json *page = dm_json_new_object();
    struct dm_json *kept = dm_json_new_array();
    bool has_next = dm_json_len(items) > (size_t)p->size;
    int64_t n = 0;

    for (struct dm_json *item = dm_json_first(items); item != NULL && n < p->size;
         item = dm_json_next(item), n++)
        dm_json_push(kept, dm_json_clone(item));
    dm_json_free(items);
    dm_json_set(page, dm_view_of(items_key), kept);
    dm_json_set_i64(page, DM_LIT("page"), p->page);
    dm_json_set_i64(page, DM_LIT("page_size"), p->size);
    dm_json_set_bool(page, DM_LIT("has_next"), has_next);
    dm_json_set_i64(page, DM_LIT("total"), (int64_t)total);
    adm_ok(c, 200, page);
}

void adm_list_page(struct adm_call *c, const char *collection, const char *items_key,
                   const char *sort)
{
    struct dm_json *items = NULL;
    struct dm_query query = {.sort = sort};
    struct adm_page page;
    struct dm_error err;
    uint64_t total;

    if (!adm_page_of(c, &page))
        return;
    query.skip = (size_t)((page.page - 1) * page.size);
    query.limit = (size_t)page.size + 1;
    if (dm_documents_list(adm_documents(c->app), collection, &query, &items, &err) != DM_OK ||
        dm_documents_count(adm_documents(c->app), collection, NULL, 0, &total, &err) != DM_OK) {
        dm_json_free(items);
        adm_fail_store(c, &err);
        return;
    }
    adm_ok_page(c, items_key, items, &page, total);
}

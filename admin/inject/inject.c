#include "admin/inject/inject.h"

#include "admin/inject/workload.h"
#include "codec/yaml_edit.h"
#include "codec/yaml_write.h"

#include "base/poison.h"

typedef enum dm_code (*object_fn)(struct adm_injection *in, struct dm_yaml *object);

#define MARK DM_LIT("---")

/* A line "---" is where a document begins, whatever is around it (YAML 1.2, 9.1.2). */
static bool is_mark(dm_view line)
{
    return dm_view_starts(line, MARK) &&
           (line.len == MARK.len || line.ptr[MARK.len] == ' ' || line.ptr[MARK.len] == '\t' ||
            line.ptr[MARK.len] == '\r' || line.ptr[MARK.len] == '\n');
}

struct reader {
    dm_view rest;
    unsigned line, next_line; /* of the document that was given, of the one after it */
};

/* The next document with its mark; false: no more. */
static bool next_document(struct reader *r, dm_view *ret)
{
    size_t end = 0;
    if (r->rest.len == 0)
        return false;
    r->line = r->next_line;
    do {
        end = dm_view_find_byte(r->rest, '\n', end);
        end += end < r->rest.len; /* behind the line */
        r->next_line++;
    } while (end < r->rest.len && !is_mark(dm_view_sub(r->rest, end, MARK.len + 1)));
    *ret = dm_view_sub(r->rest, 0, end);
    r->rest = dm_view_sub(r->rest, end, r->rest.len);
    return true;
}

/* An object, or each object of a List. */
static enum dm_code each_object(struct adm_injection *in, struct dm_yaml *root, object_fn fn)
{
    if (!dm_view_eq(adm_text_of(root, DM_LIT("kind")), DM_LIT("List")))
        return fn(in, root);
    const struct dm_yaml *items = dm_yaml_member(root, DM_LIT("items"));
    enum dm_code code = DM_OK;
    if (items == NULL || items->kind != DM_YAML_LIST)
        return DM_OK;
    for (struct dm_yaml *i = items->first; code == DM_OK && i != NULL; i = i->next)
        code = fn(in, i);
    return code;
}

static enum dm_code write_document(const struct adm_injection *in, dm_view text, unsigned line,
                                   struct dm_buf *out)
{
    enum dm_code code = DM_OK;
    if (!in->changed)
        dm_buf_add(out, text);
    else if (is_mark(dm_view_sub(text, 0, MARK.len + 1)))
        dm_buf_add(out, DM_LIT("---\n"));
    if (in->changed)
        code = dm_yaml_write(dm_yaml_root(in->doc), out);
    if (code != DM_OK || !dm_buf_ok(out))
        return DM_FAIL(in->err, DM_LIMIT, ERR_NONE, "%u:1: over %d bytes come of it", line,
                       ADM_INJECT_OUTPUT_MAX);
    return DM_OK;
}

/* out NULL: workloads only, to learn which pods there are. */
static enum dm_code do_document(struct adm_injection *in, dm_view text, unsigned line,
                                struct dm_buf *out)
{
    enum dm_code code = dm_yaml_parse_from(text, line, &in->doc, in->err);
    if (code != DM_OK)
        return code;
    struct dm_yaml *root = dm_yaml_edit(in->doc);
    in->changed = false;
    if (root != NULL)
        code = each_object(in, root, adm_inject_workload);
    if (code == DM_OK && root != NULL && out != NULL)
        code = each_object(in, root, adm_inject_service);
    if (code == DM_OK && out != NULL)
        code = write_document(in, text, line, out);
    dm_yaml_free(in->doc);
    in->doc = NULL;
    return code;
}

static enum dm_code do_all(struct adm_injection *in, dm_view text, struct dm_buf *out)
{
    struct reader r = {.rest = text, .next_line = 1};
    enum dm_code code = DM_OK;
    dm_view document;
    for (size_t n = 0; code == DM_OK && next_document(&r, &document); n++) {
        if (n == ADM_INJECT_DOCUMENTS_MAX)
            return DM_FAIL(in->err, DM_LIMIT, ERR_NONE, "%u:1: more than %d documents", r.line,
                           ADM_INJECT_DOCUMENTS_MAX);
        code = do_document(in, document, r.line, out);
    }
    return code;
}

/* Services may stand before the workloads that they select, so all is read twice. */
static enum dm_code do_twice(struct adm_injection *in, dm_view text, struct dm_buf *out,
                             struct dm_buf *notes)
{
    enum dm_code code = dm_yaml_parse(DM_LIT("[]"), &in->pods, in->err);
    if (code == DM_OK)
        code = do_all(in, text, NULL);
    if (code != DM_OK)
        return code;
    in->pods_known = true;
    in->notes = notes;
    if (dm_yaml_root(in->pods)->first == NULL)
        dm_buf_add(notes, DM_LIT("no workload to put the sidecar into\n"));
    code = do_all(in, text, out);
    if (code == DM_OK && in->turn_services && in->n_turned == 0)
        code = DM_FAIL(in->err, DM_INVALID, ERR_NONE,
                       "--service: no Service here selects a workload that gets the sidecar");
    return code;
}

enum dm_code adm_inject(dm_view text, const struct adm_parts_options *options, struct dm_buf *out,
                        struct dm_buf *notes, struct dm_error *err)
{
    struct adm_parts parts;
    if (text.len > DM_YAML_BYTES_MAX)
        return DM_FAIL(err, DM_LIMIT, ERR_NONE, "1:1: over %d bytes", DM_YAML_BYTES_MAX);
    enum dm_code code = adm_parts_make(options, &parts, err);
    if (code != DM_OK)
        return code;
    struct adm_injection in = {.parts = &parts,
                               .service_port = options->service_port,
                               .turn_services = options->service || options->service_port != NULL,
                               .err = err};
    code = do_twice(&in, text, out, notes);
    dm_yaml_free(in.pods);
    adm_parts_done(&parts);
    return code;
}

#include "codec/yaml_write.h"

#include <stdio.h>
#include <yaml.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    INDENT = 2,
    NO_FOLDING = -1 /* a long text stays on its line */
};

static int on_output(void *ctx, unsigned char *bytes, size_t len)
{
    struct dm_buf *out = ctx;
    dm_buf_add(out, dm_view_make((const char *)bytes, len));
    return dm_buf_ok(out);
}

/* ---- how a text is written ---- */

/* Scripts stay readable. Not those that end with an empty line: libyaml closes a document after
 * one with "...". */
static bool fits_block(dm_view text)
{
    if (text.len < 2 || text.ptr[0] == '\n' || dm_view_ends(text, DM_LIT("\n\n")))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c != '\n' && (c < 0x20 || c > 0x7e))
            return false;
    }
    return dm_view_find_byte(text, '\n', 0) != text.len;
}

/* Such a text is no number, truth value or null, so quotes do not change what it is. Line breaks,
 * those beyond ASCII too, and letters that need an escape survive in double quotes only. */
static bool needs_escapes(dm_view text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c > 0x7e)
            return true;
    }
    return false;
}

/* libyaml itself goes from plain to single quotes, and from those to double ones, where a text asks
 * for it: so a text that was read again is written the same way. */
static yaml_scalar_style_t style_of(dm_view text, bool quoted)
{
    const bool escaped = needs_escapes(text);
    if (!quoted && !escaped)
        return YAML_PLAIN_SCALAR_STYLE;
    if (fits_block(text))
        return YAML_LITERAL_SCALAR_STYLE;
    return escaped ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_SINGLE_QUOTED_SCALAR_STYLE;
}

/* ---- events ---- */

/* Making an event fails for want of memory only: texts are valid UTF-8. */
static bool emit(yaml_emitter_t *emitter, int made, yaml_event_t *event)
{
    if (made != 1)
        dm_assert_fail("memory", "yaml event", __FILE__, __LINE__);
    return yaml_emitter_emit(emitter, event) == 1; /* takes the event either way */
}

static bool emit_scalar(yaml_emitter_t *emitter, dm_view text, bool quoted, const char *tag)
{
    yaml_event_t event;
    char full[40];
    const bool tagged = tag != NULL;
    if (tagged)
        snprintf(full, sizeof(full), "tag:yaml.org,2002:%s", tag);
    int made = yaml_scalar_event_initialize(
        &event, NULL, tagged ? (const yaml_char_t *)full : NULL,
        (const yaml_char_t *)(text.ptr == NULL ? "" : text.ptr), (int)text.len, !tagged, !tagged,
        tagged ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : style_of(text, quoted));
    return emit(emitter, made, &event);
}

static bool emit_value(yaml_emitter_t *emitter, const struct dm_yaml *n)
{
    if (n->is_null && n->tag == NULL)
        return emit_scalar(emitter, DM_LIT("null"), false, NULL);
    return emit_scalar(emitter, n->text, n->quoted, n->tag);
}

static bool emit_start(yaml_emitter_t *emitter, enum dm_yaml_kind kind)
{
    yaml_event_t event;
    int made =
        kind == DM_YAML_MAP
            ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)
            : yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                   YAML_BLOCK_SEQUENCE_STYLE);
    return emit(emitter, made, &event);
}

static bool emit_end(yaml_emitter_t *emitter, enum dm_yaml_kind kind)
{
    yaml_event_t event;
    int made = kind == DM_YAML_MAP ? yaml_mapping_end_event_initialize(&event)
                                   : yaml_sequence_end_event_initialize(&event);
    return emit(emitter, made, &event);
}

/* As deep as documents are: DM_YAML_DEPTH_MAX, twice that after a copy was put at the bottom. */
static bool emit_tree(yaml_emitter_t *emitter, const struct dm_yaml *n)
{
    if (n->kind == DM_YAML_SCALAR)
        return emit_value(emitter, n);
    bool good = emit_start(emitter, n->kind);
    for (const struct dm_yaml *child = n->first; good && child != NULL; child = child->next) {
        if (n->kind == DM_YAML_MAP)
            good = emit_scalar(emitter, child->key, child->key_quoted, NULL);
        good = good && emit_tree(emitter, child);
    }
    return good && emit_end(emitter, n->kind);
}

enum dm_code dm_yaml_write(const struct dm_yaml *root, struct dm_buf *out)
{
    yaml_emitter_t emitter;
    yaml_event_t event;
    if (yaml_emitter_initialize(&emitter) != 1)
        dm_assert_fail("memory", "yaml emitter", __FILE__, __LINE__);
    yaml_emitter_set_output(&emitter, on_output, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_indent(&emitter, INDENT);
    yaml_emitter_set_width(&emitter, NO_FOLDING);
    bool good =
        emit(&emitter, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event);
    good = good && emit(&emitter, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1),
                        &event);
    good = good && emit_tree(&emitter, root);
    good = good && emit(&emitter, yaml_document_end_event_initialize(&event, 1), &event);
    good = good && emit(&emitter, yaml_stream_end_event_initialize(&event), &event);
    yaml_emitter_delete(&emitter);
    return good ? DM_OK : DM_LIMIT;
}

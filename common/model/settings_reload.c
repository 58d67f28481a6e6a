/* What a reload asks of loaded settings: which files are behind them, what those hold now, which
 * values only a restart changes (configuration.md §5). */
#include "model/settings_load.h"

#include "base/assert.h"
#include "codec/json.h"
#include "crypto/digest.h"

#include <string.h>

#include "base/poison.h"

/* ---- files ---- */

/* The keys of JWT_KEYS may stand in files of their own. */
void dm_settings_watch_key_paths(struct dm_settings_loading *l)
{
    const dm_view text = dm_secret_view(&l->s->jwt_keys);
    struct dm_json *keys = NULL;
    struct dm_error err;

    if (text.len == 0 || dm_json_parse(text, &dm_json_default, &keys, &err) != DM_OK)
        return; /* whoever builds the keys tells what is wrong */
    for (struct dm_json *k = dm_json_first(keys); k != NULL; k = dm_json_next(k)) {
        for (struct dm_json *m = dm_json_first(k); m != NULL; m = dm_json_next(m)) {
            if (dm_view_ends(dm_json_name(m), DM_LIT("_path")) && dm_json_str(m).len > 0)
                dm_settings_watch(l->st, dm_json_str(m));
        }
    }
    dm_json_wipe(keys);
    dm_json_free(keys);
}

/* Name, whether it could be read, and what is in it. */
static void digest_file(dm_view path, struct dm_buf *digests)
{
    unsigned char digest[DM_SHA256_LEN] = {0};
    struct dm_buf text;
    dm_buf_init(&text, DM_SETTINGS_READ_CAP);
    bool readable = dm_settings_read(path, &text) == NULL;
    if (readable)
        dm_sha256(dm_buf_view(&text), digest);
    dm_settings_wipe(&text);
    dm_buf_add(digests, path);
    dm_buf_add_byte(digests, '\0');
    dm_buf_add_byte(digests, readable ? '1' : '0');
    dm_buf_add(digests, dm_view_make((const char *)digest, sizeof digest));
}

void dm_settings_digest(const struct dm_settings *s, unsigned char out[DM_SHA256_LEN])
{
    struct dm_buf digests;
    dm_view path;
    dm_buf_init(&digests, SIZE_MAX);
    if (dm_settings_file(s).len > 0)
        digest_file(dm_settings_file(s), &digests);
    for (size_t i = 0; dm_settings_watched(s, i, &path); i++)
        digest_file(path, &digests);
    dm_sha256(dm_buf_view(&digests), out);
    dm_buf_done(&digests);
}

/* ---- values ---- */

bool dm_settings_overridden(const struct dm_settings *s, const struct dm_setting_row *row)
{
    size_t n;
    return s->storage_->overridden[row - dm_setting_rows(&n)];
}

static size_t size_of(enum dm_setting_type type)
{
    switch (type) {
    case DM_SETTING_BOOL:
        return sizeof(bool);
    case DM_SETTING_TRI:
    case DM_SETTING_ENUM:
        return sizeof(int);
    case DM_SETTING_INT:
    case DM_SETTING_BYTES:
        return sizeof(int64_t);
    case DM_SETTING_SECONDS:
    case DM_SETTING_WHOLE_SECONDS:
        return sizeof(dm_time);
    case DM_SETTING_FLOAT:
        return sizeof(double);
    case DM_SETTING_STR:
    case DM_SETTING_PATH:
    case DM_SETTING_URL:
    case DM_SETTING_PEM:
        return sizeof(dm_view);
    case DM_SETTING_CSV:
        return sizeof(struct dm_strs);
    case DM_SETTING_CIDRS:
    case DM_SETTING_SECRET:
    case DM_SETTING_SECRET_JSON:
        break; /* owners: not copied byte by byte */
    }
    DM_UNREACHABLE();
}

static void keep_value(struct dm_settings *s, const struct dm_settings *old,
                       const struct dm_setting_row *row)
{
    void *to = (char *)s + row->offset;
    const void *from = (const char *)old + row->offset;
    if (dm_setting_secret(row))
        dm_secret_set(to, dm_secret_view(from));
    else
        memcpy(to, from, size_of(row->type));
}

size_t dm_settings_keep_restart_only(struct dm_settings *s, struct dm_settings *first, bool *kept)
{
    size_t n, changed = 0;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    for (size_t i = 0; i < n; i++) {
        kept[i] = rows[i].reload != 'H' && rows[i].reload != 'F' &&
                  dm_setting_read_by(&rows[i], s->role) && !dm_settings_same(s, first, &rows[i]);
        if (!kept[i])
            continue;
        keep_value(s, first, &rows[i]);
        s->storage_->origins[i] = first->storage_->origins[i];
        changed++;
    }
    s->production = first->production; /* of ENV, which needs a restart */
    if (changed > 0 && s->storage_->texts_of == NULL)
        s->storage_->texts_of = dm_settings_ref(first);
    return changed;
}

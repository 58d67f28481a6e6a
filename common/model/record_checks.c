/* Rules of single fields that a type and a range cannot say. */
#include "codec/uri.h"
#include "model/record_rows.h"

const char *const words_method[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "*", NULL};
const char *const words_ip_mode[] = {"allow_all", "whitelist", NULL};
const char *const words_store_down[] = {"deny", "allow", "local", NULL};

bool check_name(const struct dm_json *v)
{
    dm_view text = dm_json_str(v);

    for (size_t i = 0; i < text.len; i++) {
        unsigned char b = (unsigned char)text.ptr[i];
        if (b < 0x20 || b == 0x7f || b == '/')
            return false;
    }
    return true;
}

bool check_servers(const struct dm_json *v)
{
    struct dm_url url;

    for (struct dm_json *item = dm_json_first(v); item != NULL; item = dm_json_next(item)) {
        if (dm_url_parse(dm_json_str(item), &url, NULL) != DM_OK)
            return false;
    }
    return true;
}

bool check_uri(const struct dm_json *v)
{
    dm_view text = dm_json_str(v);
    size_t star = dm_view_find_byte(text, '*', 0);

    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    }
    return star == text.len || (star + 1 == text.len && star > 0 && text.ptr[star - 1] == '/');
}

static struct dm_json *mapped(const struct dm_json *v, bool upper)
{
    dm_view text = dm_json_str(v);
    struct dm_buf b;
    struct dm_json *out;

    dm_buf_init(&b, text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
        dm_buf_add_byte(&b, letter ? (char)(c ^ 0x20) : c);
    }
    out = dm_json_new_str(dm_buf_view(&b));
    dm_buf_done(&b);
    return out;
}

struct dm_json *normal_method(const struct dm_json *v)
{
    return mapped(v, true);
}

struct dm_json *normal_mode(const struct dm_json *v)
{
    struct dm_json *trimmed = dm_json_new_str(dm_view_trim(dm_json_str(v)));
    struct dm_json *out = mapped(trimmed, false);

    dm_json_free(trimmed);
    return out;
}

struct dm_json *normal_uri(const struct dm_json *v)
{
    dm_view text = dm_json_str(v);
    struct dm_buf b;
    struct dm_json *out;

    if (text.len == 0 || text.ptr[0] == '/')
        return dm_json_clone(v);
    dm_buf_init(&b, text.len + 2);
    dm_buf_add_byte(&b, '/');
    dm_buf_add(&b, text);
    out = dm_json_new_str(dm_buf_view(&b));
    dm_buf_done(&b);
    return out;
}

/* --- transforms: every operation of the right shape; paths and names are texts --- */

enum shape { SHAPE_LIST, SHAPE_MAP, SHAPE_TEXT };

static bool is_list_of_texts(const struct dm_json *v)
{
    if (!dm_json_is(v, DM_JSON_ARRAY))
        return false;
    for (struct dm_json *item = dm_json_first(v); item != NULL; item = dm_json_next(item)) {
        if (!dm_json_is(item, DM_JSON_STRING))
            return false;
    }
    return true;
}

static bool has_shape(const struct dm_json *v, enum shape shape)
{
    switch (shape) {
    case SHAPE_LIST:
        return is_list_of_texts(v);
    case SHAPE_MAP:
        return dm_json_is(v, DM_JSON_OBJECT);
    case SHAPE_TEXT:
        return dm_json_is(v, DM_JSON_STRING);
    }
    return false;
}

static bool check_operations(const struct dm_json *section)
{
    static const struct {
        const char *name;
        enum shape shape;
    } operations[] = {{"remove", SHAPE_LIST}, {"rename", SHAPE_MAP}, {"add", SHAPE_MAP},
                      {"set", SHAPE_MAP},     {"wrap", SHAPE_TEXT}};

    if (!dm_json_is(section, DM_JSON_OBJECT))
        return false;
    for (size_t i = 0; i < DM_COUNT_OF(operations); i++) {
        const struct dm_json *op = dm_json_get(section, dm_view_of(operations[i].name));
        if (op != NULL && !has_shape(op, operations[i].shape))
            return false;
    }
    return true;
}

static bool check_direction(const struct dm_json *v)
{
    static const char *const sections[] = {"headers", "query", "body"};
    const struct dm_json *map = dm_json_get(v, DM_LIT("status_map"));

    if (!dm_json_is(v, DM_JSON_OBJECT))
        return false;
    for (size_t i = 0; i < DM_COUNT_OF(sections); i++) {
        const struct dm_json *section = dm_json_get(v, dm_view_of(sections[i]));
        if (section != NULL && !check_operations(section))
            return false;
    }
    return map == NULL || dm_json_is(map, DM_JSON_OBJECT);
}

bool check_transform(const struct dm_json *v)
{
    const struct dm_json *request = dm_json_get(v, DM_LIT("request"));
    const struct dm_json *response = dm_json_get(v, DM_LIT("response"));

    return check_direction(v) && (request == NULL || check_direction(request)) &&
           (response == NULL || check_direction(response));
}

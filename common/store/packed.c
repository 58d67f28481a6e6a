#include "store/packed.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/index.h"
#include "model/record.h"

#include "base/poison.h"

/* Compact JSON holds no control characters, so they lead what stands for something else. */
enum lead {
    LEAD_BYTE = 1, /* one control character follows, as it stood in the text */
    LEAD_NAME,     /* the number of a name follows; stands for `"name":` */
    LEAD_UUID,     /* 16 bytes follow; stands for a quoted UUID in lower case */
    LEADS_END,
    CONTROLS_END = 0x20
};
enum {
    NAMES_MAX = 256, /* of all field tables together; a number is one byte */
    NAME_LEN_MAX = 40,
    UUID_LEN = 36,
    CODE_MAX = 17
};

struct names {
    struct dm_index by_text; /* to places in tokens; their lifetime is the process's */
    dm_view tokens[NAMES_MAX];
    char texts[NAMES_MAX][NAME_LEN_MAX + 3]; /* with quotes and colon */
    size_t n;
};
static struct names names;
static pthread_once_t named = PTHREAD_ONCE_INIT;

static bool is_token(const void *item, const void *key)
{
    return dm_view_eq(*(const dm_view *)item, *(const dm_view *)key);
}

static dm_view *find_name(dm_view token)
{
    return dm_index_find(&names.by_text, dm_view_hash(token, 0), is_token, &token);
}

static void add_name(const char *name)
{
    size_t len = strlen(name);
    DM_REQUIRE(names.n < NAMES_MAX && len <= NAME_LEN_MAX);
    char *text = names.texts[names.n];
    text[0] = '"';
    memcpy(text + 1, name, len);
    memcpy(text + 1 + len, "\":", 2);
    dm_view token = dm_view_make(text, len + 3);
    if (find_name(token) != NULL)
        return; /* nouns share fields */
    dm_view *place = &names.tokens[names.n++];
    *place = token;
    dm_index_put(&names.by_text, dm_view_hash(token, 0), place);
}

static void name_all(void)
{
    size_t n;
    const struct dm_record_type *const *types = dm_record_types(&n);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < types[i]->n_fields; k++)
            add_name(types[i]->fields[k].name);
    }
}

/* Each gives how many bytes of the text its code stands for, 0: none. */

static size_t name_code(dm_view rest, struct dm_buf *out)
{
    size_t end = dm_view_find_byte(dm_view_sub(rest, 0, NAME_LEN_MAX + 2), '"', 1);
    if (end + 1 >= rest.len || rest.ptr[end] != '"' || rest.ptr[end + 1] != ':')
        return 0;
    const dm_view *place = find_name(dm_view_sub(rest, 0, end + 2));
    if (place == NULL)
        return 0;
    dm_buf_add_byte(out, LEAD_NAME);
    dm_buf_add_byte(out, (char)(place - names.tokens));
    return end + 2;
}

static bool is_dash(size_t at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t uuid_code(dm_view rest, struct dm_buf *out)
{
    char code[CODE_MAX] = {LEAD_UUID};
    size_t digits = 0;
    if (rest.len < UUID_LEN + 2 || rest.ptr[UUID_LEN + 1] != '"')
        return 0;
    for (size_t i = 0; i < UUID_LEN; i++) {
        char c = rest.ptr[i + 1];
        if (is_dash(i) ? c != '-' : hex_of(c) < 0)
            return 0;
        if (is_dash(i))
            continue;
        char *byte = &code[1 + digits / 2];
        *byte = (char)(*byte << 4 | hex_of(c));
        digits++;
    }
    dm_buf_add(out, dm_view_make(code, sizeof code));
    return UUID_LEN + 2;
}

static size_t control_code(char c, struct dm_buf *out)
{
    dm_buf_add_byte(out, LEAD_BYTE);
    dm_buf_add_byte(out, c);
    return 1;
}

static size_t code_at(dm_view rest, struct dm_buf *out)
{
    if (rest.ptr[0] != '"')
        return control_code(rest.ptr[0], out);
    size_t used = name_code(rest, out);
    return used > 0 ? used : uuid_code(rest, out);
}

static bool is_plain(char c)
{
    return (unsigned char)c >= CONTROLS_END && c != '"';
}

void dm_pack(dm_view text, struct dm_buf *out)
{
    (void)pthread_once(&named, name_all);
    for (size_t at = 0; at < text.len;) {
        size_t from = at;
        while (at < text.len && is_plain(text.ptr[at]))
            at++;
        dm_buf_add(out, dm_view_sub(text, from, at - from));
        if (at == text.len)
            return;
        size_t used = code_at(dm_view_sub(text, at, SIZE_MAX), out);
        if (used == 0)
            dm_buf_add_byte(out, '"');
        at += used > 0 ? used : 1;
    }
}

static void add_uuid(const unsigned char *bytes, struct dm_buf *out)
{
    static const char digits[] = "0123456789abcdef";
    char text[UUID_LEN + 2] = {[0] = '"', [UUID_LEN + 1] = '"'};
    size_t n = 0;
    for (size_t i = 0; i < UUID_LEN; i++) {
        if (is_dash(i)) {
            text[i + 1] = '-';
            continue;
        }
        text[i + 1] = digits[n % 2 == 0 ? bytes[n / 2] >> 4 : bytes[n / 2] & 15];
        n++;
    }
    dm_buf_add(out, dm_view_make(text, sizeof text));
}

/* Gives the length of the code. */
static size_t add_meaning(dm_view rest, struct dm_buf *out)
{
    const unsigned char *bytes = (const unsigned char *)rest.ptr;
    size_t len = bytes[0] == LEAD_UUID ? CODE_MAX : 2;
    DM_ASSERT(bytes[0] >= LEAD_BYTE && bytes[0] < LEADS_END && rest.len >= len);
    switch (bytes[0]) {
    case LEAD_BYTE:
        dm_buf_add_byte(out, rest.ptr[1]);
        break;
    case LEAD_NAME:
        DM_ASSERT(bytes[1] < names.n);
        dm_buf_add(out, names.tokens[bytes[1]]);
        break;
    default:
        add_uuid(bytes + 1, out);
        break;
    }
    return len;
}

void dm_unpack(dm_view packed, struct dm_buf *out)
{
    for (size_t at = 0; at < packed.len;) {
        size_t from = at;
        while (at < packed.len && (unsigned char)packed.ptr[at] >= CONTROLS_END)
            at++;
        dm_buf_add(out, dm_view_sub(packed, from, at - from));
        if (at < packed.len)
            at += add_meaning(dm_view_sub(packed, at, SIZE_MAX), out);
    }
}

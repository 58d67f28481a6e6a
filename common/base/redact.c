#include "base/redact.h"

#include <string.h>

#include "base/mem.h"
#include "base/redact_names.h"

#include "base/poison.h"

#define MASK DM_LIT("[REDACTED]")

enum {
    TOKEN_MIN = 20,    /* operations.md §8.6: a shorter "token" is a word */
    SK_KEY_MIN = 32,   /* "sk-" and at least so many characters */
    HEX_MIN = 32,      /* 128 bits */
    BEARER_MIN = 16,   /* "Bearer" and a blank in free text: shorter is prose */
    PEM_LABEL_MAX = 64 /* "-----BEGIN ENCRYPTED PRIVATE KEY-----" has 37 */
};

/* The pass over one text: at is the next byte to read, copied the first not yet in out. */
struct pass {
    dm_view in;
    size_t at, copied;
    struct dm_buf *out;
    bool json;      /* track strings, keep the text well-formed */
    bool in_string; /* of the outermost level */
};

static const bool base64url[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['_'] = true,
};

static inline bool is_base64url(char c)
{
    return base64url[(unsigned char)c];
}

static bool is_token_char(char c)
{
    return is_base64url(c) || (c != '\0' && strchr(".~+/=%", c) != NULL);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static inline size_t run_end(dm_view in, size_t from, bool (*belongs)(char c))
{
    while (from < in.len && belongs(in.ptr[from]))
        from++;
    return from;
}

static bool at_word(dm_view in, size_t at, dm_view word)
{
    return dm_view_eq_nocase(dm_view_sub(in, at, word.len), word);
}

static inline char byte_at(dm_view in, size_t at)
{
    return at < in.len ? in.ptr[at] : '\0';
}

/* Replaces [from, to) by the mask and goes on behind it. */
static void mask(struct pass *p, size_t from, size_t to, dm_view with)
{
    if (to > from) {
        dm_buf_add(p->out, dm_view_sub(p->in, p->copied, from - p->copied));
        dm_buf_add(p->out, with);
        p->copied = to;
    }
    p->at = to;
}

static size_t backslashes_at(dm_view in, size_t at)
{
    size_t n = 0;
    while (byte_at(in, at + n) == '\\')
        n++;
    return n;
}

/* What ends a value that has no quotes of its own. */
enum stop {
    STOP_LINE = 0, /* the line, or the JSON string around it */
    STOP_SEMICOLON = 1,
    STOP_BLANK = 2,
    STOP_AMPERSAND = 4,
    STOP_QUOTE = 8 /* a quote that ends a word: the URL in "GET /x?token=abc" */
};

static bool ends_word(char c)
{
    return c == '\0' || strchr(" \t\r\n,}])>", c) != NULL;
}

static bool stops(dm_view in, size_t at, unsigned stop)
{
    switch (in.ptr[at]) {
    case '\r':
    case '\n':
        return true;
    case ' ':
    case '\t':
        return stop & STOP_BLANK;
    case ';':
        return stop & STOP_SEMICOLON;
    case '&':
        return stop & STOP_AMPERSAND;
    case '%':
        return (stop & STOP_AMPERSAND) && at_word(in, at, DM_LIT("%26"));
    case '"':
    case '\'':
        return (stop & STOP_QUOTE) && ends_word(byte_at(in, at + 1));
    default:
        return false;
    }
}

/* What an escaped byte does: the escapes of CR and LF (and of a tab, where blanks count) end a line
 * as the bytes would. Not in a URL: there they are a backslash and a letter. */
static bool escape_stops(char letter, unsigned stop)
{
    if (stop & STOP_QUOTE)
        return false;
    return letter == 'n' || letter == 'r' || (letter == 't' && (stop & STOP_BLANK));
}

/* End of an unquoted value. A backslash and what follows it are one unit, as our own lines have it.
 */
static size_t bare_end(const struct pass *p, size_t at, unsigned stop)
{
    dm_view in = p->in;
    while (at < in.len && !stops(in, at, stop)) {
        if (p->in_string && in.ptr[at] == '"')
            break;
        if (in.ptr[at] == '\\' && at + 1 < in.len) {
            if (escape_stops(in.ptr[at + 1], stop))
                break;
            at++;
        }
        at++;
    }
    return at;
}

/* End of a quoted value that begins at `at`: the quote that has `depth` backslashes before it (0 in
 * plain text and JSON, 1 in JSON within a JSON string, then 3, ...), or where the string around it
 * ends. */
static size_t quoted_end(const struct pass *p, size_t at, char quote, size_t depth)
{
    dm_view in = p->in;
    while (at < in.len && in.ptr[at] != '\n' && in.ptr[at] != '\r') {
        size_t run = backslashes_at(in, at);
        char c = byte_at(in, at + run);
        if (c == quote && run % (2 * depth + 2) == depth)
            return at + run - depth;
        if (p->in_string && c == '"' && run % 2 == 0)
            return at + run;
        at += run == 0 ? 1 : run + (at + run < in.len);
    }
    return at;
}

/* End of a JSON object or array that begins at `at`, outside any string. */
static size_t nested_end(dm_view in, size_t at)
{
    size_t depth = 0;
    bool in_string = false;
    for (; at < in.len; at++) {
        char c = in.ptr[at];
        if (in_string && c == '\\') {
            at++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == '{' || c == '[')) {
            depth++;
        } else if (!in_string && (c == '}' || c == ']') && --depth == 0) {
            return at + 1;
        }
    }
    return in.len;
}

static bool ends_json_value(char c)
{
    return strchr(",}] \t\r\n", c) != NULL;
}

/* A value of the outermost JSON that is no string: the mask becomes one. */
static void mask_json_value(struct pass *p, size_t at)
{
    size_t end = at;
    char c = byte_at(p->in, at);
    if (c == '{' || c == '[') {
        end = nested_end(p->in, at);
    } else {
        while (end < p->in.len && !ends_json_value(p->in.ptr[end]))
            end++;
    }
    mask(p, at, end, DM_LIT("\"[REDACTED]\""));
}

/* "Bearer " and kin stay, so that a reader sees which kind of credential came. */
static size_t skip_scheme(dm_view in, size_t at)
{
    static const dm_view schemes[] = {{"Bearer", 6}, {"Basic", 5}, {"Digest", 6}, {"Negotiate", 9}};
    for (size_t i = 0; i < DM_COUNT_OF(schemes); i++) {
        size_t end = at + schemes[i].len;
        if (at_word(in, at, schemes[i]) && byte_at(in, end) == ' ')
            return end + 1;
    }
    return at;
}

static bool in_query(dm_view in, size_t separator)
{
    /* the name of a query parameter begins behind ? or &; names are short */
    for (size_t i = 0; i < 64 && i < separator; i++) {
        char c = in.ptr[separator - 1 - i];
        if (c == '?' || c == '&')
            return true;
        if (c == ' ' || c == '"' || c == '\'')
            return false;
    }
    return false;
}

static unsigned stop_of(dm_view in, size_t value, enum dm_secret_name name, bool query)
{
    char first = byte_at(in, value);
    if ((first == '{' || first == '[') && !at_word(in, value, MASK))
        return STOP_LINE; /* an object inside a text: where it ends is anybody's guess */
    if (query)
        return STOP_BLANK | STOP_AMPERSAND | STOP_QUOTE;
    if (name == DM_NAME_COOKIE)
        return STOP_LINE;
    return name == DM_NAME_HEADER ? STOP_SEMICOLON : STOP_BLANK | STOP_AMPERSAND;
}

/* Whether `quote`, with `depth` backslashes before it, opens a value, and is not the end of the
 * JSON string around us. The value of a header may hold quotes of its own, so there only a quoted
 * name makes the quotes count: "Cookie": "a=1" but not Cookie: "a"=1. */
static bool opens_quote(const struct pass *p, enum dm_secret_name name, size_t separator,
                        char quote, size_t depth)
{
    size_t at = separator;
    if ((quote != '"' && quote != '\'') || (p->in_string && quote == '"' && depth % 2 == 0))
        return false;
    while (at > 0 && (p->in.ptr[at - 1] == ' ' || p->in.ptr[at - 1] == '\t'))
        at--;
    char before = at > 0 ? p->in.ptr[at - 1] : '\0';
    bool header = name == DM_NAME_HEADER || name == DM_NAME_COOKIE;
    return !header || before == '"' || before == '\'';
}

/* Where the body of a private key begins whose "-----BEGIN" is at `at`; 0 when there is none. */
static size_t pem_body(dm_view in, size_t at)
{
    dm_view end = DM_LIT("PRIVATE KEY-----");
    if (!at_word(in, at, DM_LIT("-----BEGIN ")))
        return 0;
    for (size_t i = at; i < at + PEM_LABEL_MAX && i < in.len; i++) {
        if (at_word(in, i, end))
            return i + end.len;
    }
    return 0;
}

/* Keeps the two marker lines. Without an end marker the rest of the text, or of its string, goes.
 */
static void mask_pem(struct pass *p, size_t body)
{
    size_t at = body;
    while (at < p->in.len && !at_word(p->in, at, DM_LIT("-----END"))) {
        if (p->in_string && p->in.ptr[at] == '"')
            break;
        at += p->in_string && p->in.ptr[at] == '\\' && at + 1 < p->in.len ? 2 : 1;
    }
    mask(p, body, at, MASK);
}

/* The value behind the separator at p->at, which is `width` bytes wide. */
static void mask_value(struct pass *p, enum dm_secret_name name, size_t width)
{
    dm_view in = p->in;
    size_t separator = p->at, at = p->at + width;
    bool query = in.ptr[separator] == '%' || in_query(in, separator);
    while (byte_at(in, at) == ' ' || byte_at(in, at) == '\t')
        at++;
    size_t depth = backslashes_at(in, at);
    char quote = byte_at(in, at + depth);
    bool quoted = opens_quote(p, name, separator, quote, depth);
    size_t value = skip_scheme(in, quoted ? at + depth + 1 : at);

    if (pem_body(in, value) != 0 || (name == DM_NAME_TOKEN && !query &&
                                     run_end(in, value, is_token_char) - value < TOKEN_MIN)) {
        p->at = separator + width; /* the other rules look at it */
    } else if (quoted) {
        mask(p, value, quoted_end(p, value, quote, depth), MASK);
        /* the closing quote of an outermost string is passed here, unseen by the tracking of
         * strings */
        if (p->json && !p->in_string && byte_at(in, p->at) == '"')
            p->at++;
    } else if (p->json && !p->in_string) {
        mask_json_value(p, at);
    } else {
        mask(p, value, bare_end(p, value, stop_of(in, value, name, query)), MASK);
    }
}

/* scheme://user:password@host: what stands between // and the last @ of the authority. */
static bool mask_user_info(struct pass *p)
{
    dm_view in = p->in;
    size_t start, last_at = 0;
    if (at_word(in, p->at, DM_LIT("://")))
        start = p->at + 3;
    else if (at_word(in, p->at, DM_LIT(":\\/\\/"))) /* as some JSON encoders write it */
        start = p->at + 5;
    else
        return false;
    for (size_t at = start; at < in.len && strchr("/?#\\\"'<> \t\r\n", in.ptr[at]) == NULL; at++) {
        if (in.ptr[at] == '@')
            last_at = at;
    }
    if (last_at == 0)
        return false;
    mask(p, start, last_at, MASK);
    return true;
}

/* Three base64url parts, the first two beginning with eyJ, which is '{"' encoded. `end` is where
 * the run of base64url characters ends that p->at is in. */
static bool mask_jwt(struct pass *p, size_t end)
{
    dm_view in = p->in;
    if (byte_at(in, end) != '.' || !dm_view_starts(dm_view_sub(in, end, 4), DM_LIT(".eyJ")))
        return false;
    size_t start = p->at + dm_view_find(dm_view_sub(in, p->at, end - p->at), DM_LIT("eyJ"));
    size_t second = run_end(in, end + 1, is_base64url);
    if (start == end || byte_at(in, second) != '.')
        return false;
    mask(p, start, run_end(in, second + 1, is_base64url), MASK);
    return true;
}

/* A run of base64url characters is looked at once, as a whole: eyJeyJeyJ... costs its length. */
static void on_word(struct pass *p)
{
    dm_view in = p->in;
    size_t end = run_end(in, p->at, is_base64url);
    dm_view word = dm_view_sub(in, p->at, end - p->at);
    if (mask_jwt(p, end))
        return;
    p->at = end;
    if (byte_at(in, end) != ' ')
        return;
    size_t marker = DM_LIT("-----BEGIN").len;
    size_t body = word.len >= marker ? pem_body(in, end - marker) : 0;
    if (body != 0) {
        mask_pem(p, body);
    } else if (dm_view_eq_nocase(word, DM_LIT("Bearer")) ||
               dm_view_eq_nocase(word, DM_LIT("Basic"))) {
        size_t token_end = run_end(in, end + 1, is_token_char);
        if (token_end - (end + 1) >= BEARER_MIN)
            mask(p, end + 1, token_end, MASK);
    }
}

static void on_separator(struct pass *p, size_t width)
{
    enum dm_secret_name name = dm_secret_name_at_end(dm_view_sub(p->in, 0, p->at));
    if (name == DM_NAME_PLAIN)
        p->at += width;
    else
        mask_value(p, name, width);
}

static void on_byte(struct pass *p)
{
    char c = p->in.ptr[p->at];
    if (c == ':') {
        if (!mask_user_info(p))
            on_separator(p, 1);
    } else if (c == '=') {
        on_separator(p, 1);
    } else if (c == '%' &&
               (at_word(p->in, p->at, DM_LIT("%3D")) || at_word(p->in, p->at, DM_LIT("%3A")))) {
        on_separator(p, 3);
    } else if (is_base64url(c)) {
        on_word(p);
    } else {
        if (c == '"' && p->json)
            p->in_string = !p->in_string;
        p->at += c == '\\' && p->in_string && p->at + 1 < p->in.len ? 2 : 1;
    }
}

void dm_redact(dm_view line, struct dm_buf *out)
{
    struct pass p = {.in = line, .out = out};
    p.json = line.len > 0 && (line.ptr[0] == '{' || line.ptr[0] == '[');
    while (p.at < line.len)
        on_byte(&p);
    dm_buf_add(out, dm_view_sub(line, p.copied, line.len - p.copied));
}

static bool has_run(dm_view value, size_t min, bool (*belongs)(char c))
{
    for (size_t at = 0; at < value.len;) {
        size_t end = run_end(value, at, belongs);
        if (end - at >= min)
            return true;
        at = end + 1;
    }
    return false;
}

static bool has_sk_key(dm_view value)
{
    dm_view rest = value;
    for (;;) {
        size_t at = dm_view_find(rest, DM_LIT("sk-"));
        if (at == rest.len)
            return false;
        rest = dm_view_sub(rest, at + 3, rest.len);
        if (run_end(rest, 0, is_base64url) >= SK_KEY_MIN)
            return true;
    }
}

bool dm_redact_value(dm_view value)
{
    dm_view v = dm_view_trim(value);
    if (at_word(v, 0, DM_LIT("Bearer ")) || at_word(v, 0, DM_LIT("Basic ")))
        return true;
    if (has_run(v, HEX_MIN, is_hex) || has_sk_key(v))
        return true;
    DM_DEFER(dm_buf_done) struct dm_buf out; /* JWT and PEM: the line rules find them */
    dm_buf_init(&out, 3 * v.len + 64);
    dm_redact(v, &out);
    return dm_buf_view(&out).len != v.len || !dm_view_eq(dm_buf_view(&out), v);
}

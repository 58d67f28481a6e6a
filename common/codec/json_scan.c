#include "codec/json_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "codec/json_text.h"

#include "base/poison.h"

/* 16 MiB is the largest body any setting allows to be read whole; 64 levels is what the JSON of the
 * contracts needs many times over; a million values is about 100 MiB of tree. */
const struct dm_json_limits dm_json_default = {
    .max_bytes = 16u << 20, .max_depth = 64, .max_values = 1000000};

enum state {
    WANT_VALUE = 0, /* at the start, after ':' and after ',' in an array */
    WANT_ITEM,      /* after '[': a value or ']' */
    WANT_MEMBER,    /* after '{': a name or '}' */
    AFTER_VALUE,    /* ',' or the end of the container, or of the text */
    FAULTED
};

/* Pairwise comparison of prints up to here, sorting by hash above: most objects are small. */
enum { FEW_MEMBERS = 32 };
/* Names up to here are unescaped on the stack; longer ones, with escapes, take the heap. */
enum { NAME_ON_STACK = 256 };

static const size_t ARRAY_MARK = SIZE_MAX;

static enum dm_json_token fault(struct dm_json_scan *s, enum dm_code code, const char *reason)
{
    if (s->state_ != FAULTED) {
        s->state_ = FAULTED;
        s->code_ = code;
        s->reason_ = reason;
    }
    return DM_JSON_TOKEN_FAULT;
}

/* Eight bytes at a time: most texts are, and need no closer look. */
static bool is_ascii(dm_view text)
{
    uint64_t high = 0, word = 0;
    size_t at = 0;
    for (; text.len - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, text.ptr + at, sizeof(word));
        high |= word;
    }
    for (; at < text.len; at++)
        high |= (unsigned char)text.ptr[at];
    return (high & 0x8080808080808080u) == 0;
}

void dm_json_scan_init(struct dm_json_scan *s, dm_view text, const struct dm_json_limits *limits)
{
    DM_REQUIRE(s != NULL && (text.ptr != NULL || text.len == 0));
    s->start_ = s->at_ = text.ptr;
    s->end_ = text.len == 0 ? text.ptr : text.ptr + text.len;
    s->limits_ = limits != NULL ? *limits : dm_json_default;
    if (s->limits_.max_depth > DM_JSON_DEPTH_MAX)
        s->limits_.max_depth = DM_JSON_DEPTH_MAX;
    s->reason_ = NULL;
    s->code_ = DM_OK;
    s->values_ = 0;
    s->depth_ = 0;
    s->state_ = WANT_VALUE;
    s->escaped_ = s->integer_ = false;
    s->n_names_ = 0;
    s->size_names_ = DM_JSON_SCAN_NAMES;
    s->names_ = s->few_;
    if (text.len > s->limits_.max_bytes)
        fault(s, DM_LIMIT, "text too long");
    else if (!is_ascii(text) && !dm_utf8_valid(text))
        fault(s, DM_INVALID, "not UTF-8");
}

void dm_json_scan_done(struct dm_json_scan *s)
{
    if (s == NULL)
        return;
    if (s->names_ != s->few_)
        dm_mem_free(s->names_);
    s->names_ = s->few_;
    s->n_names_ = 0;
    fault(s, DM_BUG, "scan is done");
}

/* Checks the escape after a backslash. Gives its end, or NULL with a reason. */
static const char *check_escape(struct dm_json_scan *s, const char *p)
{
    if (p < s->end_ && *p != '\0' && strchr("\"\\/bfnrt", *p) != NULL)
        return p + 1;
    int32_t unit = p < s->end_ && *p == 'u' ? dm_json_hex4(p + 1, s->end_) : -1;
    if (unit < 0) {
        fault(s, DM_INVALID, "unknown escape");
        return NULL;
    }
    if (unit == 0) { /* C strings of the tree and of other programs would end there */
        fault(s, DM_INVALID, "escaped zero byte");
        return NULL;
    }
    p += 5;
    if (!dm_json_is_high(unit) && !dm_json_is_low(unit))
        return p;
    int32_t low = dm_json_is_high(unit) && s->end_ - p >= 6 && p[0] == '\\' && p[1] == 'u'
                      ? dm_json_hex4(p + 2, s->end_)
                      : -1;
    if (!dm_json_is_low(low)) {
        fault(s, DM_INVALID, "lone surrogate");
        return NULL;
    }
    return p + 6;
}

/* Bytes of a string that stand for themselves, eight at a time. The high bit of a byte is set where
 * it is a quote, a backslash or below 0x20; bits above the lowest one set may be wrong (a borrow),
 * so only that one is looked at. Bytes from 0x80 are UTF-8, checked before. */
static const char *plain_end(const char *p, const char *end)
{
    static const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    for (; end - p >= (ptrdiff_t)sizeof(uint64_t); p += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
        uint64_t special = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) |
                           ((word - ones * 0x20) & ~word);
        special &= highs;
        if (special != 0)
            return p + __builtin_ctzll(special) / 8;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

/* at_ stands behind the opening quote. */
static bool scan_string(struct dm_json_scan *s, dm_view *ret_raw)
{
    const char *from = s->at_;
    const char *p = from;
    s->escaped_ = false;
    for (;;) {
        p = plain_end(p, s->end_);
        if (p == s->end_) {
            s->at_ = p;
            fault(s, DM_INVALID, "string without end");
            return false;
        }
        if (*p == '"')
            break;
        s->at_ = p;
        if (*p != '\\') {
            fault(s, DM_INVALID, "control byte in a string");
            return false;
        }
        s->escaped_ = true;
        p = check_escape(s, p + 1);
        if (p == NULL)
            return false;
    }
    *ret_raw = dm_view_make(from, (size_t)(p - from));
    s->at_ = p + 1;
    return true;
}

static const char *digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* RFC 8259 §6: [ minus ] int [ frac ] [ exp ]. Gives the end, NULL when it is none. */
static const char *number_end(const char *p, const char *end, bool *ret_integer)
{
    *ret_integer = true;
    if (p < end && *p == '-')
        p++;
    if (p == end || *p < '0' || *p > '9')
        return NULL;
    p = *p == '0' ? p + 1 : digits(p, end);
    if (p < end && *p == '.') {
        const char *from = ++p;
        *ret_integer = false;
        p = digits(p, end);
        if (p == from)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        *ret_integer = false;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        const char *from = p;
        p = digits(p, end);
        if (p == from)
            return NULL;
    }
    return p;
}

static enum dm_json_token scan_number(struct dm_json_scan *s, dm_view *ret_raw)
{
    enum { SURELY_FINITE = 300 }; /* digits without exponent below DBL_MAX, about 1.8e308 */
    const char *from = s->at_;
    const char *p = number_end(from, s->end_, &s->integer_);
    if (p == NULL || (p < s->end_ && *p >= '0' && *p <= '9')) /* the latter: 01 */
        return fault(s, DM_INVALID, "malformed number");
    dm_view raw = dm_view_make(from, (size_t)(p - from));
    if (raw.len > DM_JSON_NUMBER_MAX)
        return fault(s, DM_LIMIT, "number too long");
    if (!s->integer_ || raw.len > SURELY_FINITE) {
        double ignored;
        if (!dm_parse_f64(raw, &ignored))
            return fault(s, DM_INVALID, "number out of range");
    }
    s->at_ = p;
    s->state_ = AFTER_VALUE;
    *ret_raw = raw;
    return DM_JSON_TOKEN_NUMBER;
}

static enum dm_json_token scan_word(struct dm_json_scan *s, dm_view word, enum dm_json_token token)
{
    if ((size_t)(s->end_ - s->at_) < word.len || memcmp(s->at_, word.ptr, word.len) != 0)
        return fault(s, DM_INVALID, "unknown word");
    s->at_ += word.len;
    s->state_ = AFTER_VALUE;
    return token;
}

static enum dm_json_token open_container(struct dm_json_scan *s, bool object)
{
    if (s->depth_ >= s->limits_.max_depth)
        return fault(s, DM_LIMIT, "nested too deep");
    s->first_name_[s->depth_++] = object ? s->n_names_ : ARRAY_MARK;
    s->at_++;
    s->state_ = object ? WANT_MEMBER : WANT_ITEM;
    return object ? DM_JSON_TOKEN_OBJECT : DM_JSON_TOKEN_ARRAY;
}

static enum dm_json_token scan_value(struct dm_json_scan *s, dm_view *ret_raw)
{
    if (s->at_ == s->end_)
        return fault(s, DM_INVALID, "text ends early");
    if (++s->values_ > s->limits_.max_values)
        return fault(s, DM_LIMIT, "too many values");
    switch (*s->at_) {
    case '{':
        return open_container(s, true);
    case '[':
        return open_container(s, false);
    case '"':
        s->at_++;
        if (!scan_string(s, ret_raw))
            return DM_JSON_TOKEN_FAULT;
        s->state_ = AFTER_VALUE;
        return DM_JSON_TOKEN_STRING;
    case 't':
        return scan_word(s, DM_LIT("true"), DM_JSON_TOKEN_TRUE);
    case 'f':
        return scan_word(s, DM_LIT("false"), DM_JSON_TOKEN_FALSE);
    case 'n':
        return scan_word(s, DM_LIT("null"), DM_JSON_TOKEN_NULL);
    default:
        if (*s->at_ == '-' || (*s->at_ >= '0' && *s->at_ <= '9'))
            return scan_number(s, ret_raw);
        return fault(s, DM_INVALID, "unexpected byte");
    }
}

static void remember_name(struct dm_json_scan *s, dm_view raw)
{
    if (s->n_names_ == s->size_names_) {
        size_t size = s->size_names_ * 2;
        if (s->names_ == s->few_) {
            s->names_ = dm_mem_array(size, sizeof(*s->names_));
            memcpy(s->names_, s->few_, sizeof(s->few_));
        } else {
            s->names_ = dm_mem_grow(s->names_, size, sizeof(*s->names_));
        }
        s->size_names_ = size;
    }
    s->names_[s->n_names_++] = (struct dm_json_scan_name){raw, 0, s->escaped_};
}

/* Calls for the unescaped form: on the stack when it surely fits, else on the heap. */
static char *unescaped_place(dm_view raw, char small[NAME_ON_STACK])
{
    return raw.len <= NAME_ON_STACK ? small : dm_mem_alloc(raw.len);
}

/* Of the unescaped name, so equal names meet however they are written. Keyed: nobody can aim. */
static uint64_t hash_name(const struct dm_json_scan_name *n)
{
    if (!n->escaped_)
        return dm_view_hash(n->raw_, 0);
    char small[NAME_ON_STACK];
    char *text = unescaped_place(n->raw_, small);
    uint64_t hash = dm_view_hash(dm_view_make(text, dm_json_unescape(n->raw_, text)), 0);
    if (text != small)
        dm_mem_free(text);
    return hash;
}

static bool names_equal(const struct dm_json_scan_name *a, const struct dm_json_scan_name *b)
{
    if (!a->escaped_ && !b->escaped_)
        return dm_view_eq(a->raw_, b->raw_);
    char small_a[NAME_ON_STACK], small_b[NAME_ON_STACK];
    char *text_a = unescaped_place(a->raw_, small_a);
    char *text_b = unescaped_place(b->raw_, small_b);
    bool equal = dm_view_eq(dm_view_make(text_a, dm_json_unescape(a->raw_, text_a)),
                            dm_view_make(text_b, dm_json_unescape(b->raw_, text_b)));
    if (text_a != small_a)
        dm_mem_free(text_a);
    if (text_b != small_b)
        dm_mem_free(text_b);
    return equal;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct dm_json_scan_name *)a)->hash_;
    uint64_t y = ((const struct dm_json_scan_name *)b)->hash_;
    return (x > y) - (x < y);
}

static uint64_t load(const char *p, size_t len)
{
    uint64_t bits = 0;
    memcpy(&bits, p, len);
    return bits;
}

/* A number that names of different texts seldom share: from length, first and last bytes. Whoever
 * makes it collide gains as many comparisons of texts as there are pairs of few names. */
static uint64_t print_of(dm_view name)
{
    static const uint64_t odd = 0x9E3779B97F4A7C15u; /* spreads the last bytes over the first */
    const char *last = name.ptr + name.len;
    uint64_t ends;
    if (name.len >= 8)
        ends = load(name.ptr, 8) ^ load(last - 8, 8) * odd;
    else if (name.len >= 4)
        ends = load(name.ptr, 4) ^ load(last - 4, 4) * odd;
    else
        ends = name.len > 0 ? load(name.ptr, 1) ^ load(last - 1, 1) * odd : 0;
    return ends ^ name.len;
}

static bool few_have_duplicate(const struct dm_json_scan_name *names, size_t n)
{
    uint64_t prints[FEW_MEMBERS];
    for (size_t i = 0; i < n; i++) {
        prints[i] = print_of(names[i].raw_);
        for (size_t k = 0; k < i; k++) {
            if (prints[k] == prints[i] && dm_view_eq(names[k].raw_, names[i].raw_))
                return true;
        }
    }
    return false;
}

/* By hash, so that only names next to each other need to be compared. */
static bool many_have_duplicate(struct dm_json_scan_name *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        names[i].hash_ = hash_name(&names[i]);
    qsort(names, n, sizeof(*names), by_hash);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n && names[k].hash_ == names[i].hash_; k++) {
            if (names_equal(&names[i], &names[k]))
                return true;
        }
    }
    return false;
}

/* Whether two of the n names are the same, however they are escaped. */
static bool has_duplicate(struct dm_json_scan_name *names, size_t n)
{
    bool escaped = false;
    for (size_t i = 0; i < n; i++)
        escaped |= names[i].escaped_;
    return n <= FEW_MEMBERS && !escaped ? few_have_duplicate(names, n)
                                        : many_have_duplicate(names, n);
}

static enum dm_json_token close_container(struct dm_json_scan *s, char close)
{
    size_t first = s->first_name_[s->depth_ - 1];
    bool object = first != ARRAY_MARK;
    if (close != (object ? '}' : ']'))
        return fault(s, DM_INVALID, "wrong closing bracket");
    if (object) {
        if (has_duplicate(s->names_ + first, s->n_names_ - first))
            return fault(s, DM_INVALID, "duplicate member name");
        s->n_names_ = first;
    }
    s->at_++;
    s->depth_--;
    s->state_ = AFTER_VALUE;
    return object ? DM_JSON_TOKEN_OBJECT_END : DM_JSON_TOKEN_ARRAY_END;
}

static void skip_blanks(struct dm_json_scan *s)
{
    while (s->at_ < s->end_ &&
           (*s->at_ == ' ' || *s->at_ == '\n' || *s->at_ == '\r' || *s->at_ == '\t'))
        s->at_++;
}

static enum dm_json_token scan_name(struct dm_json_scan *s, dm_view *ret_raw)
{
    if (s->at_ == s->end_ || *s->at_ != '"')
        return fault(s, DM_INVALID, "member name expected");
    s->at_++;
    dm_view raw;
    if (!scan_string(s, &raw))
        return DM_JSON_TOKEN_FAULT;
    remember_name(s, raw);
    skip_blanks(s);
    if (s->at_ == s->end_ || *s->at_ != ':')
        return fault(s, DM_INVALID, "colon expected");
    s->at_++;
    s->state_ = WANT_VALUE;
    *ret_raw = raw;
    return DM_JSON_TOKEN_NAME;
}

static enum dm_json_token scan_after_value(struct dm_json_scan *s, dm_view *ret_raw)
{
    if (s->depth_ == 0) {
        if (s->at_ != s->end_)
            return fault(s, DM_INVALID, "bytes behind the value");
        return DM_JSON_TOKEN_END;
    }
    if (s->at_ == s->end_)
        return fault(s, DM_INVALID, "text ends early");
    if (*s->at_ == '}' || *s->at_ == ']')
        return close_container(s, *s->at_);
    if (*s->at_ != ',')
        return fault(s, DM_INVALID, "comma or closing bracket expected");
    s->at_++;
    skip_blanks(s);
    if (s->first_name_[s->depth_ - 1] == ARRAY_MARK)
        return scan_value(s, ret_raw);
    return scan_name(s, ret_raw);
}

enum dm_json_token dm_json_scan_next(struct dm_json_scan *s, dm_view *ret_raw)
{
    if (s->state_ == FAULTED)
        return DM_JSON_TOKEN_FAULT;
    skip_blanks(s);
    switch ((enum state)s->state_) {
    case WANT_ITEM:
        if (s->at_ < s->end_ && *s->at_ == ']')
            return close_container(s, ']');
        return scan_value(s, ret_raw);
    case WANT_VALUE:
        return scan_value(s, ret_raw);
    case WANT_MEMBER:
        if (s->at_ < s->end_ && *s->at_ == '}')
            return close_container(s, '}');
        return scan_name(s, ret_raw);
    case AFTER_VALUE:
        return scan_after_value(s, ret_raw);
    case FAULTED:
        break;
    }
    DM_UNREACHABLE();
}

enum dm_json_token dm_json_scan_skip(struct dm_json_scan *s, enum dm_json_token first)
{
    if (first != DM_JSON_TOKEN_OBJECT && first != DM_JSON_TOKEN_ARRAY)
        return first;
    unsigned outside = s->depth_ - 1;
    enum dm_json_token token = first;
    while (s->depth_ > outside && token != DM_JSON_TOKEN_FAULT) {
        dm_view ignored;
        token = dm_json_scan_next(s, &ignored);
    }
    return token;
}

bool dm_json_scan_name_is(const struct dm_json_scan *s, dm_view raw, dm_view name)
{
    if (!s->escaped_)
        return dm_view_eq(raw, name);
    enum { ESCAPED_MAX = 6 * 64 }; /* names asked for are short and each byte is at most \u00xx */
    char text[ESCAPED_MAX];
    return raw.len <= sizeof(text) &&
           dm_view_eq(dm_view_make(text, dm_json_unescape(raw, text)), name);
}

unsigned dm_json_scan_depth(const struct dm_json_scan *s)
{
    return s->depth_;
}

size_t dm_json_scan_offset(const struct dm_json_scan *s)
{
    return (size_t)(s->at_ - s->start_);
}

bool dm_json_scan_escaped(const struct dm_json_scan *s)
{
    return s->escaped_;
}

bool dm_json_scan_integer(const struct dm_json_scan *s)
{
    return s->integer_;
}

enum dm_code dm_json_scan_fault(const struct dm_json_scan *s, struct dm_error *err)
{
    if (s->code_ == DM_OK)
        return DM_OK;
    return DM_FAIL(err, s->code_, ERR_INVALID_JSON, "could not parse JSON at byte %zu: %s",
                   dm_json_scan_offset(s), s->reason_);
}

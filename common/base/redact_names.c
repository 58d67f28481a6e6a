#include "base/redact_names.h"

#include <string.h>

#include "base/mem.h"
#include "base/redact.h"

#include "base/poison.h"

enum {
    NAME_MAX_LETTERS = 24, /* more than the longest name has */
    SKIP_MAX = 8           /* quotes, brackets, blanks between a name and its separator */
};

/* Without separators; a longer name that ends like one of these is one too: x_access_token,
 * newPassword */
static const struct {
    dm_view letters;
    enum dm_secret_name kind;
} names[] = {
    {{"authorization", 13}, DM_NAME_HEADER}, {{"apikey", 6}, DM_NAME_HEADER},
    {{"apisecret", 9}, DM_NAME_HEADER},      {{"cookie", 6}, DM_NAME_COOKIE},
    {{"accesstoken", 11}, DM_NAME_FIELD},    {{"refreshtoken", 12}, DM_NAME_FIELD},
    {{"idtoken", 7}, DM_NAME_FIELD},         {{"csrftoken", 9}, DM_NAME_FIELD},
    {{"agenttoken", 10}, DM_NAME_FIELD},     {{"prometheustoken", 15}, DM_NAME_FIELD},
    {{"password", 8}, DM_NAME_FIELD},        {{"passwd", 6}, DM_NAME_FIELD},
    {{"secret", 6}, DM_NAME_FIELD},          {{"sessionid", 9}, DM_NAME_FIELD},
    {{"signature", 9}, DM_NAME_FIELD},       {{"signature256", 12}, DM_NAME_FIELD},
    {{"token", 5}, DM_NAME_TOKEN}, /* last: the longer ones ending in it go first */
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_letter_or_digit(char c)
{
    char l = lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word_gap(char c)
{
    return c == '-' || c == '_' || c == ' ';
}

static bool is_around_name(char c)
{
    switch (c) {
    case '"':
    case '\'':
    case '\\':
    case '[':
    case ']':
    case '(':
    case ')':
    case ' ':
    case '\t':
        return true;
    default:
        return false;
    }
}

/* Most separators end here: only these letters end a name above. */
static bool may_end_name(char letter)
{
    return letter == 'n' || letter == 'y' || letter == 't' || letter == 'e' || letter == 'd' ||
           letter == '6';
}

/* The last letters of the name, small, in out[NAME_MAX_LETTERS - n ..]. */
static size_t gather(dm_view text, char out[NAME_MAX_LETTERS])
{
    size_t at = text.len, n = 0;
    for (int i = 0; i < SKIP_MAX && at > 0 && is_around_name(text.ptr[at - 1]); i++)
        at--;
    if (at == 0 || !may_end_name(lower(text.ptr[at - 1])))
        return 0;
    for (; at > 0 && n < NAME_MAX_LETTERS; at--) {
        char c = text.ptr[at - 1];
        if (is_letter_or_digit(c))
            out[NAME_MAX_LETTERS - ++n] = lower(c);
        else if (!is_word_gap(c))
            break;
    }
    return n;
}

enum dm_secret_name dm_secret_name_at_end(dm_view text)
{
    char letters[NAME_MAX_LETTERS];
    size_t n = gather(text, letters);
    if (n == 0)
        return DM_NAME_PLAIN;
    dm_view name = dm_view_make(letters + NAME_MAX_LETTERS - n, n);
    for (size_t i = 0; i < DM_COUNT_OF(names); i++) {
        dm_view known = names[i].letters;
        if (known.ptr[known.len - 1] == name.ptr[n - 1] && dm_view_ends(name, known))
            return names[i].kind;
    }
    return DM_NAME_PLAIN;
}

static bool holds_nocase(dm_view text, dm_view word)
{
    for (size_t i = 0; i + word.len <= text.len; i++) {
        if (dm_view_eq_nocase(dm_view_sub(text, i, word.len), word))
            return true;
    }
    return false;
}

bool dm_redact_key(dm_view key)
{
    static const dm_view words[] = {
        {"password", 8}, {"secret", 6}, {"token", 5}, {"key", 3}, {"auth", 4},
    };
    if (dm_view_eq_nocase(key, DM_LIT("api_authorization_field_swap")))
        return false; /* names a header, holds no credential */
    for (size_t i = 0; i < DM_COUNT_OF(words); i++) {
        if (holds_nocase(key, words[i]))
            return true;
    }
    return dm_secret_name_at_end(key) != DM_NAME_PLAIN;
}

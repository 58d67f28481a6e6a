#include "codec/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>

#include "base/assert.h"

#include "base/poison.h"

enum {
    PATTERN_MAX = 4096,    /* longer ones are not written by people */
    MATCH_LIMIT = 100000,  /* steps of back-tracking: about a millisecond */
    DEPTH_LIMIT = 1000,    /* nested back-tracking */
    HEAP_LIMIT_KIB = 1024, /* of one match without JIT */
    JIT_STACK = 64 * 1024  /* of one match with JIT; per thread */
};

struct dm_regex {
    pcre2_code *code;
};

/* What matching needs besides the pattern; one per thread, made at its first match. */
struct scratch {
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
};

static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct scratch *mine;

static void free_scratch(void *ptr)
{
    struct scratch *s = ptr;
    pcre2_jit_stack_free(s->stack);
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->context);
    dm_mem_free(s);
    mine = NULL;
}

static void make_key(void)
{
    int failed = pthread_key_create(&at_thread_end, free_scratch);
    DM_ASSERT(failed == 0);
}

static struct scratch *scratch(void)
{
    if (mine != NULL)
        return mine;
    pthread_once(&once, make_key);
    struct scratch *s = DM_NEW(struct scratch);
    s->context = pcre2_match_context_create(NULL);
    s->data = pcre2_match_data_create(1, NULL); /* only whether, never where */
    s->stack = pcre2_jit_stack_create(JIT_STACK / 2, JIT_STACK, NULL);
    DM_ASSERT(s->context != NULL && s->data != NULL && s->stack != NULL);
    pcre2_set_match_limit(s->context, MATCH_LIMIT);
    pcre2_set_depth_limit(s->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(s->context, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(s->context, NULL, s->stack);
    int failed = pthread_setspecific(at_thread_end, s);
    DM_ASSERT(failed == 0);
    mine = s;
    return s;
}

enum dm_code dm_regex_new(dm_view pattern, bool nocase, struct dm_regex **ret, struct dm_error *err)
{
    int fault;
    size_t at;
    if (pattern.len > PATTERN_MAX)
        return DM_FAIL(err, DM_LIMIT, ERR_NONE, "could not compile a pattern: over %d bytes",
                       PATTERN_MAX);
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | (nocase ? PCRE2_CASELESS : 0);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(pattern.ptr == NULL ? "" : pattern.ptr),
                                     pattern.len, options, &fault, &at, NULL);
    if (code == NULL) {
        PCRE2_UCHAR text[128] = "";
        pcre2_get_error_message(fault, text, sizeof(text));
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "could not compile pattern \"%.*s\" at byte %zu: %s",
                       DM_FMT(dm_utf8_cut(pattern, 64)), at, (const char *)text);
    }
    /* Where there is no JIT the same limits hold, only slower. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    struct dm_regex *re = DM_NEW(struct dm_regex);
    re->code = code;
    *ret = re;
    return DM_OK;
}

void dm_regex_free(struct dm_regex *re)
{
    if (re == NULL)
        return;
    pcre2_code_free(re->code);
    dm_mem_free(re);
}

enum dm_code dm_regex_match(const struct dm_regex *re, dm_view text)
{
    struct scratch *s = scratch();
    int rc = pcre2_match(re->code, (PCRE2_SPTR)(text.ptr == NULL ? "" : text.ptr), text.len, 0, 0,
                         s->data, s->context);
    if (rc >= 0)
        return DM_OK;
    switch (rc) {
    case PCRE2_ERROR_NOMATCH:
        return DM_NOT_FOUND;
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_JIT_STACKLIMIT:
    case PCRE2_ERROR_NOMEMORY:
        return DM_LIMIT;
    default: /* the text is no UTF-8: it matches nothing */
        return DM_NOT_FOUND;
    }
}

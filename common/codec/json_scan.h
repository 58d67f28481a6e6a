/* Strict pull tokenizer for JSON (RFC 8259), one token per call, views into the text. For code that
 * reads without a tree: the tree builder, the body validator, JWT claims. Refuses duplicate member
 * names (after unescaping, at every depth), bad UTF-8, lone surrogates, \u0000, numbers that are
 * not finite, depth, size and value count over the limits. Allocates nothing while the open objects
 * have few members. Never recurses. One thread per scan. */
#pragma once

#include "codec/json.h"

enum {
    DM_JSON_DEPTH_MAX = 256, /* ceiling of every max_depth: fixes the size of the frame stack */
    DM_JSON_SCAN_NAMES = 48, /* names of open objects kept in place; more go to the heap */
    DM_JSON_NUMBER_MAX = 400 /* DBL_MAX has 309 digits; longer texts only cost time */
};

enum dm_json_token {
    DM_JSON_TOKEN_END = 0, /* the text is one whole, correct value and nothing else */
    DM_JSON_TOKEN_FAULT,   /* see dm_json_scan_fault; stays so */
    DM_JSON_TOKEN_OBJECT,
    DM_JSON_TOKEN_OBJECT_END,
    DM_JSON_TOKEN_ARRAY,
    DM_JSON_TOKEN_ARRAY_END,
    DM_JSON_TOKEN_NAME, /* raw without quotes; its colon is consumed with it */
    DM_JSON_TOKEN_STRING,
    DM_JSON_TOKEN_NUMBER,
    DM_JSON_TOKEN_TRUE,
    DM_JSON_TOKEN_FALSE,
    DM_JSON_TOKEN_NULL
};

struct dm_json_scan_name {
    dm_view raw_;
    uint64_t hash_; /* 0 until an object turns out to have many members */
    bool escaped_;
};

struct dm_json_scan {
    const char *start_, *at_, *end_;
    struct dm_json_limits limits_;
    const char *reason_;
    enum dm_code code_;
    size_t values_;
    unsigned depth_;
    int state_;
    bool escaped_, integer_;
    size_t n_names_, size_names_;
    struct dm_json_scan_name *names_;      /* points to few_ until they outgrow it */
    size_t first_name_[DM_JSON_DEPTH_MAX]; /* per open container; SIZE_MAX marks an array */
    struct dm_json_scan_name few_[DM_JSON_SCAN_NAMES];
};

/* The text must outlive the scan. NULL limits: dm_json_default. */
void dm_json_scan_init(struct dm_json_scan *s, dm_view text, const struct dm_json_limits *limits);
void dm_json_scan_done(struct dm_json_scan *s);

/* Names and strings (without quotes, still escaped) and numbers give their text in *ret_raw. */
enum dm_json_token dm_json_scan_next(struct dm_json_scan *s, dm_view *ret_raw);
/* Steps over the value whose first token is `first`, so that the next token is what follows it. */
enum dm_json_token dm_json_scan_skip(struct dm_json_scan *s, enum dm_json_token first);

/* Whether the name just read is `name`, however it is escaped. `name` up to 64 bytes. */
bool dm_json_scan_name_is(const struct dm_json_scan *s, dm_view raw, dm_view name);
unsigned dm_json_scan_depth(const struct dm_json_scan *s); /* open containers */
size_t dm_json_scan_offset(const struct dm_json_scan *s);  /* bytes consumed */
bool dm_json_scan_escaped(const struct dm_json_scan *s); /* last name or string holds a backslash */
bool dm_json_scan_integer(const struct dm_json_scan *s); /* last number: no fraction, no exponent */
/* DM_OK, DM_INVALID (malformed) or DM_LIMIT; fills err with place and reason. */
enum dm_code dm_json_scan_fault(const struct dm_json_scan *s, struct dm_error *err);

/* The words of every ENUM row of settings.def, and their constants DM_<KEY>_<WORD>. One list per
 * key feeds the constants, the parser and the documentation:
 * W(KEY, WORD, "canonical other accepted spellings"). LOG_LEVEL is in the order of dm_log_level. */
#pragma once

/* clang-format off: a table, one word a line */
#define DM_WORDS_ENV(W) \
    W(ENV, DEVELOPMENT, "development dev") \
    W(ENV, TEST, "test") \
    W(ENV, PRODUCTION, "production prod")
#define DM_WORDS_DOORMAN_ROLE(W) \
    W(DOORMAN_ROLE, ALL, "all") \
    W(DOORMAN_ROLE, GATEWAY, "gateway") \
    W(DOORMAN_ROLE, ADMIN, "admin")
#define DM_WORDS_MEM_OR_EXTERNAL(W) \
    W(MEM_OR_EXTERNAL, MEM, "MEM") \
    W(MEM_OR_EXTERNAL, REDIS, "REDIS") \
    W(MEM_OR_EXTERNAL, EXTERNAL, "EXTERNAL")
#define DM_WORDS_MEM_DUMP_FORMAT(W) \
    W(MEM_DUMP_FORMAT, FERNET, "fernet") \
    W(MEM_DUMP_FORMAT, DMP1, "dmp1")
#define DM_WORDS_REDIS_MODE(W) \
    W(REDIS_MODE, AUTO, "auto") \
    W(REDIS_MODE, STANDALONE, "standalone") \
    W(REDIS_MODE, SENTINEL, "sentinel") \
    W(REDIS_MODE, CLUSTER, "cluster")
#define DM_WORDS_LIMIT_ON_STORE_DOWN(W) \
    W(LIMIT_ON_STORE_DOWN, DENY, "deny") \
    W(LIMIT_ON_STORE_DOWN, ALLOW, "allow") \
    W(LIMIT_ON_STORE_DOWN, LOCAL, "local")
#define DM_WORDS_REVOCATION_FAIL_MODE(W) \
    W(REVOCATION_FAIL_MODE, CLOSED, "closed") \
    W(REVOCATION_FAIL_MODE, OPEN, "open")
#define DM_WORDS_SSL_MIN_VERSION(W) \
    W(SSL_MIN_VERSION, TLSV1_2, "TLSv1.2") \
    W(SSL_MIN_VERSION, TLSV1_3, "TLSv1.3")
#define DM_WORDS_COOKIE_SAMESITE(W) \
    W(COOKIE_SAMESITE, STRICT, "Strict") \
    W(COOKIE_SAMESITE, LAX, "Lax") \
    W(COOKIE_SAMESITE, NONE, "None")
#define DM_WORDS_RATE_LIMIT_BACKEND(W) \
    W(RATE_LIMIT_BACKEND, MEMORY, "memory") \
    W(RATE_LIMIT_BACKEND, REDIS, "redis")
#define DM_WORDS_LOG_LEVEL(W) \
    W(LOG_LEVEL, TRACE, "TRACE") \
    W(LOG_LEVEL, DEBUG, "DEBUG") \
    W(LOG_LEVEL, INFO, "INFO") \
    W(LOG_LEVEL, WARNING, "WARNING WARN") \
    W(LOG_LEVEL, ERROR, "ERROR") \
    W(LOG_LEVEL, CRITICAL, "CRITICAL")
#define DM_WORDS_LOG_FORMAT(W) \
    W(LOG_FORMAT, PLAIN, "plain text") \
    W(LOG_FORMAT, JSON, "json")
#define DM_WORDS_ACCESS_LOG(W) \
    W(ACCESS_LOG, OFF, "off") \
    W(ACCESS_LOG, COMBINED, "combined") \
    W(ACCESS_LOG, JSON, "json")
#define DM_WORDS_TIME_UNIT(W, KEY) \
    W(KEY, SECONDS, "seconds second s") \
    W(KEY, MINUTES, "minutes minute m") \
    W(KEY, HOURS, "hours hour h") \
    W(KEY, DAYS, "days day d") \
    W(KEY, WEEKS, "weeks week w")
#define DM_WORDS_AUTH_EXPIRE_TIME_FREQ(W) DM_WORDS_TIME_UNIT(W, AUTH_EXPIRE_TIME_FREQ)
#define DM_WORDS_AUTH_REFRESH_EXPIRE_FREQ(W) DM_WORDS_TIME_UNIT(W, AUTH_REFRESH_EXPIRE_FREQ)
#define DM_WORDS_AUTH_MODE(W) \
    W(AUTH_MODE, DOORMAN, "doorman") \
    W(AUTH_MODE, LOCAL, "local") \
    W(AUTH_MODE, CLERK, "clerk")
#define DM_WORDS_KEY_STORE(W) \
    W(KEY_STORE, ENV, "env")
#define DM_WORDS_OIDC_ID_TOKEN_ALG(W) \
    W(OIDC_ID_TOKEN_ALG, RS256, "RS256") \
    W(OIDC_ID_TOKEN_ALG, ES256, "ES256")
#define DM_WORDS_BILLING_PROVIDER(W) \
    W(BILLING_PROVIDER, NONE, "none") \
    W(BILLING_PROVIDER, STRIPE, "stripe")

/* clang-format on */
#define DM_WORD_CONSTANT(key, word, text) DM_##key##_##word,
enum { DM_WORDS_ENV(DM_WORD_CONSTANT) };
enum { DM_WORDS_DOORMAN_ROLE(DM_WORD_CONSTANT) };
enum { DM_WORDS_MEM_OR_EXTERNAL(DM_WORD_CONSTANT) };
enum { DM_WORDS_MEM_DUMP_FORMAT(DM_WORD_CONSTANT) };
enum { DM_WORDS_REDIS_MODE(DM_WORD_CONSTANT) };
enum { DM_WORDS_LIMIT_ON_STORE_DOWN(DM_WORD_CONSTANT) };
enum { DM_WORDS_REVOCATION_FAIL_MODE(DM_WORD_CONSTANT) };
enum { DM_WORDS_SSL_MIN_VERSION(DM_WORD_CONSTANT) };
enum { DM_WORDS_COOKIE_SAMESITE(DM_WORD_CONSTANT) };
enum { DM_WORDS_RATE_LIMIT_BACKEND(DM_WORD_CONSTANT) };
enum { DM_WORDS_LOG_LEVEL(DM_WORD_CONSTANT) };
enum { DM_WORDS_LOG_FORMAT(DM_WORD_CONSTANT) };
enum { DM_WORDS_ACCESS_LOG(DM_WORD_CONSTANT) };
enum { DM_WORDS_AUTH_EXPIRE_TIME_FREQ(DM_WORD_CONSTANT) };
enum { DM_WORDS_AUTH_REFRESH_EXPIRE_FREQ(DM_WORD_CONSTANT) };
enum { DM_WORDS_AUTH_MODE(DM_WORD_CONSTANT) };
enum { DM_WORDS_KEY_STORE(DM_WORD_CONSTANT) };
enum { DM_WORDS_OIDC_ID_TOKEN_ALG(DM_WORD_CONSTANT) };
enum { DM_WORDS_BILLING_PROVIDER(DM_WORD_CONSTANT) };

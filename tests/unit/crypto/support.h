/* What the tests of crypto/ share: cmocka with its headers, comparisons that print, keys made for
 * the tests (they open nothing). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

#define assert_view(got, want) assert_view_((got), (want), __FILE__, __LINE__)
#define assert_hex(got, len, want) assert_hex_((got), (len), (want), __FILE__, __LINE__)

void assert_view_(dm_view got, dm_view want, const char *file, int line);
void assert_hex_(const unsigned char *got, size_t len, const char *want, const char *file,
                 int line);

extern const char test_rsa_private[], test_rsa_public[]; /* 2048 bits */
extern const char test_rsa2_public[];                    /* of another pair */
extern const char test_rsa1024_private[];                /* too small */
extern const char test_ec_private[], test_ec_public[];   /* P-256 */
extern const char test_ec_certificate[];                 /* with that public half */
extern const char test_ec384_private[];                  /* another curve */
extern const char test_ec_broken_private[];              /* its public half is of another key */
extern const char test_encrypted_private[];              /* with a passphrase */

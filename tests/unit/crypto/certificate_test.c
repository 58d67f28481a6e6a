/* Certificates and their keys: configuration.md §2.5, G27. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "crypto/certificate.h"

/* CN=doorman.test, P-256, valid from 2026-11-21T12:00:06Z to 2036-11-18T12:00:06Z. Made for this
 * test. */
static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBgjCCASmgAwIBAgIUUcs1o8JqCQJ/ZoidJ5GsjRD8IIUwCgYIKoZIzj0EAwIw\n"
    "FzEVMBMGA1UEAwwMZG9vcm1hbi50ZXN0MB4XDTI2MTEyMTEyMDAwNloXDTM2MTEx\n"
    "ODEyMDAwNlowFzEVMBMGA1UEAwwMZG9vcm1hbi50ZXN0MFkwEwYHKoZIzj0CAQYI\n"
    "KoZIzj0DAQcDQgAE7RcKOdJ/QpA70b3fYmwwtv1pWIyHqJjz5kRBv03yfwaZ3p/4\n"
    "nPXehDuX33d2cmzUMsKeDj3fHp16XNFlaNcAG6NTMFEwHQYDVR0OBBYEFK1VfbAj\n"
    "dcV2EniCDOPUZ1xhkO2LMB8GA1UdIwQYMBaAFK1VfbAjdcV2EniCDOPUZ1xhkO2L\n"
    "MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgYxVLzJaTENyWUZ6O\n"
    "H2nFznX6LyTpxHb6GfrRWvlnG/0CIAobZJrgiuEkrjklLEgvNvaV4gGIsYAmayvB\n"
    "7gV3gSvP\n"
    "-----END CERTIFICATE-----\n";
static const char its_key[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGnvUt8A5bFtVfLFC\n"
                              "PkDch9gaP6Fx++coHQ73qpFvAUWhRANCAATtFwo50n9CkDvRvd9ibDC2/WlYjIeo\n"
                              "mPPmREG/TfJ/Bpnen/ic9d6EO5ffd3ZybNQywp4OPd8enXpc0WVo1wAb\n"
                              "-----END PRIVATE KEY-----\n";
static const char other_key[] = "-----BEGIN PRIVATE KEY-----\n"
                                "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJkfi+naT6Yf8zut+\n"
                                "gpurf1CHYMonCv29TBRtMOqwzS6hRANCAAQ+wPoj9Aej6z8JnAQktgsNCkiIih1P\n"
                                "P5MzCnxCbaYdj5NyMy9NF/H3G2/CuXlqrsxxdk6TMI52JaZQIkd9kRZg\n"
                                "-----END PRIVATE KEY-----\n";

static dm_time at(const char *iso)
{
    dm_time wall;
    assert_true(dm_time_from_iso(dm_view_of(iso), &wall));
    return wall;
}

static void expect(const char *chain, const char *key, const char *now, const char *wrong)
{
    dm_time until = 0;
    const char *said = dm_certificate_check(dm_view_of(chain), dm_view_of(key), at(now), &until);
    if (wrong == NULL) {
        assert_null(said);
        assert_true(until == at("2036-11-18T12:00:06Z"));
    } else {
        assert_non_null(said);
        assert_string_equal(said, wrong);
    }
}

static void a_pair_holds_within_its_validity(void **state)
{
    (void)state;
    expect(certificate, its_key, "2026-11-21T12:00:06Z", NULL);
    expect(certificate, its_key, "2036-11-18T12:00:06Z", NULL);
    expect(certificate, its_key, "2026-11-21T12:00:05Z", "the certificate is not valid yet");
    expect(certificate, its_key, "2036-11-18T12:00:07Z", "the certificate has expired");
}

static void a_key_of_somebody_else_is_told(void **state)
{
    (void)state;
    expect(certificate, other_key, "2030-01-01T00:00:00Z",
           "the key is not that of the certificate");
}

static void texts_that_are_no_pem_are_told(void **state)
{
    (void)state;
    expect("", its_key, "2030-01-01T00:00:00Z", "no certificate can be read from it");
    expect(its_key, its_key, "2030-01-01T00:00:00Z", "no certificate can be read from it");
    expect(certificate, "", "2030-01-01T00:00:00Z", "no private key can be read");
    expect(certificate, certificate, "2030-01-01T00:00:00Z", "no private key can be read");
    expect(certificate, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
           "2030-01-01T00:00:00Z", "no private key can be read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_holds_within_its_validity),
        cmocka_unit_test(a_key_of_somebody_else_is_told),
        cmocka_unit_test(texts_that_are_no_pem_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

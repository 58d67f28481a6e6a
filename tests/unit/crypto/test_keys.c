#include "support.h"

/* Made for these tests by openssl genpkey; nothing else uses them. */

const char test_rsa_private[] = "-----BEGIN PRIVATE KEY-----\n"
                                "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCna22CBOwxnspf\n"
                                "Y+w8VDdTPeNIEZomyrdeyFHZqS8QNRkoLmU5nbC8JQU17d37VDxhZZDbn8e8UVdx\n"
                                "ieJy7u3RRtC6x7z4KP8iUIhAFCFQr2nd9AquP5N830LuQfQwePyKAGYw6pyQDEn4\n"
                                "qckQoHqU+l3QU21y0D++WjeLkGoTUGm2RFQm7izSA+CbvoKvx7tm11xbGN77sTi0\n"
                                "TNa818zXrRZs9pBQCgbwdxl12Ou4+l0Pco1d+kA0MeBCQCpRKGFuNW8iBogGum83\n"
                                "0qFegctXbxxn5BPMNrTgKVVLWmCdZIWWGsgueTsJyBPc+pI1IJq+PKETJ81FG0gy\n"
                                "nejCrxLDAgMBAAECggEAHa3bserxfDJsKdDq9h7v19/mxMXqD+pr62+TowRtBXCE\n"
                                "Ty06YKZlyFS/wbmzWnSqZ5G7xlNi8y1wVP5emIVmv2zQX+w8wbly0UB5hvKKnWUb\n"
                                "XW9/3TgEC2UA1n/2rAkmq8g6VX2h1592FZDzxfDNClAABYhkpK/qPPJ9Wk51n4qe\n"
                                "CRZfz2/ine3RhSUJKHA1dQTimj1hzIjBgHIp+u+DyfuBDKKoHtwEFxY8/jnhX/Al\n"
                                "tbAGIxZHhgtHJn28sEQ3mcFXKNk4Z4v2eiDOCAS7kns1ztlwz3nTQS7XMe+HfxA5\n"
                                "N/iqMYDFxfBTvsEXNfPrsEBWQhWMplUK5Yzp5N0KoQKBgQDlZhu2sRGsAG/Jqxz2\n"
                                "+CQCzwN6rt8JuNV19vodjjCT2inirkPp9elNNX3rBtTTVoBuA7dPQqvpq9SuHczd\n"
                                "Ov252HE4UmaqCuIzjRghRoY/T9daOodjYFQebGY6VQ7esM4/TH4KA+PmdathLfva\n"
                                "eMoBeSerIoGXqO84Y6uE3r0W6wKBgQC61Wp6sZUQtbeInkC34vlOclEisdK1nv7i\n"
                                "InhZcF89t4BnK8bF31jZZF6VafkK50S0nP2SNgDDHOei1VN0+C3rMDWhA7TRDfL7\n"
                                "lnjr3qGcLSq5XKpNmOkBeZPELAs4+dutice0/wV1kiu7j9HEfizfbL5w4oHV+1M2\n"
                                "ZnZNdsOtiQKBgQCFrgYyZWdl828xd2zOovXhSR++648ADF0gfEdu18CJOJY2CdV7\n"
                                "zpkhLC3vuzBk48C9256EKtchucebm7QZq9nV5kK8TpCTQPpmji9knMN4u59Ebl0d\n"
                                "VTJP9F1yWsTqkt/t1TaRwYiacTHo1LIyszcMuryaJuacKY8WLkbyjBZm9wKBgBNB\n"
                                "H0IZvwUD1TBNLtpEl/DPszDiJpb1Fct0Rfbhr88KdD8tscR+qgdtYpn/W90VzGzY\n"
                                "qQFCc32oIu8TERDC6uiMBVrcqOvKhjoLXdbhEMKpnPeRZzOsCIdQYjwbVeS/SzZt\n"
                                "Npmelo9xSvR/c9zOLA2yhUXY8gx9ZCv9D0AYdz4RAoGBAK5Ue3w2rdhhMrFscoZ+\n"
                                "REfefeiL3/wRhKAZMMlXg7qOteDJhrr6kMKVKClBxlS6QrBWnzIEgeYFtiJNVpd2\n"
                                "tL9Wi/1cVuF2QZLYYCRQknCjN52PwHuL0oqv/ubgRPbAPncEI3l4n5tv/TL0gELq\n"
                                "WKRczHAEGc6LqlbxYgwHshXx\n"
                                "-----END PRIVATE KEY-----\n";

const char test_rsa_public[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAp2ttggTsMZ7KX2PsPFQ3\n"
                               "Uz3jSBGaJsq3XshR2akvEDUZKC5lOZ2wvCUFNe3d+1Q8YWWQ25/HvFFXcYnicu7t\n"
                               "0UbQuse8+Cj/IlCIQBQhUK9p3fQKrj+TfN9C7kH0MHj8igBmMOqckAxJ+KnJEKB6\n"
                               "lPpd0FNtctA/vlo3i5BqE1BptkRUJu4s0gPgm76Cr8e7ZtdcWxje+7E4tEzWvNfM\n"
                               "160WbPaQUAoG8HcZddjruPpdD3KNXfpANDHgQkAqUShhbjVvIgaIBrpvN9KhXoHL\n"
                               "V28cZ+QTzDa04ClVS1pgnWSFlhrILnk7CcgT3PqSNSCavjyhEyfNRRtIMp3owq8S\n"
                               "wwIDAQAB\n"
                               "-----END PUBLIC KEY-----\n";

const char test_rsa2_public[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvZUKHUZtpRKaFAMV3O4T\n"
                                "3RhYZX7d2BbnFrB3mtCSyImXYacObBEOAxep0k7l87TtZFWt6MfGjHa9TWmy5fvA\n"
                                "XN7q6RgyRAC0qmLpV7HsmCNHTXXIPTilm9QchexC3InAdpMnJDZDVUVUUg5XG7Ho\n"
                                "HQ3ialmbzAiVY6qQp/S9YYfEseBOR6BWClKD05Fft1CdgVXsQZLaGQrrhzJcIrZa\n"
                                "63+DYc7jWYekcA1VDeGCfqQWeILPKhSR0WYms5aR3qzGVI+IkI1gYzH27gIFpxD5\n"
                                "bdmKPY7Bmev5XUOtjlXF6OZGbzWSo+YtsSwc7GGawHVf1ZcmXX4ouTIFI93FoP0o\n"
                                "EwIDAQAB\n"
                                "-----END PUBLIC KEY-----\n";

const char test_rsa1024_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBALrSQvSLQB59QHg/\n"
    "20G0uxtgWOQFMUO7UAtLzjRuLF1a68suRjm/DZwRSWQud4u8oiBEvZL0s6KmUkKG\n"
    "M/7wPoUNuyw0+5qxZgIQlqca8VEeCoiwa7tejg/09vZ/cpPcdc9PDlMNTqjVcszy\n"
    "pRmNcuT25e/Y8dXVCWI3VZX1mFtTAgMBAAECgYAP2AEhqCWZ8FllWVUI74Dmw3cG\n"
    "b4JMEjipnJYyUB2nFSzmIFiIUTGgSL8GpgIxcZ/2SJ4jNml9o8laJvOF7W3/yWsm\n"
    "vqTTbngtHZxOmOz51schYbRzg4260CDEq85cTZlbFufZB2REAWbDFOi/Ld9DGP31\n"
    "t/tXnE8tlq88SDtIoQJBAPMWdQdLb0erYx9+XbpXL8npid70ieAFyIQigkklZSet\n"
    "UCRVRqTjSugUH+JYrSLLKZznI3IFWXKREmGY9v6ZTcsCQQDEvq+Kv6Rl+FwqPEu3\n"
    "NspJfZFvFvbn86xpBN86fdEFxZv8/QkgahrhLLmbaCW7hAl1B5vzLEBWvAY832XI\n"
    "fveZAkEAi7tU+iR6ixARooDZD8weREpiXi7jMksgwBO2IKXGR9BwSPJb8VxWKqGm\n"
    "0k12+JEgEnkq/tfkWt7ZWhC7qg4lkQJAJBZp8oRGbmHI3gJjTP7iyeobZAoNTex3\n"
    "QmgfXgY38dwWSahMJULxHT5r6SKIUUXdyjaUF12Vi5M/fajobYdEeQJBALioM3YS\n"
    "iR1aOrU2gUVOjVJRw49d7faYKKu/XdJP6cWOMnjaaD5hA3fLI12D+D32pTfXbzdb\n"
    "WlVR+m/pvaPDqSI=\n"
    "-----END PRIVATE KEY-----\n";

const char test_ec_private[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgABfTLL6bDkRuaH63\n"
                               "1gEQvEbQbGtQLHqnTddBvDqCgrOhRANCAAQM6zUvuDKe+zFCCkTpEWqhimz+xJrI\n"
                               "iBrx2kTGxF5qkMZ8lkv2XoP7JUBFmDwVkaHNrq5aPYf+9NE7LsJ8NmZL\n"
                               "-----END PRIVATE KEY-----\n";

const char test_ec_public[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDOs1L7gynvsxQgpE6RFqoYps/sSa\n"
                              "yIga8dpExsReapDGfJZL9l6D+yVARZg8FZGhza6uWj2H/vTROy7CfDZmSw==\n"
                              "-----END PUBLIC KEY-----\n";

const char test_ec384_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAUe2vxbunvOBIPkrM6\n"
    "REekc1d/k4OSeMck7tTNahWqaGQLLoP4GEzEZfkPxqRQ8BGhZANiAARn62wscxDV\n"
    "ZZjBH80SGS9mqdaKoaWMkQrt1vfYOQnYUquPeMsd5F8d5S+epHXQJlbEB8BSjETt\n"
    "oKOVU3filTLJFHBnt8jTehhN3mGTc0iaftTrvNTEyS9UYCSYaAKHQew=\n"
    "-----END PRIVATE KEY-----\n";

const char test_encrypted_private[] =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAj8oiFesnPQOgICCAAw\n"
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEBXbJ4K4HRISVCwOczK7aG8EgZCL\n"
    "o0ekDIxMu2oMO+uq4Ywxq9TEVjcB7zSiHsSCy6j8ZaiDmeGLDr6D4vKJKO2vEVgZ\n"
    "Il38gPuH+9p+hciJp22AolvAMSCgV7KUXnQ78BnUQyPr9Iu91m4wfQDf3/Wx0e1u\n"
    "3JPWGUOP75MTU5RiL5l1erKFu2OExla+7YHNo0XGblNXKXKhVJuokZRT1fW2Nas=\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

const char test_ec_broken_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgABfTLL6bDkRuaH63\n"
    "1gEQvEbQbGtQLHqnTddBvDqCfrOhRANCAAQM6zUvuDKe+zFCCkTpEWqhimz+xJrI\n"
    "iBrx2kTGxF5qkMZ8lkv2XoP7JUBFmDwVkaHNrq5aPYf+9NE7LsJ8NmZL\n"
    "-----END PRIVATE KEY-----\n";

const char test_ec_certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBdTCCARugAwIBAgIUEO7C9VBGDTJnXJIJ8xRICDryTSIwCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExNTI4NTJaGA8yMTI2MTAyODE1Mjg1\n"
    "MlowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAzr\n"
    "NS+4Mp77MUIKROkRaqGKbP7EmsiIGvHaRMbEXmqQxnyWS/Zeg/slQEWYPBWRoc2u\n"
    "rlo9h/700Tsuwnw2ZkujUzBRMB0GA1UdDgQWBBQccV01pLD4TToTrw5y2UsZ50bT\n"
    "vjAfBgNVHSMEGDAWgBQccV01pLD4TToTrw5y2UsZ50bTvjAPBgNVHRMBAf8EBTAD\n"
    "AQH/MAoGCCqGSM49BAMCA0gAMEUCIDTQxoc8OnP4SkV/pbotuwm6klUcijErGvAs\n"
    "JcN7nVAtAiEAtoubW89W7p2ZFoytAxcqun/PornMoOu8+Dz+z4ajkyE=\n"
    "-----END CERTIFICATE-----\n";

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/policy_envelope.h"

#define SEED "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="
#define OTHER_SEED "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="

struct keys {
    struct dm_ed25519_signer *signer, *other;
    struct dm_ed25519_verifier *verifier;
};

static int keys_open(void **state)
{
    struct keys *k = DM_NEW(struct keys);
    struct dm_buf public_half;
    assert_int_equal(dm_ed25519_signer_new(DM_LIT(SEED), &k->signer, NULL), DM_OK);
    assert_int_equal(dm_ed25519_signer_new(DM_LIT(OTHER_SEED), &k->other, NULL), DM_OK);
    dm_buf_init(&public_half, 100);
    dm_ed25519_public(k->signer, &public_half);
    assert_int_equal(dm_ed25519_verifier_new(dm_buf_view(&public_half), &k->verifier, NULL), DM_OK);
    dm_buf_done(&public_half);
    *state = k;
    return 0;
}

static int keys_close(void **state)
{
    struct keys *k = *state;
    dm_ed25519_signer_free(k->signer);
    dm_ed25519_signer_free(k->other);
    dm_ed25519_verifier_free(k->verifier);
    dm_mem_free(k);
    return 0;
}

static const struct dm_policy_value api = {.form = DM_POLICY_OBJECT,
                                           .generation = 7,
                                           .version = 7,
                                           .kind = {"api", 3},
                                           .id = {"a1", 2},
                                           .payload = {"{\"x\":\"\0\"}", 9}};
static const dm_view api_key = {"doorman:policy:obj:api:a1", 25};

static void build(const struct dm_policy_value *v, const struct dm_ed25519_signer *s,
                  struct dm_buf *out)
{
    dm_buf_init(out, DM_POLICY_VALUE_MAX);
    dm_policy_build(v, s, out);
    assert_true(dm_buf_ok(out));
}

static void value_comes_back_as_it_was_built(void **state)
{
    struct keys *k = *state;
    static const struct {
        struct dm_policy_value v;
        const char *key;
    } all[] = {
        {{.form = DM_POLICY_OBJECT,
          .deleted = true,
          .generation = 9,
          .version = 9,
          .kind = {"user", 4},
          .id = {"a:b", 3}},
         "doorman:policy:obj:user:a:b"},
        {{.form = DM_POLICY_DELTA, .forget = true, .generation = 12, .version = 12},
         "doorman:policy:delta:12"},
        {{.form = DM_POLICY_MANIFEST,
          .generation = 18446744073709551615u,
          .version = 1,
          .payload = {"m", 1}},
         "doorman:policy:snap:18446744073709551615"},
        {{.form = DM_POLICY_CURRENT, .generation = 300, .version = 256}, "doorman:policy:current"},
    };
    for (size_t i = 0; i < DM_COUNT_OF(all); i++) {
        struct dm_policy_value got;
        struct dm_buf b;
        build(&all[i].v, k->signer, &b);
        assert_int_equal(dm_policy_open(dm_buf_view(&b), all[i].v.form, dm_view_of(all[i].key),
                                        k->verifier, &got),
                         DM_POLICY_GOOD);
        assert_true(got.generation == all[i].v.generation && got.version == all[i].v.version);
        assert_true(got.deleted == all[i].v.deleted && got.forget == all[i].v.forget);
        assert_true(dm_view_eq(got.kind, all[i].v.kind) && dm_view_eq(got.id, all[i].v.id));
        assert_true(dm_view_eq(got.payload, all[i].v.payload));
        dm_buf_done(&b);
    }
}

static void every_changed_byte_is_noticed(void **state)
{
    struct keys *k = *state;
    struct dm_policy_value got;
    struct dm_buf b;
    build(&api, k->signer, &b);
    dm_view v = dm_buf_view(&b);
    char *copy = dm_mem_alloc(v.len);
    for (size_t at = 0; at < v.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, v.ptr, v.len);
            copy[at] = (char)(copy[at] ^ 1 << bit);
            assert_int_not_equal(dm_policy_open(dm_view_make(copy, v.len), DM_POLICY_OBJECT,
                                                api_key, k->verifier, &got),
                                 DM_POLICY_GOOD);
        }
        memcpy(copy, v.ptr, v.len);
        assert_int_not_equal(
            dm_policy_open(dm_view_make(copy, at), DM_POLICY_OBJECT, api_key, k->verifier, &got),
            DM_POLICY_GOOD);
    }
    dm_mem_free(copy);
    dm_buf_done(&b);
}

static void another_key_name_form_or_signer_is_refused(void **state)
{
    struct keys *k = *state;
    struct dm_policy_value got;
    struct dm_buf mine, theirs, unsigned_one;
    build(&api, k->signer, &mine);
    build(&api, k->other, &theirs);
    build(&api, NULL, &unsigned_one);
    const struct {
        dm_view bytes, key;
        enum dm_policy_form form;
        enum dm_policy_verdict verdict;
    } cases[] = {
        {dm_buf_view(&mine), api_key, DM_POLICY_OBJECT, DM_POLICY_GOOD},
        {dm_buf_view(&mine), DM_LIT("doorman:policy:obj:api:a2"), DM_POLICY_OBJECT, DM_POLICY_NAME},
        {dm_buf_view(&mine), DM_LIT("doorman:policy:delta:7"), DM_POLICY_DELTA, DM_POLICY_NAME},
        {dm_buf_view(&theirs), api_key, DM_POLICY_OBJECT, DM_POLICY_SIGNATURE},
        {dm_buf_view(&unsigned_one), api_key, DM_POLICY_OBJECT, DM_POLICY_SIGNATURE},
        {DM_LIT("{}"), api_key, DM_POLICY_OBJECT, DM_POLICY_MALFORMED},
        {DM_VIEW_NONE, api_key, DM_POLICY_OBJECT, DM_POLICY_MALFORMED},
    };
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++)
        assert_int_equal(
            dm_policy_open(cases[i].bytes, cases[i].form, cases[i].key, k->verifier, &got),
            cases[i].verdict);
    /* Without keys nothing is signed, and what is signed is taken too. */
    assert_int_equal(
        dm_policy_open(dm_buf_view(&unsigned_one), DM_POLICY_OBJECT, api_key, NULL, &got),
        DM_POLICY_GOOD);
    assert_int_equal(dm_policy_open(dm_buf_view(&theirs), DM_POLICY_OBJECT, api_key, NULL, &got),
                     DM_POLICY_GOOD);
    dm_buf_done(&mine);
    dm_buf_done(&theirs);
    dm_buf_done(&unsigned_one);
}

static void what_makes_no_sense_is_malformed_even_when_signed(void **state)
{
    struct keys *k = *state;
    static const struct dm_policy_value odd[] = {
        {.form = DM_POLICY_OBJECT,
         .generation = 2,
         .version = 1,
         .kind = {"api", 3},
         .id = {"a", 1}},
        {.form = DM_POLICY_OBJECT, .generation = 1, .version = 1, .id = {"a", 1}},
        {.form = DM_POLICY_OBJECT,
         .deleted = true,
         .generation = 1,
         .version = 1,
         .kind = {"api", 3},
         .id = {"a", 1},
         .payload = {"{}", 2}},
        {.form = DM_POLICY_DELTA, .generation = 0, .version = 0},
        {.form = DM_POLICY_CURRENT, .generation = 1, .version = 2},
        {.form = DM_POLICY_CURRENT, .forget = true, .generation = 1, .version = 1},
        {.form = DM_POLICY_MANIFEST, .deleted = true, .generation = 1, .version = 1},
    };
    for (size_t i = 0; i < DM_COUNT_OF(odd); i++) {
        struct dm_policy_value got;
        struct dm_buf b;
        build(&odd[i], k->signer, &b);
        assert_false(dm_policy_read(dm_buf_view(&b), &got));
        dm_buf_done(&b);
    }
}

static void list_comes_back_packed_and_not(void **state)
{
    struct dm_policy_entry e = {.kind = DM_LIT("endpoint"), .id = DM_LIT("e1"), .version = 5},
                           gone = {.kind = DM_LIT("user"),
                                   .id = DM_LIT("\xff:x"),
                                   .version = 6,
                                   .deleted = true},
                           got;
    struct dm_buf list, packed, back;
    (void)state;
    dm_sha256(DM_LIT("{}"), e.sha256);
    dm_buf_init(&list, 1000);
    dm_buf_init(&packed, 1000);
    dm_policy_entry_add(&list, &e);
    dm_policy_entry_add(&list, &gone);
    dm_policy_list_pack(dm_buf_view(&list), &packed);
    assert_true(dm_policy_list_unpack(dm_buf_view(&packed), &back));
    dm_view rest = dm_buf_view(&back);
    assert_true(dm_policy_entry_next(&rest, &got));
    assert_true(dm_view_eq(got.kind, e.kind) && dm_view_eq(got.id, e.id) && got.version == 5 &&
                !got.deleted && memcmp(got.sha256, e.sha256, DM_SHA256_LEN) == 0);
    assert_true(dm_policy_entry_next(&rest, &got));
    assert_true(dm_view_eq(got.id, gone.id) && got.deleted);
    assert_false(dm_policy_entry_next(&rest, &got));
    assert_int_equal(rest.len, 0);
    dm_buf_done(&list);
    dm_buf_done(&packed);
    dm_buf_done(&back);
}

static void list_that_is_cut_or_has_empty_names_ends_before_its_end(void **state)
{
    const struct dm_policy_entry e = {.kind = DM_LIT("api"), .id = DM_LIT("a"), .version = 5};
    struct dm_policy_entry got;
    struct dm_buf list;
    (void)state;
    dm_buf_init(&list, 1000);
    dm_policy_entry_add(&list, &e);
    dm_view whole = dm_buf_view(&list);
    for (size_t len = 1; len < whole.len; len++) {
        dm_view rest = dm_view_sub(whole, 0, len);
        assert_false(dm_policy_entry_next(&rest, &got));
        assert_int_equal(rest.len, len);
    }
    char *text = (char *)(uintptr_t)whole.ptr;
    text[0] = 0; /* no kind */
    dm_view rest = whole;
    assert_false(dm_policy_entry_next(&rest, &got));
    dm_buf_done(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_comes_back_as_it_was_built),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(another_key_name_form_or_signer_is_refused),
        cmocka_unit_test(what_makes_no_sense_is_malformed_even_when_signed),
        cmocka_unit_test(list_comes_back_packed_and_not),
        cmocka_unit_test(list_that_is_cut_or_has_empty_names_ends_before_its_end),
    };
    return cmocka_run_group_tests_name("policy_envelope", tests, keys_open, keys_close);
}

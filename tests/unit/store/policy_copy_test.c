#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "store/policy_copy.h"

#define SEED "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="
#define OTHER_PUBLIC "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

enum { MANIFEST = 5, GENERATION = 7, CAP = 1 << 20 };

struct fixture {
    char dir[64], path[96];
    struct dm_ed25519_signer *signer;
    struct dm_ed25519_verifier *verifier;
    struct dm_buf current, manifest, deltas[2];
    struct dm_policy_record *records[2];
};

static void value(struct fixture *f, struct dm_buf *b, enum dm_policy_form form,
                  uint64_t generation, uint64_t version, dm_view payload)
{
    const struct dm_policy_value v = {
        .form = form, .generation = generation, .version = version, .payload = payload};
    dm_buf_init(b, CAP);
    dm_policy_build(&v, f->signer, b);
}

static struct dm_policy_record *record(const char *id, uint64_t version, const char *payload)
{
    struct dm_policy_entry e = {.kind = DM_LIT("api"), .id = dm_view_of(id), .version = version};
    dm_sha256(dm_view_of(payload), e.sha256);
    return dm_policy_record_new(&e, dm_view_of(payload));
}

static void list_add(struct dm_buf *list, const struct dm_policy_record *r)
{
    struct dm_policy_entry e = dm_policy_record_entry(r);
    dm_policy_entry_add(list, &e);
}

/* A manifest of two APIs at 5, a delta 6 that names a user and deletes an API that never was, and a
 * delta 7 that changes one of the two. */
static void make_values(struct fixture *f)
{
    struct dm_buf list, packed;
    struct dm_policy_record *old = record("b", 4, "{\"v\":1}");
    const struct dm_policy_entry user = {.kind = DM_LIT("user"), .id = DM_LIT("ann"), .version = 6},
                                 gone = {.kind = DM_LIT("api"),
                                         .id = DM_LIT("c"),
                                         .version = 6,
                                         .deleted = true};
    f->records[0] = record("a", 3, "{\"api_id\":\"a\"}");
    f->records[1] = record("b", 7, "{\"v\":2}");
    dm_buf_init(&list, CAP);
    dm_buf_init(&packed, CAP);
    list_add(&list, f->records[0]);
    list_add(&list, old);
    dm_policy_list_pack(dm_buf_view(&list), &packed);
    value(f, &f->manifest, DM_POLICY_MANIFEST, MANIFEST, MANIFEST, dm_buf_view(&packed));
    dm_buf_clear(&list);
    dm_policy_entry_add(&list, &user);
    dm_policy_entry_add(&list, &gone);
    value(f, &f->deltas[0], DM_POLICY_DELTA, 6, 6, dm_buf_view(&list));
    dm_buf_clear(&list);
    list_add(&list, f->records[1]);
    value(f, &f->deltas[1], DM_POLICY_DELTA, 7, 7, dm_buf_view(&list));
    value(f, &f->current, DM_POLICY_CURRENT, GENERATION, MANIFEST, DM_VIEW_NONE);
    dm_policy_record_unref(old);
    dm_buf_done(&list);
    dm_buf_done(&packed);
}

static int open_fixture(void **state)
{
    struct fixture *f = DM_NEW(struct fixture);
    struct dm_buf public_half;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/policy_copy_XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/policy.snapshot", f->dir);
    assert_int_equal(dm_ed25519_signer_new(DM_LIT(SEED), &f->signer, NULL), DM_OK);
    dm_buf_init(&public_half, 100);
    dm_ed25519_public(f->signer, &public_half);
    assert_int_equal(dm_ed25519_verifier_new(dm_buf_view(&public_half), &f->verifier, NULL), DM_OK);
    dm_buf_done(&public_half);
    make_values(f);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    (void)unlink(f->path);
    (void)rmdir(f->dir);
    dm_ed25519_signer_free(f->signer);
    dm_ed25519_verifier_free(f->verifier);
    dm_buf_done(&f->current);
    dm_buf_done(&f->manifest);
    dm_buf_done(&f->deltas[0]);
    dm_buf_done(&f->deltas[1]);
    dm_policy_record_unref(f->records[0]);
    dm_policy_record_unref(f->records[1]);
    dm_mem_free(f);
    return 0;
}

static enum dm_code write_copy(struct fixture *f, size_t n_deltas, size_t n_records)
{
    dm_view deltas[2] = {dm_buf_view(&f->deltas[0]), dm_buf_view(&f->deltas[1])};
    const struct dm_policy_copy c = {.current = dm_buf_view(&f->current),
                                     .manifest = dm_buf_view(&f->manifest),
                                     .revocations = DM_LIT("mirror"),
                                     .deltas = deltas,
                                     .n_deltas = n_deltas,
                                     .records = f->records,
                                     .n_records = n_records};
    return dm_policy_copy_write(f->path, &c, NULL);
}

static enum dm_code read_copy(struct fixture *f, struct dm_policy_copy **ret)
{
    struct dm_error err;
    *ret = NULL;
    return dm_policy_copy_read(f->path, f->verifier, ret, &err);
}

static void copy_comes_back(void **state)
{
    struct fixture *f = *state;
    struct dm_policy_copy *c;
    struct dm_buf room;
    struct stat st;
    assert_int_equal(read_copy(f, &c), DM_NOT_FOUND);
    assert_int_equal(write_copy(f, 2, 2), DM_OK);
    assert_int_equal(read_copy(f, &c), DM_OK);
    assert_true(c->generation == GENERATION && c->manifest_generation == MANIFEST);
    assert_int_equal(c->n_records, 2);
    assert_true(dm_policy_record_same(c->records[1], f->records[1]));
    dm_buf_init(&room, CAP);
    assert_true(
        dm_view_eq(dm_policy_record_payload(c->records[0], &room), DM_LIT("{\"api_id\":\"a\"}")));
    assert_true(dm_view_eq(c->revocations, DM_LIT("mirror")));
    dm_buf_done(&room);
    dm_policy_copy_free(c);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static size_t load(struct fixture *f, char *bytes)
{
    int fd = open(f->path, O_RDONLY);
    ssize_t len = read(fd, bytes, CAP);
    assert_true(len > 0);
    (void)close(fd);
    return (size_t)len;
}

static void store(struct fixture *f, const char *bytes, size_t len)
{
    int fd = open(f->path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, bytes, len), len);
    (void)close(fd);
}

static void every_cut_and_every_changed_byte_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    char *good = dm_mem_alloc(CAP), *bad = dm_mem_alloc(CAP);
    struct dm_policy_copy *c;
    assert_int_equal(write_copy(f, 2, 2), DM_OK);
    size_t len = load(f, good), mirror = len;
    while (memcmp(good + mirror - 6, "mirror", 6) != 0) /* opaque here: its reader checks it */
        mirror--;
    for (size_t at = 0; at < len; at++) {
        store(f, good, at);
        assert_int_equal(read_copy(f, &c), DM_INVALID);
        if (at >= mirror - 6 && at < mirror)
            continue;
        memcpy(bad, good, len);
        bad[at] = (char)(bad[at] ^ 0x40);
        store(f, bad, len);
        assert_int_equal(read_copy(f, &c), DM_INVALID);
    }
    assert_int_equal(load(f, good), len); /* the last one stands as it was */
    assert_memory_equal(good, bad, len);
    dm_mem_free(good);
    dm_mem_free(bad);
}

static void objects_or_deltas_left_out_are_noticed(void **state)
{
    struct fixture *f = *state;
    struct dm_policy_copy *c;
    assert_int_equal(write_copy(f, 2, 1), DM_OK);
    assert_int_equal(read_copy(f, &c), DM_INVALID);
    assert_int_equal(write_copy(f, 1, 2), DM_OK);
    assert_int_equal(read_copy(f, &c), DM_INVALID);
    f->records[1]->version = 6; /* an older one */
    assert_int_equal(write_copy(f, 2, 2), DM_OK);
    assert_int_equal(read_copy(f, &c), DM_INVALID);
}

static void unsigned_or_foreign_copy_is_refused_where_keys_are_set(void **state)
{
    struct fixture *f = *state;
    struct dm_ed25519_verifier *other = NULL;
    struct dm_policy_copy *c = NULL;
    assert_int_equal(dm_ed25519_verifier_new(DM_LIT(OTHER_PUBLIC), &other, NULL), DM_OK);
    assert_int_equal(write_copy(f, 2, 2), DM_OK);
    assert_int_equal(dm_policy_copy_read(f->path, other, &c, NULL), DM_INVALID);
    assert_int_equal(dm_policy_copy_read(f->path, NULL, &c, NULL), DM_OK); /* no keys: as it is */
    dm_policy_copy_free(c);
    f->current.len_ -= DM_ED25519_LEN;
    assert_int_equal(write_copy(f, 2, 2), DM_OK);
    assert_int_equal(read_copy(f, &c), DM_INVALID);
    dm_ed25519_verifier_free(other);
}

static void write_that_fails_leaves_the_copy_before(void **state)
{
    struct fixture *f = *state;
    struct dm_policy_copy *c;
    char tmp[128];
    assert_int_equal(write_copy(f, 2, 2), DM_OK);
    dm_fault_set(DM_FAULT_FILE_WRITE, 1);
    assert_int_equal(write_copy(f, 2, 2), DM_UNAVAILABLE);
    dm_fault_set(DM_FAULT_FILE_WRITE, 0);
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", f->path);
    assert_int_not_equal(access(tmp, F_OK), 0);
    assert_int_equal(read_copy(f, &c), DM_OK);
    dm_policy_copy_free(c);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        CASE(copy_comes_back),
        CASE(every_cut_and_every_changed_byte_is_refused_and_left_alone),
        CASE(objects_or_deltas_left_out_are_noticed),
        CASE(unsigned_or_foreign_copy_is_refused_where_keys_are_set),
        CASE(write_that_fails_leaves_the_copy_before),
    };
    return cmocka_run_group_tests_name("policy_copy", tests, NULL, NULL);
}

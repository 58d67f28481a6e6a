#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/fernet.h"
#include "store/dump.h"

static const char KEY[] = "correct horse battery staple, thirty-two bytes";
static const dm_time START = 1700000000 * DM_SEC; /* 2023-11-14T22:13:20Z */

struct fixture {
    char dir[64], path[128];
    struct dm_clock_manual clock;
    struct dm_secret key;
    struct dm_dump_config config;
    struct dm_buf file;   /* the last one written */
    struct dm_dump *dump; /* the last one read */
    struct dm_error err;
};

static int open_fixture(void **state)
{
    struct fixture *f = DM_NEW(struct fixture);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/doorman-dump-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return 1;
    (void)snprintf(f->path, sizeof f->path, "%s/a/b/memory.dump.bin", f->dir);
    dm_clock_manual_init(&f->clock, 0, START);
    dm_secret_set(&f->key, dm_view_of(KEY));
    f->config = (struct dm_dump_config){
        .path = f->path, .key = &f->key, .keep = 10, .clock = &f->clock.clock};
    dm_buf_init(&f->file, 1000);
    *state = f;
    return 0;
}

static void remove_all(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char name[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(name, sizeof name, "%s/%s", dir, e->d_name);
        if (e->d_type == DT_DIR)
            remove_all(name);
        else
            (void)unlink(name);
    }
    if (d != NULL)
        (void)closedir(d);
    (void)rmdir(dir);
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    dm_fault_set(DM_FAULT_FILE_WRITE, 0);
    remove_all(f->dir);
    dm_secret_done(&f->key);
    dm_buf_done(&f->file);
    dm_dump_close(f->dump);
    dm_mem_free(f);
    return 0;
}

static struct dm_json *json(const char *text)
{
    struct dm_json *j = NULL;
    assert_int_equal(dm_json_parse(dm_view_of(text), NULL, &j, NULL), DM_OK);
    return j;
}

static enum dm_code write_dump(struct fixture *f, const char *data)
{
    DM_DEFER(dm_json_freep) struct dm_json *j = json(data);
    return dm_dump_write(&f->config, j, &f->file, &f->err);
}

static enum dm_code restore(struct fixture *f, struct dm_json **ret)
{
    dm_view collection;
    struct dm_json *doc, *documents = NULL;
    dm_dump_close(f->dump);
    f->dump = NULL;
    enum dm_code rc = dm_dump_open(&f->config, &f->dump, &f->err);
    if (rc != DM_OK)
        return rc;
    *ret = dm_json_new_object();
    while (dm_dump_next(f->dump, &collection, &doc)) {
        if (doc != NULL) {
            dm_json_push(documents, doc);
            continue;
        }
        documents = dm_json_new_array();
        dm_json_set(*ret, collection, documents);
    }
    return DM_OK;
}

static void assert_restored(struct fixture *f, const char *data, const char *name)
{
    DM_DEFER(dm_json_freep) struct dm_json *got = NULL, *wanted = json(data);
    if (restore(f, &got) != DM_OK)
        fail_msg("%s", f->err.text);
    assert_true(dm_json_equal(got, wanted));
    assert_true(dm_view_ends(dm_dump_file(f->dump), dm_view_of(name)));
}

static size_t count_files(const struct fixture *f)
{
    char dir[128];
    size_t n = 0;
    (void)snprintf(dir, sizeof dir, "%s/a/b", f->dir);
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d != NULL)
        (void)closedir(d);
    return n;
}

static size_t read_file(const char *name, char *bytes, size_t size)
{
    int fd = open(name, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, bytes, size);
    (void)close(fd);
    assert_true(n > 0 && (size_t)n < size);
    return (size_t)n;
}

static void write_file(const char *name, dm_view bytes)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
    (void)close(fd);
}

static void no_dump_is_a_fresh_start(void **state)
{
    struct fixture *f = *state;
    struct dm_json *got = NULL;
    assert_int_equal(restore(f, &got), DM_NOT_FOUND);
    assert_null(got);
}

static void dump_comes_back_as_it_was(void **state)
{
    struct fixture *f = *state;
    const char *data = "{\"users\":[{\"username\":\"ann\",\"n\":1.5},{}],\"apis\":[]}";
    assert_int_equal(write_dump(f, data), DM_OK);
    assert_true(
        dm_view_ends(dm_buf_view(&f->file), DM_LIT("/a/b/memory.dump-20231114T221320Z.bin")));
    assert_restored(f, data, "/a/b/memory.dump-20231114T221320Z.bin");
    assert_true(dm_view_eq(dm_dump_created_at(f->dump), DM_LIT("2023-11-14T22:13:20Z")));
}

static void file_is_private_and_unreadable(void **state)
{
    struct fixture *f = *state;
    char bytes[4096], dir[128];
    struct stat st;
    (void)umask(0);
    assert_int_equal(write_dump(f, "{\"users\":[{\"email\":\"ann@example.org\"}]}"), DM_OK);
    assert_int_equal(stat(dm_buf_cstr(&f->file), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)snprintf(dir, sizeof dir, "%s/a", f->dir);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    size_t n = read_file(dm_buf_cstr(&f->file), bytes, sizeof bytes);
    assert_true(dm_view_starts(dm_view_make(bytes, n), DM_LIT("gAAAA")));
    assert_int_equal(dm_view_find(dm_view_make(bytes, n), DM_LIT("ann@")), n);
    assert_int_equal(count_files(f), 1);
}

static void newest_by_name_wins_and_old_ones_go(void **state)
{
    struct fixture *f = *state;
    f->config.keep = 2;
    for (int i = 0; i < 4; i++) {
        char data[64];
        (void)snprintf(data, sizeof data, "{\"c\":[{\"i\":%d}]}", i);
        assert_int_equal(write_dump(f, data), DM_OK);
        dm_clock_manual_step_wall(&f->clock, DM_SEC);
    }
    char other[160];
    (void)snprintf(other, sizeof other, "%s/a/b/memory.dump-notes.bin", f->dir);
    write_file(other, DM_LIT("not a dump"));
    assert_int_equal(count_files(f), 3);
    assert_restored(f, "{\"c\":[{\"i\":3}]}", "memory.dump-20231114T221323Z.bin");
    f->config.keep = 0; /* all */
    assert_int_equal(write_dump(f, "{}"), DM_OK);
    assert_int_equal(count_files(f), 4);
}

static void exact_name_wins_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write_dump(f, "{\"c\":[{\"old\":true}]}"), DM_OK);
    assert_int_equal(rename(dm_buf_cstr(&f->file), f->path), 0);
    dm_clock_manual_step_wall(&f->clock, 3600 * DM_SEC);
    assert_int_equal(write_dump(f, "{\"c\":[{\"new\":true}]}"), DM_OK);
    assert_restored(f, "{\"c\":[{\"old\":true}]}", "/a/b/memory.dump.bin");
    assert_restored(f, "{\"c\":[{\"old\":true}]}", "/a/b/memory.dump.bin"); /* not settled yet */
    assert_int_equal(dm_dump_settle(&f->config, f->dump, NULL), DM_OK);
    assert_restored(f, "{\"c\":[{\"new\":true}]}", "memory.dump-20231114T231320Z.bin");
    assert_int_equal(dm_dump_settle(&f->config, f->dump, NULL), DM_OK);
    char renamed[160];
    (void)snprintf(renamed, sizeof renamed, "%s/a/b/memory.dump-20231114T221320Z.bin", f->dir);
    assert_int_equal(access(renamed, F_OK), 0);
    assert_int_equal(count_files(f), 2);
}

static void dmp1_is_written_and_read(void **state)
{
    struct fixture *f = *state;
    char bytes[4096];
    f->config.format = DM_DUMP_DMP1;
    assert_int_equal(write_dump(f, "{\"c\":[{\"i\":1}]}"), DM_OK);
    size_t n = read_file(dm_buf_cstr(&f->file), bytes, sizeof bytes);
    assert_true(dm_view_starts(dm_view_make(bytes, n), DM_LIT("DMP1")));
    f->config.format = DM_DUMP_FERNET; /* what is written does not matter for reading */
    assert_restored(f, "{\"c\":[{\"i\":1}]}", "Z.bin");
}

/* Sealed with fixed salt and nonce by another implementation of the format (Python, cryptography).
 */
static void dmp1_of_another_writer_is_read(void **state)
{
    struct fixture *f = *state;
    static const unsigned char sealed[] = {
        0x44, 0x4d, 0x50, 0x31, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
        0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
        0x0a, 0x0b, 0xf6, 0x8a, 0xfb, 0x90, 0xfa, 0xa3, 0x35, 0x58, 0x5e, 0x8e, 0xb8, 0xe9, 0x73,
        0x2d, 0x10, 0x1f, 0xab, 0x6a, 0x43, 0xb8, 0x78, 0x05, 0x15, 0xa4, 0x18, 0xcc, 0x7b, 0x98,
        0xc5, 0x59, 0x5c, 0x25, 0xec, 0x6f, 0x09, 0x29, 0x1b, 0x5f, 0x18, 0xf6, 0x44, 0xae, 0x4a,
        0xd7, 0xe0, 0xc6, 0xd6, 0x3a, 0xfe, 0xdb, 0xd6, 0xc2, 0x6d, 0x8c, 0x33, 0x43, 0xdc, 0x82,
        0x2a, 0x2b, 0xf3, 0x84, 0xdb, 0x28, 0xec, 0x1e, 0x77, 0x8c, 0x61, 0xfa, 0x72, 0x84, 0xf3,
        0xc4, 0xbc, 0xf2, 0xcc, 0x29, 0x42, 0x07, 0xb2, 0xdd, 0xf5, 0x04, 0x36, 0x4a, 0x97, 0xd4,
        0x32, 0x01, 0xd0, 0x18, 0x10, 0x12, 0x1b, 0xad, 0x7b, 0x02, 0x45, 0x44, 0x11, 0x64, 0x78,
        0xbd, 0x15, 0x28, 0xe0, 0x95, 0x61, 0xb1, 0x96, 0x06, 0xf8, 0x98, 0x36, 0x98, 0x59, 0x07,
        0x27, 0x59, 0x41, 0x81, 0xde, 0x15, 0x32, 0xe4, 0x9e, 0x95, 0xa0, 0x92, 0xe4, 0xb6, 0xd0,
        0x28, 0x22, 0xbe, 0x98, 0xe9, 0xed, 0x67, 0x62, 0x53, 0xe6, 0x1c, 0x90, 0x74, 0x2d, 0x37,
        0xf3, 0x78, 0x69, 0x00, 0x68, 0x78, 0xc0, 0x35, 0xde, 0x55, 0x07, 0xad, 0x58, 0x61, 0x4b,
        0x76, 0x3c, 0x89, 0xe8, 0x69, 0xfe, 0xd9, 0x05, 0x90, 0x6c, 0x11, 0x1a, 0xd6, 0xa3, 0xea,
        0xa8, 0x92, 0xd1, 0xac, 0x58, 0x15, 0x02, 0x0a, 0x42, 0x9c, 0xe3, 0xf6, 0x1d, 0x3c, 0x51,
        0x9c, 0x13, 0x46, 0x94, 0x1c, 0xea, 0xd2, 0xb9, 0x70, 0x26, 0x7b, 0xc6, 0x11, 0x2a, 0x4c,
        0x4d, 0x0d, 0xfc, 0x45, 0x2d, 0xec, 0x89, 0xa4, 0x9d, 0xc3, 0x67, 0xf6, 0x3e, 0x58, 0x70,
        0x67, 0x19, 0x00, 0x72, 0xea, 0x7a, 0xed, 0xef, 0x69, 0x42, 0x62, 0x6a, 0x02, 0xf9, 0x52,
        0xa0, 0x54, 0x70, 0xd0, 0xe4, 0xea, 0x28, 0x37, 0xfb, 0x2f, 0x05, 0x89, 0xff, 0xe6, 0xfe,
        0x8c, 0xda, 0x47, 0xbf, 0x39, 0xc5, 0x02, 0xf7, 0x10, 0x4b, 0x0b, 0xcb, 0x1a, 0xcf, 0x8d,
        0xef, 0x4c, 0xb2, 0x03, 0xaf, 0x2f};
    struct dm_json *got = NULL;
    assert_int_equal(write_dump(f, "{}"), DM_OK); /* makes the directory */
    write_file(f->path, dm_view_make((const char *)sealed, sizeof sealed));
    assert_int_equal(restore(f, &got), DM_OK);
    DM_DEFER(dm_json_freep) struct dm_json *owned = got;
    DM_DEFER(dm_json_freep)
    struct dm_json *wanted =
        json("{\"users\":[{\"username\":\"admin\",\"password\":\"$2b$12$abc\",\"blob\":"
             "{\"__type__\":\"bytes\",\"data\":\"/w==\"}}]}");
    assert_true(dm_json_equal(got, wanted)); /* bytes are text where they can be, _id is dropped */
    assert_true(dm_view_eq(dm_dump_created_at(f->dump), DM_LIT("2024-01-15T10:30:00.123456Z")));
    assert_int_equal(dm_dump_settle(&f->config, f->dump, NULL), DM_OK);
    assert_int_equal(access(f->path, F_OK), -1);
}

static void spoilt_dump_is_refused_and_stays_untouched(void **state)
{
    struct fixture *f = *state;
    for (int format = DM_DUMP_FERNET; format <= DM_DUMP_DMP1; format++) {
        char good[4096], after[4096];
        f->config.format = (enum dm_dump_format)format;
        assert_int_equal(write_dump(f, "{\"c\":[{\"i\":1}]}"), DM_OK);
        size_t n = read_file(dm_buf_cstr(&f->file), good, sizeof good);
        assert_int_equal(rename(dm_buf_cstr(&f->file), f->path), 0);
        for (size_t i = 0; i < n + 3; i++) {
            struct dm_json *got = NULL;
            char bad[4096];
            size_t bad_len = n;
            memcpy(bad, good, n);
            if (i < n)
                bad[i] ^= 1;
            else
                bad_len = i == n ? n - 1 : i == n + 1 ? 5 : n / 2;
            write_file(f->path, dm_view_make(bad, bad_len));
            if (restore(f, &got) ==
                DM_OK) { /* base64: a bit beyond the last byte is refused, too */
                dm_json_free(got);
                fail_msg("byte %zu of format %d", i, format);
            }
            assert_true(strstr(f->err.text, "memory.dump.bin") != NULL);
            assert_null(got);
            assert_int_equal(read_file(f->path, after, sizeof after), bad_len);
            assert_memory_equal(after, bad, bad_len);
        }
        assert_int_equal(unlink(f->path), 0);
    }
}

static void empty_file_and_directory_in_its_place_are_refused(void **state)
{
    struct fixture *f = *state;
    struct dm_json *got = NULL;
    assert_int_equal(write_dump(f, "{}"), DM_OK);
    write_file(f->path, DM_LIT(""));
    assert_int_equal(restore(f, &got), DM_INVALID);
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(restore(f, &got), DM_UNAVAILABLE);
}

static void wrong_key_is_told_without_the_key(void **state)
{
    struct fixture *f = *state;
    struct dm_json *got = NULL;
    assert_int_equal(write_dump(f, "{\"c\":[{\"i\":1}]}"), DM_OK);
    dm_secret_set(&f->key, DM_LIT("another key, also of more than 32 bytes"));
    assert_int_equal(restore(f, &got), DM_INVALID);
    assert_non_null(strstr(f->err.text, "MEM_ENCRYPTION_KEY"));
    assert_null(strstr(f->err.text, "another key"));
    assert_int_equal(count_files(f), 1);
}

static void well_sealed_nonsense_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const plain[] = {
        "not json",
        "[]",
        "{\"version\":2,\"data\":{}}",
        "{\"version\":1}",
        "{\"version\":1,\"data\":[]}",
        "{\"version\":1,\"data\":{\"c\":{}}}",
        "{\"version\":1,\"data\":{\"c\":[1]}}",
        "{\"version\":1,\"data\":{\"c\":[{},[]]}}",
        "{\"version\":1,\"data\":{\"c\":[{}],\"d\":{}}}",
        "{\"version\":1,\"data\":{\"c\":[{\"a\":1,\"a\":2}]}}",
        "{\"version\":1,\"data\":{\"c\":[],\"c\":[]}}",
        "{\"version\":\"1\",\"data\":{}}",
        "{\"data\":{}}",
        "{\"version\":1,\"data\":{\"c\":[{}]}",
        "{\"version\":1,\"data\":{\"c\":[{}]}} x",
    };
    struct dm_secret key = {0};
    dm_fernet_key(dm_view_of(KEY), &key);
    assert_int_equal(write_dump(f, "{}"), DM_OK);
    for (size_t i = 0; i < DM_COUNT_OF(plain); i++) {
        struct dm_json *got = NULL;
        struct dm_buf token;
        dm_buf_init(&token, 4096);
        dm_fernet_encrypt(&key, dm_view_of(plain[i]), START, &token);
        write_file(f->path, dm_buf_view(&token));
        assert_int_equal(restore(f, &got), DM_INVALID);
        assert_null(got);
        dm_buf_done(&token);
    }
    dm_secret_done(&key);
}

static void order_of_members_and_escaped_names_do_not_matter(void **state)
{
    struct fixture *f = *state;
    static const char plain[] =
        " {\"note\":[1,{}],\"d\\u0061ta\" : { \"c\\u002f1\" : [ {\"a\":{\"b\":[1]}} , {} ] ,"
        " \"empty\":[ ] , \"d\":[{\"x\":null}] },\"created_at\":\"2024\\u002d01\",\"version\":1} ";
    struct dm_secret key = {0};
    struct dm_buf token;
    dm_fernet_key(dm_view_of(KEY), &key);
    dm_buf_init(&token, 4096);
    assert_int_equal(write_dump(f, "{}"), DM_OK);
    dm_fernet_encrypt(&key, dm_view_of(plain), START, &token);
    write_file(f->path, dm_buf_view(&token));
    assert_restored(f, "{\"c/1\":[{\"a\":{\"b\":[1]}},{}],\"empty\":[],\"d\":[{\"x\":null}]}",
                    "/a/b/memory.dump.bin");
    assert_true(dm_view_eq(dm_dump_created_at(f->dump), DM_LIT("2024-01")));
    dm_buf_done(&token);
    dm_secret_done(&key);
}

static void failed_write_leaves_what_was_there(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write_dump(f, "{\"c\":[{\"i\":1}]}"), DM_OK);
    dm_clock_manual_step_wall(&f->clock, DM_SEC);
    f->config.keep = 1;
    for (uint64_t nth = 1; nth <= 2; nth++) { /* writing, syncing the file */
        dm_fault_set(DM_FAULT_FILE_WRITE, nth);
        assert_int_equal(write_dump(f, "{\"c\":[{\"i\":2}]}"), DM_UNAVAILABLE);
        assert_non_null(strstr(f->err.text, "No space left"));
        assert_int_equal(count_files(f), 1);
        assert_restored(f, "{\"c\":[{\"i\":1}]}", "20Z.bin");
    }
    dm_fault_set(DM_FAULT_FILE_WRITE, 0);
    assert_int_equal(write_dump(f, "{\"c\":[{\"i\":2}]}"), DM_OK);
    assert_restored(f, "{\"c\":[{\"i\":2}]}", "21Z.bin");
    assert_int_equal(count_files(f), 1);
}

static void remainder_of_a_crash_is_overwritten(void **state)
{
    struct fixture *f = *state;
    char temporary[160];
    assert_int_equal(write_dump(f, "{}"), DM_OK);
    (void)snprintf(temporary, sizeof temporary, "%s/a/b/memory.dump.tmp", f->dir);
    write_file(temporary, DM_LIT("half"));
    assert_restored(f, "{}", "Z.bin");
    assert_int_equal(write_dump(f, "{}"), DM_OK);
    assert_int_equal(access(temporary, F_OK), -1);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(no_dump_is_a_fresh_start),
        TEST(dump_comes_back_as_it_was),
        TEST(file_is_private_and_unreadable),
        TEST(newest_by_name_wins_and_old_ones_go),
        TEST(exact_name_wins_once),
        TEST(dmp1_is_written_and_read),
        TEST(dmp1_of_another_writer_is_read),
        TEST(spoilt_dump_is_refused_and_stays_untouched),
        TEST(empty_file_and_directory_in_its_place_are_refused),
        TEST(wrong_key_is_told_without_the_key),
        TEST(well_sealed_nonsense_is_refused),
        TEST(order_of_members_and_escaped_names_do_not_matter),
        TEST(failed_write_leaves_what_was_there),
        TEST(remainder_of_a_crash_is_overwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

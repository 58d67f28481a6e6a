/* Properties of every row of settings.def, and the page made from it. The values are drawn from the
 * table: a new row is tested without a line here. */
#include "settings_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 6, TEXT_MAX = 70000 };

/* Keys that decide what other keys must be: judged in settings_guard_test.c, by hand. */
static bool decides_for_others(const struct dm_setting_row *row)
{
    static const char *const keys[] = {"ENV",
                                       "DOORMAN_ROLE",
                                       "MEM_OR_EXTERNAL",
                                       "DOORMAN_CONFIG_FILE",
                                       "JWT_PRIVATE_KEY",
                                       "JWT_PUBLIC_KEY",
                                       "JWT_KEYS",
                                       "JWT_SECRET_KEY"};
    for (size_t i = 0; i < DM_COUNT_OF(keys); i++) {
        if (strcmp(row->key, keys[i]) == 0)
            return true;
    }
    return false;
}

/* An environment in which any valid value of any one key is valid. */
static void companions(struct loaded *l)
{
    static const char *const entries[] = {
        "DB_POOL_MIN_SIZE=1",
        "DB_POOL_MAX_SIZE=1000",
        "HTTP_RETRY_BASE_DELAY=0",
        "HTTP_RETRY_MAX_DELAY=60",
        "GRPC_RETRY_BASE_MS=1",
        "GRPC_RETRY_MAX_MS=60000",
        "RQ_DISPATCH_RETRY_BASE_SECONDS=0",
        "RQ_DISPATCH_RETRY_MAX_SECONDS=86400",
        "MAX_URI_BYTES=256",
        "MAX_HEADER_BYTES=262144",
        "MONGO_REPLICA_SET_NAME=rs0",
        "MONGO_DB_USER=u",
        "MONGO_DB_PASSWORD=p",
        "HTTPS_ONLY=true",
        "AUTH_EXPIRE_TIME=1",
        "AUTH_EXPIRE_TIME_FREQ=seconds",
        "AUTH_REFRESH_EXPIRE_FREQ=weeks",
        "AUTH_REFRESH_EXPIRE_TIME=5000",
        "LOCAL_AUTH_TOKEN=a-token-of-more-than-fifty-characters-for-this-test-only",
        "CLERK_SECRET_KEY=c",
        "PORT=1",
        "METRICS_PORT=0"};
    for (size_t i = 0; i < DM_COUNT_OF(entries); i++)
        loaded_env(l, entries[i]);
}

static double draw_number(const struct dm_setting_row *row, uint64_t *seed)
{
    double max = row->max < 4000 || row->min > 4000 ? row->max
                                                    : 4000; /* lifetimes have a rule of their own */
    double at = (double)(draw(seed) % 1001) / 1000.0;
    return at == 0 ? row->min : row->min + at * (max - row->min);
}

static const char *valid_by_rule(const struct dm_setting_row *row, uint64_t pick)
{
    static const struct {
        const char *rule, *texts[2];
    } known[] = {
        {"address", {"127.0.0.1", "::"}},
        {"directory", {"/tmp", "."}},
        {"hosts", {"a, b:7", "[::1]:9"}},
        {"domain", {"example.com", "localhost"}},
        {"origins", {"https://a.example,http://b:81", "*"}},
        {"tokens", {"GET, POST", "*"}},
        {"token", {"at+jwt", "JWT"}},
        {"header", {"a b; c=d", "x"}},
        {"paths", {"/a,/b/*", "/"}},
        {"email", {"a@b.c", "x@y"}},
        {"key32",
         {"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF",
          "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}},
        {"ed25519",
         {"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
          "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}},
    };
    for (size_t i = 0; i < DM_COUNT_OF(known); i++) {
        if (strcmp(known[i].rule, row->allowed) == 0)
            return known[i].texts[pick % 2];
    }
    return NULL;
}

/* Writes a valid value; false when this row has none that fits every machine. */
static bool draw_valid(const struct dm_setting_row *row, uint64_t *seed, char *out, size_t size)
{
    static const char *const bools[] = {"true", "False", "1", "0", "YES", "no", "On", "off"};
    const uint64_t pick = draw(seed);
    const char *ruled = valid_by_rule(row, pick);
    char scheme[16];
    switch (row->type) {
    case DM_SETTING_BOOL:
    case DM_SETTING_TRI:
        (void)snprintf(out, size, "%s", bools[pick % DM_COUNT_OF(bools)]);
        return true;
    case DM_SETTING_INT:
    case DM_SETTING_BYTES:
    case DM_SETTING_WHOLE_SECONDS:
        (void)snprintf(out, size, "%.0f", draw_number(row, seed));
        return true;
    case DM_SETTING_SECONDS:
    case DM_SETTING_FLOAT:
        (void)snprintf(out, size, "%.3f", draw_number(row, seed));
        return true;
    case DM_SETTING_ENUM:
        (void)snprintf(out, size, "%s", row->words[pick % row->n_words]);
        out[strcspn(out, " ")] = '\0';
        return true;
    case DM_SETTING_URL:
        (void)snprintf(scheme, sizeof(scheme), "%.*s", (int)strcspn(row->allowed, " "),
                       row->allowed);
        (void)snprintf(out, size, "%s://host%u/p", scheme, (unsigned)(pick % 100));
        return true;
    case DM_SETTING_CIDRS:
        (void)snprintf(out, size, "10.%u.0.0/%u, 2001:db8::%x", (unsigned)(pick % 256),
                       (unsigned)(pick % 33), (unsigned)(pick % 4096));
        return true;
    case DM_SETTING_SECRET:
        if (ruled == NULL)
            (void)snprintf(out, size, "%060u",
                           (unsigned)(pick % 1000)); /* longer than any minimum */
        else
            (void)snprintf(out, size, "%s", ruled);
        return true;
    case DM_SETTING_STR:
    case DM_SETTING_PATH:
    case DM_SETTING_CSV:
    case DM_SETTING_PEM:
        if (ruled == NULL && row->allowed[0] != '\0')
            return false; /* files */
        (void)snprintf(out, size, "%s", ruled != NULL ? ruled : "text");
        return true;
    case DM_SETTING_SECRET_JSON:
        return false;
    }
    return false;
}

static void draw_bad_number(const struct dm_setting_row *row, uint64_t *seed, char *out,
                            size_t size)
{
    static const char *const texts[] = {"1M", "0x10", " 5", "1e2", "-", "five", "1,5", "--1", "+3"};
    const uint64_t pick = draw(seed);
    if (pick % 3 == 0)
        (void)snprintf(out, size, "%.0f", row->max + 1 + (double)(pick % 1000));
    else if (pick % 3 == 1)
        (void)snprintf(out, size, "%.0f", -1.0 - (double)(pick % 1000));
    else
        (void)snprintf(out, size, "%s", texts[pick / 3 % DM_COUNT_OF(texts)]);
}

/* Writes a value that no reading of this row's type allows. */
static void draw_bad(const struct dm_setting_row *row, uint64_t *seed, char *out, size_t size)
{
    static const char *const bools[] = {"enabled", "2", "tru", "y", "-1"};
    static const char *const urls[] = {"/relative", "host:1",  "gopher://h/",
                                       "://x",      "http://", "redis:///0"};
    static const char *const cidrs[] = {"10.0.0.0/33", "1.2.3", "::/129", "1.2.3.4,host",
                                        "010.0.0.1"};
    const uint64_t pick = draw(seed);
    switch (row->type) {
    case DM_SETTING_BOOL:
    case DM_SETTING_TRI:
        (void)snprintf(out, size, "%s", bools[pick % DM_COUNT_OF(bools)]);
        return;
    case DM_SETTING_INT:
    case DM_SETTING_BYTES:
    case DM_SETTING_WHOLE_SECONDS:
    case DM_SETTING_SECONDS:
    case DM_SETTING_FLOAT:
        draw_bad_number(row, seed, out, size);
        return;
    case DM_SETTING_ENUM:
        (void)snprintf(out, size, "word%u", (unsigned)(pick % 1000));
        return;
    case DM_SETTING_URL:
        (void)snprintf(out, size, "%s", urls[pick % DM_COUNT_OF(urls)]);
        return;
    case DM_SETTING_CIDRS:
        (void)snprintf(out, size, "%s", cidrs[pick % DM_COUNT_OF(cidrs)]);
        return;
    case DM_SETTING_PEM:
        (void)snprintf(out, size, "no key, %u", (unsigned)(pick % 1000));
        return;
    case DM_SETTING_SECRET_JSON:
        (void)snprintf(out, size, "[{\"kid\":%u", (unsigned)(pick % 1000));
        return;
    case DM_SETTING_SECRET:
        if (row->allowed[0] == '\0' && (row->min == 0 || pick % 2 == 0)) {
            memset(out, 'x', (size_t)row->max + 1);
            out[(size_t)row->max + 1] = '\0';
        } else {
            (void)snprintf(out, size, "x%u", (unsigned)(pick % 100));
        }
        return;
    case DM_SETTING_STR:
    case DM_SETTING_PATH:
    case DM_SETTING_CSV:
        (void)snprintf(out, size, "a\x01%u", (unsigned)(pick % 1000));
        return;
    }
}

static char *entry_of(const struct dm_setting_row *row, const char *value)
{
    char *entry = NULL;
    assert_true(asprintf(&entry, "%s=%s", row->key, value) > 0);
    return entry;
}

static enum dm_role role_of(const struct dm_setting_row *row)
{
    return row->programs == 'G' ? DM_ROLE_GATEWAY : DM_ROLE_ADMIN;
}

static void any_valid_value_of_any_key_loads(void **state)
{
    (void)state;
    static char value[TEXT_MAX * 20];
    uint64_t seed = 0x9e3779b97f4a7c15u;
    size_t n, tested = 0;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    for (size_t i = 0; i < n * ROUNDS; i++) {
        const struct dm_setting_row *row = &rows[i % n];
        if (decides_for_others(row) || !draw_valid(row, &seed, value, sizeof(value)))
            continue;
        struct loaded l;
        char *entry = entry_of(row, value);
        loaded_init(&l, role_of(row));
        companions(&l);
        loaded_env(&l, entry);
        loaded_run(&l);
        if (l.rc != DM_OK)
            fail_msg("%s was refused:\n%.*s", entry, DM_FMT(dm_buf_view(&l.faults)));
        assert_string_equal(dm_settings_origin(l.s, dm_view_of(row->key)), "env");
        tested++;
        loaded_done(&l);
        free(entry);
    }
    assert_true(tested > (n - 25) * ROUNDS);
}

static void any_bad_value_of_any_key_is_one_fault_that_names_it(void **state)
{
    (void)state;
    static char value[TEXT_MAX * 20], want[128];
    uint64_t seed = 0xdeadbeefcafef00du;
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    for (size_t i = 0; i < n * ROUNDS; i++) {
        const struct dm_setting_row *row = &rows[i % n];
        struct loaded l;
        draw_bad(row, &seed, value, sizeof(value));
        char *entry = entry_of(row, value);
        loaded_init(&l, role_of(row));
        companions(&l);
        loaded_env(&l, entry);
        loaded_run(&l);
        if (loaded_faults(&l) != 1)
            fail_msg("%.200s: %zu faults:\n%.*s", entry, loaded_faults(&l),
                     DM_FMT(dm_buf_view(&l.faults)));
        (void)snprintf(want, sizeof(want), "Failed to start server: Error: %s: ", row->key);
        loaded_expect_fault(&l, want);
        loaded_expect_fault(&l, "; from env\n");
        loaded_done(&l);
        free(entry);
    }
}

static bool banned(const struct dm_setting_row *row)
{
    static const char *const keys[] = {"DOORMAN_ROLE", "DOORMAN_CONFIG_FILE", "DOORMAN_DATA_DIR",
                                       "PORT",         "METRICS_PORT",        "HOST"};
    for (size_t i = 0; i < DM_COUNT_OF(keys); i++) {
        if (strcmp(row->key, keys[i]) == 0)
            return true;
    }
    return false;
}

static void a_bad_value_in_the_file_is_told_with_its_place(void **state)
{
    (void)state;
    static char value[TEXT_MAX * 20], yaml[TEXT_MAX * 21], want[256];
    uint64_t seed = 0x0123456789abcdefu;
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    for (size_t i = 0; i < n; i++) {
        const struct dm_setting_row *row = &rows[i];
        draw_bad(row, &seed, value, sizeof(value));
        if (banned(row) || strlen(value) > 60000 || strchr(value, '"') != NULL)
            continue; /* the second: beyond what one scalar may hold */
        char *control = strchr(value, '\x01');
        if (control == NULL)
            (void)snprintf(yaml, sizeof(yaml), "schema: 1\n%s: \"%s\"\n", row->key, value);
        else
            (void)snprintf(yaml, sizeof(yaml), "schema: 1\n%s: \"a\\x01%s\"\n", row->key,
                           control + 1);
        struct loaded l;
        loaded_init(&l, role_of(row));
        loaded_file(&l, yaml);
        for (size_t e = 0; e < l.n_env; e++) { /* the environment would win */
            if (strncmp(l.env[e], row->key, strlen(row->key)) == 0)
                l.env[e] = "UNUSED=1";
        }
        loaded_run(&l);
        if (loaded_faults(&l) != 1)
            fail_msg("%.200s: %zu faults:\n%.*s", yaml, loaded_faults(&l),
                     DM_FMT(dm_buf_view(&l.faults)));
        (void)snprintf(want, sizeof(want), "; from %s:2:%zu\n", l.file, strlen(row->key) + 3);
        loaded_expect_fault(&l, want);
        loaded_done(&l);
    }
}

/* All keys bad at once: each is told, none hides another. */
static void planted_faults_are_all_told_at_once(void **state)
{
    (void)state;
    static char value[TEXT_MAX * 20], want[128];
    uint64_t seed = 0x5ca1ab1e0ddba11u;
    size_t n, first = 0;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    for (; first < n; first += 20) {
        struct loaded l;
        char *entries[20] = {NULL};
        loaded_init(&l, DM_ROLE_ADMIN);
        companions(&l);
        for (size_t i = 0; i < 20 && first + i < n; i++) {
            draw_bad(&rows[first + i], &seed, value, sizeof(value));
            entries[i] = entry_of(&rows[first + i], value);
            loaded_env(&l, entries[i]);
        }
        loaded_run(&l);
        for (size_t i = 0; i < 20 && first + i < n; i++) {
            (void)snprintf(want, sizeof(want), "Error: %s: ", rows[first + i].key);
            loaded_expect_fault(&l, want);
        }
        loaded_done(&l);
        for (size_t i = 0; i < 20; i++)
            free(entries[i]);
    }
}

/* Whatever a secret is set to, valid or not, in whatever environment, nobody gets to read it. */
static void no_secret_is_ever_shown(void **state)
{
    (void)state;
    static const char *const modes[] = {"ENV=development", "ENV=production"};
    static const char *const values[] = {
        "hunter2", "hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2",
        "[{\"kid\":\"hunter2\",\"secret\":\"hunter2\"}]", "redis://hunter2:hunter2@h/0?x=hunter2",
        "a\x02hunter2"};
    size_t n;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    for (size_t i = 0; i < n * DM_COUNT_OF(modes) * DM_COUNT_OF(values); i++) {
        const struct dm_setting_row *row = &rows[i % n];
        const char *value = values[i / n % DM_COUNT_OF(values)];
        if (!dm_setting_secret(row) && row->type != DM_SETTING_URL)
            continue;
        if (row->type == DM_SETTING_URL && strstr(value, "redis://") == NULL)
            continue;
        struct loaded l;
        struct dm_buf printed;
        char *entry = entry_of(row, value);
        dm_buf_init(&printed, LOADED_TEXT_MAX);
        loaded_init(&l, role_of(row));
        loaded_env(&l, modes[i / n / DM_COUNT_OF(values)]);
        loaded_env(&l, entry);
        loaded_run(&l);
        if (l.s != NULL) {
            dm_settings_print(l.s, false, &printed);
            dm_settings_print(l.s, true, &printed);
        }
        const struct dm_buf *places[] = {&l.faults, &l.warnings, &l.notes, &printed};
        for (size_t p = 0; p < DM_COUNT_OF(places); p++) {
            if (loaded_said(places[p], "hunter2"))
                fail_msg("%s shows its value: %.*s", row->key, DM_FMT(dm_buf_view(places[p])));
        }
        dm_buf_done(&printed);
        loaded_done(&l);
        free(entry);
    }
}

static void rows_are_whole_unique_and_told_apart_from_aliases(void **state)
{
    (void)state;
    size_t n, n_aliases;
    const struct dm_setting_row *rows = dm_setting_rows(&n);
    const struct dm_setting_alias *aliases = dm_setting_aliases(&n_aliases);
    assert_true(n > 230);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(dm_setting_find(dm_view_of(rows[i].key)), &rows[i]);
        assert_true(strchr("GAB", rows[i].programs) != NULL &&
                    strchr("HFRN", rows[i].reload) != NULL);
        assert_true(rows[i].sentence[0] != '\0' && rows[i].min <= rows[i].max);
    }
    for (size_t i = 0; i < n_aliases; i++) {
        assert_null(dm_setting_find(dm_view_of(aliases[i].name)));
        assert_true(aliases[i].key == NULL || dm_setting_find(dm_view_of(aliases[i].key)) != NULL);
    }
}

static void the_nearest_name_is_found(void **state)
{
    (void)state;
    assert_string_equal(dm_setting_nearest(DM_LIT("LOG_LEVLE")), "LOG_LEVEL");
    assert_string_equal(dm_setting_nearest(DM_LIT("REDIS_HOSTS")), "REDIS_HOST");
    assert_non_null(dm_setting_nearest(DM_LIT("")));
}

static void the_settings_page_is_the_table(void **state)
{
    (void)state;
    static const char page[] = "docs/settings.md",
                      self[] = "tests/unit/model/settings_table_test.c";
    static char path[1024];
    static char text[1 << 20];
    assert_true(sizeof(__FILE__) > sizeof(self) && sizeof(__FILE__) + sizeof(page) < sizeof(path));
    (void)snprintf(path, sizeof(path), "%.*s%s", (int)(sizeof(__FILE__) - sizeof(self)), __FILE__,
                   page);
    struct dm_buf made;
    dm_buf_init(&made, sizeof(text));
    dm_settings_document(&made);
    assert_true(dm_buf_ok(&made));
    dm_view made_view = dm_buf_view(&made);
    if (getenv("DOORMAN_WRITE_DOCS") != NULL) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(made_view.ptr, 1, made_view.len, out), made_view.len);
        assert_int_equal(fclose(out), 0);
    }
    FILE *f = fopen(path, "r");
    size_t len = f == NULL ? 0 : fread(text, 1, sizeof(text), f);
    if (f != NULL)
        (void)fclose(f);
    bool same = dm_view_eq(dm_view_make(text, len), made_view);
    dm_buf_done(&made);
    if (!same)
        fail_msg("%s is not what settings.def says: run this test with DOORMAN_WRITE_DOCS=1", page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_whole_unique_and_told_apart_from_aliases),
        cmocka_unit_test(the_nearest_name_is_found),
        cmocka_unit_test(any_valid_value_of_any_key_loads),
        cmocka_unit_test(any_bad_value_of_any_key_is_one_fault_that_names_it),
        cmocka_unit_test(a_bad_value_in_the_file_is_told_with_its_place),
        cmocka_unit_test(planted_faults_are_all_told_at_once),
        cmocka_unit_test(no_secret_is_ever_shown),
        cmocka_unit_test(the_settings_page_is_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

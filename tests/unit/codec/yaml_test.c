#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "codec/yaml.h"

static struct dm_yaml_doc *parse(dm_view text)
{
    struct dm_yaml_doc *doc = NULL;
    struct dm_error err = {0};
    char *owner;
    dm_view v = exact(text, &owner);
    if (dm_yaml_parse(v, &doc, &err) != DM_OK)
        fail_msg("%.*s: %s", DM_FMT(text), err.text);
    free(owner); /* the document keeps its own texts */
    return doc;
}

static void assert_fault(dm_view text, enum dm_code code, const char *want)
{
    struct dm_yaml_doc *doc = (struct dm_yaml_doc *)8;
    struct dm_error err = {0};
    char *owner;
    dm_view v = exact(text, &owner);
    enum dm_code got = dm_yaml_parse(v, &doc, &err);
    if (got != code || strncmp(err.text, want, strlen(want)) != 0)
        fail_msg("%.*s\n%s: %s\nwant %s", DM_FMT(text), dm_code_name(got), err.text, want);
    assert_ptr_equal(doc, (struct dm_yaml_doc *)8);
    free(owner);
}

static const struct dm_yaml *member(const struct dm_yaml *map, const char *key)
{
    const struct dm_yaml *n = map->first;
    while (n != NULL && !dm_view_eq(n->key, dm_view_of(key)))
        n = n->next;
    assert_non_null(n);
    return n;
}

static void every_key_and_value_knows_its_place(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc =
        parse(DM_LIT("log:\n  level: DEBUG\n  list:\n    - a\n    - 'b'\nport: 5001\n"));
    const struct dm_yaml *root = dm_yaml_root(doc);
    assert_int_equal(root->kind, DM_YAML_MAP);
    const struct dm_yaml *level = member(member(root, "log"), "level");
    assert_view(level->text, DM_LIT("DEBUG"));
    assert_int_equal(level->line, 2);
    assert_int_equal(level->column, 10);
    assert_int_equal(level->key_line, 2);
    assert_int_equal(level->key_column, 3);
    const struct dm_yaml *list = member(member(root, "log"), "list");
    assert_int_equal(list->kind, DM_YAML_LIST);
    assert_view(list->first->text, DM_LIT("a"));
    assert_false(list->first->quoted);
    assert_int_equal(list->first->next->line, 5);
    assert_int_equal(list->first->next->column, 7);
    assert_true(list->first->next->quoted);
    assert_null(list->first->next->next);
    assert_int_equal(member(root, "port")->key_line, 6);
    dm_yaml_free(doc);
}

static void scalars_stay_text(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc =
        parse(DM_LIT("a: 010\nb: yes\nc: 1e3\nd: 2001-01-01\ne: |\n  x\n  y\nf: \"\\u00e9\\n\"\n"));
    const struct dm_yaml *root = dm_yaml_root(doc);
    assert_view(member(root, "a")->text, DM_LIT("010"));
    assert_view(member(root, "b")->text, DM_LIT("yes"));
    assert_view(member(root, "c")->text, DM_LIT("1e3"));
    assert_view(member(root, "d")->text, DM_LIT("2001-01-01"));
    assert_view(member(root, "e")->text, DM_LIT("x\ny\n"));
    assert_view(member(root, "f")->text, DM_LIT("\xc3\xa9\n"));
    dm_yaml_free(doc);
}

static void only_plain_nothing_is_null(void **state)
{
    (void)state;
    static const bool want[] = {true, true, true, true, true, false, false, false, false, false};
    struct dm_yaml_doc *doc = parse(DM_LIT(
        "- ~\n- null\n- Null\n- NULL\n-\n- ''\n- \"null\"\n- nULL\n- !!str null\n- |\n  ~\n"));
    const struct dm_yaml *n = dm_yaml_root(doc)->first;
    for (size_t i = 0; i < DM_COUNT_OF(want); i++, n = n->next) {
        assert_non_null(n);
        assert_int_equal(n->is_null, want[i]);
    }
    assert_null(n);
    dm_yaml_free(doc);
}

static void json_is_read_too(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc =
        parse(DM_LIT("{\"a\": {\"b\": [1, \"x\", null, true]},\n \"c\": {}, \"d\": []}"));
    const struct dm_yaml *b = member(member(dm_yaml_root(doc), "a"), "b");
    assert_view(b->first->text, DM_LIT("1"));
    assert_true(b->first->next->quoted);
    assert_true(b->first->next->next->is_null);
    assert_int_equal(member(dm_yaml_root(doc), "c")->kind, DM_YAML_MAP);
    assert_int_equal(member(dm_yaml_root(doc), "c")->key_line, 2);
    assert_null(member(dm_yaml_root(doc), "d")->first);
    dm_yaml_free(doc);
}

static void an_empty_document_has_no_root(void **state)
{
    (void)state;
    static const char *const empty[] = {"", "\n", "# nothing\n", "   "};
    for (size_t i = 0; i < DM_COUNT_OF(empty); i++) {
        struct dm_yaml_doc *doc = parse(dm_view_of(empty[i]));
        assert_null(dm_yaml_root(doc));
        dm_yaml_free(doc);
    }
    struct dm_yaml_doc *doc = parse(DM_LIT("---\n"));
    assert_true(dm_yaml_root(doc)->is_null);
    dm_yaml_free(doc);
    dm_yaml_free(NULL);
}

static void faults_point_at_their_place(void **state)
{
    (void)state;
    assert_fault(DM_LIT("a: 1\nb: [1, 2\nc: 3\n"), DM_INVALID, "3:");
    assert_fault(DM_LIT("a: 1\n\tb: 2\n"), DM_INVALID, "2:1: ");
    assert_fault(DM_LIT("a: b: c\n"), DM_INVALID, "1:5: mapping values");
    assert_fault(DM_LIT("a: 'x\n"), DM_INVALID, "2:1: ");
    assert_fault(DM_LIT("a: 1\n---\nb: 2\n"), DM_INVALID, "2:1: a second document");
    assert_fault(DM_LIT("a: \xff\n"), DM_INVALID, "1:1: not UTF-8");
    assert_fault(DM_LIT("a: \x01\n"), DM_INVALID, "1:1: control characters");
    assert_fault(DM_LIT("a: \"\\0\"\n"), DM_INVALID, "1:4: zero byte");
    assert_fault(DM_LIT("a: \"\\ud800\"\n"), DM_INVALID, "1:7: ");
}

static void a_zero_byte_is_never_swallowed(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc;
    assert_int_equal(dm_yaml_parse(dm_view_make("a: 1\n\0b: 2\n", 11), &doc, NULL), DM_INVALID);
    assert_int_equal(dm_yaml_parse(dm_view_make("a: 1\0", 5), &doc, NULL), DM_INVALID);
}

static void duplicate_keys_are_refused_with_both_places(void **state)
{
    (void)state;
    assert_fault(DM_LIT("a: 1\nb: 2\na: 3\n"), DM_INVALID,
                 "3:1: key \"a\" was given before, at 1:1");
    assert_fault(DM_LIT("x:\n  a: 1\n  'a': 3\n"), DM_INVALID,
                 "3:3: key \"a\" was given before, at 2:3");
    assert_fault(DM_LIT("{\"a\":1, \"b\":{}, \"\\u0061\":1}"), DM_INVALID,
                 "1:17: key \"a\" was given");
    struct dm_buf b;
    dm_buf_init(&b, 1 << 16);
    for (int i = 0; i < 100; i++)
        dm_buf_addf(&b, "k%d: 1\n", i);
    struct dm_yaml_doc *doc = parse(dm_buf_view(&b));
    dm_yaml_free(doc);
    dm_buf_addf(&b, "k40: 1\n");
    assert_fault(dm_buf_view(&b), DM_INVALID, "101:1: key \"k40\" was given before, at 41:1");
    dm_buf_done(&b);
}

static void keys_are_plain_texts(void **state)
{
    (void)state;
    assert_fault(DM_LIT("[1]: 2\n"), DM_INVALID, "1:1: a key must be a plain text");
    assert_fault(DM_LIT("? {a: 1}\n: 2\n"), DM_INVALID, "1:3: a key must be a plain text");
    assert_fault(DM_LIT("a: &x 1\n*x : 2\n"), DM_INVALID, "2:1: an alias cannot be a key");
    assert_fault(DM_LIT("&x a: 1\n"), DM_INVALID, "1:1: a key cannot be an anchor");
    assert_fault(DM_LIT("?\n: 1\n"), DM_INVALID, "1:2: empty key");
    assert_fault(DM_LIT("'': 1\n"), DM_INVALID, "1:1: empty key");
}

static void tags_outside_the_core_schema_are_refused(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc =
        parse(DM_LIT("a: !!str null\nb: !!int 5\nc: !!map {}\nd: !!seq []\n!!str e: !!float 1\n"));
    assert_false(member(dm_yaml_root(doc), "a")->is_null);
    assert_view(member(dm_yaml_root(doc), "b")->text, DM_LIT("5"));
    dm_yaml_free(doc);
    assert_fault(DM_LIT("a: !!python/object:os.system x\n"), DM_INVALID,
                 "1:4: tag \"tag:yaml.org,2002:python");
    assert_fault(DM_LIT("a: !local x\n"), DM_INVALID, "1:4: tag \"!local\"");
    assert_fault(DM_LIT("a: !!binary aGk=\n"), DM_INVALID, "1:4: tag ");
    assert_fault(DM_LIT("a: !x [1]\n"), DM_INVALID, "1:4: tag ");
    assert_fault(DM_LIT("!x {a: 1}\n"), DM_INVALID, "1:1: tag ");
    assert_fault(DM_LIT("!x a: 1\n"), DM_INVALID, "1:1: tag ");
}

static void an_alias_is_a_copy_of_its_anchor(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc = parse(DM_LIT("base: &b\n  x: 1\n  y: [2, {z: 3}]\nuse: *b\nlist: [&s "
                                           "5, *s, *b]\nagain: &s 6\nlast: *s\n"));
    const struct dm_yaml *root = dm_yaml_root(doc), *use = member(root, "use");
    assert_int_equal(use->key_line, 4);
    assert_int_equal(use->line, member(root, "base")->line);
    assert_view(member(use, "x")->text, DM_LIT("1"));
    assert_view(member(member(use, "y")->first->next, "z")->text, DM_LIT("3"));
    assert_ptr_not_equal(use->first, member(root, "base")->first);
    const struct dm_yaml *list = member(root, "list");
    assert_view(list->first->next->text, DM_LIT("5"));
    assert_int_equal(list->first->next->next->kind, DM_YAML_MAP);
    assert_int_equal(list->first->next->next->key.len, 0);
    assert_null(list->first->next->next->next);
    assert_view(member(root, "last")->text, DM_LIT("6"));
    dm_yaml_free(doc);
}

static void aliases_without_an_anchor_and_circles_are_refused(void **state)
{
    (void)state;
    assert_fault(DM_LIT("a: *x\n"), DM_INVALID, "1:4: no anchor \"x\" before this alias");
    assert_fault(DM_LIT("a: &x [1, *x]\n"), DM_INVALID, "1:11: no anchor \"x\"");
    assert_fault(DM_LIT("&x {a: *x}\n"), DM_INVALID, "1:8: no anchor \"x\"");
}

static void an_alias_bomb_is_a_limit(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 1 << 16);
    dm_buf_addf(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++) {
        dm_buf_addf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            dm_buf_addf(&b, "*a%d,", i - 1);
        dm_buf_addf(&b, "]\n");
    }
    assert_fault(dm_buf_view(&b), DM_LIMIT,
                 "5:"); /* the fourth line makes 10^4 nodes, the fifth would make 10^5 */
    dm_buf_clear(&b);
    dm_buf_addf(&b, "a: &a x\nb: [");
    for (int k = 0; k < DM_YAML_ALIASES_MAX; k++)
        dm_buf_addf(&b, "*a,");
    dm_buf_addf(&b, "]\n");
    dm_yaml_free(parse(dm_buf_view(&b)));
    dm_buf_addf(&b, "c: *a\n");
    assert_fault(dm_buf_view(&b), DM_LIMIT, "3:4: too many aliases");
    dm_buf_done(&b);
}

static void an_alias_does_not_reach_below_the_deepest_level(void **state)
{
    (void)state;
    struct dm_buf b;
    dm_buf_init(&b, 1 << 12);
    dm_buf_addf(&b,
                "- &a [[[[[[[[[[1]]]]]]]]]]\n- "); /* ten levels, used at the 22nd and the 23rd */
    for (int extra = 0; extra < 2; extra++) {
        struct dm_buf all;
        dm_buf_init(&all, 1 << 12);
        dm_buf_add(&all, dm_buf_view(&b));
        for (int i = 0; i < 21 + extra; i++)
            dm_buf_add_byte(&all, '[');
        dm_buf_add(&all, DM_LIT("*a"));
        for (int i = 0; i < 21 + extra; i++)
            dm_buf_add_byte(&all, ']');
        if (extra == 0)
            dm_yaml_free(parse(dm_buf_view(&all)));
        else
            assert_fault(dm_buf_view(&all), DM_LIMIT, "2:25: this alias makes");
        dm_buf_done(&all);
    }
    dm_buf_done(&b);
}

static void size_depth_and_nodes_have_limits(void **state)
{
    (void)state;
    char deep[2 * (DM_YAML_DEPTH_MAX + 1)];
    memset(deep, '[', sizeof(deep) / 2);
    memset(deep + sizeof(deep) / 2, ']', sizeof(deep) / 2);
    assert_fault(dm_view_make(deep, sizeof(deep)), DM_LIMIT, "1:33: nested too deep");
    dm_yaml_free(parse(dm_view_make(deep + 1, sizeof(deep) - 2)));

    struct dm_buf b;
    dm_buf_init(&b, 2 << 20);
    for (int i = 0; i < DM_YAML_NODES_MAX - 1; i++)
        dm_buf_add(&b, DM_LIT("- x\n"));
    dm_yaml_free(parse(dm_buf_view(&b)));
    dm_buf_add(&b, DM_LIT("- x\n"));
    assert_fault(dm_buf_view(&b), DM_LIMIT, "20000:3: too many nodes");
    dm_buf_clear(&b);
    while (dm_buf_view(&b).len < DM_YAML_BYTES_MAX)
        dm_buf_add_byte(&b, '#');
    dm_yaml_free(parse(dm_buf_view(&b)));
    dm_buf_add_byte(&b, '#');
    assert_fault(dm_buf_view(&b), DM_LIMIT, "1:1: over 1048576 bytes");
    dm_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_and_value_knows_its_place),
        cmocka_unit_test(scalars_stay_text),
        cmocka_unit_test(only_plain_nothing_is_null),
        cmocka_unit_test(json_is_read_too),
        cmocka_unit_test(an_empty_document_has_no_root),
        cmocka_unit_test(faults_point_at_their_place),
        cmocka_unit_test(a_zero_byte_is_never_swallowed),
        cmocka_unit_test(duplicate_keys_are_refused_with_both_places),
        cmocka_unit_test(keys_are_plain_texts),
        cmocka_unit_test(tags_outside_the_core_schema_are_refused),
        cmocka_unit_test(an_alias_is_a_copy_of_its_anchor),
        cmocka_unit_test(aliases_without_an_anchor_and_circles_are_refused),
        cmocka_unit_test(an_alias_bomb_is_a_limit),
        cmocka_unit_test(an_alias_does_not_reach_below_the_deepest_level),
        cmocka_unit_test(size_depth_and_nodes_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

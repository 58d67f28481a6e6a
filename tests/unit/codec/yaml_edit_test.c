#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/yaml_edit.h"
#include "codec/yaml_write.h"

static struct dm_yaml_doc *parse(const char *text)
{
    struct dm_yaml_doc *doc = NULL;
    struct dm_error err = {0};
    if (dm_yaml_parse(dm_view_of(text), &doc, &err) != DM_OK)
        fail_msg("%s: %s", text, err.text);
    return doc;
}

static void assert_written(struct dm_yaml_doc *doc, const char *want)
{
    struct dm_buf out;
    dm_buf_init(&out, 64 * 1024);
    assert_int_equal(dm_yaml_write(dm_yaml_root(doc), &out), DM_OK);
    assert_string_equal(dm_buf_cstr(&out), want);
    dm_buf_done(&out);
}

static void assert_becomes(const char *text, const char *want)
{
    struct dm_yaml_doc *doc = parse(text);
    assert_written(doc, want);
    dm_yaml_free(doc);
    doc = parse(want); /* and stays */
    assert_written(doc, want);
    dm_yaml_free(doc);
}

static void quotes_that_matter_survive(void **state)
{
    (void)state;
    assert_becomes("a: \"1.0\"\nb: 'yes'\nc: 1.0\nd: yes\ne: !!str 7\n",
                   "a: '1.0'\nb: 'yes'\nc: 1.0\nd: yes\ne: '7'\n");
    assert_becomes("{\"on\": 'null', \"1\": ~, x: \"\", y: , 'z': null}",
                   "'on': 'null'\n'1': null\nx: ''\ny: null\n'z': null\n");
}

static void a_type_that_is_named_stays(void **state)
{
    (void)state;
    assert_becomes("a: !!int \"3\"\nb: !!null ''\nc: !!bool yes\n",
                   "a: !!int \"3\"\nb: !!null \"\"\nc: !!bool \"yes\"\n");
}

static void keys_keep_their_order_and_flow_becomes_block(void **state)
{
    (void)state;
    assert_becomes("z: {b: [1, 2], a: {}}\na: []\n", "z:\n  b:\n  - 1\n  - 2\n  a: {}\na: []\n");
}

static void scripts_stay_readable(void **state)
{
    (void)state;
    assert_becomes("a: |\n  set -e\n  echo \"x\"\n", "a: |\n  set -e\n  echo \"x\"\n");
    assert_becomes("a: |-\n  one\n   two\n", "a: |-\n  one\n   two\n");
    assert_becomes("a: |+\n  one\n\nb: 2\n", "a: \"one\\n\\n\"\nb: 2\n");
    assert_becomes("a: \" one\\n two\\n\"\n", "a: |2\n   one\n   two\n");
    /* trailing blanks and tabs would not survive there */
    assert_becomes("a: \"one \\ntwo\"\n", "a: \"one \\ntwo\"\n");
    assert_becomes("a: \"one\\n\\ttwo\"\n", "a: \"one\\n\\ttwo\"\n");
}

static void a_text_that_needs_quotes_gets_them_and_stays(void **state)
{
    (void)state;
    assert_becomes("a:: x\n", "'a:': x\n");
    assert_becomes("a: ---x\n", "a: '---x'\n");
    assert_becomes("a: 'it''s'\n", "a: 'it''s'\n");
}

static void line_breaks_beyond_ascii_survive(void **state)
{
    (void)state;
    assert_becomes("a: \"x\\Ny\\Lz\\n\"\n", "a: \"x\\Ny\\Lz\\n\"\n");
    assert_becomes("a: \xc3\xa4rger\n", "a: \"\xc3\xa4rger\"\n");
}

static void an_alias_is_written_as_a_copy(void **state)
{
    (void)state;
    assert_becomes("a: &x {k: 1}\nb: *x\n<<: *x\n", "a:\n  k: 1\nb:\n  k: 1\n<<:\n  k: 1\n");
}

static void a_long_text_is_not_folded(void **state)
{
    (void)state;
    char text[600] = "a: ", want[610];
    for (size_t i = 0; i < 60; i++)
        memcpy(text + 3 + i * 5, "word ", 6);
    text[3 + 60 * 5 - 1] = '\0';
    snprintf(want, sizeof(want), "%s\n", text);
    assert_becomes(text, want);
}

static void members_and_items_are_put_replaced_and_removed(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc = parse("a: 1\n\"b\": 2\nlist: [x, y]\n"), *other = parse("k: [v]\n");
    struct dm_yaml *root = dm_yaml_edit(doc);
    assert_true(dm_yaml_put(doc, root, DM_LIT("b"), dm_yaml_copy(doc, dm_yaml_root(other))));
    assert_true(dm_yaml_put(doc, root, DM_LIT("c"), dm_yaml_make_text(doc, DM_LIT("3"), true)));
    struct dm_yaml *list = dm_yaml_member(root, DM_LIT("list"));
    assert_true(dm_yaml_add(list, dm_yaml_make_text(doc, DM_LIT("first"), false), true));
    assert_true(dm_yaml_add(list, dm_yaml_make_text(doc, DM_LIT("last"), false), false));
    dm_yaml_remove(list, list->first->next);
    dm_yaml_free(other); /* the copy has texts of its own */
    assert_written(doc, "a: 1\n'b':\n  k:\n  - v\nlist:\n- first\n- y\n- last\nc: '3'\n");
    assert_null(dm_yaml_member(root, DM_LIT("d")));
    assert_null(dm_yaml_member(list, DM_LIT("d")));
    dm_yaml_free(doc);
}

static void the_limit_of_nodes_holds_for_copies(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc = parse("[a]");
    struct dm_yaml *root = dm_yaml_edit(doc), *copy;
    size_t n = 0;
    while ((copy = dm_yaml_copy(doc, root)) != NULL && n < DM_YAML_NODES_MAX)
        n++;
    assert_true(n < DM_YAML_NODES_MAX);
    assert_false(dm_yaml_add(root, NULL, true));
    assert_false(dm_yaml_replace(root, root->first, NULL));
    dm_yaml_free(doc);
}

static void too_small_a_buffer_is_told(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc = parse("a: a text\n");
    struct dm_buf out;
    dm_buf_init(&out, 5);
    assert_int_equal(dm_yaml_write(dm_yaml_root(doc), &out), DM_LIMIT);
    dm_buf_done(&out);
    dm_yaml_free(doc);
}

static void a_part_of_a_text_knows_its_first_line(void **state)
{
    (void)state;
    struct dm_yaml_doc *doc = NULL;
    struct dm_error err = {0};
    assert_int_equal(dm_yaml_parse_from(DM_LIT("a: 1\na: 2\n"), 7, &doc, &err), DM_INVALID);
    assert_string_equal(err.text, "8:1: key \"a\" was given before, at 7:1");
    assert_int_equal(dm_yaml_parse_from(DM_LIT("a: [\n"), 7, &doc, &err), DM_INVALID);
    assert_memory_equal(err.text, "8:1: ", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_that_matter_survive),
        cmocka_unit_test(a_type_that_is_named_stays),
        cmocka_unit_test(keys_keep_their_order_and_flow_becomes_block),
        cmocka_unit_test(scripts_stay_readable),
        cmocka_unit_test(a_text_that_needs_quotes_gets_them_and_stays),
        cmocka_unit_test(line_breaks_beyond_ascii_survive),
        cmocka_unit_test(an_alias_is_written_as_a_copy),
        cmocka_unit_test(a_long_text_is_not_folded),
        cmocka_unit_test(members_and_items_are_put_replaced_and_removed),
        cmocka_unit_test(the_limit_of_nodes_holds_for_copies),
        cmocka_unit_test(too_small_a_buffer_is_told),
        cmocka_unit_test(a_part_of_a_text_knows_its_first_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

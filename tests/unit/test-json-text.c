/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which texts are handed to a JSON parser. */
#include <string.h>

#include "../../src/core/mf-json-text.h"
#include "mf-test.h"

#define DEPTH 3

static void
test_one_object(void)
{
    static const struct {
        const char *text;
        gboolean is_one;
    } cases[] = {
        {"{}", TRUE},
        {" \t\r\n{ } \n", TRUE},
        {"{\"a\":[{}],\"b\":\"}{\\\"]\"}", TRUE},
        {"{\"a\":\"\\\\u0000\"}", TRUE}, /* a backslash, and then "u0000" */
        {"{\"\xc3\xa4\":1}", TRUE},
        {"", FALSE},
        {"  ", FALSE},
        {"null", FALSE},
        {"[]", FALSE},
        {"\"x\"{}", FALSE},
        {"{}{}", FALSE},
        {"{},", FALSE},
        {"{", FALSE},
        {"{\"a", FALSE},
        {"{\"a\\", FALSE},
        {"{\"a\\\"}", FALSE},
        {"{\"a\":\"\\u0000\"}", FALSE},
        {"{\"\\u0000\":1}", FALSE},
        {"{\"a\":[[]]}", TRUE},
        {"{\"a\":[[[]]]}", FALSE},
        {"{\"a\xff\":1}", FALSE},
        {"}", FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        gsize length_bytes = strlen(cases[i].text);
        g_autofree char *copy = g_memdup2(cases[i].text, MAX(length_bytes, 1));

        mf_test_case(cases[i].text);
        g_assert_cmpint(mf_json_text_is_one_object(copy, length_bytes, DEPTH), ==, cases[i].is_one);
    }
}

/* The length counts, and not a NUL. */
static void
test_length(void)
{
    g_assert_false(mf_json_text_is_one_object("{}\0{}", 5, DEPTH));
    g_assert_true(mf_json_text_is_one_object("{}x", 2, DEPTH));
    g_assert_false(mf_json_text_is_one_object("{}", 1, DEPTH));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-text/one-object", test_one_object);
    g_test_add_func("/json-text/length", test_length);
    return g_test_run();
}

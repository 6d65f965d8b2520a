/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strings of anybody's, on their way into a message. */
#include "../../src/daemon/mf-dict.h"

static void
test_strings(void)
{
    static const char *const cases[][2] = {
        {"vm1", "vm1"},
        {"", ""},
        {"b\xc3\xa4r \x1b[31m", "b\xc3\xa4r \x1b[31m"},
        {"a\xff", "a\xef\xbf\xbd"},
        {"cut \xc3", "cut \xef\xbf\xbd"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));
        g_autoptr(GVariant) dict = NULL;
        const char *found = NULL;

        mf_dict_add_string(&builder, "name", cases[i][0]);
        mf_dict_add_string(&builder, "absent", NULL);
        dict = g_variant_ref_sink(g_variant_builder_end(&builder));
        g_assert_cmpuint(g_variant_n_children(dict), ==, 1);
        g_assert_true(g_variant_lookup(dict, "name", "&s", &found));
        g_assert_cmpstr(found, ==, cases[i][1]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dict/strings", test_strings);
    return g_test_run();
}

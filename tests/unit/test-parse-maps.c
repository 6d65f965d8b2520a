/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which areas of a process an audit looks at: of maps all private ones, of smaps the mergeable
 * ones. */
#include <string.h>

#include "../../src/core/mf-parse.h"
#include "mf-test.h"

static const char maps[] =
    "55d0c0000000-55d0c0001000 r--p 00000000 fe:00 7   /usr/bin/qemu\n"
    "7f0000000000-7f0000004000 rw-p 00000000 00:00 0\n"
    "7f0000004000-7f0000008000 rw-s 00000000 00:01 9   /memfd:ram (deleted)\n"
    "7f0000008000-7f000000c000 ---p 00000000 00:00 0   [anon:a b]\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n";

static void
test_private(void)
{
    static const guint64 starts[] = {G_GUINT64_CONSTANT(0x55d0c0000000),
                                     G_GUINT64_CONSTANT(0x7f0000000000),
                                     G_GUINT64_CONSTANT(0x7f0000008000)};
    static const char *const refused[] = {"7f00 rw-p 0 00:00 0\n",
                                          "7f00-7f10 rw-p 0 00:00\n",
                                          "7f10-7f00 rw-p 0 00:00 0\n",
                                          "-7f00 rw-p 0 00:00 0\n",
                                          "7f0000000000000000-8 rw-p 0 00:00 0\n",
                                          "nonsense\n"};
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) found = mf_parse_maps_private(maps, strlen(maps), &error);
    g_autoptr(GArray) none = mf_parse_maps_private("", 0, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(none->len, ==, 0);
    g_assert_cmpuint(found->len, ==, G_N_ELEMENTS(starts));
    for (guint i = 0; i < found->len; i++) {
        g_assert_cmphex(g_array_index(found, MfStretch, i).start_bytes, ==, starts[i]);
    }
    g_assert_cmphex(g_array_index(found, MfStretch, 1).end_bytes, ==, starts[1] + 0x4000);
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        mf_test_case(refused[i]);
        g_assert_null(mf_parse_maps_private(refused[i], strlen(refused[i]), &error));
        mf_assert_error(error, MF_ERROR_INVALID, "maps");
    }
}

static void
test_mergeable(void)
{
    static const char smaps[] = "7f00-7f10 rw-p 0 00:00 0\nSize: 4 kB\nVmFlags: rd mg\n"
                                "7f10-7f20 rw-p 0 fe:00 77 /a\nVmFlags: mg\n"
                                "7f20-7f30 rw-p 0 00:00 0\nVmFlags: rd wr dc\n"
                                "7f30-7f40 rw-p 0 00:00 0 [mg]\nVmFlags: rd mgx\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) found = mf_parse_smaps_mergeable(smaps, strlen(smaps), &error);

    g_assert_no_error(error);
    g_assert_cmpuint(found->len, ==, 2);
    g_assert_cmphex(g_array_index(found, MfStretch, 0).start_bytes, ==, 0x7f00);
    g_assert_cmphex(g_array_index(found, MfStretch, 1).start_bytes, ==, 0x7f10);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/parse-maps/private", test_private);
    g_test_add_func("/parse-maps/mergeable", test_mergeable);
    return g_test_run();
}

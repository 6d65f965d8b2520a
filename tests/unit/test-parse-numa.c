/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a process's memory is: on which NUMA nodes, in huge pages, in swap. */
#include <string.h>

#include "../../src/core/mf-parse.h"
#include "mf-test.h"

#define KIB  G_GUINT64_CONSTANT(1024)
#define HEAD "7f00-7f10 rw-p 00000000 00:00 0 \n"
#define LAST HEAD "Size: 8 kB\nRss: 8 kB\nPss: 2 kB\nAnonHugePages: 6144 kB\nVmFlags: mg\n"

static void
test_numa(void)
{
    static const struct {
        const char *text;
        gint64 main_node; /* -1: none */
        guint64 other_kib;
    } cases[] = {
        {"", -1, 0},
        {"7f00 default\n", -1, 0},
        {"7f00 default anon=3 dirty=3 N0=3 kernelpagesize_kB=4\n", 0, 0},
        {"7f00 default anon=9 dirty=9 active=0 N0=2 N1=7 kernelpagesize_kB=4\n", 1, 8},
        /* Sums over areas, each with pages of its size. */
        {"7f00 bind:0 anon=1 N0=1 kernelpagesize_kB=4\n"
         "7f10 default anon=2 N3=2 kernelpagesize_kB=64\n",
         3, 4},
        {"7f00 default anon=100 N0=100 kernelpagesize_kB=4\n"
         "7f10 default anon=2 N3=2 kernelpagesize_kB=64\n",
         0, 128},
        /* Neither files nor hugetlb. */
        {"7f00 default huge anon=9 dirty=9 N1=9 kernelpagesize_kB=2048\n", -1, 0},
        {"5600 default file=/usr/bin/qemu anon=9 N1=9 kernelpagesize_kB=4\n"
         "7f00 default file=/dev/hugepages/x huge anon=9 dirty=9 N1=9 kernelpagesize_kB=2048\n"
         "7f10 default anon=1 N0=1 kernelpagesize_kB=4",
         0, 0},
        {"7f00 prefer:1 anon=1 N1023=1 N1024=5 kernelpagesize_kB=4\n", 1023, 0},
        {"7f00 default anon=2 N0=2 N1=x Nx=9 kernelpagesize_kB=4\n", 0, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        MfNodes nodes = {0};
        mf_test_case(cases[i].text);
        g_assert_true(mf_parse_numa_maps(cases[i].text, strlen(cases[i].text), &nodes, &error));
        g_assert_no_error(error);
        g_assert_cmpint(nodes.main_node.known, ==, cases[i].main_node >= 0);
        g_assert_cmpuint(nodes.main_node.value, ==, (guint64)MAX(cases[i].main_node, 0));
        g_assert_cmpuint(nodes.other_bytes, ==, cases[i].other_kib * KIB);
    }
}

static void
test_numa_refused(void)
{
    static const char *const texts[] = {
        "7f00 default anon=2 N0=2\n", /* pages of what size? */
        "7f00 default anon=2 N0=2 kernelpagesize_kB=0\n",
        "7f00 default anon=2 N0=2 kernelpagesize_kB=x\n",
    };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        MfNodes nodes = {.other_bytes = 77};
        mf_test_case(texts[i]);
        g_assert_false(mf_parse_numa_maps(texts[i], strlen(texts[i]), &nodes, &error));
        mf_assert_error(error, MF_ERROR_INVALID, "numa_maps");
        g_assert_cmpuint(nodes.other_bytes, ==, 77);
    }
}

/* Only what is marked counts, and a sum of which a part is missing is absent. */
static void
test_huge_and_swapped(void)
{
    static const char text[] = HEAD "Size: 8 kB\nRss: 4 kB\nPss: 2 kB\nAnonHugePages: 2048 kB\n"
                                    "Swap: 12 kB\nSwapPss: 7 kB\nVmFlags: rd mg\n" HEAD
                                    "Size: 8 kB\nRss: 8 kB\nPss: 2 kB\nAnonHugePages: 4096 kB\n"
                                    "Swap: 100 kB\nVmFlags: rd\n" LAST;
    gsize length_bytes;
    g_autofree char *captured = mf_test_data("smaps-qemu-6.18", &length_bytes);
    MfArea area;

    g_assert_true(mf_parse_smaps(text, strlen(text), &area, NULL));
    g_assert_true(area.huge_bytes.known);
    g_assert_cmpuint(area.huge_bytes.value, ==, (2048 + 6144) * KIB);
    g_assert_false(area.swapped_bytes.known);
    g_assert_true(mf_parse_smaps(text, strlen(text) - strlen(LAST), &area, NULL));
    g_assert_true(area.swapped_bytes.known);
    g_assert_cmpuint(area.swapped_bytes.value, ==, 12 * KIB);
    g_assert_true(mf_parse_smaps(captured, length_bytes, &area, NULL));
    g_assert_true(area.huge_bytes.known && area.swapped_bytes.known);
    g_assert_cmpuint(area.swapped_bytes.value, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/parse/numa", test_numa);
    g_test_add_func("/parse/numa-refused", test_numa_refused);
    g_test_add_func("/parse/huge-and-swapped", test_huge_and_swapped);
    return g_test_run();
}

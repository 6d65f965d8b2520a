/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arithmetic at its edges, and quantities as text. */
#include "../../src/core/mf-units.h"

#define TOP G_MAXUINT64

static void
test_saturation(void)
{
    g_assert_cmpuint(mf_add_sat(1, 2), ==, 3);
    g_assert_cmpuint(mf_add_sat(TOP, 1), ==, TOP);
    g_assert_cmpuint(mf_add_sat(TOP - 1, 1), ==, TOP);
    g_assert_cmpuint(mf_sub_clamp(5, 3), ==, 2);
    g_assert_cmpuint(mf_sub_clamp(3, 5), ==, 0);
    g_assert_cmpuint(mf_sub_clamp(0, TOP), ==, 0);
    g_assert_cmpuint(mf_mul_sat(1 << 20, 4096), ==, G_GUINT64_CONSTANT(4294967296));
    g_assert_cmpuint(mf_mul_sat(TOP, 2), ==, TOP);
    g_assert_cmpuint(mf_mul_sat(TOP, 0), ==, 0);
}

static void
test_mul_div(void)
{
    g_assert_cmpuint(mf_mul_div(10, 10000, 4), ==, 25000);
    g_assert_cmpuint(mf_mul_div(7, 1, 2), ==, 3);
    g_assert_cmpuint(mf_mul_div(TOP, TOP, TOP), ==, TOP);
    g_assert_cmpuint(mf_mul_div(TOP, TOP, 1), ==, TOP);
    g_assert_cmpuint(mf_mul_div(TOP, 10000, 20000), ==, TOP / 2);
    g_assert_cmpuint(mf_mul_div(5, 5, 0), ==, 0);
}

static void
test_sqrt_mul(void)
{
    g_assert_cmpuint(mf_sqrt_mul(0, 7), ==, 0);
    g_assert_cmpuint(mf_sqrt_mul(1, 1), ==, 1);
    g_assert_cmpuint(mf_sqrt_mul(5, 3), ==, 3);
    g_assert_cmpuint(mf_sqrt_mul(8, 2), ==, 4);
    g_assert_cmpuint(mf_sqrt_mul(TOP, TOP), ==, TOP);
    g_assert_cmpuint(mf_sqrt_mul(TOP, 1), ==, G_GUINT64_CONSTANT(4294967295));
}

static void
test_format_bytes(void)
{
    static const struct {
        guint64 bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {1587, "1.5 KiB"},
        {1588, "1.6 KiB"},
        {1048575, "1.0 MiB"}, /* never "1024.0 KiB" */
        {1048524, "1023.9 KiB"},
        {39007027, "37.2 MiB"},
        {G_GUINT64_CONSTANT(1) << 60, "1.0 EiB"},
        {TOP, "16.0 EiB"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = mf_format_bytes(cases[i].bytes);
        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

static void
test_format_permyriad(void)
{
    static const struct {
        guint64 permyriad;
        const char *text;
    } cases[] = {{0, "0.00 %"}, {7, "0.07 %"}, {1234, "12.34 %"}, {10000, "100.00 %"}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = mf_format_permyriad(cases[i].permyriad);
        g_assert_cmpstr(text, ==, cases[i].text);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/units/saturation", test_saturation);
    g_test_add_func("/units/mul-div", test_mul_div);
    g_test_add_func("/units/sqrt-mul", test_sqrt_mul);
    g_test_add_func("/units/format-bytes", test_format_bytes);
    g_test_add_func("/units/format-permyriad", test_format_permyriad);
    return g_test_run();
}

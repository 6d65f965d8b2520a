/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arithmetic that can't wrap, and quantities as people read them. */
#include "mf-units.h"

__extension__ typedef unsigned __int128 MfU128;

guint64
mf_add_sat(guint64 a, guint64 b)
{
    guint64 sum;

    return __builtin_add_overflow(a, b, &sum) ? G_MAXUINT64 : sum;
}

guint64
mf_sub_clamp(guint64 a, guint64 b)
{
    return a > b ? a - b : 0;
}

guint64
mf_mul_sat(guint64 a, guint64 b)
{
    guint64 product;

    return __builtin_mul_overflow(a, b, &product) ? G_MAXUINT64 : product;
}

guint64
mf_mul_div(guint64 a, guint64 b, guint64 c)
{
    if (c == 0) {
        return 0;
    }
    MfU128 quotient = (MfU128)a * b / c;
    return quotient > G_MAXUINT64 ? G_MAXUINT64 : (guint64)quotient;
}

guint64
mf_sqrt_mul(guint64 a, guint64 b)
{
    MfU128 product = (MfU128)a * b;
    guint64 root = 0;

    for (guint64 bit = G_GUINT64_CONSTANT(1) << 63; bit != 0; bit >>= 1) {
        guint64 larger = root | bit;
        if ((MfU128)larger * larger <= product) {
            root = larger;
        }
    }
    return root;
}

char *
mf_format_bytes(guint64 bytes)
{
    static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

    if (bytes < 1024) {
        return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);
    }

    guint unit = 0;
    guint64 unit_bytes = 1024;
    while (unit + 1 < G_N_ELEMENTS(names) && bytes / unit_bytes >= 1024) {
        unit_bytes *= 1024;
        unit++;
    }

    guint64 tenths = (guint64)(((MfU128)bytes * 10 + unit_bytes / 2) / unit_bytes);
    if (tenths >= 10240 && unit + 1 < G_N_ELEMENTS(names)) {
        /* 1023.96 KiB rounds to a whole MiB. */
        tenths = 10;
        unit++;
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %s", tenths / 10,
                           tenths % 10, names[unit]);
}

char *
mf_format_permyriad(guint64 permyriad)
{
    return g_strdup_printf("%" G_GUINT64_FORMAT ".%02" G_GUINT64_FORMAT " %%", permyriad / 100,
                           permyriad % 100);
}

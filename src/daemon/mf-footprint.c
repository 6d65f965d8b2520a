/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-footprint.h"

#include <malloc.h>

#define ARENAS_MAX      2
#define MMAP_FROM_BYTES (128 * 1024)

void
mf_footprint_limit(void)
{
    mallopt(M_ARENA_MAX, ARENAS_MAX);
    /* Setting it keeps glibc from raising it: a big smaps text is unmapped when it is freed. */
    mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES);
    mallopt(M_TRIM_THRESHOLD, MMAP_FROM_BYTES);
}

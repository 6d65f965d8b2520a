/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's texts: the first byte ('0' to '8') chooses the reader, the rest is the text. */
#include <stddef.h>
#include <stdint.h>

#include "../../src/core/mf-parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A number is as it would be written, or none. */
static void
read_numbers(const char *text, gsize length_bytes)
{
    guint64 resident_pages;
    guint64 value;
    gint64 number;

    mf_parse_statm(text, length_bytes, &resident_pages, NULL);
    if (mf_parse_i64(text, length_bytes, &number, NULL) && number >= 0) {
        g_assert_true(mf_parse_u64(text, length_bytes, &value, NULL));
        g_assert_cmpuint(value, ==, (guint64)number);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    gsize length_bytes = size - 1;
    MfHost host = {0};
    MfKsmStat ksm_stat;
    MfArea area;
    MfProcStat stat;
    MfNodes nodes;
    GArray *stretches;

    if (size == 0) {
        return 0;
    }
    switch ((guint8)(data[0] - '0') % 9) {
    case 0:
        mf_parse_meminfo(text, length_bytes, &host, NULL);
        mf_parse_pressure(text, length_bytes, &host, NULL);
        mf_parse_vmstat(text, length_bytes, &host, NULL);
        break;
    case 1:
        mf_parse_ksm_stat(text, length_bytes, &ksm_stat, NULL);
        break;
    case 2:
        mf_parse_smaps(text, length_bytes, &area, NULL);
        stretches = mf_parse_smaps_guest(text, length_bytes, NULL);
        g_clear_pointer(&stretches, g_array_unref);
        break;
    case 3:
        mf_parse_stat(text, length_bytes, &stat, NULL);
        break;
    case 4:
        g_free(mf_parse_choice(text, length_bytes, NULL));
        break;
    case 5:
        mf_parse_cmdline_has_uuid(text, length_bytes, "c7a5fdbd-edaf-9455-926a-d65c16db1809");
        break;
    case 6:
        mf_parse_numa_maps(text, length_bytes, &nodes, NULL);
        break;
    case 7:
        g_free(mf_parse_cgroup_of_domain(text, length_bytes, NULL));
        break;
    case 8:
        read_numbers(text, length_bytes);
        break;
    }
    return 0;
}

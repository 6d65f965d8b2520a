/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's texts: the first byte chooses the reader, the rest is the text. */
#include <stddef.h>
#include <stdint.h>

#include "../../src/core/mf-parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    gsize length_bytes = size - 1;
    MfHost host = {0};
    MfKsmStat ksm_stat;
    MfArea area;
    MfProcStat stat;
    GArray *stretches;

    if (size == 0) {
        return 0;
    }
    switch (data[0] % 6) {
    case 0:
        mf_parse_meminfo(text, length_bytes, &host, NULL);
        mf_parse_pressure(text, length_bytes, &host, NULL);
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
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's answers; a refused one leaves the domain as it was. */
#include <stddef.h>
#include <stdint.h>

#include "../../src/io/mf-qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(MfDomain) domain = mf_domain_new("c7a5fdbd-edaf-9455-926a-d65c16db1809", "vm");
    guint caps = 0;

    if (!mf_qmp_parse_memory_merge((const char *)data, size, domain, NULL)) {
        g_assert_cmpint(domain->mode, ==, MF_MODE_UNKNOWN);
        g_assert_null(domain->blocks);
    }
    if (!mf_qmp_parse_commands((const char *)data, size, &caps, NULL)) {
        g_assert_cmpuint(caps, ==, 0);
    }
    return 0;
}

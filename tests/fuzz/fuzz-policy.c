/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy element: what is read must be written and read again as the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/core/mf-policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *xml = g_strndup((const char *)data, size);
    g_autoptr(MfPolicy) policy = mf_policy_from_xml(xml, NULL);

    if (policy != NULL) {
        g_autofree char *written = mf_policy_to_xml(policy);
        g_autofree char *declared =
            g_strconcat("<policy xmlns='" MF_POLICY_NS "'", written + strlen("<policy"), NULL);
        g_autoptr(MfPolicy) again = mf_policy_from_xml(declared, NULL);
        g_assert_nonnull(again);
        g_assert_true(mf_policy_equal(policy, again));
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain's XML, and the policy that is found in it. */
#include <stddef.h>
#include <stdint.h>

#include "../../src/io/mf-domxml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(MfDomxml) domxml = mf_domxml_parse((const char *)data, size, NULL);

    if (domxml != NULL && domxml->policy_xml != NULL) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MfPolicy) policy = mf_policy_from_xml(domxml->policy_xml, &error);
        g_assert_cmpint(policy == NULL, ==, error != NULL);
    }
    return 0;
}

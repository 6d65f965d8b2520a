/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memfold.conf: what is accepted keeps to its ranges. */
#include <stddef.h>
#include <stdint.h>

#include "../../src/core/mf-config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(MfConfig) base = mf_config_new();
    g_autoptr(MfConfig) config = mf_config_apply(base, (const char *)data, size, "fuzz", NULL);

    if (config != NULL) {
        g_assert_cmpuint(config->cpu_budget_permyriad, >=, 1);
        g_assert_cmpuint(config->cpu_budget_permyriad, <=, 10000);
        g_assert_cmpuint(config->tick_msec, >=, 100);
        g_assert_cmpint(config->libvirt_uri[0], !=, '\0');
        mf_config_validate(config, NULL);
    }
    return 0;
}

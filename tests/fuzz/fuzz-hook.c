/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hook's line to memfoldd: what is taken has a name that can stand in a path. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/core/mf-names.h"
#include "../../src/daemon/mf-hook-message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MfHookOperation operation = MF_HOOK_OTHER;
    g_autoptr(GError) error = NULL;
    g_autoptr(MfDomain) domain = NULL;

    if (size > MF_HOOK_MAX_BYTES) {
        return 0;
    }
    domain = mf_hook_message_parse((const char *)data, size, &operation, &error);
    g_assert_cmpint(domain == NULL, ==, error != NULL);
    if (domain != NULL) {
        g_assert_true(g_uuid_string_is_valid(domain->uuid));
        g_assert_cmpuint(strlen(domain->name), >, 0);
        g_assert_null(strpbrk(domain->name, "/\n"));
        g_assert_nonnull(domain->policy);
    }
    return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-poison.h"

#include "mf-units.h"

MfReason *
mf_poison_reason(const MfHost *host)
{
    if (!host->hardware_corrupted_bytes.known || host->hardware_corrupted_bytes.value == 0) {
        return NULL;
    }
    g_autofree char *bytes = mf_format_bytes(host->hardware_corrupted_bytes.value);
    return mf_reason_new(MF_REASON_HARDWARE_POISONED,
                         "dmesg names the frames and the processes; move the domains to another "
                         "host and have the memory replaced",
                         "%s of the host's memory failed and is out of use: each QEMU that had it, "
                         "all who shared it where it was merged, got SIGBUS and may have ended",
                         bytes);
}

void
mf_poison_tell(const MfHost *host, MfPlan *plan)
{
    MfReason *reason = mf_poison_reason(host);

    if (reason != NULL) {
        g_ptr_array_add(plan->host_reasons, reason);
    }
}

gboolean
mf_poison_is_news(const MfHost *host, guint64 *told_bytes)
{
    guint64 before_bytes = *told_bytes;

    if (!host->hardware_corrupted_bytes.known) {
        return FALSE;
    }
    *told_bytes = host->hardware_corrupted_bytes.value;
    return *told_bytes > before_bytes;
}

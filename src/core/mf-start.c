/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-start.h"

/* What is merged of it stays so for want of memory, which a ksmd that stands makes no better. */
static gboolean
lacks_headroom(const MfVerdict *verdict)
{
    for (guint i = 0; i < verdict->reasons->len; i++) {
        if (((const MfReason *)g_ptr_array_index(verdict->reasons, i))->code ==
            MF_REASON_NO_HEADROOM) {
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
mf_start_is_open(const MfDomain *domain, gboolean refused, const MfVerdict *verdict)
{
    if (domain == NULL) {
        return TRUE;
    }
    if (verdict != NULL && (verdict->want != MF_MODE_OFF || lacks_headroom(verdict))) {
        return FALSE;
    }
    return domain->mode != MF_MODE_OFF && !refused &&
           !((domain->caps & MF_CAP_PROBED) && !(domain->caps & MF_CAPS_SWITCH));
}

gboolean
mf_start_is_over(const MfDomain *domain, const MfVerdict *verdict)
{
    return domain != NULL && verdict != NULL && domain->mode != MF_MODE_UNKNOWN &&
           domain->mode == verdict->want;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-zero.h"

/* The reason that stands for it in a verdict; -1: there is none. */
static gint
find_unsupported(const MfVerdict *verdict)
{
    for (guint i = 0; i < verdict->reasons->len; i++) {
        const MfReason *reason = g_ptr_array_index(verdict->reasons, i);
        if (reason->code == MF_REASON_ZERO_UNSUPPORTED) {
            return (gint)i;
        }
    }
    return -1;
}

void
mf_zero_judge(const MfDomain *domain, MfVerdict *verdict)
{
    gint at = find_unsupported(verdict);
    gboolean mergeable =
        domain->memory_kind == MF_MEMORY_ANONYMOUS || domain->memory_kind == MF_MEMORY_FILE;

    if (at < 0 || !domain->zero_only.known || domain->memory_kind == MF_MEMORY_UNKNOWN) {
        return;
    }
    g_ptr_array_remove_index(verdict->reasons, (guint)at);
    if (!mergeable) {
        return; /* what its memory is stands there already */
    }
    if (domain->zero_only.value != 0) {
        verdict->want = MF_MODE_ON;
        g_ptr_array_add(verdict->reasons,
                        mf_reason_new(MF_REASON_POLICY, NULL,
                                      "policy merge=zero: pages of zeroes are merged, no others"));
    } else {
        g_ptr_array_add(
            verdict->reasons,
            mf_reason_new(MF_REASON_WAITING, NULL,
                          "policy merge=zero: what is merged is taken apart first, then "
                          "pages of zeroes are merged, and no others"));
    }
}

void
mf_zero_decide(const MfSnapshot *snapshot, MfPlan *plan)
{
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        gboolean wanted = domain->policy->merge == MF_MERGE_ZERO;

        /* What could not be read may ask for it. */
        if (!domain->zero_only.known || domain->regrouping ||
            domain->memory_kind == MF_MEMORY_UNKNOWN || (domain->zero_only.value != 0) == wanted) {
            continue;
        }
        /* Who stops being that has nothing merged but zeroes: nothing is to be waited for. */
        if (!wanted || domain->mode == MF_MODE_OFF) {
            mf_plan_add_flags(plan, domain, wanted ? "+zero" : "-zero",
                              mf_reason_new(MF_REASON_POLICY, NULL, "policy merge=%s",
                                            mf_merge_to_string(domain->policy->merge)));
        }
    }
}

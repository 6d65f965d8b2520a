/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-policy-edit.h"

#include "../core/mf-error.h"

static gboolean
check_supported(const MfDomain *domain, const MfPolicy *policy, GError **error)
{
    if (policy->merge == MF_MERGE_ZERO && !domain->zero_only.known) {
        g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                    "domain \"%s\": this host can't merge pages of zeroes alone; use merge=on or "
                    "merge=off",
                    domain->name);
        return FALSE;
    }
    if (policy->merge != MF_MERGE_FREEZE || (domain->caps & MF_CAP_FREEZE)) {
        return TRUE;
    }
    if (!(domain->caps & MF_CAP_PROBED)) {
        g_set_error(error, MF_ERROR, MF_ERROR_BUSY,
                    "domain \"%s\": QEMU has not said yet whether merging can be frozen; try again "
                    "later, or use merge=off",
                    domain->name);
        return FALSE;
    }
    g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                "domain \"%s\": merging can't be frozen by this QEMU and kernel; use merge=off, or "
                "run memfold's QEMU and kernel",
                domain->name);
    return FALSE;
}

MfPolicy *
mf_policy_edit(const MfDomain *domain, const char *attribute, const char *value, GError **error)
{
    const MfPolicy *old = domain->policy;
    g_autofree char *priority = g_strdup_printf("%u", old->priority);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(GPtrArray) values = g_ptr_array_new();
    g_autoptr(MfPolicy) policy = NULL;
    const struct {
        const char *name;
        const char *value;
    } present[] = {
        {"merge", mf_merge_to_string(old->merge)},
        {"group", old->group},
        {"priority", priority},
        {"boost", old->boost ? "on" : "off"},
    };

    if (domain->is_unread) {
        /* What stands in for the policy is not to take its place. */
        g_set_error(error, MF_ERROR, MF_ERROR_UNSUPPORTED,
                    "domain \"%s\": what libvirt says of it could not be read (%s); set its policy "
                    "by virsh metadata",
                    domain->name, domain->policy_error);
        return NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(present); i++) {
        if (present[i].value && !g_str_equal(present[i].name, attribute)) {
            g_ptr_array_add(names, (gpointer)present[i].name);
            g_ptr_array_add(values, (gpointer)present[i].value);
        }
    }
    if (!(g_str_equal(attribute, "group") && *value == '\0')) {
        g_ptr_array_add(names, (gpointer)attribute);
        g_ptr_array_add(values, (gpointer)value);
    }
    g_ptr_array_add(names, NULL);
    g_ptr_array_add(values, NULL);
    policy = mf_policy_from_attributes((const char *const *)names->pdata,
                                       (const char *const *)values->pdata, error);
    if (!policy) {
        g_prefix_error(error, "domain \"%s\": ", domain->name);
        return NULL;
    }
    if (g_str_equal(attribute, "merge") && !check_supported(domain, policy, error)) {
        return NULL;
    }
    return g_steal_pointer(&policy);
}

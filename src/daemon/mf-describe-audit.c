/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-describe-audit.h"

#include "mf-dict.h"

static GVariant *
whole_figures(const MfAuditReport *report)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));
    guint64 looked_pages = 0;
    guint64 merged_pages = 0;
    guint64 swapped_pages = 0;

    for (guint i = 0; i < report->domains->len; i++) {
        const MfAuditDomain *domain = report->domains->pdata[i];

        looked_pages += domain->looked_pages;
        merged_pages += domain->merged_pages;
        swapped_pages += domain->swapped_pages;
    }
    const struct {
        const char *key;
        guint64 value;
    } figures[] = {
        {"looked_pages", looked_pages},
        {"merged_pages", merged_pages},
        {"swapped_pages", swapped_pages},
        {"within_pages", report->counts.within_pages},
        {"violation_pages", report->counts.violation_pages},
        {"transient_pages", report->counts.transient_pages},
        {"unexplained_pages", report->counts.unexplained_pages},
        {"zero_violation_pages", report->zero_violation_pages},
        {"page_size_bytes", report->page_size_bytes},
        {"took_msec", (guint64)report->took_usec / 1000},
    };

    g_variant_builder_add(&builder, "{sv}", "verdict",
                          g_variant_new_string(mf_audit_verdict_to_string(report->verdict)));
    g_variant_builder_add(&builder, "{sv}", "domains_count",
                          g_variant_new_uint32(report->domains->len));
    g_variant_builder_add(&builder, "{sv}", "failed_count",
                          g_variant_new_uint32(report->failed_count));
    g_variant_builder_add(&builder, "{sv}", "looks_count",
                          g_variant_new_uint32(report->looks_count));
    for (guint i = 0; i < G_N_ELEMENTS(figures); i++) {
        mf_dict_add_u64(&builder, figures[i].key, MF_U64(figures[i].value));
    }
    return g_variant_builder_end(&builder);
}

static GVariant *
whole_reasons(const MfAuditReport *report)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(sss)"));

    if (!report->knows_all) {
        g_variant_builder_add(&builder, "(sss)", "libvirt-away",
                              "memfoldd is not connected to libvirt, or has not been told of all "
                              "its domains yet: there may be domains that it does not know",
                              "see that libvirtd runs and answers; memfoldd asks again by itself");
    }
    return g_variant_builder_end(&builder);
}

static GVariant *
domain_figures(const MfAuditDomain *domain)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    mf_dict_add_string(&builder, "name", domain->name);
    mf_dict_add_string(&builder, "uuid", domain->uuid);
    mf_dict_add_string(&builder, "group", domain->group);
    mf_dict_add_u64(&builder, "ksm_group_number", domain->ksm_group_number);
    mf_dict_add_u64(&builder, "looked_pages", MF_U64(domain->looked_pages));
    mf_dict_add_u64(&builder, "merged_pages", MF_U64(domain->merged_pages));
    mf_dict_add_u64(&builder, "swapped_pages", MF_U64(domain->swapped_pages));
    mf_dict_add_u64(&builder, "zero_pages", domain->zero_pages);
    mf_dict_add_u64(&builder, "violation_pages", MF_U64(domain->violation_pages));
    return g_variant_builder_end(&builder);
}

/* Under the keys name, pid, uuid and group, or these after "other_". */
static void
add_party(GVariantBuilder *builder, const MfAuditReport *report, guint party, const char *prefix)
{
    const MfAuditDomain *domain = mf_audit_report_get_domain(report, party);
    const MfAuditOther *other = mf_audit_report_get_other(report, party);
    g_autofree char *name = g_strconcat(prefix, "name", NULL);
    g_autofree char *uuid = g_strconcat(prefix, "uuid", NULL);
    g_autofree char *group = g_strconcat(prefix, "group", NULL);
    g_autofree char *pid = g_strconcat(prefix, "pid", NULL);

    mf_dict_add_string(builder, name, domain ? domain->name : other->name);
    mf_dict_add_i64(builder, pid, MF_I64(domain ? domain->pid : other->pid));
    if (domain) {
        mf_dict_add_string(builder, uuid, domain->uuid);
        mf_dict_add_string(builder, group, domain->group);
    }
}

static GVariant *
violations(const MfAuditReport *report)
{
    GVariantBuilder pairs = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));

    for (guint i = 0; i < report->pairs->len; i++) {
        const MfAuditPair *pair = &g_array_index(report->pairs, MfAuditPair, i);
        GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

        add_party(&builder, report, pair->first_party, "");
        add_party(&builder, report, pair->other_party, "other_");
        mf_dict_add_u64(&builder, "violation_pages", MF_U64(pair->pages));
        if ((pair->key & MF_AUDIT_KEY_SWAP) == 0) {
            mf_dict_add_u64(&builder, "frame_number", MF_U64(pair->key));
        }
        g_variant_builder_add_value(&pairs, g_variant_builder_end(&builder));
    }
    return g_variant_builder_end(&pairs);
}

GVariant *
mf_describe_audit(const MfAuditReport *report)
{
    GVariantBuilder domains = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(a{sv}a(sss))"));

    for (guint i = 0; i < report->domains->len; i++) {
        const MfAuditDomain *domain = report->domains->pdata[i];

        if (domain->is_judged) {
            g_variant_builder_add(&domains, "(@a{sv}@a(sss))", domain_figures(domain),
                                  mf_dict_trouble(domain->trouble));
        }
    }
    return g_variant_new("(@a{sv}@a(sss)@a(a{sv}a(sss))@aa{sv})", whole_figures(report),
                         whole_reasons(report), g_variant_builder_end(&domains),
                         violations(report));
}

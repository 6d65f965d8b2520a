/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-describe-estimate.h"

#include "../core/mf-units.h"
#include "mf-dict.h"

static void
add_result(GVariantBuilder *builder, const MfEstimateReport *report, const MfEstimateResult *result)
{
    const struct {
        const char *key;
        guint64 pages;
    } figures[] = {
        {"read_bytes", result->pages},
        {"zero_bytes", result->zero_pages},
        {"saved_bytes", result->saved_pages},
        {"saved_low_bytes", result->saved_low_pages},
        {"saved_high_bytes", result->saved_high_pages},
    };

    for (guint i = 0; i < G_N_ELEMENTS(figures); i++) {
        mf_dict_add_u64(builder, figures[i].key,
                        MF_U64(mf_mul_sat(figures[i].pages, report->page_size_bytes)));
    }
    g_variant_builder_add(builder, "{sv}", "sample_shift",
                          g_variant_new_uint32(result->sample_shift));
}

static GVariant *
all_figures(const MfEngine *engine, const MfEstimateReport *report)
{
    const MfSnapshot *accounts = mf_engine_get_accounts(engine);
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    g_variant_builder_add(&builder, "{sv}", "domains_count",
                          g_variant_new_uint32(report->domains_count));
    /* Nothing read is not nothing to be saved. */
    if (report->domains_count > 0) {
        add_result(&builder, report, &report->all);
    }
    mf_dict_add_u64(&builder, "saved_now_bytes",
                    accounts ? accounts->host.saved_bytes : MF_U64_ABSENT);
    mf_dict_add_u64(&builder, "page_size_bytes", MF_U64(report->page_size_bytes));
    mf_dict_add_u64(&builder, "took_msec", MF_U64((guint64)report->took_usec / 1000));
    return g_variant_builder_end(&builder);
}

static GVariant *
groups_figures(const MfEstimateReport *report)
{
    GVariantBuilder groups = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));

    for (guint i = 0; i < report->groups->len; i++) {
        const MfEstimateGroup *group = report->groups->pdata[i];
        GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

        g_variant_builder_add(&builder, "{sv}", "group", g_variant_new_string(group->name));
        g_variant_builder_add(&builder, "{sv}", "domains_count",
                              g_variant_new_uint32(group->domains_count));
        add_result(&builder, report, &group->result);
        g_variant_builder_add_value(&groups, g_variant_builder_end(&builder));
    }
    return g_variant_builder_end(&groups);
}

static GVariant *
domain_figures(const MfEstimateReport *report, const MfEstimateDomain *domain)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    g_variant_builder_add(&builder, "{sv}", "name", g_variant_new_string(domain->name));
    g_variant_builder_add(&builder, "{sv}", "uuid", g_variant_new_string(domain->uuid));
    g_variant_builder_add(&builder, "{sv}", "group", g_variant_new_string(domain->group));
    if (domain->is_read) {
        add_result(&builder, report, &domain->alone);
    }
    mf_dict_add_u64(&builder, "merged_now_bytes", domain->merged_bytes);
    mf_dict_add_u64(&builder, "saved_now_bytes", domain->saved_bytes);
    return g_variant_builder_end(&builder);
}

GVariant *
mf_describe_estimate(const MfEngine *engine, const MfEstimateReport *report)
{
    GVariantBuilder domains = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(a{sv}a(sss))"));

    for (guint i = 0; i < report->domains->len; i++) {
        const MfEstimateDomain *domain = report->domains->pdata[i];

        g_variant_builder_add(&domains, "(@a{sv}@a(sss))", domain_figures(report, domain),
                              mf_dict_trouble(domain->trouble));
    }
    return g_variant_new("(@a{sv}@aa{sv}@a(a{sv}a(sss)))", all_figures(engine, report),
                         groups_figures(report), g_variant_builder_end(&domains));
}

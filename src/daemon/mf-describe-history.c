/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-describe-history.h"

#include "../core/mf-units.h"
#include "mf-dict.h"

#define HOUR_SEC     3600
#define MINUTE_SEC   60
#define SERIES_TYPE  "a{s(atat)}"
#define DOMAINS_TYPE "a(a{sv}" SERIES_TYPE ")"

/* How fast now, and what it has cost lately. */
static void
add_lately(GVariantBuilder *builder, const MfRecord *record, gint64 now_usec)
{
    MfHistorySummary minute = mf_record_summarise(record, now_usec, MINUTE_SEC);
    MfHistorySummary hour = mf_record_summarise(record, now_usec, HOUR_SEC);

    mf_dict_add_u64(builder, "cow_breaks_per_1000_sec", minute.cow_breaks_per_1000_sec);
    mf_dict_add_u64(builder, "scan_cpu_usec", hour.scan_cpu_usec);
    if (hour.scan_cpu_usec.known) {
        mf_dict_add_boolean(builder, "scan_cpu_estimated", hour.scan_cpu_is_estimated);
    }
    mf_dict_add_u64(builder, "saved_bytes_per_cpu_sec", hour.saved_bytes_per_cpu_sec);
}

void
mf_describe_add_host_history(GVariantBuilder *builder, const MfEngine *engine)
{
    const MfRecord *record = mf_history_get_host(mf_engine_get_history(engine));

    add_lately(builder, record, g_get_monotonic_time());
}

void
mf_describe_add_domain_history(GVariantBuilder *builder, const MfEngine *engine,
                               const MfDomain *domain)
{
    const MfRecord *record = mf_history_find(mf_engine_get_history(engine), domain->uuid);

    mf_dict_add_u64(builder, "cow_breaks_count", domain->cow_breaks_count);
    mf_dict_add_u64(builder, "swap_in_copies_count", domain->swap_in_copies_count);
    mf_dict_add_u64(builder, "scanned_pages", domain->scanned_pages);
    mf_dict_add_u64(builder, "ksm_group_number", domain->ksm_group_number);
    if (record) {
        add_lately(builder, record, g_get_monotonic_time());
    }
}

/* One of the kernel's groups, and which of the domains are in it. */
static GVariant *
kernel_group(const MfSnapshot *accounts, const MfKsmGroup *group)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));
    GVariantBuilder names = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("as"));

    for (guint i = 0; i < accounts->domains->len; i++) {
        const MfDomain *domain = accounts->domains->pdata[i];

        if (domain->ksm_group_number.known && domain->ksm_group_number.value == group->number) {
            g_variant_builder_add(&names, "s", domain->name);
        }
    }
    mf_dict_add_u64(&builder, "group_number", MF_U64(group->number));
    mf_dict_add_u64(&builder, "members_count", group->members_count);
    mf_dict_add_u64(&builder, "pages_shared_pages", MF_U64(group->pages_shared_pages));
    mf_dict_add_u64(&builder, "pages_sharing_pages", MF_U64(group->pages_sharing_pages));
    if (accounts->host.page_size_bytes > 0) {
        mf_dict_add_u64(
            &builder, "saved_bytes",
            MF_U64(mf_mul_sat(group->pages_sharing_pages, accounts->host.page_size_bytes)));
    }
    g_variant_builder_add(&builder, "{sv}", "domains", g_variant_builder_end(&names));
    return g_variant_builder_end(&builder);
}

/* What the domains save whose policy names the same group.  One that is not known leaves the sum
 * unknown. */
static GVariant *
policy_group(const MfEngine *engine, const MfSnapshot *accounts, const char *group)
{
    const MfConfig *config = mf_engine_get_config(engine);
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));
    GVariantBuilder names = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("as"));
    MfU64 saved_bytes = MF_U64(0);
    guint64 members_count = 0;

    for (guint i = 0; i < accounts->domains->len; i++) {
        const MfDomain *domain = accounts->domains->pdata[i];

        if (!g_str_equal(mf_config_group_of(config, domain->policy), group)) {
            continue;
        }
        members_count++;
        saved_bytes.known &= domain->saved_bytes.known;
        saved_bytes.value = mf_add_sat(saved_bytes.value, domain->saved_bytes.value);
        g_variant_builder_add(&names, "s", domain->name);
    }
    mf_dict_add_string(&builder, "group", group);
    mf_dict_add_u64(&builder, "members_count", MF_U64(members_count));
    mf_dict_add_u64(&builder, "saved_bytes", saved_bytes);
    g_variant_builder_add(&builder, "{sv}", "domains", g_variant_builder_end(&names));
    return g_variant_builder_end(&builder);
}

static void
add_policy_groups(GVariantBuilder *groups, const MfEngine *engine, const MfSnapshot *accounts)
{
    const MfConfig *config = mf_engine_get_config(engine);
    g_autoptr(GHashTable) done = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < accounts->domains->len; i++) {
        const MfDomain *domain = accounts->domains->pdata[i];
        const char *group = mf_config_group_of(config, domain->policy);

        if (g_hash_table_add(done, (gpointer)group)) {
            g_variant_builder_add_value(groups, policy_group(engine, accounts, group));
        }
    }
}

void
mf_describe_add_groups(GVariantBuilder *builder, const MfEngine *engine)
{
    const MfSnapshot *accounts = mf_engine_get_accounts(engine);
    GVariantBuilder groups = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));

    if (!accounts) {
        g_variant_builder_clear(&groups);
        return;
    }
    for (guint i = 0; accounts->groups && i < accounts->groups->len; i++) {
        g_variant_builder_add_value(&groups, kernel_group(accounts, accounts->groups->pdata[i]));
    }
    if (!accounts->groups) {
        add_policy_groups(&groups, engine, accounts);
    }
    g_variant_builder_add(builder, "{sv}", "groups", g_variant_builder_end(&groups));
    mf_dict_add_string(builder, "groups_source", accounts->groups ? "kernel" : "policy");
}

static void
add_summary(GVariantBuilder *builder, const MfRecord *record, gint64 now_usec, guint period_sec)
{
    MfHistorySummary summary = mf_record_summarise(record, now_usec, period_sec);

    mf_dict_add_u64(builder, "points_count", MF_U64(summary.points_count));
    mf_dict_add_u64(builder, "saved_bytes", summary.saved_bytes);
    mf_dict_add_u64(builder, "saved_average_bytes", summary.saved_average_bytes);
    mf_dict_add_u64(builder, "saved_max_bytes", summary.saved_max_bytes);
    mf_dict_add_i64(builder, "saved_trend_bytes_per_hour", summary.saved_trend_bytes_per_hour);
    mf_dict_add_u64(builder, "cow_breaks_count", summary.cow_breaks_count);
    mf_dict_add_u64(builder, "cow_breaks_per_1000_sec", summary.cow_breaks_per_1000_sec);
    mf_dict_add_u64(builder, "swap_in_copies_count", summary.swap_in_copies_count);
    mf_dict_add_u64(builder, "scanned_pages", summary.scanned_pages);
    mf_dict_add_u64(builder, "scan_cpu_usec", summary.scan_cpu_usec);
    if (summary.scan_cpu_usec.known) {
        mf_dict_add_boolean(builder, "scan_cpu_estimated", summary.scan_cpu_is_estimated);
    }
    mf_dict_add_i64(builder, "gain_bytes_per_cpu_sec", summary.gain_bytes_per_cpu_sec);
    mf_dict_add_u64(builder, "saved_bytes_per_cpu_sec", summary.saved_bytes_per_cpu_sec);
}

/* As arrays of numbers, which a message takes as they are: there may be half a million of them. */
static GVariant *
series_of(const MfRecord *record, gint64 now_usec, guint period_sec)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE(SERIES_TYPE));

    for (guint series = 0; series < MF_SERIES_N; series++) {
        g_autoptr(GArray) points = mf_record_get_series(record, series, now_usec, period_sec);
        g_autofree guint64 *agos_msec = g_new(guint64, points->len + 1);
        g_autofree guint64 *values = g_new(guint64, points->len + 1);

        for (guint i = 0; i < points->len; i++) {
            const MfHistoryPoint *point = &g_array_index(points, MfHistoryPoint, i);

            agos_msec[i] = point->ago_usec / 1000;
            values[i] = point->value;
        }
        if (points->len > 0) {
            g_variant_builder_add(
                &builder, "{s(@at@at)}", mf_series_to_string(series),
                g_variant_new_fixed_array(G_VARIANT_TYPE_UINT64, agos_msec, points->len, 8),
                g_variant_new_fixed_array(G_VARIANT_TYPE_UINT64, values, points->len, 8));
        }
    }
    return g_variant_builder_end(&builder);
}

static GVariant *
report_of_domain(const MfRecord *record, gint64 now_usec, guint period_sec)
{
    GVariantBuilder figures = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));
    gint64 ago_usec = now_usec - mf_record_get_last_usec(record);

    mf_dict_add_string(&figures, "name", mf_record_get_name(record));
    mf_dict_add_string(&figures, "uuid", mf_record_get_uuid(record));
    mf_dict_add_boolean(&figures, "gone", mf_record_is_gone(record));
    mf_dict_add_u64(&figures, "ago_msec", MF_U64((guint64)MAX(ago_usec, 0) / 1000));
    add_summary(&figures, record, now_usec, period_sec);
    return g_variant_new("(@a{sv}@" SERIES_TYPE ")", g_variant_builder_end(&figures),
                         series_of(record, now_usec, period_sec));
}

GVariant *
mf_describe_report(const MfEngine *engine, GHashTable *asked, guint period_sec)
{
    const MfHistory *history = mf_engine_get_history(engine);
    const MfRecord *host = mf_history_get_host(history);
    g_autoptr(GPtrArray) records = mf_history_list(history);
    gint64 now_usec = g_get_monotonic_time();
    GVariantBuilder figures = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));
    GVariantBuilder domains = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE(DOMAINS_TYPE));

    mf_dict_add_u64(&figures, "period_sec", MF_U64(period_sec));
    mf_dict_add_u64(&figures, "step_sec", MF_U64(mf_history_step_sec(period_sec)));
    mf_dict_add_u64(&figures, "unrecorded_count", MF_U64(mf_history_get_unrecorded_count(history)));
    add_summary(&figures, host, now_usec, period_sec);
    for (guint i = 0; i < records->len; i++) {
        const MfRecord *record = records->pdata[i];
        gint64 ago_usec = now_usec - mf_record_get_last_usec(record);

        if ((!asked || g_hash_table_contains(asked, record)) &&
            ago_usec <= (gint64)period_sec * G_USEC_PER_SEC) {
            g_variant_builder_add_value(&domains, report_of_domain(record, now_usec, period_sec));
        }
    }
    return g_variant_new("(@a{sv}@" SERIES_TYPE "@" DOMAINS_TYPE ")",
                         g_variant_builder_end(&figures), series_of(host, now_usec, period_sec),
                         g_variant_builder_end(&domains));
}

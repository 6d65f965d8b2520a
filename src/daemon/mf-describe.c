/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-describe.h"

#include "../core/mf-account.h"
#include "../core/mf-cover.h"
#include "mf-describe-history.h"
#include "mf-dict.h"

static void
add_reason(GVariantBuilder *builder, const char *code, const char *text, const char *remedy)
{
    g_variant_builder_add(builder, "(sss)", code, text, remedy ? remedy : "");
}

static void
add_reasons(GVariantBuilder *builder, const GPtrArray *reasons)
{
    for (guint i = 0; reasons && i < reasons->len; i++) {
        const MfReason *reason = reasons->pdata[i];

        add_reason(builder, mf_reason_code_to_string(reason->code), reason->text, reason->remedy);
    }
}

/* The counters of whichever was read last, the tick or the accounts. */
static const MfHost *
latest_host(const MfEngine *engine)
{
    const MfSnapshot *tick = mf_engine_get_snapshot(engine);
    const MfSnapshot *accounts = mf_engine_get_accounts(engine);

    if (tick && accounts) {
        return tick->taken_usec > accounts->taken_usec ? &tick->host : &accounts->host;
    }
    return tick ? &tick->host : accounts ? &accounts->host : NULL;
}

static void
add_counters(GVariantBuilder *builder, const MfHost *host)
{
    mf_dict_add_u64(builder, "page_size_bytes", MF_U64(host->page_size_bytes));
    mf_dict_add_u64(builder, "mem_total_bytes", host->mem_total_bytes);
    mf_dict_add_u64(builder, "mem_available_bytes", host->mem_available_bytes);
    mf_dict_add_u64(builder, "swap_free_bytes", host->swap_free_bytes);
    mf_dict_add_u64(builder, "memory_waits_permyriad", host->memory_waits_permyriad);
    mf_dict_add_u64(builder, "ksm_run", host->run);
    mf_dict_add_u64(builder, "pages_to_scan_pages", host->pages_to_scan_pages);
    mf_dict_add_u64(builder, "sleep_msec", host->sleep_msec);
    mf_dict_add_u64(builder, "pages_shared_pages", host->pages_shared_pages);
    mf_dict_add_u64(builder, "pages_sharing_pages", host->pages_sharing_pages);
    mf_dict_add_u64(builder, "pages_unshared_pages", host->pages_unshared_pages);
    mf_dict_add_u64(builder, "pages_scanned_pages", host->pages_scanned_pages);
    mf_dict_add_u64(builder, "zero_pages", host->zero_pages);
    mf_dict_add_u64(builder, "full_scans_count", host->full_scans_count);
    mf_dict_add_u64(builder, "use_zero_pages", host->use_zero_pages);
    mf_dict_add_u64(builder, "smart_scan", host->smart_scan);
    mf_dict_add_u64(builder, "max_page_sharing_pages", host->max_page_sharing_pages);
    mf_dict_add_i64(builder, "general_profit_bytes", host->general_profit_bytes);
    mf_dict_add_u64(builder, "ksmd_cpu_usec", host->ksmd_cpu_usec);
    mf_dict_add_u64(builder, "cow_breaks_count", host->cow_breaks_count);
    mf_dict_add_u64(builder, "swap_in_copies_count", host->swap_in_copies_count);
    mf_dict_add_u64(builder, "pages_volatile_pages", host->pages_volatile_pages);
    mf_dict_add_u64(builder, "merge_across_nodes", host->merge_across_nodes);
    mf_dict_add_u64(builder, "cpu_max_permyriad", host->cpu_max_permyriad);
    mf_dict_add_u64(builder, "skip_unwritten", host->skip_unwritten);
    mf_dict_add_string(builder, "index", host->index);
    mf_dict_add_string(builder, "advisor_mode", host->advisor_mode);
    mf_dict_add_string(builder, "other_manager", host->other_manager);
}

/* Who governs the knobs, and by what. */
static void
add_government(GVariantBuilder *builder, const MfEngine *engine)
{
    const MfConfig *config = mf_engine_get_config(engine);

    mf_dict_add_u64(builder, "ksmd_cpu_permyriad", mf_engine_get_ksmd_cpu_permyriad(engine));
    mf_dict_add_u64(builder, "ksmd_budget_permyriad",
                    MF_U64(mf_engine_get_ksmd_budget_permyriad(engine)));
    mf_dict_add_u64(builder, "cpu_budget_permyriad", MF_U64(config->cpu_budget_permyriad));
    mf_dict_add_boolean(builder, "managed", config->manage);
    mf_dict_add_string(builder, "admission", mf_admission_to_string(config->admission));
    mf_dict_add_string(builder, "libvirt_uri", config->libvirt_uri);
    mf_dict_add_boolean(builder, "libvirt_connected", mf_engine_is_connected(engine));
}

GVariant *
mf_describe_host_figures(const MfEngine *engine)
{
    const MfSnapshot *accounts = mf_engine_get_accounts(engine);
    const MfHost *host = latest_host(engine);
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    if (host) {
        add_counters(&builder, host);
    }
    /* These are of one moment with the domains' figures, so that the sums agree. */
    if (accounts) {
        mf_dict_add_u64(&builder, "saved_bytes", accounts->host.saved_bytes);
        mf_dict_add_u64(&builder, "other_saved_bytes", accounts->host.other_saved_bytes);
        mf_dict_add_u64(&builder, "sum_error_permyriad", mf_account_sum_error_permyriad(accounts));
    } else if (host) {
        mf_dict_add_u64(&builder, "saved_bytes", host->saved_bytes);
    }
    if (host) {
        MfCover cover = mf_cover_measure(host);

        mf_dict_add_u64(&builder, "storm_need_bytes", cover.need_bytes);
        mf_dict_add_u64(&builder, "storm_have_bytes", cover.have_bytes);
    }
    mf_describe_add_host_history(&builder, engine);
    mf_describe_add_groups(&builder, engine);
    add_government(&builder, engine);
    return g_variant_builder_end(&builder);
}

GVariant *
mf_describe_decided_on(const MfEngine *engine, const MfSnapshot *snapshot)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    add_counters(&builder, &snapshot->host);
    mf_dict_add_u64(&builder, "saved_bytes", snapshot->host.saved_bytes);
    add_government(&builder, engine);
    return g_variant_builder_end(&builder);
}

GVariant *
mf_describe_host_reasons(const MfEngine *engine, const MfPlan *plan)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(sss)"));

    if (!mf_engine_is_connected(engine)) {
        g_autofree char *text = g_strdup_printf("memfoldd is not connected to libvirt (%s): what "
                                                "domains run is not known now",
                                                mf_engine_get_config(engine)->libvirt_uri);

        add_reason(&builder, "libvirt-away", text,
                   "start libvirtd; memfoldd tries again by itself");
    }
    g_autofree char *silence = mf_engine_dup_silence(engine);
    if (silence) {
        add_reason(&builder, "qemus-silent", silence,
                   "find what holds them (the state of their processes, their storage), or "
                   "destroy them");
    }
    g_autoptr(GPtrArray) starts = mf_engine_dup_long_starts(engine);
    add_reasons(&builder, starts);
    g_autoptr(GPtrArray) failures = mf_engine_dup_failures(engine);
    add_reasons(&builder, failures);
    if (plan) {
        add_reasons(&builder, plan->host_reasons);
    }
    g_autoptr(GPtrArray) admissions = mf_engine_dup_admissions(engine);
    add_reasons(&builder, admissions);
    return g_variant_builder_end(&builder);
}

/* Whether the guest's RAM can merge.  Where its backing can't, ROMs and tables of QEMU's that are
 * marked all the same do not count.  Else QEMU's own word, else the kernel's. */
static void
add_mergeable(GVariantBuilder *builder, const MfDomain *domain)
{
    gboolean known = domain->mergeable_bytes.known;
    gboolean mergeable = known && domain->mergeable_bytes.value > 0;

    if (domain->memory_kind == MF_MEMORY_SHARED || domain->memory_kind == MF_MEMORY_MEMFD ||
        domain->memory_kind == MF_MEMORY_HUGEPAGES) {
        mf_dict_add_boolean(builder, "mergeable", FALSE);
        return;
    }
    for (guint i = 0; domain->blocks && i < domain->blocks->len; i++) {
        const MfBlock *block = domain->blocks->pdata[i];

        known |= block->mergeable_known;
        mergeable |= block->mergeable_known && block->mergeable;
    }
    if (known) {
        mf_dict_add_boolean(builder, "mergeable", mergeable);
    }
}

static const char *
switch_of(const MfDomain *domain)
{
    if (!(domain->caps & MF_CAP_PROBED)) {
        return NULL;
    }
    if (domain->caps & MF_CAP_SET_MERGE) {
        return "qmp";
    }
    return domain->caps & MF_CAP_BACKEND_MERGE ? "backend" : "none";
}

GVariant *
mf_describe_domain_figures(const MfEngine *engine, const MfDomain *domain)
{
    const MfHost *host = latest_host(engine);
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    mf_dict_add_string(&builder, "uuid", domain->uuid);
    mf_dict_add_string(&builder, "name", domain->name);
    mf_dict_add_string(&builder, "merge", mf_merge_to_string(domain->policy->merge));
    mf_dict_add_string(&builder, "group", domain->policy->group);
    g_variant_builder_add(&builder, "{sv}", "priority",
                          g_variant_new_uint32(domain->policy->priority));
    mf_dict_add_boolean(&builder, "boost", domain->policy->boost);
    mf_dict_add_string(&builder, "policy_error", domain->policy_error);
    mf_dict_add_boolean(&builder, "nosharepages", domain->nosharepages);
    mf_dict_add_string(&builder, "memory", mf_memory_kind_to_string(domain->memory_kind));
    mf_dict_add_string(&builder, "switch", switch_of(domain));
    if (domain->mode != MF_MODE_UNKNOWN) {
        mf_dict_add_string(&builder, "mode", mf_mode_to_string(domain->mode));
    }
    add_mergeable(&builder, domain);
    if (domain->pid > 0) {
        mf_dict_add_i64(&builder, "pid", MF_I64(domain->pid));
    }
    mf_dict_add_u64(&builder, "mergeable_bytes", domain->mergeable_bytes);
    mf_dict_add_u64(&builder, "resident_bytes", domain->resident_bytes);
    mf_dict_add_u64(&builder, "merged_bytes", domain->merged_bytes);
    if (domain->merged_bytes.known && host && host->page_size_bytes > 0) {
        mf_dict_add_u64(&builder, "merged_pages",
                        MF_U64(domain->merged_bytes.value / host->page_size_bytes));
    }
    mf_dict_add_u64(&builder, "zero_bytes", domain->zero_bytes);
    mf_dict_add_u64(&builder, "saved_bytes", domain->saved_bytes);
    mf_dict_add_u64(&builder, "rmap_items_pages", domain->rmap_items_pages);
    mf_dict_add_i64(&builder, "profit_bytes", domain->profit_bytes);
    mf_describe_add_domain_history(&builder, engine, domain);
    mf_dict_add_u64(&builder, "age_msec", mf_engine_get_accounts_age_msec(engine, domain->uuid));
    return g_variant_builder_end(&builder);
}

GVariant *
mf_describe_domain_reasons(const MfEngine *engine, const MfDomain *domain)
{
    const MfPlan *plan = mf_engine_get_plan(engine);
    const MfVerdict *verdict = plan ? mf_plan_find(plan, domain->uuid) : NULL;
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(sss)"));

    if (verdict) {
        add_reasons(&builder, verdict->reasons);
    }
    return g_variant_builder_end(&builder);
}

GVariant *
mf_describe_domains(const MfEngine *engine)
{
    g_autoptr(GPtrArray) domains = mf_engine_dup_domains(engine);
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(a{sv}a(sss))"));

    for (guint i = 0; i < domains->len; i++) {
        const MfDomain *domain = domains->pdata[i];
        GVariant *one = g_variant_new("(@a{sv}@a(sss))", mf_describe_domain_figures(engine, domain),
                                      mf_describe_domain_reasons(engine, domain));

        /* Asking for its bytes has GLib put it into one piece, a sixth of what its parts take. */
        g_variant_get_data(one);
        g_variant_builder_add_value(&builder, one);
    }
    return g_variant_builder_end(&builder);
}

static GVariant *
action_figures(const MfAction *action)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a{sv}"));

    mf_dict_add_string(&builder, "kind", mf_action_kind_to_string(action->kind));
    if (action->kind == MF_ACTION_KNOB) {
        mf_dict_add_string(&builder, "knob", mf_knob_to_string(action->knob));
    } else {
        mf_dict_add_string(&builder, "name", action->name);
        mf_dict_add_string(&builder, "uuid", action->uuid);
    }
    if (action->kind == MF_ACTION_RECLAIM || action->kind == MF_ACTION_BALLOON) {
        mf_dict_add_u64(&builder, "bytes", MF_U64(action->bytes));
    }
    mf_dict_add_string(&builder, "from", action->from);
    mf_dict_add_string(&builder, "to", action->to);
    return g_variant_builder_end(&builder);
}

GVariant *
mf_describe_actions(const MfPlan *plan)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(a{sv}a(sss))"));

    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = plan->actions->pdata[i];
        GVariantBuilder reasons = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(sss)"));

        add_reason(&reasons, mf_reason_code_to_string(action->reason->code), action->reason->text,
                   action->reason->remedy);
        g_variant_builder_add(&builder, "(@a{sv}@a(sss))", action_figures(action),
                              g_variant_builder_end(&reasons));
    }
    return g_variant_builder_end(&builder);
}

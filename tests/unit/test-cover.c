/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether everything could be given back, and what follows where it could not. */
#include <string.h>

#include "../../src/core/mf-cover.h"
#include "../../src/core/mf-decide.h"

static MfHost
host_with(guint64 saved_mib, guint64 available_mib, guint64 swap_mib)
{
    return (MfHost){
        .page_size_bytes = 4096,
        .saved_bytes = MF_U64(saved_mib << 20),
        .mem_available_bytes = MF_U64(available_mib << 20),
        .swap_free_bytes = MF_U64(swap_mib << 20),
    };
}

static void
test_measures(void)
{
    static const struct {
        guint64 saved_mib, available_mib, swap_mib, permyriad;
    } cases[] = {
        {1000, 500, 500, 10000}, {1000, 1500, 0, 15000},   {1000, 0, 0, 0},
        {3000, 1000, 0, 3333},   {0, 100, 0, G_MAXUINT64}, {0, 0, 0, G_MAXUINT64},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MfHost host = host_with(cases[i].saved_mib, cases[i].available_mib, cases[i].swap_mib);
        MfCover cover = mf_cover_measure(&host);
        g_test_message("case %u", i);
        g_assert_true(cover.covered_permyriad.known);
        g_assert_cmpuint(cover.covered_permyriad.value, ==, cases[i].permyriad);
    }
}

static void
test_unknown_changes_nothing(void)
{
    g_autoptr(MfConfig) config = mf_config_new();
    MfHost host = host_with(1000, 100, 0);
    MfCover cover;
    gboolean uncovered = FALSE;

    host.swap_free_bytes = MF_U64_ABSENT;
    cover = mf_cover_measure(&host);
    g_assert_false(cover.have_bytes.known);
    g_assert_false(cover.covered_permyriad.known);
    g_assert_false(mf_cover_forbids_growth(config, &cover, &uncovered));
    uncovered = TRUE;
    g_assert_true(mf_cover_forbids_growth(config, &cover, &uncovered));
}

/* One limit to stop at, and another, above it, to go on. */
static void
test_hysteresis(void)
{
    static const struct {
        guint64 available_mib;
        gboolean forbidden;
    } steps[] = {{1000, FALSE}, {999, TRUE},   {1000, TRUE},
                 {1049, TRUE},  {1050, FALSE}, {1000, FALSE}};
    g_autoptr(MfConfig) config = mf_config_new();
    gboolean uncovered = FALSE;

    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        MfHost host = host_with(1000, steps[i].available_mib, 0);
        MfCover cover = mf_cover_measure(&host);
        g_test_message("step %u", i);
        g_assert_cmpint(mf_cover_forbids_growth(config, &cover, &uncovered), ==,
                        steps[i].forbidden);
    }
    config->coverage_permyriad = 0;
    MfHost host = host_with(1000, 1, 0);
    MfCover cover = mf_cover_measure(&host);
    uncovered = TRUE;
    g_assert_false(mf_cover_forbids_growth(config, &cover, &uncovered));
}

/* The decision: ksmd stops, says why, and merged pages stay; and it goes on afterwards. */
static void
test_decides(void)
{
    g_autoptr(MfConfig) config = mf_config_new();
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
    g_autoptr(MfMemory) memory = mf_memory_new();
    MfDomain *domain = mf_domain_new("00000000-0000-0000-0000-000000000001", "vm");

    config->default_group = MF_DEFAULT_GROUP_SHARED;
    domain->memory_kind = MF_MEMORY_ANONYMOUS;
    domain->caps = MF_CAP_PROBED | MF_CAP_SET_MERGE;
    domain->mode = MF_MODE_ON;
    g_ptr_array_add(snapshot->domains, domain);
    snapshot->taken_usec = 100 * G_USEC_PER_SEC;
    snapshot->host = host_with(1000, 600, 200);
    snapshot->host.run = MF_U64(1);

    g_autoptr(MfPlan) plan = mf_decide(config, snapshot, memory);
    g_assert_cmpuint(plan->actions->len, ==, 1);
    const MfAction *action = g_ptr_array_index(plan->actions, 0);
    g_assert_cmpint(action->knob, ==, MF_KNOB_RUN);
    g_assert_cmpstr(action->to, ==, "0");
    g_assert_cmpint(action->reason->code, ==, MF_REASON_UNCOVERED);
    g_assert_nonnull(strstr(action->reason->text, "would take 1000.0 MiB, and 800.0 MiB"));
    g_assert_nonnull(strstr(action->reason->remedy, "swap"));

    snapshot->host.run = MF_U64(0);
    snapshot->host.swap_free_bytes = MF_U64(G_GUINT64_CONSTANT(1) << 30);
    snapshot->taken_usec += 2 * G_USEC_PER_SEC;
    g_autoptr(MfPlan) next = mf_decide(config, snapshot, memory);
    action = g_ptr_array_index(next->actions, next->actions->len - 1);
    g_assert_cmpint(action->knob, ==, MF_KNOB_RUN);
    g_assert_cmpstr(action->to, ==, "1");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cover/measures", test_measures);
    g_test_add_func("/cover/unknown-changes-nothing", test_unknown_changes_nothing);
    g_test_add_func("/cover/hysteresis", test_hysteresis);
    g_test_add_func("/cover/decides", test_decides);
    return g_test_run();
}

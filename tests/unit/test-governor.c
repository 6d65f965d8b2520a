/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether ksmd runs, how fast, and who else's knobs are left alone. */
#include "governor-scene.h"

static MfReasonCode
host_reason(const Scene *scene)
{
    const MfReason *reason = g_ptr_array_index(scene->plan->host_reasons, 0);
    return reason->code;
}

static void
test_starts(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->host->run = MF_U64(0);
    scene->host->pages_to_scan_pages = MF_U64(100);
    scene->host->sleep_msec = MF_U64(200);
    g_free(scene->host->advisor_mode);
    scene->host->advisor_mode = g_strdup("scan-time");
    decide(scene);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "1");
    g_assert_cmpstr(written(scene, MF_KNOB_PAGES_TO_SCAN), ==, "2222");
    g_assert_cmpstr(written(scene, MF_KNOB_SLEEP_MSEC), ==, "20");
    g_assert_cmpstr(written(scene, MF_KNOB_ADVISOR_MODE), ==, "none");
    g_assert_null(written(scene, MF_KNOB_USE_ZERO_PAGES));
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_DOMAINS);

    /* ksmd moves last, and the advisor lets go of the rate first. */
    const MfAction *first = g_ptr_array_index(scene->plan->actions, 0);
    const MfAction *last = g_ptr_array_index(scene->plan->actions, scene->plan->actions->len - 1);
    g_assert_cmpint(first->knob, ==, MF_KNOB_ADVISOR_MODE);
    g_assert_cmpint(last->knob, ==, MF_KNOB_RUN);
}

static void
test_nothing_to_do(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    decide(scene);
    g_assert_cmpuint(scene->plan->actions->len, ==, 0);
    tick(scene, 2000, 200); /* just the budget of 10 % */
    g_assert_cmpuint(scene->plan->actions->len, ==, 0);
}

static void
test_stops(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        MfMerge merge;
        MfMemoryKind memory;
    } cases[] = {
        {MF_MERGE_OFF, MF_MEMORY_ANONYMOUS},
        {MF_MERGE_FREEZE, MF_MEMORY_ANONYMOUS},
        {MF_MERGE_ON, MF_MEMORY_SHARED},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        scene->domain->policy->merge = cases[i].merge;
        scene->domain->memory_kind = cases[i].memory;
        scene->host->run = MF_U64(1);
        decide(scene);
        g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "0");
        g_assert_null(written(scene, MF_KNOB_PAGES_TO_SCAN));
        g_assert_cmpint(host_reason(scene), ==, MF_REASON_NO_DOMAINS);
        scene->host->run = MF_U64(0);
        decide(scene);
        g_assert_null(written(scene, MF_KNOB_RUN));
    }
    g_ptr_array_set_size(scene->snapshot->domains, 0);
    scene->host->run = MF_U64(1);
    decide(scene);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "0");
}

static void
test_stands_back(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->host->pages_to_scan_pages = MF_U64(1);
    scene->host->run = MF_U64(0);
    scene->config->manage = FALSE;
    decide(scene);
    g_assert_cmpuint(scene->plan->actions->len, ==, 0);
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_UNMANAGED);

    scene->config->manage = TRUE;
    scene->host->other_manager = g_strdup("ksmtuned");
    decide(scene);
    g_assert_cmpuint(scene->plan->actions->len, ==, 0);
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_OTHER_MANAGER);
    const MfReason *reason = g_ptr_array_index(scene->plan->host_reasons, 0);
    g_assert_nonnull(strstr(reason->text, "ksmtuned"));
    g_assert_nonnull(strstr(reason->remedy, "ksmtuned"));
    g_clear_pointer(&scene->host->other_manager, g_free);

    scene->host->run = MF_U64(2);
    decide(scene);
    g_assert_cmpuint(scene->plan->actions->len, ==, 0);
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_OTHER_MANAGER);

    scene->host->run = MF_U64_ABSENT;
    decide(scene);
    g_assert_cmpuint(scene->plan->actions->len, ==, 0);
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_KSM_MISSING);
}

/* On a kernel with groups, whoever leaves the knobs alone hears what that costs. */
static void
test_tells_of_newcomers(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *group_default;
        gboolean manage;
        gboolean told;
    } cases[] = {
        {NULL, FALSE, FALSE},
        {"isolated", FALSE, FALSE},
        {"shared", FALSE, TRUE},
        {"shared", TRUE, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        gboolean told = FALSE;

        g_test_message("case %u", i);
        g_free(scene->host->group_default);
        scene->host->group_default = g_strdup(cases[i].group_default);
        scene->config->manage = cases[i].manage;
        decide(scene);
        for (guint k = 0; k < scene->plan->host_reasons->len; k++) {
            const MfReason *reason = g_ptr_array_index(scene->plan->host_reasons, k);
            told |= reason->code == MF_REASON_NEWCOMERS_MERGE && reason->remedy != NULL;
        }
        g_assert_cmpint(told, ==, cases[i].told);
        g_assert_cmpstr(written(scene, MF_KNOB_GROUP_DEFAULT), ==, i == 3 ? "isolated" : NULL);
    }
}

/* Standing back from the knobs does not mean to let a domain merge that must not. */
static void
test_stands_back_from_knobs_only(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->host->other_manager = g_strdup("ksmtuned");
    scene->domain->policy->merge = MF_MERGE_OFF;
    scene->domain->saved_bytes = MF_U64(0);
    decide(scene);
    g_assert_cmpuint(scene->plan->actions->len, ==, 1);
    const MfAction *action = g_ptr_array_index(scene->plan->actions, 0);
    g_assert_cmpint(action->kind, ==, MF_ACTION_DOMAIN_MODE);
}

static void
test_holds(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    gint64 now_usec = scene->snapshot->taken_usec;

    mf_memory_hold(scene->memory, "AAAAAAAA-0000-0000-0000-000000000000", now_usec + 5000000);
    decide(scene);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "0");
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_START_HOLD);

    scene->host->run = MF_U64(0);
    tick(scene, 4999, 0);
    g_assert_null(written(scene, MF_KNOB_RUN));
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_START_HOLD);
    tick(scene, 1, 0);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "1");

    mf_memory_hold(scene->memory, "a", now_usec + 1000000000);
    mf_memory_release(scene->memory, "A");
    decide(scene);
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_DOMAINS);
}

/* An audit has ksmd wait, but for paused domains that wait for what it merges. */
static void
test_waits_for_audit(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->memory->audit_end_usec = scene->snapshot->taken_usec + 5000000;
    decide(scene);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "0");
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_AUDIT_HOLD);

    scene->host->run = MF_U64(0);
    tick(scene, 5000, 0);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "1");

    scene->memory->audit_end_usec = G_MAXINT64;
    mf_storm_owe(&scene->memory->storm, "AAAAAAAA-0000-0000-0000-000000000000", TRUE, 0);
    decide(scene);
    g_assert_cmpstr(written(scene, MF_KNOB_RUN), ==, "1");
}

/* The budget is 10 % of a CPU; the rate is 2000 pages before each step. */
static void
test_budget(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        guint cpu_msec; /* in 2 s */
        const char *pages;
    } cases[] = {
        {200, NULL},    {218, NULL},   {182, NULL}, /* within a tenth */
        {250, "1600"},  {160, "2500"}, {400, "1000"}, {100, "4000"},
        {2000, "1000"}, {1, "4000"},   {0, "4000"}, /* by two at most */
    };

    decide(scene);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        tick(scene, 2000, cases[i].cpu_msec);
        g_assert_cmpstr(written(scene, MF_KNOB_PAGES_TO_SCAN), ==, cases[i].pages);
        g_assert_cmpuint(scene->memory->ksmd_cpu_permyriad.value, ==, cases[i].cpu_msec * 5);
    }
}

static void
test_rate_limits(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    decide(scene);
    scene->config->max_pages_to_scan_pages = 3000;
    tick(scene, 2000, 0);
    g_assert_cmpstr(written(scene, MF_KNOB_PAGES_TO_SCAN), ==, "3000");
    scene->config->min_pages_to_scan_pages = 1500;
    tick(scene, 2000, 2000);
    g_assert_cmpstr(written(scene, MF_KNOB_PAGES_TO_SCAN), ==, "1500");
    scene->host->pages_to_scan_pages = MF_U64(G_MAXUINT64);
    tick(scene, 2000, 200);
    g_assert_cmpstr(written(scene, MF_KNOB_PAGES_TO_SCAN), ==, "3000");
    scene->host->pages_to_scan_pages = MF_U64(0);
    tick(scene, 2000, 0);
    g_assert_cmpstr(written(scene, MF_KNOB_PAGES_TO_SCAN), ==, "1500");
    scene->host->pages_to_scan_pages = MF_U64_ABSENT;
    tick(scene, 2000, 2000);
    g_assert_null(written(scene, MF_KNOB_PAGES_TO_SCAN));
}

static void
test_unknown_cpu(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->host->ksmd_cpu_usec = MF_U64_ABSENT;
    decide(scene);
    g_assert_cmpstr(written(scene, MF_KNOB_PAGES_TO_SCAN), ==, "100");
    g_assert_false(scene->memory->ksmd_cpu_permyriad.known);
}

/* Ticks that follow each other closely are one interval; time that ksmd did not run says nothing.
 */
static void
test_measuring(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    decide(scene);
    tick(scene, 400, 400);
    g_assert_false(scene->memory->ksmd_cpu_permyriad.known);
    g_assert_null(written(scene, MF_KNOB_PAGES_TO_SCAN));
    tick(scene, 600, 0);
    g_assert_cmpuint(scene->memory->ksmd_cpu_permyriad.value, ==, 4000);
    g_assert_cmpstr(written(scene, MF_KNOB_PAGES_TO_SCAN), ==, "1000");

    scene->host->run = MF_U64(0);
    tick(scene, 2000, 0);
    scene->host->run = MF_U64(1);
    tick(scene, 2000, 0);
    g_assert_null(written(scene, MF_KNOB_PAGES_TO_SCAN));

    /* A counter that goes back is another ksmd's: start again. */
    scene->host->ksmd_cpu_usec = MF_U64(0);
    tick(scene, 2000, 0);
    g_assert_false(scene->memory->ksmd_cpu_permyriad.known);
    tick(scene, 2000, 100);
    g_assert_cmpuint(scene->memory->ksmd_cpu_permyriad.value, ==, 500);
}

/* With a cost a page, the rate comes to rest near the budget and stays there. */
static void
test_converges(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const guint costs_nsec[] = {300, 1000, 12000};

    for (guint i = 0; i < G_N_ELEMENTS(costs_nsec); i++) {
        guint64 used_permyriad = 0;
        scene->host->pages_to_scan_pages = MF_U64(1000);
        for (int step = 0; step < 30; step++) {
            guint64 cycle_usec = scene->host->pages_to_scan_pages.value * costs_nsec[i] / 1000;
            guint64 cpu_usec = 2000000 * cycle_usec / (cycle_usec + 20000);
            scene->snapshot->taken_usec += 2000000;
            scene->host->ksmd_cpu_usec.value += cpu_usec;
            used_permyriad = cpu_usec / 200;
            decide(scene);
            const char *pages = written(scene, MF_KNOB_PAGES_TO_SCAN);
            if (pages != NULL) {
                scene->host->pages_to_scan_pages = MF_U64(g_ascii_strtoull(pages, NULL, 10));
            }
        }
        g_test_message("%u ns a page: %" G_GUINT64_FORMAT, costs_nsec[i], used_permyriad);
        g_assert_cmpuint(used_permyriad, >=, 890);
        g_assert_cmpuint(used_permyriad, <=, 1110);
    }
}

/* A switch of the kernel's, present on the host, follows what the configuration says of it. */
static void
check_setting(Scene *scene, MfKnob knob, MfU64 *present, MfSetting *setting)
{
    *present = MF_U64(0);
    *setting = MF_SETTING_ON;
    decide(scene);
    g_assert_cmpstr(written(scene, knob), ==, "1");
    *present = MF_U64(1);
    decide(scene);
    g_assert_null(written(scene, knob));
    *setting = MF_SETTING_OFF;
    decide(scene);
    g_assert_cmpstr(written(scene, knob), ==, "0");
    *setting = MF_SETTING_KEEP;
    decide(scene);
    g_assert_null(written(scene, knob));
    *present = MF_U64_ABSENT;
    for (*setting = MF_SETTING_KEEP; *setting <= MF_SETTING_OFF; (*setting)++) {
        decide(scene);
        g_assert_null(written(scene, knob));
    }
}

static void
test_zero_pages(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    check_setting(scene, MF_KNOB_USE_ZERO_PAGES, &scene->host->use_zero_pages,
                  &scene->config->use_zero_pages);
}

/* Skipping can keep equal pages apart for ever, and is switched off unless it is asked for. */
static void
test_smart_scan(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->host->smart_scan = MF_U64(1);
    decide(scene);
    g_assert_cmpstr(written(scene, MF_KNOB_SMART_SCAN), ==, "0");
    check_setting(scene, MF_KNOB_SMART_SCAN, &scene->host->smart_scan, &scene->config->smart_scan);
}

/* What only our kernel has: a limit of its own, and the index while nothing is merged. */
static void
test_our_kernel(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    decide(scene);
    g_assert_null(written(scene, MF_KNOB_CPU_MAX));
    g_assert_null(written(scene, MF_KNOB_INDEX));
    g_assert_null(written(scene, MF_KNOB_SKIP_UNWRITTEN));
    scene->host->cpu_max_permyriad = MF_U64(10000);
    scene->host->skip_unwritten = MF_U64(0);
    scene->host->index = g_strdup("contents");
    scene->host->pages_shared_pages = MF_U64(0);
    decide(scene);
    g_assert_cmpstr(written(scene, MF_KNOB_CPU_MAX), ==, "1000");
    g_assert_cmpstr(written(scene, MF_KNOB_INDEX), ==, "checksum");
    g_assert_cmpstr(written(scene, MF_KNOB_SKIP_UNWRITTEN), ==, "8");

    scene->host->pages_shared_pages = MF_U64(1);
    decide(scene);
    g_assert_null(written(scene, MF_KNOB_INDEX));
    scene->host->pages_shared_pages = MF_U64_ABSENT;
    decide(scene);
    g_assert_null(written(scene, MF_KNOB_INDEX));

    scene->host->pages_shared_pages = MF_U64(0);
    scene->config->index = MF_INDEX_KEEP;
    decide(scene);
    g_assert_null(written(scene, MF_KNOB_INDEX));

    scene->host->cpu_max_permyriad = MF_U64(1000);
    scene->host->skip_unwritten = MF_U64(8);
    decide(scene);
    g_assert_null(written(scene, MF_KNOB_CPU_MAX));
    g_assert_null(written(scene, MF_KNOB_SKIP_UNWRITTEN));
}

/* The smallest limit is left again, too, so that the next shortage wakes ksmd. */
static void
test_smallest_pressure(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        guint waits_permyriad;
        gboolean wakes;
    } cases[] = {{0, FALSE}, {1, TRUE}, {1, FALSE}, {0, FALSE}, {1, TRUE}};

    scene->config->wait_permyriad = 1;
    decide(scene); /* the domain has come */
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        scene->host->memory_waits_permyriad = MF_U64(cases[i].waits_permyriad);
        tick(scene, 1000, 100);
        g_assert_cmpint(scene->memory->pacing.woken_usec == scene->snapshot->taken_usec, ==,
                        cases[i].wakes);
    }
}

/* A QEMU that can't be switched and was started without merging gives ksmd no work. */
static void
test_unswitchable(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    scene->domain->caps = MF_CAP_PROBED;
    scene->domain->mode = MF_MODE_UNKNOWN;
    scene->domain->mergeable_bytes = MF_U64(0);
    decide(scene);
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_NO_DOMAINS);
    scene->domain->mergeable_bytes = MF_U64(4096);
    decide(scene);
    g_assert_cmpint(host_reason(scene), ==, MF_REASON_DOMAINS);
}

/* Deciding with a copy says the same, and leaves the original as it was. */
static void
test_copied_memory(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    g_autoptr(MfMemory) copy = NULL;
    g_autoptr(MfPlan) dry = NULL;
    gint64 hold_usec = scene->snapshot->taken_usec + G_USEC_PER_SEC;

    scene->host->run = MF_U64(0);
    mf_memory_hold(scene->memory, "AA", hold_usec);
    copy = mf_memory_copy(scene->memory);
    scene->snapshot->taken_usec = hold_usec;
    dry = mf_decide(scene->config, scene->snapshot, copy);
    g_assert_cmpuint(copy->last_budget_permyriad, >, 0);
    g_assert_cmpuint(g_hash_table_size(copy->pacing.known_pids), ==, 1);
    g_assert_cmpuint(g_hash_table_size(copy->start_holds), ==, 0);

    g_assert_cmpuint(scene->memory->last_budget_permyriad, ==, 0);
    g_assert_cmpuint(g_hash_table_size(scene->memory->pacing.known_pids), ==, 0);
    g_assert_cmpint(scene->memory->last_taken_usec, ==, 0);
    g_assert_cmpint(*(gint64 *)g_hash_table_lookup(scene->memory->start_holds, "aa"), ==,
                    hold_usec);
    decide(scene);
    g_assert_cmpuint(dry->actions->len, >, 0);
    g_assert_cmpuint(scene->plan->actions->len, ==, dry->actions->len);
    for (guint i = 0; i < dry->actions->len; i++) {
        g_autofree char *of_dry = mf_action_to_string(dry->actions->pdata[i]);
        g_autofree char *of_real = mf_action_to_string(scene->plan->actions->pdata[i]);

        g_assert_cmpstr(of_dry, ==, of_real);
    }
}

#define ADD(path, function)                                                                        \
    g_test_add("/governor/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("starts", test_starts);
    ADD("nothing-to-do", test_nothing_to_do);
    ADD("stops", test_stops);
    ADD("stands-back", test_stands_back);
    ADD("stands-back-from-knobs-only", test_stands_back_from_knobs_only);
    ADD("tells-of-newcomers", test_tells_of_newcomers);
    ADD("holds", test_holds);
    ADD("waits-for-audit", test_waits_for_audit);
    ADD("budget", test_budget);
    ADD("rate-limits", test_rate_limits);
    ADD("unknown-cpu", test_unknown_cpu);
    ADD("measuring", test_measuring);
    ADD("converges", test_converges);
    ADD("zero-pages", test_zero_pages);
    ADD("smart-scan", test_smart_scan);
    ADD("our-kernel", test_our_kernel);
    ADD("smallest-pressure", test_smallest_pressure);
    ADD("unswitchable", test_unswitchable);
    ADD("copied-memory", test_copied_memory);
    return g_test_run();
}

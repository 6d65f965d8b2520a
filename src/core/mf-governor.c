/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ksmd's reins.
 *
 * ksmd runs while a domain should merge and nobody is held back.  Its share of a CPU is what the
 * pace (mf-pace.h) allows; how many pages it scans at a time follows from that share and from what
 * a page has cost lately.  Where the kernel does not count scanned pages the rate is scaled by
 * budget / used instead, at most by two in one step.  Within a tenth of the budget it is left
 * alone.  A small memory does not get all of it: sweeps that follow each other too closely tell
 * nothing new.  Stopping is run=0, which keeps what is merged.
 */
#include "mf-governor.h"

#include "mf-cover.h"
#include "mf-units.h"

#define MEASURE_MIN_USEC    G_USEC_PER_SEC
#define DEAD_BAND_DIVISOR   10
#define SHARE_MAX_PERMYRIAD 9500 /* a batch has an end */
#define NSEC_PER_SEC        G_GUINT64_CONSTANT(1000000000)
#define COST_MIN_PAGES      256
#define COST_MIN_USEC       100000
#define COST_GUESS_NSEC     1000 /* of a page, before the first measurement */
#define REST_SLEEP_FACTOR   10   /* a resting ksmd wakes up as many times less often */
#define SLEEP_MAX_MSEC      10000
#define LITTER_SWEEPS       2 /* the first one is under way already */
#define LITTER_MAX_USEC     (60 * G_USEC_PER_SEC)

/* What a page has cost lately.  CPU time is told in ticks of 10 ms, and a resting ksmd may use less
 * in an interval: it is measured over as many as it takes. */
static void
measure_page(const MfHost *host, MfMemory *memory)
{
    MfU64 pages_before = memory->cost_scanned_pages;
    MfU64 cpu_before = memory->cost_cpu_usec;

    if (pages_before.known && cpu_before.known && host->pages_scanned_pages.known &&
        host->pages_scanned_pages.value >= pages_before.value &&
        host->ksmd_cpu_usec.value >= cpu_before.value) {
        guint64 scanned_pages = host->pages_scanned_pages.value - pages_before.value;
        guint64 used_usec = host->ksmd_cpu_usec.value - cpu_before.value;

        if (scanned_pages < COST_MIN_PAGES || used_usec < COST_MIN_USEC) {
            return;
        }
        memory->page_cost_nsec = MF_U64(MAX(mf_mul_div(used_usec, 1000, scanned_pages), 1));
    }
    memory->cost_scanned_pages = host->pages_scanned_pages;
    memory->cost_cpu_usec = host->ksmd_cpu_usec;
}

gboolean
mf_governor_measure(const MfSnapshot *snapshot, MfMemory *memory)
{
    const MfHost *host = &snapshot->host;
    gboolean running = host->run.known && host->run.value == 1;
    gboolean ran = running && memory->last_running;
    gboolean measured = FALSE;
    gint64 interval_usec = snapshot->taken_usec - memory->last_taken_usec;

    if (memory->last_taken_usec != 0 && memory->last_ksmd_cpu_usec.known &&
        host->ksmd_cpu_usec.known && interval_usec >= 0 &&
        host->ksmd_cpu_usec.value >= memory->last_ksmd_cpu_usec.value) {
        if (interval_usec < MEASURE_MIN_USEC) {
            return FALSE;
        }
        guint64 used_usec = host->ksmd_cpu_usec.value - memory->last_ksmd_cpu_usec.value;
        memory->ksmd_cpu_permyriad =
            MF_U64(mf_mul_div(used_usec, MF_PERMYRIAD, (guint64)interval_usec));
        measured = TRUE;
    } else {
        memory->ksmd_cpu_permyriad = MF_U64_ABSENT;
    }
    measure_page(host, memory);
    memory->last_taken_usec = snapshot->taken_usec;
    memory->last_ksmd_cpu_usec = host->ksmd_cpu_usec;
    memory->last_running = running;
    return measured && ran;
}

/* Adds the action that brings a number to its wanted value, unless it has it or is unknown; takes
 * reason. */
static void
want_number(MfPlan *plan, MfKnob knob, MfU64 present, guint64 wanted, MfReason *reason)
{
    g_autoptr(MfReason) owned = reason;

    if (!present.known || present.value == wanted) {
        return;
    }
    g_autofree char *from = g_strdup_printf("%" G_GUINT64_FORMAT, present.value);
    g_autofree char *to = g_strdup_printf("%" G_GUINT64_FORMAT, wanted);
    mf_plan_add_knob(plan, knob, from, to, g_steal_pointer(&owned));
}

static guint
sleep_msec(const MfConfig *config, MfPace pace)
{
    return pace == MF_PACE_REST ? MIN(config->sleep_msec * REST_SLEEP_FACTOR, SLEEP_MAX_MSEC)
                                : config->sleep_msec;
}

/* So many pages, with the sleep of the present pace behind them, take that share of a CPU. */
static guint64
pages_for(const MfConfig *config, const MfMemory *memory, guint64 budget_permyriad)
{
    guint64 sleep_usec = sleep_msec(config, memory->pacing.pace) * 1000ULL;
    guint64 share = MIN(budget_permyriad, SHARE_MAX_PERMYRIAD);
    guint64 busy_usec = mf_mul_div(sleep_usec, share, MF_PERMYRIAD - share);

    return mf_mul_div(busy_usec, 1000,
                      memory->page_cost_nsec.known ? memory->page_cost_nsec.value
                                                   : COST_GUESS_NSEC);
}

/* A new rate in the light of what ksmd used at the present one. */
static guint64
corrected_rate(const MfConfig *config, guint64 present_pages, guint64 budget, MfMemory *memory)
{
    guint64 used = memory->ksmd_cpu_permyriad.value;
    guint64 distance = used > budget ? used - budget : budget - used;

    if (distance <= budget / DEAD_BAND_DIVISOR) {
        return present_pages;
    }
    if (memory->page_cost_nsec.known) {
        return pages_for(config, memory, budget);
    }
    guint64 wanted_pages =
        used == 0 ? mf_mul_sat(present_pages, 2) : mf_mul_div(present_pages, budget, used);
    return CLAMP(wanted_pages, present_pages / 2, mf_mul_sat(MAX(present_pages, 1), 2));
}

/* The share of a CPU that is of use: the budget, or what the fastest useful rate costs. */
static guint
useful_budget(const MfMemory *memory, guint budget_permyriad)
{
    MfU64 rate_pages = mf_pace_rate_max_pages(&memory->pacing);
    guint64 cost_nsec =
        memory->page_cost_nsec.known ? memory->page_cost_nsec.value : COST_GUESS_NSEC;

    if (!rate_pages.known) {
        return budget_permyriad;
    }
    guint64 useful_permyriad =
        mf_mul_div(rate_pages.value, mf_mul_sat(cost_nsec, MF_PERMYRIAD), NSEC_PER_SEC);
    return (guint)CLAMP(useful_permyriad, 1, budget_permyriad);
}

/* The number of pages to scan at a time, and why. */
static guint64
scan_rate(const MfConfig *config, const MfHost *host, MfMemory *memory, gboolean fresh,
          MfReason **ret_reason)
{
    guint64 wanted_pages = host->pages_to_scan_pages.value;
    guint budget = mf_pace_budget_permyriad(config, memory->pacing.pace);
    guint useful = useful_budget(memory, budget);
    g_autofree char *budget_text = mf_format_permyriad(budget);
    g_autofree char *useful_text = mf_format_permyriad(useful);
    g_autofree char *less_text =
        useful < budget ? g_strdup_printf(", of which %s are of use", useful_text) : g_strdup("");

    if (!host->ksmd_cpu_usec.known) {
        *ret_reason = mf_reason_new(MF_REASON_BUDGET, NULL,
                                    "ksmd's CPU time is not known: scans at the lowest rate");
        return config->min_pages_to_scan_pages;
    }
    if (memory->last_budget_permyriad != budget) {
        gboolean first = memory->last_budget_permyriad == 0;
        /* Whoever had ksmd running before has a rate that is measured first. */
        if (!first || host->run.value == 0) {
            wanted_pages = pages_for(config, memory, useful);
        }
        memory->last_budget_permyriad = budget;
        *ret_reason =
            mf_reason_new(MF_REASON_BUDGET, NULL, "%s rate, towards a budget of %s of one CPU%s",
                          first ? "first" : "new", budget_text, less_text);
    } else {
        g_autofree char *used_text = mf_format_permyriad(memory->ksmd_cpu_permyriad.value);
        if (fresh) {
            wanted_pages = corrected_rate(config, wanted_pages, useful, memory);
        }
        *ret_reason =
            mf_reason_new(MF_REASON_BUDGET, NULL, "ksmd used %s of one CPU, its budget is %s%s",
                          memory->ksmd_cpu_permyriad.known ? used_text : "an unknown part",
                          budget_text, less_text);
    }
    return CLAMP(wanted_pages, config->min_pages_to_scan_pages, config->max_pages_to_scan_pages);
}

/* Brings a switch of the kernel's to what the configuration says of it under the name of key. */
static void
want_setting(MfPlan *plan, MfKnob knob, MfU64 present, MfSetting setting, const char *key)
{
    gboolean on = setting == MF_SETTING_ON;

    if (setting != MF_SETTING_KEEP) {
        want_number(
            plan, knob, present, on ? 1 : 0,
            mf_reason_new(MF_REASON_CONFIG, NULL, "%s=%s in memfold.conf", key, on ? "on" : "off"));
    }
}

static gboolean
merges_newcomers(const MfHost *host)
{
    return host->group_default != NULL && !g_str_equal(host->group_default, "isolated");
}

/* Programs that start while memfold governs merge with nobody until they are put where they belong,
 * so that no domain has merged with others before anybody could look at it. */
static void
isolate_newcomers(const MfHost *host, MfPlan *plan)
{
    if (merges_newcomers(host)) {
        mf_plan_add_knob(plan, MF_KNOB_GROUP_DEFAULT, host->group_default, "isolated",
                         mf_reason_new(MF_REASON_POLICY, NULL,
                                       "a domain merges with nobody until it is in its group"));
    }
}

/* Where that knob is not memfold's to write, nobody else may have seen that it matters. */
static void
warn_of_newcomers(const MfHost *host, MfPlan *plan)
{
    if (merges_newcomers(host)) {
        g_ptr_array_add(
            plan->host_reasons,
            mf_reason_new(MF_REASON_NEWCOMERS_MERGE,
                          "write \"isolated\" to /sys/kernel/mm/ksm/group_default",
                          "group_default=%s: a domain that starts merges with everyone's until it "
                          "has been moved to its group",
                          host->group_default));
    }
}

/* What only our kernel has. */
static void
tune_ours(const MfConfig *config, const MfHost *host, const MfMemory *memory, MfPlan *plan)
{
    guint budget = mf_pace_budget_permyriad(config, memory->pacing.pace);
    g_autofree char *budget_text = mf_format_permyriad(budget);
    const char *wanted_index = config->index == MF_INDEX_CHECKSUM ? "checksum" : "contents";
    gboolean nothing_merged = host->pages_shared_pages.known && host->pages_shared_pages.value == 0;

    want_number(plan, MF_KNOB_CPU_MAX, host->cpu_max_permyriad, budget,
                mf_reason_new(MF_REASON_BUDGET, NULL, "the kernel keeps ksmd to %s of one CPU",
                              budget_text));
    if (config->index != MF_INDEX_KEEP && host->index != NULL && nothing_merged &&
        !g_str_equal(host->index, wanted_index)) {
        mf_plan_add_knob(
            plan, MF_KNOB_INDEX, host->index, wanted_index,
            mf_reason_new(MF_REASON_CONFIG, NULL, "index=%s in memfold.conf", wanted_index));
    }
    want_number(plan, MF_KNOB_SKIP_UNWRITTEN, host->skip_unwritten, config->skip_unwritten_count,
                mf_reason_new(MF_REASON_CONFIG, NULL, "skip-unwritten=%u in memfold.conf",
                              config->skip_unwritten_count));
}

static void
tune(const MfConfig *config, const MfSnapshot *snapshot, MfMemory *memory, const GPtrArray *merging,
     gboolean fresh, MfPlan *plan)
{
    const MfHost *host = &snapshot->host;

    if (host->advisor_mode != NULL && !g_str_equal(host->advisor_mode, "none")) {
        mf_plan_add_knob(
            plan, MF_KNOB_ADVISOR_MODE, host->advisor_mode, "none",
            mf_reason_new(MF_REASON_BUDGET, NULL,
                          "memfold sets the scan rate, the kernel's advisor must not"));
    }
    want_number(plan, MF_KNOB_SLEEP_MSEC, host->sleep_msec, sleep_msec(config, memory->pacing.pace),
                mf_reason_new(MF_REASON_CONFIG, NULL, "sleep-msec=%u in memfold.conf%s",
                              config->sleep_msec,
                              memory->pacing.pace == MF_PACE_REST ? ", longer at rest" : ""));
    want_setting(plan, MF_KNOB_USE_ZERO_PAGES, host->use_zero_pages, config->use_zero_pages,
                 "use-zero-pages");
    want_setting(plan, MF_KNOB_SMART_SCAN, host->smart_scan, config->smart_scan, "smart-scan");
    tune_ours(config, host, memory, plan);
    if (host->pages_to_scan_pages.known) {
        MfReason *reason = NULL;
        guint64 wanted_pages = scan_rate(config, host, memory, fresh, &reason);
        want_number(plan, MF_KNOB_PAGES_TO_SCAN, host->pages_to_scan_pages, wanted_pages, reason);
    }
    if (memory->pacing.pace == MF_PACE_BOOST) {
        mf_boosts_decide(snapshot, merging, mf_pace_budget_permyriad(config, MF_PACE_BOOST),
                         &memory->boosts, plan);
    }
}

/* Why no knob may be touched at all; NULL when memfold governs. */
static MfReason *
stand_back(const MfConfig *config, const MfHost *host)
{
    if (!host->run.known) {
        return mf_reason_new(MF_REASON_KSM_MISSING, "boot a kernel with CONFIG_KSM",
                             "KSM's state can't be read: nothing is merged by memfold");
    }
    if (!config->manage) {
        return mf_reason_new(MF_REASON_UNMANAGED, "set manage=true in memfold.conf",
                             "manage=false in memfold.conf: KSM's knobs are left alone");
    }
    if (host->other_manager != NULL) {
        g_autofree char *remedy = g_strdup_printf(
            "stop and disable %s, or set manage=false in memfold.conf", host->other_manager);
        return mf_reason_new(MF_REASON_OTHER_MANAGER, remedy,
                             "%s runs and sets KSM's knobs, too: memfold leaves them alone",
                             host->other_manager);
    }
    if (host->run.value > 1) {
        return mf_reason_new(MF_REASON_OTHER_MANAGER,
                             "write 0 to /sys/kernel/mm/ksm/run to give ksmd back to memfold",
                             "somebody asked KSM to un-merge everything (run=%" G_GUINT64_FORMAT
                             "): memfold leaves the knobs alone",
                             host->run.value);
    }
    return NULL;
}

/* Drops holds that are over; returns how many are left and how long the longest lasts. */
static guint
count_holds(MfMemory *memory, gint64 now_usec, guint64 *ret_left_msec)
{
    GHashTableIter iter;
    gpointer deadline;

    *ret_left_msec = 0;
    g_hash_table_iter_init(&iter, memory->start_holds);
    while (g_hash_table_iter_next(&iter, NULL, &deadline)) {
        gint64 left_usec = *(gint64 *)deadline - now_usec;
        if (left_usec <= 0) {
            g_hash_table_iter_remove(&iter);
        } else {
            *ret_left_msec = MAX(*ret_left_msec, (guint64)left_usec / 1000);
        }
    }
    return g_hash_table_size(memory->start_holds);
}

static gboolean
all_are_unmerged(const MfSnapshot *snapshot)
{
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        if (domain->mode != MF_MODE_OFF && domain->mode != MF_MODE_FROZEN) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Whether ksmd has to sweep although no domain merges.  What it keeps of a page that was un-merged
 * it drops when it comes by, not before: until then that takes memory, and its counters tell of
 * merged pages that there are no longer. */
static gboolean
drops_litter(const MfSnapshot *snapshot, MfMemory *memory)
{
    const MfHost *host = &snapshot->host;

    if (!memory->litter || !host->full_scans_count.known || !all_are_unmerged(snapshot)) {
        return FALSE;
    }
    if (!memory->litter_scan.known) {
        memory->litter_scan = host->full_scans_count;
        memory->litter_end_usec = snapshot->taken_usec + LITTER_MAX_USEC;
    }
    memory->litter =
        !(host->pages_shared_pages.known && host->pages_shared_pages.value == 0) &&
        mf_sub_clamp(host->full_scans_count.value, memory->litter_scan.value) < LITTER_SWEEPS &&
        snapshot->taken_usec < memory->litter_end_usec;
    return memory->litter;
}

/* What ksmd merges under an audit is elsewhere at each look, and the audit proves nothing.  Paused
 * domains that wait for room do not wait for that, too. */
static gboolean
waits_for_audit(const MfSnapshot *snapshot, const MfMemory *memory)
{
    return memory->audit_end_usec > snapshot->taken_usec && !mf_storm_has_suspended(&memory->storm);
}

void
mf_governor_decide(const MfConfig *config, const MfSnapshot *snapshot, MfMemory *memory,
                   const GPtrArray *merging, gboolean fresh, MfPlan *plan)
{
    const MfHost *host = &snapshot->host;
    guint64 hold_left_msec;
    guint hold_count = count_holds(memory, snapshot->taken_usec, &hold_left_msec);
    g_autoptr(MfReason) reason = stand_back(config, host);
    MfReason *pace_reason = NULL;
    MfCover cover = mf_storm_cover(&memory->storm, host);
    gboolean run = FALSE;

    plan->governs = reason == NULL;
    if (!plan->governs) {
        g_ptr_array_add(plan->host_reasons, g_steal_pointer(&reason));
        warn_of_newcomers(host, plan);
        return;
    }
    isolate_newcomers(host, plan);
    if (merging->len > 0) {
        memory->litter = TRUE;
        memory->litter_scan = MF_U64_ABSENT;
    }
    if (merging->len == 0) {
        run = hold_count == 0 && !memory->storm.raging && !waits_for_audit(snapshot, memory) &&
              drops_litter(snapshot, memory);
        reason =
            mf_reason_new(MF_REASON_NO_DOMAINS, NULL, "no running domain should merge: ksmd %s",
                          run ? "drops what it keeps of pages that are merged no longer"
                              : "rests, merged pages stay");
    } else if (hold_count > 0) {
        reason = mf_reason_new(MF_REASON_START_HOLD, NULL,
                               "%u %s that must not merge %s starting: ksmd waits, for at most "
                               "%" G_GUINT64_FORMAT " ms if no QEMU shows up",
                               hold_count, hold_count == 1 ? "domain" : "domains",
                               hold_count == 1 ? "is" : "are", hold_left_msec);
    } else if (memory->storm.raging) {
        reason = mf_storm_reason(config, snapshot, &memory->storm, TRUE);
    } else if (mf_cover_forbids_growth(config, &cover, &memory->uncovered) &&
               !mf_storm_has_suspended(&memory->storm)) {
        reason = mf_cover_reason(config, &cover);
    } else if (waits_for_audit(snapshot, memory)) {
        reason = mf_reason_new(MF_REASON_AUDIT_HOLD, NULL,
                               "an audit looks at page tables: ksmd waits for at most "
                               "%" G_GINT64_FORMAT " ms, so that pages stay where they are",
                               (memory->audit_end_usec - snapshot->taken_usec) / 1000);
    } else {
        run = TRUE;
        reason = mf_reason_new(MF_REASON_DOMAINS, NULL, "%u %s can merge", merging->len,
                               merging->len == 1 ? "domain" : "domains");
        mf_pace_decide(config, snapshot, merging, mf_storm_has_suspended(&memory->storm),
                       &memory->pacing);
        pace_reason = mf_pace_reason(config, &memory->pacing);
        tune(config, snapshot, memory, merging, fresh, plan);
    }
    want_number(plan, MF_KNOB_RUN, host->run, run ? 1 : 0, mf_reason_copy(reason));
    g_ptr_array_add(plan->host_reasons, g_steal_pointer(&reason));
    if (pace_reason != NULL) {
        g_ptr_array_add(plan->host_reasons, pace_reason);
    }
}

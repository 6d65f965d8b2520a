/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ksmd's reins.
 *
 * ksmd runs while a domain should merge and nobody is held back.  Its share of a CPU is what the
 * pace (mf-pace.h) allows; how many pages it scans at a time follows from that share and from what
 * a page has cost lately.  Where the kernel does not count scanned pages the rate is scaled by
 * budget / used instead, at most by two in one step.  Within a tenth of the budget it is left
 * alone.  Stopping is run=0, which keeps what is merged.
 */
#include "mf-governor.h"

#include "mf-cover.h"
#include "mf-units.h"

#define MEASURE_MIN_USEC    G_USEC_PER_SEC
#define DEAD_BAND_DIVISOR   10
#define SHARE_MAX_PERMYRIAD 9500 /* a batch has an end */
#define COST_MIN_PAGES      256
#define COST_GUESS_NSEC     1000 /* of a page, before the first measurement */
#define REST_SLEEP_FACTOR   10   /* a resting ksmd wakes up as many times less often */
#define SLEEP_MAX_MSEC      10000

/* What a page cost in the interval in which ksmd used used_usec. */
static void
measure_page(const MfHost *host, guint64 used_usec, MfMemory *memory)
{
    MfU64 before = memory->last_scanned_pages;

    if (!host->pages_scanned_pages.known || !before.known ||
        host->pages_scanned_pages.value < before.value) {
        return;
    }
    guint64 scanned_pages = host->pages_scanned_pages.value - before.value;
    if (scanned_pages >= COST_MIN_PAGES) {
        memory->page_cost_nsec = MF_U64(MAX(mf_mul_div(used_usec, 1000, scanned_pages), 1));
    }
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
        measure_page(host, used_usec, memory);
        measured = TRUE;
    } else {
        memory->ksmd_cpu_permyriad = MF_U64_ABSENT;
    }
    memory->last_taken_usec = snapshot->taken_usec;
    memory->last_ksmd_cpu_usec = host->ksmd_cpu_usec;
    memory->last_scanned_pages = host->pages_scanned_pages;
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

/* The number of pages to scan at a time, and why. */
static guint64
scan_rate(const MfConfig *config, const MfHost *host, MfMemory *memory, gboolean fresh,
          MfReason **ret_reason)
{
    guint64 wanted_pages = host->pages_to_scan_pages.value;
    guint budget = mf_pace_budget_permyriad(config, memory->pacing.pace);
    g_autofree char *budget_text = mf_format_permyriad(budget);

    if (!host->ksmd_cpu_usec.known) {
        *ret_reason = mf_reason_new(MF_REASON_BUDGET, NULL,
                                    "ksmd's CPU time is not known: scans at the lowest rate");
        return config->min_pages_to_scan_pages;
    }
    if (memory->last_budget_permyriad != budget) {
        gboolean first = memory->last_budget_permyriad == 0;
        /* Whoever had ksmd running before has a rate that is measured first. */
        if (!first || host->run.value == 0) {
            wanted_pages = pages_for(config, memory, budget);
        }
        memory->last_budget_permyriad = budget;
        *ret_reason =
            mf_reason_new(MF_REASON_BUDGET, NULL, "%s rate, towards a budget of %s of one CPU",
                          first ? "first" : "new", budget_text);
    } else {
        g_autofree char *used_text = mf_format_permyriad(memory->ksmd_cpu_permyriad.value);
        if (fresh) {
            wanted_pages = corrected_rate(config, wanted_pages, budget, memory);
        }
        *ret_reason = mf_reason_new(
            MF_REASON_BUDGET, NULL, "ksmd used %s of one CPU, its budget is %s",
            memory->ksmd_cpu_permyriad.known ? used_text : "an unknown part", budget_text);
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

static void
tune(const MfConfig *config, const MfHost *host, MfMemory *memory, gboolean fresh, MfPlan *plan)
{
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
    if (host->pages_to_scan_pages.known) {
        MfReason *reason = NULL;
        guint64 wanted_pages = scan_rate(config, host, memory, fresh, &reason);
        want_number(plan, MF_KNOB_PAGES_TO_SCAN, host->pages_to_scan_pages, wanted_pages, reason);
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

void
mf_governor_decide(const MfConfig *config, const MfSnapshot *snapshot, MfMemory *memory,
                   const GPtrArray *merging, gboolean fresh, MfPlan *plan)
{
    const MfHost *host = &snapshot->host;
    guint64 hold_left_msec;
    guint hold_count = count_holds(memory, snapshot->taken_usec, &hold_left_msec);
    g_autoptr(MfReason) reason = stand_back(config, host);
    MfReason *pace_reason = NULL;
    MfCover cover = mf_cover_measure(host);
    gboolean govern = reason == NULL;
    gboolean run = FALSE;

    if (!govern) {
        g_ptr_array_add(plan->host_reasons, g_steal_pointer(&reason));
        return;
    }
    if (merging->len == 0) {
        reason = mf_reason_new(MF_REASON_NO_DOMAINS, NULL,
                               "no running domain should merge: ksmd rests, merged pages stay");
    } else if (hold_count > 0) {
        reason = mf_reason_new(MF_REASON_START_HOLD, NULL,
                               "%u %s that must not merge %s starting: ksmd waits for at most "
                               "%" G_GUINT64_FORMAT " ms",
                               hold_count, hold_count == 1 ? "domain" : "domains",
                               hold_count == 1 ? "is" : "are", hold_left_msec);
    } else if (mf_cover_forbids_growth(config, &cover, &memory->uncovered)) {
        reason = mf_cover_reason(config, &cover);
    } else {
        run = TRUE;
        reason = mf_reason_new(MF_REASON_DOMAINS, NULL, "%u %s can merge", merging->len,
                               merging->len == 1 ? "domain" : "domains");
        mf_pace_decide(config, snapshot, merging, &memory->pacing);
        pace_reason = mf_pace_reason(config, &memory->pacing);
        tune(config, host, memory, fresh, plan);
    }
    want_number(plan, MF_KNOB_RUN, host->run, run ? 1 : 0, mf_reason_copy(reason));
    g_ptr_array_add(plan->host_reasons, g_steal_pointer(&reason));
    if (pace_reason != NULL) {
        g_ptr_array_add(plan->host_reasons, pace_reason);
    }
}

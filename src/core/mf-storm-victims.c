/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who gives way in a storm, and who may go on after it.
 *
 * Candidates come in the order of their priorities, and of what they have written among equals.  A
 * step goes to the next candidate only when the one before has given what it can, or can't be made
 * to.
 */
#include "mf-storm-private.h"

#include "mf-units.h"

#define AHEAD_SEC        5   /* of losses: so much is to be available above the reserve */
#define PAUSE_DIVISOR    4   /* of the horizon: when less than that is left, domains are paused */
#define AT_ONCE_MSEC     500 /* no time to see what the last pause has brought */
#define RETRY_FIRST_USEC G_USEC_PER_SEC
#define RETRY_LAST_USEC  (60 * G_USEC_PER_SEC)

static guint64
written_of(const MfVictim *victim)
{
    return victim->written_bytes.known ? victim->written_bytes.value : 0;
}

/* Lowest priority first; who has written most of equals; the name, to be the same each time. */
static int
compare_candidates(gconstpointer a, gconstpointer b)
{
    const MfCandidate *first = a;
    const MfCandidate *second = b;
    guint first_priority = first->domain->policy->priority;
    guint second_priority = second->domain->policy->priority;
    guint64 first_bytes = written_of(first->victim);
    guint64 second_bytes = written_of(second->victim);

    if (first_priority != second_priority) {
        return first_priority < second_priority ? -1 : 1;
    }
    if (first_bytes != second_bytes) {
        return first_bytes > second_bytes ? -1 : 1;
    }
    return g_strcmp0(first->domain->name, second->domain->name);
}

static GArray *
candidates_of(const MfSnapshot *snapshot, MfStorm *storm, MfPlan *plan)
{
    GArray *candidates = g_array_new(FALSE, FALSE, sizeof(MfCandidate));

    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        MfCandidate candidate = {
            .domain = domain,
            .victim = mf_storm_victim(storm, domain->uuid),
            .verdict = g_ptr_array_index(plan->verdicts, i),
        };
        g_array_append_val(candidates, candidate);
    }
    g_array_sort(candidates, compare_candidates);
    return candidates;
}

gboolean
mf_storm_is_under_way(const MfErrand *errand, gint64 now_usec)
{
    return errand->busy && now_usec - errand->busy_usec <= MF_STORM_OVERDUE_USEC;
}

gboolean
mf_storm_may_be_asked(const MfErrand *errand, gint64 now_usec)
{
    return !errand->busy && now_usec >= errand->retry.not_before_usec;
}

void
mf_storm_act(MfPlan *plan, const MfCandidate *candidate, MfActionKind kind, guint64 bytes,
             gint64 now_usec, MfReason *reason)
{
    MfVictim *victim = candidate->victim;
    MfErrand *errand = kind == MF_ACTION_RECLAIM ? &victim->swapping : &victim->calling;

    errand->busy = TRUE;
    errand->busy_usec = now_usec;
    if (kind != MF_ACTION_RECLAIM) {
        victim->pausing = kind == MF_ACTION_SUSPEND;
        victim->emptying = kind == MF_ACTION_BALLOON && bytes == 0;
        victim->filling_bytes = kind == MF_ACTION_BALLOON ? bytes : 0;
        victim->missed = FALSE; /* that was told before this call */
    }
    mf_verdict_tell_first(candidate->verdict, mf_reason_copy(reason));
    mf_plan_add_relief(plan, kind, candidate->domain, bytes, reason);
}

/* What the domain could still give to swap: its own, but for what accounts do not show yet. */
static guint64
reclaimable_bytes(const MfDomain *domain, const MfVictim *victim)
{
    guint64 own_bytes = domain->resident_bytes.known && domain->saved_bytes.known
                            ? mf_sub_clamp(domain->resident_bytes.value, domain->saved_bytes.value)
                            : 0;

    return mf_sub_clamp(own_bytes, victim->reclaimed_bytes);
}

/* What is to be moved to swap, so that the losses of the next seconds find memory. */
static guint64
wanted_to_swap_bytes(const MfConfig *config, const MfHost *host, const MfStorm *storm)
{
    if (!host->mem_available_bytes.known || !host->mem_total_bytes.known ||
        !host->swap_free_bytes.known || !storm->loss_rate_bytes.known) {
        return 0;
    }
    guint64 ahead_bytes =
        MIN(mf_mul_sat(storm->loss_rate_bytes.value, AHEAD_SEC), storm->expected_bytes);
    guint64 reserve_bytes =
        mf_mul_div(host->mem_total_bytes.value, config->reserve_permyriad, MF_PERMYRIAD);
    guint64 wanted_bytes =
        mf_sub_clamp(mf_add_sat(ahead_bytes, reserve_bytes), host->mem_available_bytes.value);
    return MIN(wanted_bytes, host->swap_free_bytes.value);
}

static void
plan_reclaim(const MfConfig *config, const MfSnapshot *snapshot, const MfStorm *storm,
             GArray *candidates, MfPlan *plan)
{
    gint64 now_usec = snapshot->taken_usec;
    guint64 wanted_bytes = wanted_to_swap_bytes(config, &snapshot->host, storm);

    for (guint i = 0; i < candidates->len && wanted_bytes >= MF_STORM_RELIEF_MIN_BYTES; i++) {
        const MfCandidate *candidate = &g_array_index(candidates, MfCandidate, i);
        MfVictim *victim = candidate->victim;
        guint64 can_bytes = reclaimable_bytes(candidate->domain, victim);

        if (mf_storm_is_under_way(&victim->swapping, now_usec)) {
            wanted_bytes = mf_sub_clamp(wanted_bytes, victim->asked_bytes);
            if (can_bytes >= MF_STORM_RELIEF_MIN_BYTES) {
                return; /* it has more to give, and comes first */
            }
            continue;
        }
        if (can_bytes < MF_STORM_RELIEF_MIN_BYTES ||
            !mf_storm_may_be_asked(&victim->swapping, now_usec)) {
            continue;
        }
        guint64 bytes = MIN(can_bytes, wanted_bytes);
        g_autofree char *text = mf_format_bytes(bytes);
        victim->asked_bytes = bytes;
        victim->reclaimed_bytes = mf_add_sat(victim->reclaimed_bytes, bytes);
        victim->given_bytes = mf_add_sat(victim->given_bytes, bytes);
        wanted_bytes -= bytes;
        mf_storm_act(plan, candidate, MF_ACTION_RECLAIM, bytes, now_usec,
                     mf_reason_new(MF_REASON_GIVES_WAY, MF_STORM_GIVES_WAY_REMEDY,
                                   "in a storm, %s of its memory go to swap (priority %u)", text,
                                   candidate->domain->policy->priority));
    }
}

/* What it has given already is told for as long as the storm lasts. */
static void
tell_given(const GArray *candidates)
{
    for (guint i = 0; i < candidates->len; i++) {
        const MfCandidate *candidate = &g_array_index(candidates, MfCandidate, i);
        g_autofree char *text = mf_format_bytes(candidate->victim->given_bytes);

        if (candidate->victim->given_bytes > 0) {
            mf_verdict_tell_first(candidate->verdict,
                                  mf_reason_new(MF_REASON_GIVES_WAY, MF_STORM_GIVES_WAY_REMEDY,
                                                "in this storm, up to %s of its memory were asked "
                                                "for (priority %u)",
                                                text, candidate->domain->policy->priority));
        }
    }
}

/* All through the interval that was measured. */
static gboolean
stood_still(const MfStorm *storm, const MfVictim *victim)
{
    return victim->suspended && victim->paused_usec <= storm->begun_usec;
}

static guint
count_writers(const MfStorm *storm, const GArray *candidates)
{
    guint count = 0;

    for (guint i = 0; i < candidates->len; i++) {
        const MfVictim *victim = g_array_index(candidates, MfCandidate, i).victim;

        count += !stood_still(storm, victim) && !victim->unmerged;
    }
    return count;
}

/* What is lost for each second that the domain goes on; its share where it is not counted. */
static guint64
rate_of(const MfVictim *victim, guint64 loss_rate_bytes, guint writers_count)
{
    return victim->rate_bytes.known ? victim->rate_bytes.value
                                    : loss_rate_bytes / MAX(writers_count, 1);
}

/* What is lost a second by now: who was paused since it was measured writes no more. */
static guint64
rate_now_bytes(const MfStorm *storm, const GArray *candidates, guint writers_count)
{
    guint64 rate_bytes = storm->loss_rate_bytes.value;

    for (guint i = 0; i < candidates->len; i++) {
        const MfVictim *victim = g_array_index(candidates, MfCandidate, i).victim;

        if (victim->suspended && !stood_still(storm, victim)) {
            rate_bytes = mf_sub_clamp(rate_bytes,
                                      rate_of(victim, storm->loss_rate_bytes.value, writers_count));
        }
    }
    return rate_bytes;
}

static void
pause_candidate(const MfCandidate *candidate, gint64 now_usec, guint64 left_msec, MfPlan *plan)
{
    mf_storm_act(
        plan, candidate, MF_ACTION_SUSPEND, 0, now_usec,
        mf_reason_new(MF_REASON_SUSPENDED,
                      "it goes on by itself when there is room; virsh resume has it go on at once",
                      "paused as the last resort: memory would have been exhausted in "
                      "%" G_GUINT64_FORMAT " ms (priority %u)",
                      left_msec, candidate->domain->policy->priority));
}

/* Pauses as many as it takes for the rest to have a quarter of the horizon. */
static void
plan_pauses(const MfConfig *config, const MfSnapshot *snapshot, const MfStorm *storm,
            GArray *candidates, MfPlan *plan)
{
    guint64 limit_msec = config->storm_horizon_msec / PAUSE_DIVISOR;
    guint64 left_msec = mf_storm_left_msec(storm).value;
    guint writers_count = count_writers(storm, candidates);
    guint64 rate_bytes = rate_now_bytes(storm, candidates, writers_count);
    gint64 now_usec = snapshot->taken_usec;

    /* What the last pause has brought shows only in an interval that began after it. */
    if (storm->begun_usec < storm->acted_usec && left_msec > AT_ONCE_MSEC) {
        return;
    }
    for (guint i = 0; i < candidates->len; i++) {
        const MfCandidate *candidate = &g_array_index(candidates, MfCandidate, i);
        MfVictim *victim = candidate->victim;
        guint64 share_bytes = rate_of(victim, storm->loss_rate_bytes.value, writers_count);

        if (rate_bytes == 0 ||
            mf_mul_div(storm->headroom_bytes.value, 1000, rate_bytes) >= limit_msec) {
            return;
        }
        /* To pause one that writes nothing would bring nothing, nor would it with one that memfold
         * un-merges: QEMU and the kernel go on with that, and answer nobody meanwhile. */
        if (victim->suspended || victim->unmerged ||
            (victim->rate_bytes.known && victim->rate_bytes.value == 0)) {
            continue;
        }
        if (mf_storm_may_be_asked(&victim->calling, now_usec)) {
            pause_candidate(candidate, now_usec, left_msec, plan);
        } else if (!victim->pausing || !mf_storm_is_under_way(&victim->calling, now_usec)) {
            continue; /* it can't be paused: the next one has to */
        }
        rate_bytes = mf_sub_clamp(rate_bytes, share_bytes);
    }
}

/* Where memfold does not govern ksmd, or has another reason to stop it, nobody has told it yet. */
static void
tell_storm(const MfConfig *config, const MfSnapshot *snapshot, const MfStorm *storm, MfPlan *plan)
{
    for (guint i = 0; i < plan->host_reasons->len; i++) {
        const MfReason *reason = g_ptr_array_index(plan->host_reasons, i);
        if (reason->code == MF_REASON_STORM) {
            return;
        }
    }
    if (storm->raging) {
        g_ptr_array_insert(plan->host_reasons, 0,
                           mf_storm_reason(config, snapshot, storm, plan->governs));
    }
}

void
mf_storm_decide(const MfConfig *config, const MfSnapshot *snapshot, MfStorm *storm, MfPlan *plan)
{
    g_autoptr(GArray) candidates = candidates_of(snapshot, storm, plan);

    mf_storm_plan_unmerging(snapshot, plan, storm);
    tell_storm(config, snapshot, storm, plan);
    tell_given(candidates);
    mf_storm_plan_resumption(snapshot, storm, candidates, plan);
    mf_storm_plan_deflation(snapshot, storm, candidates, plan);
    if (!storm->raging || storm->calm_usec != 0 || !storm->loss_rate_bytes.known ||
        !storm->headroom_bytes.known) {
        return;
    }
    if (config->storm_suspend) {
        plan_pauses(config, snapshot, storm, candidates, plan);
    }
    if (config->storm_reclaim) {
        plan_reclaim(config, snapshot, storm, candidates, plan);
    }
    if (config->storm_balloon) {
        mf_storm_plan_balloons(snapshot, storm, candidates, plan);
    }
}

/* A call has ended, whatever has come of it. */
static void
note_called(MfStorm *storm, MfVictim *victim, gboolean succeeded, gint64 now_usec)
{
    if (victim->emptying) {
        storm->emptied_usec = now_usec;
    }
    if (victim->filling_bytes > 0 && !succeeded) {
        victim->relieved = FALSE; /* it may be asked again */
    }
    victim->pausing = FALSE;
    victim->emptying = FALSE;
    victim->filling_bytes = 0;
}

/* What comes of success. */
static void
note_success(MfStorm *storm, MfVictim *victim, MfActionKind kind, gint64 now_usec)
{
    if (kind == MF_ACTION_SUSPEND || kind == MF_ACTION_RESUME) {
        victim->suspended = kind == MF_ACTION_SUSPEND;
        victim->paused_usec = now_usec;
        storm->acted_usec = now_usec;
    }
}

/* What it was asked for and has not given is still there. */
static void
note_reclaimed(MfVictim *victim, guint64 given_bytes)
{
    guint64 missing_bytes = mf_sub_clamp(victim->asked_bytes, given_bytes);

    victim->reclaimed_bytes = mf_sub_clamp(victim->reclaimed_bytes, missing_bytes);
    victim->given_bytes = mf_sub_clamp(victim->given_bytes, missing_bytes);
    victim->asked_bytes = 0;
}

/* When it may be asked again. */
static void
note_outcome(MfRetry *retry, gboolean succeeded, gint64 now_usec)
{
    if (succeeded) {
        retry->failures_count = 0;
        return;
    }
    retry->failures_count++;
    retry->not_before_usec =
        now_usec + MIN(RETRY_FIRST_USEC << MIN(retry->failures_count - 1, 8), RETRY_LAST_USEC);
}

void
mf_storm_done(MfStorm *storm, MfActionKind kind, const char *uuid, gboolean succeeded,
              guint64 given_bytes, gint64 now_usec)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);
    MfErrand *errand = NULL;
    gboolean gave = FALSE;

    if (victim == NULL) {
        return;
    }
    errand = kind == MF_ACTION_RECLAIM ? &victim->swapping : &victim->calling;
    errand->busy = FALSE;
    if (kind == MF_ACTION_RECLAIM) {
        note_reclaimed(victim, given_bytes);
    } else {
        note_called(storm, victim, succeeded, now_usec);
    }
    gave = succeeded || (kind == MF_ACTION_RECLAIM && given_bytes > 0);
    note_outcome(kind == MF_ACTION_BALLOON ? &victim->balloon_retry : &errand->retry, gave,
                 now_usec);
    if (gave) {
        note_success(storm, victim, kind, now_usec);
    }
}

void
mf_storm_owe(MfStorm *storm, const char *uuid, gboolean suspended, const MfBalloon *balloon)
{
    MfVictim *victim = mf_storm_victim(storm, uuid);

    victim->suspended = suspended;
    victim->balloon = balloon != NULL ? *balloon : (MfBalloon){0};
}

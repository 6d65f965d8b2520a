/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Balloons in a storm: whose is filled, what comes of it, and when it is emptied again. */
#include "mf-storm-private.h"

#include "mf-units.h"

#define BALLOON_DIVISOR 2 /* of what a domain holds: more is not taken by a balloon */
#define LOOK_USEC       G_USEC_PER_SEC
#define KIB             1024
#define RETURN_USEC     (60 * G_USEC_PER_SEC) /* nobody waits longer for what is given back */
#define NO_DRIVER                                                                                  \
    "load virtio_balloon in the guest; without it set balloon=false under [storm] in memfold.conf"

/* What balloons are emptied now. */
typedef struct {
    gboolean settled;        /* it shows what the last one takes, and the next one may follow */
    guint64 returning_bytes; /* still to be given back by them */
} Emptying;

/* Neither a call of the domain's nor a wait after one that failed is in the way. */
static gboolean
can_be_asked(const MfVictim *victim, gint64 now_usec)
{
    return mf_storm_may_be_asked(&victim->calling, now_usec) &&
           now_usec >= victim->balloon_retry.not_before_usec;
}

/* It was asked, and may still give more. */
static gboolean
is_taking(const MfVictim *victim, gint64 now_usec)
{
    return victim->balloon.before_bytes > 0 && !mf_balloon_is_foreign(&victim->balloon) &&
           !mf_balloon_is_returning(&victim->balloon) &&
           now_usec - victim->balloon_usec <= MF_STORM_OVERDUE_USEC;
}

static gboolean
gives_nothing(const MfVictim *victim, gint64 now_usec)
{
    return victim->balloon.before_bytes > 0 && victim->balloon.now_bytes > 0 &&
           now_usec - victim->balloon_usec > MF_STORM_OVERDUE_USEC &&
           mf_balloon_wanted_bytes(&victim->balloon) >= MF_STORM_RELIEF_MIN_BYTES &&
           mf_balloon_given_bytes(&victim->balloon) < MF_STORM_RELIEF_MIN_BYTES;
}

char *
mf_storm_balloon_trouble(const MfStorm *storm, const char *uuid, gint64 now_usec)
{
    const MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    if (victim == NULL || !gives_nothing(victim, now_usec) ||
        mf_balloon_is_foreign(&victim->balloon)) {
        return NULL;
    }
    g_autofree char *wanted = mf_format_bytes(mf_balloon_wanted_bytes(&victim->balloon));
    return g_strdup_printf("its balloon was asked for %s and has given nothing", wanted);
}

static MfReason *
balloon_reason(const MfStorm *storm, const MfCandidate *candidate, const Emptying *emptying,
               gint64 now_usec)
{
    const MfBalloon *balloon = &candidate->victim->balloon;
    guint64 given_bytes = mf_balloon_given_bytes(balloon);
    g_autofree char *given = mf_format_bytes(given_bytes);
    g_autofree char *wanted = mf_format_bytes(mf_balloon_wanted_bytes(balloon));
    g_autofree char *now = mf_format_bytes(balloon->now_bytes);
    g_autofree char *trouble = mf_storm_balloon_trouble(storm, candidate->domain->uuid, now_usec);

    if (mf_balloon_is_foreign(balloon)) {
        g_autofree char *remedy =
            g_strdup_printf("virsh setmem %s %" G_GUINT64_FORMAT " --live gives it what it had",
                            candidate->domain->name, balloon->before_bytes / KIB);
        return mf_reason_new(MF_REASON_GIVES_WAY, remedy,
                             "somebody else has set its balloon since memfold asked for %s: it "
                             "stays at %s",
                             wanted, now);
    }
    if (mf_balloon_is_in_doubt(balloon)) {
        return mf_reason_new(MF_REASON_GIVES_WAY, NULL,
                             "its balloon was asked for %s, and leaves it %s, which memfold did "
                             "not ask for: whether somebody else has set it shows within half a "
                             "minute",
                             wanted, now);
    }
    if (candidate->victim->emptying) {
        return mf_reason_new(MF_REASON_GIVES_WAY, NULL,
                             "its balloon is told to give back what it took");
    }
    if (trouble != NULL) {
        return mf_reason_new(MF_REASON_GIVES_WAY, NO_DRIVER, "%s", trouble);
    }
    if (mf_balloon_is_returning(balloon)) {
        return mf_reason_new(MF_REASON_GIVES_WAY, NULL,
                             "its balloon gives back what it took in a storm, %s are still missing",
                             given);
    }
    if (storm->raging || !storm->headroom_bytes.known) {
        return mf_reason_new(MF_REASON_GIVES_WAY, MF_STORM_GIVES_WAY_REMEDY,
                             "its balloon has taken %s of %s that it was asked for (priority %u)",
                             given, wanted, candidate->domain->policy->priority);
    }
    guint64 room_bytes = mf_storm_room_bytes(mf_add_sat(given_bytes, emptying->returning_bytes));
    if (!emptying->settled && storm->headroom_bytes.value >= room_bytes) {
        return mf_reason_new(MF_REASON_GIVES_WAY, NULL,
                             "its balloon has taken %s, and gives them back when it shows what "
                             "another one takes that went on",
                             given);
    }
    g_autofree char *room = mf_format_bytes(room_bytes);
    g_autofree char *have = mf_format_bytes(storm->headroom_bytes.value);
    return mf_reason_new(
        MF_REASON_GIVES_WAY, "add swap, stop or migrate a domain",
        "its balloon has taken %s, and gives them back when %s are at hand: %s are", given, room,
        have);
}

static void
tell(const MfStorm *storm, const MfCandidate *candidate, const Emptying *emptying, gint64 now_usec)
{
    if (candidate->victim->balloon.before_bytes > 0) {
        mf_verdict_tell_first(candidate->verdict,
                              balloon_reason(storm, candidate, emptying, now_usec));
    }
}

void
mf_storm_plan_balloons(const MfSnapshot *snapshot, const MfStorm *storm, const GArray *candidates,
                       MfPlan *plan)
{
    gint64 now_usec = snapshot->taken_usec;
    guint64 wanted_bytes = mf_sub_clamp(storm->expected_bytes, storm->headroom_bytes.value);

    for (guint i = 0; i < candidates->len && wanted_bytes >= MF_STORM_RELIEF_MIN_BYTES; i++) {
        const MfCandidate *candidate = &g_array_index(candidates, MfCandidate, i);
        MfVictim *victim = candidate->victim;

        if (victim->filling_bytes > 0 && mf_storm_is_under_way(&victim->calling, now_usec)) {
            wanted_bytes = mf_sub_clamp(wanted_bytes, victim->filling_bytes);
            continue;
        }
        if (is_taking(victim, now_usec)) {
            /* What is still to come of it need not come from others. */
            wanted_bytes =
                mf_sub_clamp(wanted_bytes, mf_sub_clamp(mf_balloon_wanted_bytes(&victim->balloon),
                                                        mf_balloon_given_bytes(&victim->balloon)));
            continue;
        }
        if (victim->relieved || victim->suspended || victim->unmerged ||
            mf_balloon_is_in_doubt(&victim->balloon) || !candidate->domain->resident_bytes.known ||
            !can_be_asked(victim, now_usec)) {
            continue;
        }
        guint64 bytes =
            MIN(candidate->domain->resident_bytes.value / BALLOON_DIVISOR, wanted_bytes);
        if (bytes < MF_STORM_RELIEF_MIN_BYTES) {
            continue; /* it merges nothing; and 0 would mean to give all back */
        }
        g_autofree char *text = mf_format_bytes(bytes);
        victim->relieved = TRUE;
        wanted_bytes -= bytes;
        mf_storm_act(plan, candidate, MF_ACTION_BALLOON, bytes, now_usec,
                     mf_reason_new(MF_REASON_GIVES_WAY, MF_STORM_GIVES_WAY_REMEDY,
                                   "in a storm, its balloon takes up to %s (priority %u)", text,
                                   candidate->domain->policy->priority));
    }
}

/* What is still to be given back, or to be left to somebody else's will. */
static gboolean
may_be_emptied(const MfStorm *storm, const MfVictim *victim, const Emptying *emptying,
               gint64 now_usec)
{
    const MfBalloon *balloon = &victim->balloon;

    /* Until it was looked at, and for long enough, nobody knows whose it is. */
    if (balloon->before_bytes == 0 || balloon->now_bytes == 0 || mf_balloon_is_in_doubt(balloon) ||
        !can_be_asked(victim, now_usec)) {
        return FALSE;
    }
    if (mf_balloon_is_returning(balloon)) {
        return now_usec - victim->balloon_usec > RETURN_USEC;
    }
    return mf_balloon_is_foreign(balloon) ||
           (emptying->settled &&
            mf_storm_is_room_for(storm, MF_U64(mf_add_sat(mf_balloon_given_bytes(balloon),
                                                          emptying->returning_bytes))));
}

static MfReason *
emptying_reason(const MfStorm *storm, const MfCandidate *candidate, const Emptying *emptying,
                gint64 now_usec)
{
    const MfBalloon *balloon = &candidate->victim->balloon;

    if (mf_balloon_is_foreign(balloon)) {
        return balloon_reason(storm, candidate, emptying, now_usec);
    }
    return mf_reason_new(MF_REASON_GIVES_WAY, NULL, "%s",
                         mf_balloon_is_returning(balloon)
                             ? "its balloon was told to give back all, which it does no more"
                             : "the storm is over: its balloon gives back what it took");
}

static Emptying
emptying_of(const MfStorm *storm, const GArray *candidates, gint64 now_usec)
{
    Emptying emptying = {
        .settled = now_usec - MAX(storm->emptied_usec, storm->acted_usec) >= MF_STORM_SETTLE_USEC,
    };

    for (guint i = 0; i < candidates->len; i++) {
        const MfVictim *victim = g_array_index(candidates, MfCandidate, i).victim;

        if (victim->emptying && mf_storm_is_under_way(&victim->calling, now_usec)) {
            emptying.settled = FALSE;
        }
        if (victim->emptying || mf_balloon_is_returning(&victim->balloon)) {
            emptying.returning_bytes =
                mf_add_sat(emptying.returning_bytes, mf_balloon_given_bytes(&victim->balloon));
        }
    }
    return emptying;
}

/* After the paused ones have gone on, the highest first, one at a time: what that takes shows
 * before the next one.  One that is somebody else's by now needs no room. */
void
mf_storm_plan_deflation(const MfSnapshot *snapshot, const MfStorm *storm, const GArray *candidates,
                        MfPlan *plan)
{
    gboolean may = !storm->raging && !mf_storm_has_suspended(storm);
    Emptying emptying = emptying_of(storm, candidates, snapshot->taken_usec);

    for (guint i = candidates->len; i > 0; i--) {
        const MfCandidate *candidate = &g_array_index(candidates, MfCandidate, i - 1);

        if (!may || !may_be_emptied(storm, candidate->victim, &emptying, snapshot->taken_usec)) {
            tell(storm, candidate, &emptying, snapshot->taken_usec);
            continue;
        }
        mf_storm_act(plan, candidate, MF_ACTION_BALLOON, 0, snapshot->taken_usec,
                     emptying_reason(storm, candidate, &emptying, snapshot->taken_usec));
        may = FALSE;
    }
}

const char *
mf_storm_next_look(MfStorm *storm, gint64 now_usec)
{
    GHashTableIter iter;
    gpointer uuid;
    gpointer value;

    g_hash_table_iter_init(&iter, storm->victims);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        MfVictim *victim = value;
        if (victim->balloon.before_bytes > 0 && !victim->calling.busy && !victim->looking &&
            now_usec - victim->looked_usec >= LOOK_USEC) {
            victim->looking = TRUE;
            victim->looked_usec = now_usec;
            return uuid;
        }
    }
    return NULL;
}

void
mf_storm_looked(MfStorm *storm, const char *uuid, const MfBalloon *balloon)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    if (victim == NULL) {
        return;
    }
    victim->looking = FALSE;
    /* While it is being asked for something else, the answer to that is newer. */
    if (balloon != NULL && !victim->calling.busy && victim->balloon.before_bytes > 0) {
        victim->balloon = *balloon;
    }
}

void
mf_storm_set_balloon(MfStorm *storm, const char *uuid, const MfBalloon *balloon, gint64 now_usec)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    if (victim != NULL) {
        victim->balloon = *balloon;
        victim->balloon_usec = now_usec;
    }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Those that memfold paused in a storm: when they go on, and what is missing until then. */
#include "mf-storm-private.h"

#include "mf-units.h"

#define MIB      (G_GUINT64_CONSTANT(1) << 20)
#define ROOM_NUM 5 /* a domain goes on when there is so much more than it may take */
#define ROOM_DEN 4
#define MIGRATE_ONE                                                                                \
    "migrate one that runs (a paused one stays paused where it goes: virsh resume there)"

/* Rounded up, so that it is enough. */
static guint64
whole_mib(guint64 bytes)
{
    return bytes / MIB + (bytes % MIB > 0);
}

/* What the host may have to give when this domain writes to all of its merged memory. */
static MfU64
need_of(const MfDomain *domain, const MfHost *host)
{
    if (domain->merged_bytes.known) {
        return MF_U64(mf_add_sat(domain->merged_bytes.value,
                                 domain->zero_bytes.known ? domain->zero_bytes.value : 0));
    }
    return host->saved_bytes;
}

guint64
mf_storm_room_bytes(guint64 need_bytes)
{
    return mf_mul_div(need_bytes, ROOM_NUM, ROOM_DEN);
}

gboolean
mf_storm_is_room_for(const MfStorm *storm, MfU64 need)
{
    return need.known && storm->headroom_bytes.known &&
           storm->headroom_bytes.value >= mf_storm_room_bytes(need.value);
}

/* What is missing for the domain to go on; 0: nothing, or not known. */
static guint64
missing_bytes(const MfStorm *storm, MfU64 need)
{
    return need.known && storm->headroom_bytes.known
               ? mf_sub_clamp(mf_storm_room_bytes(need.value), storm->headroom_bytes.value)
               : 0;
}

/* Those that are paused, for what is told of the host. */
typedef struct {
    const MfDomain *next;    /* the first to go on; NULL: nobody waits for room */
    const MfDomain *least;   /* of those that wait for room, who lacks least */
    guint64 least_bytes;     /* so much */
    guint waiting_count;     /* for room */
    const MfDomain *failing; /* the first that has room and does not go on */
    guint failing_count;
} Paused;

/* It can't be made to go on just now, and others need not wait for that. */
static gboolean
fails_to_go_on(const MfErrand *calling, gint64 now_usec)
{
    return calling->busy
               ? now_usec - calling->busy_usec > MF_STORM_OVERDUE_USEC
               : calling->retry.failures_count > 0 && now_usec < calling->retry.not_before_usec;
}

/* Tells of one that has room. */
static MfReason *
going_reason(const MfErrand *calling, const char *name, const char *have_text,
             const char *need_text, gint64 now_usec)
{
    g_autofree char *resume = g_strdup_printf("virsh resume %s says what is wrong with it", name);

    if (!fails_to_go_on(calling, now_usec)) {
        return mf_reason_new(MF_REASON_SUSPENDED, NULL,
                             "the storm is over: %s are at hand, and it may take %s: it goes on",
                             have_text, need_text);
    }
    if (calling->busy) {
        return mf_reason_new(
            MF_REASON_SUSPENDED, resume,
            "paused by memfold; there is room for it, and libvirt has not answered "
            "for %" G_GINT64_FORMAT " s: others go on meanwhile",
            (now_usec - calling->busy_usec) / G_USEC_PER_SEC);
    }
    return mf_reason_new(MF_REASON_SUSPENDED, resume,
                         "paused by memfold; there is room for it, and having it go on has failed "
                         "(%u in a row): it is tried again, and others go on meanwhile",
                         calling->retry.failures_count);
}

/* Tells why the domain is still paused, or goes on. */
static MfReason *
resume_reason(const MfStorm *storm, const MfCandidate *candidate, MfU64 need, gint64 now_usec)
{
    const char *name = candidate->domain->name;
    g_autofree char *resume = g_strdup_printf("virsh resume %s has it go on at once", name);
    g_autofree char *need_text = mf_format_bytes(mf_storm_room_bytes(need.value));
    g_autofree char *have_text = mf_format_bytes(storm->headroom_bytes.value);

    if (storm->raging) {
        return mf_reason_new(MF_REASON_SUSPENDED, resume,
                             "paused by memfold until the storm is over and there is room for it");
    }
    if (!need.known || !storm->headroom_bytes.known) {
        return mf_reason_new(MF_REASON_SUSPENDED, resume,
                             "paused by memfold; whether there is room for it is not known");
    }
    if (mf_storm_is_room_for(storm, need)) {
        return going_reason(&candidate->victim->calling, name, have_text, need_text, now_usec);
    }
    g_autofree char *remedy =
        g_strdup_printf("add %" G_GUINT64_FORMAT " MiB of swap, or stop a domain, or " MIGRATE_ONE
                        "; %s, at your own risk",
                        whole_mib(missing_bytes(storm, need)), resume);
    return mf_reason_new(MF_REASON_SUSPENDED, remedy,
                         "paused by memfold until there is room for what it may write: %s, and %s "
                         "are at hand",
                         need_text, have_text);
}

/* What "least" adds to that; free with g_free(). */
static char *
describe_least(const Paused *paused)
{
    g_autofree char *text = mf_format_bytes(paused->least_bytes);

    if (paused->next == paused->least) {
        return g_strdup("");
    }
    return paused->least_bytes == 0
               ? g_strdup_printf("; \"%s\" would fit, and waits for it", paused->least->name)
               : g_strdup_printf("; \"%s\" lacks least, %s", paused->least->name, text);
}

/* Who goes on first can't, and nothing changes by itself: what is to be done is told of the host.
 */
static void
tell_stuck(const MfStorm *storm, const Paused *paused, guint64 next_bytes, MfPlan *plan)
{
    g_autofree char *have = mf_format_bytes(storm->headroom_bytes.value);
    g_autofree char *lack = mf_format_bytes(next_bytes);
    g_autofree char *other = describe_least(paused);
    g_autofree char *remedy =
        g_strdup_printf("add %" G_GUINT64_FORMAT
                        " MiB of swap, or end a domain (virsh destroy), or " MIGRATE_ONE "; "
                        "virsh resume %s has that one go on at once, at your own risk",
                        whole_mib(next_bytes), paused->least->name);

    g_ptr_array_insert(plan->host_reasons, 0,
                       mf_reason_new(MF_REASON_SUSPENDED, remedy,
                                     "the storm is over, and what memfold paused waits for room "
                                     "(%u domain%s): %s are at hand, and \"%s\", the first to go "
                                     "on, lacks %s%s",
                                     paused->waiting_count, paused->waiting_count == 1 ? "" : "s",
                                     have, paused->next->name, lack, other));
}

static void
tell_failing(const Paused *paused, MfPlan *plan)
{
    g_autofree char *others = paused->failing_count > 1
                                  ? g_strdup_printf(" (and %u more)", paused->failing_count - 1)
                                  : g_strdup("");
    g_autofree char *remedy =
        g_strdup_printf("virsh resume %s says what is wrong with it", paused->failing->name);

    g_ptr_array_insert(plan->host_reasons, 0,
                       mf_reason_new(MF_REASON_SUSPENDED, remedy,
                                     "the storm is over, and memfold can't have \"%s\"%s go on, "
                                     "which it paused and has room for",
                                     paused->failing->name, others));
}

/* TRUE when those after it have to wait for it. */
static gboolean
count_paused(const MfStorm *storm, const MfCandidate *candidate, MfU64 need, gint64 now_usec,
             Paused *paused)
{
    if (!storm->raging && mf_storm_is_room_for(storm, need) &&
        fails_to_go_on(&candidate->victim->calling, now_usec)) {
        paused->failing = paused->failing != NULL ? paused->failing : candidate->domain;
        paused->failing_count++;
        return FALSE;
    }
    paused->next = paused->next != NULL ? paused->next : candidate->domain;
    paused->waiting_count++;
    if (need.known && missing_bytes(storm, need) < paused->least_bytes) {
        paused->least_bytes = missing_bytes(storm, need);
        paused->least = candidate->domain;
    }
    return TRUE;
}

static void
tell_host(const MfSnapshot *snapshot, const MfStorm *storm, const Paused *paused, MfPlan *plan)
{
    if (storm->raging) {
        return;
    }
    if (paused->next != NULL) {
        guint64 next_bytes = missing_bytes(storm, need_of(paused->next, &snapshot->host));
        if (next_bytes > 0) {
            tell_stuck(storm, paused, next_bytes, plan);
        }
    }
    if (paused->failing != NULL) {
        tell_failing(paused, plan);
    }
}

/* One domain goes on at a time, the highest priority first; the next one when it shows what that
 * has taken.  One that can't be made to go on holds up nobody. */
void
mf_storm_plan_resumption(const MfSnapshot *snapshot, const MfStorm *storm, const GArray *candidates,
                         MfPlan *plan)
{
    gint64 now_usec = snapshot->taken_usec;
    gboolean settled = now_usec - storm->acted_usec >= MF_STORM_SETTLE_USEC;
    Paused paused = {.least_bytes = G_MAXUINT64};

    for (guint i = candidates->len; i > 0; i--) {
        const MfCandidate *candidate = &g_array_index(candidates, MfCandidate, i - 1);
        MfU64 need = need_of(candidate->domain, &snapshot->host);

        if (!candidate->victim->suspended) {
            continue;
        }
        gboolean holds_up = count_paused(storm, candidate, need, now_usec, &paused);
        g_autoptr(MfReason) reason = resume_reason(storm, candidate, need, now_usec);
        if (!storm->raging && settled && mf_storm_is_room_for(storm, need) &&
            mf_storm_may_be_asked(&candidate->victim->calling, now_usec)) {
            mf_storm_act(plan, candidate, MF_ACTION_RESUME, 0, now_usec, g_steal_pointer(&reason));
        } else {
            mf_verdict_tell_first(candidate->verdict, g_steal_pointer(&reason));
        }
        settled = settled && !holds_up;
    }
    tell_host(snapshot, storm, &paused, plan);
}

gboolean
mf_storm_begin_check(MfStorm *storm, const char *uuid, gint64 now_usec)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    if (victim == NULL) {
        return FALSE;
    }
    /* What is under way may be the pause that somebody has ended already. */
    victim->missed = victim->calling.busy;
    if (!victim->suspended || victim->calling.busy) {
        return FALSE;
    }
    victim->calling.busy = TRUE;
    victim->calling.busy_usec = now_usec;
    return TRUE;
}

gboolean
mf_storm_missed_check(const MfStorm *storm, const char *uuid)
{
    const MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    return victim != NULL && victim->missed && victim->suspended && !victim->calling.busy;
}

void
mf_storm_checked(MfStorm *storm, const char *uuid, gboolean runs, gint64 now_usec)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    if (victim == NULL) {
        return;
    }
    victim->calling.busy = FALSE;
    if (runs) {
        victim->suspended = FALSE;
        storm->acted_usec = now_usec;
    }
}

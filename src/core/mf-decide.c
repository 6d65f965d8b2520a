/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From policy and state to verdicts; who is switched then is mf-switch.c's, and the host's half
 * mf-governor.c's.
 */
#include "mf-decide.h"

#include "mf-governor.h"
#include "mf-poison.h"
#include "mf-switch.h"
#include "mf-units.h"
#include "mf-why.h"
#include "mf-zero.h"

static void
take_reason(GPtrArray *reasons, MfReason *reason)
{
    if (reasons != NULL) {
        g_ptr_array_add(reasons, reason);
    } else {
        mf_reason_free(reason);
    }
}

/* What stands against merging in the memory itself; FALSE when nothing does. */
static gboolean
memory_cannot_merge(MfMemoryKind kind, GPtrArray *reasons)
{
    if (kind == MF_MEMORY_SHARED || kind == MF_MEMORY_MEMFD) {
        gboolean memfd = kind == MF_MEMORY_MEMFD;
        take_reason(reasons,
                    mf_reason_new(MF_REASON_MEMORY_SHARED,
                                  "remove <access mode='shared'/> and <source type='memfd'/> from "
                                  "<memoryBacking> (virtiofs and vhost-user need them) and start "
                                  "the domain again",
                                  "its RAM is %s, which KSM does not merge",
                                  memfd ? "a memfd (<source type='memfd'/>), which is shared memory"
                                        : "shared memory (access mode 'shared')"));
        return TRUE;
    }
    if (kind == MF_MEMORY_HUGEPAGES) {
        take_reason(reasons,
                    mf_reason_new(MF_REASON_MEMORY_HUGEPAGES,
                                  "remove <hugepages/> from <memoryBacking> and start the domain "
                                  "again; transparent huge pages do merge",
                                  "its RAM is in hugetlb pages, which KSM does not merge"));
        return TRUE;
    }
    if (kind == MF_MEMORY_FILE) {
        take_reason(reasons, mf_reason_new(MF_REASON_MEMORY_FILE, NULL,
                                           "its RAM is a private mapping of a file: only pages "
                                           "that the guest has written can merge"));
    }
    return FALSE;
}

/* The group that the domain is to be kept in; NULL when it may merge with everyone. */
static const char *
group_of(const MfConfig *config, const MfPolicy *policy)
{
    const char *group = mf_config_group_of(config, policy);

    return g_str_equal(group, MF_GROUP_SHARED) ? NULL : group;
}

static MfReason *
group_unenforced(const MfPolicy *policy, const char *group)
{
    const char *remedy = "set group=\"shared\" in its policy (it then merges with every domain of "
                         "that group), or default-group=shared in memfold.conf, or run a kernel "
                         "with merge groups";

    if (policy->group == NULL) {
        return mf_reason_new(MF_REASON_GROUP_UNENFORCED, remedy,
                             "it names no group, and default-group=isolated keeps it apart, which "
                             "this host can't do while merging: not merged");
    }
    return mf_reason_new(MF_REASON_GROUP_UNENFORCED, remedy,
                         "this host can't keep group \"%s\" apart while merging: not merged",
                         group);
}

MfMode
mf_decide_mode(const MfConfig *config, const MfPolicy *policy, gboolean nosharepages,
               MfMemoryKind memory_kind, gboolean group_enforced, GPtrArray *reasons)
{
    const char *group = group_of(config, policy);

    if (nosharepages) {
        take_reason(reasons, mf_reason_new(MF_REASON_NOSHAREPAGES,
                                           "remove <nosharepages/> from <memoryBacking> and start "
                                           "the domain again",
                                           "its XML has <nosharepages/>, which always wins"));
        return MF_MODE_OFF;
    }

    /* Firmware, ROMs and video RAM are private even where the RAM is not: who must not merge is
     * switched off all the same. */
    gboolean cannot_merge = memory_cannot_merge(memory_kind, reasons);
    if (policy->merge == MF_MERGE_OFF) {
        take_reason(reasons, mf_reason_new(MF_REASON_POLICY, NULL, "policy merge=off"));
        return MF_MODE_OFF;
    }
    if (group != NULL && !group_enforced) {
        take_reason(reasons, group_unenforced(policy, group));
        return MF_MODE_OFF;
    }
    if (policy->merge == MF_MERGE_ZERO) {
        take_reason(reasons,
                    mf_reason_new(MF_REASON_ZERO_UNSUPPORTED, "set merge=\"on\" or merge=\"off\"",
                                  "policy merge=zero: this host can't merge pages of zeroes "
                                  "alone: not merged"));
        return MF_MODE_OFF;
    }
    if (cannot_merge) {
        return MF_MODE_UNKNOWN;
    }
    if (memory_kind == MF_MEMORY_UNKNOWN) {
        /* <nosharepages/> may stand in what could not be read. */
        take_reason(reasons, mf_reason_new(MF_REASON_MODE_UNKNOWN, NULL,
                                           "its XML could not be read, and may forbid merging: "
                                           "left as it is"));
        return MF_MODE_UNKNOWN;
    }
    if (policy->merge == MF_MERGE_FREEZE) {
        take_reason(reasons, mf_reason_new(MF_REASON_POLICY, NULL,
                                           "policy merge=freeze: merged pages stay, no more are "
                                           "merged"));
        return MF_MODE_FROZEN;
    }
    take_reason(reasons, mf_reason_new(MF_REASON_POLICY, NULL, "policy %s: merged",
                                       policy->merge == MF_MERGE_ON ? "merge=on" : "auto"));
    return MF_MODE_ON;
}

/* Whether what the kernel says of the domain's memory agrees already with what can't be switched.
 */
static gboolean
marked_as_wanted(const MfDomain *domain, MfMode want)
{
    return domain->mode == want || (domain->mergeable_bytes.known &&
                                    ((want == MF_MODE_OFF && domain->mergeable_bytes.value == 0) ||
                                     (want == MF_MODE_ON && domain->mergeable_bytes.value > 0)));
}

static MfReason *
switch_unsupported(MfMode want)
{
    const char *remedy = want == MF_MODE_OFF
                             ? "add <nosharepages/> to its <memoryBacking> and start it again, or "
                               "use a QEMU with set-memory-merge"
                             : "remove <nosharepages/> and mem-merge=off and start it again, or "
                               "use a QEMU with set-memory-merge";

    return mf_reason_new(MF_REASON_SWITCH_UNSUPPORTED, remedy,
                         "its QEMU can't switch merging while it runs");
}

/* Why a domain that can be switched is not as it is wanted, yet. */
static void
tell_state_of_switch(const MfDomain *domain, MfVerdict *verdict)
{
    gboolean known = (domain->caps & MF_CAP_PROBED) && domain->mode != MF_MODE_UNKNOWN;

    if (!known) {
        mf_verdict_tell_first(
            verdict, mf_reason_new(MF_REASON_MODE_UNKNOWN, NULL,
                                   "QEMU has not said whether its memory is merged: nothing is "
                                   "switched%s%s",
                                   domain->switch_error != NULL ? ": " : "",
                                   domain->switch_error != NULL ? domain->switch_error : ""));
    } else if (domain->switch_error != NULL) {
        mf_verdict_tell_first(verdict,
                              mf_reason_new(MF_REASON_SWITCH_FAILED, NULL,
                                            "QEMU's last answer failed, it is asked again: %s",
                                            domain->switch_error));
    } else if (domain->switching && domain->mode != verdict->want) {
        mf_verdict_tell_first(verdict, mf_reason_new(MF_REASON_WAITING, NULL,
                                                     "it is being switched from %s to %s",
                                                     mf_mode_to_string(domain->mode),
                                                     mf_mode_to_string(verdict->want)));
    }
}

/* A memory backend's property does not reach firmware, ROMs and video RAM.  What is still marked of
 * a domain that is off is told, so that "off" promises no more than it does. */
static void
tell_what_stays_marked(const MfDomain *domain, MfVerdict *verdict)
{
    if (verdict->want == MF_MODE_OFF && domain->mode == MF_MODE_OFF &&
        (domain->caps & MF_CAPS_SWITCH) == MF_CAP_BACKEND_MERGE && domain->mergeable_bytes.known &&
        domain->mergeable_bytes.value > 0) {
        g_autofree char *left_text = mf_format_bytes(domain->mergeable_bytes.value);
        take_reason(verdict->reasons,
                    mf_reason_new(MF_REASON_SWITCH_UNSUPPORTED,
                                  "add <nosharepages/> to its <memoryBacking> and start it again, "
                                  "or use a QEMU with set-memory-merge",
                                  "firmware, ROMs and video RAM (%s) still merge: its QEMU can "
                                  "switch only its RAM",
                                  left_text));
    }
}

/* merge=auto: what does not pay is not merged for a while. */
static void
mind_worth(const MfMemory *memory, const MfDomain *domain, gint64 now_usec, MfVerdict *verdict)
{
    MfReason *reason = NULL;

    if (verdict->want == MF_MODE_ON && (domain->caps & MF_CAPS_SWITCH) &&
        mf_trials_stopped(&memory->trials, domain, now_usec, &reason)) {
        verdict->want = domain->caps & MF_CAP_FREEZE ? MF_MODE_FROZEN : MF_MODE_OFF;
        g_ptr_array_set_size(verdict->reasons, 0); /* "policy auto: merged" */
        take_reason(verdict->reasons, reason);
    }
}

static void
tell_refused(const MfDomain *domain, MfVerdict *verdict)
{
    const char *what =
        domain->is_unread ? "its description could not be read" : "its policy is refused";
    const char *remedy = domain->is_unread ? "see whether virsh dumpxml tells of it"
                                           : "correct it with virsh metadata or memfold set";

    mf_verdict_tell_first(verdict,
                          mf_reason_new(MF_REASON_POLICY_INVALID, remedy,
                                        "%s, the default applies: %s", what, domain->policy_error));
}

static MfVerdict *
judge(const MfConfig *config, const MfSnapshot *snapshot, const MfMemory *memory,
      const MfDomain *domain)
{
    MfVerdict *verdict = mf_verdict_new(domain->uuid);
    gboolean has_groups = snapshot->host.has_groups;
    gboolean probed = (domain->caps & MF_CAP_PROBED) != 0;

    verdict->want =
        mf_decide_mode(config, domain->policy, domain->nosharepages, domain->memory_kind,
                       has_groups || (domain->caps & MF_CAP_GROUP) != 0, verdict->reasons);
    mf_zero_judge(domain, verdict);
    mind_worth(memory, domain, snapshot->taken_usec, verdict);
    if (has_groups) {
        mf_groups_judge(config, &memory->groups, domain, verdict);
    }
    if (domain->policy_error != NULL) {
        tell_refused(domain, verdict);
    }
    if (verdict->want == MF_MODE_FROZEN && probed && !(domain->caps & MF_CAP_FREEZE)) {
        verdict->want = MF_MODE_UNKNOWN;
        mf_verdict_tell_first(
            verdict, mf_reason_new(MF_REASON_FREEZE_UNSUPPORTED,
                                   "set merge=\"off\", or run a kernel and QEMU that can freeze",
                                   "this host can't freeze: merging is left as it is (%s)",
                                   mf_mode_to_string(domain->mode)));
    }
    if (verdict->want == MF_MODE_UNKNOWN) {
        return verdict;
    }
    if (probed && !(domain->caps & MF_CAPS_SWITCH)) {
        if (!marked_as_wanted(domain, verdict->want)) {
            mf_verdict_tell_first(verdict, switch_unsupported(verdict->want));
        }
    } else {
        tell_state_of_switch(domain, verdict);
        tell_what_stays_marked(domain, verdict);
    }
    return verdict;
}

/* Whether ksmd has work with this domain. */
static gboolean
should_and_can_merge(const MfDomain *domain, const MfVerdict *verdict)
{
    gboolean stuck = (domain->caps & MF_CAP_PROBED) && !(domain->caps & MF_CAPS_SWITCH);

    return verdict->want == MF_MODE_ON &&
           !(stuck && domain->mergeable_bytes.known && domain->mergeable_bytes.value == 0);
}

MfPlan *
mf_decide(const MfConfig *config, const MfSnapshot *snapshot, MfMemory *memory)
{
    MfPlan *plan = mf_plan_new();
    gboolean fresh = mf_governor_measure(snapshot, memory);
    g_autoptr(GPtrArray) merging = g_ptr_array_new();

    mf_groups_note(config, snapshot, &memory->groups);
    mf_trials_note(config, snapshot, &memory->trials);
    mf_storm_note(config, snapshot, &memory->storm);
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        MfVerdict *verdict = judge(config, snapshot, memory, domain);
        g_ptr_array_add(plan->verdicts, verdict);
        if (should_and_can_merge(domain, verdict)) {
            g_ptr_array_add(merging, (gpointer)domain);
        }
    }

    /* Groups and off come before on, and all before ksmd moves: who must not merge is out of its
     * way.  In a storm nobody takes memory that can wait. */
    MfU64 headroom = mf_switch_headroom(config, snapshot);
    mf_groups_decide(config, snapshot, &memory->groups, &headroom, memory->storm.raging, plan);
    mf_zero_decide(snapshot, plan);
    if (memory->storm.raging) {
        mf_switch_hold_off(snapshot, plan);
    } else {
        mf_switch_off(config, snapshot, headroom, plan);
    }
    mf_switch_rest(snapshot, plan);
    mf_governor_decide(config, snapshot, memory, merging, fresh, plan);
    mf_storm_decide(config, snapshot, &memory->storm, plan);
    mf_watch_note(snapshot, &memory->watch);
    mf_why_tell(snapshot, &memory->watch, plan);
    mf_poison_tell(&snapshot->host, plan);
    return plan;
}

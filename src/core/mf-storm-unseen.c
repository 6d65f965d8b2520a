/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What KSM's counters call saved and is not any more, until ksmd comes by. */
#include "mf-storm-private.h"

#include "mf-units.h"

static MfU64
shared_bytes(const MfHost *host)
{
    guint64 zero_pages = host->zero_pages.known ? host->zero_pages.value : 0;

    return host->saved_bytes.known
               ? MF_U64(mf_sub_clamp(host->saved_bytes.value,
                                     mf_mul_sat(zero_pages, host->page_size_bytes)))
               : MF_U64_ABSENT;
}

void
mf_unseen_note(MfUnseen *unseen, const MfHost *host, guint64 written_bytes)
{
    MfU64 shared = shared_bytes(host);
    guint64 dropped_bytes = unseen->shared_bytes.known && shared.known
                                ? mf_sub_clamp(unseen->shared_bytes.value, shared.value)
                                : 0;

    if (host->full_scans_count.known) {
        guint64 ended_count = unseen->scans_count.known ? mf_sub_clamp(host->full_scans_count.value,
                                                                       unseen->scans_count.value)
                                                        : 0;
        if (ended_count > 0) {
            unseen->old_bytes = ended_count > 1 ? 0 : unseen->new_bytes;
            unseen->new_bytes = 0;
        }
        unseen->scans_count = host->full_scans_count;
    }
    unseen->new_bytes = mf_add_sat(unseen->new_bytes, written_bytes);
    guint64 old_bytes = MIN(unseen->old_bytes, dropped_bytes);
    unseen->old_bytes -= old_bytes;
    unseen->new_bytes = mf_sub_clamp(unseen->new_bytes, dropped_bytes - old_bytes);
    if (shared.known) {
        unseen->shared_bytes = shared;
    }
}

MfCover
mf_storm_cover(const MfStorm *storm, const MfHost *host)
{
    MfUnseen unseen = storm->unseen; /* host may be newer than what was noted last */
    MfHost seen = *host;             /* its texts stay the host's */

    mf_unseen_note(&unseen, host, 0);
    if (host->saved_bytes.known) {
        seen.saved_bytes = MF_U64(
            mf_sub_clamp(host->saved_bytes.value, mf_add_sat(unseen.new_bytes, unseen.old_bytes)));
    }
    return mf_cover_measure(&seen);
}

void
mf_storm_bury(MfStorm *storm, MfVictim *victim)
{
    /* What it may have written since is unseen already. */
    guint64 written_bytes = mf_sub_clamp(storm->broken_bytes, victim->shared_at_bytes);

    if (victim->shared_bytes.known) {
        storm->unseen.new_bytes = mf_add_sat(
            storm->unseen.new_bytes, mf_sub_clamp(victim->shared_bytes.value, written_bytes));
    }
    victim->shared_bytes = MF_U64_ABSENT;
}

void
mf_storm_note_shared(MfStorm *storm, const MfDomain *domain)
{
    MfVictim *victim = mf_storm_victim(storm, domain->uuid);
    gpointer gone_pid = NULL;

    /* The snapshot is older than its end, which is counted. */
    if (g_hash_table_lookup_extended(storm->gone, domain->uuid, NULL, &gone_pid) &&
        GPOINTER_TO_INT(gone_pid) == domain->pid) {
        return;
    }
    if (victim->pid != 0 && domain->pid != 0 && victim->pid != domain->pid) {
        mf_storm_bury(storm, victim);
    }
    victim->pid = domain->pid != 0 ? domain->pid : victim->pid;
    if (!domain->saved_bytes.known) {
        return;
    }
    guint64 shared_bytes = mf_sub_clamp(domain->saved_bytes.value,
                                        domain->zero_bytes.known ? domain->zero_bytes.value : 0);
    /* Zero pages are read at each tick: they make no new accounts. */
    if (!victim->shared_bytes.known || victim->accounts_usec != domain->accounts_usec) {
        victim->accounts_usec = domain->accounts_usec;
        victim->shared_bytes = MF_U64(shared_bytes);
        victim->shared_at_bytes = storm->broken_bytes;
    }
}

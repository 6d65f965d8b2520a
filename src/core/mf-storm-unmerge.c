/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What memfold itself un-merges is no storm.
 *
 * To turn merging off, or to move a domain to another group, has the kernel copy what is merged: it
 * counts as written, and leaves less at hand, like what a guest writes.  But it was planned, and
 * found to fit.  So what it takes is taken off what is written from when it is begun, for as long
 * as it is under way.  What is planned and can't be begun, since libvirt is away or no QEMU may be
 * asked for want of a place, takes nothing, and hides nothing.
 */
#include "mf-storm-private.h"

#include "mf-account.h"
#include "mf-units.h"

/* A second: on a live host somebody always writes something, which tells nothing of a QEMU that
 * un-merges. */
#define LIVELY_BYTES (16 * 1024 * 1024)

static guint64
unmerging_bytes_of_all(const MfStorm *storm)
{
    GHashTableIter iter;
    gpointer value;
    guint64 bytes = 0;

    g_hash_table_iter_init(&iter, storm->victims);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        bytes = mf_add_sat(bytes, ((const MfVictim *)value)->unmerging_bytes);
    }
    return bytes;
}

/* When the interval began, nothing had come of it for long, and there was not the room for it and
 * for as much again: a QEMU that stands still must not hide what guests write, once they do, where
 * that ends the memory.  With room it may only be late: libvirt lets a call wait for others. */
static gboolean
is_given_up(const MfStorm *storm, const MfVictim *victim, guint64 all_bytes)
{
    gboolean has_room = storm->have_bytes.known && storm->have_bytes.value / 2 >= all_bytes;

    return !has_room && storm->taken_usec - MAX(storm->unmerging_usec, victim->unmerging_usec) >
                            MF_STORM_OVERDUE_USEC;
}

guint64
mf_storm_take_unmerged(MfStorm *storm, guint64 written_bytes, gint64 now_usec)
{
    GHashTableIter iter;
    gpointer value;
    guint64 left_bytes = written_bytes;
    guint64 lively_bytes =
        mf_mul_div(LIVELY_BYTES, (guint64)(now_usec - storm->taken_usec), G_USEC_PER_SEC);
    guint64 all_bytes = unmerging_bytes_of_all(storm);

    g_hash_table_iter_init(&iter, storm->victims);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        MfVictim *victim = value;

        if (is_given_up(storm, victim, all_bytes)) {
            victim->unmerging_bytes = 0;
        }
        guint64 bytes = MIN(victim->unmerging_bytes, left_bytes);
        left_bytes -= bytes;
        victim->unmerging_bytes -= bytes;
    }
    if (written_bytes - left_bytes >= lively_bytes) {
        storm->unmerging_usec = now_usec;
    }
    return written_bytes - left_bytes;
}

void
mf_storm_note_unmerging(MfVictim *victim, gboolean under_way)
{
    victim->unmerged = victim->unmerging || victim->unmerging_bytes > 0;
    victim->unmerging = victim->unmerging && under_way;
    victim->unmerging_bytes = victim->unmerging ? victim->unmerging_bytes : 0;
}

/* What the action may write, at most.  A move leaves pages of zeroes as they are. */
static guint64
reserve_bytes(const MfDomain *domain, MfActionKind kind)
{
    if (kind == MF_ACTION_GROUP) {
        MfU64 cost = mf_account_move_cost_bytes(domain);
        return cost.known ? cost.value : 0;
    }
    MfU64 cost = mf_account_unmerge_cost_bytes(domain);
    MfU64 merged = domain->merged_bytes.known ? domain->merged_bytes : domain->saved_bytes;
    guint64 mapped_bytes = mf_add_sat(merged.known ? merged.value : 0,
                                      domain->zero_bytes.known ? domain->zero_bytes.value : 0);
    return MAX(cost.known ? cost.value : 0, mapped_bytes);
}

void
mf_storm_plan_unmerging(const MfSnapshot *snapshot, const MfPlan *plan, MfStorm *storm)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, storm->victims);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        ((MfVictim *)value)->planned_bytes = MF_U64_ABSENT;
    }
    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(plan->actions, i);

        if (action->kind != MF_ACTION_GROUP &&
            !(action->kind == MF_ACTION_DOMAIN_MODE && action->mode == MF_MODE_OFF)) {
            continue;
        }
        const MfDomain *domain = mf_snapshot_find(snapshot, action->uuid);
        MfVictim *victim = mf_storm_victim(storm, action->uuid);
        /* What is moved and switched off is copied once. */
        victim->planned_bytes =
            MF_U64(MAX(victim->planned_bytes.value, reserve_bytes(domain, action->kind)));
    }
}

void
mf_storm_unmerge_begun(MfStorm *storm, const char *uuid, gint64 now_usec)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    if (victim != NULL && victim->planned_bytes.known) {
        victim->unmerging = TRUE;
        victim->unmerging_bytes = MAX(victim->unmerging_bytes, victim->planned_bytes.value);
        victim->unmerging_usec = now_usec;
        victim->planned_bytes = MF_U64_ABSENT; /* what is begun twice by one plan is merged once */
    }
}

void
mf_storm_unmerge_failed(MfStorm *storm, const char *uuid)
{
    MfVictim *victim = g_hash_table_lookup(storm->victims, uuid);

    /* What it came to until then is still to be measured. */
    if (victim != NULL) {
        victim->unmerging = FALSE;
    }
}

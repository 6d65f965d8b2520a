/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mf-switch.h"

#include "mf-account.h"
#include "mf-units.h"

/* Whether a domain is not as it is wanted, and QEMU could change that. */
static gboolean
to_be_switched(const MfDomain *domain, const MfVerdict *verdict)
{
    return verdict->want != MF_MODE_UNKNOWN && domain->mode != MF_MODE_UNKNOWN &&
           domain->mode != verdict->want && (domain->caps & MF_CAPS_SWITCH) != 0;
}

/* What a domain still takes by what is under way, whatever is wanted of it by now: moving it to
 * another group copies what it has merged, too. */
static guint64
taken_bytes(const MfDomain *domain)
{
    guint64 moving_bytes = domain->is_moving ? mf_account_move_cost_bytes(domain).value : 0;
    guint64 unmerging_bytes =
        domain->is_unmerging ? mf_account_unmerge_cost_bytes(domain).value : 0;

    return MAX(moving_bytes, unmerging_bytes);
}

MfU64
mf_switch_headroom(const MfConfig *config, const MfSnapshot *snapshot)
{
    const MfHost *host = &snapshot->host;

    if (!host->mem_available_bytes.known || !host->mem_total_bytes.known) {
        return MF_U64_ABSENT;
    }
    guint64 reserve_bytes =
        mf_mul_div(host->mem_total_bytes.value, config->reserve_permyriad, MF_PERMYRIAD);
    guint64 headroom_bytes = mf_sub_clamp(host->mem_available_bytes.value, reserve_bytes);
    for (guint i = 0; i < snapshot->domains->len; i++) {
        headroom_bytes =
            mf_sub_clamp(headroom_bytes, taken_bytes(g_ptr_array_index(snapshot->domains, i)));
    }
    return MF_U64(headroom_bytes);
}

/* Those that the plan moves to another group, as a set of UUIDs that stay the plan's. */
static GHashTable *
moved_uuids(const MfPlan *plan)
{
    GHashTable *uuids = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(plan->actions, i);
        if (action->kind == MF_ACTION_GROUP) {
            g_hash_table_add(uuids, action->uuid);
        }
    }
    return uuids;
}

/* What is taken off the headroom already for moving the domain: what it has merged is given back
 * once, by the move or by un-merging. */
static guint64
paid_bytes(const MfDomain *domain, GHashTable *moved)
{
    gboolean is_charged = domain->is_moving || (domain->ksm_group_number.known &&
                                                g_hash_table_contains(moved, domain->uuid));

    return is_charged ? mf_account_move_cost_bytes(domain).value : 0;
}

/* Whether the domain, for which paid_bytes are reserved already, can be un-merged now; else the
 * verdict is told why not. */
static gboolean
unmerge_fits(const MfConfig *config, MfU64 cost, guint64 paid_bytes, MfU64 headroom,
             MfVerdict *verdict)
{
    if (!cost.known) {
        mf_verdict_tell_first(verdict, mf_reason_new(MF_REASON_NO_HEADROOM, NULL,
                                                     "what un-merging it takes is not known: it "
                                                     "is left as it is until it is"));
        return FALSE;
    }
    guint64 needed_bytes = mf_sub_clamp(cost.value, paid_bytes);
    if (needed_bytes == 0) {
        return TRUE;
    }
    g_autofree char *cost_text = mf_format_bytes(cost.value);
    if (!headroom.known) {
        mf_verdict_tell_first(
            verdict, mf_reason_new(MF_REASON_NO_HEADROOM, NULL,
                                   "un-merging it takes %s, and how much memory is available is "
                                   "not known",
                                   cost_text));
        return FALSE;
    }
    if (needed_bytes > headroom.value) {
        g_autofree char *headroom_text = mf_format_bytes(headroom.value);
        g_autofree char *reserve_text = mf_format_permyriad(config->reserve_permyriad);
        mf_verdict_tell_first(
            verdict, mf_reason_new(MF_REASON_NO_HEADROOM,
                                   "free memory on the host, or lower reserve-permyriad in "
                                   "memfold.conf",
                                   "un-merging it takes %s, and %s are available above the reserve "
                                   "of %s of RAM",
                                   cost_text, headroom_text, reserve_text));
        return FALSE;
    }
    return TRUE;
}

/* The reason that made the verdict what it is.  What the memory is stands beside a policy that
 * would do by itself, so it counts where there is none. */
static const MfReason *
cause_of(const MfVerdict *verdict)
{
    const MfReason *cause = g_ptr_array_index(verdict->reasons, 0);

    for (guint i = 0; i < verdict->reasons->len; i++) {
        const MfReason *reason = g_ptr_array_index(verdict->reasons, i);
        if (reason->code == MF_REASON_POLICY || reason->code == MF_REASON_NOT_WORTH ||
            reason->code == MF_REASON_NOSHAREPAGES || reason->code == MF_REASON_GROUP_UNENFORCED ||
            reason->code == MF_REASON_ZERO_UNSUPPORTED) {
            return reason;
        }
        if (reason->code == MF_REASON_MEMORY_SHARED || reason->code == MF_REASON_MEMORY_HUGEPAGES) {
            cause = reason;
        }
    }
    return cause;
}

static void
add_unmerge(MfPlan *plan, const MfDomain *domain, const MfVerdict *verdict, guint64 cost_bytes)
{
    const MfReason *cause = cause_of(verdict);
    g_autofree char *cost_text = mf_format_bytes(cost_bytes);

    mf_plan_add_domain_mode(plan, domain, MF_MODE_OFF,
                            mf_reason_new(cause->code, cause->remedy, "%s; un-merging takes %s",
                                          cause->text, cost_text));
}

/* One that is being un-merged and is not overdue, or NULL. */
static const MfDomain *
find_under_way(const MfSnapshot *snapshot)
{
    const MfDomain *under_way = NULL;

    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);

        if (domain->is_unmerging && domain->switch_error == NULL) {
            under_way = domain;
        }
    }
    return under_way;
}

/* Who is un-merged in this tick: all who have nothing merged, and the cheapest one of the rest. */
void
mf_switch_off(const MfConfig *config, const MfSnapshot *snapshot, MfU64 headroom, MfPlan *plan)
{
    g_autoptr(GPtrArray) waiting = g_ptr_array_new();
    g_autoptr(GHashTable) moved = moved_uuids(plan);
    const MfDomain *under_way = find_under_way(snapshot);
    const MfDomain *next = NULL;
    guint64 next_cost_bytes = G_MAXUINT64;

    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        MfVerdict *verdict = g_ptr_array_index(plan->verdicts, i);
        if (verdict->want != MF_MODE_OFF || domain->switching || !to_be_switched(domain, verdict)) {
            continue;
        }
        MfU64 cost = mf_account_unmerge_cost_bytes(domain);
        if (!unmerge_fits(config, cost, paid_bytes(domain, moved), headroom, verdict)) {
            continue;
        }
        if (cost.value == 0) {
            add_unmerge(plan, domain, verdict, 0);
            continue;
        }
        g_ptr_array_add(waiting, verdict);
        if (next == NULL || cost.value < next_cost_bytes) {
            next = domain;
            next_cost_bytes = cost.value;
        }
    }

    const MfDomain *first = under_way != NULL ? under_way : next;
    for (guint i = 0; i < waiting->len; i++) {
        MfVerdict *verdict = g_ptr_array_index(waiting, i);
        if (g_str_equal(verdict->uuid, first->uuid)) {
            add_unmerge(plan, first, verdict, next_cost_bytes);
        } else {
            mf_verdict_tell_first(verdict, mf_reason_new(MF_REASON_WAITING, NULL,
                                                         "%s is un-merged first", first->name));
        }
    }
}

void
mf_switch_hold_off(const MfSnapshot *snapshot, MfPlan *plan)
{
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        MfVerdict *verdict = g_ptr_array_index(plan->verdicts, i);
        if (verdict->want != MF_MODE_OFF || domain->switching || !to_be_switched(domain, verdict)) {
            continue;
        }
        MfU64 cost = mf_account_unmerge_cost_bytes(domain);
        if (cost.known && cost.value == 0) {
            add_unmerge(plan, domain, verdict, 0);
        } else {
            mf_verdict_tell_first(verdict, mf_reason_new(MF_REASON_WAITING, NULL,
                                                         "it is un-merged when the storm is over"));
        }
    }
}

void
mf_switch_rest(const MfSnapshot *snapshot, MfPlan *plan)
{
    for (guint i = 0; i < snapshot->domains->len; i++) {
        const MfDomain *domain = g_ptr_array_index(snapshot->domains, i);
        const MfVerdict *verdict = g_ptr_array_index(plan->verdicts, i);
        if (verdict->want != MF_MODE_OFF && !domain->switching && to_be_switched(domain, verdict)) {
            mf_plan_add_domain_mode(plan, domain, verdict->want, mf_reason_copy(cause_of(verdict)));
        }
    }
}

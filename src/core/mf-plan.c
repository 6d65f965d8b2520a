/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans, actions, verdicts and reasons: making, copying, freeing, and their text. */
#include "mf-plan.h"

#include <string.h>

#include "mf-text.h"
#include "mf-units.h"

static const char *const reason_names[MF_REASON_N_CODES] = {
    [MF_REASON_POLICY] = "policy",
    [MF_REASON_NOSHAREPAGES] = "nosharepages",
    [MF_REASON_MEMORY_SHARED] = "memory-shared",
    [MF_REASON_MEMORY_HUGEPAGES] = "memory-hugepages",
    [MF_REASON_MEMORY_FILE] = "memory-file",
    [MF_REASON_GROUP_UNENFORCED] = "group-unenforced",
    [MF_REASON_FREEZE_UNSUPPORTED] = "freeze-unsupported",
    [MF_REASON_ZERO_UNSUPPORTED] = "zero-unsupported",
    [MF_REASON_SWITCH_UNSUPPORTED] = "switch-unsupported",
    [MF_REASON_POLICY_INVALID] = "policy-invalid",
    [MF_REASON_MODE_UNKNOWN] = "mode-unknown",
    [MF_REASON_SWITCH_FAILED] = "switch-failed",
    [MF_REASON_NO_HEADROOM] = "no-headroom",
    [MF_REASON_WAITING] = "waiting",
    [MF_REASON_KSM_MISSING] = "ksm-missing",
    [MF_REASON_KSM_OFF] = "ksm-off",
    [MF_REASON_OTHER_MANAGER] = "other-manager",
    [MF_REASON_UNMANAGED] = "unmanaged",
    [MF_REASON_NEWCOMERS_MERGE] = "newcomers-merge",
    [MF_REASON_NO_DOMAINS] = "no-domains",
    [MF_REASON_DOMAINS] = "domains",
    [MF_REASON_BUDGET] = "budget",
    [MF_REASON_BOOST] = "boost",
    [MF_REASON_STEADY] = "steady",
    [MF_REASON_RESTING] = "resting",
    [MF_REASON_UNCOVERED] = "uncovered",
    [MF_REASON_STORM] = "storm",
    [MF_REASON_GIVES_WAY] = "gives-way",
    [MF_REASON_SUSPENDED] = "suspended",
    [MF_REASON_ADMISSION] = "admission",
    [MF_REASON_NOT_WORTH] = "not-worth",
    [MF_REASON_NOT_SCANNED] = "not-scanned",
    [MF_REASON_VOLATILE] = "volatile",
    [MF_REASON_HUGE_PAGES] = "huge-pages",
    [MF_REASON_OTHER_NODE] = "other-node",
    [MF_REASON_SHARING_LIMIT] = "sharing-limit",
    [MF_REASON_SWAPPED_IN] = "swapped-in",
    [MF_REASON_GUEST_PRIVATE] = "guest-private",
    [MF_REASON_PINNED] = "pinned",
    [MF_REASON_BLOCK_UNMARKED] = "block-unmarked",
    [MF_REASON_START_HOLD] = "start-hold",
    [MF_REASON_AUDIT_HOLD] = "audit-hold",
    [MF_REASON_CONFIG] = "config",
    [MF_REASON_ESTIMATE_FAILED] = "estimate-failed",
    [MF_REASON_KNOB_FAILED] = "knob-failed",
    [MF_REASON_AUDIT_FAILED] = "audit-failed",
    [MF_REASON_HARDWARE_POISONED] = "hardware-poisoned",
};

static const char *const knob_names[MF_KNOB_N] = {
    [MF_KNOB_RUN] = "run",
    [MF_KNOB_PAGES_TO_SCAN] = "pages_to_scan",
    [MF_KNOB_SLEEP_MSEC] = "sleep_millisecs",
    [MF_KNOB_USE_ZERO_PAGES] = "use_zero_pages",
    [MF_KNOB_SMART_SCAN] = "smart_scan",
    [MF_KNOB_ADVISOR_MODE] = "advisor_mode",
    [MF_KNOB_CPU_MAX] = "cpu_max_permyriad",
    [MF_KNOB_INDEX] = "index",
    [MF_KNOB_SKIP_UNWRITTEN] = "skip_unwritten",
    [MF_KNOB_BOOST_NEW] = "boost_new_millisecs",
    [MF_KNOB_GROUP_DEFAULT] = "group_default",
};

static const char *const kind_names[MF_ACTION_N_KINDS] = {
    [MF_ACTION_KNOB] = "knob",       [MF_ACTION_DOMAIN_MODE] = "domain-mode",
    [MF_ACTION_RECLAIM] = "reclaim", [MF_ACTION_BALLOON] = "balloon",
    [MF_ACTION_SUSPEND] = "suspend", [MF_ACTION_RESUME] = "resume",
    [MF_ACTION_GROUP] = "group",     [MF_ACTION_FLAGS] = "flags",
    [MF_ACTION_BOOST] = "boost",
};

static void
action_free(MfAction *action)
{
    g_free(action->from);
    g_free(action->to);
    g_free(action->uuid);
    g_free(action->name);
    mf_reason_free(action->reason);
    g_free(action);
}

MfPlan *
mf_plan_new(void)
{
    MfPlan *plan = g_new0(MfPlan, 1);

    plan->actions = g_ptr_array_new_with_free_func((GDestroyNotify)action_free);
    plan->verdicts = g_ptr_array_new_with_free_func((GDestroyNotify)mf_verdict_free);
    plan->host_reasons = g_ptr_array_new_with_free_func((GDestroyNotify)mf_reason_free);
    return plan;
}

void
mf_plan_free(MfPlan *plan)
{
    if (plan == NULL) {
        return;
    }
    g_ptr_array_unref(plan->actions);
    g_ptr_array_unref(plan->verdicts);
    g_ptr_array_unref(plan->host_reasons);
    g_free(plan);
}

const MfVerdict *
mf_plan_find(const MfPlan *plan, const char *uuid)
{
    g_autofree char *key = g_ascii_strdown(uuid, -1);

    for (guint i = 0; i < plan->verdicts->len; i++) {
        const MfVerdict *verdict = g_ptr_array_index(plan->verdicts, i);
        if (strcmp(verdict->uuid, key) == 0) {
            return verdict;
        }
    }
    return NULL;
}

MfReason *
mf_reason_new(MfReasonCode code, const char *remedy, const char *format, ...)
{
    MfReason *reason = g_new0(MfReason, 1);
    va_list args;

    va_start(args, format);
    reason->code = code;
    reason->text = g_strdup_vprintf(format, args);
    reason->remedy = g_strdup(remedy);
    va_end(args);
    return reason;
}

MfReason *
mf_reason_copy(const MfReason *reason)
{
    MfReason *copy = g_new0(MfReason, 1);

    copy->code = reason->code;
    copy->text = g_strdup(reason->text);
    copy->remedy = g_strdup(reason->remedy);
    return copy;
}

void
mf_reason_free(MfReason *reason)
{
    if (reason == NULL) {
        return;
    }
    g_free(reason->text);
    g_free(reason->remedy);
    g_free(reason);
}

MfVerdict *
mf_verdict_new(const char *uuid)
{
    MfVerdict *verdict = g_new0(MfVerdict, 1);

    verdict->uuid = g_ascii_strdown(uuid, -1);
    verdict->reasons = g_ptr_array_new_with_free_func((GDestroyNotify)mf_reason_free);
    return verdict;
}

void
mf_verdict_free(MfVerdict *verdict)
{
    if (verdict == NULL) {
        return;
    }
    g_free(verdict->uuid);
    g_ptr_array_unref(verdict->reasons);
    g_free(verdict);
}

void
mf_verdict_tell_first(MfVerdict *verdict, MfReason *reason)
{
    g_ptr_array_insert(verdict->reasons, 0, reason);
}

void
mf_plan_add_knob(MfPlan *plan, MfKnob knob, const char *from, const char *to, MfReason *reason)
{
    MfAction *action = g_new0(MfAction, 1);

    action->kind = MF_ACTION_KNOB;
    action->knob = knob;
    action->from = g_strdup(from);
    action->to = g_strdup(to);
    action->reason = reason;
    g_ptr_array_add(plan->actions, action);
}

void
mf_plan_add_domain_mode(MfPlan *plan, const MfDomain *domain, MfMode mode, MfReason *reason)
{
    MfAction *action = g_new0(MfAction, 1);

    action->kind = MF_ACTION_DOMAIN_MODE;
    if (domain->mode != MF_MODE_UNKNOWN) {
        action->from = g_strdup(mf_mode_to_string(domain->mode));
    }
    action->to = g_strdup(mf_mode_to_string(mode));
    action->uuid = g_strdup(domain->uuid);
    action->name = g_strdup(domain->name);
    action->mode = mode;
    action->reason = reason;
    g_ptr_array_add(plan->actions, action);
}

static MfAction *
add_process_action(MfPlan *plan, MfActionKind kind, const MfDomain *domain, const char *to,
                   MfReason *reason)
{
    MfAction *action = g_new0(MfAction, 1);

    action->kind = kind;
    action->to = g_strdup(to);
    action->uuid = g_strdup(domain->uuid);
    action->name = g_strdup(domain->name);
    action->reason = reason;
    g_ptr_array_add(plan->actions, action);
    return action;
}

void
mf_plan_add_group(MfPlan *plan, const MfDomain *domain, const char *to, MfReason *reason)
{
    MfAction *action = add_process_action(plan, MF_ACTION_GROUP, domain, to, reason);

    if (domain->ksm_group_number.known) {
        action->from = g_strdup_printf("%" G_GUINT64_FORMAT, domain->ksm_group_number.value);
    }
}

void
mf_plan_add_flags(MfPlan *plan, const MfDomain *domain, const char *word, MfReason *reason)
{
    add_process_action(plan, MF_ACTION_FLAGS, domain, word, reason);
}

void
mf_plan_add_boost(MfPlan *plan, const MfDomain *domain, MfReason *reason)
{
    g_autofree char *pid = g_strdup_printf("%" G_GINT64_FORMAT, domain->pid);

    add_process_action(plan, MF_ACTION_BOOST, domain, pid, reason);
}

void
mf_plan_add_relief(MfPlan *plan, MfActionKind kind, const MfDomain *domain, guint64 bytes,
                   MfReason *reason)
{
    MfAction *action = g_new0(MfAction, 1);

    action->kind = kind;
    action->uuid = g_strdup(domain->uuid);
    action->name = g_strdup(domain->name);
    action->bytes = bytes;
    action->reason = reason;
    if (kind == MF_ACTION_SUSPEND || kind == MF_ACTION_RESUME) {
        action->from = g_strdup(kind == MF_ACTION_SUSPEND ? "running" : "paused");
        action->to = g_strdup(kind == MF_ACTION_SUSPEND ? "paused" : "running");
    }
    g_ptr_array_add(plan->actions, action);
}

char *
mf_action_to_string(const MfAction *action)
{
    const char *from = action->from != NULL ? action->from : "unknown";

    if (action->kind == MF_ACTION_RECLAIM || action->kind == MF_ACTION_BALLOON) {
        g_autofree char *bytes = mf_format_bytes(action->bytes);
        return g_strdup_printf("domain %s: %s %s (%s)", action->name,
                               mf_action_kind_to_string(action->kind), bytes, action->reason->text);
    }

    if (action->kind == MF_ACTION_FLAGS) {
        return g_strdup_printf("domain %s: ksm flags %s (%s)", action->name, action->to,
                               action->reason->text);
    }
    if (action->kind == MF_ACTION_BOOST) {
        return g_strdup_printf("domain %s: process %s is scanned first (%s)", action->name,
                               action->to, action->reason->text);
    }
    if (action->kind == MF_ACTION_KNOB) {
        return g_strdup_printf("ksm %s: %s -> %s (%s)", mf_knob_to_string(action->knob), from,
                               action->to, action->reason->text);
    }
    return g_strdup_printf("domain %s:%s %s -> %s (%s)", action->name,
                           action->kind == MF_ACTION_GROUP ? " merge group" : "", from, action->to,
                           action->reason->text);
}

const char *
mf_reason_code_to_string(MfReasonCode code)
{
    return mf_text_of(reason_names, G_N_ELEMENTS(reason_names), code);
}

gboolean
mf_reason_code_from_string(const char *text, MfReasonCode *ret_code)
{
    guint value;

    if (!mf_text_find(reason_names, G_N_ELEMENTS(reason_names), text, &value)) {
        return FALSE;
    }
    *ret_code = (MfReasonCode)value;
    return TRUE;
}

const char *
mf_action_kind_to_string(MfActionKind kind)
{
    return mf_text_of(kind_names, G_N_ELEMENTS(kind_names), kind);
}

const char *
mf_knob_to_string(MfKnob knob)
{
    return mf_text_of(knob_names, G_N_ELEMENTS(knob_names), knob);
}

gboolean
mf_knob_from_string(const char *text, MfKnob *ret_knob)
{
    guint value;

    if (!mf_text_find(knob_names, G_N_ELEMENTS(knob_names), text, &value)) {
        return FALSE;
    }
    *ret_knob = (MfKnob)value;
    return TRUE;
}

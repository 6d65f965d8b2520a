/* SPDX-License-Identifier: GPL-2.0-or-later */
/* merge=zero: un-merged first, then told, then merged; and back. */
#include "../../src/core/mf-decide.h"

typedef struct {
    MfMerge merge;
    MfU64 zero_only;
    MfMode mode;
    gboolean nosharepages;
    gboolean busy;
    MfMode want;
    const char *told; /* word for the kernel; NULL: none */
    MfReasonCode reason;
} Case;

static const Case cases[] = {
    /* A kernel that can't. */
    {MF_MERGE_ZERO, MF_U64_ABSENT, MF_MODE_ON, FALSE, FALSE, MF_MODE_OFF, NULL,
     MF_REASON_ZERO_UNSUPPORTED},
    /* The way there. */
    {MF_MERGE_ZERO, {TRUE, 0}, MF_MODE_ON, FALSE, FALSE, MF_MODE_OFF, NULL, MF_REASON_WAITING},
    {MF_MERGE_ZERO, {TRUE, 0}, MF_MODE_OFF, FALSE, FALSE, MF_MODE_OFF, "+zero", MF_REASON_WAITING},
    {MF_MERGE_ZERO, {TRUE, 0}, MF_MODE_OFF, FALSE, TRUE, MF_MODE_OFF, NULL, MF_REASON_WAITING},
    {MF_MERGE_ZERO, {TRUE, 1}, MF_MODE_OFF, FALSE, FALSE, MF_MODE_ON, NULL, MF_REASON_POLICY},
    {MF_MERGE_ZERO, {TRUE, 1}, MF_MODE_ON, FALSE, FALSE, MF_MODE_ON, NULL, MF_REASON_POLICY},
    /* <nosharepages/> wins. */
    {MF_MERGE_ZERO, {TRUE, 1}, MF_MODE_OFF, TRUE, FALSE, MF_MODE_OFF, NULL, MF_REASON_NOSHAREPAGES},
    /* And back. */
    {MF_MERGE_ON, {TRUE, 1}, MF_MODE_ON, FALSE, FALSE, MF_MODE_ON, "-zero", MF_REASON_POLICY},
    {MF_MERGE_OFF, {TRUE, 1}, MF_MODE_ON, FALSE, FALSE, MF_MODE_OFF, "-zero", MF_REASON_POLICY},
    {MF_MERGE_ON, {TRUE, 0}, MF_MODE_ON, FALSE, FALSE, MF_MODE_ON, NULL, MF_REASON_POLICY},
};

static const MfAction *
find_flags(const MfPlan *plan)
{
    for (guint i = 0; i < plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(plan->actions, i);
        if (action->kind == MF_ACTION_FLAGS) {
            return action;
        }
    }
    return NULL;
}

static gboolean
is_told(const MfVerdict *verdict, MfReasonCode code)
{
    for (guint i = 0; i < verdict->reasons->len; i++) {
        if (((const MfReason *)g_ptr_array_index(verdict->reasons, i))->code == code) {
            return TRUE;
        }
    }
    return FALSE;
}

/* One that may merge with everyone, on a host whose ksmd runs; the caller says the rest. */
static MfDomain *
add_domain(MfSnapshot *snapshot, MfMerge merge)
{
    MfDomain *domain = mf_domain_new("00000000-0000-4000-8000-000000000001", "vm");

    domain->pid = 1;
    domain->memory_kind = MF_MEMORY_ANONYMOUS;
    domain->policy->merge = merge;
    domain->policy->group = g_strdup(MF_GROUP_SHARED);
    domain->caps = MF_CAP_PROBED | MF_CAP_SET_MERGE;
    domain->saved_bytes = MF_U64(0);
    g_ptr_array_add(snapshot->domains, domain);
    snapshot->taken_usec = G_USEC_PER_SEC;
    snapshot->host.run = MF_U64(1);
    return domain;
}

static void
test_table(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfConfig) config = mf_config_new();
        g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
        g_autoptr(MfMemory) memory = mf_memory_new();
        MfDomain *domain = add_domain(snapshot, cases[i].merge);

        g_test_message("case %u", i);
        domain->mode = cases[i].mode;
        domain->zero_only = cases[i].zero_only;
        domain->nosharepages = cases[i].nosharepages;
        domain->regrouping = cases[i].busy;

        g_autoptr(MfPlan) plan = mf_decide(config, snapshot, memory);
        const MfVerdict *verdict = mf_plan_find(plan, domain->uuid);
        const MfReason *first = g_ptr_array_index(verdict->reasons, 0);
        const MfAction *flags = find_flags(plan);
        g_assert_cmpint(verdict->want, ==, cases[i].want);
        g_assert_cmpint(first->code, ==, cases[i].reason);
        g_assert_cmpstr(flags != NULL ? flags->to : NULL, ==, cases[i].told);
    }
}

/* The host can, the memory can't: only that is told, and it is why the rest is switched off. */
static void
test_unmergeable_memory(void)
{
    static const struct {
        MfMemoryKind kind;
        MfU64 zero_only;
        MfReasonCode cause;
    } of_memory[] = {
        {MF_MEMORY_SHARED, {TRUE, 0}, MF_REASON_MEMORY_SHARED},
        {MF_MEMORY_MEMFD, {TRUE, 1}, MF_REASON_MEMORY_SHARED},
        {MF_MEMORY_HUGEPAGES, {TRUE, 0}, MF_REASON_MEMORY_HUGEPAGES},
        {MF_MEMORY_SHARED, {FALSE, 0}, MF_REASON_ZERO_UNSUPPORTED},
    };

    for (guint i = 0; i < G_N_ELEMENTS(of_memory); i++) {
        g_autoptr(MfConfig) config = mf_config_new();
        g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
        g_autoptr(MfMemory) memory = mf_memory_new();
        MfDomain *domain = add_domain(snapshot, MF_MERGE_ZERO);

        g_test_message("case %u", i);
        domain->memory_kind = of_memory[i].kind;
        domain->mode = MF_MODE_ON;
        domain->zero_only = of_memory[i].zero_only;
        domain->switch_error = g_strdup("no answer"); /* told first, and no cause */

        g_autoptr(MfPlan) plan = mf_decide(config, snapshot, memory);
        const MfVerdict *verdict = mf_plan_find(plan, domain->uuid);
        const MfAction *off = g_ptr_array_index(plan->actions, 0);
        g_assert_cmpint(verdict->want, ==, MF_MODE_OFF);
        g_assert_cmpint(is_told(verdict, MF_REASON_ZERO_UNSUPPORTED), ==,
                        !of_memory[i].zero_only.known);
        g_assert_cmpint(off->kind, ==, MF_ACTION_DOMAIN_MODE);
        g_assert_cmpint(off->reason->code, ==, of_memory[i].cause);
    }
}

/* What could not be read may say zero. */
static void
test_unread(void)
{
    g_autoptr(MfConfig) config = mf_config_new();
    g_autoptr(MfSnapshot) snapshot = mf_snapshot_new();
    g_autoptr(MfMemory) memory = mf_memory_new();
    MfDomain *domain = mf_domain_new("00000000-0000-4000-8000-000000000001", "vm");

    domain->zero_only = MF_U64(1);
    domain->mode = MF_MODE_ON;
    g_ptr_array_add(snapshot->domains, domain);
    g_autoptr(MfPlan) plan = mf_decide(config, snapshot, memory);
    g_assert_null(find_flags(plan));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/zero/table", test_table);
    g_test_add_func("/zero/unmergeable-memory", test_unmergeable_memory);
    g_test_add_func("/zero/unread", test_unread);
    return g_test_run();
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who should merge, who is switched now, and what a person is told. */
#include <string.h>

#include "decide-scene.h"

#define ALL_CAPS (MF_CAP_PROBED | MF_CAP_SET_MERGE | MF_CAP_FREEZE)
#define STOCK    (MF_CAP_PROBED | MF_CAP_BACKEND_MERGE)

static gboolean
has_reason(GPtrArray *reasons, MfReasonCode code)
{
    for (guint i = 0; i < reasons->len; i++) {
        const MfReason *reason = g_ptr_array_index(reasons, i);
        g_assert_cmpuint(strlen(reason->text), >, 0);
        if (reason->code == code) {
            return TRUE;
        }
    }
    return FALSE;
}

static void
test_mode_table(void)
{
    enum { PLAIN = 0, NOSHARE = 1, GROUPS = 2, OPEN = 4 };
    static const struct {
        int flags; /* NOSHARE: <nosharepages/>; GROUPS: enforced; OPEN: default-group=shared */
        MfMerge merge;
        const char *group;
        MfMemoryKind memory;
        MfMode want;
        MfReasonCode reason;
    } cases[] = {
        {NOSHARE, MF_MERGE_ON, "shared", MF_MEMORY_ANONYMOUS, MF_MODE_OFF, MF_REASON_NOSHAREPAGES},
        {PLAIN, MF_MERGE_AUTO, "shared", MF_MEMORY_ANONYMOUS, MF_MODE_ON, MF_REASON_POLICY},
        /* XML that could not be read may hold <nosharepages/>: never on, and off fails closed. */
        {PLAIN, MF_MERGE_ON, "shared", MF_MEMORY_UNKNOWN, MF_MODE_UNKNOWN, MF_REASON_MODE_UNKNOWN},
        {OPEN, MF_MERGE_AUTO, NULL, MF_MEMORY_UNKNOWN, MF_MODE_UNKNOWN, MF_REASON_MODE_UNKNOWN},
        {PLAIN, MF_MERGE_AUTO, NULL, MF_MEMORY_UNKNOWN, MF_MODE_OFF, MF_REASON_GROUP_UNENFORCED},
        {PLAIN, MF_MERGE_OFF, "shared", MF_MEMORY_UNKNOWN, MF_MODE_OFF, MF_REASON_POLICY},
        {PLAIN, MF_MERGE_ON, "shared", MF_MEMORY_FILE, MF_MODE_ON, MF_REASON_MEMORY_FILE},
        {PLAIN, MF_MERGE_OFF, "shared", MF_MEMORY_ANONYMOUS, MF_MODE_OFF, MF_REASON_POLICY},
        {PLAIN, MF_MERGE_FREEZE, "shared", MF_MEMORY_ANONYMOUS, MF_MODE_FROZEN, MF_REASON_POLICY},
        {PLAIN, MF_MERGE_ZERO, "shared", MF_MEMORY_ANONYMOUS, MF_MODE_OFF,
         MF_REASON_ZERO_UNSUPPORTED},
        {PLAIN, MF_MERGE_ON, "shared", MF_MEMORY_SHARED, MF_MODE_UNKNOWN, MF_REASON_MEMORY_SHARED},
        {PLAIN, MF_MERGE_ON, "shared", MF_MEMORY_HUGEPAGES, MF_MODE_UNKNOWN,
         MF_REASON_MEMORY_HUGEPAGES},
        /* Groups that nobody keeps apart: nothing merges. */
        {PLAIN, MF_MERGE_ON, "tenant-a", MF_MEMORY_ANONYMOUS, MF_MODE_OFF,
         MF_REASON_GROUP_UNENFORCED},
        {PLAIN, MF_MERGE_ON, "isolated", MF_MEMORY_ANONYMOUS, MF_MODE_OFF,
         MF_REASON_GROUP_UNENFORCED},
        {PLAIN, MF_MERGE_AUTO, NULL, MF_MEMORY_ANONYMOUS, MF_MODE_OFF, MF_REASON_GROUP_UNENFORCED},
        {PLAIN, MF_MERGE_FREEZE, NULL, MF_MEMORY_ANONYMOUS, MF_MODE_OFF,
         MF_REASON_GROUP_UNENFORCED},
        {OPEN, MF_MERGE_ON, "tenant-a", MF_MEMORY_ANONYMOUS, MF_MODE_OFF,
         MF_REASON_GROUP_UNENFORCED},
        {OPEN, MF_MERGE_AUTO, NULL, MF_MEMORY_ANONYMOUS, MF_MODE_ON, MF_REASON_POLICY},
        {GROUPS, MF_MERGE_ON, "tenant-a", MF_MEMORY_ANONYMOUS, MF_MODE_ON, MF_REASON_POLICY},
        {GROUPS, MF_MERGE_AUTO, NULL, MF_MEMORY_ANONYMOUS, MF_MODE_ON, MF_REASON_POLICY},
        /* RAM that can't merge is explained, and its ROMs are kept apart all the same. */
        {PLAIN, MF_MERGE_OFF, "shared", MF_MEMORY_SHARED, MF_MODE_OFF, MF_REASON_MEMORY_SHARED},
        {PLAIN, MF_MERGE_ON, "tenant-a", MF_MEMORY_SHARED, MF_MODE_OFF, MF_REASON_MEMORY_SHARED},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MfConfig) config = mf_config_new();
        g_autoptr(GPtrArray) reasons =
            g_ptr_array_new_with_free_func((GDestroyNotify)mf_reason_free);
        MfPolicy policy = {cases[i].merge, (char *)cases[i].group, 100, FALSE};
        gboolean noshare = (cases[i].flags & NOSHARE) != 0;
        gboolean groups = (cases[i].flags & GROUPS) != 0;
        config->default_group =
            cases[i].flags & OPEN ? MF_DEFAULT_GROUP_SHARED : MF_DEFAULT_GROUP_ISOLATED;
        g_test_message("case %u", i);
        g_assert_cmpint(mf_decide_mode(config, &policy, noshare, cases[i].memory, groups, reasons),
                        ==, cases[i].want);
        g_assert_true(has_reason(reasons, cases[i].reason));
        g_assert_cmpint(mf_decide_mode(config, &policy, noshare, cases[i].memory, groups, NULL), ==,
                        cases[i].want);
    }
}

/* A domain that QEMU says is merged, in a state where it can be switched. */
static MfDomain *
add_domain(Scene *scene, const char *name, MfMerge merge)
{
    MfDomain *domain = scene_add(scene, name, ALL_CAPS);

    domain->policy->merge = merge;
    domain->saved_bytes = MF_U64(0);
    return domain;
}

static void
decide(Scene *scene)
{
    mf_plan_free(scene->plan);
    scene->plan = mf_decide(scene->config, scene->snapshot, scene->memory);
    g_assert_cmpuint(scene->plan->verdicts->len, ==, scene->snapshot->domains->len);
}

/* The action on a domain, or NULL. */
static const MfAction *
action_on(const Scene *scene, const MfDomain *domain)
{
    const MfAction *found = NULL;

    for (guint i = 0; i < scene->plan->actions->len; i++) {
        const MfAction *action = g_ptr_array_index(scene->plan->actions, i);
        g_assert_nonnull(action->reason);
        if (action->kind == MF_ACTION_DOMAIN_MODE && g_str_equal(action->uuid, domain->uuid)) {
            g_assert_null(found);
            found = action;
        }
    }
    return found;
}

static gboolean
is_told(const Scene *scene, const MfDomain *domain, MfReasonCode code)
{
    const MfVerdict *verdict = mf_plan_find(scene->plan, domain->uuid);

    g_assert_nonnull(verdict);
    return has_reason(verdict->reasons, code);
}

static void
test_switches(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *same = add_domain(scene, "same", MF_MERGE_ON);
    MfDomain *off = add_domain(scene, "off", MF_MERGE_OFF);
    MfDomain *on = add_domain(scene, "on", MF_MERGE_ON);
    MfDomain *frozen = add_domain(scene, "frozen", MF_MERGE_FREEZE);
    MfDomain *mixed = add_domain(scene, "mixed", MF_MERGE_AUTO);

    on->mode = MF_MODE_OFF;
    mixed->mode = MF_MODE_MIXED;
    decide(scene);
    g_assert_null(action_on(scene, same));
    g_assert_cmpint(action_on(scene, off)->mode, ==, MF_MODE_OFF);
    g_assert_cmpstr(action_on(scene, off)->from, ==, "on");
    g_assert_cmpstr(action_on(scene, off)->to, ==, "off");
    g_assert_cmpint(action_on(scene, on)->mode, ==, MF_MODE_ON);
    g_assert_cmpint(action_on(scene, frozen)->mode, ==, MF_MODE_FROZEN);
    g_assert_cmpint(action_on(scene, mixed)->mode, ==, MF_MODE_ON);

    /* Off comes first. */
    const MfAction *first = g_ptr_array_index(scene->plan->actions, 0);
    g_assert_cmpstr(first->name, ==, "off");
}

static void
test_off_is_final(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_OFF);

    domain->mode = MF_MODE_OFF;
    decide(scene);
    g_assert_null(action_on(scene, domain));
    g_assert_cmpint(mf_plan_find(scene->plan, domain->uuid)->want, ==, MF_MODE_OFF);
}

static void
test_unknown_does_nothing(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *silent = add_domain(scene, "silent", MF_MERGE_OFF);
    MfDomain *unprobed = add_domain(scene, "unprobed", MF_MERGE_OFF);
    MfDomain *stiff = add_domain(scene, "stiff", MF_MERGE_OFF);
    MfDomain *content = add_domain(scene, "content", MF_MERGE_OFF);

    silent->mode = MF_MODE_UNKNOWN;
    silent->switch_error = g_strdup("monitor is frozen");
    unprobed->caps = 0;
    stiff->caps = MF_CAP_PROBED;
    content->caps = MF_CAP_PROBED;
    content->mode = MF_MODE_UNKNOWN;
    content->mergeable_bytes = MF_U64(0);
    decide(scene);
    g_assert_null(action_on(scene, silent));
    g_assert_true(is_told(scene, silent, MF_REASON_MODE_UNKNOWN));
    const MfReason *reason = g_ptr_array_index(mf_plan_find(scene->plan, silent->uuid)->reasons, 0);
    g_assert_nonnull(strstr(reason->text, "monitor is frozen"));
    g_assert_null(action_on(scene, unprobed));
    g_assert_true(is_told(scene, unprobed, MF_REASON_MODE_UNKNOWN));
    g_assert_null(action_on(scene, stiff));
    g_assert_true(is_told(scene, stiff, MF_REASON_SWITCH_UNSUPPORTED));
    g_assert_null(action_on(scene, content));
    g_assert_false(is_told(scene, content, MF_REASON_SWITCH_UNSUPPORTED));
}

static void
test_freeze_unsupported(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_FREEZE);

    domain->caps = STOCK;
    decide(scene);
    g_assert_null(action_on(scene, domain));
    g_assert_true(is_told(scene, domain, MF_REASON_FREEZE_UNSUPPORTED));
    g_assert_cmpint(mf_plan_find(scene->plan, domain->uuid)->want, ==, MF_MODE_UNKNOWN);
}

/* Only QEMU's own word that it is in a group makes a grouped domain merge. */
static void
test_groups_fail_closed(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *apart = add_domain(scene, "apart", MF_MERGE_ON);
    MfDomain *open = add_domain(scene, "open", MF_MERGE_ON);

    apart->policy->group = g_strdup("tenant-a");
    apart->caps |= MF_CAP_GROUP;
    open->policy->group = g_strdup("tenant-a");
    decide(scene);
    g_assert_null(action_on(scene, apart));
    g_assert_cmpint(action_on(scene, open)->mode, ==, MF_MODE_OFF);
    g_assert_cmpint(action_on(scene, open)->reason->code, ==, MF_REASON_GROUP_UNENFORCED);
    g_assert_nonnull(action_on(scene, open)->reason->remedy);
}

static void
test_policy_invalid(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_AUTO);

    domain->policy_error = g_strdup("unknown attribute \"color\"");
    decide(scene);
    const MfVerdict *verdict = mf_plan_find(scene->plan, domain->uuid);
    const MfReason *first = g_ptr_array_index(verdict->reasons, 0);
    g_assert_cmpint(first->code, ==, MF_REASON_POLICY_INVALID);
    g_assert_nonnull(strstr(first->text, "\"color\""));
    g_assert_cmpint(verdict->want, ==, MF_MODE_ON);
}

/* The reserve is 5 % of 10000 MiB, so 1000 of the 1500 MiB available may be used. */
static void
test_headroom(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        MfU64 saved;
        MfU64 merged;
        MfU64 available;
        gboolean switched;
    } cases[] = {
        {MF_U64(1000 * MIB), MF_U64_ABSENT, MF_U64(1500 * MIB), TRUE},
        {MF_U64(1000 * MIB + 1), MF_U64_ABSENT, MF_U64(1500 * MIB), FALSE},
        {MF_U64_ABSENT, MF_U64(1000 * MIB), MF_U64(1500 * MIB), TRUE},
        {MF_U64_ABSENT, MF_U64(1001 * MIB), MF_U64(1500 * MIB), FALSE},
        {MF_U64(1 * MIB), MF_U64(2000 * MIB), MF_U64(1500 * MIB), TRUE},
        {MF_U64_ABSENT, MF_U64_ABSENT, MF_U64(1500 * MIB), FALSE},
        {MF_U64(1 * MIB), MF_U64_ABSENT, MF_U64_ABSENT, FALSE},
        {MF_U64(0), MF_U64_ABSENT, MF_U64_ABSENT, TRUE},
        {MF_U64_ABSENT, MF_U64(0), MF_U64_ABSENT, TRUE},
        {MF_U64(1 * MIB), MF_U64_ABSENT, MF_U64(400 * MIB), FALSE},
    };
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_OFF);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        domain->saved_bytes = cases[i].saved;
        domain->merged_bytes = cases[i].merged;
        scene->snapshot->host.mem_available_bytes = cases[i].available;
        g_test_message("case %u", i);
        decide(scene);
        g_assert_cmpint(action_on(scene, domain) != NULL, ==, cases[i].switched);
        g_assert_cmpint(is_told(scene, domain, MF_REASON_NO_HEADROOM), ==, !cases[i].switched);
    }
    scene->snapshot->host.mem_available_bytes = MF_U64(1500 * MIB);
    scene->snapshot->host.mem_total_bytes = MF_U64_ABSENT;
    domain->saved_bytes = MF_U64(MIB);
    decide(scene);
    g_assert_null(action_on(scene, domain));
}

/* Accounts tell of another time; what the kernel counts, of now.  A MiB is what 16384 items take.
 */
static void
test_headroom_since_accounts(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        MfU64 saved;
        MfU64 merged;
        MfI64 profit;
        MfU64 items_pages;
        MfU64 counted; /* when the accounts were made */
        gboolean switched;
    } cases[] = {
        {MF_U64(0), MF_U64(0), MF_I64(999 * MIB), MF_U64(16384), MF_U64_ABSENT, TRUE},
        {MF_U64(0), MF_U64(0), MF_I64(1000 * MIB), MF_U64(16384), MF_U64_ABSENT, FALSE},
        {MF_U64_ABSENT, MF_U64(0), MF_I64(1000 * MIB), MF_U64(16384), MF_U64_ABSENT, FALSE},
        {MF_U64_ABSENT, MF_U64_ABSENT, MF_I64(0), MF_U64(0), MF_U64_ABSENT, FALSE},
        {MF_U64(1001 * MIB), MF_U64(0), MF_I64(0), MF_U64(0), MF_U64_ABSENT, FALSE},
        {MF_U64(0), MF_U64(0), MF_I64_ABSENT, MF_U64(G_MAXUINT64), MF_U64_ABSENT, TRUE},
        {MF_U64(0), MF_U64(0), MF_I64(2000 * MIB), MF_U64_ABSENT, MF_U64_ABSENT, TRUE},
        {MF_U64(0), MF_U64(0), MF_I64(-1001 * (gint64)MIB), MF_U64(16384 * 2001), MF_U64_ABSENT,
         TRUE},
        {MF_U64(0), MF_U64(0), MF_I64(-1001 * (gint64)MIB), MF_U64(16384 * 2002), MF_U64_ABSENT,
         FALSE},
        {MF_U64(0), MF_U64(0), MF_I64(G_MININT64), MF_U64(16384), MF_U64_ABSENT, TRUE},
        {MF_U64(0), MF_U64(0), MF_I64(G_MAXINT64), MF_U64(G_MAXUINT64), MF_U64_ABSENT, FALSE},
        /* It is written, or moved, and ksmd has not come by. */
        {MF_U64(0), MF_U64(0), MF_I64(1000 * MIB), MF_U64(16384), MF_U64(1001 * MIB), TRUE},
        {MF_U64(0), MF_U64(0), MF_I64(1500 * MIB), MF_U64(0), MF_U64(500 * MIB), TRUE},
        {MF_U64(0), MF_U64(0), MF_I64(1501 * MIB), MF_U64(0), MF_U64(500 * MIB), FALSE},
        {MF_U64(0), MF_U64(500 * MIB), MF_I64(1500 * MIB), MF_U64(0), MF_U64(1000 * MIB), TRUE},
        {MF_U64(0), MF_U64(500 * MIB), MF_I64(1501 * MIB), MF_U64(0), MF_U64(1000 * MIB), FALSE},
        {MF_U64_ABSENT, MF_U64(0), MF_I64(2000 * MIB), MF_U64(0), MF_U64(2000 * MIB), TRUE},
        {MF_U64_ABSENT, MF_U64(0), MF_I64(2000 * MIB), MF_U64(0), MF_U64(999 * MIB), FALSE},
        {MF_U64(1001 * MIB), MF_U64(0), MF_I64(2000 * MIB), MF_U64(0), MF_U64(2000 * MIB), FALSE},
        {MF_U64(0), MF_U64_ABSENT, MF_I64(1001 * MIB), MF_U64(0), MF_U64(1001 * MIB), FALSE},
        {MF_U64(0), MF_U64(0), MF_I64_ABSENT, MF_U64(0), MF_U64(2000 * MIB), TRUE},
    };
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_OFF);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        domain->saved_bytes = cases[i].saved;
        domain->merged_bytes = cases[i].merged;
        domain->profit_bytes = cases[i].profit;
        domain->rmap_items_pages = cases[i].items_pages;
        domain->counted_bytes = cases[i].counted;
        domain->scanned_since_bytes = MF_U64(0);
        decide(scene);
        g_assert_cmpint(action_on(scene, domain) != NULL, ==, cases[i].switched);
    }
}

/* What is merged anew may take the place of what is merged no longer, and the count stay. */
static void
test_headroom_where_ksmd_came_by(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        MfU64 scanned;
        gboolean switched;
    } cases[] = {
        {MF_U64(0), TRUE},           {MF_U64(500 * MIB), TRUE}, {MF_U64(501 * MIB), FALSE},
        {MF_U64(2000 * MIB), FALSE}, {MF_U64_ABSENT, FALSE},
    };
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_OFF);

    domain->saved_bytes = domain->merged_bytes = MF_U64(0);
    domain->profit_bytes = MF_I64(2000 * MIB);
    domain->rmap_items_pages = MF_U64(0);
    domain->counted_bytes = MF_U64(2000 * MIB);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        domain->scanned_since_bytes = cases[i].scanned;
        decide(scene);
        g_assert_cmpint(action_on(scene, domain) != NULL, ==, cases[i].switched);
    }
}

static void
test_headroom_figures(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_OFF);

    domain->saved_bytes = MF_U64(2048 * MIB);
    decide(scene);
    const MfReason *first = g_ptr_array_index(mf_plan_find(scene->plan, domain->uuid)->reasons, 0);
    g_assert_cmpint(first->code, ==, MF_REASON_NO_HEADROOM);
    g_assert_nonnull(strstr(first->text, "2.0 GiB"));
    g_assert_nonnull(strstr(first->text, "1000.0 MiB"));
    g_assert_nonnull(first->remedy);
}

static void
test_one_at_a_time(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *large = add_domain(scene, "large", MF_MERGE_OFF);
    MfDomain *small = add_domain(scene, "small", MF_MERGE_OFF);
    MfDomain *none = add_domain(scene, "none", MF_MERGE_OFF);

    large->saved_bytes = MF_U64(500 * MIB);
    small->saved_bytes = MF_U64(10 * MIB);
    decide(scene);
    g_assert_nonnull(action_on(scene, small));
    g_assert_nonnull(action_on(scene, none));
    g_assert_null(action_on(scene, large));
    g_assert_true(is_told(scene, large, MF_REASON_WAITING));

    /* One under way holds the rest that have something merged, until it is overdue. */
    small->switching = small->is_unmerging = TRUE;
    decide(scene);
    g_assert_null(action_on(scene, small));
    g_assert_null(action_on(scene, large));
    g_assert_nonnull(action_on(scene, none));
    g_assert_true(is_told(scene, large, MF_REASON_WAITING));
    g_assert_true(is_told(scene, small, MF_REASON_WAITING));

    small->switch_error = g_strdup("no answer for 30 s");
    decide(scene);
    g_assert_null(action_on(scene, small));
    g_assert_nonnull(action_on(scene, large));
    g_assert_true(is_told(scene, small, MF_REASON_SWITCH_FAILED));

    /* What it may still take is not promised twice. */
    small->saved_bytes = MF_U64(600 * MIB);
    decide(scene);
    g_assert_null(action_on(scene, large));
    g_assert_true(is_told(scene, large, MF_REASON_NO_HEADROOM));

    /* One that has failed, and is not asked again yet, takes nothing. */
    small->is_unmerging = FALSE;
    decide(scene);
    g_assert_null(action_on(scene, small));
    g_assert_nonnull(action_on(scene, large));
}

static void
test_switching_on_waits(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_ON);

    domain->mode = MF_MODE_OFF;
    domain->switching = TRUE;
    decide(scene);
    g_assert_null(action_on(scene, domain));
}

static void
test_stock_qemu(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", MF_MERGE_OFF);

    domain->caps = STOCK;
    domain->mergeable_bytes = MF_U64(80 * MIB);
    decide(scene);
    g_assert_cmpint(action_on(scene, domain)->mode, ==, MF_MODE_OFF);
    g_assert_false(is_told(scene, domain, MF_REASON_SWITCH_UNSUPPORTED));

    /* Its video RAM stays marked, and nobody is told otherwise. */
    domain->mode = MF_MODE_OFF;
    domain->mergeable_bytes = MF_U64(16 * MIB);
    decide(scene);
    g_assert_null(action_on(scene, domain));
    g_assert_true(is_told(scene, domain, MF_REASON_SWITCH_UNSUPPORTED));
    domain->caps = ALL_CAPS;
    decide(scene);
    g_assert_false(is_told(scene, domain, MF_REASON_SWITCH_UNSUPPORTED));
}

#define ADD(path, function)                                                                        \
    g_test_add("/decide/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/decide/mode-table", test_mode_table);
    ADD("switches", test_switches);
    ADD("off-is-final", test_off_is_final);
    ADD("unknown-does-nothing", test_unknown_does_nothing);
    ADD("freeze-unsupported", test_freeze_unsupported);
    ADD("groups-fail-closed", test_groups_fail_closed);
    ADD("policy-invalid", test_policy_invalid);
    ADD("headroom", test_headroom);
    ADD("headroom-since-accounts", test_headroom_since_accounts);
    ADD("headroom-where-ksmd-came-by", test_headroom_where_ksmd_came_by);
    ADD("headroom-figures", test_headroom_figures);
    ADD("one-at-a-time", test_one_at_a_time);
    ADD("switching-on-waits", test_switching_on_waits);
    ADD("stock-qemu", test_stock_qemu);
    return g_test_run();
}

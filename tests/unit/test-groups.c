/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of the kernel's groups domains are moved to, and what they may do until they are there. */
#include "groups-scene.h"

/* A name's first domain is told to make a group, the next one waits for its number. */
static void
test_first_of_a_name(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", "tenant-a", UNREAD);
    MfDomain *two = add_domain(scene, "two", "tenant-a", UNREAD);
    MfDomain *other = add_domain(scene, "other", "tenant-b", UNREAD);

    decide(scene);
    g_assert_cmpstr(moved_to(scene, one), ==, "new");
    g_assert_null(moved_to(scene, two));
    g_assert_cmpstr(moved_to(scene, other), ==, "new");
    g_assert_cmpint(wanted(scene, one), ==, MF_MODE_UNKNOWN);
    g_assert_cmpint(first_reason(scene, two), ==, MF_REASON_WAITING);

    /* It is under way. */
    one->regrouping = other->regrouping = TRUE;
    decide(scene);
    g_assert_null(moved_to(scene, one));
    g_assert_null(moved_to(scene, two));

    one->regrouping = other->regrouping = FALSE;
    one->ksm_group_number = MF_U64(7);
    other->ksm_group_number = MF_U64(8);
    decide(scene);
    g_assert_null(moved_to(scene, one));
    g_assert_cmpint(wanted(scene, one), ==, MF_MODE_ON);
    g_assert_cmpstr(moved_to(scene, two), ==, "7");
    g_assert_null(moved_to(scene, other));
}

static void
test_table(void)
{
    static const struct {
        const char *group; /* NULL: none, which is isolated */
        guint64 number;
        const char *to;
        MfMode want;
    } cases[] = {
        {"shared", 0, NULL, MF_MODE_ON},          {"shared", 5, "0", MF_MODE_UNKNOWN},
        {"shared", UNREAD, "0", MF_MODE_UNKNOWN}, {NULL, 5, NULL, MF_MODE_ON},
        {"isolated", 5, NULL, MF_MODE_ON},        {NULL, 0, "new", MF_MODE_UNKNOWN},
        {NULL, UNREAD, "new", MF_MODE_UNKNOWN},   {"tenant-a", 5, NULL, MF_MODE_ON},
        {"tenant-a", 0, "new", MF_MODE_UNKNOWN},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Scene scene = {0};

        g_test_message("case %u", i);
        set_up(&scene, NULL);
        MfDomain *domain = add_domain(&scene, "vm", cases[i].group, cases[i].number);
        decide(&scene);
        g_assert_cmpstr(moved_to(&scene, domain), ==, cases[i].to);
        g_assert_cmpint(wanted(&scene, domain), ==, cases[i].want);
        scene_close(&scene, NULL);
    }
}

/* A new memfoldd finds domains where an old one has put them. */
static void
test_found_in_place(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", "tenant-a", 7);
    MfDomain *two = add_domain(scene, "two", "tenant-a", 7);
    MfDomain *late = add_domain(scene, "late", "tenant-a", 9);
    MfDomain *other = add_domain(scene, "other", "tenant-b", 8);
    MfDomain *alone = add_domain(scene, "alone", NULL, 6);

    decide(scene);
    g_assert_null(moved_to(scene, one));
    g_assert_null(moved_to(scene, two));
    g_assert_cmpstr(moved_to(scene, late), ==, "7");
    g_assert_null(moved_to(scene, other));
    g_assert_null(moved_to(scene, alone));
}

/* Whose the number was, is not known: all who are in it go. */
static void
test_found_mixed(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", "tenant-a", 7);
    MfDomain *other = add_domain(scene, "other", "tenant-b", 7);

    decide(scene);
    g_assert_cmpstr(moved_to(scene, one), ==, "new");
    g_assert_cmpstr(moved_to(scene, other), ==, "new");
    g_assert_cmpint(wanted(scene, one), ==, MF_MODE_UNKNOWN);
    g_assert_cmpint(wanted(scene, other), ==, MF_MODE_UNKNOWN);
}

/* Two that are isolated are not to be together, whatever their policies have in common. */
static void
test_isolated_from_each_other(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", NULL, 7);
    MfDomain *two = add_domain(scene, "two", NULL, 7);

    decide(scene);
    g_assert_cmpstr(moved_to(scene, one), ==, "new");
    g_assert_cmpstr(moved_to(scene, two), ==, "new");
}

/* Who changes his group leaves; the number stays with those who had it, also when nobody else is in
 * it now. */
static void
test_change_of_group(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", "tenant-a", 7);
    MfDomain *two = add_domain(scene, "two", "tenant-a", 7);
    MfDomain *other = add_domain(scene, "other", "tenant-b", 8);

    decide(scene);
    g_free(one->policy->group);
    one->policy->group = g_strdup("tenant-b");
    decide(scene);
    g_assert_cmpstr(moved_to(scene, one), ==, "8");
    g_assert_null(moved_to(scene, two));
    g_assert_null(moved_to(scene, other));

    one->ksm_group_number = MF_U64(8);
    g_free(two->policy->group);
    two->policy->group = g_strdup("tenant-c");
    decide(scene);
    g_assert_cmpstr(moved_to(scene, two), ==, "new");
}

/* X changes its group, and can neither be moved nor frozen: nobody new comes to it, and those who
 * are with it leave. */
static void
test_stuck_stranger(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *before = add_domain(scene, "before", "tenant-a", 7);
    MfDomain *x = add_domain(scene, "x", "tenant-a", 7);
    MfDomain *newcomer = add_domain(scene, "newcomer", NULL, 9);

    x->caps &= ~(guint)MF_CAP_FREEZE;
    x->merged_bytes = MF_U64(451 * MIB);
    decide(scene);
    g_free(x->policy->group);
    x->policy->group = g_strdup("tenant-b");
    newcomer->policy->group = g_strdup("tenant-a");
    decide(scene);
    g_assert_null(moved_to(scene, x));
    g_assert_cmpstr(moved_to(scene, newcomer), ==, "new");

    newcomer->ksm_group_number = MF_U64(10);
    decide(scene);
    g_assert_cmpint(wanted(scene, newcomer), ==, MF_MODE_ON);
    g_assert_cmpstr(moved_to(scene, before), ==, "10");
    g_assert_cmpint(wanted(scene, before), ==, MF_MODE_UNKNOWN);
    g_assert_null(moved_to(scene, x));
}

/* Who comes while one who is to leave still merges there waits for that. */
static void
test_leaving_stranger(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", "tenant-a", 7);
    MfDomain *two = add_domain(scene, "two", "tenant-a", 7);
    MfDomain *newcomer = add_domain(scene, "newcomer", NULL, 9);

    one->caps &= ~(guint)MF_CAP_FREEZE;
    decide(scene);
    g_free(one->policy->group);
    one->policy->group = g_strdup("tenant-b");
    decide(scene);
    g_assert_cmpstr(moved_to(scene, one), ==, "new");
    g_assert_null(moved_to(scene, two));

    one->regrouping = TRUE;
    g_free(newcomer->policy->group);
    newcomer->policy->group = g_strdup("tenant-a");
    decide(scene);
    g_assert_null(moved_to(scene, newcomer));
    g_assert_null(moved_to(scene, two));

    one->regrouping = FALSE;
    one->ksm_group_number = MF_U64(8);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, newcomer), ==, "7");
    g_assert_null(moved_to(scene, one));
    g_assert_null(moved_to(scene, two));
}

/* What a domain asks for that could not be read is not known: it stays where it is, and so do those
 * who are with it. */
static void
test_unread(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    for (guint shared = 0; shared < 2; shared++) {
        MfDomain *one = add_domain(scene, "one", "tenant-a", 7 + shared * 10);
        MfDomain *two = add_domain(scene, "two", "tenant-a", 7 + shared * 10);
        MfDomain *lone = add_domain(scene, "lone", NULL, 8 + shared * 10);

        scene->config->default_group = shared ? MF_DEFAULT_GROUP_SHARED : MF_DEFAULT_GROUP_ISOLATED;
        decide(scene);
        g_clear_pointer(&two->policy->group, g_free);
        two->memory_kind = lone->memory_kind = MF_MEMORY_UNKNOWN;
        decide(scene);
        decide(scene);
        g_assert_null(moved_to(scene, one));
        g_assert_cmpint(wanted(scene, one), ==, MF_MODE_ON);
        g_assert_null(moved_to(scene, two));
        g_assert_cmpint(wanted(scene, two), ==, MF_MODE_UNKNOWN);
        g_assert_null(moved_to(scene, lone));

        /* When nobody else is left, the number is still his. */
        one->ksm_group_number = MF_U64(9 + shared * 10);
        decide(scene);
        g_assert_cmpstr(moved_to(scene, one), ==, shared ? "17" : "7");
        g_ptr_array_set_size(scene->snapshot->domains, 0);
    }
}

/* A move that fails: the domain must not merge, and those whose number it is in must not stay with
 * it. */
static void
test_failed_move(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", "tenant-a", 7);
    MfDomain *stuck = add_domain(scene, "stuck", "tenant-a", 7);

    decide(scene);
    g_free(stuck->policy->group);
    stuck->policy->group = g_strdup("tenant-b");
    stuck->group_error = g_strdup("Operation not permitted");
    stuck->regrouping = TRUE;
    decide(scene);
    g_assert_cmpint(wanted(scene, stuck), ==, MF_MODE_OFF);
    g_assert_cmpint(first_reason(scene, stuck), ==, MF_REASON_GROUP_UNENFORCED);
    g_assert_cmpint(action_on(scene, stuck, MF_ACTION_DOMAIN_MODE)->mode, ==, MF_MODE_OFF);
    g_assert_cmpstr(moved_to(scene, one), ==, "new");
    g_assert_cmpint(wanted(scene, one), ==, MF_MODE_UNKNOWN);
}

/* Who is to be with everyone and can't be moved there goes on as he is, and is told why. */
static void
test_failed_move_to_all(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", "shared", 7);

    domain->group_error = g_strdup("Operation not permitted");
    decide(scene);
    const MfVerdict *verdict = mf_plan_find(scene->plan, domain->uuid);
    const MfReason *first = g_ptr_array_index(verdict->reasons, 0);
    g_assert_cmpint(verdict->want, ==, MF_MODE_UNKNOWN);
    g_assert_cmpint(first->code, ==, MF_REASON_WAITING);
    g_assert_nonnull(strstr(first->text, "Operation not permitted"));
}

/* Without groups nothing is moved, and what names one does not merge. */
static void
test_kernel_without_groups(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", "tenant-a", UNREAD);

    scene->snapshot->host.has_groups = FALSE;
    g_clear_pointer(&scene->snapshot->host.group_default, g_free);
    decide(scene);
    g_assert_null(moved_to(scene, domain));
    g_assert_cmpint(wanted(scene, domain), ==, MF_MODE_OFF);
    g_assert_cmpint(first_reason(scene, domain), ==, MF_REASON_GROUP_UNENFORCED);
}

/* Newcomers are isolated before there is anybody to be merged, and not by who must not touch a
 * knob. */
static void
test_newcomers(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    for (guint managed = 0; managed < 2; managed++) {
        guint found_count = 0;

        scene->config->manage = managed == 1;
        g_free(scene->snapshot->host.group_default);
        scene->snapshot->host.group_default = g_strdup("shared");
        decide(scene);
        for (guint i = 0; i < scene->plan->actions->len; i++) {
            const MfAction *action = g_ptr_array_index(scene->plan->actions, i);
            if (action->kind == MF_ACTION_KNOB && action->knob == MF_KNOB_GROUP_DEFAULT) {
                g_assert_cmpstr(action->to, ==, "isolated");
                found_count++;
            }
        }
        g_assert_cmpuint(found_count, ==, managed);
    }
}

/* A dry run decides with a copy. */
static void
test_copy(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", "tenant-a", 7);

    decide(scene);
    MfMemory *copy = mf_memory_copy(scene->memory);
    mf_memory_free(scene->memory);
    scene->memory = copy;
    g_free(one->policy->group);
    one->policy->group = g_strdup("tenant-b");
    decide(scene);
    g_assert_cmpstr(moved_to(scene, one), ==, "new");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/groups/table", test_table);
#define SCENE(name, function) g_test_add(name, Scene, NULL, set_up, function, scene_close)
    SCENE("/groups/first-of-a-name", test_first_of_a_name);
    SCENE("/groups/found-in-place", test_found_in_place);
    SCENE("/groups/found-mixed", test_found_mixed);
    SCENE("/groups/isolated-from-each-other", test_isolated_from_each_other);
    SCENE("/groups/change-of-group", test_change_of_group);
    SCENE("/groups/stuck-stranger", test_stuck_stranger);
    SCENE("/groups/leaving-stranger", test_leaving_stranger);
    SCENE("/groups/unread", test_unread);
    SCENE("/groups/failed-move", test_failed_move);
    SCENE("/groups/failed-move-to-all", test_failed_move_to_all);
    SCENE("/groups/kernel-without-groups", test_kernel_without_groups);
    SCENE("/groups/newcomers", test_newcomers);
    SCENE("/groups/copy", test_copy);
    return g_test_run();
}

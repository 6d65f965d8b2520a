/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory that moving to a group takes, and what is done while it is not there. */
#include "groups-scene.h"

#define MUCH MF_U64(451 * MIB) /* a MiB more than there is above the reserve */

/* Leaving a group takes memory for what was shared there. */
static void
test_headroom(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", "tenant-a", 0);

    domain->merged_bytes = MF_U64(451 * MIB);
    decide(scene);
    g_assert_null(moved_to(scene, domain));
    g_assert_cmpint(first_reason(scene, domain), ==, MF_REASON_NO_HEADROOM);
    domain->merged_bytes = MF_U64(450 * MIB);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, domain), ==, "new");

    /* What was merged since the accounts: a MiB is what 16384 items take. */
    domain->profit_bytes = MF_I64(450 * MIB);
    domain->rmap_items_pages = MF_U64(16384);
    decide(scene);
    g_assert_null(moved_to(scene, domain));
    domain->profit_bytes = MF_I64(449 * MIB);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, domain), ==, "new");

    /* Zero pages stay as they are. */
    domain->merged_bytes = MF_U64(100 * MIB);
    domain->zero_bytes = MF_U64(800 * MIB);
    domain->profit_bytes = MF_I64(1249 * MIB);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, domain), ==, "new");
    domain->profit_bytes = MF_I64(1250 * MIB);
    decide(scene);
    g_assert_null(moved_to(scene, domain));

    /* What was counted already when the accounts said that it is merged no longer. */
    domain->counted_bytes = MF_U64(101 * MIB);
    domain->scanned_since_bytes = MF_U64(0);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, domain), ==, "new");
    domain->counted_bytes = MF_U64(100 * MIB);
    decide(scene);
    g_assert_null(moved_to(scene, domain));
    domain->profit_bytes = MF_I64(1249 * MIB);
    scene->snapshot->host.mem_available_bytes = MF_U64_ABSENT;
    decide(scene);
    g_assert_null(moved_to(scene, domain));
}

/* All that move take it together, those that are under way included. */
static void
test_headroom_of_several(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *one = add_domain(scene, "one", "tenant-a", 0);
    MfDomain *two = add_domain(scene, "two", "tenant-b", 0);

    one->merged_bytes = MF_U64(300 * MIB);
    two->merged_bytes = MF_U64(200 * MIB);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, one), ==, "new");
    g_assert_null(moved_to(scene, two));
    one->regrouping = one->is_moving = TRUE;
    decide(scene);
    g_assert_null(moved_to(scene, two));

    /* Nothing is taken for a move that failed and is tried again later. */
    one->is_moving = FALSE;
    decide(scene);
    g_assert_cmpstr(moved_to(scene, two), ==, "new");
    one->is_moving = TRUE;
    two->merged_bytes = MF_U64(150 * MIB);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, two), ==, "new");
}

/* What moves take is not there for un-merging, nor the other way round; also while it is under
 * way. */
static void
test_headroom_is_spent_once(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *mover = add_domain(scene, "mover", "tenant-a", 0);
    MfDomain *off = add_domain(scene, "off", "tenant-b", 8);

    mover->merged_bytes = MF_U64(300 * MIB);
    off->policy->merge = MF_MERGE_OFF;
    off->saved_bytes = off->merged_bytes = MF_U64(200 * MIB);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, mover), ==, "new");
    g_assert_null(action_on(scene, off, MF_ACTION_DOMAIN_MODE));
    g_assert_cmpint(first_reason(scene, off), ==, MF_REASON_NO_HEADROOM);

    mover->regrouping = mover->is_moving = TRUE;
    decide(scene);
    g_assert_null(action_on(scene, off, MF_ACTION_DOMAIN_MODE));

    /* A mere question takes nothing, nor does one that was asked and has failed. */
    mover->regrouping = mover->is_moving = FALSE;
    off->switching = TRUE;
    decide(scene);
    g_assert_cmpstr(moved_to(scene, mover), ==, "new");

    /* QEMU goes on with what it was asked, also when that is wanted no longer. */
    off->is_unmerging = TRUE;
    off->policy->merge = MF_MERGE_ON;
    decide(scene);
    g_assert_null(moved_to(scene, mover));
    off->policy->merge = MF_MERGE_OFF;
    decide(scene);
    g_assert_null(moved_to(scene, mover));
    g_assert_cmpint(first_reason(scene, mover), ==, MF_REASON_NO_HEADROOM);

    /* What one domain has merged is given back once, whatever is done to it. */
    off->regrouping = off->is_moving = TRUE;
    mover->merged_bytes = MF_U64(250 * MIB);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, mover), ==, "new");
}

/* Who is to be un-merged and elsewhere gives back once, too, what he has merged. */
static void
test_moved_and_switched_off(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = add_domain(scene, "vm", "tenant-a", 0);

    domain->policy->merge = MF_MERGE_OFF;
    domain->merged_bytes = MF_U64(300 * MIB);
    domain->saved_bytes = MF_U64(250 * MIB);
    decide(scene);
    g_assert_cmpstr(moved_to(scene, domain), ==, "new");
    g_assert_nonnull(action_on(scene, domain, MF_ACTION_DOMAIN_MODE));

    domain->regrouping = domain->is_moving = TRUE;
    decide(scene);
    g_assert_nonnull(action_on(scene, domain, MF_ACTION_DOMAIN_MODE));

    /* What un-merging takes beyond that has to be there: 450 MiB are, less 300 for the move. */
    domain->saved_bytes = MF_U64(451 * MIB);
    decide(scene);
    g_assert_null(action_on(scene, domain, MF_ACTION_DOMAIN_MODE));
    g_assert_cmpint(first_reason(scene, domain), ==, MF_REASON_NO_HEADROOM);
    domain->saved_bytes = MF_U64(450 * MIB);
    decide(scene);
    g_assert_nonnull(action_on(scene, domain, MF_ACTION_DOMAIN_MODE));
}

/* Who can't be moved yet shares no more with those he is to be kept from. */
static void
test_frozen_until_moved(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        const char *group;
        guint caps;
        MfMode mode;
        MfU64 merged_bytes;
        MfMerge merge;
        MfMode want;
        MfReasonCode cause; /* that is logged when it is frozen */
    } cases[] = {
        {"tenant-a", MF_CAP_FREEZE, MF_MODE_ON, MUCH, MF_MERGE_ON, MF_MODE_FROZEN,
         MF_REASON_NO_HEADROOM},
        {"tenant-a",
         MF_CAP_FREEZE,
         MF_MODE_ON,
         {FALSE, 0},
         MF_MERGE_AUTO,
         MF_MODE_FROZEN,
         MF_REASON_WAITING},
        {"tenant-a", MF_CAP_FREEZE, MF_MODE_ON, MUCH, MF_MERGE_FREEZE, MF_MODE_FROZEN,
         MF_REASON_POLICY},
        {"tenant-a", MF_CAP_FREEZE, MF_MODE_FROZEN, MUCH, MF_MERGE_ON, MF_MODE_UNKNOWN, 0},
        {"tenant-a", 0, MF_MODE_ON, MUCH, MF_MERGE_ON, MF_MODE_UNKNOWN, 0},
        {"shared", MF_CAP_FREEZE, MF_MODE_ON, MUCH, MF_MERGE_ON, MF_MODE_UNKNOWN, 0},
    };
    MfDomain *domain = add_domain(scene, "vm", NULL, 0);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        domain->ksm_group_number.value = g_str_equal(cases[i].group, "shared") ? 5 : 0;
        g_free(domain->policy->group);
        domain->policy->group = g_strdup(cases[i].group);
        domain->caps = MF_CAP_PROBED | MF_CAP_SET_MERGE | cases[i].caps;
        domain->mode = cases[i].mode;
        domain->merged_bytes = cases[i].merged_bytes;
        domain->policy->merge = cases[i].merge;
        decide(scene);
        g_assert_cmpint(wanted(scene, domain), ==, cases[i].want);
        g_assert_null(moved_to(scene, domain));
        const MfAction *action = action_on(scene, domain, MF_ACTION_DOMAIN_MODE);
        g_assert_cmpint(action != NULL, ==, cases[i].want == MF_MODE_FROZEN);
        if (action != NULL) {
            g_assert_cmpint(action->reason->code, ==, cases[i].cause);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define SCENE(name, function)                                                                      \
    g_test_add("/groups-room/" name, Scene, NULL, set_up, function, scene_close)
    SCENE("headroom", test_headroom);
    SCENE("headroom-of-several", test_headroom_of_several);
    SCENE("headroom-is-spent-once", test_headroom_is_spent_once);
    SCENE("moved-and-switched-off", test_moved_and_switched_off);
    SCENE("frozen-until-moved", test_frozen_until_moved);
    return g_test_run();
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether there is a storm, what is told of it, and what ksmd does meanwhile. */
#include "mf-storm-scene.h"

/* One interval of a second before which all is quiet; what is written, saved no more, and lost. */
static void
test_measures(void)
{
    static const struct {
        const char *name;
        gboolean counted;                           /* the kernel counts what is written */
        guint64 written_mib, dropped_mib, zero_mib; /* pages of zeroes are dropped as well */
        gint64 lost_mib;                            /* less than 0: more is at hand */
        guint64 swap_mib;
        guint64 rate_mib, loss_mib, expected_mib;
        gboolean raging;
    } cases[] = {
        {"nothing happens", TRUE, 0, 0, 0, 0, 0, 0, 0, 0, FALSE},
        {"memory goes elsewhere", TRUE, 0, 0, 0, 900, 0, 0, 0, 0, FALSE},
        {"a storm", TRUE, 100, 0, 0, 100, 0, 100, 100, 1948, TRUE},
        {"a slow one lasts longer than the horizon", TRUE, 30, 0, 0, 30, 0, 30, 30, 2018, FALSE},
        {"counted by saved memory alone", FALSE, 0, 100, 0, 100, 0, 100, 100, 1948, TRUE},
        {"zero pages show only there", TRUE, 0, 0, 100, 100, 0, 100, 100, 1948, TRUE},
        {"beside what else is written", TRUE, 60, 0, 40, 100, 0, 100, 100, 1948, TRUE},
        {"a domain ends with them, and another one writes", TRUE, 60, 0, 300, -200, 0, 60, 60, 1688,
         TRUE},
        {"what ksmd notices was written before", TRUE, 0, 100, 0, 100, 0, 0, 0, 0, FALSE},
        {"swap is at hand, too", TRUE, 100, 0, 0, 100, 2200, 100, 100, 1948, FALSE},
        {"what is left fits: no storm", TRUE, 100, 1200, 0, 100, 0, 100, 100, 848, FALSE},
        {"a domain ends, and takes its savings with it", TRUE, 0, 600, 0, -300, 0, 0, 0, 0, FALSE},
        {"the same, counted by saved memory alone", FALSE, 0, 600, 0, -300, 0, 0, 0, 0, FALSE},
        {"one ends, and another one writes", TRUE, 100, 600, 0, -300, 0, 100, 100, 1448, TRUE},
        {"no more was written than was lost", FALSE, 0, 600, 0, 100, 0, 100, 100, 1448, TRUE},
        {"what falls with it counts", TRUE, 60, 0, 0, 120, 0, 60, 120, 3976, TRUE},
        {"little of what falls is merged memory", TRUE, 10, 0, 0, 500, 0, 10, 10, 2038, FALSE},
        {"less than a MiB a second is nothing", FALSE, 0, 0, 0, 1000, 0, 0, 0, 0, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Scene scene;

        g_test_message("%s", cases[i].name);
        scene_open(&scene, NULL);
        scene.host->swap_free_bytes = MF_U64(cases[i].swap_mib * MIB);
        if (!cases[i].counted) {
            scene.host->cow_breaks_count = MF_U64_ABSENT;
        }
        scene.host->zero_pages = MF_U64(400 * MIB_PAGES);
        scene_tick(&scene, 0);
        scene.host->zero_pages.value -= cases[i].zero_mib * MIB_PAGES;
        scene.host->cow_breaks_count.value += cases[i].written_mib * MIB_PAGES;
        scene.host->saved_bytes.value -= (cases[i].dropped_mib + cases[i].zero_mib) * MIB;
        scene.host->mem_available_bytes.value -= (guint64)cases[i].lost_mib * MIB;
        scene_tick(&scene, G_USEC_PER_SEC);
        const MfStorm *storm = scene_storm(&scene);
        g_assert_cmpuint(storm->written_rate_bytes.value / MIB, ==, cases[i].rate_mib);
        g_assert_cmpuint(storm->loss_rate_bytes.value / MIB, ==, cases[i].loss_mib);
        g_assert_cmpuint(storm->expected_bytes / MIB, ==, cases[i].expected_mib);
        g_assert_cmpint(storm->raging, ==, cases[i].raging);
        scene_close(&scene, NULL);
    }
}

static void
test_the_reserve_is_not_at_hand(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene->config->reserve_permyriad = 1000;
    scene_tick(scene, 0);
    scene_write(scene, domain, 24);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_storm(scene)->headroom_bytes.value / MIB, ==, 1000 - 410);
    g_assert_true(scene_storm(scene)->raging);
}

static void
test_what_is_not_known_is_no_storm(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene->config->storm_suspend = TRUE;
    scene->host->swap_free_bytes = MF_U64_ABSENT;
    scene_tick(scene, 0);
    scene_write(scene, domain, 900);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_false(mf_storm_left_msec(scene_storm(scene)).known);
    g_assert_false(scene_storm(scene)->raging);
    g_assert_null(scene_action(scene, MF_ACTION_SUSPEND, domain));
}

/* It begins below the horizon, lasts to twice of that, and for five seconds more. */
static void
test_hysteresis(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        guint sec;
        guint64 mib_per_sec;
        gboolean raging;
    } steps[] = {{1, 20, FALSE}, {1, 40, TRUE}, {1, 20, TRUE}, {1, 12, TRUE},  {3, 12, TRUE},
                 {1, 20, TRUE},  {4, 12, TRUE}, {4, 12, TRUE}, {1, 12, FALSE}, {1, 20, FALSE}};
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene->config->storm_horizon_msec = 30000;
    scene_tick(scene, 0);
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_test_message("step %u", i);
        scene_write(scene, domain, steps[i].mib_per_sec * steps[i].sec);
        scene->host->mem_available_bytes = MF_U64(1000 * MIB);
        scene_tick(scene, steps[i].sec * G_USEC_PER_SEC);
        g_assert_cmpint(scene_storm(scene)->raging, ==, steps[i].raging);
    }
}

static void
test_ticks_come_faster(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        guint64 available_mib, mib_per_sec;
        guint tick_msec;
    } steps[] = {{3000, 0, 2000}, {1000, 0, 500}, {1000, 10, 250}, {1000, 100, 250}};
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene_tick(scene, 0);
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_test_message("step %u", i);
        scene_write(scene, domain, steps[i].mib_per_sec);
        scene->host->mem_available_bytes = MF_U64(steps[i].available_mib * MIB);
        scene_tick(scene, G_USEC_PER_SEC);
        g_assert_cmpuint(mf_storm_tick_msec(scene->config, scene_storm(scene)), ==,
                         steps[i].tick_msec);
    }
    scene->config->tick_msec = 100;
    g_assert_cmpuint(mf_storm_tick_msec(scene->config, scene_storm(scene)), ==, 100);
}

/* A look that comes right after another one does not take the interval away. */
static void
test_looks_that_follow_closely_are_one(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    scene_tick(scene, 0);
    scene_write(scene, domain, 50);
    scene_tick(scene, 100 * 1000);
    g_assert_false(scene_storm(scene)->raging);
    scene_write(scene, domain, 50);
    scene_tick(scene, 900 * 1000);
    g_assert_true(scene_storm(scene)->raging);
    g_assert_cmpuint(scene_storm(scene)->loss_rate_bytes.value / MIB, ==, 100);
}

static void
test_ksmd_stops_and_the_writers_are_named(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *quiet = scene_add(scene, "quiet", 100);
    MfDomain *some = scene_add(scene, "some", 100);
    MfDomain *most = scene_add(scene, "most", 100);

    scene_tick(scene, 0);
    scene_write(scene, some, 40);
    scene_write(scene, most, 60);
    scene_tick(scene, G_USEC_PER_SEC);
    const MfAction *stop = g_ptr_array_index(scene->plan->actions, 0);
    g_assert_cmpint(stop->kind, ==, MF_ACTION_KNOB);
    g_assert_cmpint(stop->knob, ==, MF_KNOB_RUN);
    g_assert_cmpstr(stop->to, ==, "0");
    g_assert_cmpint(stop->reason->code, ==, MF_REASON_STORM);
    const char *text = scene_host_reason(scene)->text;
    g_test_message("%s", text);
    g_assert_nonnull(strstr(text, "100.0 MiB a second, most of it by most (60.0 MiB so far), some "
                                  "(40.0 MiB so far): 924.0 MiB at hand last 9.2 s"));
    g_assert_null(strstr(text, quiet->name));

    /* Without ksmd to be governed it is told all the same. */
    scene->config->manage = FALSE;
    scene_write(scene, most, 60);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpint(scene_host_reason(scene)->code, ==, MF_REASON_STORM);
}

/* Where the kernel does not count for each domain, what a domain has of its own tells, later. */
static void
test_writers_of_a_kernel_that_does_not_count(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *domain = scene_add(scene, "vm", 100);

    domain->cow_breaks_count = MF_U64_ABSENT;
    scene_tick(scene, 0);
    scene_write(scene, domain, 100);
    domain->cow_breaks_count = MF_U64_ABSENT;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_null(strstr(scene_host_reason(scene)->text, "most of it by"));
    domain->saved_bytes.value -= 90 * MIB;
    scene_write(scene, domain, 100);
    domain->cow_breaks_count = MF_U64_ABSENT;
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(strstr(scene_host_reason(scene)->text, "most of it by vm (90.0 MiB so far)"));
}

/* A domain that is seen for the first time in a storm has no figure from before it. */
static void
test_one_that_comes_in_a_storm_is_named(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *first = scene_add(scene, "first", 100);

    scene_tick(scene, 0);
    scene_write(scene, first, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    MfDomain *late = scene_add(scene, "late", 100);
    scene_write(scene, first, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_null(strstr(scene_host_reason(scene)->text, "late"));
    scene_write(scene, late, 50);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(strstr(scene_host_reason(scene)->text, "late (50.0 MiB so far)"));

    /* Nor has one that the guard had to do with before it had a look at it. */
    MfDomain *owed = scene_add(scene, "owed", 100);
    mf_storm_owe(&scene->memory->storm, owed->uuid, FALSE, NULL);
    scene_write(scene, first, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    scene_write(scene, owed, 70);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(strstr(scene_host_reason(scene)->text, "owed (70.0 MiB so far)"));
}

/* A move copies what is merged, too; there would be room for this one. */
static void
test_nobody_is_moved_meanwhile(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *writer = scene_add(scene, "writer", 100);
    MfDomain *mover = scene_add(scene, "mover", 100);

    scene->host->has_groups = TRUE;
    scene_tick(scene, 0);
    mover->policy->group = g_strdup("tenant-a");
    mover->pid = 4711;
    mover->ksm_group_number = MF_U64(0);
    mover->merged_bytes = MF_U64(1 * MIB);
    scene_write(scene, writer, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_true(scene_storm(scene)->raging);
    g_assert_null(scene_action(scene, MF_ACTION_GROUP, mover));
    const GPtrArray *reasons = mf_plan_find(scene->plan, mover->uuid)->reasons;
    gboolean is_told = FALSE;
    for (guint i = 0; i < reasons->len; i++) {
        const MfReason *reason = g_ptr_array_index(reasons, i);
        g_assert_cmpint(reason->code, !=, MF_REASON_NO_HEADROOM);
        is_told |= reason->code == MF_REASON_WAITING && strstr(reason->text, "storm");
    }
    g_assert_true(is_told);
    mover->merged_bytes = MF_U64(0);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_GROUP, mover));
}

static void
test_nobody_is_unmerged_meanwhile(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *writer = scene_add(scene, "writer", 100);
    MfDomain *leaver = scene_add(scene, "leaver", 100);
    MfDomain *starter = scene_add(scene, "starter", 0);

    scene_tick(scene, 0);
    leaver->policy->merge = starter->policy->merge = MF_MERGE_OFF;
    leaver->saved_bytes = MF_U64(1 * MIB);
    starter->saved_bytes = MF_U64_ABSENT;
    scene_write(scene, writer, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_null(scene_action(scene, MF_ACTION_DOMAIN_MODE, leaver));
    g_assert_cmpint(scene_reason(scene, leaver)->code, ==, MF_REASON_WAITING);
    g_assert_nonnull(strstr(scene_reason(scene, leaver)->text, "storm"));
    g_assert_null(scene_action(scene, MF_ACTION_DOMAIN_MODE, starter));

    /* Who has nothing merged takes no memory, and ksmd may be waiting for that. */
    starter->saved_bytes = starter->merged_bytes = MF_U64(0);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_true(scene_storm(scene)->raging);
    g_assert_nonnull(scene_action(scene, MF_ACTION_DOMAIN_MODE, starter));
    starter->mode = MF_MODE_OFF;
    g_assert_null(scene_action(scene, MF_ACTION_DOMAIN_MODE, leaver));
    for (guint i = 0; i < 6; i++) {
        scene_tick(scene, G_USEC_PER_SEC);
    }
    g_assert_false(scene_storm(scene)->raging);
    g_assert_nonnull(scene_action(scene, MF_ACTION_DOMAIN_MODE, leaver));
}

static void
test_ksmd_of_others_is_not_said_to_stop(Scene *scene, gconstpointer unused G_GNUC_UNUSED)
{
    MfDomain *vm = scene_add(scene, "vm", 100);

    scene->config->manage = FALSE;
    scene_tick(scene, 0);
    scene_write(scene, vm, 500);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_true(scene_storm(scene)->raging);
    const MfReason *reason = g_ptr_array_index(scene->plan->host_reasons, 0);
    g_assert_cmpint(reason->code, ==, MF_REASON_STORM);
    g_assert_nonnull(strstr(reason->text, "ksmd is not memfold's to stop"));
}

#define SCENE(path, function)                                                                      \
    g_test_add("/storm/" path, Scene, NULL, scene_open, function, scene_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/storm/measures", test_measures);
    SCENE("reserve", test_the_reserve_is_not_at_hand);
    SCENE("unknown", test_what_is_not_known_is_no_storm);
    SCENE("hysteresis", test_hysteresis);
    SCENE("ticks", test_ticks_come_faster);
    SCENE("close-looks", test_looks_that_follow_closely_are_one);
    SCENE("reason", test_ksmd_stops_and_the_writers_are_named);
    SCENE("not-ours", test_ksmd_of_others_is_not_said_to_stop);
    SCENE("newcomer", test_one_that_comes_in_a_storm_is_named);
    SCENE("stock", test_writers_of_a_kernel_that_does_not_count);
    SCENE("unmerging", test_nobody_is_unmerged_meanwhile);
    SCENE("not-moved", test_nobody_is_moved_meanwhile);
    return g_test_run();
}

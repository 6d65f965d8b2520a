/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who gives way in a storm. */
#include "mf-storm-three.h"

static guint64
reclaimed_mib(const Three *three, const MfDomain *domain)
{
    const MfAction *action = scene_action(&three->scene, MF_ACTION_RECLAIM, domain);

    return action != NULL ? action->bytes / MIB : 0;
}

/* 300 MiB a second for five seconds are wanted, 124 MiB are there: the lowest gives 600 MiB, which
 * is all it has of its own, the next one the rest. */
static void
test_reclaims_by_priority(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.host->swap_free_bytes = MF_U64(800 * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    storm(three, 100);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 600);
    g_assert_cmpuint(reclaimed_mib(three, three->middle), ==, 1500 - 724 - 600);
    g_assert_null(scene_action(&three->scene, MF_ACTION_RECLAIM, three->high));
    g_assert_cmpint(scene_reason(&three->scene, three->low)->code, ==, MF_REASON_GIVES_WAY);
    g_assert_nonnull(strstr(scene_reason(&three->scene, three->low)->text, "600.0 MiB"));
    g_assert_cmpint(scene_reason(&three->scene, three->high)->code, !=, MF_REASON_GIVES_WAY);
}

/* While one that has more to give is asked, nobody above it is. */
static void
test_the_lower_one_is_waited_for(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.host->swap_free_bytes = MF_U64(3000 * MIB);
    three->scene.host->saved_bytes = MF_U64(8000 * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    three->scene.host->mem_available_bytes = MF_U64(700 * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    storm(three, 50);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 200);
    storm(three, 50);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_RECLAIM), ==, 0);

    scene_done(&three->scene, MF_ACTION_RECLAIM, three->low, TRUE);
    storm(three, 50);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 400);
    g_assert_cmpuint(reclaimed_mib(three, three->middle), ==, 100);
}

/* Renewed accounts lack what has gone to swap, which is not taken off twice. */
static void
test_what_is_left_by_new_accounts(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.host->swap_free_bytes = MF_U64(3000 * MIB);
    three->scene.host->saved_bytes = MF_U64(8000 * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    storm(three, 100);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 600);
    g_assert_cmpuint(reclaimed_mib(three, three->middle), ==, 176);

    /* Half of it has gone by the accounts, and all of it is still under way. */
    three->low->resident_bytes = MF_U64(700 * MIB);
    three->scene.host->mem_available_bytes = MF_U64(1024 * MIB);
    storm(three, 100);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 0);
    scene_done(&three->scene, MF_ACTION_RECLAIM, three->low, TRUE);
    scene_done(&three->scene, MF_ACTION_RECLAIM, three->middle, TRUE);
    three->scene.host->mem_available_bytes = MF_U64(1024 * MIB);
    storm(three, 100);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 0);
    scene_done(&three->scene, MF_ACTION_RECLAIM, three->middle, TRUE);

    three->low->resident_bytes = MF_U64(650 * MIB);
    three->scene.host->mem_available_bytes = MF_U64(1024 * MIB);
    storm(three, 100);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 250);
    const MfReason *given =
        g_ptr_array_index(mf_plan_find(three->scene.plan, three->low->uuid)->reasons, 1);
    g_assert_nonnull(strstr(given->text, "up to 600.0 MiB"));
}

/* One that can't give is passed over for a while, longer each time. */
static void
test_a_failure_is_passed_over(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.host->swap_free_bytes = MF_U64(3000 * MIB);
    three->scene.host->saved_bytes = MF_U64(8000 * MIB);
    three->scene.host->mem_available_bytes = MF_U64(700 * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    storm(three, 50);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 200);
    scene_done(&three->scene, MF_ACTION_RECLAIM, three->low, FALSE);
    scene_write(&three->scene, three->high, 75);
    scene_tick(&three->scene, SCENE_TICK_USEC);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 0);
    g_assert_cmpuint(reclaimed_mib(three, three->middle), >, 0);
    scene_done(&three->scene, MF_ACTION_RECLAIM, three->middle, TRUE);
    /* What it has not given is still there. */
    storm(three, 50);
    g_assert_cmpuint(reclaimed_mib(three, three->low), ==, 425);
}

/* One that gives, and takes long for it, is asked for the rest at the next tick, before the next
 * domain; one that gives nothing has to wait. */
static void
test_a_slow_one_is_asked_again(void)
{
    static const struct {
        gboolean succeeded;
        guint64 given_mib, again_mib, next_mib; /* then asked of the same one, and of the next */
    } cases[] = {
        {TRUE, 200, 400, 100}, /* 500 are wanted then: the rest of its 600, and of the next */
        {TRUE, 50, 500, 0},
        {FALSE, 50, 500, 0},
        {FALSE, 0, 0, 500},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Three three;

        g_test_message("case %u", i);
        three_open(&three, NULL);
        three.scene.host->swap_free_bytes = MF_U64(3000 * MIB);
        three.scene.host->saved_bytes = MF_U64(8000 * MIB);
        three.scene.host->mem_available_bytes = MF_U64(700 * MIB);
        scene_tick(&three.scene, G_USEC_PER_SEC);
        storm(&three, 50);
        g_assert_cmpuint(reclaimed_mib(&three, three.low), ==, 200);
        mf_storm_done(&three.scene.memory->storm, MF_ACTION_RECLAIM, three.low->uuid,
                      cases[i].succeeded, cases[i].given_mib * MIB,
                      three.scene.snapshot->taken_usec);
        scene_write(&three.scene, three.high, 50);
        scene_tick(&three.scene, SCENE_TICK_USEC);
        g_assert_cmpuint(reclaimed_mib(&three, three.low), ==, cases[i].again_mib);
        g_assert_cmpuint(reclaimed_mib(&three, three.middle), ==, cases[i].next_mib);
        three_close(&three, NULL);
    }
}

static void
test_nothing_is_reclaimed_without_swap(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    storm(three, 100);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_RECLAIM), ==, 0);
    three->scene.host->swap_free_bytes = MF_U64(100 * MIB);
    three->scene.config->storm_reclaim = FALSE;
    storm(three, 100);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_RECLAIM), ==, 0);
}

/* 300 MiB a second leave 2.4 s of 724 MiB; 200 leave 3.6 s, and 3.5 s are a quarter of the
 * horizon. */
static void
test_pauses_the_lowest_and_no_more(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.config->storm_horizon_msec = 14000;
    storm(three, 100);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_SUSPEND), ==, 0);

    three->scene.host->mem_available_bytes = MF_U64(1024 * MIB);
    scene_tick(&three->scene, 0);
    three->scene.config->storm_suspend = TRUE;
    storm(three, 100);
    const MfAction *action = scene_action(&three->scene, MF_ACTION_SUSPEND, three->low);
    g_assert_nonnull(action);
    g_assert_cmpstr(action->from, ==, "running");
    g_assert_cmpstr(action->to, ==, "paused");
    g_assert_cmpint(action->reason->code, ==, MF_REASON_SUSPENDED);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_SUSPEND), ==, 1);
    g_assert_cmpint(scene_reason(&three->scene, three->low)->code, ==, MF_REASON_SUSPENDED);
}

static void
test_pauses_as_many_as_it_takes(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.config->storm_suspend = TRUE;
    three->scene.config->storm_horizon_msec = 26000; /* a quarter is 6.5 s; one alone has 7.2 s */
    storm(three, 100);
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_SUSPEND, three->low));
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_SUSPEND, three->middle));
    g_assert_null(scene_action(&three->scene, MF_ACTION_SUSPEND, three->high));

    /* They count as if they stood still, until they are overdue: then it is the next one's turn. */
    scene_write(&three->scene, three->high, 25);
    scene_tick(&three->scene, SCENE_TICK_USEC);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_SUSPEND), ==, 0);
    three->scene.host->mem_available_bytes = MF_U64(700 * MIB);
    scene_tick(&three->scene, 5 * G_USEC_PER_SEC);
    storm(three, 50);
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_SUSPEND, three->high));
}

/* To pause one that writes nothing brings nothing. */
static void
test_who_writes_nothing_goes_on(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.config->storm_suspend = TRUE;
    scene_write(&three->scene, three->middle, 150);
    scene_write(&three->scene, three->high, 150);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    g_assert_null(scene_action(&three->scene, MF_ACTION_SUSPEND, three->low));
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_SUSPEND, three->middle));
}

/* A kernel that does not count for each domain: each has its share of the storm. */
static void
test_pauses_where_nobody_counts(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.config->storm_suspend = TRUE;
    three->scene.config->storm_horizon_msec = 14000;
    for (guint i = 0; i < three->scene.snapshot->domains->len; i++) {
        MfDomain *domain = g_ptr_array_index(three->scene.snapshot->domains, i);
        domain->cow_breaks_count = MF_U64_ABSENT;
    }
    three->scene.host->cow_breaks_count.value += 300 * MIB_PAGES;
    three->scene.host->mem_available_bytes = MF_U64(724 * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_SUSPEND, three->low));
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_SUSPEND), ==, 1);
}

/* So little time is left that nothing new is waited for; what the pause has brought counts all the
 * same, wherever the rates are of before it. */
static void
test_a_pause_counts_at_once(Three *three, gconstpointer counted)
{
    Scene *scene = &three->scene;

    scene->config->storm_suspend = TRUE;
    for (guint i = 0; counted == NULL && i < scene->snapshot->domains->len; i++) {
        MfDomain *domain = g_ptr_array_index(scene->snapshot->domains, i);
        domain->cow_breaks_count = MF_U64_ABSENT;
    }
    scene->host->mem_available_bytes = MF_U64(1300 * MIB);
    scene_tick(scene, 0);
    scene->config->storm_horizon_msec = 2000; /* a quarter is half a second */
    if (counted != NULL) {
        scene_write(scene, three->low, 800);
        scene_write(scene, three->middle, 100);
        scene_write(scene, three->high, 100);
    } else {
        scene->host->cow_breaks_count.value += 900 * MIB_PAGES;
        scene->host->mem_available_bytes = MF_U64(400 * MIB);
    }
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(mf_storm_left_msec(scene_storm(scene)).value, <, 500);
    g_assert_nonnull(scene_action(scene, MF_ACTION_SUSPEND, three->low));
    g_assert_cmpuint(scene_count(scene, MF_ACTION_SUSPEND), ==, 1);
    scene->snapshot->taken_usec += 10 * 1000;
    scene_done(scene, MF_ACTION_SUSPEND, three->low, TRUE);
    scene_tick(scene, 10 * 1000);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_SUSPEND), ==, 0);
}

/* What a pause has brought shows only in an interval that began after it. */
static void
test_the_effect_is_waited_for(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.config->storm_suspend = TRUE;
    three->scene.config->storm_horizon_msec = 14000;
    storm(three, 100);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_SUSPEND), ==, 1);
    mf_storm_done(&three->scene.memory->storm, MF_ACTION_SUSPEND, three->low->uuid, TRUE, 0,
                  three->scene.snapshot->taken_usec + 1000);
    storm(three, 50);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_SUSPEND), ==, 0);
    storm(three, 50);
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_SUSPEND, three->middle));
    g_assert_null(scene_action(&three->scene, MF_ACTION_SUSPEND, three->low));
}

/* A dry run asks nobody. */
static void
test_a_copy_is_its_own(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->config->storm_suspend = TRUE;
    scene_write(scene, three->low, 300);
    scene->snapshot->taken_usec += G_USEC_PER_SEC;
    g_autoptr(MfMemory) copy = mf_memory_copy(scene->memory);
    g_autoptr(MfPlan) dry = mf_decide(scene->config, scene->snapshot, copy);
    g_assert_nonnull(dry);
    g_assert_true(copy->storm.raging);
    g_assert_false(scene_storm(scene)->raging);
    scene_tick(scene, 0);
    g_assert_nonnull(scene_action(scene, MF_ACTION_SUSPEND, three->low));
    mf_storm_forget(&scene->memory->storm, three->low->uuid);
    g_assert_nonnull(g_hash_table_lookup(copy->storm.victims, three->low->uuid));
}

/* The end of a domain may be told before the last snapshot that has it is looked at. */
static void
test_who_is_gone_is_forgotten(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;
    GHashTable *victims = scene_storm(scene)->victims;
    g_autofree char *gone = g_strdup(three->low->uuid);

    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(g_hash_table_size(victims), ==, 3);
    mf_storm_owe(&scene->memory->storm, "too new for the snapshot", TRUE, NULL);
    mf_storm_owe(&scene->memory->storm, "owes nothing", FALSE, NULL);
    g_assert_true(g_ptr_array_remove(scene->snapshot->domains, three->low));
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(g_hash_table_size(victims), ==, 3);
    g_assert_null(g_hash_table_lookup(victims, gone));
    g_assert_nonnull(g_hash_table_lookup(victims, "too new for the snapshot"));
}

#define THREE(path, function)                                                                      \
    g_test_add("/storm-victims/" path, Three, NULL, three_open, function, three_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    THREE("reclaim", test_reclaims_by_priority);
    THREE("reclaim-waits", test_the_lower_one_is_waited_for);
    THREE("reclaim-accounts", test_what_is_left_by_new_accounts);
    THREE("reclaim-fails", test_a_failure_is_passed_over);
    g_test_add_func("/storm-victims/reclaim-slow", test_a_slow_one_is_asked_again);
    THREE("no-swap", test_nothing_is_reclaimed_without_swap);
    THREE("pause", test_pauses_the_lowest_and_no_more);
    THREE("pause-more", test_pauses_as_many_as_it_takes);
    THREE("pause-writers", test_who_writes_nothing_goes_on);
    THREE("pause-stock", test_pauses_where_nobody_counts);
    g_test_add("/storm-victims/pause-at-once", Three, "counted", three_open,
               test_a_pause_counts_at_once, three_close);
    THREE("pause-at-once-stock", test_a_pause_counts_at_once);
    THREE("pause-settles", test_the_effect_is_waited_for);
    THREE("copy", test_a_copy_is_its_own);
    THREE("gone", test_who_is_gone_is_forgotten);
    return g_test_run();
}

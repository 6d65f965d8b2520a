/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who goes on after a storm, in which order, and what is told of those that do not. */
#include "mf-storm-three.h"

/* All three were paused, and the storm is over. */
static void
pause_all(Three *three)
{
    MfDomain *domains[] = {three->low, three->middle, three->high};

    storm(three, 100);
    for (guint i = 0; i < G_N_ELEMENTS(domains); i++) {
        mf_storm_owe(&three->scene.memory->storm, domains[i]->uuid, TRUE, NULL);
    }
    three->scene.memory->storm.acted_usec = three->scene.snapshot->taken_usec;
    three->scene.host->mem_available_bytes = MF_U64(500 * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    g_assert_true(scene_storm(&three->scene)->raging);
    g_assert_cmpint(scene_reason(&three->scene, three->high)->code, ==, MF_REASON_SUSPENDED);
    scene_tick(&three->scene, 5 * G_USEC_PER_SEC);
    g_assert_false(scene_storm(&three->scene)->raging);
}

static void
test_the_highest_goes_on_when_there_is_room(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->config->coverage_permyriad = 10000;
    pause_all(three);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 0);
    const char *text = scene_reason(scene, three->high)->text;
    g_assert_nonnull(strstr(text, "640.0 MiB, and 500.0 MiB are at hand"));
    g_assert_nonnull(strstr(scene_reason(scene, three->high)->remedy,
                            "140 MiB of swap, or stop a domain, or migrate one that runs"));
    /* Merging is what makes room now, covered or not. */
    g_assert_cmpint(scene_host_reason(scene)->code, ==, MF_REASON_SUSPENDED);
    const MfReason *next = g_ptr_array_index(scene->plan->host_reasons, 1);
    g_assert_cmpint(next->code, ==, MF_REASON_DOMAINS);

    scene->host->mem_available_bytes = MF_U64(640 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->high));
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 1);

    scene_done(scene, MF_ACTION_RESUME, three->high, TRUE);
    scene_tick(scene, 4 * G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 0);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->middle));
    scene_done(scene, MF_ACTION_RESUME, three->middle, FALSE);
    scene_tick(scene, 500 * 1000);
    g_assert_null(scene_action(scene, MF_ACTION_RESUME, three->middle));
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->middle));
}

/* Who goes on alone writes no more than it has merged: that has room, and is no storm again. */
static void
test_those_that_stand_still_do_not_count(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->config->storm_suspend = TRUE;
    pause_all(three);
    scene->host->mem_available_bytes = MF_U64(640 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    scene_done(scene, MF_ACTION_RESUME, three->high, TRUE);
    scene_write(scene, three->high, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_false(scene_storm(scene)->raging);
    g_assert_cmpuint(scene_storm(scene)->expected_bytes / MIB, ==, 512);
    scene->host->mem_available_bytes = MF_U64(500 * MIB);
    scene_write(scene, three->high, 100);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_true(scene_storm(scene)->raging);
}

/* What nobody but a person can change is told of the host: who lacks how much, and what helps. */
static void
test_what_is_missing_is_told(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    static const struct {
        guint at_hand_mib, low_merged_mib;
        const char *text, *remedy; /* NULL: nothing is told */
    } cases[] = {
        {100, 512,
         "waits for room (3 domains): 100.0 MiB are at hand, and \"high\", the first to go "
         "on, lacks 540.0 MiB",
         "add 540 MiB of swap"},
        {100, 200, "\"low\" lacks least, 150.0 MiB", "virsh resume low "},
        {300, 200, "\"low\" would fit, and waits for it", "add 340 MiB of swap"},
        {640, 200, NULL, NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Scene *scene = &three->scene;

        g_test_message("%u MiB at hand, %u of low merged", cases[i].at_hand_mib,
                       cases[i].low_merged_mib);
        three_close(three, NULL);
        three_open(three, NULL);
        pause_all(three);
        three->low->merged_bytes = MF_U64(cases[i].low_merged_mib * MIB);
        scene->host->mem_available_bytes = MF_U64(cases[i].at_hand_mib * MIB);
        scene_tick(scene, 10 * G_USEC_PER_SEC);
        const MfReason *reason = scene_host_reason(scene);
        g_assert_cmpint(reason->code == MF_REASON_SUSPENDED, ==, cases[i].text != NULL);
        if (cases[i].text != NULL) {
            g_assert_nonnull(strstr(reason->text, cases[i].text));
            g_assert_nonnull(strstr(reason->remedy, cases[i].remedy));
        }
    }
}

/* One that can't be made to go on, or whose call hangs, holds up nobody, and is told. */
static void
test_who_fails_to_go_on_gives_up_its_turn(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    pause_all(three);
    scene->host->mem_available_bytes = MF_U64(640 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->high));
    scene_tick(scene, 5 * G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 0);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->middle));
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 1);
    g_assert_nonnull(strstr(scene_reason(scene, three->high)->text, "not answered for 6 s"));
    g_assert_nonnull(strstr(scene_host_reason(scene)->text, "\"high\" go on"));

    /* Both fail: each is asked again in its time, and the last one has its turn. */
    scene_done(scene, MF_ACTION_RESUME, three->high, FALSE);
    scene_done(scene, MF_ACTION_RESUME, three->middle, FALSE);
    scene_tick(scene, 500 * 1000);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->low));
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 1);
    g_assert_nonnull(strstr(scene_reason(scene, three->high)->text, "failed (1 in a row)"));
    g_assert_nonnull(strstr(scene_host_reason(scene)->text, "\"high\" (and 1 more) go on"));
    scene_done(scene, MF_ACTION_RESUME, three->low, TRUE);
    scene_tick(scene, 5 * G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->high));
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 1);
}

/* What is told of the host is whom those wait for that have no room. */
static void
test_who_waits_is_told_beside_who_fails(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    pause_all(three);
    three->high->merged_bytes = MF_U64(100 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->high));
    scene_done(scene, MF_ACTION_RESUME, three->high, FALSE);
    scene_tick(scene, 500 * 1000);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 0);
    g_assert_nonnull(strstr(scene_host_reason(scene)->text, "\"high\" go on"));
    const MfReason *next = g_ptr_array_index(scene->plan->host_reasons, 1);
    g_assert_nonnull(strstr(next->text, "(2 domains): 500.0 MiB are at hand, and \"middle\""));
}

/* virsh resume: whoever runs is not memfold's to resume, and may be paused anew. */
static void
test_somebody_else_resumes(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;
    MfStorm *storm = &scene->memory->storm;

    pause_all(three);
    scene->host->mem_available_bytes = MF_U64(640 * MIB);
    g_assert_false(mf_storm_begin_check(storm, "of nobody", scene->snapshot->taken_usec));
    g_assert_true(mf_storm_begin_check(storm, three->high->uuid, scene->snapshot->taken_usec));
    g_assert_false(mf_storm_begin_check(storm, three->high->uuid, scene->snapshot->taken_usec));
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 0);
    mf_storm_checked(storm, three->high->uuid, TRUE, scene->snapshot->taken_usec);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpint(scene_reason(scene, three->high)->code, !=, MF_REASON_SUSPENDED);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_RESUME), ==, 0);
    g_assert_false(mf_storm_begin_check(storm, three->high->uuid, scene->snapshot->taken_usec));

    /* What it takes shows before the next one goes on; one that is paused still is no other. */
    g_assert_true(mf_storm_begin_check(storm, three->middle->uuid, scene->snapshot->taken_usec));
    mf_storm_checked(storm, three->middle->uuid, FALSE, scene->snapshot->taken_usec);
    scene_tick(scene, 4 * G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_RESUME, three->middle));
}

/* Low is to be paused. */
static void
begin_pause(Three *three)
{
    three->scene.config->storm_suspend = TRUE;
    three->scene.host->mem_available_bytes = MF_U64(100 * MIB);
    storm(three, 100);
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_SUSPEND, three->low));
}

/* virsh resume before memfold has its answer about the pause: that is looked at after it. */
static void
test_somebody_else_resumes_at_once(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;
    MfStorm *guard = &scene->memory->storm;
    const char *uuid = three->low->uuid;

    begin_pause(three);
    g_assert_false(mf_storm_missed_check(guard, "of nobody"));
    g_assert_false(mf_storm_begin_check(guard, uuid, scene->snapshot->taken_usec));
    g_assert_false(mf_storm_missed_check(guard, uuid));
    scene_done(scene, MF_ACTION_SUSPEND, three->low, TRUE);
    g_assert_true(mf_storm_missed_check(guard, uuid));

    /* Once is enough; what is told while it is looked at wants another look. */
    g_assert_true(mf_storm_begin_check(guard, uuid, scene->snapshot->taken_usec));
    mf_storm_checked(guard, uuid, FALSE, scene->snapshot->taken_usec);
    g_assert_false(mf_storm_missed_check(guard, uuid));
    g_assert_true(mf_storm_begin_check(guard, uuid, scene->snapshot->taken_usec));
    g_assert_false(mf_storm_begin_check(guard, uuid, scene->snapshot->taken_usec));
    mf_storm_checked(guard, uuid, FALSE, scene->snapshot->taken_usec);
    g_assert_true(mf_storm_missed_check(guard, uuid));
    g_assert_true(mf_storm_begin_check(guard, uuid, scene->snapshot->taken_usec));
    mf_storm_checked(guard, uuid, TRUE, scene->snapshot->taken_usec);
    g_assert_false(mf_storm_missed_check(guard, uuid));
}

/* A pause that failed leaves nothing to look at, and what was told then is not of the next one. */
static void
test_a_pause_that_fails_is_not_looked_at(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;
    MfStorm *guard = &scene->memory->storm;
    const char *uuid = three->low->uuid;

    begin_pause(three);
    g_assert_false(mf_storm_begin_check(guard, uuid, scene->snapshot->taken_usec));
    scene_done(scene, MF_ACTION_SUSPEND, three->low, FALSE);
    g_assert_false(mf_storm_missed_check(guard, uuid));
    scene_write(scene, three->low, 100);
    scene_tick(scene, 2 * G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_SUSPEND, three->low));
    scene_done(scene, MF_ACTION_SUSPEND, three->low, TRUE);
    g_assert_false(mf_storm_missed_check(guard, uuid));
}

static void
test_nobody_goes_on_into_the_unknown(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    pause_all(three);
    three->scene.host->mem_available_bytes = MF_U64_ABSENT;
    scene_tick(&three->scene, 10 * G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(&three->scene, MF_ACTION_RESUME), ==, 0);
    g_assert_nonnull(strstr(scene_reason(&three->scene, three->high)->text, "not known"));
}

#define THREE(path, function)                                                                      \
    g_test_add("/storm-resume/" path, Three, NULL, three_open, function, three_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    THREE("order", test_the_highest_goes_on_when_there_is_room);
    THREE("alone", test_those_that_stand_still_do_not_count);
    THREE("missing", test_what_is_missing_is_told);
    THREE("fails", test_who_fails_to_go_on_gives_up_its_turn);
    THREE("fails-told", test_who_waits_is_told_beside_who_fails);
    THREE("others", test_somebody_else_resumes);
    THREE("others-at-once", test_somebody_else_resumes_at_once);
    THREE("others-fails", test_a_pause_that_fails_is_not_looked_at);
    THREE("unknown", test_nobody_goes_on_into_the_unknown);
    return g_test_run();
}

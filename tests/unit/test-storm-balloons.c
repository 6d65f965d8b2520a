/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Balloons in a storm: whose is filled, what is told of it, and when it is emptied. */
#include "mf-storm-three.h"

/* The balloon as it was last looked at, with what the guest has then. */
static void
balloon_is(Three *three, const MfDomain *domain, MfBalloon balloon, guint64 now_mib)
{
    MfStorm *storm = &three->scene.memory->storm;
    const char *uuid = NULL;

    while ((uuid = mf_storm_next_look(storm, three->scene.snapshot->taken_usec)) != NULL) {
        if (g_str_equal(uuid, domain->uuid)) {
            mf_balloon_look(&balloon, now_mib * MIB);
            mf_storm_looked(storm, uuid, &balloon);
            return;
        }
        mf_storm_looked(storm, uuid, NULL);
    }
    g_assert_not_reached();
}

/* A storm in which low is asked for 500 MiB of its 1000, and the guest does as it is told. */
static MfBalloon
fill(Three *three)
{
    MfBalloon balloon = {0};

    three->scene.config->storm_balloon = TRUE;
    three->scene.host->mem_available_bytes = MF_U64(1024 * MIB);
    storm(three, 100);
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_BALLOON, three->low));
    mf_balloon_ask(&balloon, 1000 * MIB, 500 * MIB);
    scene_done(&three->scene, MF_ACTION_BALLOON, three->low, TRUE);
    mf_storm_set_balloon(&three->scene.memory->storm, three->low->uuid, &balloon,
                         three->scene.snapshot->taken_usec);
    return balloon;
}

/* The storm ends, with so much at hand. */
static void
calm(Three *three, guint64 at_hand_mib)
{
    three->scene.host->mem_available_bytes = MF_U64(at_hand_mib * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    scene_tick(&three->scene, 5 * G_USEC_PER_SEC);
    g_assert_false(scene_storm(&three->scene)->raging);
}

static const char *
text_of(const Three *three, const MfDomain *domain)
{
    const MfReason *reason = scene_reason(&three->scene, domain);

    g_assert_cmpint(reason->code, ==, MF_REASON_GIVES_WAY);
    return reason->text;
}

static void
test_balloons(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    storm(three, 100);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    MfBalloon balloon = fill(three);
    /* 2048 - 600 MiB are expected, 724 at hand: half of what the lowest has, and the rest. */
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->low)->bytes / MIB, ==, 500);
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->middle)->bytes / MIB, ==, 224);
    g_assert_null(scene_action(scene, MF_ACTION_BALLOON, three->high));
    scene_done(scene, MF_ACTION_BALLOON, three->middle, FALSE);
    scene->host->mem_available_bytes = MF_U64(1024 * MIB);
    storm(three, 100);
    g_assert_null(scene_action(scene, MF_ACTION_BALLOON, three->low));
    balloon_is(three, three->low, balloon, 600);

    calm(three, 499);
    g_assert_null(scene_action(scene, MF_ACTION_BALLOON, three->low));
    g_assert_nonnull(
        strstr(text_of(three, three->low), "400.0 MiB, and gives them back when 500.0"));
    scene->host->mem_available_bytes = MF_U64(500 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->low)->bytes, ==, 0);
    scene_tick(scene, G_USEC_PER_SEC); /* the call is under way */
    g_assert_nonnull(strstr(text_of(three, three->low), "is told to give back"));
    scene_done(scene, MF_ACTION_BALLOON, three->low, TRUE);
    mf_balloon_return(&balloon);
    mf_storm_set_balloon(&scene->memory->storm, three->low->uuid, &balloon,
                         scene->snapshot->taken_usec);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    balloon_is(three, three->low, balloon, 1000);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpint(scene_reason(scene, three->low)->code, !=, MF_REASON_GIVES_WAY);
}

/* Only memory that may be merged counts as resident: one that does not merge has none to give. */
static void
test_who_has_nothing_is_not_asked(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->config->storm_balloon = TRUE;
    three->low->resident_bytes = MF_U64(0);
    storm(three, 100);
    g_assert_null(scene_action(scene, MF_ACTION_BALLOON, three->low));
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->middle)->bytes / MIB, ==, 500);
}

/* What the lowest will still give is not asked of the next one, until it is overdue. */
static void
test_balloons_wait_for_the_lower_one(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->host->saved_bytes = MF_U64(1500 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    MfBalloon balloon = fill(three);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 1);
    scene->host->mem_available_bytes = MF_U64(1024 * MIB);
    storm(three, 50);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    balloon_is(three, three->low, balloon, 1000);
    scene->host->mem_available_bytes = MF_U64(600 * MIB);
    scene->snapshot->taken_usec += 5 * G_USEC_PER_SEC;
    storm(three, 50);
    g_assert_nonnull(strstr(text_of(three, three->low), "500.0 MiB and has given nothing"));
    g_assert_nonnull(scene_action(scene, MF_ACTION_BALLOON, three->middle));
    g_autofree char *trouble =
        mf_storm_balloon_trouble(scene_storm(scene), three->low->uuid, scene->snapshot->taken_usec);
    g_assert_nonnull(trouble);
    g_assert_null(mf_storm_balloon_trouble(scene_storm(scene), three->high->uuid, G_MAXINT64));
}

/* It needs no room, for it is not asked for anything. */
static void
test_a_balloon_of_somebody_else_is_let_go(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    MfBalloon balloon = fill(three);

    balloon_is(three, three->low, balloon, 500);
    calm(three, 10);
    g_assert_null(scene_action(&three->scene, MF_ACTION_BALLOON, three->low));
    balloon.lowest_bytes = 500 * MIB;
    balloon_is(three, three->low, balloon, 700);
    three->scene.host->mem_available_bytes = MF_U64(1000 * MIB);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    g_assert_null(scene_action(&three->scene, MF_ACTION_BALLOON, three->low));
    g_assert_nonnull(strstr(text_of(three, three->low), "shows within half a minute"));

    three->scene.host->mem_available_bytes = MF_U64(10 * MIB);
    for (guint i = 0; i < 30; i++) {
        mf_balloon_look(&balloon, 700 * MIB);
    }
    balloon_is(three, three->low, balloon, 700);
    scene_tick(&three->scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_action(&three->scene, MF_ACTION_BALLOON, three->low)->bytes, ==, 0);
    g_assert_nonnull(strstr(text_of(three, three->low), "somebody else"));
    g_assert_nonnull(strstr(text_of(three, three->low), "stays at 700.0 MiB"));
    g_assert_nonnull(
        strstr(scene_reason(&three->scene, three->low)->remedy, "virsh setmem low 1024000 --live"));
}

/* Whoever may have set it: it is not asked for more until that is known. */
static void
test_a_balloon_in_doubt_is_not_asked(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    MfBalloon balloon = {
        .before_bytes = 1000 * MIB, .asked_bytes = 500 * MIB, .lowest_bytes = 500 * MIB};

    three->scene.config->storm_balloon = TRUE;
    mf_storm_owe(&three->scene.memory->storm, three->low->uuid, FALSE, &balloon);
    balloon_is(three, three->low, balloon, 700);
    storm(three, 100);
    g_assert_null(scene_action(&three->scene, MF_ACTION_BALLOON, three->low));
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_BALLOON, three->middle));
}

/* One that an earlier memfoldd left is looked at first, and what never comes is waited for no more
 * than a minute. */
static void
test_a_balloon_that_was_left(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;
    MfStorm *storm = &scene->memory->storm;
    MfBalloon balloon = {
        .before_bytes = 1000 * MIB, .asked_bytes = 500 * MIB, .lowest_bytes = 500 * MIB};

    mf_storm_owe(storm, three->low->uuid, FALSE, &balloon);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    balloon_is(three, three->low, balloon, 500);
    g_assert_null(mf_storm_next_look(storm, scene->snapshot->taken_usec));
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_BALLOON, three->low));
    /* While it is asked, nobody looks. */
    g_assert_null(mf_storm_next_look(storm, scene->snapshot->taken_usec));
    scene_done(scene, MF_ACTION_BALLOON, three->low, TRUE);
    balloon.now_bytes = 500 * MIB;
    mf_balloon_return(&balloon);
    mf_storm_set_balloon(storm, three->low->uuid, &balloon, scene->snapshot->taken_usec);
    scene_tick(scene, 60 * G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    g_assert_nonnull(strstr(text_of(three, three->low), "500.0 MiB are still missing"));
    scene_tick(scene, 1);
    g_assert_nonnull(scene_action(scene, MF_ACTION_BALLOON, three->low));
}

/* A call that outlasts a tick: what it asks for need not come from others, until it is overdue. */
static void
test_a_slow_call_is_waited_for(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->config->storm_balloon = TRUE;
    scene->host->saved_bytes = MF_U64(1500 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    storm(three, 100);
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->low)->bytes / MIB, ==, 476);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 1);
    storm(three, 20); /* 1140 MiB are expected, 664 at hand */
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    scene->snapshot->taken_usec += 4 * G_USEC_PER_SEC;
    storm(three, 100); /* 840 and 364 */
    g_assert_null(scene_action(scene, MF_ACTION_BALLOON, three->low));
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->middle)->bytes / MIB, ==, 476);
}

/* One whose balloon could not be asked is asked again in the same storm, after a wait. */
static void
test_a_failed_call_is_tried_again(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->config->storm_balloon = TRUE;
    storm(three, 100);
    g_assert_nonnull(scene_action(scene, MF_ACTION_BALLOON, three->low));
    scene_done(scene, MF_ACTION_BALLOON, three->low, FALSE);
    scene_write(scene, three->high, 25);
    scene_tick(scene, SCENE_TICK_USEC);
    g_assert_null(scene_action(scene, MF_ACTION_BALLOON, three->low));
    storm(three, 25);
    g_assert_nonnull(scene_action(scene, MF_ACTION_BALLOON, three->low));
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->low)->bytes / MIB, ==, 500);
}

/* One whose balloon can't be filled can be paused all the same, before a higher one is. */
static void
test_a_balloon_that_fails_keeps_nobody_running(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->config->storm_balloon = TRUE;
    scene->config->storm_suspend = TRUE;
    for (guint waits_sec = 1; waits_sec <= 4; waits_sec *= 2) {
        storm(three, 25);
        g_assert_cmpuint(scene_count(scene, MF_ACTION_SUSPEND), ==, 0);
        g_assert_nonnull(scene_action(scene, MF_ACTION_BALLOON, three->low));
        scene_done(scene, MF_ACTION_BALLOON, three->low, FALSE);
        if (waits_sec < 4) {
            scene->snapshot->taken_usec += (waits_sec - 1) * G_USEC_PER_SEC;
        }
    }
    scene_write(scene, three->low, 200);
    scene_write(scene, three->middle, 20);
    storm(three, 0);
    g_assert_nonnull(scene_action(scene, MF_ACTION_SUSPEND, three->low));
    g_assert_null(scene_action(scene, MF_ACTION_SUSPEND, three->middle));
}

/* The same, as it was last looked at: it has taken 400 MiB of 500. */
static MfBalloon
taken(Three *three, const MfDomain *domain)
{
    MfBalloon balloon = {0};

    mf_balloon_ask(&balloon, 1000 * MIB, 500 * MIB);
    mf_balloon_look(&balloon, 600 * MIB);
    mf_storm_set_balloon(&three->scene.memory->storm, domain->uuid, &balloon,
                         three->scene.snapshot->taken_usec);
    return balloon;
}

/* There is room for one of two: the next one has to wait until it shows what the first one takes,
 * and until there is room for both. */
static void
test_one_balloon_after_the_other(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->host->mem_available_bytes = MF_U64(600 * MIB);
    taken(three, three->low);
    MfBalloon balloon = taken(three, three->middle);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->middle)->bytes, ==, 0);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 1);
    scene_tick(scene, G_USEC_PER_SEC); /* it is under way */
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    g_assert_nonnull(strstr(text_of(three, three->low), "back when 1000.0 MiB are at hand: 600.0"));

    scene_done(scene, MF_ACTION_BALLOON, three->middle, TRUE);
    mf_balloon_return(&balloon);
    mf_storm_set_balloon(&scene->memory->storm, three->middle->uuid, &balloon,
                         scene->snapshot->taken_usec);
    scene_tick(scene, 6 * G_USEC_PER_SEC); /* it gives back, and has not taken anything yet */
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    balloon_is(three, three->middle, balloon, 1000);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_cmpuint(scene_action(scene, MF_ACTION_BALLOON, three->low)->bytes, ==, 0);
}

/* The first one has all again at once, and its guest writes to it a little later. */
static void
test_what_is_given_back_shows_first(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    static const MfBalloon none = {0};
    Scene *scene = &three->scene;

    scene->host->mem_available_bytes = MF_U64(1000 * MIB);
    taken(three, three->low);
    taken(three, three->middle);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_BALLOON, three->middle));
    scene_done(scene, MF_ACTION_BALLOON, three->middle, TRUE);
    mf_storm_set_balloon(&scene->memory->storm, three->middle->uuid, &none,
                         scene->snapshot->taken_usec);
    scene_tick(scene, 2 * G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    g_assert_nonnull(strstr(text_of(three, three->low), "when it shows what another one takes"));
    scene->host->mem_available_bytes = MF_U64(400 * MIB);
    scene_tick(scene, 4 * G_USEC_PER_SEC);
    g_assert_cmpuint(scene_count(scene, MF_ACTION_BALLOON), ==, 0);
    g_assert_nonnull(strstr(text_of(three, three->low), "back when 500.0 MiB are at hand: 400.0"));
}

/* A storm that comes while a balloon gives back. */
static void
test_what_is_told_of_one_that_returns(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    MfBalloon balloon = taken(three, three->low);

    mf_balloon_return(&balloon);
    mf_storm_set_balloon(&three->scene.memory->storm, three->low->uuid, &balloon,
                         three->scene.snapshot->taken_usec);
    storm(three, 100);
    g_assert_nonnull(strstr(text_of(three, three->low), "gives back what it took in a storm, "
                                                        "400.0 MiB are still missing"));
}

#define THREE(path, function)                                                                      \
    g_test_add("/storm-balloons/" path, Three, NULL, three_open, function, three_close)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    THREE("given-back", test_balloons);
    THREE("nothing", test_who_has_nothing_is_not_asked);
    THREE("waits", test_balloons_wait_for_the_lower_one);
    THREE("foreign", test_a_balloon_of_somebody_else_is_let_go);
    THREE("doubt", test_a_balloon_in_doubt_is_not_asked);
    THREE("left", test_a_balloon_that_was_left);
    THREE("slow-call", test_a_slow_call_is_waited_for);
    THREE("failed-call", test_a_failed_call_is_tried_again);
    THREE("fails-and-is-paused", test_a_balloon_that_fails_keeps_nobody_running);
    THREE("one-by-one", test_one_balloon_after_the_other);
    THREE("shows-first", test_what_is_given_back_shows_first);
    THREE("returns", test_what_is_told_of_one_that_returns);
    return g_test_run();
}

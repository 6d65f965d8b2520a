/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What memfold un-merges itself is no storm, and hides none. */
#include "mf-storm-three.h"

/* The engine carries out what is planned for low. */
static void
begin(Three *three)
{
    mf_storm_unmerge_begun(&three->scene.memory->storm, three->low->uuid,
                           three->scene.snapshot->taken_usec);
}

/* Low is to be switched off, which takes the 512 MiB that it has merged. */
static void
plan(Three *three)
{
    three->low->policy->merge = MF_MERGE_OFF;
    scene_tick(&three->scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(&three->scene, MF_ACTION_DOMAIN_MODE, three->low));
    three->low->cow_breaks_count = MF_U64_ABSENT; /* nobody looks at it meanwhile */
}

/* And QEMU is asked. */
static void
unmerge(Three *three)
{
    plan(three);
    begin(three);
    three->low->switching = three->low->is_unmerging = TRUE;
}

/* So much is written on the host within a second, by whomever. */
static void
write_pages_on_host(Three *three, guint64 pages)
{
    Scene *scene = &three->scene;

    scene->host->cow_breaks_count.value += pages;
    scene->host->mem_available_bytes.value -= pages * MIB / MIB_PAGES;
    scene_tick(scene, G_USEC_PER_SEC);
}

static void
write_on_host(Three *three, guint64 mib)
{
    write_pages_on_host(three, mib * MIB_PAGES);
}

static void
test_own_is_no_storm(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    const MfStorm *storm = scene_storm(&three->scene);

    three->scene.config->storm_suspend = TRUE;
    unmerge(three);
    for (guint i = 0; i < 4; i++) {
        write_on_host(three, 125);
        g_assert_false(storm->raging);
        g_assert_cmpuint(storm->written_rate_bytes.value, ==, 0);
        g_assert_cmpuint(storm->loss_rate_bytes.value, ==, 0);
    }
    /* It is merged no longer all the same. */
    g_assert_cmpuint(mf_storm_cover(storm, three->scene.host).need_bytes.value / MIB, ==,
                     2048 - 500);
    /* What comes beyond it is the guests'. */
    write_on_host(three, 112);
    g_assert_cmpuint(storm->written_rate_bytes.value / MIB, ==, 100);
    g_assert_true(storm->raging);
}

/* Accounts may be older than what was merged, which the kernel counts. */
static void
test_what_was_merged_since_is_own_too(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->low->merged_bytes = three->low->saved_bytes = MF_U64(0);
    three->low->profit_bytes = MF_I64(512 * MIB);
    three->low->rmap_items_pages = MF_U64(0);
    unmerge(three);
    for (guint i = 0; i < 4; i++) {
        write_on_host(three, 125);
        g_assert_false(scene_storm(&three->scene)->raging);
        g_assert_cmpuint(scene_storm(&three->scene)->written_rate_bytes.value, ==, 0);
    }
}

/* Pages of zeroes are counted nowhere, but fall at once. */
static void
test_zeroes_are_own_too(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->low->merged_bytes = MF_U64(100 * MIB);
    three->low->zero_bytes = MF_U64(300 * MIB);
    unmerge(three);
    three->scene.host->saved_bytes.value -= 300 * MIB;
    three->scene.host->mem_available_bytes.value -= 300 * MIB;
    write_on_host(three, 100);
    g_assert_false(scene_storm(&three->scene)->raging);
    g_assert_cmpuint(scene_storm(&three->scene)->loss_rate_bytes.value, ==, 0);
}

static void
test_a_move_is_own_too(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    scene->host->has_groups = TRUE;
    three->low->pid = 1;
    three->low->ksm_group_number = MF_U64(5);
    three->low->zero_bytes = MF_U64(200 * MIB);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_nonnull(scene_action(scene, MF_ACTION_GROUP, three->low));
    begin(three);
    three->low->regrouping = three->low->is_moving = TRUE;
    scene_write(scene, three->low, 300);
    scene_tick(scene, G_USEC_PER_SEC);
    g_assert_false(scene_storm(scene)->raging);
    g_assert_cmpuint(scene_storm(scene)->loss_rate_bytes.value, ==, 0);

    /* It leaves the zeroes as they are, and so hides nothing for them. */
    write_on_host(three, 512 - 300 + 100);
    g_assert_cmpuint(scene_storm(scene)->written_rate_bytes.value / MIB, ==, 100);
}

/* Guests that write meanwhile: it is a storm of what they write, the one that is un-merged is not
 * paused for it, and has no share in it. */
static void
test_a_storm_meanwhile(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;
    const MfStorm *storm = scene_storm(scene);

    scene->config->storm_suspend = TRUE;
    three->middle->cow_breaks_count = MF_U64_ABSENT;
    three->high->cow_breaks_count = MF_U64_ABSENT;
    scene_tick(scene, G_USEC_PER_SEC);
    scene->host->mem_available_bytes = MF_U64(1312 * MIB);
    scene->config->storm_horizon_msec = 10000; /* a quarter is 2.5 s: that of 250 MiB a second */
    scene_tick(scene, G_USEC_PER_SEC);
    unmerge(three);
    write_on_host(three, 512 + 300);
    g_assert_true(storm->raging);
    g_assert_cmpuint(storm->written_rate_bytes.value / MIB, ==, 300);
    g_assert_cmpuint(storm->headroom_bytes.value / MIB, ==, 500);
    g_assert_null(scene_action(scene, MF_ACTION_SUSPEND, three->low));
    g_assert_nonnull(scene_action(scene, MF_ACTION_SUSPEND, three->middle));
    g_assert_null(scene_action(scene, MF_ACTION_SUSPEND, three->high));
}

/* libvirt lets a call wait for others, and there is room for what comes of it, and more. */
static void
test_with_room_it_may_be_late(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    three->scene.host->mem_available_bytes = MF_U64(8192 * MIB);
    unmerge(three);
    for (guint i = 0; i < 8; i++) {
        write_pages_on_host(three, 1);
    }
    for (guint i = 0; i < 4; i++) {
        write_on_host(three, 125);
        g_assert_cmpuint(scene_storm(&three->scene)->written_rate_bytes.value, ==, 0);
    }
    write_on_host(three, 112);
    g_assert_cmpuint(scene_storm(&three->scene)->written_rate_bytes.value / MIB, ==, 100);
}

/* libvirt is away, or no QEMU may be asked for want of a place: it is planned at each tick, and
 * nobody has begun it. */
static void
test_what_is_not_begun_hides_nothing(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    plan(three);
    for (guint i = 0; i < 4; i++) {
        g_assert_nonnull(scene_action(scene, MF_ACTION_DOMAIN_MODE, three->low));
        write_on_host(three, 10);
        g_assert_cmpuint(scene_storm(scene)->written_rate_bytes.value / MIB, ==, 10);
    }
    write_on_host(three, 300);
    g_assert_true(scene_storm(scene)->raging);
}

/* It was begun while a snapshot was taken, which began before and does not show it. */
static void
test_what_is_begun_meanwhile_is_own(Three *three, gconstpointer unused G_GNUC_UNUSED)
{
    Scene *scene = &three->scene;

    plan(three);
    begin(three);
    write_on_host(three, 125);
    g_assert_cmpuint(scene_storm(scene)->written_rate_bytes.value, ==, 0);
    three->low->switching = three->low->is_unmerging = TRUE;
    write_on_host(three, 125);
    g_assert_cmpuint(scene_storm(scene)->written_rate_bytes.value, ==, 0);
    g_assert_false(scene_storm(scene)->raging);
}

/* What is begun and does not come must not hide what guests write. */
static void
test_what_ends_hides_nothing(Three *three, gconstpointer way)
{
    enum { SUCCEEDS, FAILS, IS_SILENT, TRICKLES, IS_STOPPED, GOES };
    Scene *scene = &three->scene;
    const MfStorm *storm = scene_storm(scene);
    int how = GPOINTER_TO_INT(way);

    if (how == IS_SILENT || how == TRICKLES) {
        three->low->merged_bytes = MF_U64(900 * MIB); /* of the 1024 at hand */
    }
    unmerge(three);
    write_on_host(three, 50);
    g_assert_cmpuint(storm->written_rate_bytes.value, ==, 0);
    if (how == SUCCEEDS) {
        three->low->switching = three->low->is_unmerging = FALSE;
        three->low->mode = MF_MODE_OFF;
    } else if (how == FAILS) {
        mf_storm_unmerge_failed(&scene->memory->storm,
                                three->low->uuid); /* it waits to ask again */
    } else if (how == IS_STOPPED) {
        three->low->is_unmerging = FALSE;
    } else if (how == GOES) {
        g_assert_true(g_ptr_array_remove(scene->snapshot->domains, three->low));
    }
    /* What it wrote until then is in this interval. */
    write_on_host(three, how == IS_SILENT || how == TRICKLES ? 0 : 50);
    g_assert_cmpuint(storm->written_rate_bytes.value, ==, 0);
    for (guint i = 0; how == IS_SILENT && i < 6; i++) {
        write_on_host(three, 0);
    }
    for (guint i = 0; how == TRICKLES && i < 8; i++) {
        write_pages_on_host(three, 1);
    }
    write_on_host(three, 100);
    g_assert_cmpuint(storm->written_rate_bytes.value / MIB, ==, 100);
    g_assert_true(storm->raging);
}

#define THREE(path, function)                                                                      \
    g_test_add("/storm-unmerge/" path, Three, NULL, three_open, function, three_close)

int
main(int argc, char **argv)
{
    static const char *const ways[] = {"succeeds", "fails",   "silent",
                                       "trickles", "stopped", "goes"};

    g_test_init(&argc, &argv, NULL);
    THREE("own", test_own_is_no_storm);
    THREE("late", test_with_room_it_may_be_late);
    THREE("not-begun", test_what_is_not_begun_hides_nothing);
    THREE("begun-meanwhile", test_what_is_begun_meanwhile_is_own);
    THREE("merged-since", test_what_was_merged_since_is_own_too);
    THREE("zeroes", test_zeroes_are_own_too);
    THREE("move", test_a_move_is_own_too);
    THREE("storm", test_a_storm_meanwhile);
    for (guint way = 0; way < G_N_ELEMENTS(ways); way++) {
        g_autofree char *path = g_strconcat("/storm-unmerge/ends/", ways[way], NULL);
        g_test_add(path, Three, GINT_TO_POINTER(way), three_open, test_what_ends_hides_nothing,
                   three_close);
    }
    return g_test_run();
}
